//! The directory of active people: the only place that knows whether a person's actor runs in this process.
//!
//! Invariant: a delivered message is handled once, by this incarnation of the person's actor or by the next one. A
//! message that a stopped or panicked actor leaves in its mailbox is delivered again by itself. No guard of the map is
//! held across a send.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::dev::SendError;
use actix::prelude::*;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::ids::UserId;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::context::ServerContext;
use super::errors::{Busy, RequestError};
use super::journal::JournalHandle;
use super::user::actor::UserActor;
use super::user::messages::{Leave, ToUser, WorldChanged};
use super::user::registration::{Envelope, Flags, Registration, Registry};
use super::user::turns::Turns;

#[derive(Clone)]
struct Active {
    addr: Addr<UserActor>,
    flags: Arc<Flags>,
    /// The directory's message count at the last message; the lowest one marks the least recently used person.
    used: Arc<AtomicU64>,
}

impl Active {
    fn notify(&self, change: &WorldChanged) {
        if let Err(SendError::Full(_)) = self.addr.try_send(change.clone()) {
            // The actor reads the whole world at its next tick.
            self.flags.set_stale();
        }
    }
}

/// Addresses of all active people, spread over the arbiters by a hash of the person.
pub struct Directory {
    context: Arc<ServerContext>,
    journal: JournalHandle,
    active: DashMap<UserId, Active>,
    arbiters: Vec<ArbiterHandle>,
    /// The refresh turns of each arbiter.
    turns: Vec<Arc<Turns>>,
    count: AtomicUsize,
    turn: AtomicU64,
}

