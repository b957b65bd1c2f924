//! Instants in URLs and in requests.
//!
//! Invariant: each instant lies within year 1 and year 9999, UTC. Deliberately absent: local time zones, and a clock.

use crate::domain::time::Millis;
use crate::domain::timestamps::{self, Number, TimeUnit};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// Reads RFC 3339, `2026-01-31 12:00:00` (UTC), or a number since the beginning of 1970. The size of a number tells
/// seconds, microseconds and nanoseconds ([`TimeUnit::by_size`]); any other number counts milliseconds.
///
/// # Errors
/// `bad_field` when it is none of these, `out_of_range` when it is before year 1 or after year 9999.
pub fn parse(field: &str, text: &str) -> Result<Millis, Refusal> {
    let text = text.trim();
    if let Some(number) = Number::parse(text) {
        let unit = TimeUnit::by_size(number).unwrap_or(TimeUnit::MILLIS);
        return unit.at(number).ok_or_else(|| beyond(field));
    }
    timestamps::parse(text).ok_or_else(|| {
        let forms = "2026-01-31T12:00:00Z, 2026-01-31 12:00:00 or milliseconds since 1970";
        let message = format!("{text:?} is not a time: write {forms}, all UTC, with + as %2B");
        Refusal::field(Code::BadField, field, message)
    })
}

/// Refuses an instant that RFC 3339 cannot write, and a number whose size suggests seconds. Read as milliseconds, 9 or
/// 10 digits lie between January and April 1970.
///
/// # Errors
/// `out_of_range`.
pub fn in_range(field: &str, at: Millis) -> Result<Millis, Refusal> {
    if !(Millis::MIN..=Millis::MAX).contains(&at) {
        return Err(beyond(field));
    }
    let by_size = Number::parse(&at.0.to_string()).and_then(TimeUnit::by_size);
    if by_size == Some(TimeUnit::SECONDS) {
        let message =
            format!("{} is {} in milliseconds: is it in seconds? Send milliseconds", at.0, timestamps::text(at));
        return Err(Refusal::field(Code::OutOfRange, field, message));
    }
    Ok(at)
}

fn beyond(field: &str) -> Refusal {
    Refusal::field(Code::OutOfRange, field, "must lie between year 1 and year 9999")
}

/// Writes RFC 3339, rounded down to the second.
#[must_use]
pub fn text(at: Millis) -> String {
    timestamps::text(Millis(at.0.div_euclid(1_000).saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_three_forms() {
        for (text, expected) in [
            ("2024-03-15 12:30:45", Some(1_710_505_845_000)),
            ("2024-03-15T12:30:45Z", Some(1_710_505_845_000)),
            ("2024-03-15T12:30:45.678Z", Some(1_710_505_845_678)),
            ("2024-03-15T14:30:45+02:00", Some(1_710_505_845_000)),
            ("1710505845000", Some(1_710_505_845_000)),
            ("-1", Some(-1)),
            ("1969-12-31T23:59:59.9995Z", Some(-1)),
            ("0001-01-01 00:00:00", Some(Millis::MIN.0)),
            ("9999-12-30 00:00:00", Some(253_402_128_000_000)),
            ("2024-02-29 00:00:00", Some(1_709_164_800_000)),
            ("2023-02-29 00:00:00", None),
            ("2024-03-15 25:00:00", None),
            ("2024-03-15", None),
            ("2024-03-15T14:30:45 02:00", None),
            ("now", None),
            ("", None),
            ("1e12", None),
            ("2024-03-15 12:30:45 UTC", Some(1_710_505_845_000)),
            ("1710505845", Some(1_710_505_845_000)),
            ("1710505845.5", Some(1_710_505_845_500)),
            ("1710505845000000", Some(1_710_505_845_000_000 / 1_000)),
            ("9999-12-31T23:59:59Z", Some(Millis::MAX.0 - 999)),
            ("253402300799999", Some(Millis::MAX.0)),
        ] {
            assert_eq!(parse("time", text).ok().map(|at| at.0), expected, "{text:?}");
        }
    }

    #[test]
    fn a_number_of_seconds_is_not_taken_for_milliseconds() {
        for (at, good) in [(0, true), (5_000, true), (1_700_000_000, false), (-1_700_000_000, false)] {
            assert_eq!(in_range("at", Millis(at)).is_ok(), good, "{at}");
        }
        assert!(in_range("at", Millis(1_700_000_000_000)).is_ok());
        let said = in_range("at", Millis(1_700_000_000)).err().map(|refusal| refusal.message).unwrap_or_default();
        assert!(said.contains("1970-01-20T16:13:20Z") && said.contains("is it in seconds?"), "{said}");
    }

    #[test]
    fn a_refused_time_names_its_field() {
        for (text, code) in [
            ("yesterday", Code::BadField),
            ("-62135596800001", Code::OutOfRange),
            ("253402300800000", Code::OutOfRange),
            ("9223372036854775807", Code::OutOfRange),
        ] {
            let refusal = parse("at", text).err();
            assert_eq!(refusal.map(|r| (r.code, r.field)), Some((code, Some("at".to_owned()))), "{text}");
        }
    }
}
