//! The write-ahead journal, the only writer: gathers the writes of all actors into transactions (group commit).
//!
//! Invariant: at most one transaction is under way; the next takes all writes that arrived meanwhile, up to
//! [`BATCH_WRITES_MAX`]. So a lone entry is not delayed, and a flood is batched. Order is kept. Reservations bound the
//! queue and are taken before anything is learned; without a free one the server answers `busy`. While the store cannot
//! answer, the batch is tried again, in order, with back-off; nothing is dropped. A server that lost its store to
//! another one stores nothing any more: it accepts no writes, and its process ends (`app`). A panic in this actor ends
//! the process, too.

pub mod counts;
pub mod messages;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::domain::ids::{Position, Seq};
use crate::domain::journal::Entry;
use crate::process::Vital;
use crate::store::{Outcome, Store, StoreError, Write};

use super::errors::WriteError;
use counts::{Counted, Counts};
use messages::{Append, Barrier, Forget, Generation, Journalled, Origin, Reservation, Stored, Verdict};

/// The largest number of writes in one transaction.
pub const BATCH_WRITES_MAX: usize = 4_096;

/// The longest pause between two tries while the store cannot answer.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The sending side of the journal, with its counters.
#[derive(Clone)]
pub struct JournalHandle {
    addr: Addr<Journal>,
    queued: Arc<AtomicUsize>,
    queue_max: usize,
    generations: Arc<AtomicU64>,
    counts: Arc<Counts>,
}

impl JournalHandle {
    /// Wraps the actor's address and its counters.
    #[must_use]
    pub fn new(addr: Addr<Journal>, queue_max: usize, counts: Arc<Counts>) -> JournalHandle {
        JournalHandle { addr, queued: Arc::default(), queue_max, generations: Arc::default(), counts }
    }

    /// A place in the queue, or `None` when it is full: then answer `busy`, and learn nothing.
    #[must_use]
    pub fn reserve(&self) -> Option<Reservation> {
        // Counted first, so that two concurrent callers cannot both take the last place.
        let (reservation, taken) = Reservation::take(&self.queued);
        let has_room = taken < self.queue_max;
        if !has_room {
            self.counts.refused();
        }
        has_room.then_some(reservation)
    }

    /// Whether the last transaction failed and is being tried again.
    #[must_use]
    pub(crate) fn is_stalled(&self) -> bool {
        self.counts.is_stalled()
    }

    /// Entries that wait to be stored.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// The largest number of entries that may wait.
    #[must_use]
    pub fn queue_max(&self) -> usize {
        self.queue_max
    }

    /// Counters since the start.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.counts.read()
    }

    /// Sends writes to the journal. Never blocks: a reservation guarantees room.
    pub fn append(&self, append: Append) {
        self.addr.do_send(append);
    }

    /// Stores writes on behalf of a request.
    ///
    /// # Errors
    /// Why they can never be stored, or that the server is shutting down.
    pub async fn store(&self, writes: Vec<Write>, reservation: Reservation) -> Result<(), WriteError> {
        let (done, wait) = oneshot::channel();
        self.append(Append { writes, from: Origin::Request(done), reservation });
        wait.await.unwrap_or(Err(WriteError::ShuttingDown))
    }

    /// Returns when all writes that were sent before are durable.
    pub(crate) async fn barrier(&self) {
        let (done, wait) = oneshot::channel();
        self.addr.do_send(Barrier(done));
        // An error means that the journal has ended, with nothing left to wait for.
        let _ = wait.await;
    }

    pub(super) fn forget(&self, generation: Generation) {
        self.addr.do_send(Forget(generation));
    }

    pub(super) fn next_generation(&self) -> Generation {
        Generation(self.generations.fetch_add(1, Ordering::Relaxed))
    }
}

/// The actor that owns the store's writing side.
pub struct Journal {
    store: Arc<dyn Store>,
    coordinator: Option<Recipient<Journalled>>,
    waiting: VecDeque<Job>,
    committing: bool,
    /// Generations with an entry that could not be stored.
    broken: BTreeSet<Generation>,
    /// Another server took the store over: the reason why nothing is stored any more.
    replaced: Option<String>,
    counts: Arc<Counts>,
    _vital: Vital,
}

enum Job {
    Append(Append),
    Barrier(oneshot::Sender<()>),
}

