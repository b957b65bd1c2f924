//! Item-to-item co-occurrence and next-item transitions, folded over all users.
//!
//! Invariant: a row keeps at most [`ROW_MAX`] other items. Sums grow only by values that an entry carries, so the fold
//! needs no state of users. Published lists are sorted by strength, then id.
//! Sources: damped co-occurrence and its cosine: Sarwar et al., *Item-based collaborative filtering*, WWW 2001.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::ItemId;
use crate::domain::journal::CoVisited;
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::learners::shared::sparse::{ROW_MAX, SparseRow};
use crate::engine::numeric::kernels::ln_each;

/// Published neighbours per item.
pub(crate) const NEIGHBOURS_MAX: usize = 96;

/// Published next items per item.
pub(crate) const NEXT_MAX: usize = 32;

/// Damping of the cosine, added to both sums of squares: evidence from few users counts little.
const DAMPING: f32 = 2.0;

/// Pseudo-count of transitions from an item.
const STEPS_PRIOR: f32 = 5.0;

/// Half-life of a transition by the time between its two visits.
const STEP_HALF_MS: f32 = DAY_MS as f32;

/// Half-life of all sums.
const HALF_LIFE_MS: f64 = 90.0 * DAY_MS as f64;

/// Logarithms that are computed in parallel.
const ABREAST: usize = 16;

/// Growth factor of an item's sum from which on its published lists are due.
const GROWTH: f32 = 1.25;

/// Co-occurrence and transition sums over all users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CoOccurrence {
    /// By item: `sum over people of ln(1 + n_i) ln(1 + n_j)`.
    together: Vec<SparseRow>,
    /// By item: `sum over users of ln(1 + n_i)^2`.
    squares: Vec<f32>,
    /// By item: transitions to other items.
    next: Vec<SparseRow>,
    /// By item: transitions from it.
    steps: Vec<f32>,
    /// Origin of the forward decay; it moves so that no sum overflows.
    origin: Option<Millis>,
    /// Forward-decay weight of the last event: the factor of constants that are added to sums.
    unit: f32,
    /// By item: sums at the last publication of its lists.
    published: Vec<[f32; 2]>,
    /// Items whose lists are due, in the order of detection.
    due: Vec<ItemId>,
}

/// Items per group of a list; lookups compare a whole group at once.
pub(crate) const GROUP: usize = 32;

/// A group of a list, as columns. The last group is padded with [`Group::NOBODY`] at strength 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct Group {
    /// Item ids, padded with [`Group::NOBODY`].
    pub ids: [u32; GROUP],
    /// Strength of each item, in [0, 1].
    pub(crate) strengths: [f32; GROUP],
}

impl Group {
    /// Marks padding; no item has this id, since ids end below it.
    pub(crate) const NOBODY: u32 = u32::MAX;

    /// Builds a group of the first [`GROUP`] members.
    #[must_use]
    pub fn of(members: impl IntoIterator<Item = (u32, f32)>) -> Group {
        let mut group = Group { ids: [Group::NOBODY; GROUP], strengths: [0.0; GROUP] };
        for ((id, strength), member) in group.ids.iter_mut().zip(&mut group.strengths).zip(members) {
            (*id, *strength) = member;
        }
        group
    }

    /// Items with their strengths, without the padding.
    pub fn iter(&self) -> impl Iterator<Item = (ItemId, f32)> + '_ {
        self.ids.iter().zip(&self.strengths).filter(|(id, _)| **id != Group::NOBODY).map(|(id, s)| (ItemId(*id), *s))
    }
}

/// Published list of one item, strongest first.
pub(crate) type Neighbours = Arc<[Group]>;

/// Published neighbour lists and next-item lists, by item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemNeighbours {
    similar: Vec<Option<Neighbours>>,
    next: Vec<Option<Neighbours>>,
}

impl ItemNeighbours {
    /// Cosine of the damped counts over people, in (0, 1]; strongest first.
    #[must_use]
    pub(crate) fn similar(&self, item: ItemId) -> &[Group] {
        self.similar.get(item.0 as usize).and_then(Option::as_deref).unwrap_or(&[])
    }

    /// Next items by their share of the transitions from this item; strongest first.
    #[must_use]
    pub fn next(&self, item: ItemId) -> &[Group] {
        self.next.get(item.0 as usize).and_then(Option::as_deref).unwrap_or(&[])
    }
}

/// Damped count of a user's visits to one item, as [`CoOccurrence::learn`] sums it.
fn damped(count: f32) -> f32 {
    (1.0 + count).ln()
}

