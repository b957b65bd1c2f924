//! Formats of instants: text, and numbers in a unit.
//!
//! Invariant: every millisecond from year 1 to year 9999 is read and written, and a written text reads back as its instant.
//! Fractions of a millisecond are rounded towards the past. Absent on purpose: a clock, local time zones, and dates without
//! a time of day.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;

use super::time::{MINUTE_MS, Millis, SECOND_MS};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const NS_PER_MS: i64 = 1_000_000;

/// Reads `2026-03-01T12:00:00.25+01:00`. A blank may replace `T`. Without an offset, and before `UTC` or `GMT`, the time is
/// UTC. Also reads `Tue Apr 03 18:00:09 +0000 2012`, whose weekday must match the date.
#[must_use]
pub fn parse(text: &str) -> Option<Millis> {
    if text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        let instant = jiff::Timestamp::strptime("%a %b %d %H:%M:%S %z %Y", text).ok()?;
        return in_range(Millis(instant.as_millisecond()));
    }
    let zone = ["UTC", "GMT", "Z"].into_iter().find_map(|zone| text.strip_suffix(zone));
    let plain = zone.map_or(text, str::trim_ascii_end);
    // `12:00:00 +0000`: the offset after the blank belongs to the time of day.
    let joined = match plain.rsplit_once(' ') {
        Some((time, offset)) if zone.is_none() && offset.starts_with(['+', '-']) => Some(format!("{time}{offset}")),
        _ => None,
    };
    let pieces = Pieces::parse(joined.as_deref().unwrap_or(plain)).ok()?;
    let offset = pieces.offset().map(|offset| offset.to_numeric_offset());
    if pieces.time_zone_annotation().is_some() || (zone.is_some() && offset.is_some()) {
        return None;
    }
    // A date alone would parse as its midnight, but a log with dates means whole days.
    let civil = pieces.date().to_datetime(pieces.time()?);
    let since =
        civil.duration_since(EPOCH) - SignedDuration::from_secs(offset.map_or(0, |offset| offset.seconds()).into());
    in_range(Millis(i64::try_from(since.as_nanos().div_euclid(i128::from(NS_PER_MS))).ok()?))
}

/// The instant in UTC as a date and a time of day; `None` outside of the years 1 to 9999.
#[must_use]
pub fn civil(at: Millis) -> Option<DateTime> {
    in_range(at).and_then(|at| EPOCH.checked_add(SignedDuration::from_millis(at.0)).ok())
}

/// Writes RFC 3339 with all digits of the second. An instant outside of the years 1 to 9999 is written in milliseconds.
#[must_use]
pub fn text(at: Millis) -> String {
    civil(at).map_or_else(|| at.0.to_string(), |civil| format!("{civil}Z"))
}

fn in_range(at: Millis) -> Option<Millis> {
    (Millis::MIN..=Millis::MAX).contains(&at).then_some(at)
}

/// An exact decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    digits: i128,
    /// Number of digits after the point.
    scale: u32,
}

impl Number {
    /// Largest number of digits before the point: a longer number is no instant in any unit.
    const WHOLE_MAX: usize = 20;
    /// Largest number of digits kept after the point; further digits are cut.
    const FRACTION_MAX: usize = 15;

    /// Reads `-12`, `+12` or `12.5`; nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Number> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.get(..Self::FRACTION_MAX).unwrap_or(fraction).trim_end_matches('0');
        if whole.len() > Self::WHOLE_MAX {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).fold(0, |sum, byte| sum * 10 + i128::from(byte - b'0'));
        let digits = if text.starts_with('-') { -digits } else { digits };
        Some(Number { digits, scale: fraction.len() as u32 })
    }

    /// Reads `1.7e+09` as well, the form in which programs write floating-point numbers.
    #[must_use]
    pub fn parse_real(text: &str) -> Option<Number> {
        if !text.contains(['e', 'E']) {
            return Number::parse(text);
        }
        let real: f64 = text.parse().ok().filter(|real: &f64| real.abs() < 1e20)?;
        Number::parse(&real.to_string())
    }

    /// Whether the number is 0, which is the start of 1970 in every unit.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// Number of digits before the point; 0 for numbers below 1.
    #[must_use]
    pub fn whole_digits(self) -> u32 {
        let whole = self.digits.unsigned_abs() / 10_u128.pow(self.scale);
        whole.checked_ilog10().map_or(0, |log| log + 1)
    }
}

