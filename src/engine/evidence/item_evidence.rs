//! Evidence about single items from a person's history and friends, collected once per ranking and looked up by item.
//!
//! Invariant: an unfilled slot is all zeros. Buffers are thread-local and reused; a generation counter marks stale slots, so
//! ranking never allocates or clears O(catalogue) memory. Sums are added in one order, so the evidence about an item has equal
//! bits whether it is collected alone or for all items.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::catalogue::block::BLOCK;

use super::feature_store::FeatureStore;
use super::hours::{HourAffinity, hour_affinities};
use super::neighbours::{NeighbourLists, SOUGHT};
use super::user_profile::UserProfile;

/// Largest number of blocks of a catalogue that is cleared as a whole per ranking, which is faster than checking each
/// block.
const CLEARED_WHOLE: usize = 16;

/// Largest number of items whose evidence is searched for directly, without storing evidence about all others.
pub(crate) const FEW_MAX: usize = 2 * SOUGHT;

/// Number of followed people whose last places are read, at most.
const FRIENDS_MAX: usize = 512;

/// The evidence about one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Slot {
    /// The generation that filled the slot; a slot of an earlier one counts as zeros.
    generation: u32,
    /// Rank among the person's visits, from 1; 0: no visit.
    pub visit: u16,
    /// Share of steps that lead to the item from the person's last places.
    pub next: f32,
    /// Decayed number of friends whose last place is the item.
    pub friends: f32,
    /// Sums of the person's hour affinities for the item.
    pub hours: HourAffinity,
}

/// Evidence about all items, or about a few.
#[derive(Default)]
pub(crate) struct ItemEvidence {
    slots: Vec<Slot>,
    /// Cosine-weighted sums over the person's places, by item, in whole blocks. They lie apart from the slots: each ranking
    /// writes thousands of them all over the catalogue.
    co_audience: Vec<f32>,
    /// By block: the generation that last cleared it. Per block and not per item, so that adding to a sum needs no
    /// unpredictable branch.
    cleared: Vec<u32>,
    generation: u32,
    /// The evidence about a few items, where only these were requested.
    few: Few,
}

/// The evidence about a few items.
#[derive(Debug, Default)]
struct Few {
    ids: [u32; FEW_MAX],
    slots: [Slot; FEW_MAX],
    co_audience: [f32; FEW_MAX],
    len: usize,
    /// The place of the last look-up: most often the next one is there or right behind.
    last: AtomicUsize,
}

impl Few {
    fn place(&self, item: ItemId) -> Option<usize> {
        let (ids, last) = (&self.ids[..self.len], self.last.load(Ordering::Relaxed));
        let likely = [last, last + 1].into_iter().find(|place| ids.get(*place) == Some(&item.0));
        let place = likely.or_else(|| ids.iter().position(|id| *id == item.0))?;
        self.last.store(place, Ordering::Relaxed);
        Some(place)
    }
}

thread_local! {
    static LENT: Cell<ItemEvidence> = Cell::default();
}

impl Drop for ItemEvidence {
    fn drop(&mut self) {
        if self.slots.capacity() > 0 {
            // A thread that is ending keeps nothing.
            let _ = LENT.try_with(|lent| {
                lent.set(ItemEvidence {
                    slots: std::mem::take(&mut self.slots),
                    co_audience: std::mem::take(&mut self.co_audience),
                    cleared: std::mem::take(&mut self.cleared),
                    generation: self.generation,
                    few: Few::default(),
                });
            });
        }
    }
}

impl ItemEvidence {
    /// Collects evidence about all items from the person's visits and friends at `now`.
    pub fn gather(store: &FeatureStore, profile: &UserProfile<'_>, now: Millis) -> ItemEvidence {
        let visits = profile.visits.recent();
        if visits.is_empty() && profile.follows.is_empty() {
            return ItemEvidence::default();
        }
        let mut evidence = LENT.try_with(Cell::take).unwrap_or_default();
        evidence.generation = evidence.generation.wrapping_add(1);
        if evidence.generation == 0 {
            // The counter has wrapped around, so stale slots could look current.
            evidence.slots.fill(Slot::default());
            evidence.cleared.fill(0);
            evidence.generation = 1;
        }
        if evidence.slots.len() < store.items_len() as usize {
            evidence.slots.resize(store.items_len() as usize, Slot::default());
            let blocks = (store.items_len() as usize).div_ceil(BLOCK);
            evidence.co_audience.resize(blocks * BLOCK, 0.0);
            evidence.cleared.resize(blocks, 0);
        }
        let neighbours = store.neighbours();
        let (similar, next) = (
            NeighbourLists::similar(neighbours, profile.visits, now),
            NeighbourLists::next(neighbours, profile.visits),
        );
        similar.touch();
        next.touch();
        evidence.add_co_audience(&similar);
        next.each(|item, amount| evidence.fill(item, |slot| slot.next += amount));
        for (place, visit) in visits.iter().enumerate() {
            evidence.fill(visit.item, |slot| slot.visit = place as u16 + 1);
        }
        hour_affinities(
            profile.history,
            here(profile),
            now,
            |_| true,
            |item, affinity| {
                evidence.fill(item, |slot| slot.hours.add(affinity));
            },
        );
        for friend in profile.follows.iter().take(FRIENDS_MAX) {
            if let Some((item, amount)) = store.last_seen().of(*friend, now) {
                evidence.fill(item, |slot| slot.friends += amount);
            }
        }
        evidence
    }

