//! Users as the catalogue stores them, and their erasure.
//!
//! Invariant: a user's partition is a function of their key and never changes.

use super::ids::{ItemId, Key, Partition, UserId};
use super::time::Millis;

/// A user as the catalogue stores them. Their learned preferences are in the engine's `UserState`.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Dense index of the user.
    pub id: UserId,
    /// External key, unique.
    pub key: Key,
    /// Display name, if the user has one.
    pub name: Option<String>,
    /// Static features (age, city, ...): a JSON object as text of at most [`ATTRIBUTES_BYTES_MAX`](super::text::ATTRIBUTES_BYTES_MAX) bytes. The engine
    /// never reads the text itself.
    pub attributes: Option<String>,
    /// Instant of registration; for an erased user, instant of erasure (0: by a version that did not store it).
    pub created: Millis,
    /// Tombstone of an [`Erasure`]: the id stays under a random key, so that ids have no gaps.
    pub erased: bool,
}

/// Erasure of a user: deletes all their data for good. The id is never assigned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The erased user.
    pub user: UserId,
    /// New key of the tombstone: random, so that it identifies no user.
    pub key: Key,
    /// Instant of erasure. A token that was signed earlier never acts for a later holder of the key.
    pub at: Millis,
    /// The user's items with their new keys. Text, topics, author and windows are deleted. The embedding stays: without it
    /// the entries of other users could not be folded again.
    pub items: Vec<(ItemId, Key)>,
}

impl Person {
    /// Size limit of a name in bytes.
    pub const NAME_BYTES_MAX: usize = 255;

    /// The partition of all data of this user.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::of(&self.key)
    }
}