/// Unit of a numeric time, which counts from the start of 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeUnit {
    ns: i64,
}

impl TimeUnit {
    /// Counts nanoseconds, as Parquet does.
    pub const NANOS: TimeUnit = TimeUnit { ns: 1 };
    /// Counts microseconds, as Postgres does.
    pub const MICROS: TimeUnit = TimeUnit { ns: 1_000 };
    /// Counts milliseconds, as the wire does.
    pub const MILLIS: TimeUnit = TimeUnit { ns: NS_PER_MS };
    /// Counts seconds, as Unix time does.
    pub const SECONDS: TimeUnit = TimeUnit { ns: SECOND_MS * NS_PER_MS };
    /// Steps of ten minutes.
    pub const TEN_MINUTES: TimeUnit = TimeUnit { ns: 10 * MINUTE_MS * NS_PER_MS };

    /// The unit in which a number of this size is an instant of the years below; `None` if the size is ambiguous.
    ///
    /// | digits before the point | unit | years |
    /// |---|---|---|
    /// | 9 or 10 | seconds | 1973 to 2286 |
    /// | 12 or 13 | milliseconds | 1973 to 2286 |
    /// | 16 | microseconds | 2001 to 2286 |
    /// | 19, below 9e18 | nanoseconds | 2001 to 2255 |
    #[must_use]
    pub fn by_size(number: Number) -> Option<TimeUnit> {
        const FOREVER: u128 = 9_000_000_000_000_000_000;
        match number.whole_digits() {
            9 | 10 => Some(TimeUnit::SECONDS),
            12 | 13 => Some(TimeUnit::MILLIS),
            16 => Some(TimeUnit::MICROS),
            // Programs write the largest 64-bit number for a missing instant.
            19 if number.digits.unsigned_abs() / 10_u128.pow(number.scale) < FOREVER => Some(TimeUnit::NANOS),
            _ => None,
        }
    }

    /// Length of one unit in milliseconds, at least 1.
    #[must_use]
    pub fn ms(self) -> i64 {
        (self.ns / NS_PER_MS).max(1)
    }

    /// The instant this many units after the start of 1970; `None` outside of the years 1 to 9999.
    #[must_use]
    pub fn at(self, number: Number) -> Option<Millis> {
        let ns = number.digits.checked_mul(self.ns.into())?;
        let per_ms = 10_i128.checked_pow(number.scale)?.checked_mul(NS_PER_MS.into())?;
        in_range(Millis(i64::try_from(ns.div_euclid(per_ms)).ok()?))
    }

    /// Whether this number is plausible in the unit that an earlier number of its log had.
    #[must_use]
    pub fn suits(self, number: Number) -> bool {
        let least = match self {
            TimeUnit::SECONDS => 9,
            TimeUnit::MILLIS => 12,
            TimeUnit::MICROS => 15,
            TimeUnit::NANOS => 18,
            _ => 0,
        };
        number.is_zero() || (number.whole_digits() >= least && self.at(number).is_some())
    }

    /// Reads an instant: a number in this unit, or a date and time.
    ///
    /// # Errors
    /// [`InstantError`] completes the sentence "`TEXT` is not …".
    pub fn parse(self, text: &str) -> Result<Millis, InstantError> {
        match Number::parse_real(text) {
            Some(number) => self.at(number).ok_or(InstantError::OutOfRange(self)),
            None => parse(text).ok_or(InstantError::Form),
        }
    }
}

/// Form that an instant in a file must have; completes the sentence "`TEXT` is not …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// The text is neither a number nor a date with a time of day.
    #[error("a number (see --time-unit) or a time such as 2026-03-01T12:00:00Z")]
    Form,
    /// The number is outside of the years 1 to 9999 in this unit.
    #[error("an instant between the years 1 and 9999 in {0}")]
    OutOfRange(TimeUnit),
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TimeUnit::NANOS => f.write_str("nanoseconds"),
            TimeUnit::MICROS => f.write_str("microseconds"),
            TimeUnit::MILLIS => f.write_str("milliseconds"),
            TimeUnit::SECONDS => f.write_str("seconds"),
            TimeUnit { ns } => write!(f, "steps of {} s", ns / (SECOND_MS * NS_PER_MS)),
        }
    }
}

