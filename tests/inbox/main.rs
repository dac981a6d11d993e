//! Inboxes in each store: the cases of `testing::conformance::inbox`, what the database adds, and
//! receivers and workers on top.
#![allow(clippy::unwrap_used)]

mod commit;
mod common;
mod intake;
mod leases;
mod order;
mod postgres;
mod sqlite;
mod workers;
