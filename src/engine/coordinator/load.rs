//! Start of the coordinator: the stored catalogue, and snapshots of the fold.
//!
//! Invariant: a catalogue with missing rows and a torn snapshot are rejected.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::CoordinatorState;
use super::aggregates::Folded;
use crate::domain::clusterings::{ClusterName, Revision};
use crate::domain::ids::{Epoch, Key, TopicId};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::journal::CentreRef;
use crate::domain::metrics::Declaration;
use crate::domain::time::Millis;
use crate::engine::catalogue::centres::Centre;
use crate::engine::settings::LearnSettings;
use crate::engine::user::SnapshotError;

/// A catalogue as it was stored.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Topics, by id from 1.
    pub topics: Vec<(TopicId, Key)>,
    /// Centres, by topic and by epoch from 1.
    pub centres: Vec<(CentreRef, Embedding)>,
    /// Items, by id from 0; deleted ones included.
    pub items: Vec<Item>,
    /// Times of revisions, deletions and new centres.
    pub changes: Vec<(Change, Millis)>,
    /// Metrics that were declared at run time. They replace those of the settings.
    pub metrics: Vec<(Key, Declaration)>,
    /// Settings of clusterings, by name and by revision. The newest ones replace those of the settings.
    pub clusterings: Vec<Revision>,
    /// Names of clusters.
    pub cluster_names: Vec<ClusterName>,
}

/// Reason why a stored catalogue cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// The ids have a gap, so rows are missing.
    #[error("{what} are not numbered without gaps: expected {expected}, found {found}")]
    Gap {
        /// Kind of the ids, in plural.
        what: &'static str,
        /// The next number without a gap.
        expected: u32,
        /// The number in the store.
        found: u32,
    },
    /// Another version stored the settings of a clustering.
    #[error("revision {revision} of clustering {name} cannot be read: start the version that stored it")]
    Clustering {
        /// Name of the clustering.
        name: String,
        /// Number of the revision.
        revision: u32,
    },
    /// Another embedder computed the stored embeddings.
    #[error("the stored embeddings have {found} numbers, the configuration says dim = {expected}: set it to {found}")]
    Dimension {
        /// Configured embedding length.
        expected: usize,
        /// Stored embedding length.
        found: usize,
    },
}

impl CoordinatorState {
    /// Loads a stored catalogue as of `now`.
    ///
    /// # Errors
    /// [`CatalogueError`] when rows are missing, or embeddings have another dimension.
    pub fn load(
        dim: usize,
        settings: Arc<LearnSettings>,
        catalogue: Catalogue,
        now: Millis,
    ) -> Result<CoordinatorState, CatalogueError> {
        let mut state = CoordinatorState::new(dim, settings);
        let gap = |what, expected, found| Err(CatalogueError::Gap { what, expected, found });
        for (id, key) in catalogue.topics {
            let expected = state.world.topics_len();
            if id.0 != expected || state.world.intern_topic(key) != id {
                return gap("topics", expected, id.0);
            }
        }
        for (centre, vector) in catalogue.centres {
            let Some(vector) = Centre::of(&vector, dim) else {
                return Err(CatalogueError::Dimension { expected: dim, found: vector.len() });
            };
            let put = state.world.set_centre(centre.topic, vector);
            if put != centre {
                return gap("epochs of a centre", put.epoch, centre.epoch);
            }
        }
        let mut items = Vec::with_capacity(catalogue.items.len());
        for (index, item) in catalogue.items.into_iter().enumerate() {
            if item.id.0 as usize != index {
                return gap("items", index as u32, item.id.0);
            }
            if item.embedding.len() != dim {
                return Err(CatalogueError::Dimension { expected: dim, found: item.embedding.len() });
            }
            if !item.deleted {
                state.count(&item, 1.0);
            }
            items.push(Arc::new(item));
        }
        state.world.load_items(items);
        for (name, declaration) in catalogue.metrics {
            state.world.declare(&name, Some(declaration));
        }
        for one in catalogue.clusterings {
            let (name, revision) = (one.clustering.clone(), one.revision);
            let read = state.clusterings.restore(one, state.world.settings_mut());
            read.map_err(|_| CatalogueError::Clustering { name, revision })?;
        }
        for name in catalogue.cluster_names {
            state.clusterings.restore_name(name);
        }
        // The settings of clusterings decide what the fold keeps.
        state.folded = Folded::new(state.world.settings());
        state.publish_clusterings();
        for (change, since) in catalogue.changes {
            state.world.record(change, since);
        }
        for sum in &mut state.sums {
            sum.count_at_centre = sum.count;
        }
        // Above every epoch that a client may remember of an earlier run.
        state.world.start_epoch(Epoch(now.0.max(0) as u64));
        state.world.move_to(now);
        state.learn_survival();
        state.refresh_shared(now);
        Ok(state)
    }

    /// Serialises the fold, with a checksum.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match postcard::to_extend(&self.folded, vec![Self::FORMAT]) {
            Ok(mut bytes) => {
                let checksum = xxh3_64(&bytes);
                bytes.extend(checksum.to_le_bytes());
                bytes
            }
            Err(_) => Vec::new(),
        }
    }

    /// Restores the fold from the bytes of [`CoordinatorState::to_bytes`]; the catalogue stays.
    ///
    /// # Errors
    /// [`SnapshotError`] when the bytes are torn, of another format, or were folded under other settings. Nothing has
    /// changed then, and the caller folds the whole journal.
    pub fn restore(&mut self, bytes: &[u8], now: Millis) -> Result<(), SnapshotError> {
        let (body, checksum) = bytes.split_last_chunk::<8>().ok_or(SnapshotError::Unreadable)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) || body.first() != Some(&Self::FORMAT) {
            return Err(SnapshotError::Unreadable);
        }
        let folded: Folded = postcard::from_bytes(&body[1..]).map_err(|_| SnapshotError::Unreadable)?;
        if !folded.population.fits(self.world.settings()) {
            return Err(SnapshotError::OtherSettings);
        }
        self.folded = folded;
        self.folded.neighbours.publish_all();
        self.refresh_shared(now);
        Ok(())
    }

    const FORMAT: u8 = 15;
}
