//! The journal of the embedded store.
//!
//! Implements `JournalStore`. Invariant: the rules of `store::journal` hold. An entry under another number than the
//! next one of its person is [`Outcome::Refused`]: the caller learned from a state that is not stored.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, Params, params};

use super::handle::Embedded;
use super::rows;
use crate::domain::ids::{ItemId, Key, Position, Seq, UserId};
use crate::domain::interactions::{Kind, Standing};
use crate::domain::journal::Entry;
use crate::domain::time::Millis;
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::journal::{JournalStore, Outcome, Slice, StandingItem, Write, writable};

const JOURNAL_TAIL: &str = include_str!("../../../sql/queries/journal_tail.sql");
const JOURNAL_PAGE: &str = include_str!("../../../sql/queries/journal_page.sql");
const JOURNAL_FIND_EVENTS: &str = include_str!("../../../sql/queries/sqlite/journal_find_events.sql");
const JOURNAL_UNTIL: &str = include_str!("../../../sql/queries/journal_until.sql");
const JOURNAL_SCAN: &str = include_str!("../../../sql/queries/journal_scan.sql");
const JOURNAL_NEWEST_BY_USER: &str = include_str!("../../../sql/queries/journal_newest_by_user.sql");
const JOURNAL_NEWEST_BY_ITEM: &str = include_str!("../../../sql/queries/journal_newest_by_item.sql");
const JOURNAL_STANDING_OF_ITEM: &str = include_str!("../../../sql/queries/journal_standing_of_item.sql");
const JOURNAL_STANDING: &str = include_str!("../../../sql/queries/journal_standing.sql");

impl JournalStore for Embedded {
    fn append(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move {
            writable(&batch)?;
            self.writer.ask(Work::Append(batch)).await
        })
    }

    fn entries(
        &self,
        user: UserId,
        after: Seq,
        until: Millis,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| page(connection, user, after, until, limit)))
    }

    fn entries_until(&self, user: UserId, at: Millis) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| entries_until(connection, user, at)))
    }

    fn scan(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| scan(connection, after, limit)))
    }

    fn newest(
        &self,
        slice: Slice,
        before: Option<u64>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| newest(connection, slice, before, limit)))
    }

    fn find_events(&self, user: UserId, ids: Vec<Key>) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| find_events(connection, user, &ids)))
    }

    fn standing_of_item(
        &self,
        user: UserId,
        standing: Standing,
        item: ItemId,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Seq>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| standing_of_item(connection, user, standing, item, limit)))
    }

    fn standing(
        &self,
        user: UserId,
        standing: Standing,
        before: Seq,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<StandingItem>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| self::standing(connection, user, standing, before, limit)))
    }
}

/// All entries of a person after a sequence number, in order.
pub(super) fn tail(connection: &Connection, user: UserId, after: Seq) -> Result<Vec<Entry>, StoreError> {
    Ok(without_positions(entries(connection, JOURNAL_TAIL, params![user.0, clamp(after.0)])?))
}

fn page(
    connection: &Connection,
    user: UserId,
    after: Seq,
    until: Millis,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    Ok(without_positions(entries(connection, JOURNAL_PAGE, params![user.0, clamp(after.0), until.0, limit])?))
}

fn find_events(connection: &Connection, user: UserId, ids: &[Key]) -> Result<Vec<Entry>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(Key::as_str).collect();
    let ids = serde_json::to_string(&ids).map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok(without_positions(entries(connection, JOURNAL_FIND_EVENTS, params![user.0, ids])?))
}

fn standing_of_item(
    connection: &Connection,
    user: UserId,
    standing: Standing,
    item: ItemId,
    limit: u32,
) -> Result<Vec<Seq>, StoreError> {
    let [one, other] = standing.kinds().map(Kind::name);
    let mut statement = connection.prepare_cached(JOURNAL_STANDING_OF_ITEM)?;
    let mut found = statement.query(params![user.0, item.0, one, other, limit])?;
    let mut seqs = Vec::new();
    while let Some(row) = found.next()? {
        seqs.push(Seq(row.get::<_, i64>(0)?.cast_unsigned()));
    }
    Ok(seqs)
}

fn standing(
    connection: &Connection,
    user: UserId,
    standing: Standing,
    before: Seq,
    limit: u32,
) -> Result<Vec<StandingItem>, StoreError> {
    let [one, other] = standing.kinds().map(Kind::name);
    let mut statement = connection.prepare_cached(JOURNAL_STANDING)?;
    let mut found = statement.query(params![user.0, one, other, clamp(before.0), limit])?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        items.push(rows::standing(row)?);
    }
    Ok(items)
}

fn entries_until(connection: &Connection, user: UserId, at: Millis) -> Result<Vec<Entry>, StoreError> {
    Ok(without_positions(entries(connection, JOURNAL_UNTIL, params![user.0, at.0])?))
}

fn scan(connection: &Connection, after: Position, limit: u32) -> Result<Vec<(Position, Entry)>, StoreError> {
    entries(connection, JOURNAL_SCAN, params![clamp(after.0), limit])
}

fn newest(
    connection: &Connection,
    slice: Slice,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<(Position, Entry)>, StoreError> {
    let (sql, id) = match slice {
        Slice::User(user) => (JOURNAL_NEWEST_BY_USER, user.0),
        Slice::Item(item) => (JOURNAL_NEWEST_BY_ITEM, item.0),
    };
    entries(connection, sql, params![id, clamp(before.unwrap_or(u64::MAX)), limit])
}

/// Runs a query over the journal and decodes its rows.
fn entries(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<(Position, Entry)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(parameters)?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        entries.push(rows::entry(row)?);
    }
    Ok(entries)
}

fn without_positions(entries: Vec<(Position, Entry)>) -> Vec<Entry> {
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// Clamps a number to a signed column: no stored number is above `i64::MAX`.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
