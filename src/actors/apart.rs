//! The budget for work whose cost grows with a person's past, or with the number of people and items.
//!
//! Invariant: such work never runs on a web worker or an arbiter. A bounded number of jobs runs at once, and each
//! person has a bounded number of them. A job without a free place is refused at once. A job whose requester left keeps
//! its place until it is done. Deliberately absent: the work itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::errors::{Busy, RequestError};
use crate::domain::ids::UserId;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// Jobs about the past that compute at once: folds, rankings, pieces of exports.
pub(crate) const PAST_AT_ONCE: usize = 2;
/// Questions about the past under way in total; each person has at most one.
pub(crate) const PAST_IN_ALL: usize = 16;
/// Exports under way in total; each person has at most one.
pub(crate) const EXPORTS_IN_ALL: usize = 16;
/// Scans of the catalogue or of all people that compute at once.
pub(crate) const SCANS_AT_ONCE: usize = 2;
/// Scans under way in total, computing or waiting.
pub(crate) const SCANS_IN_ALL: usize = 256;
/// Scans of one person under way, computing or waiting.
pub(crate) const SCANS_EACH: usize = 8;

/// Milliseconds after which a person whose places are taken may try again.
const PERSON_WAITS_MS: u32 = 1_000;

/// The places for one kind of work, counted in total and per person.
pub struct Apart {
    each: usize,
    in_all: usize,
    held: Mutex<Held>,
    work: Arc<Semaphore>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_person: BTreeMap<UserId, usize>,
}

/// One place for a job; dropping it frees the place.
pub struct Place {
    of: Arc<Apart>,
    person: Option<UserId>,
}

impl Apart {
    /// `each` jobs per person and `in_all` jobs in total. A job computes while it holds a permit of `work`.
    #[must_use]
    pub fn new(each: usize, in_all: usize, work: Arc<Semaphore>) -> Arc<Apart> {
        Arc::new(Apart { each, in_all, held: Mutex::default(), work })
    }

    /// A place for a person's job. Jobs of services have no person, so only the total bounds them.
    ///
    /// # Errors
    /// `rate_limited` when the person's own places are taken, `busy` when all places are.
    pub fn enter(self: &Arc<Self>, person: Option<UserId>) -> Result<Arc<Place>, RequestError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = person.map_or(0, |person| held.by_person.get(&person).copied().unwrap_or_default());
        if own >= self.each {
            let message = match self.each {
                1 => "one at a time for each person: ask again when the one before is answered".to_owned(),
                many => format!("at most {many} at a time for each person: ask again when those before are answered"),
            };
            let refusal = Refusal::new(Code::RateLimited, message);
            return Err(Refusal { retry_after_ms: Some(PERSON_WAITS_MS), ..refusal }.into());
        }
        if held.all >= self.in_all {
            return Err(Busy::PlacesTaken.into());
        }
        held.all += 1;
        if let Some(person) = person {
            held.by_person.insert(person, own + 1);
        }
        Ok(Arc::new(Place { of: self.clone(), person }))
    }

    /// The permits that jobs compute with.
    #[must_use]
    pub fn work(&self) -> &Arc<Semaphore> {
        &self.work
    }
}

impl Place {
    /// A permit to compute, granted in the order of the calls.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.of.work.clone().acquire_owned().await.ok()
    }

    /// Runs a job on a blocking thread once it has a permit.
    ///
    /// # Errors
    /// `internal` when the job panicked.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (turn, place) = (self.turn().await, self.clone());
        let running = tokio::task::spawn_blocking(move || {
            let done = job();
            drop((turn, place));
            done
        });
        running.await.map_err(|_| Refusal::new(Code::Internal, "a fault of the server; its log says more"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= 1;
        let Some(person) = self.person else { return };
        match held.by_person.get_mut(&person) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                held.by_person.remove(&person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn code(entered: Result<Arc<Place>, RequestError>) -> Option<Code> {
        entered.err().map(|error| match error {
            RequestError::Busy(_) => Code::Busy,
            RequestError::Refused(refusal) => refusal.code,
        })
    }

    #[test]
    fn each_person_has_few_places_and_all_have_a_bounded_number() {
        let apart = Apart::new(1, 3, Arc::new(Semaphore::new(1)));
        let ada = apart.enter(Some(UserId(1))).unwrap();
        assert_eq!(code(apart.enter(Some(UserId(1)))), Some(Code::RateLimited), "a second one of the person");
        let others = [apart.enter(Some(UserId(2))).unwrap(), apart.enter(None).unwrap()];
        assert_eq!(code(apart.enter(None)), Some(Code::Busy), "all places are taken");
        drop(ada);
        let again = apart.enter(Some(UserId(1))).unwrap();
        drop((again, others));
        let held = apart.held.lock().unwrap();
        assert_eq!((held.all, held.by_person.len()), (0, 0), "nothing is kept of who has left");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_few_compute_at_once_and_an_abandoned_job_keeps_its_place() {
        let apart = Apart::new(9, 99, Arc::new(Semaphore::new(2)));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..9).map(|person| {
            let (place, now, most) = (apart.enter(Some(UserId(person))).unwrap(), now.clone(), most.clone());
            async move {
                place
                    .run(move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await
            }
        });
        assert!(futures_util::future::join_all(jobs).await.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), 2);

        let (begun, wait) = std::sync::mpsc::channel::<()>();
        let place = apart.enter(Some(UserId(1))).unwrap();
        let running = tokio::spawn(async move { place.run(move || wait.recv()).await });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        running.abort();
        let _ = running.await;
        assert_eq!(apart.held.lock().unwrap().all, 1, "the thread still computes");
        drop(begun);
    }
}