impl Directory {
    /// A directory without actors. Actors will run on `arbiters`, and refresh open feeds in `limits.refresh_percent` of
    /// the time of each arbiter.
    #[must_use]
    pub fn new(context: Arc<ServerContext>, journal: JournalHandle, arbiters: Vec<ArbiterHandle>) -> Arc<Directory> {
        let turns = arbiters.iter().map(|_| Arc::new(Turns::new(context.limits.refresh_percent))).collect();
        let (count, turn) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Directory { context, journal, active: DashMap::new(), arbiters, turns, count, turn })
    }

    /// The number of active people.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Sends a message to a person's actor, and activates the actor first if necessary.
    ///
    /// # Errors
    /// Busy when the actor's mailbox is full or the server is shutting down: nothing was learned.
    pub fn deliver(self: &Arc<Self>, user: UserId, message: ToUser) -> Result<(), RequestError> {
        let mut envelope = Envelope::new(self.clone(), user, message);
        loop {
            if self.context.is_closing() {
                envelope.take();
                return Err(Busy::ShuttingDown.into());
            }
            let Some(active) = self.activate(user) else {
                envelope.take();
                return Err(Refusal::new(Code::UnknownUser, "this person was erased").into());
            };
            active.used.store(self.turn.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            match active.addr.try_send(envelope) {
                Ok(()) => return Ok(()),
                Err(SendError::Full(mut refused)) => {
                    refused.take();
                    return Err(Busy::MailboxFull.into());
                }
                Err(SendError::Closed(back)) => {
                    // The actor stopped between look-up and send, or panicked. The next incarnation gets the message.
                    self.leave(user, &active.flags);
                    envelope = back;
                }
            }
        }
    }

    /// Sends a change of the world to all people with open sessions. Each thread gets one message and passes it on to
    /// its people, so the publisher never waits and all threads begin at once.
    pub fn announce(&self, change: &WorldChanged) {
        let mut watched: Vec<Vec<Active>> = self.arbiters.iter().map(|_| Vec::new()).collect();
        for one in self.active.iter().filter(|one| one.flags.is_watching()) {
            if let Some(there) = watched.get_mut(self.thread_of(*one.key())) {
                there.push(one.value().clone());
            }
        }
        for (arbiter, people) in self.arbiters.iter().zip(watched).filter(|(_, people)| !people.is_empty()) {
            let change = change.clone();
            // A thread that has ended runs no actors.
            arbiter.spawn_fn(move || people.into_iter().for_each(|one| one.notify(&change)));
        }
    }

    /// The index of the arbiter on which a person's actor runs.
    fn thread_of(&self, user: UserId) -> usize {
        xxh3_64(&user.0.to_le_bytes()) as usize % self.arbiters.len().max(1)
    }

    /// Sends a question to the most recently active people, at most `most`. Returns the number of active people and the number
    /// asked; people with a full mailbox are not asked.
    pub(crate) fn ask_all<Q>(&self, want: &Q, most: usize) -> (usize, usize)
    where
        Q: Message<Result = ()> + Clone + Send + 'static,
        UserActor: Handler<Q>,
    {
        let mut active: Vec<(u64, Addr<UserActor>)> =
            self.active.iter().map(|one| (one.used.load(Ordering::Relaxed), one.addr.clone())).collect();
        let count = active.len();
        if count > most && most > 0 {
            active.select_nth_unstable_by_key(most - 1, |(used, _)| std::cmp::Reverse(*used));
        }
        active.truncate(most);
        (count, active.into_iter().filter(|(_, addr)| addr.try_send(want.clone()).is_ok()).count())
    }

    /// Requests the passivation of the least recently used people beyond `most`. People with open sessions stay.
    pub(crate) fn keep_within(&self, most: usize) {
        let too_many = self.len().saturating_sub(most);
        if too_many == 0 {
            return;
        }
        let mut idle: Vec<(u64, Addr<UserActor>)> = self
            .active
            .iter()
            .filter(|one| !one.flags.is_watching())
            .map(|one| (one.used.load(Ordering::Relaxed), one.addr.clone()))
            .collect();
        if idle.len() > too_many {
            idle.select_nth_unstable_by_key(too_many - 1, |(used, _)| *used);
            idle.truncate(too_many);
        }
        for (_, addr) in idle {
            // A full mailbox means that the person is in use again.
            let _ = addr.try_send(Leave);
        }
    }

    /// Ends the actor of an erased person, if it runs. The person was marked as erased before, so no new one is
    /// activated.
    pub(super) fn dismiss(self: &Arc<Self>, user: UserId) {
        let active = self.active.get(&user).map(|active| active.value().clone());
        if let Some(active) = active {
            // One message beyond a full mailbox, once per person.
            active.addr.do_send(Envelope::new(self.clone(), user, ToUser::Erased));
        }
    }

    /// Notifies a person's actor, if it runs, of changed attributes.
    pub(super) fn describe(self: &Arc<Self>, user: UserId) {
        let active = self.active.get(&user).map(|active| active.value().clone());
        if let Some(active) = active {
            // One message beyond a full mailbox per change; each change waited for the journal before.
            active.addr.do_send(Envelope::new(self.clone(), user, ToUser::Described));
        }
    }

    fn activate(self: &Arc<Self>, user: UserId) -> Option<Active> {
        if let Some(active) = self.active.get(&user) {
            return Some(active.value().clone());
        }
        match self.active.entry(user) {
            Entry::Occupied(there) => Some(there.get().clone()),
            // Checked under the guard: a dismissed person was marked as erased before.
            Entry::Vacant(_) if self.context.people.is_erased(user) => None,
            Entry::Vacant(place) => {
                let flags = Arc::new(Flags::default());
                let index = self.thread_of(user);
                let registration = Registration::new(self.clone(), user, flags.clone());
                let (context, journal) = (self.context.clone(), self.journal.clone());
                let actor = UserActor::new(user, context, journal, registration, self.turns[index].clone());
                // Starting an actor only queues a closure on the arbiter, so nothing is sent under the guard.
                let capacity = self.context.limits.user_mailbox;
                let addr = UserActor::start_in_arbiter(&self.arbiters[index], move |ctx| {
                    ctx.set_mailbox_capacity(capacity);
                    actor
                });
                self.count.fetch_add(1, Ordering::Relaxed);
                Some(place.insert(Active { addr, flags, used: Arc::default() }).clone())
            }
        }
    }
}

impl Registry for Directory {
    fn leave(&self, user: UserId, flags: &Arc<Flags>) {
        if self.active.remove_if(&user, |_, active| Arc::ptr_eq(&active.flags, flags)).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn redeliver(self: Arc<Self>, user: UserId, message: ToUser) {
        if let Err(error) = self.deliver(user, message) {
            // The sender's channel closes, and the sender treats that as busy.
            tracing::debug!(%error, user = user.0, "an unopened message could not be delivered again");
        }
    }
}

/// The interval at which the number of active people is checked.
const SWEEP_EVERY: Duration = Duration::from_millis(200);
/// While memory is short, one of this many active people leaves per sweep.
const MEMORY_SHARE: usize = 10;

/// Keeps the number of active people and their memory within the limits, for as long as the server runs.
pub async fn sweep(directory: Arc<Directory>) {
    let context = &directory.context;
    let most = context.limits.active_people;
    let memory_max = context.limits.memory_mib.saturating_mul(1 << 20);
    while !context.is_closing() {
        tokio::time::sleep(SWEEP_EVERY).await;
        directory.keep_within(most);
        if memory_max > 0 && resident_bytes().is_some_and(|bytes| bytes > memory_max) {
            let active = directory.len();
            directory.keep_within(active - active.div_ceil(MEMORY_SHARE));
        }
    }
}

/// Resident memory of this process as the kernel reports it; `None` without `/proc`.
#[must_use]
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
