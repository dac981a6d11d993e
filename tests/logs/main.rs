//! Tests of the logs and metrics of a receiver. They run in a separate process, because all tests of
//! a process share one log. Each test searches it for the name of its own endpoint.
#![allow(clippy::unwrap_used)]

mod explained;
mod flood;
mod metrics;
mod mistakes;
mod steps;
mod verified;

use std::time::Instant;

use webhook_verify::{Receiver, Verifier};

/// Returns a receiver with a name of its own in the log.
fn receiver(endpoint: &str, verifier: Verifier) -> Receiver {
    Receiver::builder(verifier).endpoint(endpoint).build().unwrap()
}

/// Returns the lines of an endpoint.
fn lines(log: &str, endpoint: &str) -> Vec<String> {
    let field = format!("endpoint=\"{endpoint}\"");
    log.lines().filter(|line| line.contains(&field)).map(ToOwned::to_owned).collect()
}

/// Returns the lines about refusals of an endpoint.
fn refusals(log: &str, endpoint: &str) -> Vec<String> {
    let is_refusal = |line: &String| line.contains("webhook_verify: refused: ");
    lines(log, endpoint).into_iter().filter(is_refusal).collect()
}

/// Returns the largest number of lines of one reason since this time: a burst of five, and one per
/// second.
fn most_lines(begun: Instant) -> u64 {
    5 + begun.elapsed().as_secs() + 1
}

/// Returns the value of a field in a line, or an empty text.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let start = format!(" {name}=");
    let Some((_, rest)) = line.split_once(&start) else { return "" };
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once("\" ").map_or(quoted, |(value, _)| value),
        None => rest.split(' ').next().unwrap_or_default(),
    }
}
