//! Two-tower models as they are stored: numbered checkpoints, and the history of their publications.
//!
//! Invariant: a version number is given once. A publication stays in the history, whether or not its model still
//! exists. Of published models the last [`PUBLISHED_KEPT`] stay, of others the newest [`UNPUBLISHED_KEPT`]; the model
//! that serves is always among them. Absent on purpose: the format of a checkpoint.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::store::error::StoreError;

/// The largest checkpoint that the store accepts, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 20;

/// Number of published models that stay stored, for a rollback and for the time machine.
pub const PUBLISHED_KEPT: u32 = 10;

/// Number of models that stay stored without a publication.
pub const UNPUBLISHED_KEPT: u32 = 3;

/// A model to be saved.
#[derive(Clone, PartialEq, Eq)]
pub struct NewModel {
    /// Version of a model from a dump, for which no other model is deleted. `None`: the store gives the next version.
    pub version: Option<ModelVersion>,
    /// When the server received the model.
    pub created: Millis,
    /// Description of the model: a JSON object as text.
    pub summary: String,
    /// Weights, schema and sizes of the model, as one file.
    pub checkpoint: Vec<u8>,
}

impl fmt::Debug for NewModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {:?} of {} bytes, {}", self.version, self.checkpoint.len(), self.summary)
    }
}

/// A stored model without its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptModel {
    /// Version number of the model.
    pub version: ModelVersion,
    /// When the server received the model.
    pub created: Millis,
    /// Description of the model: a JSON object as text.
    pub summary: String,
    /// Size of the checkpoint in bytes.
    pub bytes: u64,
}

/// One publication: the model serves from this instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Version of the published model.
    pub version: ModelVersion,
    /// When the model began to serve.
    pub at: Millis,
}

/// One change to models or publications.
pub(super) enum ModelChange {
    /// Adds a model.
    Save(NewModel),
    /// Publishes a model, if it is stored.
    Publish(ModelVersion, Millis),
    /// Adds a publication of a dump, whether or not its model is stored.
    Record(Publication),
}

/// Stores models and their publications.
pub trait ModelStore: Send + Sync + 'static {
    /// Saves a model under the next version, unless it brings its own. Deletes models beyond [`PUBLISHED_KEPT`] and
    /// [`UNPUBLISHED_KEPT`].
    fn save_model(&self, model: NewModel) -> BoxFuture<'_, Result<ModelVersion, StoreError>>;

    /// All stored models, oldest first.
    fn models(&self) -> BoxFuture<'_, Result<Vec<KeptModel>, StoreError>>;

    /// The checkpoint of a model; `None` when the model is not stored.
    fn checkpoint(&self, version: ModelVersion) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>>;

    /// Publishes a model from `at` on, unless it serves already. `false` when it is not stored, and nothing has
    /// changed.
    fn publish_model(&self, version: ModelVersion, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Adds a publication to the history, whether or not its model is stored: for loading a dump.
    fn record_publication(&self, publication: Publication) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The history of publications, in order; the last model serves now.
    fn publications(&self) -> BoxFuture<'_, Result<Vec<Publication>, StoreError>>;
}

/// The model that served at an instant; `publications` are in order.
#[must_use]
pub fn at(publications: &[Publication], at: Millis) -> Option<ModelVersion> {
    publications.iter().rev().find(|one| one.at <= at).map(|one| one.version)
}

/// The model that a rollback publishes. Two rollbacks go two models back, not back to where they began.
#[must_use]
pub fn before(publications: &[Publication]) -> Option<ModelVersion> {
    let mut way: Vec<ModelVersion> = Vec::new();
    for one in publications {
        match way.iter().position(|known| *known == one.version) {
            Some(place) => way.truncate(place + 1),
            None => way.push(one.version),
        }
    }
    way.pop();
    way.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_back() {
        for (name, versions, expected) in [
            ("nothing", &[][..], None),
            ("the only one", &[1], None),
            ("two", &[1, 2], Some(1)),
            ("back once", &[1, 2, 3, 2], Some(1)),
            ("back twice", &[1, 2, 3, 2, 1], None),
            ("back, and on", &[1, 2, 1, 3], Some(1)),
            ("back and to the same again", &[1, 2, 1, 2], Some(1)),
            ("published twice in a row", &[1, 2, 2], Some(1)),
        ] {
            let list: Vec<Publication> = versions
                .iter()
                .zip(0..)
                .map(|(n, at)| Publication { version: ModelVersion(*n), at: Millis(at) })
                .collect();
            assert_eq!(before(&list), expected.map(ModelVersion), "{name}");
        }
    }

    #[test]
    fn what_served_then_is_the_last_that_was_published_by_then() {
        let list = [(1, 10), (2, 20), (1, 30)].map(|(n, at)| Publication { version: ModelVersion(n), at: Millis(at) });
        for (then, expected) in [(9, None), (10, Some(1)), (19, Some(1)), (20, Some(2)), (29, Some(2)), (99, Some(1))] {
            assert_eq!(at(&list, Millis(then)), expected.map(ModelVersion), "{then}");
        }
    }
}
