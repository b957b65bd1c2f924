//! Who is active, and how to reach them: the only place that knows whether a person's actor is in this process.
//!
//! Invariant: a message that was taken is handled once, by this incarnation of the person's actor or by the next: one
//! that an actor leaves behind in its mailbox (it stopped, or panicked) finds its way back here by itself. No guard of
//! the map is held across a send.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::dev::SendError;
use actix::prelude::*;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::ids::UserId;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::inside::Inside;
use super::user::UserActor;
use super::user::messages::{Leave, Parcel, ToUser, Want, WorldChanged};
use super::user::refresh::Turns;

/// What the outside may know of an active person without asking them.
#[derive(Debug, Default)]
pub struct Flags {
    bits: AtomicU8,
    /// Turn of the directory's count in which a message came last: who has the lowest was used least recently.
    used: AtomicU64,
}

const WATCHING: u8 = 1;
const STALE: u8 = 2;

impl Flags {
    /// Somebody looks at this person's feed.
    pub fn set_watching(&self, watching: bool) {
        if watching {
            self.bits.fetch_or(WATCHING, Ordering::Relaxed);
        } else {
            self.bits.fetch_and(!WATCHING, Ordering::Relaxed);
        }
    }

    /// A change of the world could not be told, since the mailbox was full: rank again. Reading clears it.
    pub fn take_stale(&self) -> bool {
        self.bits.load(Ordering::Relaxed) & STALE != 0 && self.bits.fetch_and(!STALE, Ordering::Relaxed) & STALE != 0
    }
}

#[derive(Clone)]
struct Active {
    addr: Addr<UserActor>,
    flags: Arc<Flags>,
}

impl Active {
    fn tell(&self, change: &WorldChanged) {
        if let Err(SendError::Full(_)) = self.addr.try_send(change.clone()) {
            // It will look at the whole world when it comes to it.
            self.flags.bits.fetch_or(STALE, Ordering::Relaxed);
        }
    }
}

/// See the module.
pub struct Directory {
    active: DashMap<UserId, Active>,
    arbiters: Vec<ArbiterHandle>,
    /// One per arbiter.
    turns: Vec<Arc<Turns>>,
    count: AtomicUsize,
    turn: AtomicU64,
}

impl Directory {
    /// People's actors will run on these, and refresh open feeds in `refresh_percent` of each one's time.
    #[must_use]
    pub fn new(arbiters: Vec<ArbiterHandle>, refresh_percent: usize) -> Directory {
        let turns = arbiters.iter().map(|_| Arc::new(Turns::new(refresh_percent))).collect();
        Directory { active: DashMap::new(), arbiters, turns, count: AtomicUsize::new(0), turn: AtomicU64::new(0) }
    }

