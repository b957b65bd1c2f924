//! Times as clients state them: a number whose size tells its unit, or a date with a time of day.
//!
//! Invariant: bodies, query parameters and messages of the socket read times by this one rule. A number of 9 or 10 digits
//! counts seconds, one of 16 microseconds, one of 19 nanoseconds, and any other number milliseconds. Absent on purpose:
//! a check of the range, so that the refusal of a time names its field.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::time::Millis;
use super::timestamps::{self, Number, TimeUnit};
use super::windows::Window;

/// A number that lies before year 1, or after year 9999, in the unit that its size tells.
const BEYOND: Millis = Millis(i64::MAX);

/// A time as a client states it. It may lie outside of the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatedTime(pub Millis);

/// Times in milliseconds whose number has 12 or 13 digits: 1973-03-03 to 2286-11-20. A number in another unit lands outside.
const CERTAIN: std::ops::Range<i64> = 100_000_000_000..10_000_000_000_000;

/// Whether a time looks like a number in another unit than the one in which it was read.
#[must_use]
pub fn is_doubtful(at: Millis) -> bool {
    !CERTAIN.contains(&at.0) && (Millis::MIN..Millis::ON_ARRIVAL).contains(&at)
}

impl StatedTime {
    /// The forms of a time, for messages to clients.
    pub const FORMS: &'static str =
        "2026-01-31T12:00:00Z, 2026-01-31 12:00:00 (UTC), or a number of milliseconds or seconds since 1970";

    /// Reads RFC 3339, `2026-01-31 12:00:00` (UTC), or a number since the beginning of 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<StatedTime> {
        let text = text.trim();
        match Number::parse_real(text) {
            Some(number) => Some(StatedTime::of_number(number)),
            None => timestamps::parse(text).map(StatedTime),
        }
    }

    fn of_number(number: Number) -> StatedTime {
        let unit = TimeUnit::by_size(number).unwrap_or(TimeUnit::MILLIS);
        StatedTime(unit.at(number).unwrap_or(BEYOND))
    }
}

impl<'de> Deserialize<'de> for StatedTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = StatedTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a time: {}", StatedTime::FORMS)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<StatedTime, E> {
        Ok(Number::parse(&number.to_string()).map_or(StatedTime(BEYOND), StatedTime::of_number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<StatedTime, E> {
        Ok(Number::parse(&number.to_string()).map_or(StatedTime(BEYOND), StatedTime::of_number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<StatedTime, E> {
        // A longer number is no time in any unit.
        Ok(Number::parse_real(&format!("{number:e}")).map_or(StatedTime(BEYOND), StatedTime::of_number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<StatedTime, E> {
        StatedTime::parse(text).ok_or_else(|| E::custom(format!("{text:?} is not a time: write {}", StatedTime::FORMS)))
    }
}

impl JsonSchema for StatedTime {
    fn schema_name() -> Cow<'static, str> {
        "TimeInput".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "RFC 3339, or a number since the beginning of 1970 UTC. A number of 9 or 10 digits before the point \
                            counts seconds, one of 12 or 13 milliseconds, one of 16 microseconds, one of 19 nanoseconds. A \
                            number of any other size counts milliseconds. Years 1 to 9999.",
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number", "minimum": Millis::MIN.0, "maximum": Millis::MAX.0},
            ],
            "examples": [1_767_225_600_000_i64, "2026-01-01T00:00:00Z"],
        })
    }
}

/// Reads an optional field that holds a time.
///
/// # Errors
/// The value is neither a number nor a time in text.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    Ok(Option::<StatedTime>::deserialize(deserializer)?.map(|StatedTime(at)| at))
}

/// An availability window as a client states it; `stop` is optional.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WindowInput")]
pub struct StatedWindow {
    start: StatedTime,
    #[serde(default)]
    stop: Option<StatedTime>,
}

impl From<StatedWindow> for Window {
    fn from(StatedWindow { start: StatedTime(start), stop }: StatedWindow) -> Window {
        Window { start, stop: stop.map(|StatedTime(stop)| stop) }
    }
}

/// Reads an optional list of windows.
///
/// # Errors
/// A window has an unknown field, no start, or a bound that is no time.
pub fn windows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Window>>, D::Error> {
    let stated = Option::<Vec<StatedWindow>>::deserialize(deserializer)?;
    Ok(stated.map(|windows| windows.into_iter().map(Window::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_read_times_by_one_rule() {
        const AT: i64 = 1_710_505_845_000;
        for (text, expected) in [
            ("1710505845000", Some(AT)),
            ("1710505845", Some(AT)),
            ("1710505845.5", Some(AT + 500)),
            ("-1710505845", Some(-AT)),
            ("1710505845000000", Some(AT)),
            ("1710505845000000000", Some(AT)),
            ("5000", Some(5_000)),
            ("1.710505845e9", Some(AT)),
            ("-1e-7", Some(-1)),
            ("0", Some(0)),
            ("253402300799999", Some(Millis::MAX.0)),
            ("253402300800000", Some(i64::MAX)),
            ("9223372036854775807", Some(i64::MAX)),
            ("18446744073709551615", Some(i64::MAX)),
        ] {
            assert_eq!(StatedTime::parse(text).map(|StatedTime(at)| at.0), expected, "{text}");
            let read: Result<StatedTime, _> = serde_json::from_str(text);
            assert_eq!(read.ok().map(|StatedTime(at)| at.0), expected, "{text} in JSON");
        }
        for (text, expected) in [
            ("2024-03-15T12:30:45Z", Some(AT)),
            ("2024-03-15 12:30:45", Some(AT)),
            ("2024-03-15T14:30:45+02:00", Some(AT)),
            ("1710505845", Some(AT)),
            ("2024-03-15", None),
            ("now", None),
            ("", None),
        ] {
            assert_eq!(StatedTime::parse(text).map(|StatedTime(at)| at.0), expected, "{text}");
            let read: Result<StatedTime, _> = serde_json::from_value(serde_json::json!(text));
            assert_eq!(read.ok().map(|StatedTime(at)| at.0), expected, "{text} in JSON");
        }
        for text in ["true", "[]", "{}"] {
            assert!(serde_json::from_str::<StatedTime>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<StatedTime>("1e300").unwrap().0, BEYOND);
    }
}
