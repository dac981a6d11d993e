//! Timestamps in another unit.

use super::{Finding, case::Case, cause::Cause, search};
use crate::{
    error::VerifyError,
    scheme::{Place, TimeUnit, TimestampPlace},
};

/// A timestamp further away than this is in another unit.
const TEN_YEARS: u64 = 10 * 365 * 24 * 3600;
/// The maximum length of a header's value that is changed, in bytes.
const MAX_VALUE: usize = 1024;

/// Explains a timestamp outside of the time window, of a request that is valid otherwise or cannot
/// be verified.
pub(super) fn untimely(case: &Case<'_>, error: VerifyError) -> Finding {
    let source = case.scheme().timestamp.as_ref();
    let before = match case.can_verify() {
        true => "the signature is valid, but ",
        false => "",
    };
    let other_clock = |seconds: u64, fix: &'static str| match is_zone(seconds) {
        true => {
            "the difference looks like a time zone: check the sender's timestamps, then this \
                 host's clock"
        }
        false => fix,
    };
    const OLD: &str =
        "check this host's clock, then whether the request is a recording or a late retry";
    match (error, source) {
        (
            VerifyError::TimestampTooOld { seconds } | VerifyError::TimestampInFuture { seconds },
            Some(source),
        ) if seconds > TEN_YEARS => unit_mismatch(None, source.unit),
        (VerifyError::TimestampTooOld { seconds }, _) => Finding::new(
            Cause::TimestampOld,
            other_clock(seconds, OLD),
            format!("{before}the timestamp is {seconds} s old"),
        ),
        (VerifyError::TimestampInFuture { seconds }, _) => Finding::new(
            Cause::TimestampFuture,
            other_clock(seconds, "check this host's clock, then the sender's"),
            format!("{before}the timestamp is {seconds} s in the future"),
        ),
        (VerifyError::TokenExpired, _) => {
            Finding::new(Cause::TimestampOld, OLD, format!("{before}the token has expired"))
        }
        _ => search::no_match(case, error),
    }
}

/// Returns whether a difference is that of two time zones. These differ by half hours, and clocks in
/// one time zone by seconds.
fn is_zone(seconds: u64) -> bool {
    const HALF_HOUR: u64 = 1800;
    let half_hours = (seconds + HALF_HOUR / 2) / HALF_HOUR;
    (1..=28).contains(&half_hours) && seconds.abs_diff(half_hours * HALF_HOUR) <= 60
}

/// Finds another unit of the timestamp under which the request is valid.
pub(super) fn in_other_unit(case: &Case<'_>) -> Option<Finding> {
    let source = case.scheme().timestamp.as_ref()?;
    let units = [
        TimeUnit::Seconds,
        TimeUnit::Milliseconds,
        TimeUnit::Rfc3339,
        TimeUnit::Utc,
        TimeUnit::Rfc1123,
    ];
    for unit in units.into_iter().filter(|unit| *unit != source.unit) {
        let mut scheme = case.scheme().clone();
        if let Some(source) = &mut scheme.timestamp {
            source.unit = unit;
        }
        if case.holds_with(&case.with_scheme(scheme)) {
            return Some(unit_mismatch(Some(unit), source.unit));
        }
    }
    None
}

/// Finds a timestamp that was signed in the right unit, but sent in another one.
pub(super) fn sent_in_other_unit(case: &Case<'_>) -> Option<Finding> {
    let source = case.scheme().timestamp.as_ref()?;
    let is_relevant = |name: &str| match &source.place {
        TimestampPlace::Header(header) => name.eq_ignore_ascii_case(header),
        TimestampPlace::Pair(_) | TimestampPlace::Before => {
            let is_it = |place: &Place| match place {
                Place::Header(header) => name.eq_ignore_ascii_case(header),
                Place::HeaderPrefix(_) | Place::Query(_) | Place::Form(_) | Place::Pointer(_) => {
                    false
                }
            };
            case.scheme().signatures.iter().any(|source| is_it(&source.place))
        }
        TimestampPlace::Pointer(_) | TimestampPlace::Form(_) | TimestampPlace::Claim(_) => false,
    };
    let mut headers = Vec::new();
    case.head.visit(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
    for at in 0..headers.len() {
        let (name, value) = headers[at].clone();
        if !is_relevant(&name) {
            continue;
        }
        for other in other_times(&value) {
            headers[at].1 = other;
            if case.holds_with_headers(&headers) {
                return Some(unit_mismatch(None, source.unit));
            }
        }
        headers[at].1 = value;
    }
    None
}

/// Returns a header's value with its time in other units.
fn other_times(value: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    if value.len() > MAX_VALUE {
        return values;
    }
    for unit in [TimeUnit::Rfc3339, TimeUnit::Utc, TimeUnit::Rfc1123] {
        if let Some(time) = unit.parse(value.trim_ascii()) {
            values.push(time.as_secs().to_string().into_bytes());
            values.push(time.as_millis().to_string().into_bytes());
        }
    }
    let mut at = 0;
    while at < value.len() {
        let len = value[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = &value[at..at + len];
        // A fraction of a second.
        let rest = &value[at + len..];
        let fraction = match rest.strip_prefix(b".") {
            Some(rest) => 1 + rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
            None => 0,
        };
        let mut with = |number: &[u8], rest: &[u8]| {
            values.push([&value[..at], number, rest].concat());
        };
        match len {
            10 => {
                with(&[digits, b"000"].concat(), &rest[fraction..]);
                if fraction > 1 {
                    with(digits, &rest[fraction..]);
                }
            }
            13 | 16 | 19 => {
                with(&digits[..10], rest);
                with(&digits[..13], rest);
            }
            _ => {}
        }
        at += len.max(1);
    }
    values
}

/// Describes a timestamp in another unit.
pub(super) fn unit_mismatch(given: Option<TimeUnit>, expected: TimeUnit) -> Finding {
    let detail = match given {
        Some(given) => {
            format!(
                "the timestamp is in the unit `{given:?}`, but the scheme expects `{expected:?}`"
            )
        }
        None => format!("the timestamp is not in the unit `{expected:?}` of the scheme"),
    };
    Finding::new(
        Cause::TimestampUnit,
        format!("send the timestamp in the unit `{expected:?}`"),
        detail,
    )
}

#[cfg(test)]
mod tests {
    use super::is_zone;

    #[test]
    fn a_time_zone_differs_from_a_wrong_clock() {
        for zone in [1800, 3600, 3605, 7195, 5 * 3600 + 1800, 14 * 3600] {
            assert!(is_zone(zone), "{zone}");
        }
        for clock in [0, 60, 600, 1000, 86_400, 1_795_000_000] {
            assert!(!is_zone(clock), "{clock}");
        }
    }
}
