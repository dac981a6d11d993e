//! Inboxes in each store: the cases of `testing::conformance::inbox`, what the database adds, and
//! receivers, routes and workers on top. Processes that are killed.
#![allow(clippy::unwrap_used)]

mod adapters;
mod attacks;
mod commit;
mod common;
mod conditions;
mod crashes;
mod dead;
mod groups;
mod intake;
mod leases;
mod order;
mod postgres;
mod sqlite;
mod workers;
