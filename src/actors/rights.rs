//! A person's rights: to see all that is known of them, and to be forgotten.
//!
//! Invariant: what is exported is what is stored, folded, and nothing that was not stored; who was erased is found by
//! nobody from the moment in which it was asked for, and is gone for good when it is answered. Absent on purpose: how it
//! looks as JSON (the gateway's), sessions and tokens, of which nothing is stored with a person.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::feeds::Slate;
use crate::domain::ids::{Key, UserId};
use crate::domain::items::Item;
use crate::domain::journal::{Entry, What};
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::engine::user::UserState;
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::recovery;

use super::coordinator::messages::Erase;
use super::server::{Server, from_failure, from_store, within};

/// All that is known of a person.
pub struct Export {
    /// As of when.
    pub at: Millis,
    /// Who they are.
    pub person: Arc<Person>,
    /// Whom they follow.
    pub follows: Vec<Key>,
    /// Who follows them.
    pub followers: Vec<Key>,
    /// What was learned: the fold of `entries`.
    pub state: UserState,
    /// What they did, in order.
    pub entries: Vec<Entry>,
    /// What they were shown, as far as it was logged.
    pub slates: Vec<Slate>,
    /// What they made, deleted or not.
    pub items: Vec<Arc<Item>>,
    /// Gives items and topics their names.
    pub world: Arc<World>,
    /// Names of the people whom `entries` name.
    names: BTreeMap<UserId, Key>,
}

impl Export {
    /// What somebody whom an entry names is called; `None` when they were erased.
    #[must_use]
    pub fn name(&self, user: UserId) -> Option<&Key> {
        self.names.get(&user)
    }
}

impl Server {
    /// All that is known of a person; covers everything that was acknowledged before.
    ///
    /// # Errors
    /// Busy while the store cannot answer, or that there is no such person.
    pub async fn export(&self, user: UserId) -> Result<Export, Refusal> {
        let store = &*self.inside.store;
        self.settled().await?;
        let (at, world) = (self.inside.clock.now(), self.world());
        let entries = store.entries_until(user, Millis::MAX).await.map_err(from_store)?;
        let state = recovery::fold(store, UserState::new(user), &entries, &world).await.map_err(from_failure)?;
        let slates = store.slates(user).await.map_err(from_store)?;
        let follows = self.keys(store.follows(user).await.map_err(from_store)?);
        let followers = self.keys(store.followers(user).await.map_err(from_store)?);
        let theirs = |item: &&Arc<Item>| item.author.as_ref().is_some_and(|author| author.id == user);
        let items = world.blocks().iter().flat_map(|block| block.items()).filter(theirs).cloned().collect();
        // Last, so that nothing is told of somebody who was erased meanwhile.
        let person = self.inside.people.get(user).ok_or_else(unknown)?;
        let named = entries.iter().filter_map(|entry| match entry.what {
            What::Followed(whom) | What::Unfollowed(whom) => Some((whom, self.inside.people.get(whom)?.key.clone())),
            What::Interacted(_) | What::Posted(_) | What::WentLive(..) | What::TopicsSet(_) | What::Measured(_) => None,
        });
        let names = named.collect();
        Ok(Export { at, person, follows, followers, state, entries, slates, items, world, names })
    }

    /// Forgets a person. What they made becomes tombstones; sockets say `bye`; their key may be made anew after that.
    /// Whoever stops waiting does not take it back.
    ///
    /// # Errors
    /// Busy, or that there is no such person (any more).
    pub async fn erase(&self, user: UserId) -> Result<(), Refusal> {
        let reservation = self.reserve()?;
        let coordinator = self.inside.coordinator.get().ok_or_else(|| Refusal::busy(1_000))?;
        if !self.inside.people.erase(user) {
            return Err(unknown());
        }
        self.inside.directory.dismiss(&self.inside, user);
        let (done, wait) = oneshot::channel();
        coordinator.do_send(Erase { user, reservation, done });
        within(wait).await?.map_err(|_| Refusal::busy(1_000))?.map_err(|why| Refusal::new(Code::Internal, why))
    }

    fn keys(&self, users: Vec<UserId>) -> Vec<Key> {
        users.into_iter().filter_map(|user| self.inside.people.get(user)).map(|person| person.key.clone()).collect()
    }
}

fn unknown() -> Refusal {
    Refusal::field(Code::UnknownUser, "id", "no such person")
}
