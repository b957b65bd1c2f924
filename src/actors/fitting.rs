//! Fits clusters in several threads.
//!
//! Invariant: the fit does not depend on the number of threads, and all of them have ended when it returns. It blocks
//! its caller, so an actor never calls it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::mixture::{Fit, Problem, Start, Unsound};

/// Lowers the priority of this thread, and of those that it starts, to the least of the system.
pub fn lower_priority() {
    // Where the priority cannot be lowered, the fit competes with serving.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "clusters are fitted at normal priority");
    }
}

/// Solves a problem in this many threads; `done` is called after each start. The fit does not depend on the number of
/// threads.
///
/// # Errors
/// The errors of [`Problem::finish`].
pub fn fit(problem: &Problem, threads: usize, done: impl Fn() + Sync) -> Result<Fit, Unsound> {
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
