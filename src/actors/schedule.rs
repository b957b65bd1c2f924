//! Recurring instants: cron expressions in UTC.
//!
//! Invariant: a valid expression has a next instant after any other one, within the calendar's years.

use std::str::FromStr as _;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::time::Millis;

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
        let cron = Cron::from_str(text.trim()).map_err(|error| ScheduleError(error.to_string()))?;
        let schedule = Schedule(cron);
        schedule.after(Millis::default()).ok_or_else(|| ScheduleError("it never comes".into()))?;
        Ok(Some(schedule))
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
        }
    }
}
