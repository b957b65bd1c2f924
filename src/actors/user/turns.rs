//! Turns for refreshes of open feeds, so that they take at most a share of each actor thread.
//!
//! Invariant: turns are given first come, first served.
//! Deliberately absent: the arithmetic of the share (`engine::delivery::refresh`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::delivery::refresh::Pace;

/// Turns for the refreshes of one thread of people's actors. Without a pace there are no refreshes.
pub struct Turns {
    since: Instant,
    pace: Option<Mutex<Pace>>,
}

impl Turns {
    /// Limits refreshes to this percentage of the thread's time; 0 disables them.
    pub fn new(percent: usize) -> Turns {
        let pace = (percent > 0).then(|| Mutex::new(Pace::new(percent as f64 / 100.0)));
        Turns { since: Instant::now(), pace }
    }

    fn micros_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_micros()).unwrap_or(u64::MAX)
    }

    fn ask<T>(&self, question: impl FnOnce(&mut Pace, u64) -> T) -> Option<T> {
        // The pace consists of numbers that are valid in any combination, so a poisoned lock can be used.
        let mut pace = self.pace.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(question(&mut pace, self.micros_at(Instant::now())))
    }

    /// Reserves the next turn and returns the time until it begins; `None` where refreshes are disabled.
    pub(super) fn next(&self) -> Option<Duration> {
        self.ask(|pace, now| Duration::from_micros(pace.turn(now)))
    }

    /// Whether the reserved turn may begin now.
    pub(super) fn may_begin(&self) -> bool {
        self.ask(|pace, now| pace.may_begin(now)).unwrap_or(false)
    }

    /// Records the duration of a turn that ends now.
    pub(super) fn took(&self, began: Instant) {
        let (begin, took) = (self.micros_at(began), u64::from(micros(began.elapsed())));
        self.ask(|pace, _| pace.took(begin, took));
    }
}

/// Whole microseconds, at most `u32::MAX`.
pub(super) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
