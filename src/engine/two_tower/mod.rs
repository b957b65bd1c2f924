//! Interface of the two-tower model: item vectors, computed once per revision, and user vectors, computed when a user
//! acts or asks.
//!
//! Invariant: both are pure functions of the model's version and its inputs, so equal journals, catalogues and models
//! give equal scores. Vectors of different versions are never multiplied.
//! Deliberately absent: the neural network itself (`tower`), training, files.

pub(crate) mod user_vector;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::domain::ids::{ItemId, ModelVersion};
use crate::domain::time::Millis;
use crate::engine::catalogue::block::BLOCK;
use crate::engine::numeric::kernels::dot;

pub use crate::engine::learners::person::history::Sign;

/// Numbers in a user vector or an item vector.
pub const TOWER_DIM: usize = 64;

/// A user vector or an item vector, `(TOWER_DIM,)`.
pub type TowerVector = [f32; TOWER_DIM];

/// Upper limit of the interactions that a model reads of a user's history.
pub const TOWER_HISTORY_MAX: usize = 100;

/// Inputs of the item tower.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItemFacts<'a> {
    /// Embedding of the item, `(dim,)`; empty if there is none.
    pub embedding: &'a [f32],
    /// Text of the item; the model computes its statistics.
    pub text: &'a str,
    /// Key of the item's main topic.
    pub topic: Option<&'a str>,
    /// Attributes of the item: a JSON object as text. Its numbers are features by name.
    pub attributes: Option<&'a str>,
    /// Numeric features by name, before those of the attributes; they take precedence over the statistics of the text.
    pub numbers: &'a [(&'a str, f32)],
}

/// One step of the history that the user tower reads.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The item's vector by this model, `(TOWER_DIM,)`.
    pub item: &'a TowerVector,
    /// Label of the user's interactions with the item.
    pub sign: Sign,
    /// Time of the step.
    pub at: Millis,
}

/// A trained two-tower model.
pub trait TwoTower: fmt::Debug + Send + Sync {
    /// Version of the model in the store.
    fn version(&self) -> ModelVersion;

    /// Number of last interactions that the user tower reads, at most [`TOWER_HISTORY_MAX`].
    fn history(&self) -> usize;

    /// Item tower: the vector of an item.
    fn item(&self, item: &ItemFacts<'_>) -> TowerVector;

    /// User tower: the vector of a user at `now`. `attributes` is a JSON object as text; `history` goes from old to
    /// new.
    fn person(&self, attributes: Option<&str>, history: &[Step<'_>], now: Millis) -> TowerVector;

    /// Names of the columns that the item tower reads and this item lacks. The tower encodes them as missing.
    fn lacking(&self, item: &ItemFacts<'_>) -> Vec<String>;

    /// Log-odds of a like, from the dot product of the user vector and the item vector.
    fn log_odds(&self, dot: f32) -> f32;
}

/// A model and its vectors of all items, in blocks like those of the `World`.
#[derive(Clone, Debug)]
pub struct Tower {
    model: Arc<dyn TwoTower>,
    /// `(BLOCK, TOWER_DIM)` each.
    blocks: Vec<Arc<Vec<TowerVector>>>,
    /// Number of vectors that replaced an earlier one.
    revised: u64,
    /// Ids of the items that lack a column which the model reads.
    incomplete: Arc<RoaringBitmap>,
    /// Names of all columns that some item lacked.
    lacked: Arc<BTreeSet<String>>,
}

impl Tower {
    /// A model without item vectors.
    #[must_use]
    pub fn new(model: Arc<dyn TwoTower>) -> Tower {
        Tower { model, blocks: Vec::new(), revised: 0, incomplete: Arc::default(), lacked: Arc::default() }
    }

    /// The model that computed the vectors.
    #[must_use]
    pub fn model(&self) -> &dyn TwoTower {
        self.model.as_ref()
    }

    /// Version of the model.
    #[must_use]
    pub fn version(&self) -> ModelVersion {
        self.model.version()
    }

    /// Number of replaced item vectors. A cached user vector is valid only for the count at its computation.
    #[must_use]
    pub fn revised(&self) -> u64 {
        self.revised
    }

    /// The vector of an item; `None` if it was not computed.
    #[must_use]
    pub fn item(&self, id: ItemId) -> Option<&TowerVector> {
        self.blocks.get(id.0 as usize / BLOCK)?.get(id.0 as usize % BLOCK)
    }

    /// Computes and stores the vector of a new or revised item.
    pub fn put(&mut self, id: ItemId, facts: &ItemFacts<'_>) {
        let (block, row) = (id.0 as usize / BLOCK, id.0 as usize % BLOCK);
        let vector = self.model.item(facts);
        self.blocks.resize_with(self.blocks.len().max(block + 1), Arc::default);
        let block = Arc::make_mut(&mut self.blocks[block]);
        self.revised += u64::from(row < block.len());
        block.resize(block.len().max(row + 1), [0.0; TOWER_DIM]);
        block[row] = vector;
        let lacking = self.model.lacking(facts);
        // A changed set is copied for the world that readers hold, so only a real change touches it.
        if self.incomplete.contains(id.0) == lacking.is_empty() {
            let incomplete = Arc::make_mut(&mut self.incomplete);
            let _ = if lacking.is_empty() { incomplete.remove(id.0) } else { incomplete.insert(id.0) };
        }
        if lacking.iter().any(|name| !self.lacked.contains(name)) {
            Arc::make_mut(&mut self.lacked).extend(lacking);
        }
    }

    /// Number of items that lack a column which the model reads; the model encodes it as missing.
    #[must_use]
    pub fn incomplete(&self) -> u64 {
        self.incomplete.len()
    }

    /// Names of the columns that some item lacked, in alphabetical order.
    #[must_use]
    pub fn lacked(&self) -> &BTreeSet<String> {
        &self.lacked
    }

    /// Log-odds that the user with this vector likes an item. 0 if the item has no vector, or if the model's result is
    /// not finite.
    #[must_use]
    pub fn log_odds(&self, person: &TowerVector, id: ItemId) -> f32 {
        let log_odds = self.item(id).map_or(0.0, |item| self.model.log_odds(dot(person, item)));
        if log_odds.is_finite() { log_odds } else { 0.0 }
    }
}
