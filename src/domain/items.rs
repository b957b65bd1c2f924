//! What can be recommended.
//!
//! Invariant: an embedding is finite, long enough that its square is, not all zeros, and never changes within one revision of
//! its item.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{ItemId, Key, TopicId, UserId};
use super::journal::CentreRef;
use super::time::Millis;
use super::windows::Windows;

/// A vector that stands for an item's meaning: `(dim,)`, f32, finite, not all zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Arc<[f32]>);

/// Why a list of numbers is not an [`Embedding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// The server is configured for another dimension.
    #[error("must have {expected} numbers, has {found}")]
    Dimension {
        /// What the server is configured for.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// NaN or infinite, or so large that its square is.
    #[error("number {index} is not finite or too large (at most 1e15)")]
    NotFinite {
        /// Where, from 0.
        index: usize,
    },
    /// No direction to learn from.
    #[error("must not be all zeros")]
    Zero,
}

impl Embedding {
    /// The square of this is far above the smallest number of 32 bits.
    const LEAST: f32 = 1e-15;

    /// Checks and takes over `numbers`, which must be `(dim,)`. Where all are below 1e-15 they are multiplied by one power of
    /// two, since their squares would vanish: the direction stays.
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

/// Why a list of keys is not that of an item's topics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicsError {
    /// More than [`Item::TOPICS_MAX`].
    #[error("must be at most {max} topics, are {0}", max = Item::TOPICS_MAX)]
    TooMany(usize),
    /// An earlier one is repeated.
    #[error("names {topic:?} twice")]
    Twice {
        /// Where the repetition stands, from 0.
        index: usize,
        /// Which one.
        topic: Key,
    },
}

/// An item in one revision. Everything that learning reads is fixed within a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Dense index.
    pub id: ItemId,
    /// External name, unique in the catalogue.
    pub key: Key,
    /// Rises by one whenever text, topics or embedding change; from 1.
    pub revision: u32,
    /// Who made it, if a person did; with their external key, so that a feed can be written without another look-up.
    pub author: Option<Author>,
    /// Topics, the main one first. The first one's centre is subtracted from the embedding.
    pub topics: Arc<[TopicId]>,
    /// What a person reads.
    pub text: Arc<str>,
    /// Always present: given, or made from the text.
    pub embedding: Embedding,
    /// When it came into being.
    pub created: Millis,
    /// When it can be shown.
    pub windows: Windows,
    /// Deleted items keep their id and are never shown.
    pub deleted: bool,
}

impl Item {
    /// The longest text, in bytes.
    pub const TEXT_BYTES_MAX: usize = 32 * 1024;
    /// The most topics one item may have.
    pub const TOPICS_MAX: usize = 16;

    /// What every door asks of an item's topics.
    ///
    /// # Errors
    /// [`TopicsError`].
    pub fn check_topics(topics: &[Key]) -> Result<(), TopicsError> {
        if topics.len() > Self::TOPICS_MAX {
            return Err(TopicsError::TooMany(topics.len()));
        }
        match (1..topics.len()).find(|&index| topics[..index].contains(&topics[index])) {
            Some(index) => Err(TopicsError::Twice { index, topic: topics[index].clone() }),
            None => Ok(()),
        }
    }

    /// Can it be shown at `now`?
    #[must_use]
    pub fn is_available(&self, now: Millis) -> bool {
        !self.deleted && self.created <= now && self.windows.is_open(now)
    }

    /// When the item opens for the first time, if that is after `now`.
    #[must_use]
    pub fn opens_after(&self, now: Millis) -> Option<Millis> {
        let first = self.windows.as_slice().first().map_or(self.created, |window| window.start.max(self.created));
        (first > now).then_some(first)
    }

    /// The topic whose centre this item's embedding is measured from.
    #[must_use]
    pub fn main_topic(&self) -> TopicId {
        self.topics.first().copied().unwrap_or(TopicId::CATALOGUE)
    }
}

/// Something of the catalogue that began at an instant and whose row does not say when; for the time machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A centre has this epoch.
    Centre(CentreRef),
    /// An item has this revision; told from the second on.
    Revision(ItemId, u32),
    /// An item is deleted.
    Deleted(ItemId),
}

/// Who made an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Dense index.
    pub id: UserId,
    /// External name.
    pub key: Key,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
        /// Whatever is accepted has a length, and is accepted again as it is.
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
