//! Names of the files in the directory of a store, and how long a connection waits for another one.
//!
//! Invariant: constants only.

use std::time::Duration;

/// Name of the database in the directory. SQLite puts `-wal` and `-shm` beside it while it is open.
pub(super) const DATABASE: &str = "eddyline.db";

/// Name of the lock file in the directory.
pub(super) const LOCK: &str = "eddyline.lock";

/// Time for which a connection waits for a lock of another connection, before it fails with `SQLITE_BUSY`.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