impl Journal {
    /// A journal over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Journal {
        Journal {
            store,
            coordinator: None,
            waiting: VecDeque::new(),
            committing: false,
            broken: BTreeSet::new(),
            replaced: None,
            counts: Arc::default(),
            _vital: Vital::new("the journal"),
        }
    }

    /// The counters, for readers outside of the actor.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Takes the next batch off the queue and commits it.
    fn commit_next(&mut self, ctx: &mut Context<Self>) {
        if self.committing {
            return;
        }
        let mut batch = Vec::new();
        let mut writes = 0;
        while let Some(job) = self.waiting.front() {
            if let Job::Append(append) = job {
                if writes > 0 && writes + append.writes.len() > BATCH_WRITES_MAX {
                    break;
                }
            } else if !batch.is_empty() {
                break;
            }
            match self.waiting.pop_front() {
                Some(Job::Append(append)) => match &append.from {
                    Origin::Person(person, generation) if self.broken.contains(generation) => {
                        person.do_send(Stored::one(*generation, &append, Verdict::Refused));
                    }
                    // Only taken entries count: otherwise many refused ones would end the batch before it began.
                    _ => {
                        writes += append.writes.len();
                        batch.push(append);
                    }
                },
                Some(Job::Barrier(done)) => {
                    let _ = done.send(());
                }
                None => break,
            }
        }
        if !batch.is_empty() {
            self.committing = true;
            self.commit(batch, Duration::from_millis(10), ctx);
        }
    }

    fn commit(&mut self, batch: Vec<Append>, retry_after: Duration, ctx: &mut Context<Self>) {
        let writes: Vec<Write> = batch.iter().flat_map(|append| append.writes.iter().cloned()).collect();
        let (store, count, began) = (self.store.clone(), writes.len(), Instant::now());
        let commit = async move { store.append(writes).await };
        ctx.spawn(commit.into_actor(self).map(move |result, journal, ctx| match result {
            Ok(outcomes) => {
                journal.counts.committed(count, began.elapsed());
                journal.settle(batch, outcomes);
                journal.committing = false;
                journal.commit_next(ctx);
            }
            Err(StoreError::Refused(why)) => {
                journal.counts.answered();
                journal.isolate(batch, &why, ctx);
            }
            Err(error @ StoreError::Replaced(_)) => journal.give_up(batch, error.to_string()),
            Err(error) => {
                tracing::warn!(%error, entries = batch.len(), "the store cannot answer: trying again");
                journal.counts.retried();
                let next = (retry_after * 2).min(RETRY_MAX);
                ctx.run_later(retry_after, move |journal, ctx| journal.commit(batch, next, ctx));
            }
        }));
    }

    /// Gives up after another server took the store over. Requesters get an error, or their connection ends with the
    /// process; in both cases without an acknowledgement.
    fn give_up(&mut self, batch: Vec<Append>, why: String) {
        tracing::error!(
            why,
            entries = batch.len() + self.waiting.len(),
            "entries were dropped unstored, because another server took over the store"
        );
        self.replaced = Some(why);
        let waiting = std::mem::take(&mut self.waiting);
        for job in batch.into_iter().map(Job::Append).chain(waiting) {
            self.refuse(job);
        }
    }

    /// Answers a job with an error; called only after [`Journal::give_up`].
    fn refuse(&self, job: Job) {
        if let (Job::Append(Append { from: Origin::Request(done), .. }), Some(why)) = (job, &self.replaced) {
            let _ = done.send(Err(WriteError::Replaced(why.clone())));
        }
    }

    /// Finds the write that can never be stored: halves the batch until the write stands alone, then answers its
    /// sender.
    fn isolate(&mut self, mut batch: Vec<Append>, why: &str, ctx: &mut Context<Self>) {
        if batch.len() > 1 {
            let second = batch.split_off(batch.len() / 2);
            for append in second.into_iter().rev() {
                self.waiting.push_front(Job::Append(append));
            }
            self.commit(batch, Duration::from_millis(10), ctx);
            return;
        }
        for append in batch {
            tracing::error!(why, "an entry can never be stored");
            match append.from {
                Origin::Person(ref person, generation) => {
                    self.broken.insert(generation);
                    person.do_send(Stored::one(generation, &append, Verdict::Impossible));
                }
                Origin::Request(done) => {
                    let _ = done.send(Err(WriteError::Refused(why.to_owned())));
                }
            }
        }
        self.committing = false;
        self.commit_next(ctx);
    }

    /// Sends the outcomes to the senders, and the durable entries to the coordinator.
    fn settle(&mut self, batch: Vec<Append>, outcomes: Vec<Outcome>) {
        let mut outcomes = outcomes.into_iter();
        let mut durable: Vec<(Position, Entry)> = Vec::with_capacity(batch.len());
        let mut reservations = Vec::with_capacity(batch.len());
        // One message per person and batch: adjacent entries of one person are merged.
        let mut answers: Vec<(Recipient<Stored>, Stored)> = Vec::new();
        for append in batch {
            let Append { writes, from, reservation } = append;
            reservations.push(reservation);
            match from {
                Origin::Request(done) => {
                    for _ in &writes {
                        outcomes.next();
                    }
                    let _ = done.send(Ok(()));
                }
                Origin::Person(person, generation) => {
                    for write in writes {
                        let (Write::Entry(entry), Some(outcome)) = (write, outcomes.next()) else { continue };
                        let seq = entry.seq;
                        let verdict = match outcome {
                            Outcome::Stored(position) => {
                                durable.push((position, entry));
                                Verdict::Durable
                            }
                            Outcome::Duplicate(known) => Verdict::Duplicate(known),
                            Outcome::Refused => Verdict::Refused,
                        };
                        if verdict != Verdict::Durable {
                            self.broken.insert(generation);
                        }
                        push_answer(&mut answers, person.clone(), generation, (seq, verdict));
                    }
                }
            }
        }
        for (person, stored) in answers {
            person.do_send(stored);
        }
        if let (Some(coordinator), false) = (&self.coordinator, durable.is_empty()) {
            // The places in the queue become free once the coordinator has folded the entries, so the journal cannot
            // outrun it.
            coordinator.do_send(Journalled { entries: durable.into(), reservations });
        }
    }
}

