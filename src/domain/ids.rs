//! Ids: dense internal indices, and the external keys that clients use.
//!
//! Invariant: an internal id is an index that is assigned once and never reused. A `Key` has 1 to 255 bytes, no control
//! characters, and no part between slashes that HTTP clients drop from a path.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A user, as a dense index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub u32);

/// An item (a post, a stream, a place), as a dense index into the `World`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub u32);

/// A topic, as a dense index. [`TopicId::CATALOGUE`] is the whole catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub u32);

impl TopicId {
    /// The whole catalogue, which no item names. Its centre serves topics that are still too small for their own.
    pub const CATALOGUE: TopicId = TopicId(0);
}

/// Number of an entry in one user's part of the journal: 1, 2, 3, … without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The next number.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// Commit order over the whole journal: increasing, possibly with gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// Version of a user's feed; it increases with every feed that is computed for the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FeedVersion(pub u64);

/// Version of the `World`, which increases with each change of the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Number of a two-tower model in the store, from 1; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ModelVersion(pub u64);

/// A partition of all users. All data of a user belongs to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u16);

impl Partition {
    /// Number of partitions, which never changes.
    pub const COUNT: u16 = 1024;

    /// The partition of a user: a hash of the external key, equal on every machine.
    #[must_use]
    pub fn of(user: &Key) -> Partition {
        // The remainder is below 1,024, so the cast loses nothing.
        Partition((xxh3_64(user.as_str().as_bytes()) % u64::from(Self::COUNT)) as u16)
    }
}

/// The external key of a user, an item, a topic or an event: 1 to 255 bytes of UTF-8 without control characters. No part
/// between slashes is `.` or `..`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

/// Reason why a text is no [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text has more than [`Key::BYTES_MAX`] bytes, namely this number.
    #[error("must have at most 255 bytes, has {0}")]
    TooLong(usize),
    /// The text has a control character (NUL, line feed, escape, ...).
    #[error("must not contain control characters")]
    Control,
    /// A part between slashes is `.` or `..`. HTTP clients resolve such parts, even percent-encoded ones, so that
    /// `DELETE /v1/users/ada/follows/..` would arrive as `DELETE /v1/users/ada/`.
    #[error("must not be `.` or `..`, alone or between slashes: HTTP clients drop such parts from a path")]
    Dots,
}

impl Key {
    /// Size limit of a key in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Checks a text and copies it.
    ///
    /// # Errors
    /// [`KeyError`] when it is empty, too long, or contains a control character or a dropped part.
    pub fn new(text: &str) -> Result<Key, KeyError> {
        if text.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(KeyError::Dots);
        }
        Key::stored(text)
    }

    /// A key of a store. A program that allowed dropped parts may have stored it.
    ///
    /// # Errors
    /// [`KeyError`] when it is empty, too long, or contains a control character.
    pub fn stored(text: &str) -> Result<Key, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(KeyError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(KeyError::Control);
        }
        Ok(Key(text.into()))
    }

    /// The decimal digits of a number, which are always a valid key.
    #[must_use]
    pub fn of_number(number: u32) -> Key {
        Key(number.to_string().into())
    }

    /// `{what}-` and 32 hexadecimal digits; `what` has no control characters and at most 200 bytes.
    #[must_use]
    pub fn of_hash(what: &'static str, hash: u128) -> Key {
        Key(format!("{what}-{hash:032x}").into())
    }

    /// The key as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // JSON Schema counts characters and a key counts bytes, so `format` stands for the rest of the rule.
        json_schema!({
            "description": "The client's name for a user, an item, a topic or an event: 1 to 255 bytes of UTF-8 without \
                            control characters. No part between slashes is `.` or `..`.",
            "type": "string",
            "format": "key",
            "minLength": 1,
            "maxLength": Self::BYTES_MAX,
            "pattern": "^(?!(?:[^\\u0000-\\u001f\\u007f-\\u009f]*/)?\\.{1,2}(?:/|$))[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Key::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Up to `limit` dense ids after a position that exist, and the last of them where more exist.
#[must_use]
pub fn page(after: Option<u32>, end: u32, limit: usize, exists: impl Fn(&u32) -> bool) -> (Vec<u32>, Option<u32>) {
    let first = after.map_or(0, |after| after.saturating_add(1));
    let mut ids = (first..end).filter(exists);
    let page: Vec<u32> = ids.by_ref().take(limit).collect();
    let next = page.last().copied().filter(|_| ids.next().is_some());
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_255_bytes_no_control_characters_and_no_part_that_clients_drop() {
        for (name, text, expected) in [
            ("empty", String::new(), Err(KeyError::Empty)),
            ("one byte", "a".into(), Ok(())),
            ("longest", "x".repeat(255), Ok(())),
            ("one too many", "x".repeat(256), Err(KeyError::TooLong(256))),
            ("bytes count, not characters", "é".repeat(128), Err(KeyError::TooLong(256))),
            ("nul", "a\0b".into(), Err(KeyError::Control)),
            ("line feed", "a\nb".into(), Err(KeyError::Control)),
            ("c1 control", "a\u{85}b".into(), Err(KeyError::Control)),
            ("spaces and emoji", "a b 🌊".into(), Ok(())),
            ("the parent folder", "..".into(), Err(KeyError::Dots)),
            ("this folder", ".".into(), Err(KeyError::Dots)),
            ("between slashes", "a/../b".into(), Err(KeyError::Dots)),
            ("at the end", "a/.".into(), Err(KeyError::Dots)),
            ("dots within a word", "a..b/.c/...".into(), Ok(())),
        ] {
            assert_eq!(Key::new(&text).map(|_| ()), expected, "{name}");
        }
    }

    #[test]
    fn the_partition_of_a_person_never_changes() {
        // Pinned: stored data depends on it.
        assert_eq!(Partition::of(&Key::new("ada").unwrap()), Partition(47));
        assert!((0..10_000).all(|n| Partition::of(&Key::new(&n.to_string()).unwrap()).0 < Partition::COUNT));
    }

    #[test]
    fn pages_cover_each_existing_id_once_and_the_last_one_has_no_next() {
        let exists = |id: &u32| id % 3 != 1;
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let (ids, next) = page(after, 20, 4, exists);
            assert!(ids.len() <= 4);
            all.extend(ids);
            let Some(next) = next else { break };
            after = Some(next);
        }
        assert_eq!(all, (0..20).filter(exists).collect::<Vec<_>>());
        assert_eq!(page(None, 0, 4, exists), (vec![], None));
        assert_eq!(page(Some(u32::MAX), 20, 4, exists), (vec![], None));
    }
}
