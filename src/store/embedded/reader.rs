//! The reader threads.
//!
//! Invariant: a read sees all writes acknowledged before its call, and one state of the database throughout. Readers
//! wait neither for the writer nor for a runtime. The queue holds [`QUEUE`] calls; further callers wait in their own
//! futures. Absent on purpose: queries, writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::failures::stopped;
use super::files;
use crate::store::error::StoreError;
use crate::store::group::QUEUE;

/// Number of reader threads, so that a read of the whole catalogue does not delay recoveries.
const READERS: usize = 4;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The handle of the reader threads. Dropping it finishes the queued reads and joins the threads.
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

    /// Runs a query on a reader thread. Its second argument says whether the caller still waits for the answer.
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
            // An error means that the caller dropped its future.
            let _ = answer.send(found);
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())?;
        drop(jobs);
        answered.await.map_err(|_| StoreError::Unavailable("the reader panicked: see the log".into()))?
    }

    /// Finishes the queued reads and joins the threads.
    pub(super) fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The callback of a catalogue may hold the last reference to the store, and a thread cannot join itself.
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
        // The callback of a catalogue belongs to the caller: its panic must not end this thread.
        if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
            tracing::error!("a read of the store panicked");
        }
    }
}
