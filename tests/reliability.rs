//! What can go wrong with deliveries and stores, row by row: `docs/reliability.md` says which test stands for which row.
//!
//! Here is what needs every store, the network, or several processes; what concerns one store alone is in the test
//! `stores`, and what concerns none in `idempotency`.
#![allow(clippy::unwrap_used)]

#[path = "reliability/child.rs"]
mod child;
#[path = "reliability/claims.rs"]
mod claims;
#[path = "reliability/clean.rs"]
mod clean;
#[path = "reliability/deliveries.rs"]
mod deliveries;
#[path = "reliability/keys.rs"]
mod keys;
#[path = "reliability/network.rs"]
mod network;
#[path = "reliability/outages.rs"]
mod outages;
#[path = "reliability/page.rs"]
mod page;
#[path = "reliability/processes.rs"]
mod processes;
#[path = "reliability/rig.rs"]
mod rig;
