//! A problem of groups, solved in several threads.
//!
//! Invariant: the fit does not depend on the number of threads; all of them have ended when it is there. Blocks whoever
//! calls it: never an actor.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::cluster::{Fit, Problem, Start, Unsound};

/// From now on this thread, and those that it begins, get what all others leave of the processors.
pub fn step_back() {
    // Where it cannot be had, a fit costs what it costs.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "groups are found at the priority of everybody");
    }
}

/// Solves a problem in so many threads; `done` hears of every start that is through. The fit does not depend on the
/// number of threads.
///
/// # Errors
/// As [`Problem::finish`].
pub fn solve(problem: &Problem, threads: usize, done: impl Fn() + Sync) -> Result<Fit, Unsound> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= problem.starts() {
                return found;
            }
            found.push((index, problem.start(index)));
            done();
        }
    };
    let mut starts: Vec<(usize, Result<Start, Unsound>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads.min(problem.starts())).map(|_| scope.spawn(work)).collect();
        let mut found = work();
        for worker in workers {
            match worker.join() {
                Ok(more) => found.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    starts.sort_by_key(|start| start.0);
    problem.finish(starts.into_iter().map(|start| start.1).collect())
}
