//! Clocks, and how far a signed timestamp may be off.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
///
/// Any `Fn() -> Duration` is a clock, so a test (or a replay of recorded requests) fixes it in a line:
///
/// ```
/// use std::time::Duration;
/// use webhook_verify::clock::Clock;
///
/// let clock = || Duration::from_secs(1_795_305_600);
/// assert_eq!(clock.now().as_secs(), 1_795_305_600);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Time since the Unix epoch where timestamps are judged; since any fixed moment where leases are.
    fn now(&self) -> Duration;
}

impl<F: Fn() -> Duration + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Duration {
        self()
    }
}

/// The machine's wall clock: the default for timestamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        // A clock set before 1970 reads as 1970: every timestamp is then in the future, and refused.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that never jumps: the default for leases held in memory.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock(Instant);

impl Default for MonotonicClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// How far a timestamp may lie from the clock, on either side, edges included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    past: Duration,
    future: Duration,
}

impl Tolerance {
    /// The same on both sides.
    #[must_use]
    pub const fn symmetric(window: Duration) -> Self {
        Self { past: window, future: window }
    }

    /// `past` for late deliveries, `future` for a sender's clock that runs ahead.
    #[must_use]
    pub const fn new(past: Duration, future: Duration) -> Self {
        Self { past, future }
    }

    /// The oldest timestamp accepted.
    #[must_use]
    pub const fn past(&self) -> Duration {
        self.past
    }

    /// The furthest timestamp from the future accepted.
    #[must_use]
    pub const fn future(&self) -> Duration {
        self.future
    }
}
