//! Who is known: external key to dense id and back.
//!
//! Invariant: ids are dense; a person is put into the journal's queue in the same breath as they can be found, so that
//! nothing that names them can be stored before them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::domain::ids::{Key, UserId};
use crate::domain::people::Person;

/// All known people; loaded at start. Read at the door only, never by a person's actor.
#[derive(Debug, Default)]
pub struct People {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: Vec<Arc<Person>>,
    by_key: BTreeMap<Key, UserId>,
}

impl People {
    /// The id behind a key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<UserId> {
        self.read().by_key.get(key).copied()
    }

    /// The person behind an id.
    #[must_use]
    pub fn get(&self, id: UserId) -> Option<Arc<Person>> {
        self.read().by_id.get(id.0 as usize).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Nobody yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// People whose key starts with `prefix` (case-insensitive for ASCII, spaces meet any separator), by key, at most
    /// `limit`.
    #[must_use]
    pub fn list(&self, prefix: &str, limit: usize) -> Vec<Arc<Person>> {
        let known = self.read();
        let plain = |text: &str| {
            text.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect::<String>()
        };
        let wanted = plain(prefix);
        let starts = |person: &Person| {
            plain(person.key.as_str()).starts_with(&wanted)
                || person.name.as_deref().is_some_and(|name| plain(name).starts_with(&wanted))
        };
        known
            .by_key
            .values()
            .filter_map(|id| known.by_id.get(id.0 as usize))
            .filter(|person| starts(person))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Takes over a stored person; ids come in order.
    pub(super) fn load(&self, person: Person) -> Result<(), String> {
        let mut known = self.write();
        if person.id.0 as usize != known.by_id.len() {
            return Err(format!("people are not numbered without gaps: expected {}, found {}", known.by_id.len(), person.id.0));
        }
        known.by_key.insert(person.key.clone(), person.id);
        known.by_id.push(Arc::new(person));
        Ok(())
    }

    /// Adds or changes the person with this key. `make` gets the id and who is there already; `keep` is called before
    /// anybody else can find them and must not block.
    pub(super) fn put(
        &self,
        key: &Key,
        make: impl FnOnce(UserId, Option<&Person>) -> Person,
        keep: impl FnOnce(Person),
    ) -> bool {
        let mut known = self.write();
        let old = known.by_key.get(key).and_then(|id| known.by_id.get(id.0 as usize)).cloned();
        let id = old.as_ref().map_or(UserId(known.by_id.len() as u32), |old| old.id);
        let person = make(id, old.as_deref());
        keep(person.clone());
        let person = Arc::new(person);
        if old.is_some() {
            known.by_id[id.0 as usize] = person;
        } else {
            known.by_key.insert(key.clone(), id);
            known.by_id.push(person);
        }
        old.is_none()
    }

    // A panic while the lock was held cannot have left half a person: every change is a few assignments.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
