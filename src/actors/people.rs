//! The registry of people: external key to dense id and back.
//!
//! Invariant: ids are dense. A person enters the journal's queue and this registry in one step, so no entry that names
//! them is stored before them. An erased person is not found any more; their key is free again once the erasure is
//! durable. A token of a key's former holder never acts for the next holder ([`People::owes`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::domain::ids::{Key, UserId};
use crate::domain::people::Person;
use crate::domain::time::Millis;

/// People who are examined per lock while they are listed.
const LIST_PART: usize = 4_096;

/// All known people, loaded at start. The gateway and the server read it; people's actors never do.
#[derive(Debug, Default)]
pub struct People {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: Vec<Arc<Person>>,
    by_key: BTreeMap<Key, UserId>,
    /// The instants of all erasures.
    erasures: BTreeSet<Millis>,
    /// The first person whose erasure has no recorded instant.
    first_undated: Option<UserId>,
}

/// The proof that a token needs to act under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owes {
    /// No proof: the key had no holder before.
    Nothing,
    /// A signature after this instant, at which a former holder of the key may have been erased.
    SignedAfter(Millis),
}

/// The store has no person of the next id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("people are not numbered without gaps: expected {expected}, found {found}")]
pub struct GapError {
    /// The next id without a gap.
    pub expected: usize,
    /// The id that the store returned.
    pub found: u32,
}

