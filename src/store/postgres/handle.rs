//! The Postgres store as a handle: pool for reads, queue of the writer, and threads of its own.
//!
//! Invariant: dropping the handle answers all queued calls first. A busy actor thread never delays a database answer,
//! since the store has threads of its own.

use std::sync::{Mutex, PoisonError, mpsc as blocking};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use super::failures::stopped;
use super::reads::Reads;
use super::settings::PostgresSettings;
use super::url::PostgresUrl;
use super::writer_connection::WriterConnection;
use super::{pool, schema, writer};
use crate::process::Vital;
use crate::store::error::StoreError;
use crate::store::group::{Call, QUEUE, Work};
use crate::store::journal::Outcome;

/// Number of threads for reads; the thread of the writer comes on top.
const THREADS: usize = 2;

/// The store in a Postgres database. Dropping the future of a write does not cancel it.
pub struct Postgres {
    pub(super) reads: Reads,
    pub(super) replaced: Option<watch::Receiver<Option<String>>>,
    // Closed in this order by `drop`: the queue is closed, queued calls are answered, the threads end.
    calls: Option<mpsc::Sender<Call>>,
    written: Mutex<blocking::Receiver<()>>,
    runtime: Option<Runtime>,
}

impl Postgres {
    /// Connects, brings the schema up to date, and takes the writer lock.
    ///
    /// # Errors
    /// - [`StoreError::Locked`]: another server, which the error names, holds the lock.
    /// - [`StoreError::Newer`]: a newer program wrote the database.
    /// - [`StoreError::Refused`]: the database is unusable (password, name, encoding, version, privileges).
    /// - [`StoreError::Unavailable`]: a retry may help.
    pub async fn open(url: &PostgresUrl, settings: &PostgresSettings) -> Result<Postgres, StoreError> {
        let (reading, writing) = (pool::make(url, settings, settings.connections_max)?, pool::make(url, settings, 1)?);
        let runtime = threads()?;
        let (own, others) = (settings.clone(), runtime.handle().clone());
        let (calls, queue) = mpsc::channel(QUEUE);
        let (ended, written) = blocking::channel();
        let (opened, opening) = oneshot::channel();
        // The writer and its connection have a thread alone: a commit is one round trip, and each switch of threads
        // would add to its latency.
        let write = move || {
            let alone = match Builder::new_current_thread().enable_all().build() {
                Ok(alone) => alone,
                Err(error) => return drop(opened.send(Err(no_threads(error)))),
            };
            let vital = Vital::new("the store's writer");
            alone.block_on(async move {
                match WriterConnection::open(writing, &own).await {
                    Ok(connection) => {
                        if opened.send(Ok(connection.replaced())).is_err() {
                            // The caller of `open` has dropped its future.
                            return connection.close().await;
                        }
                        writer::run(connection, queue, &others).await;
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error));
                    }
                }
            });
            drop((ended, vital));
        };
        let spawned = std::thread::Builder::new().name("store-writer".into()).spawn(write).map_err(no_threads);
        let opened = match spawned {
            Ok(_) => opening.await.map_err(|_| stopped()).flatten(),
            Err(error) => Err(error),
        };
        let replaced = match opened {
            Ok(replaced) => Some(replaced),
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let reads = Reads { pool: reading, patience: settings.patience() };
        Ok(Postgres { reads, replaced, calls: Some(calls), written: Mutex::new(written), runtime: Some(runtime) })
    }

    /// Connects beside a server that holds the writer lock. This store reads, and changes keys and tokens, which need
    /// no lock. All other writes answer [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// Those of [`Postgres::open`] except [`StoreError::Locked`].
    pub async fn open_beside(url: &PostgresUrl, settings: &PostgresSettings) -> Result<Postgres, StoreError> {
        let (reading, once) = (pool::make(url, settings, settings.connections_max)?, pool::make(url, settings, 1)?);
        let runtime = threads()?;
        let migrated = runtime.spawn(async move { schema::migrate(&mut once.get().await?).await.map(drop) }).await;
        if let Err(error) = migrated.map_err(|_| stopped()).flatten() {
            runtime.shutdown_background();
            return Err(error);
        }
        let reads = Reads { pool: reading, patience: settings.patience() };
        // The other end is dropped at once, as if the writer had ended.
        let (_, written) = blocking::channel();
        Ok(Postgres { reads, replaced: None, calls: None, written: Mutex::new(written), runtime: Some(runtime) })
    }

    /// Only brings the schema up to date; returns the version before and after.
    ///
    /// # Errors
    /// Those of [`Postgres::open`] except [`StoreError::Locked`].
    pub async fn migrate(url: &PostgresUrl, settings: &PostgresSettings) -> Result<(u32, u32), StoreError> {
        schema::migrate(&mut pool::make(url, settings, 1)?.get().await?).await
    }

    /// Queues work for the writer and waits until it is durable.
    pub(super) async fn write(&self, work: Work) -> Result<Vec<Outcome>, StoreError> {
        let calls =
            self.calls.as_ref().ok_or_else(|| StoreError::Unavailable("it was opened for reads only".into()))?;
        writer::ask(calls, work).await
    }

    /// Runs a read on threads of the store; dropping the future aborts it.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        let mut reading = AbortOnDrop(runtime.spawn(read));
        match (&mut reading.0).await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => {
                tracing::error!("a read of the store panicked");
                Err(StoreError::Unavailable("the reader panicked: see the log".into()))
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

/// A task that is aborted when its caller drops this.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.calls = None;
        let Some(runtime) = self.runtime.take() else { return };
        // The callback of a catalogue may hold the last reference to the store, and a thread cannot join itself.
        let inside = tokio::runtime::Handle::try_current().is_ok_and(|current| current.id() == runtime.handle().id());
        if !inside {
            // The writer sends nothing: `recv` fails once the writer has ended, which its timeouts bound.
            let _ = self.written.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
        runtime.shutdown_background();
    }
}
