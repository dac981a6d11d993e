use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The time in which at most one line is logged for each reason.
const WINDOW: Duration = Duration::from_secs(1);

/// Limits log lines to one per second and reason. The reasons are fixed texts, so memory is
/// bounded.
#[derive(Default)]
pub(super) struct LogLimit(Mutex<Vec<Entry>>);

struct Entry {
    reason: &'static str,
    logged_at: Duration,
    suppressed: u64,
}

impl LogLimit {
    /// Returns the number of lines suppressed since the last one, if a line may be logged now.
    pub(super) fn admit(&self, reason: &'static str, now: Duration) -> Option<u64> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.iter_mut().find(|entry| entry.reason == reason) else {
            entries.push(Entry { reason, logged_at: now, suppressed: 0 });
            return Some(0);
        };
        // A clock that is set back must not silence the log.
        if now.abs_diff(entry.logged_at) < WINDOW {
            entry.suppressed += 1;
            return None;
        }
        entry.logged_at = now;
        Some(std::mem::take(&mut entry.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::LogLimit;

    #[test]
    fn one_line_a_second_is_logged_for_each_reason_and_the_others_are_counted() {
        let limit = LogLimit::default();
        let at = |millis: u64| Duration::from_millis(1_000_000 + millis);
        let admit = |reason, millis| limit.admit(reason, at(millis));
        assert_eq!(admit("a", 0), Some(0));
        assert_eq!(admit("b", 10), Some(0));
        for millis in 1..1000 {
            assert_eq!(admit("a", millis), None);
        }
        assert_eq!(admit("a", 1000), Some(999));
        assert_eq!(admit("a", 2000), Some(0));
        assert_eq!(admit("b", 2000), Some(0));
        assert_eq!(limit.0.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_the_log() {
        let limit = LogLimit::default();
        assert_eq!(limit.admit("a", Duration::from_secs(1_000_000)), Some(0));
        assert_eq!(limit.admit("a", Duration::from_secs(10)), Some(0));
    }
}
