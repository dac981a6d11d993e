//! Values of options: numbers and times.

use std::{ops::RangeInclusive, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The last second of the year 9999, after which RFC 3339 has no times.
const LAST_SECOND: u64 = 253_402_300_799;

/// Returns a parser of whole numbers in `range`. An error names the range.
pub(crate) fn number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("not a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Parses a time, and returns it as time since the Unix epoch.
pub(crate) fn moment(text: &str) -> Result<Duration, &'static str> {
    let of_date = || {
        let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let seconds = u64::try_from(date.unix_timestamp()).ok()?;
        Some(Duration::new(seconds, date.nanosecond()))
    };
    let time = text.parse().ok().map(Duration::from_secs).or_else(of_date);
    time.filter(|time| time.as_secs() <= LAST_SECOND).ok_or(
        "not a time from 1970 to 9999 in Unix seconds, such as 1795954899, or in RFC 3339, such as \
         2026-11-29T12:21:39Z",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{moment, number};

    #[test]
    fn an_error_has_the_range_of_the_number() {
        let parse = number::<u16>(1..=1000);
        assert_eq!(parse("1").unwrap(), 1);
        assert_eq!(parse("1000").unwrap(), 1000);
        for text in ["0", "1001", "-1", "1.5", "", " 1", "ten", "99999999999999999999"] {
            assert_eq!(parse(text).unwrap_err(), "not a whole number from 1 to 1000", "{text}");
        }
    }

    #[test]
    fn a_time_is_in_unix_seconds_or_rfc_3339() {
        for (text, millis) in [
            ("0", 0),
            ("1795954899", 1_795_954_899_000),
            ("2026-11-29T12:21:39Z", 1_795_954_899_000),
            ("2026-11-29T12:21:39.25Z", 1_795_954_899_250),
            ("2026-11-29t13:21:39+01:00", 1_795_954_899_000),
            ("1970-01-01T00:00:00Z", 0),
            ("253402300799", 253_402_300_799_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ] {
            assert_eq!(moment(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in [
            "",
            "-1",
            "now",
            "1795954899.5",
            "1795954899000",
            "2026-11-29",
            "2026-11-29T12:21:39",
            "1969-12-31T23:59:59Z",
            "253402300800",
        ] {
            let error = moment(text).unwrap_err();
            assert!(
                error.contains("Unix seconds") && error.contains("RFC 3339"),
                "{text}: {error}"
            );
        }
    }
}
