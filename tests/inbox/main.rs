//! Inboxes in each store: the cases of `testing::conformance::inbox`, and what the database adds.
#![allow(clippy::unwrap_used)]

mod crashes;
mod postgres;
mod sqlite;
