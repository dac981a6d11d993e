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
            // A text that already has a zone does not parse with a second one.
            Self::Utc => {
                let mut zoned = [b'Z'; LONGEST_DATE];
                zoned.get_mut(..text.len())?.copy_from_slice(text);
                Self::Rfc3339.parse(zoned.get(..=text.len())?)
            }
            Self::Rfc1123 if is_http_date(text) => {
                date(&|text| OffsetDateTime::parse(text, &Rfc2822).ok())
            }
            Self::Rfc1123 => None,
        }
    }
}

/// An upper bound for the length of a date with nanoseconds.
const LONGEST_DATE: usize = 64;

/// Returns whether a date has the length and the form of HTTP dates (RFC 9110 §5.6.7), with the
/// zone `GMT`, `+0000` or `-0000`. The day may have one digit. No such date is a part of another.
///
/// The parser also accepts comments, dates without a weekday, and zones that are prefixes of
/// others. The text before or after such a date could be part of it.
fn is_http_date(text: &[u8]) -> bool {
    let has_zone = match text.len() {
        28 | 29 => text.ends_with(b" GMT"),
        30 | 31 => text.ends_with(b" +0000") || text.ends_with(b" -0000"),
        _ => false,
    };
    has_zone && text[3] == b','
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

#[cfg(test)]
mod tests {
    use super::{Duration, TimeUnit};

    #[test]
    fn a_date_without_a_zone_is_in_utc() {
        let parse = |text: &str| TimeUnit::Utc.parse(text.as_bytes());
        assert_eq!(parse("2026-11-22T00:00:00"), Some(Duration::from_secs(1_795_305_600)));
        assert_eq!(parse("2026-11-22T00:00:00.12"), Some(Duration::from_millis(1_795_305_600_120)));
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T00:00",
            "2026-11-22T00:00:00.",
            "2026-11-22T00:00:00Z",
            "2026-11-22T00:00:00z",
            "2026-11-22T00:00:00+00:00",
            "2026-11-22T00:00:00-01:00",
            "2026-11-22T00:00:00 ",
            " 2026-11-22T00:00:00",
            "1969-12-31T23:59:59",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&format!("2026-11-22T00:00:00.{}", "1".repeat(100))), None);
    }

    #[test]
    fn a_date_has_the_form_of_http() {
        let parse = |text: &str| TimeUnit::Rfc1123.parse(text.as_bytes());
        let time = Some(Duration::from_secs(1_795_305_600));
        assert_eq!(parse("Sun, 22 Nov 2026 00:00:00 GMT"), time);
        assert_eq!(parse("Sun, 22 Nov 2026 00:00:00 +0000"), time);
        assert_eq!(parse("Sun, 22 Nov 2026 00:00:00 -0000"), time);
        let first = Some(Duration::from_secs(1_793_491_200));
        assert_eq!(parse("Sun, 1 Nov 2026 00:00:00 GMT"), first);
        assert_eq!(parse("Sun, 01 Nov 2026 00:00:00 GMT"), first);
        assert_eq!(parse("Sun, 1 Nov 2026 00:00:00 +0000"), first);
        for text in [
            "",
            "22 Nov 2026 00:00:00 GMT",
            "Sun, 22 Nov 2026 00:00:00 EST",
            "Sun, 22 Nov 2026 00:00:00 UT",
            "Sun, 22 Nov 2026 00:00:00 -0100",
            "Sun, 22 Nov 2026 00:00:00 GMT (x)",
            "(x) Sun, 22 Nov 2026 00:00:00 GMT",
            "22 (a) Nov 2026 00:00:00 GMT ",
            "22 (abc) Nov 2026 00:00 GMT",
            "Sun, 22 Now 2026 00:00:00 GMT",
            "Sun, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
