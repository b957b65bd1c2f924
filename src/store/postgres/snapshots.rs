//! Snapshots of the Postgres store.
//!
//! Implements `SnapshotStore`. Invariant: the rules of `store::snapshots` hold. A snapshot whose checksum does not
//! match is skipped with a warning.

use futures_util::future::BoxFuture;
use tokio_postgres::Row;

use super::handle::Postgres;
use super::reads::{Reads, clamp, one_state, without_positions};
use super::rows;
use crate::domain::ids::{Position, Seq, UserId};
use crate::store::codec::{self, COORDINATOR};
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::snapshots::{CoordinatorSnapshot, Recovered, Snapshot, SnapshotStore};

const JOURNAL_TAIL: &str = include_str!("../../../sql/queries/journal_tail.sql");
const SNAPSHOT_GET: &str = include_str!("../../../sql/queries/snapshot_get.sql");
const COORDINATOR_SNAPSHOTS_LIST: &str = include_str!("../../../sql/queries/coordinator_snapshots_list.sql");

impl SnapshotStore for Postgres {
    fn recover(&self, user: UserId) -> BoxFuture<'_, Result<Recovered, StoreError>> {
        Box::pin(self.read(self.reads.clone().recover(user)))
    }

    fn snapshot(&self, user: UserId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(self.read(self.reads.clone().snapshot(user)))
    }

    fn save_snapshot(&self, user: UserId, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(Work::Snapshot(user, snapshot)).await.map(drop) })
    }

    fn coordinator_snapshot(&self) -> BoxFuture<'_, Result<Option<CoordinatorSnapshot>, StoreError>> {
        Box::pin(self.read(self.reads.clone().coordinator_snapshot()))
    }

    fn save_coordinator_snapshot(&self, covers: Position, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(Work::CoordinatorSnapshot(covers, bytes)).await.map(drop) })
    }
}

impl Reads {
    async fn recover(self, user: UserId) -> Result<Recovered, StoreError> {
        self.within(async |client| {
            let transaction = one_state(client).await?;
            let statement = transaction.prepare_cached(SNAPSHOT_GET).await?;
            let found = transaction.query_opt(&statement, &[&i64::from(user.0)]).await?;
            let snapshot = found.map(|row| decode(user, &row)).transpose()?.flatten();
            let after = snapshot.as_ref().map_or(Seq(0), |snapshot| snapshot.seq);
            let statement = transaction.prepare_cached(JOURNAL_TAIL).await?;
            let found = transaction.query(&statement, &[&i64::from(user.0), &clamp(after.0)]).await?;
            transaction.commit().await?;
            Ok(Recovered { snapshot, tail: without_positions(&found)? })
        })
        .await
    }

    async fn snapshot(self, user: UserId) -> Result<Option<Snapshot>, StoreError> {
        let found = self.rows(SNAPSHOT_GET, &[&i64::from(user.0)]).await?;
        Ok(found.first().map(|row| decode(user, row)).transpose()?.flatten())
    }

    async fn coordinator_snapshot(self) -> Result<Option<CoordinatorSnapshot>, StoreError> {
        const TABLE: &str = "coordinator_snapshots";
        for row in self.rows(COORDINATOR_SNAPSHOTS_LIST, &[]).await? {
            let position = rows::position(TABLE, &row, 0)?;
            let (checksum, bytes): (i64, &[u8]) = (rows::get(TABLE, &row, 1)?, rows::get(TABLE, &row, 2)?);
            if codec::snapshot_checksum(COORDINATOR, position.0, bytes) == checksum {
                return Ok(Some((position, bytes.to_vec())));
            }
            tracing::warn!(position = position.0, "coordinator snapshot is unreadable: trying the one before it");
        }
        Ok(None)
    }
}

/// Decodes a snapshot; `None` when its checksum does not match.
fn decode(user: UserId, row: &Row) -> Result<Option<Snapshot>, StoreError> {
    let seq = Seq(rows::position("snapshots", row, 0)?.0);
    let (checksum, bytes): (i64, &[u8]) = (rows::get("snapshots", row, 1)?, rows::get("snapshots", row, 2)?);
    if codec::snapshot_checksum(u64::from(user.0), seq.0, bytes) == checksum {
        return Ok(Some(Snapshot { seq, bytes: bytes.to_vec() }));
    }
    tracing::warn!(user = user.0, seq = seq.0, "snapshot is unreadable: folding the whole journal of this person");
    Ok(None)
}
