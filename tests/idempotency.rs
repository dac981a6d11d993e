//! Each delivery runs once: the claims, their leases and the answers, on both adapters through real sockets.
//!
//! Tests whose names begin with `b` and a number are rows of one table of what can go wrong with deduplication. These
//! rows are tested where the table's other stores and processes exist:
//!
//! | row | what it is | why it is not here |
//! |---|---|---|
//! | B2 | a race across processes | memory is one process's; it comes with the durable stores |
//! | B4 | a holder that is killed | what a *process* leaves behind comes with the durable stores; a holder that vanishes inside of a process is here |
//! | B5 | a holder that is stopped and wakes up | with signals it needs several processes; with a clock moved by hand it is here |
//! | B7 | a panic that aborts | the lease's lapse stands for it; the process's end comes with the durable stores |
//! | B23 | a claim whose answer is lost on the network | there is none in front of memory; that the same owner wins again is here |
#![allow(clippy::unwrap_used)]

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
#[path = "idempotency/knobs.rs"]
mod knobs;
#[path = "idempotency/renewal.rs"]
mod renewal;
#[path = "idempotency/retries.rs"]
mod retries;
#[path = "idempotency/state.rs"]
mod state;
