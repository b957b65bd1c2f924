//! Instants in URLs and in requests.
//!
//! Invariant: each instant lies within year 1 and year 9999, UTC. Deliberately absent: local time zones, and a clock.

use crate::domain::stated_time::StatedTime;
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
