//! The one thread that writes, and its group commit.
//!
//! Invariant: an answer is sent after the commit that holds its work. Calls that wait while a commit runs share the next
//! one, without an artificial wait; each keeps its own fate: if one of them is refused, the others are committed without
//! it. The queue holds [`QUEUE`] calls; further callers wait, in their own futures. A log that could not be cut after an
//! erasure is cut after the next commit at which no reader stands in it, or when the store is closed. The death of the
//! thread ends the process.
//! Absent on purpose: what a write does to the tables.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::erasure;
use super::failures::stopped;
use super::files::Files;
use super::writes::Writes;
use crate::process::Vital;
use crate::store::group::{self, Answer, Call, QUEUE, Work};
use crate::store::tail_cache::TailCache;
use crate::store::{Outcome, StoreError, Write};

fn apply(work: &Work, writes: &mut Writes<'_>) -> Answer {
    match work {
        Work::Append(batch) => return writes.batch(batch),
        Work::Access(change) => return writes.access(change).map(|outcome| vec![outcome]),
        Work::Model(change) => return writes.model(change).map(|outcome| vec![outcome]),
        Work::Snapshot(user, snapshot) => writes.snapshot(*user, snapshot)?,
        Work::CoordinatorSnapshot(covers, bytes) => writes.coordinator_snapshot(*covers, bytes)?,
        Work::Slates(slates, before) => writes.slates(slates, *before)?,
        Work::Fit(fit) => writes.fit(fit)?,
        Work::Loading(is_loading) => writes.loading(*is_loading)?,
        Work::Health => writes.health()?,
    }
    Ok(Vec::new())
}

/// The thread's handle. Dropping it lets the thread finish what waits, and waits for it.
pub(super) struct Writer {
    calls: Mutex<Option<mpsc::Sender<Call>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, files: Files) -> Result<Writer, StoreError> {
        let (calls, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(Desk { connection, files, tails: TailCache::default(), uncut: false }, queue))
            .map_err(|error| StoreError::Unavailable(format!("no thread for the writer: {error}")))?;
        Ok(Writer { calls: Mutex::new(Some(calls)), thread: Mutex::new(Some(thread)) })
    }

    /// Waits until it is durable. Whoever stops waiting does not take it back.
    pub(super) async fn ask(&self, work: Work) -> Answer {
        let (answer, answered) = oneshot::channel();
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopped)?;
        calls.send(Call { work, answer }).await.map_err(|_| stopped())?;
        drop(calls);
        answered.await.map_err(|_| stopped())?
    }

    /// Lets the thread finish what waits and fold the log into the file, and waits for it.
    pub(super) fn close(&self) {
        drop(self.calls.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer panicked; nothing that it acknowledged is lost");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread works with.
struct Desk {
    connection: Connection,
    files: Files,
    tails: TailCache,
    /// The log still holds pages of somebody who was erased.
    uncut: bool,
}

fn run(mut desk: Desk, mut queue: mpsc::Receiver<Call>) {
    let vital = Vital::new("the store's writer");
    while let Some(call) = queue.blocking_recv() {
        desk.answer(group::gather(call, &mut queue));
        if desk.uncut {
            desk.uncut = !erasure::try_to_forget_log(&desk.connection);
        }
    }
    desk.close();
    drop(vital);
}

/// Where it failed. After a failed commit the calls are not tried one by one: the disk would only be asked again.
enum Failure {
    Work(StoreError),
    Commit(StoreError),
}

impl Desk {
    fn answer(&mut self, group: Vec<Call>) {
        match self.commit(&group) {
            Ok(answers) => {
                self.tails.settle(&group);
                for (call, outcomes) in group.into_iter().zip(answers) {
                    call.tell(Ok(outcomes));
                }
            }
            Err(Failure::Work(_)) if group.len() > 1 => {
                self.tails.forget();
                for call in group {
                    self.answer(vec![call]);
                }
            }
            Err(failure) => {
                self.tails.forget();
                if let Failure::Commit(error) = &failure {
                    tracing::error!(%error, calls = group.len(), "commit failed");
                    self.tails.doubt(&group);
                }
                let (Failure::Work(error) | Failure::Commit(error)) = failure;
                for call in group {
                    call.tell(Err(group::clone(&error)));
                }
            }
        }
    }

    fn commit(&mut self, group: &[Call]) -> Result<Vec<Vec<Outcome>>, Failure> {
        self.files.still_there().map_err(Failure::Commit)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| Failure::Commit(error.into()))?;
        let answers = Writes::new(&transaction, &mut self.tails)
            .and_then(|mut writes| group.iter().map(|call| apply(&call.work, &mut writes)).collect())
            .map_err(Failure::Work)?;
        transaction.commit().map_err(|error| Failure::Commit(error.into()))?;
        if group.iter().any(erases) {
            self.uncut = !erasure::forget_log(&self.connection);
        }
        Ok(answers)
    }

    /// Folds the log into the file. Readers are closed by now, so closing the last connection removes the log.
    fn close(self) {
        if self.files.still_there().is_err() {
            return;
        }
        erasure::forget_log(&self.connection);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the store could not be closed: the next start reads its log");
        }
    }
}

fn erases(call: &Call) -> bool {
    matches!(&call.work, Work::Append(batch) if batch.iter().any(|write| matches!(write, Write::Erase(_))))
}
