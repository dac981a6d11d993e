//! What can go wrong with deliveries and stores, row by row: `docs/reliability.md` says which test stands for which row.
//!
//! Here is what needs every store, the network, or several processes; what concerns one store alone is in the test
//! `stores`, and what concerns none in `idempotency`.
#![allow(clippy::unwrap_used)]

mod child;
mod claims;
mod clean;
mod deliveries;
mod keys;
mod network;
mod outages;
mod processes;
mod rig;
