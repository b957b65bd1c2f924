//! How the Postgres store uses its database.
//!
//! Invariant: every wait has an end. Absent on purpose: where the database is (see [`super::url`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Section `[postgres]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSettings {
    /// Connections that read, at most. The one that writes comes on top.
    pub connections_max: usize,
    /// Longest wait for one of them to become free.
    pub wait_ms: u64,
    /// Longest wait for a new connection.
    pub connect_ms: u64,
    /// Longest wait for a used connection to show that it is alive.
    pub recycle_ms: u64,
    /// Longest run of one statement. The whole of a read or a commit may take twice that and a second.
    pub statement_ms: u64,
    /// Longest wait, at start, for the server before us to let go of the database.
    pub lock_wait_ms: u64,
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
    /// Checks every value.
    ///
    /// # Errors
    /// The first key that is out of its bounds, and what they are.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
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
                return Err((key, format!("must be {low} to {high}, is {value}")));
            }
        }
        Ok(())
    }

    /// Until a read or a commit is given up here, whatever the database does.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(2 * self.statement_ms + 1_000)
    }
}
