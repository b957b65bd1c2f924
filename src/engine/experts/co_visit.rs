//! Co-visit: the share of all people's steps that lead from the person's last places to the item.
//!
//! Invariant: the feature is 0 for an item that is in no published list of next items.
//! Deliberately absent: the sums over the lists (`evidence::neighbours`).

use super::expertise::{Apart, BlockRows, Context, Expertise, ItemRow, Lane};

/// The share of steps that doubles the feature's argument.
const UNIT: f32 = 0.003;

/// Prepared for one person at one instant.
pub(crate) struct CoVisit<'a> {
    _context: Context<'a>,
}

impl<'a> Expertise<'a, 1> for CoVisit<'a> {
    const NAMES: [&'static str; 1] = ["co_visit"];
    const ALONE: [f32; 1] = [1.0];
    /// 0: the blend gives no weight to transitions of other people until choices teach it one.
    const FIRST_AMOUNT: f32 = 0.0;

    fn of(context: Context<'a>) -> Self {
        CoVisit { _context: context }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 1]) {
        // Most items are in no list, and logarithms cost.
        if item.slot.next > 0.0 {
            out[0] = 0.3 * (1.0 + item.slot.next / UNIT).ln();
        }
    }

    fn mark_apart(&self, block: &BlockRows<'_>, apart: &mut Apart) {
        apart.mark_evidence(block);
    }

    /// Items that are in a list stand apart; the share of all others is 0.
    #[inline(always)]
    fn add_block(&self, _: &BlockRows<'_>, _: &[f32; 1], _: &mut Lane) {}
}
