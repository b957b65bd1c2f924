//! Calls to the single writer of a store, and their grouping for a shared commit.
//!
//! Invariant: a group takes all queued calls without an artificial wait, and stops growing at [`GROUP_WRITES`].
//! Absent on purpose: threads, tables.

use tokio::sync::{mpsc, oneshot};

use crate::domain::feeds::Slate;
use crate::domain::ids::{Position, UserId};
use crate::domain::time::Millis;
use crate::store::access::AccessChange;
use crate::store::activities::Statement;
use crate::store::clusters::StoredFit;
use crate::store::error::StoreError;
use crate::store::journal::{Outcome, Write};
use crate::store::models::ModelChange;
use crate::store::snapshots::Snapshot;

/// Capacity of the queue, in calls; further callers wait in their own futures (backpressure).
pub(super) const QUEUE: usize = 1_024;
/// Writes at which a group stops growing, which bounds the wait of its first call.
const GROUP_WRITES: usize = 4_096;
/// Bytes of a snapshot, of cluster members or of a checkpoint that count as one write.
const BYTES_PER_WRITE: usize = 256;

/// The work of one call, with the number of outcomes in its answer.
pub(super) enum Work {
    /// A batch; one outcome per write.
    Append(Vec<Write>),
    /// A change to keys or tokens; one outcome, `Stored` when it changed a row.
    Access(AccessChange),
    /// A snapshot of one person; no outcome.
    Snapshot(UserId, Snapshot),
    /// A snapshot of the coordinator; no outcome.
    CoordinatorSnapshot(Position, Vec<u8>),
    /// Drawn feeds to log, and the instant before which logged feeds are deleted; no outcome.
    Slates(Vec<Slate>, Option<Millis>),
    /// A cluster fit; no outcome.
    Fit(StoredFit),
    /// Statements of the feeds API; no outcome.
    Activities(Vec<Statement>),
    /// A change to models; one outcome, `Stored` with the version of the model, or `Refused`.
    Model(ModelChange),
    /// Whether the store holds only a part of a dump; no outcome.
    Loading(bool),
    /// A write that shows that the store can write; no outcome.
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
            Work::Activities(statements) => 1 + statements.len(),
            Work::Fit(fit) => 1 + fit.members.as_ref().map_or(0, Vec::len) / BYTES_PER_WRITE,
            Work::Model(ModelChange::Save(model)) => 1 + model.checkpoint.len() / BYTES_PER_WRITE,
            Work::Model(_) | Work::Access(_) | Work::Loading(_) | Work::Health => 1,
        }
    }

    /// The batch of an append; empty for other work.
    pub(super) fn batch(&self) -> &[Write] {
        match self {
            Work::Append(batch) => batch,
            Work::Access(_) | Work::Snapshot(..) | Work::CoordinatorSnapshot(..) => &[],
            Work::Slates(..) | Work::Activities(_) | Work::Fit(_) => &[],
            Work::Model(_) | Work::Loading(_) | Work::Health => &[],
        }
    }
}

/// The outcomes of a call, in the order of its writes.
pub(super) type Answer = Result<Vec<Outcome>, StoreError>;

/// One queued call and the channel for its answer.
pub(super) struct Call {
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl Call {
    /// Sends the answer. A caller that has dropped its future gets none; its work is done anyway.
    pub(super) fn respond(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// Adds queued calls to the first one, up to [`GROUP_WRITES`].
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