fn push_answer(
    answers: &mut Vec<(Recipient<Stored>, Stored)>,
    person: Recipient<Stored>,
    generation: Generation,
    verdict: (Seq, Verdict),
) {
    match answers.iter_mut().rev().take(16).find(|(_, stored)| stored.generation == generation) {
        Some((_, stored)) => stored.verdicts.push(verdict),
        None => answers.push((person, Stored { generation, verdicts: vec![verdict] })),
    }
}

impl Actor for Journal {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        // Reservations bound the number of messages, so the mailbox needs no bound of its own.
        ctx.set_mailbox_capacity(1 << 20);
    }
}

/// The recipient of durable entries; sent once at start.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Tell(pub Recipient<Journalled>);

impl Handler<Tell> for Journal {
    type Result = ();
    fn handle(&mut self, tell: Tell, _: &mut Self::Context) {
        self.coordinator = Some(tell.0);
    }
}

impl Handler<Append> for Journal {
    type Result = ();
    fn handle(&mut self, append: Append, ctx: &mut Self::Context) {
        if self.replaced.is_some() {
            self.refuse(Job::Append(append));
            return;
        }
        self.waiting.push_back(Job::Append(append));
        if !self.committing && self.waiting.len() == 1 {
            // Committed after all waiting messages are handled, so writes that came together share a transaction.
            ctx.notify(CommitNext);
        }
    }
}

impl Handler<Barrier> for Journal {
    type Result = ();
    fn handle(&mut self, barrier: Barrier, _: &mut Self::Context) {
        if self.replaced.is_some() || !self.committing && self.waiting.is_empty() {
            let _ = barrier.0.send(());
            return;
        }
        self.waiting.push_back(Job::Barrier(barrier.0));
    }
}

impl Handler<Forget> for Journal {
    type Result = ();
    fn handle(&mut self, forget: Forget, _: &mut Self::Context) {
        self.broken.remove(&forget.0);
    }
}

/// To the actor itself: all waiting messages are handled, so the next batch is committed.
#[derive(Message)]
#[rtype(result = "()")]
struct CommitNext;

impl Handler<CommitNext> for Journal {
    type Result = ();
    fn handle(&mut self, _: CommitNext, ctx: &mut Self::Context) {
        self.commit_next(ctx);
    }
}
