//! The threads that read, and what they read.
//!
//! Invariant: a read sees everything that was acknowledged before it was asked, and one state of the database throughout.
//! Readers wait neither for the writer nor for a runtime. The queue holds [`QUEUE`] calls; further callers wait, in their
//! own futures. Absent on purpose: any write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, OptionalExtension, Params, Transaction, params};
use tokio::sync::{mpsc, oneshot};

use super::failures::stopped;
use super::{files, rows};
use crate::domain::ids::{ItemId, Key, Position, Seq, UserId};
use crate::domain::items::Embedding;
use crate::domain::journal::Entry;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};
use crate::store::group::{COORDINATOR, QUEUE};
use crate::store::{CatalogueRow, Recovered, Slice, Snapshot, StoreError, codec};

const JOURNAL_TAIL: &str = include_str!("../../../sql/queries/journal_tail.sql");
const JOURNAL_PAGE: &str = include_str!("../../../sql/queries/journal_page.sql");
const JOURNAL_FIND_EVENTS: &str = include_str!("../../../sql/queries/sqlite/journal_find_events.sql");
const JOURNAL_UNTIL: &str = include_str!("../../../sql/queries/journal_until.sql");
const JOURNAL_SCAN: &str = include_str!("../../../sql/queries/journal_scan.sql");
const JOURNAL_NEWEST_BY_USER: &str = include_str!("../../../sql/queries/journal_newest_by_user.sql");
const JOURNAL_NEWEST_BY_ITEM: &str = include_str!("../../../sql/queries/journal_newest_by_item.sql");
const TOPICS_LIST: &str = include_str!("../../../sql/queries/topics_list.sql");
const CENTRES_LIST: &str = include_str!("../../../sql/queries/centres_list.sql");
const PEOPLE_LIST: &str = include_str!("../../../sql/queries/people_list.sql");
const ITEMS_LIST: &str = include_str!("../../../sql/queries/items_list.sql");
const WINDOWS_LIST: &str = include_str!("../../../sql/queries/windows_list.sql");
const EMBEDDING_GET: &str = include_str!("../../../sql/queries/embedding_get.sql");
const FOLLOWS_LIST: &str = include_str!("../../../sql/queries/follows_list.sql");
const FOLLOWERS_LIST: &str = include_str!("../../../sql/queries/followers_list.sql");
const CHANGES_LIST: &str = include_str!("../../../sql/queries/changes_list.sql");
const LOADING_IS: &str = include_str!("../../../sql/queries/loading_is.sql");
const SNAPSHOT_GET: &str = include_str!("../../../sql/queries/snapshot_get.sql");
const COORDINATOR_SNAPSHOTS_LIST: &str = include_str!("../../../sql/queries/coordinator_snapshots_list.sql");

/// How many read at once: reading the whole catalogue must not keep people from being recovered.
const READERS: usize = 4;

/// Lines that one check of the file gives at most.
const CHECK_LINES: u32 = 20;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The threads' handle. Dropping it lets them finish what waits, and waits for them.
pub(super) struct Readers {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(super) fn start(database: &Path) -> Result<Readers, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let readers = Readers { jobs: Mutex::new(Some(jobs)), threads: Mutex::new(Vec::with_capacity(READERS)) };
        for number in 0..READERS {
            let (connection, queue) = (files::reader(database)?, queue.clone());
            let thread = thread::Builder::new()
                .name(format!("store-reader-{number}"))
                .spawn(move || run(connection, &queue))
                .map_err(|error| StoreError::Unavailable(format!("no thread for a reader: {error}")))?;
            readers.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(readers)
    }

    /// Runs a query. It is given the means to ask whether anybody still waits for the answer.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Transaction<'_>, &dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let found = match connection.transaction() {
                Ok(transaction) => query(&transaction, &|| !answer.is_closed()),
                Err(error) => Err(error.into()),
            };
            // Nobody waits any more: nothing to do.
            let _ = answer.send(found);
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())?;
        drop(jobs);
        answered.await.map_err(|_| StoreError::Unavailable("the reader panicked, see the log".into()))?
    }
}

impl Readers {
    /// Lets the threads finish what waits, and waits for them.
    pub(super) fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A catalogue's callback may hold the last reference to the store: a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a reader of the store panicked");
            }
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(mut connection: Connection, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        // The catalogue's callback is not ours: its panic must not cost us the thread.
        if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
            tracing::error!("a read of the store panicked");
        }
    }
}

/// Rows of a query over the journal.
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

/// Numbers above `i64::MAX` are after everything that is stored.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn recover(connection: &Connection, user: UserId) -> Result<Recovered, StoreError> {
    let snapshot = snapshot(connection, user)?;
    let after = snapshot.as_ref().map_or(Seq(0), |snapshot| snapshot.seq);
    let tail = without_positions(entries(connection, JOURNAL_TAIL, params![user.0, clamp(after.0)])?);
    Ok(Recovered { snapshot, tail })
}

/// The newest snapshot of a person; `None` for one that is torn, too.
pub(super) fn snapshot(connection: &Connection, user: UserId) -> Result<Option<Snapshot>, StoreError> {
    let row = connection
        .prepare_cached(SNAPSHOT_GET)?
        .query_row([user.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?)))
        .optional()?;
    Ok(row.and_then(|(seq, checksum, bytes)| {
        let seq = Seq(seq.cast_unsigned());
        if codec::snapshot_checksum(u64::from(user.0), seq.0, &bytes) == checksum {
            return Some(Snapshot { seq, bytes });
        }
        tracing::warn!(user = user.0, seq = seq.0, "snapshot is unreadable: learning again from the whole journal");
        None
    }))
}

