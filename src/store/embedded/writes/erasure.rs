//! Erasure of a person, down to the bytes of the files.
//!
//! Invariant: after the commit no row names the person, and zeros have overwritten their rows (`secure_delete` is on).
//! Then the writer truncates the log, which still holds the old pages. Absent on purpose: freed blocks of the file
//! system, and backups, which their operator deletes.

use rusqlite::{Connection, params};

use super::super::text_index;
use crate::domain::ids::{Partition, UserId};
use crate::domain::people::Erasure;
use crate::store::activities::{ERASE_FEEDS, ERASE_ITEM_ACTIVITY};
use crate::store::error::StoreError;

const ERASE_JOURNAL: &str = include_str!("../../../../sql/queries/erase_journal.sql");
const ERASE_SNAPSHOT: &str = include_str!("../../../../sql/queries/erase_snapshot.sql");
const ERASE_FOLLOWS: &str = include_str!("../../../../sql/queries/erase_follows.sql");
const ERASE_COORDINATOR_SNAPSHOTS: &str = include_str!("../../../../sql/queries/erase_coordinator_snapshots.sql");
const ERASE_SLATES: &str = include_str!("../../../../sql/queries/erase_slates.sql");
const ERASE_CLUSTER_MEMBERS: &str = include_str!("../../../../sql/queries/erase_cluster_members.sql");
const ERASE_TOKENS: &str = include_str!("../../../../sql/queries/erase_tokens.sql");
const ERASE_PERSON: &str = include_str!("../../../../sql/queries/erase_person.sql");
const ERASE_ITEM: &str = include_str!("../../../../sql/queries/erase_item.sql");
const ERASE_CHANGES: &str = include_str!("../../../../sql/queries/erase_changes.sql");
const WINDOWS_DELETE: &str = include_str!("../../../../sql/queries/windows_delete.sql");
const PERSON_IS_ERASED: &str = include_str!("../../../../sql/queries/person_is_erased.sql");

/// Erases a person inside the transaction of the caller.
pub(super) fn erase(connection: &Connection, erasure: &Erasure) -> Result<(), StoreError> {
    let Erasure { user, key, at, items } = erasure;
    connection.prepare_cached(ERASE_JOURNAL)?.execute([user.0])?;
    connection.prepare_cached(ERASE_SNAPSHOT)?.execute([user.0])?;
    connection.prepare_cached(ERASE_FOLLOWS)?.execute([user.0])?;
    connection.prepare_cached(ERASE_COORDINATOR_SNAPSHOTS)?.execute([])?;
    connection.prepare_cached(ERASE_SLATES)?.execute([user.0])?;
    connection.prepare_cached(ERASE_CLUSTER_MEMBERS)?.execute([])?;
    connection.prepare_cached(ERASE_TOKENS)?.execute([user.0])?;
    for statement in ERASE_FEEDS {
        connection.prepare_cached(statement)?.execute([user.0])?;
    }
    let mut statement = connection.prepare_cached(ERASE_PERSON)?;
    let found = statement.exists(params![key.as_str(), Partition::of(key).0, at.0, user.0])?;
    require(found, "person", user.0)?;
    for (item, key) in items {
        for statement in ERASE_ITEM_ACTIVITY {
            connection.prepare_cached(statement)?.execute([item.0])?;
        }
        let found = connection.prepare_cached(ERASE_ITEM)?.exists(params![key.as_str(), item.0])?;
        require(found, "item", item.0)?;
        text_index::delete(connection, *item)?;
        connection.prepare_cached(WINDOWS_DELETE)?.execute([item.0])?;
        connection.prepare_cached(ERASE_CHANGES)?.execute([item.0])?;
    }
    Ok(())
}

fn require(found: bool, what: &str, id: u32) -> Result<(), StoreError> {
    if found { Ok(()) } else { Err(StoreError::Refused(format!("there is no {what} {id} to be erased"))) }
}

/// Whether this person was erased.
pub(super) fn is_erased(connection: &Connection, user: UserId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(PERSON_IS_ERASED)?.exists([user.0])?)
}
