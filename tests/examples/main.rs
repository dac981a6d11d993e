//! The examples as programs: what they promise, while they race, are killed, frozen and cut off.
//!
//! The programs are those that cargo has built.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod batches;
mod crashes;
mod effects;
mod pipeforce;
mod receivers;
mod running;
