//! Each delivery runs once, and each event of a batch: the claims, their leases and the responses,
//! on both adapters through real sockets.
//!
//! A test whose name begins with `b` and a number belongs to a row of the tables in
//! `docs/reliability.md`. The tests here use the memory store, with a clock that the test moves.
//! The target `reliability` has the tests on every store and with several processes.
#![allow(clippy::unwrap_used)]

mod answers;
mod bodies;
mod cache;
mod commit;
mod common;
mod config;
mod cost;
mod cuts;
mod disconnect;
mod event_ids;
mod events;
mod extractor;
mod faults;
mod filters;
mod flow;
mod forgeries;
mod identity;
mod knobs;
mod leases;
mod no_batch;
mod overlap;
mod own_keys;
mod random;
mod resume;
mod retries;
mod retry_vectors;
mod rig;
mod sender;
mod state;
