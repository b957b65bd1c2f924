//! Who uses it, and how somebody is forgotten.
//!
//! Invariant: a person's partition follows from their key and never changes.

use super::ids::{ItemId, Key, Partition, UserId};
use super::time::Millis;

/// A person as the catalogue of people knows them; what they like is in the engine's `UserState`.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Dense index.
    pub id: UserId,
    /// External name, unique.
    pub key: Key,
    /// What to call them.
    pub name: Option<String>,
    /// Static features (age, city, ...): a JSON object as text, at most [`Person::ATTRIBUTES_BYTES_MAX`]. Never read by the engine as text.
    pub attributes: Option<String>,
    /// When they were made known; for an erased person, when they were erased (0: by a version that did not keep it).
    pub created: Millis,
    /// Nobody any more: the id stays, so that ids have no gap, under a random key. See [`Erasure`].
    pub erased: bool,
}

/// Everything that is known of a person goes, for good; their id is never given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Whose.
    pub user: UserId,
    /// What their row is called from now on: random, so that it says nothing.
    pub key: Key,
    /// When. A token that was signed earlier never acts for a later holder of the key.
    pub at: Millis,
    /// What they made, and what it is called from now on. Text, topics, author and windows go; the embedding stays,
    /// since what others learned from it could not be folded again without.
    pub items: Vec<(ItemId, Key)>,
}

impl Person {
    /// The longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 255;
    /// The longest attributes text, in bytes.
    pub const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;

    /// Where everything of this person lives.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::of(&self.key)
    }
}
