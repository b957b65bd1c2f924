//! Visit history of a user, for repeat consumption: which items, how often and when.
//!
//! Invariant: at most [`Visits::COUNT_MAX`] items are kept, the most recently visited first; a full history drops the
//! item with the lowest 28-day weight. Counts decay exactly, independent of when they are read.
//! Deliberately absent: availability (ranking has it), weights (the blend has them).

use std::hint::black_box;

use serde::{Deserialize, Serialize};

use crate::domain::ids::ItemId;
use crate::domain::time::{HOUR_MS, Millis};
use crate::engine::learners::clock::{Clock, HALF_LIVES_MS, phases};
use crate::engine::numeric::kernels::{exp_each, ln_each};

/// Memory of the mean gap between visits: each new gap keeps this share of the older ones.
const GAP_KEEP: f32 = 0.8;

/// Number of half-lives in a [`Habit`]; the longest half-life is in [`Visit`].
const SHORTER: usize = HALF_LIVES_MS.len() - 1;

/// Numbers that [`Visits::describe`] gives of one visit: a logarithm per half-life; then recency rank, time since, gap, hour of
/// day, hour of week, and whether the visit was in this opening.
pub(crate) const VISIT_FEATURES: usize = HALF_LIVES_MS.len() + 6;

/// One visited item of a user, with the numbers that each ranking reads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// The visited item.
    pub item: ItemId,
    /// Decayed count with a half-life of 28 days, as of `last`.
    count: f32,
    /// Time of the last visit.
    pub last: Millis,
}

/// The cold part of a visited item, which is read only for candidates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Habit {
    /// Decayed counts as of the last visit, by half-life.
    counts: [f32; SHORTER],
    /// Decayed sum of gaps in hours, and their decayed number.
    gaps: [f32; 2],
    /// Decayed sum of unit vectors (cos, sin) of the hour of day and the hour of week.
    hours: [f32; 4],
}

impl Visit {
    /// Decayed count with a half-life of 28 days, at `now`.
    #[must_use]
    pub fn weight(&self, now: Millis) -> f32 {
        self.count * fade(now.since(self.last), HALF_LIVES_MS[SHORTER])
    }
}

impl Habit {
    fn first(at: Millis) -> Habit {
        Habit { counts: [1.0; SHORTER], gaps: [0.0; 2], hours: phases(at) }
    }

    /// Learns one more visit, `elapsed` milliseconds after the last one.
    fn again(&mut self, elapsed: i64, at: Millis) {
        for (count, half_life) in self.counts.iter_mut().zip(HALF_LIVES_MS) {
            *count = *count * fade(elapsed, half_life) + 1.0;
        }
        self.gaps = [self.gaps[0] * GAP_KEEP + hours(elapsed), self.gaps[1] * GAP_KEEP + 1.0];
        let kept = fade(elapsed, HALF_LIVES_MS[SHORTER]);
        for (sum, phase) in self.hours.iter_mut().zip(phases(at)) {
            *sum = *sum * kept + phase;
        }
    }
}

fn fade(elapsed: i64, half_life: i64) -> f32 {
    (-(elapsed.max(0) as f32) / half_life as f32).exp2()
}

fn hours(elapsed: i64) -> f32 {
    elapsed as f32 / HOUR_MS as f32
}

/// Visit history of one user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Visits {
    /// Most recent first.
    visits: Vec<Visit>,
    /// For each visit, the index of its habit.
    places: Vec<u8>,
    /// Habits keep their places when their visits move.
    habits: Vec<Habit>,
    /// Decayed per visit: the number of visits to new items, and of all visits.
    explored: [f32; 2],
}

impl Visits {
    /// Maximum number of items per user.
    pub(crate) const COUNT_MAX: usize = 128;

