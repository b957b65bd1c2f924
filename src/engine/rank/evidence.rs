//! What a person's past and their friends say of single items: gathered once per ranking, then looked up by item.
//!
//! Invariant: a slot that nobody filled is all zeros. The memory is lent by the thread and given back; what stands in it
//! from before is told by its number, so that no ranking allocates or clears by the size of the catalogue. What is said
//! of one item alone is what is said of it among all, bit by bit: sums are added up in the same order.

use std::cell::Cell;
use std::hint::black_box;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::learn::coaudience::{CompanyTable, NEIGHBOURS_MAX, damped};
use crate::engine::world::{BLOCK, World};

use super::Taste;
use super::rhythm::{Beat, beats};

/// How many of the places they go to are asked who else goes there.
pub const PROFILE_MAX: usize = 32;

/// Companions that are asked for wherever the person goes, however seldom.
const NEIGHBOURS_MIN: usize = 16;

/// The last places that are asked what people do next, and what each further one back counts.
const STEPS_BACK: usize = 3;
const STEP_BACK: f32 = 0.7;

/// A catalogue of so few blocks is cleared as a whole for each ranking: sooner done than asking for each block.
const CLEARED_WHOLE: usize = 16;

/// Entries of a list that come from memory together.
const LINE: usize = 8;

/// Followees that are asked where they are.
const FRIENDS_MAX: usize = 512;

/// Of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slot {
    /// Which gathering filled it: what stands here from an earlier one counts as nothing.
    gathering: u32,
    /// Place among the person's visits, from 1; 0: never there.
    pub visit: u16,
    /// Share of steps that lead there from where the person was.
    pub next: f32,
    /// Friends who were there last, fading.
    pub friends: f32,
    /// What their rhythm says of it.
    pub beat: Beat,
}

/// See the module.
#[derive(Default)]
pub struct Evidence {
    slots: Vec<Slot>,
    /// Cosine-weighted sums over the person's profile, by item; whole blocks of them. Apart from the rest: thousands of
    /// these are written for each ranking, at places all over the catalogue.
    company: Vec<f32>,
    /// By block: the gathering that last cleared it. By block and not by item, so that the sums are added to without a
    /// branch that nobody can predict.
    cleared: Vec<u32>,
    gathering: u32,
    /// Where one item alone was asked for: what is said of it.
    alone: Option<(ItemId, Slot, f32)>,
}

thread_local! {
    static LENT: Cell<Evidence> = Cell::default();
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if self.slots.capacity() > 0 {
            // On a thread that is ending nothing is kept.
            let _ = LENT.try_with(|lent| {
                lent.set(Evidence {
                    slots: std::mem::take(&mut self.slots),
                    company: std::mem::take(&mut self.company),
                    cleared: std::mem::take(&mut self.cleared),
                    gathering: self.gathering,
                    alone: None,
                });
            });
        }
    }
}

impl Evidence {
    /// What this person's visits and followees say at `now`.
    pub fn gather(world: &World, taste: &Taste<'_>, now: Millis) -> Evidence {
        let visits = taste.visits.recent();
        if visits.is_empty() && taste.follows.is_empty() {
            return Evidence::default();
        }
        let mut evidence = LENT.try_with(Cell::take).unwrap_or_default();
        evidence.gathering = evidence.gathering.wrapping_add(1);
        if evidence.gathering == 0 {
            // After four billion gatherings the numbers begin again.
            evidence.slots.fill(Slot::default());
            evidence.cleared.fill(0);
            evidence.gathering = 1;
        }
        if evidence.slots.len() < world.len() as usize {
            evidence.slots.resize(world.len() as usize, Slot::default());
            let blocks = (world.len() as usize).div_ceil(BLOCK);
            evidence.company.resize(blocks * BLOCK, 0.0);
            evidence.cleared.resize(blocks, 0);
        }
        let company = world.company();
        let mut next = [&[][..]; STEPS_BACK];
        for (next, visit) in next.iter_mut().zip(visits) {
            *next = company.next(visit.item);
        }
        evidence.add_company(company, profile(taste, now), &next);
        let mut back = 1.0;
        for next in next {
            for (item, share) in next {
                evidence.fill(*item, |slot| slot.next += back * share);
            }
            back *= STEP_BACK;
        }
        for (place, visit) in visits.iter().enumerate() {
            evidence.fill(visit.item, |slot| slot.visit = place as u16 + 1);
        }
        beats(taste.history, here(taste), now, |item, beat| {
            evidence.fill(item, |slot| slot.beat.add(beat));
        });
        for friend in taste.follows.iter().take(FRIENDS_MAX) {
            if let Some((item, amount)) = world.lately().of(*friend, now) {
                evidence.fill(item, |slot| slot.friends += amount);
            }
        }
        evidence
    }

    /// The same of one item alone, without writing down what is said of the others.
    pub fn about(item: ItemId, world: &World, taste: &Taste<'_>, now: Millis) -> Evidence {
        let visits = taste.visits.recent();
        if visits.is_empty() && taste.follows.is_empty() {
            return Evidence::default();
        }
        let share_in = |list: &[(ItemId, f32)]| list.iter().find(|(other, _)| *other == item).map(|(_, share)| *share);
        let (company, mut slot, mut sum) = (world.company(), Slot::default(), 0.0);
        for (visit, weight, asked) in profile(taste, now) {
            let similar = company.similar(visit);
            if let Some(similarity) = share_in(&similar[..asked.min(similar.len())]) {
                sum += weight * similarity;
            }
        }
        let mut back = 1.0;
        for visit in visits.iter().take(STEPS_BACK) {
            if let Some(share) = share_in(company.next(visit.item)) {
                slot.next += back * share;
            }
            back *= STEP_BACK;
        }
        if let Some(place) = visits.iter().position(|visit| visit.item == item) {
            slot.visit = place as u16 + 1;
        }
        beats(taste.history, here(taste), now, |other, beat| {
            if other == item {
                slot.beat.add(beat);
            }
        });
        for friend in taste.follows.iter().take(FRIENDS_MAX) {
            if let Some((_, amount)) = world.lately().of(*friend, now).filter(|(other, _)| *other == item) {
                slot.friends += amount;
            }
        }
        let mut evidence = Evidence::default();
        evidence.alone = Some((item, slot, sum));
        evidence
    }

