//! Clusterings of users: due fits, restored fits, and their publication in the world.
//!
//! Invariant: a published world holds the newest fit and the names of each clustering.

use std::sync::Arc;

use super::{CoordinatorState, Effect};
use crate::domain::clusterings::Revision;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::engine::population::clusterings::ClusteringStatus;
use crate::engine::population::refit::RestoredFit;

impl CoordinatorState {
    /// Restores the clusters of an earlier run. The caller publishes the world afterwards.
    pub fn restore_fit(&mut self, clustering: &str, kept: RestoredFit, now: Millis) {
        let (world, settings) = (&self.world, self.world.settings());
        let topic = |key: &Key| world.find_topic(key.as_str());
        self.clusterings.restore_fit(clustering, kept, &self.folded.population, topic, now, settings);
        self.publish_clusterings();
        self.refresh_shared(now);
    }

    /// Raises the number after which new fits of a clustering are numbered.
    pub fn number_fits_after(&mut self, clustering: &str, epoch: u64) {
        self.clusterings.begin_after(clustering, epoch);
    }

    /// State of all clusterings, `default` first, then by name; or of one of them alone.
    #[must_use]
    pub fn clusterings(&mut self, only: Option<&str>, now: Millis) -> Vec<ClusteringStatus> {
        let world = &self.world;
        let topic = |key: &Key| world.find_topic(key.as_str());
        self.clusterings.status(only, &self.folded.population, topic, now, world.settings())
    }

    /// Stored revisions of a clustering, newest first; none for one with the settings of the configuration.
    #[must_use]
    pub fn revisions(&self, clustering: &str) -> Vec<Revision> {
        self.clusterings.revisions(clustering)
    }

    /// Whether a clustering reads values that the fold does not have, so that the journal must be folded again.
    #[must_use]
    pub fn lacks_columns(&self) -> bool {
        self.folded.population.lacks_topics(self.world.settings())
    }

    pub(super) fn publish_clusterings(&mut self) {
        self.world.set_clusterings(self.clusterings.default_fit().cloned(), self.clusterings.published());
    }

    /// Begins a due fit, and reports clusterings whose due fit is not possible.
    pub(super) fn refit(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let (world, settings) = (&self.world, self.world.shared_settings());
        let topic = |key: &Key| world.find_topic(key.as_str());
        let mut refused = Vec::new();
        let task = self.clusterings.due(&self.folded.population, topic, now, &settings, &mut refused);
        effects.extend(refused.into_iter().map(|(name, why)| Effect::RefitRefused(name, why)));
        effects.extend(task.map(|task| Effect::RefitTask(Arc::new(task))));
    }
}
