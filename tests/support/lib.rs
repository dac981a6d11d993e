//! Helpers of the tests: recorded requests, stores, servers of both frameworks, and a client that
//! sends raw bytes.
#![cfg_attr(doctest, doc = include_str!("../../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/concepts.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/custom-senders.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/events.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/fluentcrm.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/host-uk.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/inbox.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/mautic.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/pipeforce.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/responses.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/secrets.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/stores.md"))]
#![cfg_attr(doctest, doc = include_str!("../../webhook-verify/docs/testing.md"))]
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::exhaustive_enums,
    reason = "a helper that fails is a test that fails"
)]

mod answers;
pub mod attacks;
mod claims;
mod client;
mod cluster;
mod folder;
mod forged;
mod gate;
pub mod inbox;
mod logs;
mod nats;
mod panicking;
mod pauses;
mod pgbouncer;
mod places;
mod postgres;
mod process;
mod program;
mod programs;
mod proxy;
mod redis;
mod secrets;
mod server;
mod vector;
mod watched;

pub use self::{
    answers::{assert_in_flight, assert_replay, is_replay},
    claims::{Calls, again, finish, fresh, is_shut_out, its_status, race, won},
    client::{Connection, Response, exchange, raw_request, try_exchange},
    cluster::{RedisCluster, RedisSentinels, until_replicated},
    folder::{Folder, in_folder},
    forged::Forged,
    gate::{Gate, HandClock, PATIENCE, size, soon},
    logs::Logs,
    nats::NatsServer,
    panicking::Panicking,
    pauses::Pauses,
    pgbouncer::PgBouncer,
    places::{
        AnyStore, Kind, Place, REMOTE, SHARED, STORES, address, age, age_inbox, each_place,
        each_store, require_servers, run_sql, set_back_inbox, unique,
    },
    postgres::PostgresServer,
    program::{Program, output},
    proxy::{Proxy, Weather},
    redis::RedisServer,
    secrets::{PUBLIC_URL, secret_of, verifier_of},
    server::{
        App, Framework, Handler, Reply, ReplyBody, Server, Transport, answer, call_actix,
        call_axum, each_framework, to_actix, to_axum,
    },
    vector::Vector,
    watched::{OUTAGE, Watched},
};

/// This is the first test of this package that runs: it says in one line what is missing.
#[test]
fn servers_are_installed() {
    require_servers();
}
