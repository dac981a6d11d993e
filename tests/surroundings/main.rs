//! Tests stores behind connection poolers. These tests need PgBouncer:
//! `cargo test -p integration-tests --features surroundings --test surroundings`.
#![allow(clippy::unwrap_used)]

mod poolers;
