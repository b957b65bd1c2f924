//! The only place that reads the system's clock.
//!
//! Invariant: a clock that is set back by at most [`HELD_MS`] stands still until the system catches up. A clock that is
//! set back by more is followed, as after a restart. So windows, tokens and schedules recover together with the
//! system's clock. Order never depends on the time: entries are ordered by their sequence numbers.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Millis;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time in UTC.
    fn now(&self) -> Millis;
}

/// The largest step back, in milliseconds, during which the clock stands still.
pub const HELD_MS: i64 = 1_000;

/// The system's clock, held through small steps back.
#[derive(Debug, Default)]
pub struct WallClock {
    latest: AtomicI64,
}

impl Clock for WallClock {
    fn now(&self) -> Millis {
        self.follow(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }
}

impl WallClock {
    fn follow(&self, wall: impl Fn() -> i64) -> Millis {
        let mut read = wall();
        let latest = self.latest.load(Ordering::Relaxed);
        if read < latest {
            // A thread that was suspended between two lines holds an old reading. That is no step back.
            read = wall();
        }
        if read >= latest {
            return Millis(self.latest.fetch_max(read, Ordering::Relaxed).max(read));
        }
        if latest - read <= HELD_MS {
            return Millis(latest);
        }
        // The first thread steps back; the others read again soon.
        let _ = self.latest.compare_exchange(latest, read, Ordering::Relaxed, Ordering::Relaxed);
        Millis(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_forward_and_back_does_not_freeze_time() {
        let clock = WallClock::default();
        let told = |wall: i64| clock.follow(|| wall).0;
        let day = 86_400_000;
        let read: Vec<i64> = [day, 2 * day, day + 10, day + 20].into_iter().map(told).collect();
        assert_eq!(read, [day, 2 * day, day + 10, day + 20], "followed back, and going on from there");
        assert_eq!([told(2 * day), told(2 * day - HELD_MS), told(2 * day + 1)], [2 * day, 2 * day, 2 * day + 1]);
        assert_eq!(told(2 * day - HELD_MS), 2 * day - HELD_MS, "by more than is held");
    }

    #[test]
    fn a_reading_from_long_ago_is_read_again() {
        let clock = WallClock::default();
        clock.follow(|| 100_000);
        let readings = std::cell::Cell::new(50_000);
        assert_eq!(clock.follow(|| readings.replace(100_005)).0, 100_005);
    }
}
