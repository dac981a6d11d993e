//! Tests with programs that the other tests do not need: Chromium, PgBouncer and NATS.
//! `cargo test -p integration-tests --features surroundings --test surroundings`.
#![allow(clippy::unwrap_used)]

mod page;
mod poolers;
mod publish;
