//! A person's rights: to see all that is known of them, and to be forgotten.
//!
//! Invariant: what is exported is what is stored, folded, and nothing that was not stored; memory holds one page of it,
//! however long the person's past is. Who was erased is found by nobody from the moment in which it was asked for, and is
//! gone for good when it is answered; an export that is under way ends there. Absent on purpose: how it looks as JSON
//! (the gateway's), sessions and tokens, of which nothing is stored with a person.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::feeds::Slate;
use crate::domain::ids::{FeedVersion, ItemId, Seq, UserId};
use crate::domain::journal::Entry;
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::engine::user::UserState;
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::recovery;

use super::apart::Place;
use super::coordinator::messages::Erase;
use super::server::{Server, from_failure, from_store, within};

/// Entries that are read at once for an export: some 256 KiB as JSON.
const ENTRIES_PAGE: u32 = 64;
/// Logged feeds that are read at once for an export.
const SLATES_PAGE: u32 = 128;

/// What was learned of a person, with the world that names items and topics.
pub struct LearnedState {
    /// As of when.
    pub at: Millis,
    /// The fold of all entries.
    pub state: Arc<UserState>,
    /// The newest one.
    pub world: Arc<World>,
}

/// All that is known of a person, read as it is asked for.
pub struct Export {
    /// As of when.
    pub at: Millis,
    /// Who they are.
    pub person: Arc<Person>,
    /// Whom they follow.
    pub follows: Vec<UserId>,
    /// Who follows them.
    pub followers: Vec<UserId>,
    /// What they made, deleted or not.
    pub items: Vec<ItemId>,
    /// The fold of all entries.
    state: Arc<UserState>,
    server: Server,
    place: Arc<Place>,
    /// Last entry that was read.
    read: Seq,
    /// Last logged feed that was read.
    drawn: Option<FeedVersion>,
    drawn_ended: bool,
}

impl Export {
    /// The server that it comes from: gives items, topics and people their names.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What was learned.
    #[must_use]
    pub fn learned(&self) -> LearnedState {
        LearnedState { at: self.at, state: self.state.clone(), world: self.server.world() }
    }

    /// The place that it holds among all exports.
    #[must_use]
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Is the person still there?
    ///
    /// # Errors
    /// `unknown_user` when they were erased meanwhile: the export ends.
    pub fn goes_on(&self) -> Result<(), Refusal> {
        self.server.inside.people.get(self.person.id).map(drop).ok_or_else(unknown)
    }

    /// The next entries in order, up to the last one that the state includes; none at the end.
    ///
    /// # Errors
    /// Busy while the store cannot answer, or `unknown_user`.
    pub async fn entries(&mut self) -> Result<Vec<Entry>, Refusal> {
        let left = self.state.seq().0.saturating_sub(self.read.0);
        let limit = ENTRIES_PAGE.min(u32::try_from(left).unwrap_or(ENTRIES_PAGE));
        if limit == 0 {
            return Ok(Vec::new());
        }
        let store = &*self.server.inside.store;
        let page = store.entries(self.person.id, self.read, Millis::MAX, limit).await.map_err(from_store)?;
        self.goes_on()?;
        let whole = page.len() == limit as usize && page.iter().zip(self.read.0 + 1..).all(|(e, seq)| e.seq.0 == seq);
        if !whole {
            return Err(Refusal::new(Code::Internal, "entries are missing; `eddyline db check` says which"));
        }
        self.read = page.last().map_or(self.read, |entry| entry.seq);
        Ok(page)
    }

    /// The next logged feeds that they were shown, by version; none at the end.
    ///
    /// # Errors
    /// Busy while the store cannot answer, or `unknown_user`.
    pub async fn slates(&mut self) -> Result<Vec<Slate>, Refusal> {
        if self.drawn_ended {
            return Ok(Vec::new());
        }
        let store = &*self.server.inside.store;
        let page = store.slates(self.person.id, self.drawn, SLATES_PAGE).await.map_err(from_store)?;
        self.goes_on()?;
        self.drawn_ended = page.len() < SLATES_PAGE as usize;
        self.drawn = page.last().map(|slate| slate.version).or(self.drawn);
        Ok(page)
    }
}

impl Server {
    /// All that is known of a person; covers everything that was acknowledged before. One at a time for each person.
    ///
    /// # Errors
    /// `rate_limited` while another export of the person is under way, busy while too many are or the store cannot
    /// answer, or that there is no such person.
    pub async fn export(&self, user: UserId) -> Result<Export, Refusal> {
        let place = self.inside.exports.enter(Some(user))?;
        let store = &*self.inside.store;
        self.settled().await?;
        let (at, world) = (self.inside.clock.now(), self.world());
        let folded = recovery::recover_apart(store, user, world.clone(), self.inside.exports.work()).await;
        let (state, _) = folded.map_err(from_failure)?;
        let follows = store.follows(user).await.map_err(from_store)?;
        let followers = store.followers(user).await.map_err(from_store)?;
        let of_them = move || {
            let all = world.blocks().iter().flat_map(|block| block.items());
            let theirs = all.filter(|item| item.author.as_ref().is_some_and(|author| author.id == user));
            theirs.map(|item| item.id).collect()
        };
        let items = place.run(of_them).await?;
        // Last, so that nothing is told of somebody who was erased meanwhile.
        let person = self.inside.people.get(user).ok_or_else(unknown)?;
        let (server, state) = (self.clone(), Arc::new(state));
        let (read, drawn, drawn_ended) = (Seq(0), None, false);
        Ok(Export { at, person, follows, followers, state, items, server, place, read, drawn, drawn_ended })
    }

    /// Forgets a person. What they made becomes tombstones; sockets say `bye`; their key may be made anew after that.
    /// Whoever stops waiting does not take it back.
    ///
    /// # Errors
    /// Busy, or that there is no such person (any more).
    pub async fn erase(&self, user: UserId) -> Result<(), Refusal> {
        let reservation = self.reserve()?;
        let coordinator = self.inside.coordinator.get().ok_or_else(|| Refusal::busy(1_000))?;
        if !self.inside.people.erase(user, self.inside.clock.now()) {
            return Err(unknown());
        }
        self.inside.directory.dismiss(&self.inside, user);
        let (done, wait) = oneshot::channel();
        coordinator.do_send(Erase { user, reservation, done });
        within(wait).await?.map_err(|_| Refusal::busy(1_000))?.map_err(|why| Refusal::new(Code::Internal, why))
    }
}

fn unknown() -> Refusal {
    Refusal::field(Code::UnknownUser, "id", "no such person")
}
