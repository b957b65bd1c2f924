//! How popular items are now: exponentially decayed counts of positive interactions.
//!
//! Invariant: a count is finite and not negative; an entry that comes late counts as much as it would have by now.

use serde::{Deserialize, Serialize};

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;

/// Added to every count, so that a new item is neither buried nor crowned.
const PRIOR: f64 = 1.0;

/// Decayed counts of all items, in units of an epoch that moves along so that they never overflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Popularity {
    /// By item: the count as it would stand at `origin`.
    counts: Vec<f64>,
    origin: Millis,
}

impl Popularity {
    /// A positive interaction of this weight.
    pub fn learn(&mut self, item: ItemId, weight: f32, at: Millis, half_life_ms: i64) {
        let index = item.0 as usize;
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0.0);
        }
        // An event at `at` weighs 2^((at - origin) / half-life) at the origin; beyond 64 half-lives the origin moves.
        let mut ahead = (at.0 - self.origin.0) as f64 / half_life_ms as f64;
        if ahead > 64.0 {
            let shrink = (-ahead).exp2();
            for count in &mut self.counts {
                *count *= shrink;
            }
            self.origin = at;
            ahead = 0.0;
        }
        self.counts[index] += f64::from(weight) * ahead.exp2();
    }

    /// The decayed count of an item at `now`.
    #[must_use]
    pub fn count(&self, item: ItemId, now: Millis, half_life_ms: i64) -> f64 {
        let fade = ((self.origin.0 - now.0) as f64 / half_life_ms as f64).exp2();
        self.counts.get(item.0 as usize).map_or(0.0, |count| count * fade)
    }

    /// For every item that was ever touched: `ln((count + 1) / (mean + 1))`, the mean taken over `open`; and the same
    /// for items that never were. `(n,)`, the items beyond were never touched.
    #[must_use]
    pub fn log_odds(&self, open: impl Iterator<Item = ItemId>, now: Millis, half_life_ms: i64) -> (Vec<f32>, f32) {
        let fade = ((self.origin.0 - now.0) as f64 / half_life_ms as f64).exp2();
        let at = |index: usize| self.counts.get(index).map_or(0.0, |count| count * fade);
        let (mut sum, mut n) = (0.0, 0.0);
        for item in open {
            sum += at(item.0 as usize);
            n += 1.0;
        }
        let mean = if n > 0.0 { sum / n } else { 0.0 };
        let of = |count: f64| ((count + PRIOR) / (mean + PRIOR)).ln() as f32;
        ((0..self.counts.len()).map(|index| of(at(index))).collect(), of(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::DAY_MS;

    #[test]
    fn a_count_halves_in_a_half_life_and_late_events_count_less() {
        let mut popularity = Popularity::default();
        popularity.learn(ItemId(1), 1.0, Millis(1_000 * DAY_MS), DAY_MS);
        popularity.learn(ItemId(1), 1.0, Millis(999 * DAY_MS), DAY_MS);
        let now = |days: i64| popularity.count(ItemId(1), Millis(days * DAY_MS), DAY_MS);
        assert!((now(1_000) - 1.5).abs() < 1e-9);
        assert!((now(1_001) - 0.75).abs() < 1e-9);
        assert_eq!(popularity.count(ItemId(9), Millis(0), DAY_MS), 0.0);
    }

    #[test]
    fn it_is_measured_against_the_mean_of_what_is_available() {
        let mut popularity = Popularity::default();
        for _ in 0..3 {
            popularity.learn(ItemId(0), 1.0, Millis(0), DAY_MS);
        }
        let (odds, unseen) = popularity.log_odds([ItemId(0), ItemId(1), ItemId(2)].into_iter(), Millis(0), DAY_MS);
        assert!((odds[0] - 2.0_f32.ln()).abs() < 1e-6 && (unseen - 0.5_f32.ln()).abs() < 1e-6 && odds.len() == 1);
    }
}
