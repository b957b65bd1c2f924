//! Time as learners read it: half-lives of decayed counts, and the hour of day and of week.
//!
//! Invariant: a reading of the clock depends on the instant alone.
//! Deliberately absent: time zones; a zone only turns the circle.

use crate::domain::time::{DAY_MS, Millis};

/// Half-lives of decayed counts, of items and of a person's own visits: 1 hour, 6 hours, 1 day, 7 days, 28 days.
pub(crate) const HALF_LIVES_MS: [i64; 5] = [3_600_000, 21_600_000, 86_400_000, 604_800_000, 2_419_200_000];

/// Number of clock features: cosine and sine of the time of day, of the week, and of twice the time of the week.
pub(crate) const PHASES: usize = 6;

const WEEK_MS: i64 = 7 * DAY_MS;

/// The hour of day and of week at an instant, as unit vectors.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub(in crate::engine) phases: [f32; 4],
}

impl Clock {
    /// The clock at `now`, in UTC; a user's time zone only rotates the circle.
    #[must_use]
    pub fn at(now: Millis) -> Clock {
        Clock { phases: phases(now) }
    }

    /// Cosine and sine of the time of day, of the week, and of twice the time of the week; the last pair separates
    /// weekends.
    #[must_use]
    pub(crate) fn phases(&self) -> [f32; PHASES] {
        let [day_cos, day_sin, cos, sin] = self.phases;
        [day_cos, day_sin, cos, sin, cos * cos - sin * sin, 2.0 * cos * sin]
    }
}

/// Cosine and sine of the time of day and of the week, in UTC.
pub(in crate::engine) fn phases(at: Millis) -> [f32; 4] {
    let angle = |period: i64| (at.0.rem_euclid(period) as f32 / period as f32) * std::f32::consts::TAU;
    let ((day_sin, day_cos), (week_sin, week_cos)) = (angle(DAY_MS).sin_cos(), angle(WEEK_MS).sin_cos());
    [day_cos, day_sin, week_cos, week_sin]
}
