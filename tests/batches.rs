//! Batches that resume: each event of a delivery has its own claim, on both adapters through real sockets.
#![allow(clippy::unwrap_used)]

#[path = "batches/adapters.rs"]
mod adapters;
#[path = "batches/answers.rs"]
mod answers;
#[path = "batches/beyond.rs"]
mod beyond;
#[path = "batches/commit.rs"]
mod commit;
#[path = "idempotency/common.rs"]
#[allow(dead_code, unused_imports, reason = "shared with other tests")]
mod common;
#[path = "batches/cost.rs"]
mod cost;
#[path = "batches/cuts.rs"]
mod cuts;
#[path = "batches/dropped.rs"]
mod dropped;
#[path = "batches/faults.rs"]
mod faults;
#[path = "batches/filters.rs"]
mod filters;
#[path = "batches/ids.rs"]
mod ids;
#[path = "batches/keys.rs"]
mod keys;
#[path = "batches/leases.rs"]
mod leases;
#[path = "batches/overlap.rs"]
mod overlap;
#[path = "batches/plain.rs"]
mod plain;
#[path = "batches/random.rs"]
mod random;
#[path = "batches/resume.rs"]
mod resume;
#[path = "batches/rig.rs"]
mod rig;
#[path = "batches/sender.rs"]
mod sender;
#[path = "batches/whole.rs"]
mod whole;
