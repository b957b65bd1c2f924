//! The embedded store: SQLite, compiled in, one file in a directory of its own.
//!
//! Invariant: what `append` has acknowledged was written to the log and synced (WAL with `synchronous = FULL`), so it
//! survives `kill -9` and, as far as disk and file system keep the word that they give to `fsync`, a power cut. The log is
//! copied into the file by SQLite's own checkpoints (every 1,000 pages, the default); reading it again is all the repair
//! there is. One process has the directory at a time. Absent on purpose: a server, a second writer, networked file
//! systems.
//!
//! `(user, event id)` and `(user, seq)` are unique indexes. Beyond what the trait says: an entry that is not the next one
//! of its person (their last `seq` plus one) is [`Outcome::Refused`] like one after a duplicate, since the state that it
//! was learned in is not the one that is stored; the same goes for later entries of that person in the batch. A write
//! that is no entry is answered by the position where the journal ended then.
//!
//! A store whose files were deleted or replaced acknowledges nothing more. [`Store::close`] folds the log into the file and
//! removes it.
//!
//! Read in this order: `files` (directory, lock), `migrations` (schema), `writer` (group commit), `writes` (what a write does),
//! `erasure` (what it does to forget), `access` (keys and tokens), `slates` (drawn feeds), `fits` (groups of people),
//! `models` (two-tower models), `reader` (queries), `rows` (columns as words),
//! `failures`.

mod access;
mod erasure;
mod failures;
mod files;
mod migrations;
mod reader;
mod rows;
mod fits;
mod models;
mod slates;
mod writer;
mod writes;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use self::reader::Readers;
use self::writer::Writer;
use super::access::{Change, SigningKey, TokenRecord};
use super::group::Work;
use super::models::{Change as ModelChange, KeptModel, NewModel, Publication};
use super::{CatalogueRow, Outcome, Recovered, Slice, Snapshot, Store, StoreError, StoredFit, Write, writable};
use crate::domain::feeds::Slate;
use crate::domain::ids::{FeedVersion, ItemId, Key, ModelVersion, Position, Seq, UserId};
use crate::domain::items::Embedding;
use crate::domain::journal::Entry;
use crate::domain::time::Millis;

/// The store in a directory. Its futures run on any executor; dropping one does not take back what it asked for.
pub struct Embedded {
    // Closed in this order: all that was queued is answered, the log goes into the file, the lock comes last.
    readers: Readers,
    writer: Writer,
    lock: Mutex<Option<files::Lock>>,
}

impl Embedded {
    /// Opens the store in `directory`, which is made where it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process (or this one) has it open, [`StoreError::Newer`] when a newer program
    /// wrote it, [`StoreError::Corrupt`] when it is no database of ours, [`StoreError::Unavailable`] when the directory
    /// cannot be used, [`StoreError::Gone`] when its database is missing or empty and the directory has held a store.
    pub fn open(directory: &Path) -> Result<Embedded, StoreError> {
        let mut lock = files::take(directory)?;
        let database = directory.join(files::DATABASE);
        let connection = files::writer(&database, &mut lock)?;
        let writer = Writer::start(connection, files::Files::of(&database)?)?;
        let readers = Readers::start(&database)?;
        Ok(Embedded { readers, writer, lock: Mutex::new(Some(lock)) })
    }

