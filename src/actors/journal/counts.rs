//! What the journal has done since the start, readable by anybody at any time.
//!
//! Invariant: every figure only rises; whether the last try failed comes and goes. They are read one by one, so a reader may see one of them a moment ahead.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counters that the journal and its handles share.
#[derive(Debug, Default)]
pub struct Counts {
    commits: AtomicU64,
    writes: AtomicU64,
    retries: AtomicU64,
    refused: AtomicU64,
    micros: AtomicU64,
    /// The store could not answer when it was last asked.
    stalled: AtomicBool,
}

/// [`Counts`] as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Transactions that became durable.
    pub commits: u64,
    /// Writes in them: entries, items, people.
    pub writes: u64,
    /// Transactions that were tried again since the store could not answer.
    pub retries: u64,
    /// Times that somebody found the queue full and was told `busy`.
    pub refused: u64,
    /// Time that transactions took, in seconds; what was waited between two tries is not in it.
    pub seconds: f64,
}

impl Counts {
    pub(super) fn committed(&self, writes: usize, took: Duration) {
        self.answered();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.stalled.store(true, Ordering::Relaxed);
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// The store has answered, if only that something can never be stored.
    pub(super) fn answered(&self) {
        self.stalled.store(false, Ordering::Relaxed);
    }

    /// Did the last transaction fail, so that it is being tried again?
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// As they are now.
    #[must_use]
    pub fn read(&self) -> Counted {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            commits: of(&self.commits),
            writes: of(&self.writes),
            retries: of(&self.retries),
            refused: of(&self.refused),
            seconds: of(&self.micros) as f64 / 1e6,
        }
    }
}
