//! Recurring instants: cron expressions in UTC.
//!
//! Invariant: a valid expression has a next instant after any other one, within the calendar's years.

use std::str::FromStr as _;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::time::Millis;

/// Names and ranges of the five fields.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("weekday", "0 to 7 or SUN to SAT"),
];
/// Nicknames of expressions, and the five fields that they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The first field that is wrong by itself, with its range.
fn wrong_field(text: &str) -> String {
    for (index, (field, (name, range))) in text.split_whitespace().zip(FIELDS).enumerate() {
        let mut alone = ["*"; 5];
        alone[index] = field;
        if Cron::from_str(&alone.join(" ")).is_err() {
            return format!("the {name} {field:?} must be {range}, a list, a range or a step of these, or *");
        }
    }
    format!("{:?} is none", text.trim())
}

/// A valid cron expression.
#[derive(Clone, Debug)]
pub struct Schedule(Cron);

/// Why a text is no schedule; the message says what a schedule looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a cron expression of five fields (minute hour day month weekday), as in 0 3 * * *: {0}")]
pub struct ScheduleError(String);

impl Schedule {
    /// Reads an expression of five fields; `None` for an empty one, which disables the schedule.
    ///
    /// # Errors
    /// The text is no expression of five fields, or it never comes.
    pub fn read(text: &str) -> Result<Option<Schedule>, ScheduleError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.trim().starts_with('@') {
            return Err(ScheduleError(format!("has {fields}")));
        }
        let cron = Cron::from_str(text.trim()).map_err(|_| ScheduleError(wrong_field(text)))?;
        let schedule = Schedule(cron);
        schedule.after(Millis::default()).ok_or_else(|| ScheduleError("it never comes".into()))?;
        Ok(Some(schedule))
    }

    /// Checks a new schedule. A nickname as `@daily` is refused with the five fields that it stands for; [`Schedule::read`]
    /// still reads one that an earlier version stored.
    ///
    /// # Errors
    /// The text is no expression of five fields, or it never comes.
    pub fn check(text: &str) -> Result<(), ScheduleError> {
        let found = text.trim().to_ascii_lowercase();
        if let Some((_, fields)) = NICKNAMES.iter().find(|(name, _)| *name == found) {
            return Err(ScheduleError(format!("write {found} as {fields}")));
        }
        if found.starts_with('@') {
            return Err(ScheduleError(format!("{found:?} is no schedule")));
        }
        Schedule::read(text).map(drop)
    }

    /// The first instant after `now`.
    #[must_use]
    pub fn after(&self, now: Millis) -> Option<Millis> {
        let now = Timestamp::from_millisecond(now.0).ok()?.to_zoned(TimeZone::UTC);
        let next = self.0.find_next_occurrence(&now, false).ok()?;
        Some(Millis(next.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_found_and_what_is_none_is_refused() {
        // 2026-03-15 12:30:45 UTC, a Sunday.
        let now = Millis(1_773_577_845_000);
        for (text, seconds) in [
            ("* * * * *", 15),
            ("0 * * * *", 29 * 60 + 15),
            ("0 3 * * *", 14 * 3_600 + 29 * 60 + 15),
            ("0 3 * * 1", 14 * 3_600 + 29 * 60 + 15),
            ("@hourly", 29 * 60 + 15),
        ] {
            let next = Schedule::read(text).unwrap().unwrap().after(now).unwrap();
            assert_eq!(next.since(now), seconds * 1_000, "{text}");
            assert!(Schedule::read(text).unwrap().unwrap().after(next).unwrap() > next, "{text}");
        }
        assert!(Schedule::read(" ").unwrap().is_none());
        for text in ["every day", "* * * *", "61 * * * *", "* * * * * *", "0 0 31 2 *", "@never", "\0"] {
            assert!(Schedule::read(text).is_err(), "{text:?}");
            assert!(Schedule::check(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_its_range_or_the_fields_of_a_nickname() {
        for (text, expected) in [
            ("61 * * * *", "the minute \"61\" must be 0 to 59,"),
            ("0 24 * * *", "the hour \"24\" must be 0 to 23,"),
            ("0 0 x * *", "the day \"x\" must be 1 to 31,"),
            ("0 0 1 13 *", "the month \"13\" must be 1 to 12"),
            ("0 0 1 1 */0", "the weekday \"*/0\" must be 0 to 7"),
            ("0 0 31 2 *", "it never comes"),
            ("* * * *", "has 4"),
            ("@daily", "write @daily as 0 0 * * *"),
            ("@Weekly", "write @weekly as 0 0 * * 0"),
            ("@never", "\"@never\" is no schedule"),
        ] {
            let message = Schedule::check(text).unwrap_err().to_string();
            assert!(message.contains(&format!("as in 0 3 * * *: {expected}")), "{text}: {message}");
            assert!(!message.contains("Component"), "{message}");
        }
        for (_, fields) in NICKNAMES {
            assert!(Schedule::check(fields).is_ok(), "{fields}");
        }
    }
}
