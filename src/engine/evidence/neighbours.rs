//! Item-to-item co-occurrence for one person: sums of published strengths over the places that the person visits.
//!
//! Invariant: amounts are multiples of 2^-21 and their sums stay below 8, so f32 adds them exactly. In any order, for a few items
//! or for all, an item's sum has equal bits. Deliberately absent: the memory of the sums (`item_evidence`).

use std::hint::black_box;

use multiversion::multiversion;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::learners::person::visits::Visits;
use crate::engine::learners::shared::item_neighbours::{GROUP, Group, ItemNeighbours, NEIGHBOURS_MAX};
use crate::engine::numeric::kernels::{fold_lanes, ln_each};

/// Number of the person's places whose neighbours are read, at most.
pub(crate) const PROFILE_MAX: usize = 32;

/// Number of last places whose next items are read, and the factor for each further step back.
const STEPS_BACK: usize = 3;
const STEP_BACK: f32 = 0.7;

/// Groups of neighbours that are read for the place of most visits.
const GROUPS_MAX: usize = NEIGHBOURS_MAX / GROUP;

/// Number of items that one search looks for.
pub(crate) const SOUGHT: usize = 8;

/// Published lists, each with its weight in [0, 1]. Either the squares of the weights sum to 1, or the weights to less than 3.
pub(crate) struct NeighbourLists<'a> {
    lists: [(f32, &'a [Group]); PROFILE_MAX],
    len: usize,
}

impl<'a> NeighbourLists<'a> {
    /// Neighbours of the person's places: cosines, weighted by each place's share of the visits.
    pub(crate) fn similar(neighbours: &'a ItemNeighbours, visits: &Visits, now: Millis) -> NeighbourLists<'a> {
        let mut weights = [0.0_f32; PROFILE_MAX];
        let count = visits.weights(now, &mut weights).len();
        // Counts are damped as in `CoOccurrence::learn`.
        weights.iter_mut().for_each(|weight| *weight += 1.0);
        ln_each(&mut weights);
        let squares: f32 = weights.iter().map(|weight| weight * weight).sum();
        let heaviest = weights.iter().fold(f32::MIN_POSITIVE, |heaviest, weight| heaviest.max(*weight));
        let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
        let mut all = NeighbourLists { lists: [(0.0, &[]); PROFILE_MAX], len: count };
        for ((place, weight), visit) in all.lists.iter_mut().zip(weights).zip(visits.recent()) {
            let groups = neighbours.similar(visit.item);
            // A place of few visits contributes its closest neighbours only: the others would add next to nothing.
            let asked = ((GROUPS_MAX as f32 * weight / heaviest + 0.5) as usize).clamp(1, GROUPS_MAX);
            *place = (weight * scale, &groups[..asked.min(groups.len())]);
        }
        all
    }

    /// Next items from the person's last places: shares of all people's steps.
    pub fn next(neighbours: &'a ItemNeighbours, visits: &Visits) -> NeighbourLists<'a> {
        let mut all = NeighbourLists { lists: [(0.0, &[]); PROFILE_MAX], len: 0 };
        let mut back = 1.0;
        for (place, visit) in all.lists.iter_mut().zip(visits.recent().iter().take(STEPS_BACK)) {
            *place = (back, neighbours.next(visit.item));
            all.len += 1;
            back *= STEP_BACK;
        }
        all
    }

    fn lists(&self) -> &[(f32, &'a [Group])] {
        &self.lists[..self.len]
    }

    /// Reads a word of each cache line, so that lists all over memory are fetched together and not one by one. Changes
    /// nothing.
    pub fn touch(&self) {
        let words = self
            .lists()
            .iter()
            .flat_map(|(_, groups)| *groups)
            .map(|group| group.ids[0] ^ group.strengths[0].to_bits());
        black_box(words.fold(0, |any, word| any ^ word));
    }

    /// Calls `put` with each amount of each item.
    pub fn each(&self, mut put: impl FnMut(ItemId, f32)) {
        for (weight, groups) in self.lists() {
            for (item, strength) in groups.iter().flat_map(Group::iter) {
                put(item, amount_of(*weight, strength));
            }
        }
    }

    /// The sums for these items only.
    pub(crate) fn sums_of(&self, sought: &[u32; SOUGHT]) -> [f32; SOUGHT] {
        add_found(self.lists(), sought)
    }
}

/// A share of a strength, both in [0, 1], rounded to 2^-21: an f32 between 4 and 8 has no finer digits.
#[inline(always)]
fn amount_of(weight: f32, strength: f32) -> f32 {
    const ROUNDER: f32 = 6.0;
    (weight * strength + ROUNDER) - ROUNDER
}

/// Compares whole groups with the wanted items, lane by lane and without a branch.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_found(lists: &[(f32, &[Group])], sought: &[u32; SOUGHT]) -> [f32; SOUGHT] {
    let mut sums = [[0.0_f32; GROUP]; SOUGHT];
    for (weight, groups) in lists {
        for Group { ids, strengths } in *groups {
            // Copies cannot alias, so the compiler vectorises.
            let (ids, mut amounts) = (*ids, *strengths);
            for amount in &mut amounts {
                *amount = amount_of(*weight, *amount);
            }
            for (sums, sought) in sums.iter_mut().zip(sought) {
                for ((sum, id), amount) in sums.iter_mut().zip(&ids).zip(&amounts) {
                    *sum += if *id == *sought { *amount } else { 0.0 };
                }
            }
        }
    }
    let mut folded = [0.0; SOUGHT];
    for (folded, lanes) in folded.iter_mut().zip(&sums) {
        *folded = fold_lanes(lanes);
    }
    folded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The sums of a few items have the bits of the sums over all items.
        #[test]
        fn a_few_sums_are_those_of_all(
            lists in prop::collection::vec(prop::collection::vec((0_u32..60, 0.0_f32..=1.0), 1..80), 0..PROFILE_MAX),
            shares in prop::collection::vec(0.0_f32..1.0, PROFILE_MAX),
        ) {
            let length = shares.iter().map(|share| share * share).sum::<f32>().sqrt();
            let groups = |list: Vec<(u32, f32)>| {
                // An item stands once in a list.
                let list: std::collections::BTreeMap<u32, f32> = list.into_iter().collect();
                let list: Vec<(u32, f32)> = list.into_iter().collect();
                list.chunks(GROUP).map(|part| Group::of(part.iter().copied())).collect::<Vec<Group>>()
            };
            let lists: Vec<Vec<Group>> = lists.into_iter().map(groups).collect();
            let mut all = NeighbourLists { lists: [(0.0, &[]); PROFILE_MAX], len: lists.len() };
            for ((place, share), list) in all.lists.iter_mut().zip(shares).zip(&lists) {
                *place = (share / length, list);
            }
            let mut sums = [0.0_f32; 60];
            all.each(|item, amount| sums[item.0 as usize] += amount);
            for (few, sums) in (0..60).collect::<Vec<u32>>().as_chunks::<SOUGHT>().0.iter().zip(sums.chunks(SOUGHT)) {
                prop_assert_eq!(&all.sums_of(few)[..], sums);
            }
        }
    }
}
