//! Who comes to an item for the first time, and at which hours people come: folded over everybody.
//!
//! Invariant: sums are finite, and not negative where they count; an item of which nothing is known is as all are on average.
//! Popularity counts visits, of which one person at home makes hundreds. Where somebody never was is found by how many came
//! there for the first time. Source of the match: the mean direction of a circular distribution (Mardia & Jupp, *Directional
//! Statistics*, 2000), shrunk to that of everything. Absent on purpose: what one person's own hours are (`repeat`, `rhythm`).

use serde::{Deserialize, Serialize};

use super::features::{Features, at};
use super::repeat::Clock;
use crate::domain::ids::ItemId;
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::simd::ln_each;

/// What was counted long ago counts half after this: most items are visited seldom, and keep their character.
const HALF_LIFE_MS: f64 = 90.0 * DAY_MS as f64;

/// Beyond so many half-lives the origin moves.
const HALF_LIVES_MAX: f64 = 16.0;

/// Added to every count of newcomers, so that a new item is neither buried nor crowned.
const PRIOR: f32 = 0.5;

/// The hours of everything count as much as this many visits of an item's own.
const HOURS_PRIOR: f32 = 5.0;

/// Numbers that say when: cosine and sine of the time of day, of the week, and of twice the time of the week.
pub const PHASES: usize = 6;

/// Sums of one item, in units of the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    newcomers: f32,
    visits: f32,
    phases: [f32; PHASES],
}

impl Sums {
    fn scale(&mut self, by: f32) {
        self.newcomers *= by;
        self.visits *= by;
        self.phases.iter_mut().for_each(|sum| *sum *= by);
    }
}

/// Sums of all items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Visitors {
    /// By item.
    items: Vec<Sums>,
    all: Sums,
    /// Sums are in units of this instant, which moves along.
    origin: Option<Millis>,
}

/// What is published: by item, and of those beyond.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VisitorsTable {
    /// Log ratio of newcomers to the mean over what is available.
    newcomers: Vec<f32>,
    unseen: f32,
    /// By how much an item's mean direction differs from that of everything.
    phases: Vec<[f32; PHASES]>,
}

impl VisitorsTable {
    /// Log ratio of those who came for the first time to the mean over what is available.
    #[must_use]
    pub fn newcomers(&self, item: ItemId) -> f32 {
        self.newcomers.get(item.0 as usize).copied().unwrap_or(self.unseen)
    }

    /// Fills in how an item's hours match the clock, beside those of everything.
    pub fn describe(&self, item: ItemId, clock: &Clock, out: &mut Features) {
        if let Some(phases) = self.phases.get(item.0 as usize) {
            let now = clock.phases();
            let product = |from: usize, to: usize| (from..to).fold(0.0, |sum, k| sum + phases[k] * now[k]);
            out[at::BUSY_HOUR] = product(0, 2);
            out[at::BUSY_WEEKDAY] = product(2, PHASES);
        }
    }
}

impl Visitors {
    /// Somebody came, for the first time or again.
    pub fn learn(&mut self, item: ItemId, is_first: bool, at: Millis) {
        let index = item.0 as usize;
        if index >= self.items.len() {
            self.items.resize(index + 1, Sums::default());
        }
        let weight = self.weight(at);
        let phases = Clock::at(at).phases();
        for sums in [&mut self.items[index], &mut self.all] {
            sums.newcomers += if is_first { weight } else { 0.0 };
            sums.visits += weight;
            sums.phases.iter_mut().zip(phases).for_each(|(sum, phase)| *sum += weight * phase);
        }
    }

    /// Computes the rows of what is `open` afresh.
    pub fn refresh(&self, table: &mut VisitorsTable, open: impl ExactSizeIterator<Item = ItemId> + Clone, now: Millis) {
        let origin = self.origin.unwrap_or(now);
        let fade = (-(now.since(origin) as f64) / HALF_LIFE_MS).exp2() as f32;
        let of = |item: ItemId| self.items.get(item.0 as usize).copied().unwrap_or_default();
        let n = open.len().max(1) as f32;
        let mean = fade * open.clone().map(|item| of(item).newcomers).fold(0.0, |a, b| a + b) / n;
        let mut ratios: Vec<f32> = open.clone().map(|item| fade * of(item).newcomers).chain([0.0]).collect();
        ratios.iter_mut().for_each(|count| *count = (*count + PRIOR) / (mean + PRIOR));
        ln_each(&mut ratios);
        table.unseen = ratios.pop().unwrap_or_default();
        table.newcomers.resize(self.items.len(), table.unseen);
        table.phases.resize(self.items.len(), [0.0; PHASES]);
        // Everything came together in as many visits as were counted.
        let everything = self.all.phases.map(|sum| sum / self.all.visits.max(f32::MIN_POSITIVE));
        for (item, ratio) in open.zip(ratios) {
            let index = item.0 as usize;
            let Some(sums) = self.items.get(index) else { continue };
            table.newcomers[index] = ratio;
            let visits = fade * sums.visits + HOURS_PRIOR;
            for ((phase, sum), mean) in table.phases[index].iter_mut().zip(sums.phases).zip(everything) {
                *phase = (fade * sum + HOURS_PRIOR * mean) / visits - mean;
            }
        }
    }

