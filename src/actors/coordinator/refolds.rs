//! Erasures whose person is still part of the shared learners, and the reading of the journal that folds them out.
//!
//! Invariant: entries that become durable during a reading are kept, or the reading is marked as overflown.

use std::sync::Arc;
use std::time::Instant;

use crate::domain::ids::Position;
use crate::domain::journal::Entry;

/// Entries that may arrive while the journal is read; beyond that, the reading continues from its last position.
const SEEN_MAX: usize = 262_144;

/// Erasures whose person is still part of the shared learners.
#[derive(Default)]
pub(super) struct Refolds {
    /// Erasures that are begun and not folded out yet.
    pub begun: usize,
    /// Of the begun erasures, those that became durable since the reading of the journal began.
    pub durable: usize,
    pub reading: Option<Reading>,
    /// The earliest start of the next reading.
    pub rests_until: Option<Instant>,
    /// The earliest start of the next reading for undone interactions.
    pub undone_rests_until: Option<Instant>,
    /// A reading for undone interactions is planned.
    pub undone_waits: bool,
    /// The next reading is due after a rest.
    pub waits: bool,
}

/// A reading of the journal from its beginning.
#[derive(Default)]
pub(super) struct Reading {
    /// Erasures that are folded out when the reading is done.
    pub erasures: usize,
    pub began: Option<Instant>,
    /// Entries that became durable since the reading began.
    pub seen: Vec<Arc<[(Position, Entry)]>>,
    pub entries: usize,
    /// More entries arrived than are kept.
    pub overflown: bool,
}

impl Refolds {
    pub(super) fn is_under_way(&self) -> bool {
        self.begun > 0
    }

    /// Records durable entries.
    pub(super) fn record(&mut self, entries: &Arc<[(Position, Entry)]>) {
        let Some(reading) = &mut self.reading else { return };
        reading.entries += entries.len();
        reading.overflown |= reading.entries > SEEN_MAX;
        if reading.overflown {
            reading.seen = Vec::new();
        } else {
            reading.seen.push(entries.clone());
        }
    }
}
