//! The journal of the Postgres store.
//!
//! Implements `JournalStore`. Invariant: the rules of `store::journal` hold.

use futures_util::future::BoxFuture;

use super::handle::Postgres;
use super::reads::{Reads, clamp, without_positions};
use super::rows::{self, Instant};
use crate::domain::ids::{ItemId, Key, Position, Seq, UserId};
use crate::domain::interactions::{Kind, Standing};
use crate::domain::journal::Entry;
use crate::domain::time::Millis;
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::journal::{JournalStore, Outcome, Slice, StandingItem, Write, writable};

const JOURNAL_UNTIL: &str = include_str!("../../../sql/queries/journal_until.sql");
const JOURNAL_SCAN: &str = include_str!("../../../sql/queries/journal_scan.sql");
const JOURNAL_NEWEST_BY_USER: &str = include_str!("../../../sql/queries/journal_newest_by_user.sql");
const JOURNAL_NEWEST_BY_ITEM: &str = include_str!("../../../sql/queries/journal_newest_by_item.sql");
const JOURNAL_PAGE: &str = include_str!("../../../sql/queries/journal_page.sql");
const JOURNAL_FIND_EVENTS: &str = include_str!("../../../sql/queries/postgres/journal_find_events.sql");
const JOURNAL_STANDING_OF_ITEM: &str = include_str!("../../../sql/queries/journal_standing_of_item.sql");
const JOURNAL_STANDING: &str = include_str!("../../../sql/queries/journal_standing.sql");

impl JournalStore for Postgres {
    fn append(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move {
            writable(&batch)?;
            self.write(Work::Append(batch)).await
        })
    }

    fn entries(
        &self,
        user: UserId,
        after: Seq,
        until: Millis,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.read(self.reads.clone().page(user, after, until, limit)))
    }

    fn entries_until(&self, user: UserId, at: Millis) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.read(self.reads.clone().entries_until(user, at)))
    }

    fn scan(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>> {
        Box::pin(self.read(self.reads.clone().scan(after, limit)))
    }

    fn newest(
        &self,
        slice: Slice,
        before: Option<u64>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>> {
        Box::pin(self.read(self.reads.clone().newest(slice, before, limit)))
    }

    fn find_events(&self, user: UserId, ids: Vec<Key>) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.read(self.reads.clone().find_events(user, ids)))
    }

    fn standing_of_item(
        &self,
        user: UserId,
        standing: Standing,
        item: ItemId,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Seq>, StoreError>> {
        Box::pin(self.read(self.reads.clone().standing_of_item(user, standing, item, limit)))
    }

    fn standing(
        &self,
        user: UserId,
        standing: Standing,
        before: Seq,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<StandingItem>, StoreError>> {
        Box::pin(self.read(self.reads.clone().standing(user, standing, before, limit)))
    }
}

impl Reads {
    async fn page(self, user: UserId, after: Seq, until: Millis, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let (user, limit) = (i64::from(user.0), i64::from(limit));
        without_positions(&self.rows(JOURNAL_PAGE, &[&user, &clamp(after.0), &Instant::nearest(until), &limit]).await?)
    }

    async fn entries_until(self, user: UserId, at: Millis) -> Result<Vec<Entry>, StoreError> {
        let found = self.rows(JOURNAL_UNTIL, &[&i64::from(user.0), &Instant::nearest(at)]).await?;
        without_positions(&found)
    }

    async fn scan(self, after: Position, limit: u32) -> Result<Vec<(Position, Entry)>, StoreError> {
        let found = self.rows(JOURNAL_SCAN, &[&clamp(after.0), &i64::from(limit)]).await?;
        found.iter().map(rows::entry).collect()
    }

    async fn newest(self, slice: Slice, before: Option<u64>, limit: u32) -> Result<Vec<(Position, Entry)>, StoreError> {
        let (sql, id) = match slice {
            Slice::User(user) => (JOURNAL_NEWEST_BY_USER, user.0),
            Slice::Item(item) => (JOURNAL_NEWEST_BY_ITEM, item.0),
        };
        let before = clamp(before.unwrap_or(u64::MAX));
        let found = self.rows(sql, &[&i64::from(id), &before, &i64::from(limit)]).await?;
        found.iter().map(rows::entry).collect()
    }

    async fn standing_of_item(
        self,
        user: UserId,
        standing: Standing,
        item: ItemId,
        limit: u32,
    ) -> Result<Vec<Seq>, StoreError> {
        let [one, other] = standing.kinds().map(Kind::name);
        let (user, item) = (i64::from(user.0), i64::from(item.0));
        let found = self.rows(JOURNAL_STANDING_OF_ITEM, &[&user, &item, &one, &other, &i64::from(limit)]).await?;
        found.iter().map(|row| rows::position("journal", row, 0).map(|seq| Seq(seq.0))).collect()
    }

    async fn standing(
        self,
        user: UserId,
        standing: Standing,
        before: Seq,
        limit: u32,
    ) -> Result<Vec<StandingItem>, StoreError> {
        let [one, other] = standing.kinds().map(Kind::name);
        let (user, before, limit) = (i64::from(user.0), clamp(before.0), i64::from(limit));
        let found = self.rows(JOURNAL_STANDING, &[&user, &one, &other, &before, &limit]).await?;
        found.iter().map(rows::standing).collect()
    }

    async fn find_events(self, user: UserId, ids: Vec<Key>) -> Result<Vec<Entry>, StoreError> {
        let users = vec![i64::from(user.0); ids.len()];
        let ids: Vec<&str> = ids.iter().map(Key::as_str).collect();
        without_positions(&self.rows(JOURNAL_FIND_EVENTS, &[&users, &ids]).await?)
    }
}
