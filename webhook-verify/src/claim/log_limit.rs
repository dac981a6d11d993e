use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::clock::{Clock as _, MonotonicClock};

/// The maximum number of lines that are logged at once for one reason. Above 1, so that one forged
/// request does not hide a genuine one.
const BURST: u32 = 5;
/// The time after which another line may be logged.
const PERIOD: Duration = Duration::from_secs(1);

/// Limits the log lines for each reason to a burst, and to one per second after that. The reasons
/// are fixed texts, so memory is bounded.
///
/// Does not use the verifier's clock, because users may set it.
#[derive(Debug)]
pub(crate) struct LogLimit {
    /// The largest number of lines at once.
    burst: u32,
    clock: MonotonicClock,
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    reason: &'static str,
    /// When a full burst may be logged again. Each line delays it by a period.
    full_at: Duration,
    suppressed: u64,
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::with_burst(BURST)
    }
}

impl LogLimit {
    pub(crate) fn with_burst(burst: u32) -> Self {
        Self { burst, clock: MonotonicClock::default(), entries: Mutex::default() }
    }

    /// Returns the number of lines suppressed since the last one, if a line may be logged now.
    pub(crate) fn admit(&self, reason: &'static str) -> Option<u64> {
        self.admit_at(reason, self.clock.now())
    }

    fn admit_at(&self, reason: &'static str, now: Duration) -> Option<u64> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let index = entries.iter().position(|entry| entry.reason == reason).unwrap_or_else(|| {
            entries.push(Entry { reason, full_at: now, suppressed: 0 });
            entries.len() - 1
        });
        let entry = &mut entries[index];
        let full_at = entry.full_at.max(now) + PERIOD;
        if full_at > now + PERIOD * self.burst {
            entry.suppressed += 1;
            return None;
        }
        entry.full_at = full_at;
        Some(std::mem::take(&mut entry.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BURST, LogLimit};

    #[test]
    fn a_burst_and_then_a_line_a_second_is_logged_for_each_reason_and_the_others_are_counted() {
        let limit = LogLimit::default();
        let admit = |reason, millis| limit.admit_at(reason, Duration::from_millis(millis));
        for _ in 0..BURST {
            assert_eq!(admit("a", 0), Some(0));
        }
        assert_eq!(admit("b", 10), Some(0), "another reason");
        for millis in 1..1000 {
            assert_eq!(admit("a", millis), None);
        }
        assert_eq!(admit("a", 1000), Some(999));
        assert_eq!(admit("a", 1000), None);
        assert_eq!(admit("a", 2000), Some(1));
        assert_eq!(limit.entries.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_pause_restores_the_burst_and_no_more() {
        let limit = LogLimit::default();
        for hour in 0..3 {
            let now = Duration::from_secs(hour * 3600);
            let admitted = (0..100).filter(|_| limit.admit_at("a", now).is_some());
            assert_eq!(admitted.count(), BURST as usize, "{hour}");
        }
    }
}
