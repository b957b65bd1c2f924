//! Blocks of items: embeddings, codes and columns of [`BLOCK`] items side by side, for scans.
//!
//! Invariant: item ids are dense, so an id is a block and a row ([`place`]). Columns have one value per item.

use std::sync::Arc;

use ndarray::Array2;

use crate::domain::ids::{ItemId, TopicId};
use crate::domain::items::Item;
use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::engine::catalogue::centres::Coordinates;

use super::attributes::AttributeIndex;
pub(crate) use super::attributes::{BLOCK, Marks};

/// Stands for "no author" in a block's columns.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Stands for "no topic" in a block's columns.
pub(in crate::engine) const NO_TOPIC: TopicId = TopicId(u32::MAX);

/// Topics beside the main one that the columns hold.
pub(in crate::engine) const FURTHER: usize = 3;

/// A run of [`BLOCK`] items, stored as columns for ranking scans.
#[derive(Clone, Debug)]
pub struct Block {
    /// `(BLOCK, dim)`, rows beyond `items` are zeros.
    pub(in crate::engine) embeddings: Arc<Array2<f32>>,
    /// `(BLOCK, dim)`: embeddings as `code * scale`, for the scan of the whole catalogue.
    pub(in crate::engine) codes: Arc<Array2<i8>>,
    pub(in crate::engine) items: Vec<Arc<Item>>,
    pub(in crate::engine) columns: Arc<Columns>,
    pub(in crate::engine) attributes: Arc<AttributeIndex>,
}

/// Columns that ranking reads of each item of a block, without following a pointer. One value per item.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Creation time of each item.
    pub created: Vec<Millis>,
    /// Main topic of each item.
    pub topic: Vec<TopicId>,
    /// Whether the item has windows; the item holds them.
    pub windowed: Vec<bool>,
    /// The first topics of each item after the main one; the rest is [`NO_TOPIC`].
    pub(in crate::engine) further: Vec<[TopicId; FURTHER]>,
    /// Whether the item has topics beyond `topic` and `further`; the item holds them.
    pub(crate) more_topics: Vec<bool>,
    /// Author ids, or [`NOBODY`].
    pub author: Vec<u32>,
    /// Centres that the embeddings are currently centred by.
    pub centre: Vec<CentreRef>,
    /// `1 / ||x - m||`, or 0 where an item coincides with its centre.
    pub(crate) inverse_norm: Vec<f32>,
    /// `1 / ||x||`, or 0 for an embedding of zeros.
    pub(crate) inverse_length: Vec<f32>,
    /// Coordinates along the axes of the centre; zeros without axes, or where an item coincides with its centre.
    pub coordinates: Vec<Coordinates>,
    /// `max |x_i| / 127`, the quantisation step of a code.
    pub scale: Vec<f32>,
}

impl Block {
    /// Columns of this block, one value per item.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Row-major `(BLOCK, dim)` codes; `x_i = code_i * scale` up to half a scale.
    #[must_use]
    pub fn codes(&self) -> &[i8] {
        self.codes.as_slice().unwrap_or(&[])
    }

    /// The embedding of one row, `(dim,)`; empty for a row outside of the block.
    #[must_use]
    pub fn embedding(&self, row: usize) -> &[f32] {
        let dim = self.embeddings.ncols();
        self.embeddings.as_slice().and_then(|all| all.get(row * dim..(row + 1) * dim)).unwrap_or(&[])
    }

    /// Items of this block, at most [`BLOCK`], in the order of their ids.
    #[must_use]
    pub fn items(&self) -> &[Arc<Item>] {
        &self.items
    }
}

/// The block of an item, and its row there.
#[must_use]
pub fn place(id: ItemId) -> (usize, usize) {
    (id.0 as usize / BLOCK, id.0 as usize % BLOCK)
}
