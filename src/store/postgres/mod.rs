//! The Postgres store: the durable state of production.
//!
//! Invariant: what `append` has acknowledged was committed with `synchronous_commit` on, so it survives `kill -9` of this
//! server and of the database and, as far as its disk keeps the word that it gives to `fsync`, a power cut. One process
//! writes at a time, by a lock that ends with its connection. Outcomes are those of the embedded store, case by case.
//! Absent on purpose: poolers that share a connection between transactions (locks and prepared statements need a session),
//! a second writer, retries: who gets `Unavailable` decides.
//!
//! When the answer to a commit is lost, nobody knows whether it happened. The store remembers those entries; when one of
//! them comes again and is found stored, with the same number and the same content, it is told as stored. So the caller
//! who repeats the very same batch learns exactly what became of it.
//!
//! It has threads of its own, so that a busy actor thread never delays an answer of the database, and its futures run on
//! any executor. Read in this order: `url`, `settings`, `tls`, `pool`, `schema` (migrations), `session` (lock, term,
//! transactions), `plan` (what a group comes down to), `writes` and `journal` (as statements), `writer` (the queue),
//! `reads`, `rows`, `failures`.

mod access;
mod failures;
mod journal;
mod plan;
mod pool;
mod reads;
mod rows;
pub mod schema;
mod writer_connection;
mod settings;
mod fits;
mod models;
mod slates;
pub mod tls;
mod url;
mod writer;
mod writes;

use std::sync::{Mutex, PoisonError, mpsc as blocking};

use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::settings::PostgresSettings;
pub use self::url::PostgresUrl;

use self::failures::stopped;
use self::reads::Reads;
use self::writer_connection::WriterConnection;
use super::access::{Change, SigningKey, TokenRecord};
use super::group::{Call, QUEUE, Work};
use super::models::{Change as ModelChange, KeptModel, NewModel, Publication};
use super::{CatalogueRow, Outcome, Recovered, Slice, Snapshot, Store, StoreError, StoredFit, Write, writable};
use crate::domain::feeds::Slate;
use crate::domain::ids::{FeedVersion, ItemId, Key, ModelVersion, Position, Seq, UserId};
use crate::domain::items::Embedding;
use crate::domain::journal::Entry;
use crate::domain::time::Millis;
use crate::process::Vital;

const LOADING_BEGIN: &str = include_str!("../../../sql/queries/loading_begin.sql");
const LOADING_END: &str = include_str!("../../../sql/queries/loading_end.sql");
const LOADING_IS: &str = include_str!("../../../sql/queries/loading_is.sql");

/// Threads that read from the database; one that writes comes on top.
const THREADS: usize = 2;

/// The store in a Postgres database. Dropping the future of a write does not take back what it asked for.
pub struct Postgres {
    reads: Reads,
    replaced: Option<watch::Receiver<Option<String>>>,
    // Dropped in this order, see `Drop`: nobody can ask, all that was queued is answered, the threads end.
    calls: Option<mpsc::Sender<Call>>,
    written: Mutex<blocking::Receiver<()>>,
    runtime: Option<Runtime>,
}

