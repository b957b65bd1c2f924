//! First-time visitors and visiting hours of each item, folded over all users: the cold start of a new item.
//!
//! Invariant: sums are finite and non-negative; an item without data gets the catalogue mean. Visits overweight heavy
//! users, since one user can make hundreds, so first visits are predicted from the number of distinct first-time
//! visitors. Source of the hour match: the mean direction of a circular distribution (Mardia & Jupp, *Directional
//! Statistics*, 2000), shrunk to that of the catalogue.
//! Deliberately absent: a user's own hours (`person::visits`, `evidence::hours`).

use serde::{Deserialize, Serialize};

use crate::domain::ids::ItemId;
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::catalogue::block::BLOCK;
use crate::engine::learners::clock::{Clock, PHASES};

/// Half-life of all sums, 90 days: most items are visited seldom, and keep their character.
const HALF_LIFE_MS: f64 = 90.0 * DAY_MS as f64;

/// Half-lives after which the origin moves.
const HALF_LIVES_MAX: f64 = 16.0;

/// Pseudo-count of first-time visitors, so that a new item starts near the mean.
const PRIOR: f32 = 0.5;

/// Prior strength of an item's hours: the catalogue's hours count as this many visits.
const HOURS_PRIOR: f32 = 5.0;

/// Sums of one item, forward-decayed in units of the origin.
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

/// Sums of all items and of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Visitors {
    /// Indexed by item id.
    items: Vec<Sums>,
    all: Sums,
    /// Origin of the forward decay; it moves so that no sum overflows.
    origin: Option<Millis>,
    /// Items to republish. Derived state, so it is not part of a snapshot.
    #[serde(skip)]
    due: Due,
}

/// Items whose numbers are due for publication. From time to time all are due, since all sums decay.
#[derive(Clone, Debug, Default)]
struct Due {
    items: Vec<ItemId>,
    /// Time when all items were last published.
    all: Option<Millis>,
    /// Clock features of the last visit, cached: many visits share their instant, and sines are expensive.
    clock: Option<(Millis, [f32; PHASES])>,
}

impl PartialEq for Due {
    fn eq(&self, _: &Due) -> bool {
        true
    }
}

/// Interval between publications of all items; sums decay by less than 1 % within it.
const ALL_EVERY_MS: i64 = DAY_MS;

/// Numbers per item: the logarithm of first-time visitors, and the difference of the mean direction from the
/// catalogue's.
const NUMBERS: usize = 1 + PHASES;

/// Numbers of a block of items, one column per number, for the scan of a catalogue.
pub(crate) type VisitorsBlock = [[f32; BLOCK]; NUMBERS];

/// Published first-time visitors and hours by item, with defaults for items without data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VisitorsTable {
    /// In blocks like those of the `World`; the last one stands for items without visitors.
    blocks: Vec<VisitorsBlock>,
    /// A copy by item for single lookups: one cache line per item instead of seven.
    rows: Vec<[f32; NUMBERS]>,
    /// Logarithm of the mean number of first-time visitors over the available items.
    level: f32,
}

impl VisitorsTable {
    /// Numbers of a block of items, and the level to subtract from its first column.
    #[must_use]
    pub fn block(&self, index: usize) -> (&VisitorsBlock, f32) {
        const NOTHING: &VisitorsBlock = &[[0.0; BLOCK]; NUMBERS];
        (self.blocks.get(index).or(self.blocks.last()).unwrap_or(NOTHING), self.level)
    }

    fn row(&self, item: ItemId) -> &[f32; NUMBERS] {
        const NOTHING: &[f32; NUMBERS] = &[0.0; NUMBERS];
        self.rows.get(item.0 as usize).or(self.rows.last()).unwrap_or(NOTHING)
    }

    /// Log ratio of an item's first-time visitors to the mean over the available items.
    #[must_use]
    pub(crate) fn newcomers(&self, item: ItemId) -> f32 {
        self.row(item)[0] - self.level
    }

    /// The match of an item's hours of day and of week with the clock ([`Clock::phases`]), over the match of all items.
    #[must_use]
    pub fn busy(&self, item: ItemId, clock: &[f32; PHASES]) -> (f32, f32) {
        let row = self.row(item);
        let product = |from: usize, to: usize| (from..to).fold(0.0, |sum, k| sum + row[1 + k] * clock[k]);
        (product(0, 2), product(2, PHASES))
    }
}

impl Visitors {
    /// Learns a visit; `is_first`: the user's first visit to the item.
    pub fn learn(&mut self, item: ItemId, is_first: bool, at: Millis) {
        let index = item.0 as usize;
        if index >= self.items.len() {
            self.items.resize(index + 1, Sums::default());
        }
        let weight = self.weight(at);
        let phases = match self.due.clock {
            Some((then, phases)) if then == at => phases,
            _ => Clock::at(at).phases(),
        };
        self.due.clock = Some((at, phases));
        for sums in [&mut self.items[index], &mut self.all] {
            sums.newcomers += if is_first { weight } else { 0.0 };
            sums.visits += weight;
            sums.phases.iter_mut().zip(phases).for_each(|(sum, phase)| *sum += weight * phase);
        }
        if self.due.items.len() >= self.items.len() {
            // A fold over a whole journal never refreshes meanwhile: then all items are due.
            self.due = Due::default();
        }
        self.due.items.push(item);
    }