impl CoOccurrence {
    /// Learns a visit to `item` by a person with the decayed number `before` of earlier visits to it. `co_visited` are
    /// the person's other items. `came` is the item of their last visit, and the milliseconds since then.
    pub fn learn(
        &mut self,
        item: ItemId,
        before: f32,
        co_visited: &[CoVisited],
        came: Option<(ItemId, i64)>,
        at: Millis,
    ) {
        let most =
            co_visited.iter().map(|one| one.item).chain(came.map(|(from, _)| from)).max().unwrap_or(item).max(item);
        self.make_room(most);
        let weight = self.weight(at);
        self.unit = weight;
        let (old, new) = (damped(before), damped(before + 1.0));
        let step = weight * (new - old);
        // The rows are scattered in memory. All of them are prefetched first, so that their cache misses overlap.
        for other in co_visited {
            self.together[item.0 as usize].touch(other.item.0);
            self.together[other.item.0 as usize].touch(item.0);
        }
        for co_visited in co_visited.chunks(ABREAST) {
            let mut damped = [1.0; ABREAST];
            for (damped, other) in damped.iter_mut().zip(co_visited) {
                *damped += other.count;
            }
            ln_each(&mut damped);
            for (other, damped) in co_visited.iter().zip(damped).filter(|(other, _)| other.item != item) {
                self.together[item.0 as usize].add(other.item.0, step * damped);
                self.together[other.item.0 as usize].add(item.0, step * damped);
            }
        }
        self.squares[item.0 as usize] += weight * (new * new - old * old);
        self.notice(item);
        if let Some((from, elapsed)) = came.filter(|(from, _)| *from != item) {
            let amount = weight * (-(elapsed.max(0) as f32) / STEP_HALF_MS).exp2();
            self.next[from.0 as usize].add(item.0, amount);
            self.steps[from.0 as usize] += amount;
            self.notice(from);
        }
    }

    /// Rebuilds the lists of at most `limit` items whose sums have grown enough. Returns whether a list changed.
    pub fn refresh(&mut self, table: &mut ItemNeighbours, limit: usize) -> bool {
        let due: Vec<ItemId> = self.due.drain(..limit.min(self.due.len())).collect();
        table.similar.resize(self.together.len(), None);
        table.next.resize(self.together.len(), None);
        let mut all = Vec::with_capacity(2 * ROW_MAX);
        for item in &due {
            let index = item.0 as usize;
            self.published[index] = [self.squares[index], self.steps[index]];
            table.similar[index] = Some(self.similar(index, &mut all));
            table.next[index] = Some(self.following(index, &mut all));
        }
        !due.is_empty()
    }

    /// Whether any published list is due.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Marks all lists as due: after a restart nothing is published.
    pub(crate) fn publish_all(&mut self) {
        self.due = (0..self.together.len() as u32).map(ItemId).collect();
        self.published.iter_mut().for_each(|sums| sums[0] = -1.0);
    }

    fn similar(&self, index: usize, all: &mut Vec<Strength>) -> Neighbours {
        let damping = DAMPING * self.unit.max(1.0);
        let own = self.squares[index] + damping;
        let cosine = |id: u32, sum: f32| {
            let other = self.squares.get(id as usize).copied().unwrap_or_default();
            strength(id, sum / (own * (other + damping)).sqrt())
        };
        self.together[index].map_into(all, cosine);
        strongest(all, NEIGHBOURS_MAX)
    }

    fn following(&self, index: usize, all: &mut Vec<Strength>) -> Neighbours {
        let steps = self.steps[index] + STEPS_PRIOR * self.unit.max(1.0);
        self.next[index].map_into(all, |id, sum| strength(id, sum / steps));
        strongest(all, NEXT_MAX)
    }

    fn make_room(&mut self, item: ItemId) {
        let n = item.0 as usize + 1;
        if self.together.len() < n {
            self.together.resize_with(n, SparseRow::default);
            self.next.resize_with(n, SparseRow::default);
            self.squares.resize(n, 0.0);
            self.steps.resize(n, 0.0);
            self.published.resize(n, [0.0; 2]);
        }
    }

    /// Forward-decay weight of an event at `at`, in units of the origin; the origin moves after eight half-lives.
    fn weight(&mut self, at: Millis) -> f32 {
        let origin = *self.origin.get_or_insert(at);
        let ahead = (at.0 - origin.0) as f64 / HALF_LIFE_MS;
        if ahead <= 8.0 {
            return ahead.exp2() as f32;
        }
        let shrink = (-ahead).exp2() as f32;
        for row in self.together.iter_mut().chain(&mut self.next) {
            row.scale(shrink);
        }
        self.squares.iter_mut().chain(&mut self.steps).for_each(|sum| *sum *= shrink);
        self.published.iter_mut().flatten().for_each(|sum| *sum *= shrink);
        self.origin = Some(at);
        1.0
    }

