//! How a person is forgotten, down to the bytes of the files.
//!
//! Invariant: after the commit no row names them, and what stood in their rows was overwritten with zeros (the writer's
//! connection has `secure_delete` on); then the log, which still holds the old pages, is copied into the file and cut to
//! nothing. Absent on purpose: blocks that the file system freed, and copies elsewhere (backups are their keeper's).

use std::time::Duration;

use rusqlite::{Connection, params};

use super::files::BUSY_TIMEOUT;
use crate::domain::ids::{Partition, UserId};
use crate::domain::people::Erasure;
use crate::store::StoreError;

const ERASE_JOURNAL: &str = include_str!("../../../sql/queries/erase_journal.sql");
const ERASE_SNAPSHOT: &str = include_str!("../../../sql/queries/erase_snapshot.sql");
const ERASE_FOLLOWS: &str = include_str!("../../../sql/queries/erase_follows.sql");
const ERASE_COORDINATOR_SNAPSHOTS: &str = include_str!("../../../sql/queries/erase_coordinator_snapshots.sql");
const ERASE_SLATES: &str = include_str!("../../../sql/queries/erase_slates.sql");
const ERASE_CLUSTER_MEMBERS: &str = include_str!("../../../sql/queries/erase_cluster_members.sql");
const ERASE_TOKENS: &str = include_str!("../../../sql/queries/erase_tokens.sql");
const ERASE_PERSON: &str = include_str!("../../../sql/queries/erase_person.sql");
const ERASE_ITEM: &str = include_str!("../../../sql/queries/erase_item.sql");
const ERASE_CHANGES: &str = include_str!("../../../sql/queries/erase_changes.sql");
const WINDOWS_DELETE: &str = include_str!("../../../sql/queries/windows_delete.sql");
const PERSON_IS_ERASED: &str = include_str!("../../../sql/queries/person_is_erased.sql");

/// Tries to cut the log, and the pause between them: a reader may still stand in it.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// Inside a transaction of somebody else.
pub(super) fn erase(connection: &Connection, erasure: &Erasure) -> Result<(), StoreError> {
    let Erasure { user, key, at, items } = erasure;
    connection.prepare_cached(ERASE_JOURNAL)?.execute([user.0])?;
    connection.prepare_cached(ERASE_SNAPSHOT)?.execute([user.0])?;
    connection.prepare_cached(ERASE_FOLLOWS)?.execute([user.0])?;
    connection.prepare_cached(ERASE_COORDINATOR_SNAPSHOTS)?.execute([])?;
    connection.prepare_cached(ERASE_SLATES)?.execute([user.0])?;
    connection.prepare_cached(ERASE_CLUSTER_MEMBERS)?.execute([])?;
    connection.prepare_cached(ERASE_TOKENS)?.execute([user.0])?;
    let mut statement = connection.prepare_cached(ERASE_PERSON)?;
    let found = statement.exists(params![key.as_str(), Partition::of(key).0, at.0, user.0])?;
    there(found, "person", user.0)?;
    for (item, key) in items {
        let found = connection.prepare_cached(ERASE_ITEM)?.exists(params![key.as_str(), item.0])?;
        there(found, "item", item.0)?;
        connection.prepare_cached(WINDOWS_DELETE)?.execute([item.0])?;
        connection.prepare_cached(ERASE_CHANGES)?.execute([item.0])?;
    }
    Ok(())
}

fn there(found: bool, what: &str, id: u32) -> Result<(), StoreError> {
    if found { Ok(()) } else { Err(StoreError::Refused(format!("there is no {what} {id} to be erased"))) }
}

/// Was this person erased?
pub(super) fn is_erased(connection: &Connection, user: UserId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(PERSON_IS_ERASED)?.exists([user.0])?)
}

/// Cuts the log; false when a reader stands in it, or the disk refuses. What cannot be cut now is cut after a later commit,
/// at the next start, or when the store is closed; until then checkpoints write over it.
pub(super) fn forget_log(connection: &Connection) -> bool {
    match patiently(connection, TRIES) {
        Ok(true) => return true,
        Ok(false) => tracing::warn!("the log of the store is being read: it will be cut later"),
        Err(error) => tracing::warn!(%error, "the log of the store could not be cut"),
    }
    false
}

/// [`forget_log`], tried once and without a word.
pub(super) fn try_to_forget_log(connection: &Connection) -> bool {
    patiently(connection, 1).unwrap_or(false)
}

fn patiently(connection: &Connection, tries: u32) -> rusqlite::Result<bool> {
    // Readers are waited for here, for a moment: everybody else waits for this thread.
    connection.busy_timeout(Duration::ZERO)?;
    let cut = cut_log(connection, tries);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    cut
}

fn cut_log(connection: &Connection, tries: u32) -> rusqlite::Result<bool> {
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
