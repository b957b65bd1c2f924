//! Co-audience: the co-occurrence of the item with the places that the person visits, as a weighted sum of cosines.
//!
//! Invariant: the feature is 0 for an item that is in no published list of neighbours.
//! Deliberately absent: the sums over the lists (`evidence::neighbours`).

use crate::engine::numeric::kernels::ln_of;

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane};

/// One over the sum of cosines that doubles the feature's argument.
const CO_AUDIENCE_UNIT: f32 = 100.0;

/// Prepared for one person at one instant.
pub(crate) struct CoAudience<'a> {
    _context: Context<'a>,
}

impl<'a> Expertise<'a, 1> for CoAudience<'a> {
    const NAMES: [&'static str; 1] = ["co_audience"];
    const ALONE: [f32; 1] = [1.0];
    /// 0: the blend gives no weight to visits of other people until choices teach it one.
    const FIRST_AMOUNT: f32 = 0.0;

    fn of(context: Context<'a>) -> Self {
        CoAudience { _context: context }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 1]) {
        let sum = item.evidence.co_audience(item.id);
        if sum > 0.0 {
            out[0] = 0.5 * ln_of(1.0 + sum * CO_AUDIENCE_UNIT);
        }
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 1], scores: &mut Lane) {
        if let Some(sums) = block.evidence.co_audience_of_block(block.index) {
            add_co_audience(weights[0], sums, scores);
        }
    }
}

#[inline(always)]
fn add_co_audience(weight: f32, sums: &[f32], scores: &mut Lane) {
    for (score, sum) in scores.iter_mut().zip(sums) {
        // The logarithm of 1 is exactly 0, so an item without a sum needs no branch.
        *score += weight * (0.5 * ln_of(1.0 + sum * CO_AUDIENCE_UNIT));
    }
}
