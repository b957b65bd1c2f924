//! The two-tower model as ranking sees it: a vector per item, made once; a vector per person, made when they act or ask.
//!
//! Invariant: both are pure functions of a model's version and of what is handed in, so that the same journal, catalogue
//! and model give the same scores. Vectors of different versions are never multiplied.
//! Absent on purpose: the neural network itself (`tower`), training, files.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ItemId, ModelVersion};
use crate::domain::time::Millis;
use crate::engine::simd::dot;
use crate::engine::world::BLOCK;

/// Numbers in the vector of a person or an item.
pub const TOWER_DIM: usize = 64;

/// One vector, `(TOWER_DIM,)`.
pub type TowerVector = [f32; TOWER_DIM];

/// How many of a person's last interactions a model may look at, at most.
pub const TOWER_HISTORY_MAX: usize = 100;

/// What a model reads of an item.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItemFacts<'a> {
    /// Its embedding, `(dim,)`; empty where there is none.
    pub embedding: &'a [f32],
    /// Its text; statistics of it are the model's business.
    pub text: &'a str,
    /// The name of its main topic.
    pub topic: Option<&'a str>,
    /// Numbers that came with it, by name; they go before what follows from the text.
    pub numbers: &'a [(&'a str, f32)],
}

/// What somebody made of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sign {
    /// Passed over, rejected.
    Negative,
    /// Nothing is known.
    Neutral,
    /// Liked, chosen.
    Positive,
}

/// One step of a person's history.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The item's vector by the same model, `(TOWER_DIM,)`.
    pub item: &'a TowerVector,
    /// What they made of it.
    pub sign: Sign,
    /// When.
    pub at: Millis,
}

/// A two-tower model, ready to be used.
pub trait TwoTower: fmt::Debug + Send + Sync {
    /// Its version in the store.
    fn version(&self) -> ModelVersion;

    /// How many of the last interactions it looks at, at most [`TOWER_HISTORY_MAX`].
    fn history(&self) -> usize;

    /// The vector of an item.
    fn item(&self, item: &ItemFacts<'_>) -> TowerVector;

    /// The vector of a person at `now`: `attributes` is a JSON object as text, `history` goes from old to new.
    fn person(&self, attributes: Option<&str>, history: &[Step<'_>], now: Millis) -> TowerVector;

    /// Log-odds of a like, from the dot product of both vectors.
    fn log_odds(&self, dot: f32) -> f32;
}

/// A model and the vectors of all items by it, in blocks like those of the `World`.
#[derive(Clone, Debug)]
pub struct Tower {
    model: Arc<dyn TwoTower>,
    /// `(BLOCK, TOWER_DIM)` each.
    blocks: Vec<Arc<Vec<TowerVector>>>,
    /// Vectors that were put in the place of another one.
    revised: u64,
}

impl Tower {
    /// A model that has not seen an item yet.
    #[must_use]
    pub fn new(model: Arc<dyn TwoTower>) -> Tower {
        Tower { model, blocks: Vec::new(), revised: 0 }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &dyn TwoTower {
        self.model.as_ref()
    }

    /// The model's version.
    #[must_use]
    pub fn version(&self) -> ModelVersion {
        self.model.version()
    }

    /// Rises when the vector of an item that was there before changes: then those of people may, too.
    #[must_use]
    pub fn revised(&self) -> u64 {
        self.revised
    }

    /// Items that have a vector, or a place for one.
    #[must_use]
    pub fn items_len(&self) -> usize {
        self.blocks.iter().map(|block| block.len()).sum()
    }

    /// The vector of an item; `None` before it was put.
    #[must_use]
    pub fn item(&self, id: ItemId) -> Option<&TowerVector> {
        self.blocks.get(id.0 as usize / BLOCK)?.get(id.0 as usize % BLOCK)
    }

    /// Computes and keeps the vector of an item, new or in a new revision.
    pub fn put(&mut self, id: ItemId, facts: &ItemFacts<'_>) {
        let (block, row) = (id.0 as usize / BLOCK, id.0 as usize % BLOCK);
        let vector = self.model.item(facts);
        self.blocks.resize_with(self.blocks.len().max(block + 1), Arc::default);
        let block = Arc::make_mut(&mut self.blocks[block]);
        self.revised += u64::from(row < block.len());
        block.resize(block.len().max(row + 1), [0.0; TOWER_DIM]);
        block[row] = vector;
    }

    /// Log-odds that a person with this vector likes an item; 0 where the item has no vector, or the model's arithmetic
    /// went beyond all bounds.
    #[must_use]
    pub fn log_odds(&self, person: &TowerVector, id: ItemId) -> f32 {
        let log_odds = self.item(id).map_or(0.0, |item| self.model.log_odds(dot(person, item)));
        if log_odds.is_finite() { log_odds } else { 0.0 }
    }
}
