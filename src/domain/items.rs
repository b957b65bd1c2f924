//! Items: the catalogue's entries, which can be recommended, and their embeddings.
//!
//! Invariant: an embedding is finite and not all zeros, and its squared norm is a normal f32. It never changes within one
//! revision of its item.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{ItemId, Key, TopicId, UserId};
use super::journal::CentreRef;
use super::time::Millis;
use super::windows::Windows;

/// An embedding of an item's content: `(dim,)`, f32, finite, not all zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Arc<[f32]>);

/// Reason why a list of numbers is no [`Embedding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// The server is configured for another dimension.
    #[error("must have {expected} numbers, has {found}")]
    Dimension {
        /// Length in the configuration.
        expected: usize,
        /// Length of the list.
        found: usize,
    },
    /// A number is NaN, infinite, or above 1e15, where squares overflow.
    #[error("number {index} is not finite or too large (at most 1e15)")]
    NotFinite {
        /// Position of the number, from 0.
        index: usize,
    },
    /// All numbers are 0, so there is no direction to learn from.
    #[error("must not be all zeros")]
    Zero,
}

impl Embedding {
    /// Bound below which squares lose precision: its square is far above the smallest normal f32.
    const LEAST: f32 = 1e-15;

    /// Checks `numbers`, which must be `(dim,)`. If all are below 1e-15, it multiplies them by one power of two, since their
    /// squares would vanish. The direction stays.
    ///
    /// # Errors
    /// [`EmbeddingError`] when the length differs from `dim`, a number is not finite, or all are zero.
    pub fn new(mut numbers: Vec<f32>, dim: usize) -> Result<Embedding, EmbeddingError> {
        if numbers.len() != dim {
            return Err(EmbeddingError::Dimension { expected: dim, found: numbers.len() });
        }
        // Squares are summed in f32 downstream, so the bound is well below the square root of its maximum.
        if let Some(index) = numbers.iter().position(|x| !x.is_finite() || x.abs() > 1e15) {
            return Err(EmbeddingError::NotFinite { index });
        }
        let largest = numbers.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        if largest == 0.0 {
            return Err(EmbeddingError::Zero);
        }
        if largest < Self::LEAST {
            // Every f32 is a normal f64, and the product with a power of two is exact: of 2^e the inverse of 2^(e + 1).
            let exponent = f64::from(largest).to_bits() >> 52;
            let factor = f64::from_bits((2_045 - exponent) << 52);
            for x in &mut numbers {
                *x = (f64::from(*x) * factor) as f32;
            }
        }
        Ok(Embedding(numbers.into()))
    }
}

impl Deref for Embedding {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

/// Reason why a list of keys cannot be the topics of an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicsError {
    /// The list has more than [`Item::TOPICS_MAX`] topics, namely this number.
    #[error("must be at most {max} topics, are {0}", max = Item::TOPICS_MAX)]
    TooMany(usize),
    /// A topic is repeated.
    #[error("names {topic:?} twice")]
    Twice {
        /// Position of the repetition, from 0.
        index: usize,
        /// The repeated topic.
        topic: Key,
    },
}

/// An item in one revision. All inputs of learning are fixed within a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Dense index of the item.
    pub id: ItemId,
    /// External key, unique in the catalogue.
    pub key: Key,
    /// Number of the revision from 1: it increases by one when text, topics, attributes or embedding change.
    pub revision: u32,
    /// The author, if a user made the item; with their external key, so that writing a feed needs no look-up.
    pub author: Option<Author>,
    /// Topics, the main one first. Learning subtracts the main topic's centre from the embedding.
    pub topics: Arc<[TopicId]>,
    /// Text of the item, as users read it.
    pub text: Arc<str>,
    /// Facts that a two-tower model reads (length, price, ...): a JSON object as text of at most [`ATTRIBUTES_BYTES_MAX`](super::text::ATTRIBUTES_BYTES_MAX)
    /// bytes. The engine never reads the text itself.
    pub attributes: Option<Arc<str>>,
    /// The embedding: given with the item, or computed from the text.
    pub embedding: Embedding,
    /// Instant of creation.
    pub created: Millis,
    /// Windows of availability; empty is always available.
    pub windows: Windows,
    /// Whether the item is deleted. A deleted item keeps its id and is never shown.
    pub deleted: bool,
}

impl Item {
    /// Size limit of a text in bytes.
    pub const TEXT_BYTES_MAX: usize = 32 * 1024;
    /// Largest number of topics of one item.
    pub const TOPICS_MAX: usize = 16;

    /// Checks the topics of an item: not too many, none repeated.
    ///
    /// # Errors
    /// [`TopicsError`] for the first violation.
    pub fn check_topics(topics: &[Key]) -> Result<(), TopicsError> {
        if topics.len() > Self::TOPICS_MAX {
            return Err(TopicsError::TooMany(topics.len()));
        }
        match (1..topics.len()).find(|&index| topics[..index].contains(&topics[index])) {
            Some(index) => Err(TopicsError::Twice { index, topic: topics[index].clone() }),
            None => Ok(()),
        }
    }

    /// Whether the item can be shown at `now`.
    #[must_use]
    pub fn is_available(&self, now: Millis) -> bool {
        !self.deleted && self.created <= now && self.windows.is_open(now)
    }

    /// First instant of availability, if it is after `now`.
    #[must_use]
    pub fn opens_after(&self, now: Millis) -> Option<Millis> {
        let first = self.windows.as_slice().first().map_or(self.created, |window| window.start.max(self.created));
        (first > now).then_some(first)
    }

    /// The topic whose centre learning subtracts from the embedding.
    #[must_use]
    pub fn main_topic(&self) -> TopicId {
        self.topics.first().copied().unwrap_or(TopicId::CATALOGUE)
    }
}

/// A change of the catalogue whose row stores no instant; the instant is stored apart, for the time machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A centre has reached this epoch.
    Centre(CentreRef),
    /// An item has reached this revision, which is the second or a later one.
    Revision(ItemId, u32),
    /// An item was deleted.
    Deleted(ItemId),
}

/// Author of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Dense index of the user.
    pub id: UserId,
    /// External key of the user.
    pub key: Key,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tiny_embedding_keeps_its_direction() {
        for factor in [1.0, 1e-14, 1e-16, 1e-30, 1e-38, 1e-44_f32] {
            let found = Embedding::new(vec![-3.0 * factor, 4.0 * factor, 0.0], 3).unwrap();
            let length = found.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!(length.is_normal(), "{factor}: {length}");
            // The smallest numbers of all have only a few bits.
            let within = if factor < 1e-40 { 0.1 } else { 1e-6 };
            assert!((found[0] / length + 0.6).abs() < within && (found[1] / length - 0.8).abs() < within, "{factor}");
        }
        assert_eq!(Embedding::new(vec![0.0, -0.0], 2), Err(EmbeddingError::Zero));
        assert_eq!(Embedding::new(Vec::new(), 0), Err(EmbeddingError::Zero));
    }

    proptest! {
        /// An accepted embedding has a normal norm, and `new` accepts it again unchanged.
        #[test]
        fn an_accepted_embedding_has_a_length(bits in proptest::collection::vec(any::<u32>(), 1..6)) {
            let numbers: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            if let Ok(found) = Embedding::new(numbers.clone(), numbers.len()) {
                prop_assert!(found.iter().map(|x| x * x).sum::<f32>().is_normal());
                prop_assert_eq!(Embedding::new(found.to_vec(), found.len()), Ok(found));
            }
        }
    }
}
