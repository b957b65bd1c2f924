//! The one place that asks what time it is.
//!
//! Invariant: times handed to the engine never run backwards within one process, even when the wall clock is set back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Millis;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> Millis;
}

/// The machine's clock, held when it is set back.
#[derive(Debug, Default)]
pub struct WallClock {
    latest: AtomicI64,
}

impl Clock for WallClock {
    fn now(&self) -> Millis {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Millis(self.latest.fetch_max(wall, Ordering::Relaxed).max(wall))
    }
}
