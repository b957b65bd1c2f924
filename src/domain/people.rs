//! Who uses it.
//!
//! Invariant: a person's partition follows from their key and never changes.

use super::ids::{Key, Partition, UserId};
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
    /// When they were made known.
    pub created: Millis,
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
