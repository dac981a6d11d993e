//! Stores verified events durably, acknowledges them, and processes them later.

#[cfg(feature = "postgres")]
mod postgres;
mod shared;
mod store;

pub(crate) use self::shared::DynInboxStore;
pub use self::store::{
    Advance, Change, Entry, EntryHolder, EntryState, Filter, InboxStore, Inserted, Intake,
    LeaseRequest, Leased, LeasedEvent, NewEvent, Order, Retention, Settlement, Stats, StoredEvent,
    Verdict,
};