    /// Weight of a visit at `at` in units of the origin.
    fn weight(&mut self, at: Millis) -> f32 {
        let origin = *self.origin.get_or_insert(at);
        let ahead = (at.0 - origin.0) as f64 / HALF_LIFE_MS;
        if ahead <= HALF_LIVES_MAX {
            return ahead.exp2() as f32;
        }
        let shrink = (-ahead).exp2() as f32;
        self.items.iter_mut().chain([&mut self.all]).for_each(|sums| sums.scale(shrink));
        self.origin = Some(at);
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::HOUR_MS;
    use crate::engine::learn::features::FEATURES;

    fn table(visitors: &Visitors, items: u32, now: Millis) -> VisitorsTable {
        let mut table = VisitorsTable::default();
        visitors.refresh(&mut table, (0..items).map(ItemId).collect::<Vec<_>>().into_iter(), now);
        table
    }

    #[test]
    fn who_comes_again_is_no_newcomer() {
        let mut visitors = Visitors::default();
        for n in 0..100 {
            visitors.learn(ItemId(0), n == 0, Millis(n));
        }
        for n in 0..3 {
            visitors.learn(ItemId(1), true, Millis(n));
        }
        let table = table(&visitors, 3, Millis(100));
        let mean = 4.0_f32 / 3.0;
        for (item, count) in [(0, 1.0), (1, 3.0), (2, 0.0), (77, 0.0)] {
            let expected = ((count + PRIOR) / (mean + PRIOR)).ln();
            assert!((table.newcomers(ItemId(item)) - expected).abs() < 1e-4, "{item}");
        }
    }

    /// One in the evening, one in the morning of the same days, one only at weekends.
    #[test]
    fn an_item_is_itself_at_its_hours() {
        let mut visitors = Visitors::default();
        for day in 0..70 {
            let at = |hour: i64| Millis(day * DAY_MS + hour * HOUR_MS);
            visitors.learn(ItemId(0), true, at(22));
            visitors.learn(ItemId(1), true, at(9));
            if day % 7 >= 5 {
                visitors.learn(ItemId(2), true, at(15));
            }
        }
        let table = table(&visitors, 4, Millis(70 * DAY_MS));
        let of = |item, day: i64, hour: i64| {
            let mut out = [0.0; FEATURES];
            table.describe(ItemId(item), &Clock::at(Millis(day * DAY_MS + hour * HOUR_MS)), &mut out);
            (out[at::BUSY_HOUR], out[at::BUSY_WEEKDAY])
        };
        assert!(of(0, 71, 22).0 > 0.5 && of(0, 71, 10).0 < -0.5, "{:?}", of(0, 71, 22));
        assert!(of(1, 71, 9).0 > 0.5 && of(1, 71, 21).0 < -0.5);
        assert!(of(2, 75, 15).1 > 0.5 && of(2, 72, 15).1 < 0.0, "{:?} {:?}", of(2, 75, 15), of(2, 72, 15));
        assert_eq!(of(3, 71, 22), (0.0, 0.0), "of one where nobody was nothing is said");
    }

    #[test]
    fn the_origin_moves_without_changing_what_is_said() {
        let year = 365 * DAY_MS;
        let mut visitors = Visitors::default();
        for n in 0..30 {
            visitors.learn(ItemId(0), true, Millis(n * year / 2));
            visitors.learn(ItemId(1), n < 15, Millis(n * year / 2));
        }
        let now = Millis(15 * year);
        let table = table(&visitors, 2, now);
        assert!(visitors.items.iter().all(|sums| sums.visits.is_finite() && sums.visits < 1e6));
        let count = |newcomers: &mut dyn Iterator<Item = i64>| {
            newcomers.map(|n| (-((now.0 - n * year / 2) as f64) / HALF_LIFE_MS).exp2()).sum::<f64>() as f32
        };
        let (first, second) = (count(&mut (0..30)), count(&mut (0..15)));
        let expected = ((first + PRIOR) / (second + PRIOR)).ln();
        let found = table.newcomers(ItemId(0)) - table.newcomers(ItemId(1));
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}
