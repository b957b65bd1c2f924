//! Publication of worlds: the open set moves to `now`, and the world takes over the current aggregates.
//!
//! Invariant: epochs rise with every publication.

use std::sync::Arc;

use super::{CoordinatorState, Effect};
use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::engine::availability::survival::Survival;
use crate::engine::blend::weights::Leader;
use crate::engine::learners::shared::cluster_popularity::ClusterPopularityTable;

/// Neighbour lists that one refresh rebuilds, at most; the others follow at the next tick.
const LISTS_PER_REFRESH: usize = 1_024;

/// Answers of each label, over all users, from which on a calibrated probability is published.
const CALIBRATED_FROM: u64 = 20;

impl CoordinatorState {
    pub(super) fn publish(&mut self, now: Millis, updated: Vec<ItemId>, effects: &mut Vec<Effect>) {
        let mut changes = self.world.move_to(now);
        changes.updated = updated.into_iter().filter(|id| self.world.open().contains(id.0)).collect();
        changes.updated.retain(|id| !changes.opened.contains(id));
        for id in &changes.closed {
            let item = self.world.item(*id).filter(|item| !item.deleted);
            if let Some((start, stop)) =
                item.and_then(|item| item.windows.last_over(now)).map(|one| (one.start, one.stop))
            {
                self.survival.learn(*id, stop.unwrap_or(now).since(start));
            }
        }
        self.world.next_epoch();
        if changes.opened.is_empty() {
            self.shared_is_stale = true;
        } else {
            // New items are ranked at once, so they need their popularity among the items that are open now.
            self.refresh_shared(now);
        }
        effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::new(changes)));
        effects.push(Effect::WakeAt(self.world.next_edge_after(self.world_time())));
    }

    /// The clock was set back: recomputes the open set for the earlier time. Window lengths are learned again, since
    /// some windows that had ended are open again.
    pub(super) fn lower_priority(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let changes = self.world.move_back_to(now);
        self.world.next_epoch();
        self.learn_survival();
        self.refresh_shared(now);
        effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::new(changes)));
        effects.push(Effect::WakeAt(self.world.next_edge_after(self.world_time())));
    }

    /// Recomputes the distribution of window lengths from all windows that have ended.
    pub(super) fn learn_survival(&mut self) {
        let (mut survival, now) = (Survival::default(), self.world.as_of());
        for item in self.world.blocks().iter().flat_map(|block| block.items()).filter(|item| !item.deleted) {
            survival.learn_all(item.id, &item.windows, now);
        }
        self.survival = survival;
    }

    /// Publishes the current aggregates of all users into the world.
    pub(super) fn refresh_shared(&mut self, now: Millis) {
        let (popularity, neighbours, _) = self.world.shared_mut();
        let (mut popularity, mut neighbours) = (std::mem::take(popularity), std::mem::take(neighbours));
        let mut expected = self.world.take_expected();
        let world = &self.world;
        // Most of a catalogue is always available, so the scan reads only items with windows.
        let mut live = Vec::new();
        let open = world.open_runs().inspect(|run| {
            let id = |place: usize| ItemId(run.first.0 + place as u32);
            live.extend(run.windows().map(|(place, windows)| (id(place), windows)));
        });
        self.folded.popularity.refresh(&mut popularity, open, now);
        self.folded.neighbours.refresh(&mut neighbours, LISTS_PER_REFRESH);
        self.survival.expect(&mut expected, live.into_iter(), now);
        let cluster_popularity = world.clusters().map_or_else(ClusterPopularityTable::default, |clusters| {
            let groups = clusters.summary.clusters.iter().map(|group| group.id);
            let is_open = |item: ItemId| world.open().contains(item.0);
            self.folded.cluster_popularity.table(groups, &popularity, (world.len(), world.open().len()), is_open, now)
        });
        self.world.set_cluster_popularity(cluster_popularity);
        self.world.set_expected(expected);
        let start = &self.world.settings().blend;
        let leader = self.folded.hedge.leader();
        let mut opinion = self.folded.opinion.weights(start, leader == Some(Leader::WithoutTower));
        let (positive, negative) = self.folded.scores.model.labels();
        opinion.is_calibrated = positive.min(negative) >= CALIBRATED_FROM;
        let weights = self.folded.blend.weights(&opinion.weights, leader);
        let last_seen = self.folded.last_seen.clone();
        let places = self.world.shared_mut();
        (*places.0, *places.1, *places.2) = (popularity, neighbours, last_seen);
        self.world.set_blend(weights, opinion);
        self.shared_is_stale = self.folded.neighbours.is_due();
    }
}
