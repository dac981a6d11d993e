//! What the tests share: recorded requests, a server of either framework, and a client that sends raw bytes.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/custom-senders.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/events.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/fluentcrm.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/host-uk.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/mautic.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/pipeforce.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/secrets.md"))]
#![cfg_attr(doctest, doc = include_str!("../webhook-verify/docs/stores.md"))]
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::exhaustive_enums,
    reason = "a helper that fails is a test that fails"
)]

#[path = "support/answers.rs"]
mod answers;
#[path = "support/claims.rs"]
mod claims;
#[path = "support/client.rs"]
mod client;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/gate.rs"]
mod gate;
#[path = "support/logs.rs"]
mod logs;
#[path = "support/pauses.rs"]
mod pauses;
#[path = "support/places.rs"]
mod places;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/process.rs"]
mod process;
#[path = "support/programs.rs"]
mod programs;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis.rs"]
mod redis;
#[path = "support/secrets.rs"]
mod secrets;
#[path = "support/server.rs"]
mod server;
#[path = "support/vector.rs"]
mod vector;
#[path = "support/watched.rs"]
mod watched;

pub use self::{
    answers::{assert_in_flight, assert_replay, is_replay},
    claims::{Calls, again, finish, fresh, is_shut_out, its_status, race, won},
    client::{Connection, Response, exchange, raw_request, try_exchange},
    folder::{Folder, in_folder},
    gate::{Gate, HandClock, PATIENCE, size, soon},
    logs::Logs,
    pauses::Pauses,
    places::{
        AnyStore, Kind, Place, REMOTE, SHARED, STORES, address, age, each_place, each_store,
        require_servers, unique,
    },
    postgres::PostgresServer,
    proxy::{Proxy, Weather},
    redis::RedisServer,
    secrets::{PUBLIC_URL, secret_of, verifier_of},
    server::{App, Framework, Handler, Server, Transport, answer, each_framework},
    vector::Vector,
    watched::{OUTAGE, Watched},
};

/// This is the first test of this package that runs: it says in one line what is missing.
#[test]
fn servers_are_installed() {
    require_servers();
}
