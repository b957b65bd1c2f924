//! The one thread that writes, and its group commit.
//!
//! Invariant: an answer is sent after the commit that holds its work. Calls that wait while a commit runs share the next
//! one, without an artificial wait; each keeps its own fate: if one of them is refused, the others are committed without
//! it. The queue holds [`QUEUE`] calls; further callers wait, in their own futures.
//! Absent on purpose: what a write does to the tables.

use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::erasure;
use super::failures::stopped;
use super::writes::Writes;
use crate::store::ends::Ends;
use crate::store::group::{self, Answer, Call, QUEUE, Work};
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
        Work::Health => writes.health()?,
    }
    Ok(Vec::new())
}

/// The thread's handle. Dropping it lets the thread finish what waits, and waits for it.
pub(super) struct Writer {
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Writer, StoreError> {
        let (calls, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(connection, queue))
            .map_err(|error| StoreError::Unavailable(format!("no thread for the writer: {error}")))?;
        Ok(Writer { calls: Some(calls), thread: Some(thread) })
    }

    /// Waits until it is durable. Whoever stops waiting does not take it back.
    pub(super) async fn ask(&self, work: Work) -> Answer {
        let (answer, answered) = oneshot::channel();
        let calls = self.calls.as_ref().ok_or_else(stopped)?;
        calls.send(Call { work, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked; nothing that it acknowledged is lost");
        }
    }
}

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Call>) {
    let mut ends = Ends::default();
    while let Some(call) = queue.blocking_recv() {
        answer(&mut connection, &mut ends, group::gather(call, &mut queue));
    }
}

fn answer(connection: &mut Connection, ends: &mut Ends, group: Vec<Call>) {
    match commit(connection, ends, &group) {
        Ok(answers) => {
            ends.settle(&group);
            for (call, outcomes) in group.into_iter().zip(answers) {
                call.tell(Ok(outcomes));
            }
        }
        Err(Failure::Work(_)) if group.len() > 1 => {
            ends.forget();
            for call in group {
                answer(connection, ends, vec![call]);
            }
        }
        Err(failure) => {
            ends.forget();
            if let Failure::Commit(error) = &failure {
                tracing::error!(%error, calls = group.len(), "commit failed");
                ends.doubt(&group);
            }
            let (Failure::Work(error) | Failure::Commit(error)) = failure;
            for call in group {
                call.tell(Err(group::clone(&error)));
            }
        }
    }
}

/// Where it failed. After a failed commit the calls are not tried one by one: the disk would only be asked again.
enum Failure {
    Work(StoreError),
    Commit(StoreError),
}

fn commit(connection: &mut Connection, ends: &mut Ends, group: &[Call]) -> Result<Vec<Vec<Outcome>>, Failure> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| Failure::Commit(error.into()))?;
    let answers = Writes::new(&transaction, ends)
        .and_then(|mut writes| group.iter().map(|call| apply(&call.work, &mut writes)).collect())
        .map_err(Failure::Work)?;
    transaction.commit().map_err(|error| Failure::Commit(error.into()))?;
    if group.iter().any(erases) {
        erasure::forget_log(connection);
    }
    Ok(answers)
}

fn erases(call: &Call) -> bool {
    matches!(&call.work, Work::Append(batch) if batch.iter().any(|write| matches!(write, Write::Erase(_))))
}