impl People {
    /// The id of the person with this key; `None` if they are unknown or erased.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<UserId> {
        let known = self.read();
        known.by_key.get(key).copied().filter(|id| known.living(*id).is_some())
    }

    /// The person with this id; `None` if they are unknown or erased.
    #[must_use]
    pub fn get(&self, id: UserId) -> Option<Arc<Person>> {
        self.read().living(id).cloned()
    }

    /// Whether the person with this id was erased.
    #[must_use]
    pub fn is_erased(&self, id: UserId) -> bool {
        self.read().by_id.get(id.0 as usize).is_some_and(|person| person.erased)
    }

    /// Whether the person with this key is being erased now. Once the erasure is durable, the key is unknown.
    #[must_use]
    pub fn is_being_erased(&self, key: &str) -> bool {
        let known = self.read();
        known.by_key.get(key).is_some_and(|id| known.living(*id).is_none())
    }

    /// The proof that a token needs to act under this key. A former holder was erased before the next holder was made.
    /// So only tokens that were signed before the last such erasure may be a former holder's. Erased keys themselves
    /// are not kept.
    #[must_use]
    pub fn owes(&self, key: &str) -> Owes {
        let known = self.read();
        let holder = known.by_key.get(key).and_then(|id| known.by_id.get(id.0 as usize));
        let last = match holder {
            Some(person) if known.first_undated.is_some_and(|first| first < person.id) => Some(person.created),
            Some(person) => known.erasures.range(..=person.created).next_back().copied(),
            None => known.erasures.last().copied(),
        };
        last.map_or(Owes::Nothing, Owes::SignedAfter)
    }

    /// The number of known people, erased ones excluded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_key.len()
    }

    /// The number of ids that were ever given, erased people included: each id is below it.
    #[must_use]
    pub fn ids_end(&self) -> u32 {
        u32::try_from(self.read().by_id.len()).unwrap_or(u32::MAX)
    }

    /// Whether no person is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` people whom `wanted` accepts and whose key or name starts with `prefix`, ordered by the bytes of
    /// their key. ASCII letters match in either case; all other characters match exactly.
    #[must_use]
    pub fn list(&self, prefix: &str, limit: usize, wanted: impl Fn(UserId) -> bool) -> Vec<Arc<Person>> {
        self.list_after(None, prefix, limit, wanted)
    }

    /// The people of [`People::list`] whose key lies behind `after`.
    #[must_use]
    pub fn list_after(
        &self,
        after: Option<Key>,
        prefix: &str,
        limit: usize,
        wanted: impl Fn(UserId) -> bool,
    ) -> Vec<Arc<Person>> {
        let begins = |text: &str| {
            let beginning = text.as_bytes().get(..prefix.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let starts = |person: &Person| begins(person.key.as_str()) || person.name.as_deref().is_some_and(begins);
        let (mut found, mut after) = (Vec::new(), after.map_or(Bound::Unbounded, Bound::Excluded));
        // The lock is released after each part, so a new person never waits for the whole list.
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

    /// Up to `limit` people whose keys come after a key, ordered by the bytes of their key.
    #[must_use]
    pub fn after(&self, key: Option<&str>, limit: usize) -> Vec<Arc<Person>> {
        let known = self.read();
        let after = key.map_or(Bound::Unbounded, Bound::Excluded);
        let there = known.by_key.range::<str, _>((after, Bound::Unbounded));
        there.filter_map(|(_, id)| known.living(*id)).take(limit).cloned().collect()
    }

    /// Adds a stored person at start. The caller adds people in the order of their ids, without gaps.
    pub(super) fn load(&self, person: Person) -> Result<(), GapError> {
        let mut known = self.write();
        if person.id.0 as usize != known.by_id.len() {
            return Err(GapError { expected: known.by_id.len(), found: person.id.0 });
        }
        match person.created {
            _ if !person.erased => {
                known.by_key.insert(person.key.clone(), person.id);
            }
            // Written by a version that recorded no instant of erasure.
            Millis(0) => {
                known.first_undated.get_or_insert(person.id);
            }
            at => {
                known.erasures.insert(at);
            }
        }
        known.by_id.push(Arc::new(person));
        Ok(())
    }

    /// Marks a person as erased at `at`; their key stays taken until [`People::free`]. `false` when they were erased
    /// before.
    pub(super) fn erase(&self, id: UserId, at: Millis) -> bool {
        let mut known = self.write();
        let Some(person) = known.living(id).cloned() else { return false };
        known.by_id[id.0 as usize] = Arc::new(Person { erased: true, created: at, ..Person::clone(&person) });
        known.erasures.insert(at);
        true
    }

    /// Frees the key after the erasure became durable. A tombstone under another key remains.
    pub(super) fn free(&self, id: UserId, key: Key) {
        let mut known = self.write();
        let Some(person) = known.by_id.get(id.0 as usize).filter(|person| person.erased).cloned() else { return };
        known.by_key.remove(&person.key);
        let created = person.created;
        known.by_id[id.0 as usize] = Arc::new(Person { id, key, name: None, attributes: None, created, erased: true });
    }

    /// Adds (true) or changes the person with this key; `None` while they are being erased. `make` gets the id and the
    /// present person, if there is one. `keep` runs before any other caller can find the person and must not block.
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

    // A poisoned lock can be used: each change consists of a few assignments and leaves no half-written person.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn made(people: &People, name: &str, created: i64) -> UserId {
        let made = people.put(
            &key(name),
            |id, _| Person {
                id,
                key: key(name),
                name: None,
                attributes: None,
                created: Millis(created),
                erased: false,
            },
            |_| {},
        );
        assert_eq!(made, Some(true), "{name}");
        people.find(name).unwrap()
    }

    #[test]
    fn a_prefix_meets_itself_only() {
        let people = People::default();
        let names = ["a-b", "a.b", "a@b", "a_b", "a b", "aXb", "A_C", "ä_b", "ab"];
        for (at, name) in names.into_iter().enumerate() {
            made(&people, name, at as i64);
        }
        let found = |prefix: &str| -> Vec<String> {
            people.list(prefix, 99, |_| true).iter().map(|person| person.key.to_string()).collect()
        };
        for (prefix, expected) in [
            ("a_", vec!["A_C", "a_b"]),
            ("a-", vec!["a-b"]),
            ("a.", vec!["a.b"]),
            ("a@", vec!["a@b"]),
            ("a ", vec!["a b"]),
            ("a%", vec![]),
            ("AX", vec!["aXb"]),
            ("ä", vec!["ä_b"]),
            ("Ä", vec![]),
            ("a_b_", vec![]),
            ("", vec!["A_C", "a b", "a-b", "a.b", "a@b", "aXb", "a_b", "ab", "ä_b"]),
        ] {
            assert_eq!(found(prefix), expected, "{prefix:?}");
        }
    }

    /// Each row: who is asked about, and what a token for them must prove.
    #[test]
    fn only_a_key_that_may_have_had_another_holder_asks_when_a_token_was_signed() {
        let people = People::default();
        let ada = made(&people, "ada", 10);
        assert_eq!(people.owes("nobody"), Owes::Nothing, "nobody was erased yet");
        assert!(people.erase(ada, Millis(20)));
        assert_eq!(people.owes("ada"), Owes::SignedAfter(Millis(20)), "while it is under way");
        people.free(ada, key("gone"));
        made(&people, "bob", 15);
        made(&people, "ada", 30);
        for (name, expected) in
            [("ada", Owes::SignedAfter(Millis(20))), ("bob", Owes::Nothing), ("nobody", Owes::SignedAfter(Millis(20)))]
        {
            assert_eq!(people.owes(name), expected, "{name}");
        }
        // A registry that is loaded from the store answers alike. An erasure without an instant asks for more.
        let row = |id, name, created, erased| Person {
            id: UserId(id),
            key: key(name),
            name: None,
            attributes: None,
            created: Millis(created),
            erased,
        };
        let people = People::default();
        for person in [
            row(0, "first", 5, false),
            row(1, "gone-1", 20, true),
            row(2, "ada", 30, false),
            row(3, "gone-3", 0, true),
            row(4, "late", 50, false),
        ] {
            people.load(person).unwrap();
        }
        for (name, expected) in
            [("first", Owes::Nothing), ("ada", Owes::SignedAfter(Millis(20))), ("late", Owes::SignedAfter(Millis(50)))]
        {
            assert_eq!(people.owes(name), expected, "{name}, loaded");
        }
    }
}