    /// What is known of an item.
    pub fn of(&self, item: ItemId) -> Slot {
        match self.slots.get(item.0 as usize) {
            Some(slot) if slot.gathering == self.gathering => *slot,
            _ => self.alone.filter(|(only, ..)| *only == item).map_or(Slot::default(), |(_, slot, _)| slot),
        }
    }

    /// Cosine-weighted sum over the person's profile, in [0, 1].
    pub fn company(&self, item: ItemId) -> f32 {
        let block = item.0 as usize / BLOCK;
        match self.cleared.get(block) {
            Some(cleared) if *cleared == self.gathering => self.company[item.0 as usize],
            _ => self.alone.filter(|(only, ..)| *only == item).map_or(0.0, |(.., company)| company),
        }
    }

    /// Sums up who goes where else. `next` is what will be asked for after.
    fn add_company(
        &mut self,
        company: &CompanyTable,
        profile: impl Iterator<Item = (ItemId, f32, usize)>,
        next: &[&[(ItemId, f32)]],
    ) {
        let mut asked = [(0.0, &[][..]); PROFILE_MAX];
        let mut lists = 0;
        for (place, (visit, weight, most)) in asked.iter_mut().zip(profile) {
            let similar = company.similar(visit);
            *place = (weight, &similar[..most.min(similar.len())]);
            lists += 1;
        }
        let lists = &asked[..lists];
        // The lists lie all over the memory: asking for all of them first, they come together and not one by one.
        let all = lists.iter().map(|(_, list)| *list).chain(next.iter().copied());
        black_box(all.flat_map(|list| list.iter().step_by(LINE)).fold(0, |any, (item, _)| any ^ item.0));
        let blocks = self.cleared.len();
        if blocks <= CLEARED_WHOLE {
            self.company.fill(0.0);
            self.cleared.fill(self.gathering);
            for (weight, list) in lists {
                for (item, similarity) in *list {
                    // Items that this world does not have yet are of no use to it.
                    if let Some(sum) = self.company.get_mut(item.0 as usize) {
                        *sum += weight * similarity;
                    }
                }
            }
            return;
        }
        for (weight, list) in lists {
            for (item, similarity) in *list {
                let block = item.0 as usize / BLOCK;
                let Some(cleared) = self.cleared.get_mut(block) else { continue };
                if *cleared != self.gathering {
                    *cleared = self.gathering;
                    self.company[block * BLOCK..(block + 1) * BLOCK].fill(0.0);
                }
                self.company[item.0 as usize] += weight * similarity;
            }
        }
    }

    #[inline]
    fn fill(&mut self, item: ItemId, change: impl FnOnce(&mut Slot)) {
        // Items that this world does not have yet are of no use to it.
        if let Some(slot) = self.slots.get_mut(item.0 as usize) {
            if slot.gathering != self.gathering {
                *slot = Slot { gathering: self.gathering, ..Slot::default() };
            }
            change(slot);
        }
    }
}

/// Where the person was last, and when.
fn here(taste: &Taste<'_>) -> Option<(ItemId, Millis)> {
    taste.visits.recent().first().map(|visit| (visit.item, visit.last))
}

/// The places that are asked who else goes there: each with its share of the person's profile, and how many of its
/// companions count.
fn profile<'a>(taste: &'a Taste<'_>, now: Millis) -> impl Iterator<Item = (ItemId, f32, usize)> + 'a {
    let visits = taste.visits.recent();
    let mut profile = [0.0_f32; PROFILE_MAX];
    let (mut squares, mut heaviest) = (0.0, f32::MIN_POSITIVE);
    for (weight, visit) in profile.iter_mut().zip(visits) {
        *weight = damped(visit.weight(now));
        squares += *weight * *weight;
        heaviest = f32::max(heaviest, *weight);
    }
    let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
    profile.into_iter().zip(visits).map(move |(weight, visit)| {
        // Where they go seldom is asked for its closest companions only: the others would add next to nothing.
        let asked = ((NEIGHBOURS_MAX as f32 * weight / heaviest) as usize).max(NEIGHBOURS_MIN);
        (visit.item, weight * scale, asked)
    })
}

/// For a scan of whole blocks.
impl Evidence {
    /// What [`Evidence::company`] says of the items of a block; `None`: nothing of any.
    pub fn company_of_block(&self, block: usize) -> Option<&[f32]> {
        let is_there = *self.cleared.get(block)? == self.gathering;
        is_there.then(|| self.company.get(block * BLOCK..(block + 1) * BLOCK))?
    }

    /// Marks the items of a block whose slot somebody filled.
    pub fn mark_filled(&self, block: usize, marks: &mut [bool; BLOCK]) {
        for (mark, slot) in marks.iter_mut().zip(self.slots.iter().skip(block * BLOCK)) {
            *mark |= slot.gathering == self.gathering;
        }
    }
}