    /// Records a visit.
    pub fn learn(&mut self, item: ItemId, at: Millis) {
        let known = self.visits.iter().position(|visit| visit.item == item);
        self.explored = [self.explored[0] * 0.98 + f32::from(u8::from(known.is_none())), self.explored[1] * 0.98 + 1.0];
        match known {
            Some(rank) => {
                let mut visit = self.visits[rank];
                // A late event counts as one at the last visit.
                let elapsed = at.since(visit.last).max(0);
                self.habits[usize::from(self.places[rank])].again(elapsed, at);
                visit.count = visit.count * fade(elapsed, HALF_LIVES_MS[SHORTER]) + 1.0;
                visit.last = visit.last.max(at);
                self.put_first(rank, visit);
            }
            None => {
                let visit = Visit { item, count: 1.0, last: at };
                if self.visits.len() == Self::COUNT_MAX {
                    let weight = |visit: &Visit| visit.weight(at);
                    let lightest = (0..self.visits.len())
                        .min_by(|a, b| weight(&self.visits[*a]).total_cmp(&weight(&self.visits[*b])));
                    let lightest = lightest.unwrap_or(Self::COUNT_MAX - 1);
                    self.habits[usize::from(self.places[lightest])] = Habit::first(at);
                    self.put_first(lightest, visit);
                    return;
                }
                let n = self.visits.len();
                if n == self.visits.capacity() {
                    let more = n.max(4).min(Self::COUNT_MAX - n);
                    self.visits.reserve_exact(more);
                    self.places.reserve_exact(more);
                    self.habits.reserve_exact(more);
                }
                self.visits.push(visit);
                // The index is below 128.
                self.places.push(n as u8);
                self.habits.push(Habit::first(at));
                self.put_first(n, visit);
            }
        }
    }

    /// Moves `visit` to the front; the entry at `rank` is overwritten. Users mostly return to recent items, so little
    /// is moved.
    fn put_first(&mut self, rank: usize, visit: Visit) {
        self.visits.copy_within(..rank, 1);
        self.visits[0] = visit;
        let place = self.places[rank];
        self.places.copy_within(..rank, 1);
        self.places[0] = place;
    }

    /// Writes the features of repeat consumption at `now` into `out`, for the visit at index `rank` of
    /// [`Visits::recent`]. `opened` is the start of the item's open window, if it has windows.
    pub fn describe(
        &self,
        rank: usize,
        now: Millis,
        opened: Option<Millis>,
        clock: &Clock,
        out: &mut [f32; VISIT_FEATURES],
    ) {
        let (visit, habit) = (&self.visits[rank], &self.habits[usize::from(self.places[rank])]);
        let elapsed = now.since(visit.last).max(0);
        let since = hours(elapsed);
        // Logarithms and powers are expensive, so they are computed in one vectorised call.
        let mut fades = HALF_LIVES_MS.map(|half_life| -std::f32::consts::LN_2 * elapsed as f32 / half_life as f32);
        exp_each(&mut fades);
        let [a, b, c, d] = habit.counts;
        let mut logs = [1.0; HALF_LIVES_MS.len() + 2];
        for ((log, count), fade) in logs.iter_mut().zip([a, b, c, d, visit.count]).zip(fades) {
            *log = count * fade + 0.02;
        }
        let usual = if habit.gaps[1] > 0.0 { habit.gaps[0] / habit.gaps[1] } else { since };
        logs[SHORTER + 1] = 1.0 + 6.0 * since;
        logs[SHORTER + 2] = (since + 0.2) / (usual + 0.2);
        ln_each(&mut logs);
        for (out, log) in out.iter_mut().zip(&logs[..=SHORTER]) {
            *out = 0.5 * log;
        }
        out[HALF_LIVES_MS.len()] = 1.0 / (1.0 + rank as f32);
        out[HALF_LIVES_MS.len() + 1] = 0.3 * logs[SHORTER + 1];
        out[HALF_LIVES_MS.len() + 2] = logs[SHORTER + 2].clamp(-3.0, 3.0);
        let n = visit.count.max(1.0);
        let match_of = |sum: &[f32], phase: &[f32]| (sum[0] * phase[0] + sum[1] * phase[1]) / (n + 1.0);
        out[HALF_LIVES_MS.len() + 3] = match_of(&habit.hours[..2], &clock.phases[..2]);
        out[HALF_LIVES_MS.len() + 4] = match_of(&habit.hours[2..], &clock.phases[2..]);
        out[HALF_LIVES_MS.len() + 5] = f32::from(u8::from(opened.is_some_and(|opened| visit.last >= opened)));
    }

    /// Prefetches the habit that [`Visits::describe`] will read. Changes nothing.
    pub fn touch(&self, rank: usize) {
        let habit = self.places.get(rank).and_then(|place| self.habits.get(usize::from(*place)));
        black_box(habit.map(|habit| habit.gaps[0]));
    }

