//! What the examples `idempotent_transaction` and `enqueue` promise: effects once, and a job that is not lost.
#![allow(clippy::unwrap_in_result, clippy::unwrap_used)]

#[path = "../../examples/enqueue.rs"]
#[allow(dead_code, reason = "nobody calls its main")]
mod enqueue;
#[path = "effects/payments.rs"]
mod payments;
#[path = "support/running.rs"]
#[allow(dead_code, reason = "receivers.rs uses all of it")]
mod running;
