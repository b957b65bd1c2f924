//! A person's rights: to export all data about them, and to be erased.
//!
//! Invariant: an export contains the stored entries, their fold, and nothing else. Memory holds one page of it, however
//! long the person's past is. From the request of an erasure on, the person is not found any more; when it is answered,
//! the erasure is durable. An export that is under way ends there. Deliberately absent: the JSON format (the
//! gateway's), sessions and tokens, of which nothing is stored with a person.

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
use super::errors::{Busy, RequestError};
use super::server::{Server, within};

/// Journal entries per page of an export: about 256 KiB as JSON.
const ENTRIES_PAGE: u32 = 64;
/// Logged feeds per page of an export.
const SLATES_PAGE: u32 = 128;

/// The learned state of a person, with the world that names items and topics.
pub struct LearnedState {
    /// The time of the fold.
    pub at: Millis,
    /// The fold of all entries.
    pub state: Arc<UserState>,
    /// The newest world.
    pub world: Arc<World>,
}

/// All data about a person, read page by page.
pub struct Export {
    /// The time of the export.
    pub at: Millis,
    /// The person's name and attributes.
    pub person: Arc<Person>,
    /// The people whom the person follows.
    pub follows: Vec<UserId>,
    /// The people who follow the person.
    pub followers: Vec<UserId>,
    /// The items that the person made, deleted ones included.
    pub items: Vec<ItemId>,
    /// The fold of all entries.
    state: Arc<UserState>,
    server: Server,
    place: Arc<Place>,
    /// The last journal entry that was read.
    read: Seq,
    /// The last logged feed that was read.
    drawn: Option<FeedVersion>,
    drawn_ended: bool,
}

impl Export {
    /// The server that the export reads from; it names items, topics and people.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The person's learned state.
    #[must_use]
    pub fn learned(&self) -> LearnedState {
        LearnedState { at: self.at, state: self.state.clone(), world: self.server.world() }
    }

    /// The export's place among all exports.
    #[must_use]
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Whether the export may continue.
    ///
    /// # Errors
    /// `unknown_user` when the person was erased meanwhile: the export ends.
    pub fn goes_on(&self) -> Result<(), Refusal> {
        self.server.context.people.get(self.person.id).map(drop).ok_or_else(unknown)
    }

    /// The next entries in order, up to the last one that the state includes; empty at the end.
    ///
    /// # Errors
    /// Busy while the store cannot answer, or `unknown_user`.
    pub async fn entries(&mut self) -> Result<Vec<Entry>, RequestError> {
        let left = self.state.seq().0.saturating_sub(self.read.0);
        let limit = ENTRIES_PAGE.min(u32::try_from(left).unwrap_or(ENTRIES_PAGE));
        if limit == 0 {
            return Ok(Vec::new());
        }
        let store = &*self.server.context.store;
        let page = store.entries(self.person.id, self.read, Millis::MAX, limit).await?;
        self.goes_on()?;
        let whole = page.len() == limit as usize && page.iter().zip(self.read.0 + 1..).all(|(e, seq)| e.seq.0 == seq);
        if !whole {
            return Err(Refusal::new(Code::Internal, "entries are missing; `eddyline db check` says which").into());
        }
        self.read = page.last().map_or(self.read, |entry| entry.seq);
        Ok(page)
    }

    /// The next logged feeds of the person, by version; empty at the end.
    ///
    /// # Errors
    /// Busy while the store cannot answer, or `unknown_user`.
    pub async fn slates(&mut self) -> Result<Vec<Slate>, RequestError> {
        if self.drawn_ended {
            return Ok(Vec::new());
        }
        let store = &*self.server.context.store;
        let page = store.slates(self.person.id, self.drawn, SLATES_PAGE).await?;
        self.goes_on()?;
        self.drawn_ended = page.len() < SLATES_PAGE as usize;
        self.drawn = page.last().map(|slate| slate.version).or(self.drawn);
        Ok(page)
    }
}

impl Server {
    /// Starts an export that covers all acknowledged events. One at a time per person.
    ///
    /// # Errors
    /// `rate_limited` while another export of the person is under way; `busy` while too many are, or the store cannot
    /// answer; `unknown_user`.
    pub async fn export(&self, user: UserId) -> Result<Export, RequestError> {
        let place = self.context.exports.enter(Some(user))?;
        let store = &*self.context.store;
        self.settled().await?;
        let (at, world) = (self.context.clock.now(), self.world());
        let folded = recovery::recover_apart(store, user, world.clone(), self.context.exports.work()).await;
        let (state, _) = folded?;
        let follows = store.follows(user).await?;
        let followers = store.followers(user).await?;
        let of_them = move || {
            let all = world.blocks().iter().flat_map(|block| block.items());
            let theirs = all.filter(|item| item.author.as_ref().is_some_and(|author| author.id == user));
            theirs.map(|item| item.id).collect()
        };
        let items = place.run(of_them).await?;
        // Read last, so that a person who was erased meanwhile is not exported.
        let person = self.context.people.get(user).ok_or_else(unknown)?;
        let (server, state) = (self.clone(), Arc::new(state));
        let (read, drawn, drawn_ended) = (Seq(0), None, false);
        Ok(Export { at, person, follows, followers, state, items, server, place, read, drawn, drawn_ended })
    }

    /// Erases a person. Their items become tombstones, their sockets get `bye`, and their key becomes free. A requester
    /// that stops waiting does not cancel the erasure.
    ///
    /// # Errors
    /// Busy, or `unknown_user`.
    pub async fn erase(&self, user: UserId) -> Result<(), RequestError> {
        let reservation = self.reserve()?;
        if !self.context.people.erase(user, self.context.clock.now()) {
            return Err(unknown().into());
        }
        self.directory.dismiss(user);
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(Erase { user, reservation, done });
        Ok(within(wait).await?.map_err(|_| Busy::NoAnswer)??)
    }
}

fn unknown() -> Refusal {
    Refusal::field(Code::UnknownUser, "id", "no such person")
}
