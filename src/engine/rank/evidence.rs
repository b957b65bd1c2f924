//! What a person's past and their friends say of single items: gathered once per ranking, then looked up by item.
//!
//! Invariant: a slot that nobody filled is all zeros. The memory is lent by the thread and comes back clean, so that no
//! ranking allocates by the size of the catalogue.

use std::cell::Cell;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::learn::coaudience::damped;
use crate::engine::world::World;

use super::Taste;

/// How many of the places they go to are asked who else goes there.
pub const PROFILE_MAX: usize = 48;

/// The last places that are asked what people do next, and what each further one back counts.
const STEPS_BACK: usize = 3;
const STEP_BACK: f32 = 0.7;

/// Followees that are asked where they are.
const FRIENDS_MAX: usize = 512;

/// Of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slot {
    /// Place among the person's visits, from 1; 0: never there.
    pub visit: u16,
    /// Cosine-weighted sum over the person's profile, in [0, 1].
    pub company: f32,
    /// Share of steps that lead there from where the person was.
    pub next: f32,
    /// Friends who were there last, fading.
    pub friends: f32,
}

/// See the module.
#[derive(Default)]
pub struct Evidence {
    slots: Vec<Slot>,
    touched: Vec<u32>,
}

thread_local! {
    static LENT: Cell<Evidence> = Cell::default();
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if self.slots.capacity() == 0 {
            return;
        }
        for id in self.touched.drain(..) {
            self.slots[id as usize] = Slot::default();
        }
        let (slots, touched) = (std::mem::take(&mut self.slots), std::mem::take(&mut self.touched));
        // On a thread that is ending nothing is kept.
        let _ = LENT.try_with(|lent| lent.set(Evidence { slots, touched }));
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
        if evidence.slots.len() < world.len() as usize {
            evidence.slots.resize(world.len() as usize, Slot::default());
        }
        let company = world.company();
        let mut squares = 0.0;
        for visit in visits.iter().take(PROFILE_MAX) {
            let weight = damped(visit.weight(now));
            squares += weight * weight;
        }
        let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
        for visit in visits.iter().take(PROFILE_MAX) {
            let weight = damped(visit.weight(now)) * scale;
            for (item, similarity) in company.similar(visit.item) {
                evidence.fill(*item, |slot| slot.company += weight * similarity);
            }
        }
        let mut back = 1.0;
        for visit in visits.iter().take(STEPS_BACK) {
            for (item, share) in company.next(visit.item) {
                evidence.fill(*item, |slot| slot.next += back * share);
            }
            back *= STEP_BACK;
        }
        for (place, visit) in visits.iter().enumerate() {
            evidence.fill(visit.item, |slot| slot.visit = place as u16 + 1);
        }
        for friend in taste.follows.iter().take(FRIENDS_MAX) {
            if let Some((item, amount)) = world.lately().of(*friend, now) {
                evidence.fill(item, |slot| slot.friends += amount);
            }
        }
        evidence
    }

    /// What is known of an item.
    pub fn of(&self, item: ItemId) -> Slot {
        self.slots.get(item.0 as usize).copied().unwrap_or_default()
    }

    fn fill(&mut self, item: ItemId, change: impl FnOnce(&mut Slot)) {
        // Items that this world does not have yet are of no use to it.
        if let Some(slot) = self.slots.get_mut(item.0 as usize) {
            if *slot == Slot::default() {
                self.touched.push(item.0);
            }
            change(slot);
        }
    }
}
