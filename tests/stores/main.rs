//! Claims in each store: the cases of `testing::conformance`, races, and servers that are stopped,
//! frozen or misconfigured.
//!
//! The tests start the servers. A server program that is not installed is a failure, and no test is
//! skipped.
#![allow(clippy::unwrap_used)]

mod common;
mod connect;
mod inbox;
mod memory;
mod overload;
mod postgres;
mod races;
mod redis;
mod responses;
mod sqlite;
