//! Freshness: the age of an item, as a hyperbola that is one half at the age in the settings.
//!
//! Invariant: the feature lies in (0, 1], and is 1 for an item that is made now.

use super::expertise::{BlockRows, Context, Expertise, ItemRow, Lane};

/// Prepared for one person at one instant.
pub struct Freshness<'a> {
    context: Context<'a>,
    /// Age at which the feature is one half, in milliseconds.
    half: f32,
}

impl<'a> Expertise<'a, 1> for Freshness<'a> {
    const NAMES: [&'static str; 1] = ["freshness"];
    const ALONE: [f32; 1] = [1.0];
    /// The log-odds of a brand-new item over those of an ancient one.
    const FIRST_AMOUNT: f32 = 1.0;

    fn of(context: Context<'a>) -> Self {
        Freshness { context, half: context.store.freshness_half_ms() as f32 }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 1]) {
        let age = self.context.now.since(item.columns.created[item.row]) as f32;
        out[0] = self.half / (self.half + age);
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 1], scores: &mut Lane) {
        add_freshness(weights[0], self.half, block.ages, scores);
    }
}

#[inline(always)]
fn add_freshness(weight: f32, half: f32, ages: &Lane, scores: &mut Lane) {
    for (score, age) in scores.iter_mut().zip(ages) {
        *score += weight * (half / (half + age));
    }
}
