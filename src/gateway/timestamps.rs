//! Instants in URLs and in requests.
//!
//! Invariant: each instant lies within year 1 and year 9999, UTC. Deliberately absent: local time zones, and a clock.

use crate::domain::stated_time::{StatedTime, is_doubtful};
use crate::domain::time::Millis;
use crate::domain::timestamps;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// Reads a time by the rule of [`StatedTime`].
///
/// # Errors
/// `bad_field` when it is none of these, `out_of_range` when it is before year 1 or after year 9999.
pub fn parse(field: &str, text: &str) -> Result<Millis, Refusal> {
    let StatedTime(at) = StatedTime::parse(text).ok_or_else(|| {
        let message = format!("{text:?} is not a time: write {}, with + as %2B", StatedTime::FORMS);
        Refusal::field(Code::BadField, field, message)
    })?;
    in_range(field, at)
}

/// Refuses an instant that RFC 3339 cannot write.
///
/// # Errors
/// `out_of_range`.
pub fn in_range(field: &str, at: Millis) -> Result<Millis, Refusal> {
    let is_in_range = (Millis::MIN..=Millis::MAX).contains(&at);
    is_in_range
        .then_some(at)
        .ok_or_else(|| Refusal::field(Code::OutOfRange, field, "must lie between year 1 and year 9999"))
}

/// A warning about a time that looks like a number in another unit than the one that its size selects.
#[must_use]
pub(crate) fn doubt(field: &str, at: Option<Millis>) -> Option<String> {
    let at = at.filter(|at| is_doubtful(*at))?;
    let read = timestamps::text(at);
    Some(format!("{field}: read as {read}; check the unit of the number, or send the time as text"))
}

/// Warnings of a request whose answer has no place for them; the header `Warning` has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts(pub(crate) Vec<String>);

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
            ("1e12", Some(1_000_000_000_000)),
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
    fn a_time_in_a_doubtful_unit_causes_a_warning_that_says_how_it_was_read() {
        for (text, expected) in [
            ("1710505845", None),
            ("1710505845000", None),
            ("1710505845000000", None),
            ("2024-03-15T12:30:45Z", None),
            ("99999999999", Some("1973-03-03T09:46:39.999Z")),
            ("100000000000", None),
            ("9999999999999", None),
            ("10000000000000", Some("2286-11-20T17:46:40Z")),
            ("17105058", Some("1970-01-01T04:45:05.058Z")),
            ("17105058450000", Some("2512-01-15T05:07:30Z")),
            ("0", Some("1970-01-01T00:00:00Z")),
        ] {
            let found = doubt("at", parse("at", text).ok());
            let expected = expected
                .map(|read| format!("at: read as {read}; check the unit of the number, or send the time as text"));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!((doubt("at", None), doubt("at", Some(Millis::ON_ARRIVAL))), (None, None));
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
