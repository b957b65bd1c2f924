//! The one thread that writes, and its group commit.
//!
//! Invariant: an answer is sent after the commit that holds its work. Calls that wait while a commit runs share the next
//! one, without an artificial wait; each keeps its own fate: if one of them is refused, the others are committed without
//! it. The queue holds [`QUEUE`] calls; further callers wait, in their own futures.
//! Absent on purpose: what a write does to the tables.

use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::access::Change;
use super::failures::stopped;
use super::writes::{Ends, Writes};
use crate::domain::ids::{Position, UserId};
use crate::store::{Outcome, Snapshot, StoreError, Write};

/// How many calls may wait.
const QUEUE: usize = 1_024;
/// No further call joins a group that has reached this many writes, so that the first one is not kept waiting.
const GROUP_WRITES: usize = 4_096;
/// A snapshot counts as one write per so many bytes.
const BYTES_PER_WRITE: usize = 256;

/// What one call asks for.
pub(super) enum Work {
    /// Answered by one outcome per write.
    Append(Vec<Write>),
    /// Answered by one outcome, `Stored` when it changed something; those below by none.
    Access(Change),
    Snapshot(UserId, Snapshot),
    CoordinatorSnapshot(Position, Vec<u8>),
    Health,
}

impl Work {
    fn writes(&self) -> usize {
        match self {
            Work::Append(batch) => batch.len(),
            Work::Snapshot(_, Snapshot { bytes, .. }) | Work::CoordinatorSnapshot(_, bytes) => {
                1 + bytes.len() / BYTES_PER_WRITE
            }
            Work::Access(_) | Work::Health => 1,
        }
    }

    fn apply(&self, writes: &mut Writes<'_>) -> Result<Vec<Outcome>, StoreError> {
        match self {
            Work::Append(batch) => return writes.batch(batch),
            Work::Access(change) => return writes.access(change).map(|outcome| vec![outcome]),
            Work::Snapshot(user, snapshot) => writes.snapshot(*user, snapshot)?,
            Work::CoordinatorSnapshot(covers, bytes) => writes.coordinator_snapshot(*covers, bytes)?,
            Work::Health => writes.health()?,
        }
        Ok(Vec::new())
    }
}

type Answer = Result<Vec<Outcome>, StoreError>;

struct Call {
    work: Work,
    answer: oneshot::Sender<Answer>,
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
    let mut group = Vec::new();
    while let Some(call) = queue.blocking_recv() {
        let mut writes = call.work.writes();
        group.push(call);
        while writes < GROUP_WRITES
            && let Ok(call) = queue.try_recv()
        {
            writes += call.work.writes();
            group.push(call);
        }
        answer(&mut connection, &mut ends, &mut group);
    }
}

fn answer(connection: &mut Connection, ends: &mut Ends, group: &mut Vec<Call>) {
    match commit(connection, ends, group) {
        Ok(answers) => {
            for (call, outcomes) in group.drain(..).zip(answers) {
                // Nobody waits any more: it is stored all the same.
                let _ = call.answer.send(Ok(outcomes));
            }
        }
        Err(Failure::Work(error)) => {
            ends.forget();
            if let [_] = &group[..] {
                for call in group.drain(..) {
                    let _ = call.answer.send(Err(clone(&error)));
                }
                return;
            }
            for call in group.drain(..) {
                answer(connection, ends, &mut vec![call]);
            }
        }
        Err(Failure::Commit(error)) => {
            ends.forget();
            tracing::error!(%error, calls = group.len(), "commit failed");
            for call in group.drain(..) {
                let _ = call.answer.send(Err(clone(&error)));
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
        .and_then(|mut writes| group.iter().map(|call| call.work.apply(&mut writes)).collect())
        .map_err(Failure::Work)?;
    transaction.commit().map_err(|error| Failure::Commit(error.into()))?;
    Ok(answers)
}

/// The same error for each call of a group.
fn clone(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Corrupt { table, detail } => StoreError::Corrupt { table, detail: detail.clone() },
        StoreError::Newer { found, known } => StoreError::Newer { found: *found, known: *known },
        StoreError::Locked(text) => StoreError::Locked(text.clone()),
        StoreError::Refused(text) => StoreError::Refused(text.clone()),
    }
}
