//! Who goes there also goes here, and goes here next: sums over the places of one person.
//!
//! Invariant: amounts are multiples of 2^-21 and their sums stay below 8, so f32 adds them exactly: in whatever order, for
//! a few items or for all, an item's sum has the same bits. Absent on purpose: where the sums are kept (`item_evidence`).

use std::hint::black_box;

use multiversion::multiversion;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::learn::item_neighbours::{GROUP, Group, ItemNeighbours, NEIGHBOURS_MAX};
use crate::engine::learn::repeat::Visits;
use crate::engine::simd::{fold_lanes, ln_each};

/// How many of the places they go to are asked who else goes there.
pub const PROFILE_MAX: usize = 32;

/// The last places that are asked what people do next, and what each further one back counts.
const STEPS_BACK: usize = 3;
const STEP_BACK: f32 = 0.7;

/// Groups of companions of the place where they go most.
const GROUPS_MAX: usize = NEIGHBOURS_MAX / GROUP;

/// Items that are looked for at a time.
pub const SOUGHT: usize = 8;

/// Published lists, each with what it counts, in [0, 1]; the squares of these sum up to 1, or they to less than 3.
pub struct NeighbourLists<'a> {
    lists: [(f32, &'a [Group]); PROFILE_MAX],
    len: usize,
}

impl<'a> NeighbourLists<'a> {
    /// Who else goes where this person goes: cosines, by each place's share of their profile.
    pub fn similar(neighbours: &'a ItemNeighbours, visits: &Visits, now: Millis) -> NeighbourLists<'a> {
        let mut weights = [0.0_f32; PROFILE_MAX];
        let count = visits.weights(now, &mut weights).len();
        // As the coordinator damps them.
        weights.iter_mut().for_each(|weight| *weight += 1.0);
        ln_each(&mut weights);
        let squares: f32 = weights.iter().map(|weight| weight * weight).sum();
        let heaviest = weights.iter().fold(f32::MIN_POSITIVE, |heaviest, weight| heaviest.max(*weight));
        let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
        let mut all = NeighbourLists { lists: [(0.0, &[]); PROFILE_MAX], len: count };
        for ((place, weight), visit) in all.lists.iter_mut().zip(weights).zip(visits.recent()) {
            let groups = neighbours.similar(visit.item);
            // Where they go seldom is asked for its closest companions only: the others would add next to nothing.
            let asked = ((GROUPS_MAX as f32 * weight / heaviest + 0.5) as usize).clamp(1, GROUPS_MAX);
            *place = (weight * scale, &groups[..asked.min(groups.len())]);
        }
        all
    }

    /// Where people go next from the last places of this person: shares of steps.
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

    /// Reads a word of each line of memory: the lists lie all over it, and asked for first they come together and not
    /// one by one. Changes nothing.
    pub fn touch(&self) {
        let words = self
            .lists()
            .iter()
            .flat_map(|(_, groups)| *groups)
            .map(|group| group.ids[0] ^ group.strengths[0].to_bits());
        black_box(words.fold(0, |any, word| any ^ word));
    }

    /// Tells `put` each amount of each item.
    pub fn each(&self, mut put: impl FnMut(ItemId, f32)) {
        for (weight, groups) in self.lists() {
            for (item, strength) in groups.iter().flat_map(Group::iter) {
                put(item, amount_of(*weight, strength));
            }
        }
    }

    /// The sums of these items alone.
    pub fn sums_of(&self, sought: &[u32; SOUGHT]) -> [f32; SOUGHT] {
        add_found(self.lists(), sought)
    }
}

/// A share of a strength, both in [0, 1], rounded to 2^-21: what lies between 4 and 8 has no finer digits.
#[inline(always)]
fn amount_of(weight: f32, strength: f32) -> f32 {
    const ROUNDER: f32 = 6.0;
    (weight * strength + ROUNDER) - ROUNDER
}

/// Lane by lane, without a branch: a list is compared with what is looked for as a whole.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_found(lists: &[(f32, &[Group])], sought: &[u32; SOUGHT]) -> [f32; SOUGHT] {
    let mut sums = [[0.0_f32; GROUP]; SOUGHT];
    for (weight, groups) in lists {
        for Group { ids, strengths } in *groups {
            // Copies, which nothing else can change: a compiler makes vectors of them.
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
        /// What is said of an item by itself is what is said of it among all, bit by bit.
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
