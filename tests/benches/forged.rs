//! Measures the cost of a forged request for every preset: a body of 1 MiB with a wrong signature,
//! against hashing the same body with the scheme's hash function.
//!
//! The usual body is like the sender's. The others are made to cost as much as possible.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use integration_tests::Forged;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use webhook_verify::{
    Scheme,
    scheme::Algorithm::{self, Ed25519, HmacSha1, HmacSha512, RsaSha1},
};

const LEN: usize = 1 << 20;
const ROUNDS: usize = 15;

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("\n### forged requests of {LEN} bytes\n");
    println!("| preset | hash µs | usual body | x hash | worst body | x hash | refused as |");
    println!("|---|---:|---:|---:|---|---:|---|");
    let chosen = |scheme: &&Scheme| only.as_ref().is_none_or(|only| only == scheme.name());
    for scheme in Scheme::presets().filter(chosen) {
        row(scheme);
    }
}

fn row(scheme: &Scheme) {
    let forged = Forged::new(scheme);
    let bodies = forged.bodies(LEN);
    let mut hash = Duration::MAX;
    let mut times = vec![Duration::MAX; bodies.len()];
    for _ in 0..ROUNDS {
        hash = hash.min(time(|| digest(scheme.algorithm(), &bodies[0].1)));
        for ((_, body), least) in bodies.iter().zip(&mut times) {
            *least = time(|| forged.judge(black_box(body.clone()))).min(*least);
        }
    }
    let ratio = |time: Duration| time.as_secs_f64() / hash.as_secs_f64();
    let worst = (0..bodies.len()).max_by_key(|&index| times[index]).unwrap_or_default();
    println!(
        "| {} | {} | {} | {:.2} | {} | {:.2} | {} |",
        scheme.name(),
        hash.as_micros(),
        times[0].as_micros(),
        ratio(times[0]),
        bodies[worst].0,
        ratio(times[worst]),
        forged.judge(bodies[0].1.clone()).reason(),
    );
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn digest(algorithm: Algorithm, body: &Bytes) -> u8 {
    match algorithm {
        HmacSha1 | RsaSha1 => Sha1::digest(body)[0],
        HmacSha512 | Ed25519 => Sha512::digest(body)[0],
        _ => Sha256::digest(body)[0],
    }
}
