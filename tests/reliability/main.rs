//! Failures of deliveries and stores. `docs/reliability.md` lists the faults.
//!
//! This target has the tests that need every store, the network or several processes. Tests of one
//! store are in `stores`, and the others in `idempotency`.
#![allow(clippy::unwrap_used)]

mod bodies;
mod child;
mod claims;
mod clean;
mod deliveries;
mod keys;
mod network;
mod outages;
mod processes;
mod rig;
