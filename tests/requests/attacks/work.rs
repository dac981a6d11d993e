//! How much work something is, on a machine of any speed and with other work on it.

use std::{
    fs,
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

/// How often work is measured before it counts as too much.
const ROUNDS: usize = 20;

/// How many times what [`look_over`] costs it may cost to judge a body. Work that grows with the
/// square of a body's length is far beyond that where the body has tens of thousands of members.
pub(crate) const HARD: u32 = 30;

/// Hashes a body and looks at each byte of it: work in proportion to its length.
pub(crate) fn look_over(body: &[u8]) {
    black_box(Sha256::digest(body));
    black_box(body.iter().filter(|byte| **byte == b',').count());
}

/// Measures `work` next to `reference`, in turns: it costs at most `most` times as much.
///
/// Compares the lowest cost of each over all rounds, so that other work on the machine affects
/// neither. Stops at the first round that is within the bound.
pub(crate) fn costs_at_most(
    most: u32,
    what: &str,
    mut reference: impl FnMut(),
    mut work: impl FnMut(),
) {
    let (mut least, mut least_work) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        least = least.min(cost(&mut reference));
        least_work = least_work.min(cost(&mut work));
        if least_work <= least * most {
            return;
        }
        // Too much by far does not take all rounds to see.
        if round > 0 && least_work > least * most * 4 {
            break;
        }
    }
    panic!("{what}: {least_work:?} is more than {most} times the reference's {least:?}");
}

fn cost(work: &mut impl FnMut()) -> Duration {
    let (on_processor, begun) = (on_processor(), Instant::now());
    work();
    match on_processor {
        Some(before) => self::on_processor().expect("as before") - before,
        None => begun.elapsed(),
    }
}

/// How long this thread has been on a processor, where the system tells.
fn on_processor() -> Option<Duration> {
    // The system adds up when a thread gives way.
    thread::yield_now();
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos)).filter(|time| !time.is_zero())
}
