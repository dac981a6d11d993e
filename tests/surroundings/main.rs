//! Tests with programs that the other tests do not need: PgBouncer and NATS.
//! `cargo test -p integration-tests --features surroundings --test surroundings`.
#![allow(clippy::unwrap_used)]

mod poolers;
mod publish;
