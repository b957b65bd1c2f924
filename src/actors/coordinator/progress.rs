//! Progress of the fit in progress: finished starts of all starts.
//!
//! Invariant: finished starts never exceed all starts. A fit replaces the progress of the fit before it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Starts of one fit, counted by the threads that fit.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicUsize,
    all: AtomicUsize,
}

impl Progress {
    /// Sets the number of starts, once the users are read.
    pub(super) fn expect(&self, starts: usize) {
        self.all.store(starts, Ordering::Relaxed);
    }

    /// Counts a finished start.
    pub(super) fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Finished and all starts.
    pub(super) fn starts(&self) -> (usize, usize) {
        let all = self.all.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(all), all)
    }
}
