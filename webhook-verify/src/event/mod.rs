mod topic;

pub use self::topic::matches_topic;
