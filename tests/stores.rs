//! The stores that hold claims: each passes the cases of `testing::conformance`, and those on servers are raced, stopped,
//! frozen and misconfigured.
//!
//! The servers are started by the tests. A server program that is not installed is a failure, never a test left out.
#![allow(clippy::unwrap_used)]

#[path = "stores/calls.rs"]
mod calls;
#[path = "stores/connect.rs"]
mod connect;
#[path = "stores/memory.rs"]
mod memory;
#[path = "stores/overload.rs"]
mod overload;
#[path = "stores/postgres.rs"]
mod postgres;
#[path = "stores/redis.rs"]
mod redis;
#[path = "stores/sql.rs"]
mod sql;
#[path = "stores/sqlite.rs"]
mod sqlite;
