//! The example receivers as programs that race, are killed, frozen, and cut off from their store.

mod history;
mod kills;
pub(crate) mod outbox;
mod races;
mod runs;
mod stores;
mod transactions;

use std::time::{Duration, UNIX_EPOCH};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A random number less than `below`.
fn random(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
}

fn random_ms(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(range.start + random(range.end - range.start))
}

/// Microseconds since 1970, as the receivers' lines have them.
fn now() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

/// A number that is set to try harder by hand.
fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}
