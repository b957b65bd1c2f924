//! Instants as files write them.
//!
//! Invariant: an instant is within the years 1 to 9999. Text is RFC 3339, without an offset UTC, or has the form of
//! `Tue Apr 03 18:00:09 +0000 2012`; a number counts units since 1970.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::domain::time::{MINUTE_MS, Millis, SECOND_MS};

/// What a time that is written as an integer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeUnit {
    ms: i64,
}

impl TimeUnit {
    /// Milliseconds.
    pub const MILLIS: TimeUnit = TimeUnit { ms: 1 };
    /// Seconds.
    pub const SECONDS: TimeUnit = TimeUnit { ms: SECOND_MS };
    /// Steps of ten minutes.
    pub const TEN_MINUTES: TimeUnit = TimeUnit { ms: 10 * MINUTE_MS };

    /// How long one unit is.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.ms.max(1)
    }

    /// An instant in a file: an integer in this unit, or a date and time.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(self, text: &str) -> Result<Millis, String> {
        if let Ok(number) = text.parse::<i64>() {
            let found = number.checked_mul(self.ms()).map(Millis);
            return found
                .filter(|found| (Millis::MIN..=Millis::MAX).contains(found))
                .ok_or_else(|| format!("an instant between the years 1 and 9999 in units of {} ms", self.ms()));
        }
        parse_rfc3339(text)
            .or_else(|| parse_words(text))
            .ok_or_else(|| "an integer (see --time-unit) or a time such as 2026-03-01T12:00:00Z".to_owned())
    }
}

impl FromStr for TimeUnit {
    type Err = TimeUnitError;

    fn from_str(text: &str) -> Result<TimeUnit, TimeUnitError> {
        match text {
            "ms" => Ok(TimeUnit::MILLIS),
            "s" => Ok(TimeUnit::SECONDS),
            _ => {
                let seconds = text.strip_prefix("step:").and_then(|seconds| seconds.parse::<u32>().ok());
                let seconds = seconds.filter(|seconds| *seconds > 0).ok_or_else(|| TimeUnitError(text.into()))?;
                Ok(TimeUnit { ms: i64::from(seconds) * SECOND_MS })
            }
        }
    }
}

/// Not a unit of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a unit of time: write ms, s, or step:SECONDS such as step:600")]
pub struct TimeUnitError(String);

/// `2026-03-01T12:00:00.25+01:00`, or the same without offset (UTC) and with a blank in place of `T`.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        // A date alone would parse as its midnight, which a log does not mean.
        Err(_) if text.len() > 10 => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
        Err(_) => return None,
    };
    let found = Millis(timestamp.as_millisecond());
    (Millis::MIN..=Millis::MAX).contains(&found).then_some(found)
}

/// `Tue Apr 03 18:00:09 +0000 2012`, as logs of check-ins and short messages have it. The weekday must be the right one.
fn parse_words(text: &str) -> Option<Millis> {
    // Whatever does not begin with a letter is not asked twice.
    if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let timestamp = jiff::Timestamp::strptime("%a %b %d %H:%M:%S %z %Y", text).ok()?;
    let found = Millis(timestamp.as_millisecond());
    (Millis::MIN..=Millis::MAX).contains(&found).then_some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants_are_numbers_in_a_unit_or_rfc_3339() {
        for (unit, text, expected) in [
            ("ms", "1500", Some(1_500)),
            ("s", "-2", Some(-2_000)),
            ("step:600", "93", Some(55_800_000)),
            ("s", "1970-01-01T00:00:01Z", Some(1_000)),
            ("s", "1970-01-01T01:00:00.5+01:00", Some(500)),
            ("s", "1970-01-01 00:00:02", Some(2_000)),
            ("s", "1970-01-01T00:00:02.25", Some(2_250)),
            ("s", "Thu Jan 01 00:00:03 +0000 1970", Some(3_000)),
            ("s", "Thu Jan  1 02:00:03 +0200 1970", Some(3_000)),
            ("s", "Fri Jan 01 00:00:03 +0000 1970", None),
            ("s", "1970-01-01", None),
            ("s", "0000-01-01T00:00:00Z", None),
            ("s", "2026-02-30T00:00:00Z", None),
            ("s", "9223372036854775807", None),
            ("s", "1.5", None),
            ("s", "", None),
            ("s", "yesterday", None),
        ] {
            let unit: TimeUnit = unit.parse().unwrap();
            assert_eq!(unit.parse(text).ok(), expected.map(Millis), "{text}");
        }
        for wrong in ["", "m", "step:", "step:0", "step:-1", "step:x", "600"] {
            assert!(wrong.parse::<TimeUnit>().is_err(), "{wrong}");
        }
    }

    proptest! {
        /// What is printed as RFC 3339 reads back as the same instant.
        #[test]
        fn rfc_3339_goes_both_ways(ms in Millis::MIN.0..=Millis::MAX.0) {
            let text = jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
            prop_assert_eq!(parse_rfc3339(&text), Some(Millis(ms)));
        }
    }
}
