use std::time::Duration;

use time::{
    OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
};

use super::TimeUnit;

impl TimeUnit {
    /// Parses a time in this unit, and returns it as time since the Unix epoch.
    pub(crate) fn parse(self, text: &[u8]) -> Option<Duration> {
        let date = |format: &dyn Fn(&str) -> Option<OffsetDateTime>| {
            let text = std::str::from_utf8(text).ok()?;
            let nanos = format(text)?.unix_timestamp_nanos();
            // No sender is older than 1970.
            u64::try_from(nanos).ok().map(Duration::from_nanos)
        };
        match self {
            Self::Seconds => parse_unsigned(text).map(Duration::from_secs),
            Self::Milliseconds => parse_unsigned(text).map(Duration::from_millis),
            Self::Rfc3339 => date(&|text| OffsetDateTime::parse(text, &Rfc3339).ok()),
            Self::Rfc1123 => date(&|text| OffsetDateTime::parse(text, &Rfc2822).ok()),
        }
    }

    /// Returns whether a time may touch other text. In dates of RFC 1123, the parser allows comments,
    /// days without a week and zones that begin others, so only the form of HTTP dates is certain.
    pub(crate) fn is_apart(self, text: &[u8]) -> bool {
        self != Self::Rfc1123 || text.get(3) == Some(&b',')
    }
}

/// Parses a 64-bit number: digits only, without leading zeros.
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
