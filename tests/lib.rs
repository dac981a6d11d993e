//! What the tests share: recorded requests, a server of either framework, and a client that sends raw bytes.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::exhaustive_enums,
    reason = "a helper that fails is a test that fails"
)]

#[path = "support/client.rs"]
mod client;
#[path = "support/logs.rs"]
mod logs;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/redis.rs"]
mod redis;
#[path = "support/secrets.rs"]
mod secrets;
#[path = "support/server.rs"]
mod server;
#[path = "support/vector.rs"]
mod vector;

pub use self::{
    client::{Connection, Response, exchange, raw_request, try_exchange},
    logs::Logs,
    postgres::PostgresServer,
    redis::RedisServer,
    secrets::{PUBLIC_URL, secret_of, verifier_of},
    server::{App, Framework, Handler, Server, Transport, answer, each_framework},
    vector::Vector,
};
