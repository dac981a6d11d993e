//! Clocks, and how far a signed timestamp may be off.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
///
/// Any `Fn() -> Duration` is a clock, so a test or a replay of recorded requests can fix the time:
///
/// ```
/// use std::time::Duration;
/// use webhook_verify::clock::Clock;
///
/// let clock = || Duration::from_secs(1_795_305_600);
/// assert_eq!(clock.now().as_secs(), 1_795_305_600);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the time since the Unix epoch. For leases, any fixed starting point will do.
    fn now(&self) -> Duration;
}

impl<F: Fn() -> Duration + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Duration {
        self()
    }
}

/// The system's wall clock, the default for timestamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        // A clock set before 1970 reads as 1970. Timestamps are then in the future, and refused.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A monotonic clock, the default for leases in memory.
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

/// The accepted distance between a timestamp and the clock, in each direction, limits included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    past: Duration,
    future: Duration,
}

impl Tolerance {
    /// Accepts timestamps up to `window` old or `window` ahead.
    #[must_use]
    pub const fn symmetric(window: Duration) -> Self {
        Self { past: window, future: window }
    }

    /// Accepts timestamps up to `past` old (late deliveries) or `future` ahead (fast clocks).
    #[must_use]
    pub const fn new(past: Duration, future: Duration) -> Self {
        Self { past, future }
    }

    /// Returns the largest accepted age of a timestamp.
    #[must_use]
    pub const fn past(&self) -> Duration {
        self.past
    }

    /// Returns how far ahead of the clock a timestamp may be.
    #[must_use]
    pub const fn future(&self) -> Duration {
        self.future
    }
}