/// One page of a person's entries, see [`crate::store::Store::entries`].
pub(super) fn page(
    connection: &Connection,
    user: UserId,
    after: Seq,
    until: Millis,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    Ok(without_positions(entries(connection, JOURNAL_PAGE, params![user.0, clamp(after.0), until.0, limit])?))
}

/// Those of these events that are stored.
pub(super) fn find_events(connection: &Connection, user: UserId, ids: &[Key]) -> Result<Vec<Entry>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(Key::as_str).collect();
    let ids = serde_json::to_string(&ids).map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok(without_positions(entries(connection, JOURNAL_FIND_EVENTS, params![user.0, ids])?))
}

pub(super) fn entries_until(connection: &Connection, user: UserId, at: Millis) -> Result<Vec<Entry>, StoreError> {
    Ok(without_positions(entries(connection, JOURNAL_UNTIL, params![user.0, at.0])?))
}

pub(super) fn scan(connection: &Connection, after: Position, limit: u32) -> Result<Vec<(Position, Entry)>, StoreError> {
    entries(connection, JOURNAL_SCAN, params![clamp(after.0), limit])
}

pub(super) fn newest(connection: &Connection, slice: Slice, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let (sql, id) = match slice {
        Slice::User(user) => (JOURNAL_NEWEST_BY_USER, user.0),
        Slice::Item(item) => (JOURNAL_NEWEST_BY_ITEM, item.0),
    };
    Ok(without_positions(entries(connection, sql, params![id, limit])?))
}

pub(super) fn coordinator_snapshot(connection: &Connection) -> Result<Option<(Position, Vec<u8>)>, StoreError> {
    let mut statement = connection.prepare_cached(COORDINATOR_SNAPSHOTS_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (position, checksum): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (position, bytes) = (position.cast_unsigned(), row.get::<_, Vec<u8>>(2)?);
        if codec::snapshot_checksum(COORDINATOR, position, &bytes) == checksum {
            return Ok(Some((Position(position), bytes)));
        }
        tracing::warn!(position, "coordinator snapshot is unreadable: taking the one before it");
    }
    Ok(None)
}

/// Was a dump loaded in part only?
pub(super) fn is_loading(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(LOADING_IS)?.exists([])?)
}

/// What SQLite's own check finds wrong with the file, at most [`CHECK_LINES`] lines; none in a sound one.
pub(super) fn quick_check(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA quick_check({CHECK_LINES})"))?;
    let lines = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

pub(super) fn embedding(connection: &Connection, item: ItemId, revision: u32) -> Result<Option<Embedding>, StoreError> {
    let mut statement = connection.prepare_cached(EMBEDDING_GET)?;
    let mut found = statement.query(params![item.0, revision])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let unreadable = || rows::corrupt("embeddings", format!("bytes of item_id {}, revision {revision}", item.0));
    rows::vector(row.get_ref(0)?).map(Some).ok_or_else(unreadable)
}

pub(super) fn follows(connection: &Connection, user: UserId) -> Result<Vec<UserId>, StoreError> {
    let mut statement = connection.prepare_cached(FOLLOWS_LIST)?;
    let found = statement.query_map([user.0], |row| Ok(UserId(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn followers(connection: &Connection, user: UserId) -> Result<Vec<UserId>, StoreError> {
    let mut statement = connection.prepare_cached(FOLLOWERS_LIST)?;
    let found = statement.query_map([user.0], |row| Ok(UserId(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Hands over the whole catalogue in the order that [`CatalogueRow`] states, as long as somebody waits for it.
pub(super) fn catalogue(
    connection: &Connection,
    each: &mut dyn FnMut(CatalogueRow),
    wanted: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let mut list = |sql: &str, read: &dyn Fn(&rusqlite::Row<'_>) -> Result<CatalogueRow, StoreError>| {
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()?
            && wanted()
        {
            each(read(row)?);
        }
        Ok::<(), StoreError>(())
    };
    list(TOPICS_LIST, &|row| rows::topic(row).map(|(id, key)| CatalogueRow::Topic(id, key)))?;
    list(CENTRES_LIST, &|row| rows::centre(row).map(|(name, vector)| CatalogueRow::Centre(name, vector)))?;
    list(PEOPLE_LIST, &|row| rows::person(row).map(CatalogueRow::Person))?;
    items(connection, each, wanted)?;
    let mut statement = connection.prepare_cached(CHANGES_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()?
        && wanted()
    {
        let (change, since) = rows::change(row)?;
        each(CatalogueRow::Since(change, since));
    }
    Ok(())
}

/// Items and windows are both read in order of the item, side by side.
fn items(
    connection: &Connection,
    each: &mut dyn FnMut(CatalogueRow),
    wanted: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(WINDOWS_LIST)?;
    let mut windows = statement
        .query_map([], |row| {
            let window = Window { start: Millis(row.get(1)?), stop: row.get::<_, Option<i64>>(2)?.map(Millis) };
            Ok((row.get::<_, u32>(0)?, window))
        })?
        .peekable();
    let mut statement = connection.prepare_cached(ITEMS_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()?
        && wanted()
    {
        let id: u32 = row.get(0)?;
        let mut own = Vec::new();
        // An error ends the pairing, too: it is reported here, not lost.
        while let Some(next) = windows.next_if(|next| next.as_ref().map_or(true, |(item, _)| *item == id)) {
            own.push(next?.1);
        }
        let own = Windows::new(own).map_err(|error| rows::corrupt("windows", format!("item_id {id}: {error}")))?;
        each(CatalogueRow::Item(rows::item(row, own)?));
    }
    Ok(())
}