    /// Visits, the most recent first.
    #[must_use]
    pub fn recent(&self) -> &[Visit] {
        &self.visits
    }

    /// Computes [`Visit::weight`] of the most recent visits, as many as exist and fit into `out`.
    pub fn weights<'a>(&self, now: Millis, out: &'a mut [f32]) -> &'a [f32] {
        let n = self.visits.len().min(out.len());
        let (weights, visits) = (&mut out[..n], &self.visits[..n]);
        for (weight, visit) in weights.iter_mut().zip(visits) {
            *weight = now.since(visit.last).max(0) as f32 * (-std::f32::consts::LN_2 / HALF_LIVES_MS[SHORTER] as f32);
        }
        exp_each(weights);
        for (weight, visit) in weights.iter_mut().zip(visits) {
            *weight *= visit.count;
        }
        weights
    }

    /// Decayed 28-day count of visits to an item; 0 if the history does not contain it.
    #[must_use]
    pub(crate) fn weight_of(&self, item: ItemId, now: Millis) -> f32 {
        self.visits.iter().find(|visit| visit.item == item).map_or(0.0, |visit| visit.weight(now))
    }

    /// Log-odds that the next visit goes to a new item, over about the last fifty visits.
    #[must_use]
    pub(crate) fn novelty(&self) -> f32 {
        let [new, all] = self.explored;
        ((new + 1.0) / (all - new + 1.0)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::DAY_MS;
    use proptest::prelude::*;

    proptest! {
        /// Memory is bounded, no item occurs twice, and the most recent is first.
        #[test]
        fn at_most_so_many_and_the_last_first(items in proptest::collection::vec(0..400_u32, 1..600)) {
            let mut visits = Visits::default();
            for (n, item) in items.iter().enumerate() {
                visits.learn(ItemId(*item), Millis(n as i64 * HOUR_MS));
                prop_assert_eq!(visits.recent()[0].item, ItemId(*item));
                prop_assert!(visits.recent().len() <= Visits::COUNT_MAX);
            }
            let mut kept: Vec<u32> = visits.recent().iter().map(|visit| visit.item.0).collect();
            kept.sort_unstable();
            kept.dedup();
            prop_assert_eq!(kept.len(), visits.recent().len());
            prop_assert!(visits.recent().is_sorted_by(|a, b| a.last >= b.last));
        }
    }

    #[test]
    fn counts_halve_and_habits_show() {
        let mut visits = Visits::default();
        for day in 0..10 {
            visits.learn(ItemId(1), Millis(day * DAY_MS + 20 * HOUR_MS));
        }
        let describe = |now: Millis| {
            let mut out = [0.0; VISIT_FEATURES];
            visits.describe(0, now, Some(Millis(9 * DAY_MS)), &Clock::at(now), &mut out);
            out
        };
        let (same_hour, other_hour) =
            (describe(Millis(10 * DAY_MS + 20 * HOUR_MS)), describe(Millis(10 * DAY_MS + 8 * HOUR_MS)));
        assert!(same_hour[8] > 0.7 && other_hour[8] < -0.7);
        assert!(same_hour[7].abs() < 0.05, "a day is the usual gap: {}", same_hour[7]);
        assert_eq!(same_hour[10], 1.0);
        // One visit, a half-life later, counts one half.
        let once = Visit { item: ItemId(2), count: 1.0, last: Millis(0) };
        assert!((once.weight(Millis(HALF_LIVES_MS[4])) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_lightest_makes_room() {
        let mut visits = Visits::default();
        visits.learn(ItemId(9_999), Millis(0));
        for n in 0..i64::try_from(Visits::COUNT_MAX).unwrap_or(0) {
            visits.learn(ItemId(1), Millis(HOUR_MS * (2 * n + 1)));
            visits.learn(ItemId(100 + n as u32), Millis(HOUR_MS * (2 * n + 2)));
        }
        assert!(visits.weight_of(ItemId(9_999), Millis(300 * HOUR_MS)) == 0.0);
        assert!(visits.weight_of(ItemId(1), Millis(300 * HOUR_MS)) > 50.0);
    }
}
