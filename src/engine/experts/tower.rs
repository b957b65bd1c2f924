//! Tower: the log-odds of the two-tower model, from the dot product of the person's and the item's vectors.
//!
//! Invariant: the feature is within [`TOWER_MAX`], and 0 without a model.
//! Deliberately absent: the network (`crate::tower`), and vectors (`engine::two_tower`).

use crate::domain::ids::ItemId;
use crate::engine::catalogue::block::BLOCK;
use crate::engine::two_tower::{Tower as Vectors, TowerVector};

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane, add_weighted};

/// Bound on the log-odds of the two-tower model in the blend, so that one expert cannot outweigh all others.
pub(crate) const TOWER_MAX: f32 = 8.0;

/// Prepared for one person at one instant.
pub struct Tower<'a> {
    /// The items' vectors and the person's; `None` without a model.
    vectors: Option<(&'a Vectors, &'a TowerVector)>,
}

impl<'a> Expertise<'a, 1> for Tower<'a> {
    const NAMES: [&'static str; 1] = ["tower"];
    const ALONE: [f32; 1] = [1.0];
    /// The model gives log-odds already.
    const FIRST_AMOUNT: f32 = 0.5;

    fn of(context: Context<'a>) -> Self {
        Tower { vectors: context.store.tower().map(AsRef::as_ref).zip(context.profile.tower.as_ref()) }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 1]) {
        if let Some((items, person)) = self.vectors {
            out[0] = items.log_odds(person, item.id).clamp(-TOWER_MAX, TOWER_MAX);
        }
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 1], scores: &mut Lane) {
        let Some((items, person)) = self.vectors else { return };
        let mut log_odds = [0.0; BLOCK];
        for (row, log_odds) in log_odds[..block.len()].iter_mut().enumerate() {
            let item = ItemId((block.index * BLOCK + row) as u32);
            *log_odds = items.log_odds(person, item).clamp(-TOWER_MAX, TOWER_MAX);
        }
        add_weighted(weights[0], &log_odds, scores);
    }
}
