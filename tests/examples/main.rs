//! Tests with programs: the examples, and the receiver of the tests while several of them race, are
//! killed, frozen and cut off from their store. Cargo has built the programs before.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod batches;
mod crashes;
mod enqueue;
mod inbox;
mod payments;
mod pipeforce;
mod programs;
mod receivers;
mod running;
mod shutdown;
mod workers;
