//! Measures the cost of a forged request for every preset: a body of 1 MiB with a wrong signature,
//! against hashing the same body with the scheme's hash function. Fails if a preset costs more than
//! four hashes.
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
/// How often a preset is measured at most: other work on the machine can make it seem slow, but
/// never fast.
const ATTEMPTS: usize = 5;
/// The largest cost of a forged request, in hashes of its body.
const LIMIT: f64 = 4.0;

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("\n### forged requests of {LEN} bytes\n");
    println!("| preset | hash µs | usual body | x hash | worst body | x hash | refused as |");
    println!("|---|---:|---:|---:|---|---:|---|");
    let chosen = |scheme: &&Scheme| only.as_ref().is_none_or(|only| only == scheme.name());
    let rows = Scheme::presets().filter(chosen).map(|scheme| (scheme.name(), row(scheme)));
    let rows: Vec<_> = rows.collect();
    let (preset, most) =
        rows.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    println!("\n{} presets cost at most {most:.2} ({preset}), the limit is {LIMIT}", rows.len());
    if most > LIMIT {
        std::process::exit(1);
    }
}

/// Prints a preset's row, and returns the cost of its worst body.
fn row(scheme: &Scheme) -> f64 {
    let forged = Forged::new(scheme);
    let bodies = forged.bodies(LEN);
    let mut cases: Vec<_> = bodies.iter().map(|_| Case::default()).collect();
    let mut worst = 0;
    for _ in 0..ATTEMPTS {
        for _ in 0..ROUNDS {
            for ((_, body), case) in bodies.iter().zip(&mut cases) {
                let hash = time(|| digest(scheme.algorithm(), &bodies[0].1));
                case.add(hash, time(|| forged.judge(black_box(body.clone()))));
            }
        }
        worst = (0..cases.len())
            .max_by(|&a, &b| cases[a].ratio().total_cmp(&cases[b].ratio()))
            .unwrap_or_default();
        if cases[worst].ratio() <= LIMIT {
            break;
        }
    }
    println!(
        "| {} | {} | {} | {:.2} | {} | {:.2} | {} |",
        scheme.name(),
        cases[0].least().0.as_micros(),
        cases[0].least().1.as_micros(),
        cases[0].ratio(),
        bodies[worst].0,
        cases[worst].ratio(),
        forged.judge(bodies[0].1.clone()).reason(),
    );
    cases[worst].ratio()
}

/// The times of the hash and of the refusal, in pairs.
#[derive(Default)]
struct Case(Vec<(Duration, Duration)>);

impl Case {
    fn add(&mut self, hash: Duration, refusal: Duration) {
        self.0.push((hash, refusal));
    }

    fn least(&self) -> (Duration, Duration) {
        let least = |times: &mut dyn Iterator<Item = Duration>| times.min().unwrap_or_default();
        let hashes = &mut self.0.iter().map(|(hash, _)| *hash);
        (least(hashes), least(&mut self.0.iter().map(|(_, refusal)| *refusal)))
    }

    /// Returns the ratio of the minima, or the median of the pairs if that is smaller: a few quiet
    /// moments spoil the minima, and many short disturbances the median.
    fn ratio(&self) -> f64 {
        let ratio = |(hash, refusal): (Duration, Duration)| refusal.div_duration_f64(hash);
        let mut ratios: Vec<_> = self.0.iter().copied().map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratio(self.least()).min(ratios[ratios.len() / 2])
    }
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
