//! The stores that hold claims: each passes the cases of `testing::conformance`.
#![allow(clippy::unwrap_used)]

#[path = "stores/memory.rs"]
mod memory;
