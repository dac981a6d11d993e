//! What is in the bodies of single senders, and what is made of them, as serde types.

pub mod pipeforce;
