//! Instants as people write them in a URL.
//!
//! Invariant: what comes out is within year 1 and year 9999, UTC. Absent on purpose: local time zones, and a clock.

use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Reads RFC 3339, `%Y-%m-%d %H:%M:%S` (UTC), or whole milliseconds since the epoch.
///
/// # Errors
/// `bad_field` when it is none of these, `out_of_range` when it is before year 1 or after year 9999.
pub fn parse(field: &str, text: &str) -> Result<Millis, Refusal> {
    let text = text.trim();
    let found = whole_millis(text).or_else(|| rfc_3339(text)).or_else(|| plain(text)).ok_or_else(|| {
        let forms = "2026-01-31T12:00:00Z, 2026-01-31 12:00:00 or milliseconds since 1970";
        let message = format!("{text:?} is not a time: write {forms}, all UTC, with + as %2B");
        Refusal::field(Code::BadField, field, message)
    })?;
    in_range(field, found)
}

/// Refuses what RFC 3339 cannot write.
///
/// # Errors
/// `out_of_range`.
pub fn in_range(field: &str, at: Millis) -> Result<Millis, Refusal> {
    if (Millis::MIN..=Millis::MAX).contains(&at) {
        return Ok(at);
    }
    Err(Refusal::field(Code::OutOfRange, field, "must lie between year 1 and year 9999"))
}

/// Writes RFC 3339, to the second.
#[must_use]
pub fn text(at: Millis) -> String {
    Timestamp::from_second(at.0.div_euclid(1_000)).map_or_else(|_| at.0.to_string(), |instant| instant.to_string())
}

fn whole_millis(text: &str) -> Option<Millis> {
    text.parse().ok().map(Millis)
}

fn rfc_3339(text: &str) -> Option<Millis> {
    let instant: Timestamp = text.parse().ok()?;
    floor(instant)
}

fn plain(text: &str) -> Option<Millis> {
    let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    floor(TimeZone::UTC.to_timestamp(civil).ok()?)
}

// Before 1970 jiff truncates towards zero; we want the millisecond that the instant lies in.
fn floor(instant: Timestamp) -> Option<Millis> {
    let since: SignedDuration = instant.duration_since(Timestamp::UNIX_EPOCH);
    i64::try_from(since.as_nanos().div_euclid(1_000_000)).ok().map(Millis)
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
