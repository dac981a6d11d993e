//! Batches that resume: each event of a delivery has its own claim, on both adapters through real sockets.

mod adapters;
mod answers;
mod beyond;
mod cost;
mod cuts;
mod dropped;
mod faults;
mod filters;
mod ids;
mod keys;
mod leases;
mod overlap;
mod plain;
mod random;
mod resume;
mod whole;
