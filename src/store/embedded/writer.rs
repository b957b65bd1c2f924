//! The single writer thread and its group commit.
//!
//! Invariant: the writer answers a call after the commit that holds its work. Calls that arrive during a commit share
//! the next one, without an artificial wait. When one of them is refused, the others are committed without it. The
//! queue holds [`QUEUE`] calls; further callers wait in their own futures. A log that could not be truncated after an
//! erasure is truncated after a later commit, once no reader uses it, or at close. A panic of the thread ends the
//! process. Absent on purpose: the effect of a write on the tables.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::failures::stopped;
use super::files::Files;
use super::wal;
use super::writes::Writes;
use crate::process::Vital;
use crate::store::error::StoreError;
use crate::store::group::{self, Answer, Call, QUEUE, Work};
use crate::store::journal::{Outcome, Write};
use crate::store::tail_cache::TailCache;

fn apply(work: &Work, writes: &mut Writes<'_>) -> Answer {
    match work {
        Work::Append(batch) => return writes.batch(batch),
        Work::Access(change) => return writes.access(change).map(|outcome| vec![outcome]),
        Work::Model(change) => return writes.model(change).map(|outcome| vec![outcome]),
        Work::Snapshot(user, snapshot) => writes.snapshot(*user, snapshot)?,
        Work::CoordinatorSnapshot(covers, bytes) => writes.coordinator_snapshot(*covers, bytes)?,
        Work::Slates(slates, before) => writes.slates(slates, *before)?,
        Work::Activities(statements) => writes.activities(statements)?,
        Work::Fit(fit) => writes.fit(fit)?,
        Work::Loading(is_loading) => writes.loading(*is_loading)?,
        Work::Health => writes.health()?,
    }
    Ok(Vec::new())
}

/// The handle of the writer thread. Dropping it finishes the queued calls and joins the thread.
pub(super) struct Writer {
    calls: Mutex<Option<mpsc::Sender<Call>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, files: Files) -> Result<Writer, StoreError> {
        let (calls, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(State { connection, files, tails: TailCache::default(), log_is_dirty: false }, queue))
            .map_err(|error| StoreError::Unavailable(format!("no thread for the writer: {error}")))?;
        Ok(Writer { calls: Mutex::new(Some(calls)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues work and waits until it is durable. Dropping the future does not cancel the work.
    pub(super) async fn ask(&self, work: Work) -> Answer {
        let (answer, answered) = oneshot::channel();
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopped)?;
        calls.send(Call { work, answer }).await.map_err(|_| stopped())?;
        drop(calls);
        answered.await.map_err(|_| stopped())?
    }

    /// Finishes the queued calls, folds the log into the database file, and joins the thread.
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

/// The state of the writer thread.
struct State {
    connection: Connection,
    files: Files,
    tails: TailCache,
    /// Whether the log still holds pages of an erased person.
    log_is_dirty: bool,
}

fn run(mut state: State, mut queue: mpsc::Receiver<Call>) {
    let vital = Vital::new("the store's writer");
    while let Some(call) = queue.blocking_recv() {
        state.answer(group::gather(call, &mut queue));
        if state.log_is_dirty {
            state.log_is_dirty = !wal::try_truncate(&state.connection);
        }
    }
    state.close();
    drop(vital);
}

/// The step of a group that failed. After a failed commit the calls are not retried one by one, since the disk failed.
enum Failure {
    Work(StoreError),
    Commit(StoreError),
}

impl State {
    fn answer(&mut self, group: Vec<Call>) {
        match self.commit(&group) {
            Ok(answers) => {
                self.tails.settle(&group);
                for (call, outcomes) in group.into_iter().zip(answers) {
                    call.respond(Ok(outcomes));
                }
            }
            Err(Failure::Work(_)) if group.len() > 1 => {
                self.tails.clear();
                for call in group {
                    self.answer(vec![call]);
                }
            }
            Err(failure) => {
                self.tails.clear();
                if let Failure::Commit(error) = &failure {
                    tracing::error!(%error, calls = group.len(), "commit failed");
                    self.tails.mark_in_doubt(&group);
                }
                let (Failure::Work(error) | Failure::Commit(error)) = failure;
                for call in group {
                    call.respond(Err(error.clone()));
                }
            }
        }
    }

    fn commit(&mut self, group: &[Call]) -> Result<Vec<Vec<Outcome>>, Failure> {
        self.files.check().map_err(Failure::Commit)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| Failure::Commit(error.into()))?;
        let answers = Writes::new(&transaction, &mut self.tails)
            .and_then(|mut writes| group.iter().map(|call| apply(&call.work, &mut writes)).collect())
            .map_err(Failure::Work)?;
        transaction.commit().map_err(|error| Failure::Commit(error.into()))?;
        if group.iter().any(erases) {
            self.log_is_dirty = !wal::truncate(&self.connection);
        }
        Ok(answers)
    }

    /// Folds the log into the database file. Readers are closed by now, so closing the last connection deletes the log.
    fn close(self) {
        if self.files.check().is_err() {
            return;
        }
        wal::truncate(&self.connection);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the store could not be closed: the next start reads its log");
        }
    }
}

fn erases(call: &Call) -> bool {
    matches!(&call.work, Work::Append(batch) if batch.iter().any(|write| matches!(write, Write::Erase(_))))
}
