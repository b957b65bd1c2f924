//! Instants in files.
//!
//! Invariant: an instant is within the years 1 to 9999. All numbers of one call have one unit: the given one, or the one that
//! follows from the size of the first number, which is logged once. A number that does not suit that unit is refused.

use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use crate::domain::time::Millis;
use crate::domain::timestamps::{self, InstantError, Number};

pub use crate::domain::timestamps::{TimeUnit, TimeUnitError};

/// Reads the times of one call, which covers one file or several files of one log.
#[derive(Clone, Debug)]
pub struct Times {
    unit: Unit,
    /// Step to which the times of a log are rounded down.
    step: TimeUnit,
}

#[derive(Clone, Debug)]
enum Unit {
    Given(TimeUnit),
    /// The size of the first number selects the unit; clones share the selected unit.
    BySize {
        /// The format's unit, for numbers of ambiguous size.
        own: Option<TimeUnit>,
        found: Arc<OnceLock<Found>>,
    },
}

#[derive(Debug)]
struct Found {
    unit: TimeUnit,
    /// The number whose size selected the unit.
    number: String,
}

/// A text is no instant in the unit of its file; the message names the expected form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimeError(String);

impl From<&str> for TimeError {
    fn from(expected: &str) -> TimeError {
        TimeError(expected.to_owned())
    }
}

impl From<InstantError> for TimeError {
    fn from(error: InstantError) -> TimeError {
        TimeError(error.to_string())
    }
}

impl From<TimeError> for String {
    fn from(error: TimeError) -> String {
        error.0
    }
}

impl Times {
    /// Selects the unit by the size of the first number.
    #[must_use]
    pub fn by_size() -> Times {
        Times { unit: Unit::BySize { own: None, found: Arc::default() }, step: TimeUnit::MILLIS }
    }

    /// Uses the given unit; without one, selects the unit by the size of the first number.
    #[must_use]
    pub fn of(given: Option<TimeUnit>) -> Times {
        given.map_or_else(Times::by_size, Times::from)
    }

    /// Sets the unit of the format, in which numbers of ambiguous size are read.
    #[must_use]
    pub fn or_own(self, own: TimeUnit) -> Times {
        match self.unit {
            Unit::BySize { .. } => Times { unit: Unit::BySize { own: Some(own), found: Arc::default() }, step: own },
            Unit::Given(_) => self,
        }
    }

    /// Rounds down to `step`, unless a unit was given.
    #[must_use]
    pub fn in_steps_of(self, step: TimeUnit) -> Times {
        match self.unit {
            Unit::BySize { .. } => Times { step, ..self },
            Unit::Given(_) => self,
        }
    }

    /// Times for another file: its first number selects the unit anew, unless a unit was given.
    #[must_use]
    pub fn fresh(&self) -> Times {
        let unit = match &self.unit {
            Unit::BySize { own, .. } => Unit::BySize { own: *own, found: Arc::default() },
            given @ Unit::Given(_) => given.clone(),
        };
        Times { unit, step: self.step }
    }

    /// Time unit of a log in milliseconds, at least 1.
    #[must_use]
    pub fn step_ms(&self) -> i64 {
        self.step.ms()
    }

    /// Reads an instant: a number, or a date and time.
    ///
    /// # Errors
    /// [`TimeError`] completes the sentence "`TEXT` is not …".
    pub fn parse(&self, text: &str) -> Result<Millis, TimeError> {
        match &self.unit {
            Unit::Given(unit) => unit.parse(text).map_err(TimeError::from),
            Unit::BySize { own, found } => match Number::parse_real(text) {
                Some(number) => numbered(number, text, *own, found),
                None => timestamps::parse(text).ok_or_else(|| InstantError::Form.into()),
            },
        }
    }
}

