//! Snapshots of learned state: one per person, and those of the coordinator.
//!
//! Invariant: a snapshot never replaces a newer one, and never covers more than the journal holds. Absent on purpose:
//! the format of the bytes, which the reader of a snapshot checks.

use futures_util::future::BoxFuture;

use crate::domain::ids::{Position, Seq, UserId};
use crate::domain::journal::Entry;
use crate::store::error::StoreError;

/// A person's newest snapshot and all their entries after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The newest readable snapshot; `None` when there is none or its checksum does not match.
    pub snapshot: Option<Snapshot>,
    /// Entries after the snapshot, in order; all entries of the person without one.
    pub tail: Vec<Entry>,
}

/// The learned state of one person, serialised.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Sequence number of the last entry that the state includes.
    pub seq: Seq,
    /// The state in the format of the engine. The store adds a checksum of its own.
    pub bytes: Vec<u8>,
}

/// The coordinator's state, serialised, and the position of the last entry that it includes.
pub type CoordinatorSnapshot = (Position, Vec<u8>);

/// Saves and reads snapshots.
pub trait SnapshotStore: Send + Sync + 'static {
    /// The newest snapshot of one person and their entries after it, read in one transaction.
    fn recover(&self, user: UserId) -> BoxFuture<'_, Result<Recovered, StoreError>>;

    /// The newest readable snapshot of one person.
    fn snapshot(&self, user: UserId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>>;

    /// Saves a snapshot of one person, unless a newer one is stored.
    fn save_snapshot(&self, user: UserId, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The coordinator's newest readable snapshot.
    fn coordinator_snapshot(&self) -> BoxFuture<'_, Result<Option<CoordinatorSnapshot>, StoreError>>;

    /// Saves the coordinator's snapshot, unless a newer one is stored. `covers` is the last entry that it includes.
    fn save_coordinator_snapshot(&self, covers: Position, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>>;
}