impl Postgres {
    /// Connects, brings the schema up to date, and takes the right to write.
    ///
    /// # Errors
    /// [`StoreError::Locked`] names who has the right to write, [`StoreError::Newer`] when a newer program wrote the
    /// database, [`StoreError::Refused`] when it will not do (password, name, encoding, version, rights), and
    /// [`StoreError::Unavailable`] when trying again may help.
    pub async fn open(url: &PostgresUrl, settings: &PostgresSettings) -> Result<Postgres, StoreError> {
        let (reading, writing) = (pool::make(url, settings, settings.connections_max)?, pool::make(url, settings, 1)?);
        let runtime = threads()?;
        let (own, others) = (settings.clone(), runtime.handle().clone());
        let (calls, queue) = mpsc::channel(QUEUE);
        let (ended, written) = blocking::channel();
        let (opened, hear) = oneshot::channel();
        // A thread for the writer and its connection alone: a commit is one round trip, and every change of threads on
        // its way would be felt.
        let write = move || {
            let alone = match Builder::new_current_thread().enable_all().build() {
                Ok(alone) => alone,
                Err(error) => return drop(opened.send(Err(no_threads(error)))),
            };
            let vital = Vital::new("the store's writer");
            alone.block_on(async move {
                match WriterConnection::open(writing, &own).await {
                    Ok(session) => {
                        if opened.send(Ok(session.replaced())).is_err() {
                            // Nobody waits for it any more.
                            return session.close().await;
                        }
                        writer::run(session, queue, &others).await;
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error));
                    }
                }
            });
            drop((ended, vital));
        };
        let spawned = std::thread::Builder::new().name("store-writer".into()).spawn(write).map_err(no_threads);
        let heard = match spawned {
            Ok(_) => hear.await.map_err(|_| stopped()).flatten(),
            Err(error) => Err(error),
        };
        let replaced = match heard {
            Ok(replaced) => Some(replaced),
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let reads = Reads { pool: reading, patience: settings.patience() };
        Ok(Postgres { reads, replaced, calls: Some(calls), written: Mutex::new(written), runtime: Some(runtime) })
    }

    /// Connects beside a server that has the right to write: reads, and changes keys and tokens, which need no such
    /// right. All other writes answer [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// As [`Postgres::open`], but never [`StoreError::Locked`].
    pub async fn open_beside(url: &PostgresUrl, settings: &PostgresSettings) -> Result<Postgres, StoreError> {
        let (reading, once) = (pool::make(url, settings, settings.connections_max)?, pool::make(url, settings, 1)?);
        let runtime = threads()?;
        let migrated = runtime.spawn(async move { schema::migrate(&mut once.get().await?).await.map(drop) }).await;
        if let Err(error) = migrated.map_err(|_| stopped()).flatten() {
            runtime.shutdown_background();
            return Err(error);
        }
        let reads = Reads { pool: reading, patience: settings.patience() };
        // Its other end is gone: the writer, that is not there, has ended.
        let (_, written) = blocking::channel();
        Ok(Postgres { reads, replaced: None, calls: None, written: Mutex::new(written), runtime: Some(runtime) })
    }

    /// Brings the schema up to date and does nothing else; the version before and after.
    ///
    /// # Errors
    /// As [`Postgres::open`], but never [`StoreError::Locked`].
    pub async fn migrate(url: &PostgresUrl, settings: &PostgresSettings) -> Result<(u32, u32), StoreError> {
        schema::migrate(&mut pool::make(url, settings, 1)?.get().await?).await
    }

    async fn write(&self, work: Work) -> Result<Vec<Outcome>, StoreError> {
        let calls = self.calls.as_ref().ok_or_else(|| StoreError::Unavailable("it was opened to read".into()))?;
        writer::ask(calls, work).await
    }

    /// Runs a read on our own threads; it ends when nobody waits for it any more.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        let mut reading = Ended(runtime.spawn(read));
        match (&mut reading.0).await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => {
                tracing::error!("a read of the store panicked");
                Err(StoreError::Unavailable("the reader panicked, see the log".into()))
            }
            Err(_) => Err(stopped()),
        }
    }
}

fn threads() -> Result<Runtime, StoreError> {
    let built = Builder::new_multi_thread().worker_threads(THREADS).thread_name("store").enable_all().build();
    built.map_err(no_threads)
}

fn no_threads(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("no threads for the store: {error}"))
}

/// A task that ends with whoever waits for it.
struct Ended<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.calls = None;
        let Some(runtime) = self.runtime.take() else { return };
        // A catalogue's callback may hold the last reference to the store: a thread cannot wait for itself.
        let inside = tokio::runtime::Handle::try_current().is_ok_and(|current| current.id() == runtime.handle().id());
        if !inside {
            // Nothing is ever sent: it is an error when the writer has ended, which has an end by its timeouts.
            let _ = self.written.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        runtime.shutdown_background();
    }
}