impl FromStr for TimeUnit {
    type Err = TimeUnitError;

    fn from_str(text: &str) -> Result<TimeUnit, TimeUnitError> {
        /// Longest step: one year.
        const STEP_MAX_S: i64 = 366 * 24 * 3_600;
        match text {
            "ns" => Ok(TimeUnit::NANOS),
            "us" => Ok(TimeUnit::MICROS),
            "ms" => Ok(TimeUnit::MILLIS),
            "s" => Ok(TimeUnit::SECONDS),
            _ => {
                let seconds = text.strip_prefix("step:").and_then(|seconds| seconds.parse::<i64>().ok());
                let seconds = seconds.filter(|seconds| (1..=STEP_MAX_S).contains(seconds));
                let seconds = seconds.ok_or_else(|| TimeUnitError(text.into()))?;
                Ok(TimeUnit { ns: seconds * SECOND_MS * NS_PER_MS })
            }
        }
    }
}

/// The text is no unit of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a unit of time: write s, ms, us, ns, or step:SECONDS such as step:600 (at most a year)")]
pub struct TimeUnitError(String);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_is_read_in_every_form_that_programs_write() {
        const AT: i64 = 1_700_000_000_000;
        for (text, expected) in [
            ("2023-11-14T22:13:20Z", Some(AT)),
            ("2023-11-14 22:13:20 UTC", Some(AT)),
            ("2023-11-14 22:13:20.25 UTC", Some(AT + 250)),
            ("2023-11-14 22:13:20 GMT", Some(AT)),
            ("2023-11-14 22:13:20 Z", Some(AT)),
            ("2023-11-14 22:13:20+00", Some(AT)),
            ("2023-11-14 23:13:20 +0100", Some(AT)),
            ("2023-11-14T17:13:20.999999-05:00", Some(AT + 999)),
            ("Tue Nov 14 22:13:20 +0000 2023", Some(AT)),
            ("1969-12-31T23:59:59.9995Z", Some(-1)),
            ("0001-01-01 00:00:00", Some(Millis::MIN.0)),
            ("9999-12-31T23:59:59.999Z", Some(Millis::MAX.0)),
            ("9999-12-31 23:59:59 UTC", Some(Millis::MAX.0 - 999)),
            ("9999-12-31T23:00:00-05:00", None),
            ("2023-11-14T22:13:20+01:00 UTC", None),
            ("2023-11-14", None),
            ("2023-02-29T00:00:00Z", None),
            ("UTC", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|at| at.0), expected, "{text}");
        }
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        for (text, expected) in [
            ("1700000000", Some("seconds")),
            ("1700000000.75", Some("seconds")),
            ("-1700000000", Some("seconds")),
            ("100000000", Some("seconds")),
            ("99999999", None),
            ("20231114221320", None),
            ("1700000000000", Some("milliseconds")),
            ("253402300799999", None),
            ("1700000000000000", Some("microseconds")),
            ("1700000000000000000", Some("nanoseconds")),
            ("9223372036854775807", None),
            ("0", None),
        ] {
            let unit = TimeUnit::by_size(Number::parse(text).unwrap());
            assert_eq!(unit.map(|unit| unit.to_string()).as_deref(), expected, "{text}");
            if let Some(unit) = unit.filter(|_| text.starts_with("17")) {
                assert_eq!(unit.parse(text).unwrap().0 / 1_000, 1_700_000_000, "{text}");
            }
        }
    }

    proptest! {
        /// Every instant that is written reads back as itself.
        #[test]
        fn text_goes_both_ways(ms in Millis::MIN.0..=Millis::MAX.0) {
            prop_assert_eq!(parse(&text(Millis(ms))), Some(Millis(ms)));
        }

        /// Every text gives an instant between year 1 and year 9999, or none; no text panics.
        #[test]
        fn any_text_is_an_instant_or_none(text in "\\PC{0,30}|[-+0-9.eE]{0,40}|[0-9TZ:. +-]{0,32}(UTC)?") {
            for unit in [TimeUnit::NANOS, TimeUnit::SECONDS, "step:31622400".parse().unwrap()] {
                if let Ok(at) = unit.parse(&text) {
                    prop_assert!((Millis::MIN..=Millis::MAX).contains(&at));
                }
            }
        }
    }
}
