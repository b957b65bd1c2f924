//! Truncation of SQLite's write-ahead log, which may hold pages of an erased person.
//!
//! Invariant: after a truncation the log holds no page; its pages are in the database file, where `secure_delete` has
//! overwritten deleted rows.

use std::time::Duration;

use rusqlite::Connection;

use super::layout::BUSY_TIMEOUT;

/// Attempts to truncate the log, since a reader may still use it.
const TRIES: u32 = 20;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Truncates the log; `false` when a reader uses it, or the disk fails. The writer tries again after a later commit, at
/// the next start, and when it closes; until then checkpoints overwrite the log.
pub(super) fn truncate(connection: &Connection) -> bool {
    match with_tries(connection, TRIES) {
        Ok(true) => return true,
        Ok(false) => tracing::warn!("a reader uses the log of the store: the writer truncates it later"),
        Err(error) => tracing::warn!(%error, "the log of the store could not be truncated: check its disk"),
    }
    false
}

/// Truncates the log if no reader uses it now; logs nothing.
pub(super) fn try_truncate(connection: &Connection) -> bool {
    with_tries(connection, 1).unwrap_or(false)
}

fn with_tries(connection: &Connection, tries: u32) -> rusqlite::Result<bool> {
    // Waits for readers in `truncate_log`, for a moment only, since all writes wait for this thread.
    connection.busy_timeout(Duration::ZERO)?;
    let truncated = truncate_log(connection, tries);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    truncated
}

fn truncate_log(connection: &Connection, tries: u32) -> rusqlite::Result<bool> {
    for left in (0..tries).rev() {
        if connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(true);
        }
        if left > 0 {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(false)
}