impl Store for Postgres {
    fn append(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move {
            writable(&batch)?;
            self.write(Work::Append(batch)).await
        })
    }

    fn catalogue(&self, each: Box<dyn FnMut(CatalogueRow) + Send>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.read(self.reads.clone().catalogue(each)))
    }

    fn recover(&self, user: UserId) -> BoxFuture<'_, Result<Recovered, StoreError>> {
        Box::pin(self.read(self.reads.clone().recover(user)))
    }

    fn snapshot(&self, user: UserId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(self.read(self.reads.clone().snapshot(user)))
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

    fn save_snapshot(&self, user: UserId, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(Work::Snapshot(user, snapshot)).await.map(drop) })
    }

    fn coordinator_snapshot(&self) -> BoxFuture<'_, Result<Option<(Position, Vec<u8>)>, StoreError>> {
        Box::pin(self.read(self.reads.clone().coordinator_snapshot()))
    }

    fn save_coordinator_snapshot(&self, covers: Position, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(Work::CoordinatorSnapshot(covers, bytes)).await.map(drop) })
    }

    fn scan(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>> {
        Box::pin(self.read(self.reads.clone().scan(after, limit)))
    }

    fn newest(&self, slice: Slice, limit: u32) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.read(self.reads.clone().newest(slice, limit)))
    }

    fn find_events(&self, user: UserId, ids: Vec<Key>) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.read(self.reads.clone().find_events(user, ids)))
    }

    fn embedding(&self, item: ItemId, revision: u32) -> BoxFuture<'_, Result<Option<Embedding>, StoreError>> {
        Box::pin(self.read(self.reads.clone().embedding(item, revision)))
    }

    fn follows(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.read(self.reads.clone().follows(user)))
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, StoreError>> {
        Box::pin(self.read(access::keys(self.reads.pool.clone())))
    }

    fn put_key(&self, key: SigningKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(access::apply(self.reads.pool.clone(), Change::Key(key))))
    }

    fn retire_key(&self, kid: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(access::apply(self.reads.pool.clone(), Change::Retire(kid, at))))
    }

    fn tokens(
        &self,
        live_at: Millis,
        after: String,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>> {
        Box::pin(self.read(access::tokens(self.reads.pool.clone(), live_at, after, limit)))
    }

    fn put_token(&self, record: TokenRecord) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(access::apply(self.reads.pool.clone(), Change::Token(record))))
    }

    fn revoke_token(&self, jti: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(access::apply(self.reads.pool.clone(), Change::Revoke(jti, at))))
    }

    fn revoked_tokens(&self, live_at: Millis) -> BoxFuture<'_, Result<Vec<Key>, StoreError>> {
        Box::pin(self.read(access::revoked_tokens(self.reads.pool.clone(), live_at)))
    }

    fn followers(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.read(self.reads.clone().followers(user)))
    }

    fn replaced(&self) -> BoxFuture<'_, StoreError> {
        let replaced = self.replaced.clone();
        Box::pin(async move {
            if let Some(mut replaced) = replaced
                && let Ok(by) = replaced.wait_for(Option::is_some).await
            {
                return StoreError::Replaced(by.clone().unwrap_or_default());
            }
            std::future::pending().await
        })
    }

    fn log_slates(&self, slates: Vec<Slate>, before: Option<Millis>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.read(slates::log(self.reads.pool.clone(), slates, before)))
    }

    fn slates(
        &self,
        user: UserId,
        after: Option<FeedVersion>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Slate>, StoreError>> {
        Box::pin(self.read(slates::list(self.reads.pool.clone(), user, after, limit)))
    }

    fn save_fit(&self, fit: StoredFit) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.read(fits::save(self.reads.pool.clone(), fit)))
    }

    fn fits(&self, limit: u32) -> BoxFuture<'_, Result<Vec<StoredFit>, StoreError>> {
        Box::pin(self.read(fits::list(self.reads.pool.clone(), limit)))
    }

    fn save_model(&self, model: NewModel) -> BoxFuture<'_, Result<ModelVersion, StoreError>> {
        Box::pin(async move {
            match self.read(models::apply(self.reads.pool.clone(), ModelChange::Save(model))).await? {
                Outcome::Stored(number) => Ok(ModelVersion(number.0)),
                _ => Err(StoreError::Refused("a model was not stored".into())),
            }
        })
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<KeptModel>, StoreError>> {
        Box::pin(self.read(models::list(self.reads.pool.clone())))
    }

    fn checkpoint(&self, version: ModelVersion) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.read(models::checkpoint(self.reads.pool.clone(), version)))
    }

    fn publish_model(&self, version: ModelVersion, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let outcome = self.read(models::apply(self.reads.pool.clone(), ModelChange::Publish(version, at))).await?;
            Ok(matches!(outcome, Outcome::Stored(_)))
        })
    }

    fn note_publication(&self, publication: Publication) -> BoxFuture<'_, Result<(), StoreError>> {
        let note = models::apply(self.reads.pool.clone(), ModelChange::Note(publication));
        Box::pin(async move { self.read(note).await.map(drop) })
    }

    fn publications(&self) -> BoxFuture<'_, Result<Vec<Publication>, StoreError>> {
        Box::pin(self.read(models::publications(self.reads.pool.clone())))
    }

    fn set_loading(&self, is_loading: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        let (pool, statement) = (self.reads.pool.clone(), if is_loading { LOADING_BEGIN } else { LOADING_END });
        Box::pin(self.read(async move {
            pool.get().await?.execute(statement, &[]).await?;
            Ok(())
        }))
    }

    fn is_loading(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        let pool = self.reads.pool.clone();
        Box::pin(self.read(async move { Ok(pool.get().await?.query_opt(LOADING_IS, &[]).await?.is_some()) }))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(Work::Health).await.map(drop) })
    }
}
