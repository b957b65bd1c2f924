//! Snapshots of the embedded store.
//!
//! Implements `SnapshotStore`. Invariant: the rules of `store::snapshots` hold. A snapshot whose checksum does not
//! match is skipped with a warning.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension};

use super::handle::Embedded;
use super::journal;
use crate::domain::ids::{Position, Seq, UserId};
use crate::store::codec::{self, COORDINATOR};
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::snapshots::{CoordinatorSnapshot, Recovered, Snapshot, SnapshotStore};

const SNAPSHOT_GET: &str = include_str!("../../../sql/queries/snapshot_get.sql");
const COORDINATOR_SNAPSHOTS_LIST: &str = include_str!("../../../sql/queries/coordinator_snapshots_list.sql");

impl SnapshotStore for Embedded {
    fn recover(&self, user: UserId) -> BoxFuture<'_, Result<Recovered, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| recover(connection, user)))
    }

    fn snapshot(&self, user: UserId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| snapshot(connection, user)))
    }

    fn save_snapshot(&self, user: UserId, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Snapshot(user, snapshot)).await.map(drop) })
    }

    fn coordinator_snapshot(&self) -> BoxFuture<'_, Result<Option<CoordinatorSnapshot>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| coordinator_snapshot(connection)))
    }

    fn save_coordinator_snapshot(&self, covers: Position, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::CoordinatorSnapshot(covers, bytes)).await.map(drop) })
    }
}

fn recover(connection: &Connection, user: UserId) -> Result<Recovered, StoreError> {
    let snapshot = snapshot(connection, user)?;
    let after = snapshot.as_ref().map_or(Seq(0), |snapshot| snapshot.seq);
    let tail = journal::tail(connection, user, after)?;
    Ok(Recovered { snapshot, tail })
}

/// The newest snapshot of a person; `None` when its checksum does not match, too.
fn snapshot(connection: &Connection, user: UserId) -> Result<Option<Snapshot>, StoreError> {
    let row = connection
        .prepare_cached(SNAPSHOT_GET)?
        .query_row([user.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?)))
        .optional()?;
    Ok(row.and_then(|(seq, checksum, bytes)| {
        let seq = Seq(seq.cast_unsigned());
        if codec::snapshot_checksum(u64::from(user.0), seq.0, &bytes) == checksum {
            return Some(Snapshot { seq, bytes });
        }
        tracing::warn!(user = user.0, seq = seq.0, "snapshot is unreadable: folding the whole journal of this person");
        None
    }))
}

fn coordinator_snapshot(connection: &Connection) -> Result<Option<CoordinatorSnapshot>, StoreError> {
    let mut statement = connection.prepare_cached(COORDINATOR_SNAPSHOTS_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (position, checksum): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (position, bytes) = (position.cast_unsigned(), row.get::<_, Vec<u8>>(2)?);
        if codec::snapshot_checksum(COORDINATOR, position, &bytes) == checksum {
            return Ok(Some((Position(position), bytes)));
        }
        tracing::warn!(position, "coordinator snapshot is unreadable: trying the one before it");
    }
    Ok(None)
}