    /// Publishes the numbers of items visited since the last refresh, and the mean level over the `open` items.
    pub fn refresh(&mut self, table: &mut VisitorsTable, open: &[u32], now: Millis) {
        let origin = self.origin.unwrap_or(now);
        let fade = (-(now.since(origin) as f64) / HALF_LIFE_MS).exp2() as f32;
        let newcomers = open.iter().map(|id| self.items.get(*id as usize).map_or(0.0, |sums| sums.newcomers));
        let mean = fade * newcomers.fold(0.0, |a, b| a + b) / open.len().max(1) as f32;
        table.level = (mean + PRIOR).ln();
        let all_are_due = self.due.all.is_none_or(|last| now.since(last) >= ALL_EVERY_MS);
        if all_are_due {
            table.blocks.clear();
            table.rows.clear();
        }
        let nobody: [f32; NUMBERS] = std::array::from_fn(|k| if k == 0 { PRIOR.ln() } else { 0.0 });
        table.blocks.resize(self.items.len().div_ceil(BLOCK) + 1, nobody.map(|number| [number; BLOCK]));
        table.rows.resize(table.blocks.len() * BLOCK, nobody);
        // Mean direction of the catalogue, per visit.
        let everything = self.all.phases.map(|sum| sum / self.all.visits.max(f32::MIN_POSITIVE));
        let mut put = |index: usize, sums: &Sums| {
            let Some((block, row)) = table.blocks.get_mut(index / BLOCK).zip(table.rows.get_mut(index)) else { return };
            row[0] = (fade * sums.newcomers + PRIOR).ln();
            let per_visit = 1.0 / (fade * sums.visits + HOURS_PRIOR);
            for ((number, sum), mean) in row[1..].iter_mut().zip(sums.phases).zip(everything) {
                *number = (fade * sum + HOURS_PRIOR * mean) * per_visit - mean;
            }
            for (numbers, number) in block.iter_mut().zip(row) {
                numbers[index % BLOCK] = *number;
            }
        };
        let due = std::mem::take(&mut self.due.items);
        if all_are_due {
            self.due.all = Some(now);
            let visited = self.items.iter().enumerate().filter(|(_, sums)| sums.visits > 0.0);
            visited.for_each(|(index, sums)| put(index, sums));
            return;
        }
        for item in due {
            put(item.0 as usize, &self.items[item.0 as usize]);
        }
    }

    /// Forward-decay weight of a visit at `at`, in units of the origin.
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

    fn table(visitors: &mut Visitors, items: u32, now: Millis) -> VisitorsTable {
        let mut table = VisitorsTable::default();
        visitors.refresh(&mut table, &(0..items).collect::<Vec<u32>>(), now);
        table
    }

    /// Publishing only the changed items gives nearly the numbers of publishing all items at once.
    #[test]
    fn what_changed_is_published_as_if_all_were() {
        let (mut visitors, mut table) = (Visitors::default(), VisitorsTable::default());
        for n in 0..2_000_i64 {
            visitors.learn(ItemId((n * n % 700) as u32), n % 3 == 0, Millis(n * 1_000));
            if n % 7 == 0 {
                visitors.refresh(&mut table, &(0..700).collect::<Vec<u32>>(), Millis(n * 1_000));
            }
        }
        let now = Millis(2_000_000);
        visitors.refresh(&mut table, &(0..700).collect::<Vec<u32>>(), now);
        let afresh = self::table(&mut Visitors { due: Due::default(), ..visitors.clone() }, 700, now);
        for item in (0..900).map(ItemId) {
            assert!((table.newcomers(item) - afresh.newcomers(item)).abs() < 1e-3, "{item:?}");
            let hours = |table: &VisitorsTable| table.busy(item, &Clock::at(now).phases()).0;
            assert!((hours(&table) - hours(&afresh)).abs() < 0.02, "{item:?}");
        }
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
        let table = table(&mut visitors, 3, Millis(100));
        let mean = 4.0_f32 / 3.0;
        for (item, count) in [(0, 1.0), (1, 3.0), (2, 0.0), (77, 0.0)] {
            let expected = ((count + PRIOR) / (mean + PRIOR)).ln();
            assert!((table.newcomers(ItemId(item)) - expected).abs() < 1e-4, "{item}");
        }
    }

    /// One item is visited in the evening, one in the morning of the days, one only at weekends.
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
        let table = table(&mut visitors, 4, Millis(70 * DAY_MS));
        let of = |item, day: i64, hour: i64| {
            table.busy(ItemId(item), &Clock::at(Millis(day * DAY_MS + hour * HOUR_MS)).phases())
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
        let table = table(&mut visitors, 2, now);
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
