//! Each delivery runs once: the claims, their leases and the answers, on both adapters through real sockets.
//!
//! Tests whose names begin with `b` and a number are rows of the tables in `docs/reliability.md`. Here they are on the memory
//! store, with a clock that is moved by hand; on every store, and with several processes, they are in the test `reliability`.
#![allow(clippy::unwrap_used)]

mod batches;
mod cache;
mod commit;
mod common;
mod config;
mod disconnect;
mod events;
mod faults;
mod flow;
mod identity;
mod ids;
mod knobs;
mod renewal;
mod retries;
mod rig;
mod sender;
mod state;