    fn notice(&mut self, item: ItemId) {
        let index = item.0 as usize;
        let [squares, steps] = self.published[index];
        let grown = |now: f32, then: f32| now > then * GROWTH + 1e-3;
        if (grown(self.squares[index], squares) || grown(self.steps[index], steps)) && squares >= 0.0 {
            // Marked until it is published, so that it is queued once.
            self.published[index][0] = -1.0;
            self.due.push(item);
        }
    }
}

/// A non-negative strength and an item id in one integer: stronger entries are greater, and among equals the lower id
/// is. Sorting integers is several times as fast as sorting pairs.
type Strength = u64;

fn strength(id: u32, strength: f32) -> Strength {
    // Non-negative floats are ordered like their bits.
    u64::from(strength.max(0.0).to_bits()) << 32 | u64::from(!id)
}

/// The `n` strongest entries, sorted; reorders `all`.
fn strongest(all: &mut [Strength], n: usize) -> Neighbours {
    let n = n.min(all.len());
    if n < all.len() {
        all.select_nth_unstable_by(n, |a, b| b.cmp(a));
    }
    let best = &mut all[..n];
    best.sort_unstable_by(|a, b| b.cmp(a));
    let pair = |one: &Strength| (!(*one as u32), f32::from_bits((one >> 32) as u32));
    best.chunks(GROUP).map(|best| Group::of(best.iter().map(pair))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::HOUR_MS;

    fn learned(sessions: &[&[u32]]) -> (CoOccurrence, ItemNeighbours) {
        let mut state = CoOccurrence::default();
        for (n, session) in sessions.iter().enumerate() {
            let mut been: Vec<CoVisited> = Vec::new();
            for (k, item) in session.iter().enumerate() {
                let at = Millis((n * 100 + k) as i64 * HOUR_MS);
                let came = k.checked_sub(1).map(|k| (ItemId(session[k]), HOUR_MS));
                let before = been.iter().find(|one| one.item.0 == *item).map_or(0.0, |one| one.count);
                state.learn(ItemId(*item), before, &been, came, at);
                been.push(CoVisited { item: ItemId(*item), count: 1.0 });
            }
        }
        let mut table = ItemNeighbours::default();
        state.refresh(&mut table, usize::MAX);
        (state, table)
    }

    #[test]
    fn who_goes_here_also_goes_there() {
        let (_, table) = learned(&[&[1, 2], &[1, 2], &[1, 2], &[3, 4], &[1, 4]]);
        let similar = |item: u32| table.similar(ItemId(item)).iter().flat_map(Group::iter);
        let order: Vec<u32> = similar(1).map(|(item, _)| item.0).collect();
        assert_eq!(order, [2, 4]);
        let of = |a: u32, b: u32| similar(a).find(|(item, _)| item.0 == b).map(|(_, s)| s);
        assert!((of(1, 2).unwrap_or(0.0) - of(2, 1).unwrap_or(9.0)).abs() < 1e-5, "it is mutual");
        assert!(similar(1).all(|(_, cosine)| cosine > 0.0 && cosine < 1.0));
        assert!(table.next(ItemId(1))[0].ids[0] == 2 && table.next(ItemId(2)).is_empty());
        assert!(table.similar(ItemId(77)).is_empty());
    }

    #[test]
    fn rows_are_bounded_and_the_strongest_stay() {
        let mut state = CoOccurrence::default();
        for n in 0..2_000 {
            let mut co_visited = vec![CoVisited { item: ItemId(1), count: 5.0 }];
            co_visited.push(CoVisited { item: ItemId(10 + n), count: 1.0 });
            state.learn(ItemId(0), 0.0, &co_visited, None, Millis(i64::from(n)));
        }
        let mut table = ItemNeighbours::default();
        assert!(state.refresh(&mut table, usize::MAX));
        assert_eq!(table.similar(ItemId(0))[0].ids[0], 1);
        assert_eq!(table.similar(ItemId(0)).iter().flat_map(Group::iter).count(), NEIGHBOURS_MAX);
        assert!(state.together.iter().all(|row| row.len() <= ROW_MAX));
    }

    #[test]
    fn long_ago_counts_less_and_the_origin_moves_without_changing_anything() {
        let mut state = CoOccurrence::default();
        let year = 365 * DAY_MS;
        for n in 0..6 {
            let other = CoVisited { item: ItemId(if n < 3 { 1 } else { 2 }), count: 1.0 };
            state.learn(ItemId(0), 0.0, &[other], None, Millis(n * year));
        }
        let mut table = ItemNeighbours::default();
        state.refresh(&mut table, usize::MAX);
        assert_eq!(table.similar(ItemId(0))[0].ids[0], 2);
        assert!(state.squares.iter().all(|sum| sum.is_finite()));
    }
}
