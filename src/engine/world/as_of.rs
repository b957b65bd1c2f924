//! The time machine: the world as it was at an earlier instant.
//!
//! Invariant: epochs of centres, deletions and revisions are those of the instant. Aggregates over all users are absent
//! on purpose: their present values were not known then.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::World;
use crate::domain::ids::{ItemId, TopicId};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::engine::blend::opinions::OpinionWeights;
use crate::engine::blend::weights::BlendWeights;
use crate::engine::catalogue::centres::Centre;
use crate::engine::evidence::feature_store::FeatureStore;
use crate::engine::learners::shared::last_seen::LastSeen;

impl World {
    /// Records the time of a change, for the time machine.
    pub(in crate::engine) fn record(&mut self, change: Change, since: Millis) {
        let history = Arc::make_mut(&mut self.history);
        match change {
            Change::Centre(centre) => history.centres.insert(centre, since),
            Change::Revision(item, revision) => history.revisions.insert((item, revision), since),
            Change::Deleted(item) => history.deleted.insert(item, since),
        };
    }

    /// Removes an item's revisions and deletion from the history, for an erasure.
    pub(in crate::engine) fn forget(&mut self, item: ItemId) {
        let history = Arc::make_mut(&mut self.history);
        history.revisions.retain(|(revised, _), _| *revised != item);
        history.deleted.remove(&item);
    }

    /// Items that were revised after an instant, each with its revision at that instant.
    #[must_use]
    pub fn revised_after(&self, at: Millis) -> Vec<(ItemId, u32)> {
        let mut revised: BTreeMap<ItemId, u32> = BTreeMap::new();
        for ((item, revision), since) in &self.history.revisions {
            if *since > at {
                // Revisions are in order: the first one after `at` replaced the one that was valid.
                revised.entry(*item).or_insert(revision.saturating_sub(1));
            }
        }
        revised.into_iter().collect()
    }

    /// The world as of an instant, for ranking: epochs of centres, deletions, and revisions as of then. Vectors of
    /// `earlier` revisions come from the caller; texts, topics and windows are the current ones. Learned aggregates
    /// (popularity, co-occurrence, the blend) are left out, since they contain later events.
    #[must_use]
    pub fn back_to(&self, at: Millis, earlier: Vec<(ItemId, u32, Embedding)>) -> World {
        let store = FeatureStore {
            popularity: Arc::default(),
            cluster_popularity: Arc::default(),
            neighbours: Arc::default(),
            last_seen: LastSeen::default(),
            expected: Arc::default(),
            ..self.store.clone()
        };
        let mut world = World {
            store,
            blend: Arc::new(BlendWeights::start(&self.settings.blend)),
            opinion: Arc::new(OpinionWeights::start(&self.settings.blend)),
            ..self.clone()
        };
        for (item, revision, embedding) in earlier {
            if let Some(now) = self.item(item) {
                world.upsert_item(Arc::new(Item { revision, embedding, ..now.clone() }));
            }
        }
        for (item, since) in &self.history.deleted {
            if let Some(now) = world.item(*item).filter(|now| now.deleted && *since > at).cloned() {
                world.upsert_item(Arc::new(Item { deleted: false, ..now }));
            }
        }
        let later = |centre: &CentreRef| self.history.centres.get(centre).is_some_and(|since| *since > at);
        if self.history.centres.keys().any(later) {
            let then = |(topic, epochs): (u32, &Vec<Arc<Centre>>)| {
                let named = (1..).map(|epoch| CentreRef { topic: TopicId(topic), epoch });
                epochs.iter().zip(named).take_while(|(_, centre)| !later(centre)).map(|(m, _)| m.clone()).collect()
            };
            world.store.centres = Arc::new((0..).zip(self.store.centres.iter()).map(then).collect());
            world.recentre();
        }
        world
    }
}
