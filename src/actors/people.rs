//! Who is known: external key to dense id and back.
//!
//! Invariant: ids are dense; a person is put into the journal's queue in the same breath as they can be found, so that
//! nothing that names them can be stored before them. Who is erased is found by nobody from that moment on; their key
//! is free again when it is durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::domain::ids::{Key, UserId};
use crate::domain::people::Person;

/// People who are looked at under one lock while they are listed.
const LIST_PART: usize = 4_096;

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
        let known = self.read();
        known.by_key.get(key).copied().filter(|id| known.living(*id).is_some())
    }

    /// The person behind an id.
    #[must_use]
    pub fn get(&self, id: UserId) -> Option<Arc<Person>> {
        self.read().living(id).cloned()
    }

    /// Was the person behind an id erased?
    #[must_use]
    pub fn is_erased(&self, id: UserId) -> bool {
        self.read().by_id.get(id.0 as usize).is_some_and(|person| person.erased)
    }

    /// Is the person with this key being erased just now? Soon nobody will know the key.
    #[must_use]
    pub fn is_being_erased(&self, key: &str) -> bool {
        let known = self.read();
        known.by_key.get(key).is_some_and(|id| known.living(*id).is_none())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_key.len()
    }

    /// Nobody yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// People whose key starts with `prefix` (case-insensitive for ASCII, spaces meet any separator), by key, at most
    /// `limit`, of those who are `wanted`.
    #[must_use]
    pub fn list(&self, prefix: &str, limit: usize, wanted: impl Fn(UserId) -> bool) -> Vec<Arc<Person>> {
        let plain = |text: &str| {
            text.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect::<String>()
        };
        let beginning = plain(prefix);
        let starts = |person: &Person| {
            plain(person.key.as_str()).starts_with(&beginning)
                || person.name.as_deref().is_some_and(|name| plain(name).starts_with(&beginning))
        };
        let (mut found, mut after) = (Vec::new(), Bound::Unbounded);
        // Whoever wants to make somebody known waits for a part of the list, never for all of it.
        while found.len() < limit {
            let known = self.read();
            let mut part = known.by_key.range::<Key, _>((after, Bound::Unbounded)).take(LIST_PART);
            let mut last = None;
            for (key, id) in &mut part {
                last = Some(key.clone());
                let person = known.living(*id).filter(|person| wanted(person.id) && starts(person));
                found.extend(person.cloned());
                if found.len() >= limit {
                    break;
                }
            }
            let Some(last) = last else { break };
            after = Bound::Excluded(last);
        }
        found
    }

    /// Takes over a stored person; ids come in order.
    pub(super) fn load(&self, person: Person) -> Result<(), String> {
        let mut known = self.write();
        if person.id.0 as usize != known.by_id.len() {
            return Err(format!(
                "people are not numbered without gaps: expected {}, found {}",
                known.by_id.len(),
                person.id.0
            ));
        }
        if !person.erased {
            known.by_key.insert(person.key.clone(), person.id);
        }
        known.by_id.push(Arc::new(person));
        Ok(())
    }

    /// From now on nobody finds them; their key stays taken. False when somebody else did it before.
    pub(super) fn erase(&self, id: UserId) -> bool {
        let mut known = self.write();
        let Some(person) = known.living(id).cloned() else { return false };
        known.by_id[id.0 as usize] = Arc::new(Person { erased: true, ..Person::clone(&person) });
        true
    }

    /// It is durable: the key is free, and nothing of them is left in memory but a row under another key.
    pub(super) fn free(&self, id: UserId, key: Key) {
        let mut known = self.write();
        let Some(person) = known.by_id.get(id.0 as usize).filter(|person| person.erased).cloned() else { return };
        known.by_key.remove(&person.key);
        let created = crate::domain::time::Millis::default();
        known.by_id[id.0 as usize] = Arc::new(Person { id, key, name: None, attributes: None, created, erased: true });
    }

    /// Adds (true) or changes the person with this key; `None` while they are being erased. `make` gets the id and who is
    /// there already; `keep` is called before anybody else can find them and must not block.
    pub(super) fn put(
        &self,
        key: &Key,
        make: impl FnOnce(UserId, Option<&Person>) -> Person,
        keep: impl FnOnce(Person),
    ) -> Option<bool> {
        let mut known = self.write();
        let old = known.by_key.get(key).and_then(|id| known.by_id.get(id.0 as usize)).cloned();
        if old.as_ref().is_some_and(|old| old.erased) {
            return None;
        }
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
        Some(old.is_none())
    }

    // A panic while the lock was held cannot have left half a person: every change is a few assignments.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn living(&self, id: UserId) -> Option<&Arc<Person>> {
        self.by_id.get(id.0 as usize).filter(|person| !person.erased)
    }
}
