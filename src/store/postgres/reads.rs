//! The connections that read, and what they read.
//!
//! Invariant: a read sees everything that was acknowledged before it was asked. Whatever takes more than one statement
//! sees one state of the database throughout (repeatable read, read only); one statement does so by itself (read
//! committed). Every read has an end. Absent on purpose: any write.

use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use futures_util::TryStreamExt as _;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use super::failures::late;
use super::pool::Client;
use super::rows::{self, Instant};
use crate::domain::ids::{ItemId, Key, Position, Seq, UserId};
use crate::domain::items::Embedding;
use crate::domain::journal::Entry;
use crate::domain::time::Millis;
use crate::domain::windows::Window;
use crate::store::group::COORDINATOR;
use crate::store::{CatalogueRow, Recovered, Slice, Snapshot, StoreError, codec};

const JOURNAL_TAIL: &str = include_str!("../../../sql/queries/journal_tail.sql");
const JOURNAL_UNTIL: &str = include_str!("../../../sql/queries/journal_until.sql");
const JOURNAL_SCAN: &str = include_str!("../../../sql/queries/journal_scan.sql");
const JOURNAL_NEWEST_BY_USER: &str = include_str!("../../../sql/queries/journal_newest_by_user.sql");
const JOURNAL_NEWEST_BY_ITEM: &str = include_str!("../../../sql/queries/journal_newest_by_item.sql");
const JOURNAL_PAGE: &str = include_str!("../../../sql/queries/journal_page.sql");
const JOURNAL_FIND_EVENTS: &str = include_str!("../../../sql/queries/postgres/journal_find_events.sql");
const TOPICS_LIST: &str = include_str!("../../../sql/queries/topics_list.sql");
const CENTRES_LIST: &str = include_str!("../../../sql/queries/centres_list.sql");
const CHANGES_LIST: &str = include_str!("../../../sql/queries/changes_list.sql");
const FOLLOWERS_LIST: &str = include_str!("../../../sql/queries/followers_list.sql");
const PEOPLE_LIST: &str = include_str!("../../../sql/queries/people_list.sql");
const ITEMS_LIST: &str = include_str!("../../../sql/queries/items_list.sql");
const WINDOWS_LIST: &str = include_str!("../../../sql/queries/windows_list.sql");
const EMBEDDING_GET: &str = include_str!("../../../sql/queries/embedding_get.sql");
const FOLLOWS_LIST: &str = include_str!("../../../sql/queries/follows_list.sql");
const SNAPSHOT_GET: &str = include_str!("../../../sql/queries/snapshot_get.sql");
const COORDINATOR_SNAPSHOTS_LIST: &str = include_str!("../../../sql/queries/coordinator_snapshots_list.sql");

/// Parameters of a statement.
type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// The pool of those who read.
#[derive(Clone)]
pub(super) struct Reads {
    pub(super) pool: Pool,
    pub(super) patience: Duration,
}

impl Reads {
    pub(super) async fn recover(self, user: UserId) -> Result<Recovered, StoreError> {
        self.within(async |client| {
            let transaction = one_state(client).await?;
            let statement = transaction.prepare_cached(SNAPSHOT_GET).await?;
            let found = transaction.query_opt(&statement, &[&i64::from(user.0)]).await?;
            let snapshot = found.map(|row| snapshot(user, &row)).transpose()?.flatten();
            let after = snapshot.as_ref().map_or(Seq(0), |snapshot| snapshot.seq);
            let statement = transaction.prepare_cached(JOURNAL_TAIL).await?;
            let found = transaction.query(&statement, &[&i64::from(user.0), &clamp(after.0)]).await?;
            transaction.commit().await?;
            Ok(Recovered { snapshot, tail: without_positions(&found)? })
        })
        .await
    }

    pub(super) async fn snapshot(self, user: UserId) -> Result<Option<Snapshot>, StoreError> {
        let found = self.rows(SNAPSHOT_GET, &[&i64::from(user.0)]).await?;
        Ok(found.first().map(|row| snapshot(user, row)).transpose()?.flatten())
    }

    pub(super) async fn page(
        self,
        user: UserId,
        after: Seq,
        until: Millis,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let (user, limit) = (i64::from(user.0), i64::from(limit));
        without_positions(&self.rows(JOURNAL_PAGE, &[&user, &clamp(after.0), &Instant::nearest(until), &limit]).await?)
    }

    pub(super) async fn entries_until(self, user: UserId, at: Millis) -> Result<Vec<Entry>, StoreError> {
        let found = self.rows(JOURNAL_UNTIL, &[&i64::from(user.0), &Instant::nearest(at)]).await?;
        without_positions(&found)
    }

    pub(super) async fn scan(self, after: Position, limit: u32) -> Result<Vec<(Position, Entry)>, StoreError> {
        let found = self.rows(JOURNAL_SCAN, &[&clamp(after.0), &i64::from(limit)]).await?;
        found.iter().map(rows::entry).collect()
    }

    pub(super) async fn newest(self, slice: Slice, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let (sql, id) = match slice {
            Slice::User(user) => (JOURNAL_NEWEST_BY_USER, user.0),
            Slice::Item(item) => (JOURNAL_NEWEST_BY_ITEM, item.0),
        };
        without_positions(&self.rows(sql, &[&i64::from(id), &i64::from(limit)]).await?)
    }

