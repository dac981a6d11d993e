//! Each delivery runs once: the claims, their leases and the answers, on both adapters through real sockets.
//!
//! Tests whose names begin with `b` and a number are rows of the tables in `docs/reliability.md`. Here they are on the memory
//! store, with a clock that is moved by hand; on every store, and with several processes, they are in the test `reliability`.
#![allow(clippy::unwrap_used)]

#[path = "idempotency/cache.rs"]
mod cache;
#[path = "idempotency/common.rs"]
mod common;
#[path = "idempotency/config.rs"]
mod config;
#[path = "idempotency/disconnect.rs"]
mod disconnect;
#[path = "idempotency/events.rs"]
mod events;
#[path = "idempotency/faults.rs"]
mod faults;
#[path = "idempotency/flow.rs"]
mod flow;
#[path = "idempotency/identity.rs"]
mod identity;
#[path = "idempotency/ids.rs"]
mod ids;
#[path = "idempotency/knobs.rs"]
mod knobs;
#[path = "idempotency/renewal.rs"]
mod renewal;
#[path = "idempotency/retries.rs"]
mod retries;
#[path = "idempotency/state.rs"]
mod state;