    /// Did it change anything?
    fn change(&self, change: Change) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let outcomes = self.writer.ask(Work::Access(change)).await?;
            Ok(matches!(outcomes[..], [Outcome::Stored(_)]))
        })
    }

    async fn model(&self, change: ModelChange) -> Result<Outcome, StoreError> {
        let outcomes = self.writer.ask(Work::Model(change)).await?;
        Ok(outcomes.first().copied().unwrap_or(Outcome::Refused))
    }

    /// Applies the first migrations and no more, for tests of what a later program makes of an old store.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    #[doc(hidden)]
    pub fn make_of_version(directory: &Path, version: i32) -> Result<(), StoreError> {
        files::make_of_version(directory, version)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for Embedded {
    fn append(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move {
            writable(&batch)?;
            self.writer.ask(Work::Append(batch)).await
        })
    }

    fn catalogue(&self, mut each: Box<dyn FnMut(CatalogueRow) + Send>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.readers.ask(move |connection, wanted| reader::catalogue(connection, &mut each, wanted)))
    }

    fn recover(&self, user: UserId) -> BoxFuture<'_, Result<Recovered, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::recover(connection, user)))
    }

    fn snapshot(&self, user: UserId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::snapshot(connection, user)))
    }

    fn entries(
        &self,
        user: UserId,
        after: Seq,
        until: Millis,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::page(connection, user, after, until, limit)))
    }

    fn entries_until(&self, user: UserId, at: Millis) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::entries_until(connection, user, at)))
    }

    fn save_snapshot(&self, user: UserId, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Snapshot(user, snapshot)).await.map(drop) })
    }

    fn coordinator_snapshot(&self) -> BoxFuture<'_, Result<Option<(Position, Vec<u8>)>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| reader::coordinator_snapshot(connection)))
    }

    fn save_coordinator_snapshot(&self, covers: Position, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::CoordinatorSnapshot(covers, bytes)).await.map(drop) })
    }

    fn scan(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::scan(connection, after, limit)))
    }

    fn newest(&self, slice: Slice, limit: u32) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::newest(connection, slice, limit)))
    }

    fn find_events(&self, user: UserId, ids: Vec<Key>) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::find_events(connection, user, &ids)))
    }

    fn embedding(&self, item: ItemId, revision: u32) -> BoxFuture<'_, Result<Option<Embedding>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::embedding(connection, item, revision)))
    }

    fn follows(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::follows(connection, user)))
    }

    fn followers(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| reader::followers(connection, user)))
    }

    fn log_slates(&self, slates: Vec<Slate>, before: Option<Millis>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Slates(slates, before)).await.map(drop) })
    }

    fn slates(
        &self,
        user: UserId,
        after: Option<FeedVersion>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Slate>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| slates::list(connection, user, after, limit)))
    }

    fn save_fit(&self, fit: StoredFit) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Fit(fit)).await.map(drop) })
    }

    fn fits(&self, limit: u32) -> BoxFuture<'_, Result<Vec<StoredFit>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| fits::list(connection, limit)))
    }

    fn save_model(&self, model: NewModel) -> BoxFuture<'_, Result<ModelVersion, StoreError>> {
        Box::pin(async move {
            match self.model(ModelChange::Save(model)).await? {
                Outcome::Stored(number) => Ok(ModelVersion(number.0)),
                _ => Err(StoreError::Refused("a model was not stored".into())),
            }
        })
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<KeptModel>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| models::list(connection)))
    }

    fn checkpoint(&self, version: ModelVersion) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| models::checkpoint(connection, version)))
    }

    fn publish_model(&self, version: ModelVersion, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let outcome = self.model(ModelChange::Publish(version, at)).await?;
            Ok(matches!(outcome, Outcome::Stored(_)))
        })
    }

    fn note_publication(&self, publication: Publication) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.model(ModelChange::Note(publication)).await.map(drop) })
    }

    fn publications(&self) -> BoxFuture<'_, Result<Vec<Publication>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| models::publications(connection)))
    }

    fn close(&self) {
        self.readers.close();
        self.writer.close();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn set_loading(&self, is_loading: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Loading(is_loading)).await.map(drop) })
    }

    fn is_loading(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| reader::is_loading(connection)))
    }

    fn check_files(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| reader::quick_check(connection)))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Health).await.map(drop) })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| access::keys(connection)))
    }

    fn put_key(&self, key: SigningKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change(Change::Key(key))
    }

    fn retire_key(&self, kid: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change(Change::Retire(kid, at))
    }

    fn tokens(
        &self,
        live_at: Millis,
        after: String,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| access::tokens(connection, live_at, &after, limit)))
    }

    fn put_token(&self, record: TokenRecord) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change(Change::Token(record))
    }

    fn revoke_token(&self, jti: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change(Change::Revoke(jti, at))
    }

    fn revoked_tokens(&self, live_at: Millis) -> BoxFuture<'_, Result<Vec<Key>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| access::revoked_tokens(connection, live_at)))
    }
}