fn numbered(number: Number, text: &str, own: Option<TimeUnit>, found: &OnceLock<Found>) -> Result<Millis, TimeError> {
    if number.is_zero() {
        return Ok(Millis(0));
    }
    if let Some(Found { unit, number: first }) = found.get() {
        let suits = unit.suits(number) || Some(*unit) == own;
        return unit.at(number).filter(|_| suits).ok_or_else(|| {
            let expected = format!("in {unit}, as `{first}` before it: if all have one unit, name it with --time-unit");
            TimeError(format!("{expected} (s, ms, us, ns)"))
        });
    }
    let by_size = TimeUnit::by_size(number);
    let unit = by_size.or(own).ok_or(
        "clearly in seconds or milliseconds: which unit is it? Name it with --time-unit (s, ms, us, ns or step:SECONDS)",
    )?;
    let range = || TimeError(format!("an instant between the years 1 and 9999 in {unit}"));
    let at = unit.at(number).ok_or_else(range)?;
    if found.set(Found { unit, number: text.to_owned() }).is_ok() && own != Some(unit) {
        let at = timestamps::text(at);
        tracing::warn!("times are read as {unit}: `{text}` is {at}; --time-unit names another unit");
    }
    Ok(at)
}

impl From<TimeUnit> for Times {
    fn from(unit: TimeUnit) -> Times {
        Times { unit: Unit::Given(unit), step: unit }
    }
}

impl FromStr for Times {
    type Err = TimeUnitError;

    fn from_str(text: &str) -> Result<Times, TimeUnitError> {
        text.parse().map(|unit: TimeUnit| unit.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_numbers_in_a_unit_or_dates_and_times() {
        for (unit, text, expected) in [
            ("ms", "1500", Some(1_500)),
            ("s", "-2", Some(-2_000)),
            ("us", "1500", Some(1)),
            ("ns", "1700000000000000000", Some(1_700_000_000_000)),
            ("step:600", "93", Some(55_800_000)),
            ("s", "1.5", Some(1_500)),
            ("s", "1700000000.0", Some(1_700_000_000_000)),
            ("s", "1.7e+09", Some(1_700_000_000_000)),
            ("ms", "-0.5", Some(-1)),
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
            ("s", "1e300", None),
            ("s", "NaN", None),
            ("s", "1,5", None),
            ("s", "", None),
            ("s", "yesterday", None),
        ] {
            let unit: TimeUnit = unit.parse().unwrap();
            assert_eq!(unit.parse(text).ok(), expected.map(Millis), "{text}");
            assert_eq!(Times::from(unit).parse(text).ok(), expected.map(Millis), "{text}");
        }
        for wrong in ["", "m", "step:", "step:0", "step:-1", "step:x", "step:99999999999", "600"] {
            assert!(wrong.parse::<TimeUnit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_call_keeps_to_the_unit_of_its_first_number_and_asks_where_none_is_clear() {
        const AT: i64 = 1_700_000_000_000;
        for (texts, expected) in [
            (&["1700000000", "1700000001.5", "2023-11-14T22:13:20Z"][..], Ok(AT)),
            (&["1700000000000"], Ok(AT)),
            (&["1700000000000000"], Ok(AT)),
            (&["1700000000", "253402300799", "0"], Ok(0)),
            (&["1700000000000", "253402300799999"], Ok(Millis::MAX.0)),
            (&["1700000000", "1700000000000"], Err("in seconds, as `1700000000` before it")),
            (&["1700000000000", "1700000000"], Err("in milliseconds, as `1700000000000` before it")),
            (&["1700000000", "93"], Err("in seconds, as `1700000000` before it")),
            (&["93"], Err("which unit is it? Name it with --time-unit")),
            (&["253402300799999"], Err("which unit is it?")),
            (&["9223372036854775807"], Err("which unit is it?")),
        ] {
            let times = Times::by_size();
            let read = texts.iter().map(|text| times.parse(text)).collect::<Result<Vec<_>, _>>();
            match expected {
                Ok(at) => assert_eq!(read.unwrap().last().unwrap().0 / 1_000, at / 1_000, "{texts:?}"),
                Err(part) => {
                    assert!(read.clone().is_err_and(|said| said.to_string().contains(part)), "{texts:?}: {read:?}")
                }
            }
        }
        let ratings = Times::by_size().or_own(TimeUnit::SECONDS);
        assert_eq!(ratings.parse("1000"), Ok(Millis(1_000_000)));
        assert_eq!(ratings.parse("881250949"), Ok(Millis(881_250_949_000)));
        assert!(ratings.parse("1700000000000").is_err());
        assert_eq!(ratings.fresh().parse("1700000000000"), Ok(Millis(AT)));
    }
}