    /// People who are active now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands a message to a person's actor, which is activated if it is not there.
    ///
    /// # Errors
    /// Busy when its mailbox is full, or the server is going down: nothing was learned.
    pub fn deliver(&self, inside: &Arc<Inside>, user: UserId, message: ToUser) -> Result<(), Refusal> {
        let mut parcel = Parcel::new(inside.clone(), user, message);
        loop {
            if inside.is_closing() {
                parcel.take();
                return Err(Refusal::busy(1_000));
            }
            let Some(active) = self.activate(inside, user) else {
                parcel.take();
                return Err(Refusal::new(Code::UnknownUser, "this person was erased"));
            };
            active.flags.used.store(self.turn.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            match active.addr.try_send(parcel) {
                Ok(()) => return Ok(()),
                Err(SendError::Full(mut refused)) => {
                    refused.take();
                    return Err(Refusal::busy(100));
                }
                Err(SendError::Closed(back)) => {
                    // It stopped between look-up and send, or panicked: the next incarnation gets the message.
                    self.leave(user, &active.addr);
                    parcel = back;
                }
            }
        }
    }

    /// Tells everybody who is watched that the world changed: one message per thread, which hands it on to its people,
    /// so that whoever announces it waits for nobody and all threads begin at once.
    pub fn announce(&self, change: &WorldChanged) {
        let mut watched: Vec<Vec<Active>> = self.arbiters.iter().map(|_| Vec::new()).collect();
        for one in self.active.iter().filter(|one| one.flags.bits.load(Ordering::Relaxed) & WATCHING != 0) {
            if let Some(there) = watched.get_mut(self.thread_of(*one.key())) {
                there.push(one.value().clone());
            }
        }
        for (arbiter, people) in self.arbiters.iter().zip(watched).filter(|(_, people)| !people.is_empty()) {
            let change = change.clone();
            // A thread that has ended has nobody on it.
            arbiter.spawn_fn(move || people.into_iter().for_each(|one| one.tell(&change)));
        }
    }

    /// The thread on which a person's actor runs.
    fn thread_of(&self, user: UserId) -> usize {
        xxh3_64(&user.0.to_le_bytes()) as usize % self.arbiters.len().max(1)
    }

    /// Asks the people who were active last, at most `most`, what they would give for an item. Says how many are active
    /// and how many were asked: whose mailbox is full is not.
    pub fn ask_all(&self, want: &Want, most: usize) -> (usize, usize) {
        let mut active: Vec<(u64, Addr<UserActor>)> =
            self.active.iter().map(|one| (one.flags.used.load(Ordering::Relaxed), one.addr.clone())).collect();
        let count = active.len();
        if count > most && most > 0 {
            active.select_nth_unstable_by_key(most - 1, |(used, _)| std::cmp::Reverse(*used));
        }
        active.truncate(most);
        (count, active.into_iter().filter(|(_, addr)| addr.try_send(want.clone()).is_ok()).count())
    }

    /// Asks as many of the least recently used people as are too many to leave. People with open sessions stay.
    pub fn keep_within(&self, most: usize) {
        let too_many = self.len().saturating_sub(most);
        if too_many == 0 {
            return;
        }
        let mut idle: Vec<(u64, Addr<UserActor>)> = self
            .active
            .iter()
            .filter(|one| one.flags.bits.load(Ordering::Relaxed) & WATCHING == 0)
            .map(|one| (one.flags.used.load(Ordering::Relaxed), one.addr.clone()))
            .collect();
        if idle.len() > too_many {
            idle.select_nth_unstable_by_key(too_many - 1, |(used, _)| *used);
            idle.truncate(too_many);
        }
        for (_, addr) in idle {
            // Whose mailbox is full is in use after all.
            let _ = addr.try_send(Leave);
        }
    }

    /// An actor leaves: the next message finds a fresh one. Only its own entry is taken out.
    pub(super) fn leave(&self, user: UserId, addr: &Addr<UserActor>) {
        if self.active.remove_if(&user, |_, active| active.addr == *addr).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tells an erased person's actor, if there is one, to end; marked as erased before, nobody is activated after.
    pub(super) fn dismiss(&self, inside: &Arc<Inside>, user: UserId) {
        let active = self.active.get(&user).map(|active| active.value().clone());
        if let Some(active) = active {
            // One message beyond a full mailbox, once in a lifetime.
            active.addr.do_send(Parcel::new(inside.clone(), user, ToUser::Erased));
        }
    }

    /// Tells a person's actor, if there is one, that who they are was changed.
    pub(super) fn describe(&self, inside: &Arc<Inside>, user: UserId) {
        let active = self.active.get(&user).map(|active| active.value().clone());
        if let Some(active) = active {
            // One message beyond a full mailbox for each change, of which each waited for the journal.
            active.addr.do_send(Parcel::new(inside.clone(), user, ToUser::Described));
        }
    }

    fn activate(&self, inside: &Arc<Inside>, user: UserId) -> Option<Active> {
        if let Some(active) = self.active.get(&user) {
            return Some(active.value().clone());
        }
        match self.active.entry(user) {
            Entry::Occupied(there) => Some(there.get().clone()),
            // Asked under the guard: whoever is dismissed was marked before.
            Entry::Vacant(_) if inside.people.is_erased(user) => None,
            Entry::Vacant(place) => {
                let flags = Arc::new(Flags::default());
                let index = self.thread_of(user);
                let actor = UserActor::new(user, inside.clone(), flags.clone(), self.turns[index].clone());
                // Starting only queues a closure on the arbiter; nothing is sent to the actor under the guard.
                let capacity = inside.limits.user_mailbox;
                let addr = UserActor::start_in_arbiter(&self.arbiters[index], move |ctx| {
                    ctx.set_mailbox_capacity(capacity);
                    actor
                });
                self.count.fetch_add(1, Ordering::Relaxed);
                Some(place.insert(Active { addr, flags }).clone())
            }
        }
    }
}

/// How often the directory looks at how many are active.
const SWEEP_EVERY: Duration = Duration::from_millis(200);
/// Share of the active people who leave at once while memory is short.
const MEMORY_SHARE: usize = 10;

/// Keeps the number of active people, and the memory they take, within the limits; for as long as the server runs.
pub async fn sweep(inside: Arc<Inside>) {
    let most = inside.limits.active_people;
    let memory_max = inside.limits.memory_mib.saturating_mul(1 << 20);
    while !inside.is_closing() {
        tokio::time::sleep(SWEEP_EVERY).await;
        inside.directory.keep_within(most);
        if memory_max > 0 && resident_bytes().is_some_and(|bytes| bytes > memory_max) {
            let active = inside.directory.len();
            inside.directory.keep_within(active - active.div_ceil(MEMORY_SHARE));
        }
    }
}

/// Memory of this process as the kernel counts it; `None` where there is no `/proc`.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
