use std::time::Duration;

use crate::{
    VerifyError,
    scheme::{TimeUnit, TimestampSource},
    verifier::Settings,
};

impl Settings {
    /// Reads a timestamp and holds it against the clock.
    pub(super) fn judge_timestamp(
        &self,
        source: &TimestampSource,
        text: &[u8],
    ) -> Result<Duration, VerifyError> {
        let number = parse_unsigned(text).ok_or(VerifyError::MalformedTimestamp)?;
        let timestamp = match source.unit {
            TimeUnit::Seconds => Duration::from_secs(number),
            TimeUnit::Milliseconds => Duration::from_millis(number),
        };
        let Some(tolerance) = self.tolerance.unwrap_or(source.tolerance) else {
            return Ok(timestamp);
        };
        // Judged in the timestamp's own unit, so that the edges of the window are where the sender has them.
        let now = self.clock.now();
        let now = match source.unit {
            TimeUnit::Seconds => Duration::from_secs(now.as_secs()),
            TimeUnit::Milliseconds => {
                now - Duration::from_nanos(u64::from(now.subsec_nanos() % 1_000_000))
            }
        };
        let distance = now.abs_diff(timestamp);
        if timestamp <= now && distance > tolerance.past() {
            return Err(VerifyError::TimestampTooOld {
                seconds: distance.as_secs(),
            });
        }
        if timestamp > now && distance > tolerance.future() {
            return Err(VerifyError::TimestampInFuture {
                seconds: distance.as_secs(),
            });
        }
        Ok(timestamp)
    }
}

/// Digits and nothing else, without leading zeros, within 64 bits.
fn parse_unsigned(text: &[u8]) -> Option<u64> {
    if text.len() > 1 && text[0] == b'0' || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
