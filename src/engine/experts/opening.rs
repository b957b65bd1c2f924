//! Opening: the time since the item became available, and the time until it ends.
//!
//! Invariant: an item without windows opened when it was made; of its features only `just_opened` is not 0.
//! Deliberately absent: windows (`availability`), and learning when they end (`availability::survival`).

use crate::domain::time::MINUTE_MS;

use super::expertise::{Apart, BlockRows, Context, Expertise, ItemRow, Lane};

/// `just_opened` fades by half within this.
const HALF_MS: f32 = 2.0 * MINUTE_MS as f32;

/// Age in milliseconds from which `just_opened` of an item without windows is 0.
const LASTS_MS: i64 = 60 * MINUTE_MS;

/// Prepared for one person at one instant.
pub struct Opening<'a> {
    context: Context<'a>,
}

impl<'a> Expertise<'a, 3> for Opening<'a> {
    const NAMES: [&'static str; 3] = ["since_opening", "just_opened", "remaining"];
    const ALONE: [f32; 3] = [0.0, 1.0, 0.0];
    /// 0: the blend gives no weight to openings until choices teach it one.
    const FIRST_AMOUNT: f32 = 0.0;

    fn of(context: Context<'a>) -> Self {
        Opening { context }
    }

    #[inline]
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; 3]) {
        let Context { store, now, .. } = self.context;
        if !item.columns.windowed[item.row] {
            let age = now.since(item.columns.created[item.row]);
            if age < LASTS_MS {
                out[1] = just_opened(age as f32);
            }
        }
        if let Some(window) = item.window {
            let age = now.since(window.start) as f32;
            out[0] = 0.3 * (1.0 + age / (10.0 * MINUTE_MS as f32)).ln();
            out[1] = just_opened(age);
            if let Some(until) = window.stop.or_else(|| store.expected_ends().of(item.id)) {
                let rest = until.since(now) as f32 / MINUTE_MS as f32;
                out[2] = 0.3 * (1.0 + rest / 10.0).ln();
            }
        }
    }

    /// Windows lie in the items themselves, not in columns.
    #[inline]
    fn mark_apart(&self, block: &BlockRows<'_>, apart: &mut Apart) {
        for (mark, windowed) in apart.marks.iter_mut().zip(&block.columns.windowed) {
            *mark |= windowed;
        }
    }

    #[inline(always)]
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; 3], scores: &mut Lane) {
        // Most blocks have no young item.
        if block.ages.iter().fold(false, |any, age| any | (*age < LASTS_MS as f32)) {
            let young = scores.iter_mut().zip(block.ages).filter(|(_, age)| **age < LASTS_MS as f32);
            young.for_each(|(score, age)| *score += weights[1] * just_opened(*age));
        }
    }
}

/// Fades from 1 with the milliseconds since an opening.
#[inline]
fn just_opened(age: f32) -> f32 {
    (-age / HALF_MS).exp2()
}
