use std::time::Duration;

use time::{
    OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
};

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
        let timestamp = parse(source.unit, text).ok_or(VerifyError::MalformedTimestamp)?;
        let Some(tolerance) = self.tolerance.unwrap_or(source.tolerance) else {
            return Ok(timestamp);
        };
        // Judged in the timestamp's own unit, so that the edges of the window are where the sender has them.
        let now = self.clock.now();
        let now = match source.unit {
            TimeUnit::Seconds | TimeUnit::Rfc1123 => Duration::from_secs(now.as_secs()),
            TimeUnit::Milliseconds => {
                now - Duration::from_nanos(u64::from(now.subsec_nanos() % 1_000_000))
            }
            TimeUnit::Rfc3339 => now,
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

/// Reads a time in a unit.
pub(crate) fn parse(unit: TimeUnit, text: &[u8]) -> Option<Duration> {
    let date = |format: &dyn Fn(&str) -> Option<OffsetDateTime>| {
        let text = std::str::from_utf8(text).ok()?;
        let nanos = format(text)?.unix_timestamp_nanos();
        // Before 1970 is before every sender.
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    };
    match unit {
        TimeUnit::Seconds => parse_unsigned(text).map(Duration::from_secs),
        TimeUnit::Milliseconds => parse_unsigned(text).map(Duration::from_millis),
        TimeUnit::Rfc3339 => date(&|text| OffsetDateTime::parse(text, &Rfc3339).ok()),
        TimeUnit::Rfc1123 => date(&|text| OffsetDateTime::parse(text, &Rfc2822).ok()),
    }
}

/// Digits and nothing else, without leading zeros, within 64 bits.
fn parse_unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 1 && text[0] == b'0' {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        match digit {
            0..=9 => number.checked_mul(10)?.checked_add(digit.into()),
            _ => None,
        }
    })
}