    /// Collects evidence about these items only.
    pub fn of_these(items: &[ItemId], store: &FeatureStore, profile: &UserProfile<'_>, now: Millis) -> ItemEvidence {
        let visits = profile.visits.recent();
        if visits.is_empty() && profile.follows.is_empty() {
            return ItemEvidence::default();
        }
        if items.len() > FEW_MAX {
            return ItemEvidence::gather(store, profile, now);
        }
        let neighbours = store.neighbours();
        let (similar, next) = (
            NeighbourLists::similar(neighbours, profile.visits, now),
            NeighbourLists::next(neighbours, profile.visits),
        );
        let mut few = Few { len: items.len(), ..Few::default() };
        // A filter by id modulo 256 rules out nearly all other items of the history.
        let mut may_be = [false; 256];
        for (id, item) in few.ids.iter_mut().zip(items) {
            *id = item.0;
            may_be[item.0 as usize % 256] = true;
        }
        let may_be = |item: ItemId| may_be[item.0 as usize % 256];
        for at in (0..items.len()).step_by(SOUGHT) {
            let mut sought = [0; SOUGHT];
            sought.copy_from_slice(&few.ids[at..at + SOUGHT]);
            few.co_audience[at..at + SOUGHT].copy_from_slice(&similar.sums_of(&sought));
            for (slot, sum) in few.slots[at..].iter_mut().zip(next.sums_of(&sought)) {
                slot.next = sum;
            }
        }
        for (rank, visit) in visits.iter().enumerate().filter(|(_, visit)| may_be(visit.item)) {
            if let Some(place) = few.place(visit.item) {
                few.slots[place].visit = rank as u16 + 1;
                profile.visits.touch(rank);
            }
        }
        hour_affinities(profile.history, here(profile), now, may_be, |item, affinity| {
            if let Some(place) = few.place(item) {
                few.slots[place].hours.add(affinity);
            }
        });
        for friend in profile.follows.iter().take(FRIENDS_MAX) {
            if let Some((item, amount)) = store.last_seen().of(*friend, now)
                && let Some(place) = few.place(item)
            {
                few.slots[place].friends += amount;
            }
        }
        let mut evidence = ItemEvidence::default();
        evidence.few = few;
        evidence
    }

    /// The evidence about an item, apart from its co-audience.
    pub fn of(&self, item: ItemId) -> Slot {
        match self.slots.get(item.0 as usize) {
            Some(slot) if slot.generation == self.generation => *slot,
            _ => self.few.place(item).map_or(Slot::default(), |place| self.few.slots[place]),
        }
    }

    /// Cosine-weighted sum over the person's places, in [0, 1].
    pub(crate) fn co_audience(&self, item: ItemId) -> f32 {
        let block = item.0 as usize / BLOCK;
        match self.cleared.get(block) {
            Some(cleared) if *cleared == self.generation => self.co_audience[item.0 as usize],
            _ => self.few.place(item).map_or(0.0, |place| self.few.co_audience[place]),
        }
    }

    fn add_co_audience(&mut self, similar: &NeighbourLists<'_>) {
        let blocks = self.cleared.len();
        if blocks <= CLEARED_WHOLE {
            self.co_audience.fill(0.0);
            self.cleared.fill(self.generation);
            similar.each(|item, amount| {
                // Lists may name items that this world does not have yet.
                if let Some(sum) = self.co_audience.get_mut(item.0 as usize) {
                    *sum += amount;
                }
            });
            return;
        }
        similar.each(|item, amount| {
            let block = item.0 as usize / BLOCK;
            let Some(cleared) = self.cleared.get_mut(block) else { return };
            if *cleared != self.generation {
                *cleared = self.generation;
                self.co_audience[block * BLOCK..(block + 1) * BLOCK].fill(0.0);
            }
            self.co_audience[item.0 as usize] += amount;
        });
    }

    #[inline]
    fn fill(&mut self, item: ItemId, change: impl FnOnce(&mut Slot)) {
        // Lists may name items that this world does not have yet.
        if let Some(slot) = self.slots.get_mut(item.0 as usize) {
            if slot.generation != self.generation {
                *slot = Slot { generation: self.generation, ..Slot::default() };
            }
            change(slot);
        }
    }
}

/// The person's last place, and the instant of that visit.
fn here(profile: &UserProfile<'_>) -> Option<(ItemId, Millis)> {
    profile.visits.recent().first().map(|visit| (visit.item, visit.last))
}

/// Access by whole blocks, for the scan.
impl ItemEvidence {
    /// [`ItemEvidence::co_audience`] of all items of a block; `None` if all are 0.
    pub(crate) fn co_audience_of_block(&self, block: usize) -> Option<&[f32]> {
        let is_there = *self.cleared.get(block)? == self.generation;
        is_there.then(|| self.co_audience.get(block * BLOCK..(block + 1) * BLOCK))?
    }

    /// Marks the items of a block whose slots are filled.
    pub(crate) fn mark_filled(&self, block: usize, marks: &mut [bool; BLOCK]) {
        for (mark, slot) in marks.iter_mut().zip(self.slots.iter().skip(block * BLOCK)) {
            *mark |= slot.generation == self.generation;
        }
    }
}
