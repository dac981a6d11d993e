//! Inboxes in each store: the cases of `testing::conformance::inbox`, and what the database adds.
//! Routes without a handler.
#![allow(clippy::unwrap_used)]

mod adapters;
mod crashes;
mod postgres;
mod sqlite;
