//! What the examples `idempotent_transaction` and `enqueue` promise: effects once, and a job that is not lost.

#[path = "../../examples/enqueue.rs"]
#[allow(dead_code, reason = "nobody calls its main")]
mod enqueue;
mod payments;
