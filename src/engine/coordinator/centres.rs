//! Centres of topics and of the catalogue: sums of embeddings, and new epochs of means and axes.
//!
//! Invariant: epochs of a centre are assigned once and in order.

use std::collections::{BTreeMap, BTreeSet};

use super::{CoordinatorState, Effect, TopicSum};
use crate::domain::ids::{ItemId, TopicId};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::time::Millis;
use crate::engine::catalogue::centres::{AXES_ITEMS_MAX, Centre, principal, stored_len};
use crate::engine::catalogue::vectors::centred;

/// Items of a topic from which on the topic gets a centre of its own.
pub(crate) const CENTRE_ITEMS_MIN: u64 = 20;

impl CoordinatorState {
    /// Adds an item to the sums of the catalogue and of its main topic, or subtracts it.
    pub(super) fn count(&mut self, item: &Item, sign: f64) {
        let mut topics = vec![TopicId::CATALOGUE];
        if item.main_topic() != TopicId::CATALOGUE {
            topics.push(item.main_topic());
        }
        for topic in topics {
            let index = topic.0 as usize;
            if self.sums.len() <= index {
                self.sums.resize_with(index + 1, TopicSum::default);
            }
            let sum = &mut self.sums[index];
            sum.sum.resize(self.world.dim(), 0.0);
            for (total, x) in sum.sum.iter_mut().zip(item.embedding.iter()) {
                *total += sign * f64::from(*x);
            }
            sum.count = if sign > 0.0 { sum.count + 1 } else { sum.count.saturating_sub(1) };
        }
    }

    /// Computes new centres for topics that have doubled since their last one (or, after an import, changed in number).
    pub(super) fn centre_anew(
        &mut self,
        touched: &BTreeSet<TopicId>,
        changed_is_enough: bool,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let due: Vec<TopicId> = touched
            .iter()
            .copied()
            .filter(|topic| {
                self.sums.get(topic.0 as usize).is_some_and(|sum| {
                    let doubled = sum.count >= 2 * sum.count_at_centre;
                    let changed = changed_is_enough && sum.count != sum.count_at_centre;
                    sum.count >= CENTRE_ITEMS_MIN && (doubled || changed)
                })
            })
            .collect();
        if due.is_empty() {
            return;
        }
        let mut any = false;
        for (topic, items) in self.items_of(&due) {
            let Some(sum) = self.sums.get_mut(topic.0 as usize) else { continue };
            let mean = sum.sum.iter().map(|total| (total / sum.count as f64) as f32).collect();
            let dim = self.world.dim();
            // A mean of exactly zero has no direction: the topic stays without a centre of its own.
            let Ok(mean) = Embedding::new(mean, dim) else { continue };
            sum.count_at_centre = sum.count;
            let rows: Vec<Vec<f32>> = spread_evenly(&items)
                .filter_map(|id| Some(centred(&self.world.item(id)?.embedding, Some(&mean))))
                .collect();
            let mut stored = mean.to_vec();
            stored.extend(principal(&rows));
            // Axes of unit vectors are finite and have the expected length.
            let Ok(stored) = Embedding::new(stored, stored_len(dim)) else { continue };
            let Some(centre) = Centre::of(&stored, dim) else { continue };
            let named = self.world.set_centre(topic, centre);
            effects.push(Effect::KeepCentre(named, stored));
            self.keep_since(Change::Centre(named), now, effects);
            any = true;
        }
        if any {
            self.world.recentre();
        }
    }

    /// Items that are not deleted, by main topic; the catalogue's list has all of them.
    fn items_of(&self, topics: &[TopicId]) -> BTreeMap<TopicId, Vec<ItemId>> {
        let mut items: BTreeMap<TopicId, Vec<ItemId>> = topics.iter().map(|topic| (*topic, Vec::new())).collect();
        for item in self.world.blocks().iter().flat_map(|block| block.items()).filter(|item| !item.deleted) {
            let main = item.main_topic();
            if let Some(of_topic) = items.get_mut(&main) {
                of_topic.push(item.id);
            }
            if main != TopicId::CATALOGUE
                && let Some(of_all) = items.get_mut(&TopicId::CATALOGUE)
            {
                of_all.push(item.id);
            }
        }
        items
    }
}

/// At most [`AXES_ITEMS_MAX`] of them, evenly spaced, so that the axes do not describe the newest items alone.
fn spread_evenly(items: &[ItemId]) -> impl Iterator<Item = ItemId> + '_ {
    let wanted = items.len().min(AXES_ITEMS_MAX);
    (0..wanted).filter_map(move |index| items.get(index * items.len() / wanted).copied())
}
