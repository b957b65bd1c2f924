//! Messages for `Journal`, and its answers. From people's actors: `Append`, `Forget`. From the coordinator and the server:
//! `Append`. From activations: `Barrier`. To people's actors: `Stored`. To the coordinator: `Journalled`.
//!
//! Invariant: an [`Append`] holds a reservation, so a bounded number of them wait. Each entry is answered once. Verdicts
//! carry the generation of their state, so verdicts about an abandoned state are recognised.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::errors::WriteError;
use crate::domain::ids::{Position, Seq};
use crate::domain::journal::Entry;
use crate::store::Write;

/// A place in the journal's queue; dropping it frees the place.
pub struct Reservation {
    queued: Arc<AtomicUsize>,
}

impl Reservation {
    /// Takes a place, even beyond the bound of the queue. Also returns how many places were taken before.
    pub(super) fn take(queued: &Arc<AtomicUsize>) -> (Reservation, usize) {
        let taken = queued.fetch_add(1, Ordering::AcqRel);
        (Reservation { queued: queued.clone() }, taken)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Stores `writes`, in order, in one transaction. Answered through `from` when durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    /// The rows to store, in order.
    pub writes: Vec<Write>,
    /// The sender, who gets the answer.
    pub from: Origin,
    /// The place that the sender took in the bounded queue.
    pub reservation: Reservation,
}

/// Who waits for an [`Append`].
pub enum Origin {
    /// One entry of a person, by this incarnation of their state; answered by [`Stored`].
    Person(Recipient<Stored>, Generation),
    /// A request, answered when all writes are durable, or when they cannot be stored.
    Request(oneshot::Sender<Result<(), WriteError>>),
}

/// Identifies one incarnation of one person's state in memory. After an entry that could not be stored, all later
/// entries of its generation depend on a wrong state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// A generation was given up: no entry of it will come any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Forget(pub Generation);

/// Answered when all writes that were sent before are durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Barrier(pub oneshot::Sender<()>);

/// The outcomes of entries that were sent to the journal.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stored {
    /// The incarnation of the state that sent the entries.
    pub generation: Generation,
    /// One verdict per entry, in the order of sending.
    pub verdicts: Vec<(Seq, Verdict)>,
}

/// The outcome of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The entry survives a crash.
    Durable,
    /// The event was stored before, under this number, and was not looked up: fold the journal again.
    Duplicate(Seq),
    /// The entry depends on a wrong state: fold the journal again, then learn this event.
    Refused,
    /// The entry can never be stored: fold the journal again, without this event.
    Impossible,
}

impl Stored {
    /// The outcome of a single entry.
    #[must_use]
    pub(super) fn one(generation: Generation, append: &Append, verdict: Verdict) -> Stored {
        let verdicts = append
            .writes
            .iter()
            .filter_map(|write| match write {
                Write::Entry(entry) => Some((entry.seq, verdict)),
                _ => None,
            })
            .collect();
        Stored { generation, verdicts }
    }
}

/// Entries that became durable, in commit order.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Journalled {
    /// The entries with their positions.
    pub entries: Arc<[(Position, Entry)]>,
    /// The entries' places in the journal's queue, released when this message is dropped.
    pub reservations: Vec<Reservation>,
}
