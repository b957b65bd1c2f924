//! What callers ask the one writer of a store, and how calls become groups that share a commit.
//!
//! Invariant: a group takes what waits, without an artificial wait, and stops growing at [`GROUP_WRITES`].
//! Absent on purpose: threads, tables.

use tokio::sync::{mpsc, oneshot};

use super::access::Change;
use super::models;
use super::{Outcome, Snapshot, StoreError, StoredFit, Write};
use crate::domain::feeds::Slate;
use crate::domain::ids::{Position, UserId};
use crate::domain::time::Millis;

/// How many calls may wait; further callers wait in their own futures.
pub(super) const QUEUE: usize = 1_024;
/// No further call joins a group that has reached this many writes, so that the first one is not kept waiting.
const GROUP_WRITES: usize = 4_096;
/// A snapshot counts as one write per so many bytes.
const BYTES_PER_WRITE: usize = 256;

/// Owner of the coordinator's snapshots in their checksum; no person has this id.
pub(super) const COORDINATOR: u64 = u64::MAX;

/// What one call asks for.
pub(super) enum Work {
    /// Answered by one outcome per write.
    Append(Vec<Write>),
    /// Answered by one outcome, `Stored` when it changed something; those below by none.
    Access(Change),
    Snapshot(UserId, Snapshot),
    CoordinatorSnapshot(Position, Vec<u8>),
    Slates(Vec<Slate>, Option<Millis>),
    Fit(StoredFit),
    /// Answered by one outcome: `Stored` with the model's number, or `Refused`.
    Model(models::Change),
    /// The store holds a part of a dump only, or is whole.
    Loading(bool),
    Health,
}

impl Work {
    fn writes(&self) -> usize {
        match self {
            Work::Append(batch) => batch.len(),
            Work::Snapshot(_, Snapshot { bytes, .. }) | Work::CoordinatorSnapshot(_, bytes) => {
                1 + bytes.len() / BYTES_PER_WRITE
            }
            Work::Slates(slates, _) => 1 + slates.len(),
            Work::Fit(fit) => 1 + fit.members.as_ref().map_or(0, Vec::len) / BYTES_PER_WRITE,
            Work::Model(models::Change::Save(model)) => 1 + model.checkpoint.len() / BYTES_PER_WRITE,
            Work::Model(_) | Work::Access(_) | Work::Loading(_) | Work::Health => 1,
        }
    }

    /// What it appends.
    pub(super) fn batch(&self) -> &[Write] {
        match self {
            Work::Append(batch) => batch,
            Work::Access(_) | Work::Snapshot(..) | Work::CoordinatorSnapshot(..) => &[],
            Work::Slates(..) | Work::Fit(_) | Work::Model(_) | Work::Loading(_) | Work::Health => &[],
        }
    }
}

/// One outcome per write of the call.
pub(super) type Answer = Result<Vec<Outcome>, StoreError>;

/// Somebody asks, and waits.
pub(super) struct Call {
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl Call {
    /// Answers. Maybe nobody waits any more: it is done all the same.
    pub(super) fn tell(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// Adds what waits in the queue to the first call.
pub(super) fn gather(first: Call, queue: &mut mpsc::Receiver<Call>) -> Vec<Call> {
    let mut writes = first.work.writes();
    let mut group = vec![first];
    while writes < GROUP_WRITES
        && let Ok(call) = queue.try_recv()
    {
        writes += call.work.writes();
        group.push(call);
    }
    group
}

/// The same error for each call of a group.
pub(super) fn clone(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Corrupt { table, detail } => StoreError::Corrupt { table, detail: detail.clone() },
        StoreError::Newer { found, known } => StoreError::Newer { found: *found, known: *known },
        StoreError::Locked(text) => StoreError::Locked(text.clone()),
        StoreError::Gone(text) => StoreError::Gone(text.clone()),
        StoreError::Replaced(by) => StoreError::Replaced(by.clone()),
        StoreError::Refused(text) => StoreError::Refused(text.clone()),
    }
}
