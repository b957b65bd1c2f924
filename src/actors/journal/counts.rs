//! Counters of the journal since the start, readable by any thread at any time.
//!
//! Invariant: counters only rise; the flag of the last transaction may change back. They are read one by one, so one
//! counter may be a moment ahead of another.

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
    /// The store could not answer the last transaction.
    stalled: AtomicBool,
}

/// [`Counts`] as they were read at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Transactions that became durable.
    pub commits: u64,
    /// Writes in durable transactions: entries, items, people.
    pub writes: u64,
    /// Transactions that were tried again because the store could not answer.
    pub retries: u64,
    /// Requests that were refused as `busy` because the queue was full.
    pub refused: u64,
    /// Seconds spent in transactions, without the pauses between two tries.
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

    /// Records that the store answered, even if it refused the write.
    pub(super) fn answered(&self) {
        self.stalled.store(false, Ordering::Relaxed);
    }

    /// Whether the last transaction failed and is being tried again.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters at this moment.
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
