//! The stores that hold claims: each passes the cases of `testing::conformance`, and those on servers are raced, stopped,
//! frozen and misconfigured.
//!
//! The servers are started by the tests. A server program that is not installed is a failure, never a test left out.
#![allow(clippy::unwrap_used)]

mod calls;
mod connect;
mod memory;
mod overload;
mod postgres;
mod redis;
mod sql;
mod sqlite;
