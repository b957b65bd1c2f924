//! Who is known: external key to dense id and back.
//!
//! Invariant: a person who can be found here is durable, or is written before anything that names them.

use std::sync::Arc;

use crate::domain::ids::{Key, UserId};
use crate::domain::people::Person;

/// All known people; loaded at start, extended by `Server::put_person`.
#[derive(Debug, Default)]
pub struct People {}

impl People {
    /// The id behind a key.
    #[must_use]
    pub fn find(&self, _key: &str) -> Option<UserId> {
        unimplemented!()
    }

    /// The person behind an id.
    #[must_use]
    pub fn get(&self, _id: UserId) -> Option<Arc<Person>> {
        unimplemented!()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Nobody yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// People whose key or name starts with `prefix` (case-insensitive), by key, at most `limit`.
    #[must_use]
    pub fn list(&self, _prefix: &str, _limit: usize) -> Vec<Arc<Person>> {
        unimplemented!()
    }

    /// Adds or replaces. Keys are unique: the first id stays.
    pub fn insert(&self, _person: Person) -> (UserId, Key) {
        unimplemented!()
    }
}
