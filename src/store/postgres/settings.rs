//! Pool sizes and timeouts of the Postgres store.
//!
//! Invariant: every wait has a timeout. Absent on purpose: the address of the database, which is in [`super::url`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Section `[postgres]` of the configuration. All durations are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSettings {
    /// Largest number of connections for reads. The writer has one further connection.
    pub connections_max: usize,
    /// Longest wait for a free connection.
    pub wait_ms: u64,
    /// Longest wait for a new connection.
    pub connect_ms: u64,
    /// Longest wait for the health check of a pooled connection.
    pub recycle_ms: u64,
    /// Longest run of one statement. A whole read or commit may take twice that plus one second.
    pub statement_ms: u64,
    /// Longest wait, at start, for the previous server to release the writer lock.
    pub lock_wait_ms: u64,
}

/// A value of a setting that is out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {low} to {high}, is {value}")]
pub struct OutOfBounds {
    low: u64,
    high: u64,
    value: u64,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        PostgresSettings {
            connections_max: 8,
            wait_ms: 5_000,
            connect_ms: 5_000,
            recycle_ms: 2_000,
            statement_ms: 10_000,
            lock_wait_ms: 5_000,
        }
    }
}

impl PostgresSettings {
    /// Checks every value against its bounds.
    ///
    /// # Errors
    /// The first key that is out of its bounds, with the bounds.
    pub fn check(&self) -> Result<(), (&'static str, OutOfBounds)> {
        let bounds = [
            ("connections_max", self.connections_max as u64, 1, 1_000),
            ("wait_ms", self.wait_ms, 10, 600_000),
            ("connect_ms", self.connect_ms, 10, 600_000),
            ("recycle_ms", self.recycle_ms, 10, 600_000),
            ("statement_ms", self.statement_ms, 100, 3_600_000),
            ("lock_wait_ms", self.lock_wait_ms, 0, 600_000),
        ];
        for (key, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err((key, OutOfBounds { low, high, value }));
            }
        }
        Ok(())
    }

    /// Timeout of a whole read or commit on the side of this program.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(2 * self.statement_ms + 1_000)
    }
}
