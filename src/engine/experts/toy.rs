//! Toy: an expert that only tests have. It shows how small an expert can be.
//!
//! Invariant: the feature is the parity of the item's id.

use crate::engine::catalogue::block::BLOCK;

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane};

/// Prepared for one person at one instant.
pub(crate) struct Toy<'a> {
    _context: Context<'a>,
}

impl<'a> Expertise<'a, 1> for Toy<'a> {
    const NAMES: [&'static str; 1] = ["toy"];
    const ALONE: [f32; 1] = [1.0];
    const FIRST_AMOUNT: f32 = 0.0;

    fn of(context: Context<'a>) -> Self {
        Toy { _context: context }
    }

    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 1]) {
        out[0] = (item.id.0 % 2) as f32;
    }

    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 1], scores: &mut Lane) {
        for (row, score) in scores.iter_mut().enumerate() {
            *score += weights[0] * ((block.index * BLOCK + row) % 2) as f32;
        }
    }
}