    pub(super) async fn coordinator_snapshot(self) -> Result<Option<(Position, Vec<u8>)>, StoreError> {
        const TABLE: &str = "coordinator_snapshots";
        for row in self.rows(COORDINATOR_SNAPSHOTS_LIST, &[]).await? {
            let position = rows::position(TABLE, &row, 0)?;
            let (checksum, bytes): (i64, &[u8]) = (rows::get(TABLE, &row, 1)?, rows::get(TABLE, &row, 2)?);
            if codec::snapshot_checksum(COORDINATOR, position.0, bytes) == checksum {
                return Ok(Some((position, bytes.to_vec())));
            }
            tracing::warn!(position = position.0, "coordinator snapshot is unreadable: taking the one before it");
        }
        Ok(None)
    }

    pub(super) async fn find_events(self, user: UserId, ids: Vec<Key>) -> Result<Vec<Entry>, StoreError> {
        let users = vec![i64::from(user.0); ids.len()];
        let ids: Vec<&str> = ids.iter().map(Key::as_str).collect();
        without_positions(&self.rows(JOURNAL_FIND_EVENTS, &[&users, &ids]).await?)
    }

    pub(super) async fn embedding(self, item: ItemId, revision: u32) -> Result<Option<Embedding>, StoreError> {
        let found = self.rows(EMBEDDING_GET, &[&i64::from(item.0), &i64::from(revision)]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let unreadable = || rows::corrupt("embeddings", format!("bytes of item_id {}, revision {revision}", item.0));
        codec::embedding_from_bytes(rows::get("embeddings", row, 0)?).map(Some).ok_or_else(unreadable)
    }

    pub(super) async fn follows(self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        let found = self.rows(FOLLOWS_LIST, &[&i64::from(user.0)]).await?;
        found.iter().map(|row| Ok(UserId(rows::number("follows", row, 0)?))).collect()
    }

    pub(super) async fn followers(self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        let found = self.rows(FOLLOWERS_LIST, &[&i64::from(user.0)]).await?;
        found.iter().map(|row| Ok(UserId(rows::number("follows", row, 0)?))).collect()
    }

    /// Hands over the whole catalogue in the order that [`CatalogueRow`] states.
    pub(super) async fn catalogue(self, mut each: Box<dyn FnMut(CatalogueRow) + Send>) -> Result<(), StoreError> {
        let mut client = timeout(self.patience, self.pool.get()).await.map_err(|_| late())??;
        let transaction = one_state(&mut client).await?;
        // However long all of it takes: each row has its own end, below.
        transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
        let mut windows: Vec<(u32, Window)> = Vec::new();
        let each = &mut each;
        self.list(&transaction, TOPICS_LIST, &mut |row| {
            rows::topic(row).map(|(id, key)| each(CatalogueRow::Topic(id, key)))
        })
        .await?;
        self.list(&transaction, CENTRES_LIST, &mut |row| {
            rows::centre(row).map(|(name, vector)| each(CatalogueRow::Centre(name, vector)))
        })
        .await?;
        self.list(&transaction, PEOPLE_LIST, &mut |row| {
            rows::person(row).map(|person| each(CatalogueRow::Person(person)))
        })
        .await?;
        self.list(&transaction, WINDOWS_LIST, &mut |row| rows::window(row).map(|window| windows.push(window))).await?;
        // Both in order of the item: the windows of one item stand together, and are met once.
        let mut windows = windows.into_iter().peekable();
        self.list(&transaction, ITEMS_LIST, &mut |row| {
            let id = rows::item_id(row)?;
            let mut own = Vec::new();
            while let Some((_, window)) = windows.next_if(|(item, _)| *item == id) {
                own.push(window);
            }
            each(CatalogueRow::Item(rows::item(row, own)?));
            Ok(())
        })
        .await?;
        self.list(&transaction, CHANGES_LIST, &mut |row| {
            rows::change(row).map(|(change, since)| each(CatalogueRow::Since(change, since)))
        })
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn list(
        &self,
        transaction: &Transaction<'_>,
        sql: &str,
        each: &mut (dyn FnMut(&Row) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        let statement = transaction.prepare_cached(sql).await?;
        let none: [&(dyn ToSql + Sync); 0] = [];
        let found = timeout(self.patience, transaction.query_raw(&statement, none)).await.map_err(|_| late())??;
        let mut found = std::pin::pin!(found);
        while let Some(row) = timeout(self.patience, found.try_next()).await.map_err(|_| late())?? {
            each(&row)?;
        }
        Ok(())
    }

    async fn rows(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let read = async {
            let client = self.pool.get().await?;
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, parameters).await?)
        };
        timeout(self.patience, read).await.unwrap_or_else(|_| Err(late()))
    }

    async fn within<T>(&self, work: impl AsyncFnOnce(&mut Client) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let read = async {
            let mut client = self.pool.get().await?;
            work(&mut client).await
        };
        timeout(self.patience, read).await.unwrap_or_else(|_| Err(late()))
    }
}

/// A transaction that sees one state of the database.
async fn one_state(client: &mut Client) -> Result<Transaction<'_>, StoreError> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    Ok(transaction.start().await?)
}

fn snapshot(user: UserId, row: &Row) -> Result<Option<Snapshot>, StoreError> {
    let seq = Seq(rows::position("snapshots", row, 0)?.0);
    let (checksum, bytes): (i64, &[u8]) = (rows::get("snapshots", row, 1)?, rows::get("snapshots", row, 2)?);
    if codec::snapshot_checksum(u64::from(user.0), seq.0, bytes) == checksum {
        return Ok(Some(Snapshot { seq, bytes: bytes.to_vec() }));
    }
    tracing::warn!(user = user.0, seq = seq.0, "snapshot is unreadable: learning again from the whole journal");
    Ok(None)
}

fn without_positions(found: &[Row]) -> Result<Vec<Entry>, StoreError> {
    found.iter().map(|row| rows::entry(row).map(|(_, entry)| entry)).collect()
}

/// Numbers above `i64::MAX` are after everything that is stored.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
