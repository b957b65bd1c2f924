//! Two-tower models in the store: how a checkpoint is read, stored, published and rolled back.
//!
//! Invariant: the store decides which model is published. A checkpoint that cannot be served is refused before it is
//! stored. Deliberately absent: the format of checkpoints ([`ReadModel`] knows it), training, serving (`model_swap`).

use std::sync::Arc;

use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::engine::coordinator::CoordinatorState;
use crate::engine::learners::person::history::Sign;
use crate::engine::numeric::kernels::dot;
use crate::engine::two_tower::{ItemFacts, Step, TwoTower};
use crate::engine::world::World;
use crate::store::models::{self, KeptModel, NewModel, Publication};
use crate::store::{Store, StoreError};

pub use crate::store::models::CHECKPOINT_BYTES_MAX;

/// A checkpoint that was read and can be served.
pub struct Reading {
    /// The model, ready to encode and score.
    pub model: Arc<dyn TwoTower>,
    /// A description for operators: a JSON object as text.
    pub summary: String,
}

/// Turns the bytes of checkpoints into models.
pub trait ReadModel: Send + Sync + 'static {
    /// The model of a checkpoint, under this version, for embeddings of `dim` numbers. It takes long, so it never runs
    /// on a thread that serves.
    ///
    /// # Errors
    /// The checkpoint cannot be read, or takes embeddings of another size.
    fn read(&self, checkpoint: &[u8], version: ModelVersion, dim: usize) -> Result<Reading, CheckpointError>;
}

/// Why a checkpoint cannot be served by this server.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It has more bytes than are taken.
    #[error("it has {0} bytes, at most {CHECKPOINT_BYTES_MAX} are taken")]
    TooLarge(usize),
    /// Its bytes are no checkpoint of a known format.
    #[error(transparent)]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    /// Its model takes embeddings of another size.
    #[error("the model takes embeddings of {model} numbers, this server has {server} (`dim`)")]
    Dimension {
        /// The size that the model takes.
        model: usize,
        /// The size that the server has.
        server: usize,
    },
    /// Its model scores an item with an infinite number or with none.
    #[error("its scores are not finite numbers")]
    NotFinite,
    /// The thread that read it panicked.
    #[error("reading it failed, see the log")]
    Panicked,
}

/// A stored model with its publication.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedModel {
    /// The stored version, time and summary.
    pub kept: KeptModel,
    /// When it was published last; `None` if it never was.
    pub published: Option<Millis>,
    /// Whether it is the published model.
    pub serves: bool,
}

/// All stored models, newest first.
///
/// # Errors
/// The error of the store.
pub async fn list(store: &dyn Store) -> Result<Vec<ListedModel>, StoreError> {
    let publications = store.publications().await?;
    let current = publications.last().map(|last| last.version);
    let listed = |kept: KeptModel| {
        let published = publications.iter().rev().find(|one| one.version == kept.version).map(|one| one.at);
        ListedModel { serves: current == Some(kept.version), published, kept }
    };
    Ok(store.models().await?.into_iter().rev().map(listed).collect())
}

/// Why a model was not stored or published.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model of this version is stored.
    #[error("there is no model {}: `eddyline model list` says which are kept", .0.0)]
    Unknown(ModelVersion),
    /// No model was published before the current one.
    #[error("no model was published before the one that serves: name the version to go back to")]
    NothingBefore,
    /// The checkpoint cannot be served by this server.
    #[error("this checkpoint cannot serve here: {0}")]
    Unfit(#[from] CheckpointError),
    /// The store failed while the model was read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a checkpoint on trial and stores it.
///
/// # Errors
/// [`ModelError::Unfit`], or the error of the store.
pub async fn keep(
    store: &dyn Store,
    reader: Arc<dyn ReadModel>,
    checkpoint: Vec<u8>,
    dim: usize,
    now: Millis,
) -> Result<ModelVersion, ModelError> {
    if checkpoint.len() > CHECKPOINT_BYTES_MAX {
        return Err(CheckpointError::TooLarge(checkpoint.len()).into());
    }
    let (checkpoint, reading) = beside(move || {
        let reading = reader.read(&checkpoint, ModelVersion(0), dim).and_then(|reading| try_out(reading, dim));
        (checkpoint, reading)
    })
    .await?;
    let summary = reading?.summary;
    Ok(store.save_model(NewModel { version: None, created: now, summary, checkpoint }).await?)
}

/// Scores one item for one person, so that a broken model is refused before it is stored.
fn try_out(reading: Reading, dim: usize) -> Result<Reading, CheckpointError> {
    let embedding = vec![1.0 / (dim.max(1) as f32).sqrt(); dim];
    let item = reading.model.item(&ItemFacts { embedding: &embedding, text: "a text", ..ItemFacts::default() });
    let steps = [Step { item: &item, sign: Sign::Positive, at: Millis(0) }];
    let person = reading.model.person(Some("{}"), &steps, Millis(1_000));
    let numbers = item.iter().chain(&person).copied().chain([reading.model.log_odds(dot(&item, &person))]);
    if numbers.into_iter().all(f32::is_finite) { Ok(reading) } else { Err(CheckpointError::NotFinite) }
}

/// The version to roll back to: the given one, or the one published before the current one.
///
/// # Errors
/// [`ModelError::NothingBefore`], or the error of the store.
pub async fn way_back(store: &dyn Store, version: Option<ModelVersion>) -> Result<ModelVersion, ModelError> {
    match version {
        Some(version) => Ok(version),
        None => models::before(&store.publications().await?).ok_or(ModelError::NothingBefore),
    }
}

/// Publishes a model in the store. A running server follows it within a second (`model_swap`).
///
/// # Errors
/// [`ModelError::Unknown`], [`ModelError::Unfit`], or the error of the store.
pub async fn publish(
    store: &dyn Store,
    reader: Arc<dyn ReadModel>,
    version: ModelVersion,
    dim: usize,
    now: Millis,
) -> Result<(), ModelError> {
    read(store, reader, version, dim).await?;
    if store.publish_model(version, now).await? { Ok(()) } else { Err(ModelError::Unknown(version)) }
}

/// Reads a stored checkpoint as a model that scores.
///
/// # Errors
/// [`ModelError::Unknown`], [`ModelError::Unfit`], or the error of the store.
pub async fn read(
    store: &dyn Store,
    reader: Arc<dyn ReadModel>,
    version: ModelVersion,
    dim: usize,
) -> Result<Arc<dyn TwoTower>, ModelError> {
    let checkpoint = store.checkpoint(version).await?.ok_or(ModelError::Unknown(version))?;
    let reading = beside(move || reader.read(&checkpoint, version, dim)).await?;
    Ok(reading?.model)
}

/// Runs long work on a blocking thread.
pub(super) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ModelError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| CheckpointError::Panicked.into())
}

/// Loads the published model at the start of the server. A model that cannot be read is left out with an error in the
/// log: the server ranks without it.
///
/// # Errors
/// The error of the store.
pub async fn restore(
    store: &dyn Store,
    reader: &Arc<dyn ReadModel>,
    state: &mut CoordinatorState,
) -> Result<(), StoreError> {
    let Some(Publication { version, .. }) = store.publications().await?.last().copied() else { return Ok(()) };
    match read(store, reader.clone(), version, state.world().dim()).await {
        Ok(model) => state.set_tower(model),
        Err(ModelError::Store(error)) => return Err(error),
        Err(error) => {
            tracing::error!(%error, version = version.0, "the published model cannot be read: serving without it")
        }
    }
    Ok(())
}

/// The model that scores a question about the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelChoice {
    /// The model that served at that instant; the newest one where none served yet.
    #[default]
    Then,
    /// The model that serves now.
    Newest,
}

/// The world of an instant with the two-tower model that scores it.
#[derive(Debug)]
pub struct ScoredPast {
    /// Items, availability and centres of the instant, with the item vectors of the model.
    pub world: World,
    /// The kind of model that was found; `None` without any model.
    pub model: Option<ModelChoice>,
    /// The version that served then and is not stored any more; the newest one stands in for it.
    pub missing: Option<ModelVersion>,
}

/// The world of an instant, scored by the chosen model.
///
/// # Errors
/// The error of the store.
pub async fn as_of(
    store: &dyn Store,
    reader: Arc<dyn ReadModel>,
    then: World,
    at: Millis,
    choice: ModelChoice,
) -> Result<ScoredPast, StoreError> {
    let served = match choice {
        ModelChoice::Then => models::at(&store.publications().await?, at),
        ModelChoice::Newest => None,
    };
    // A world of the past keeps the present model until it gets another.
    let Some(version) = served else {
        let model = then.tower().map(|_| ModelChoice::Newest);
        return Ok(ScoredPast { world: then, model, missing: None });
    };
    let scored = |world| ScoredPast { world, model: Some(ModelChoice::Then), missing: None };
    if then.tower().is_some_and(|tower| tower.version() == version) {
        return Ok(scored(then));
    }
    match read(store, reader, version, then.dim()).await {
        Ok(model) => {
            let made = beside(move || {
                let tower = Arc::new(then.tower_by(model));
                then.with_tower(Some(tower))
            });
            made.await.map(scored).map_err(|error| StoreError::Unavailable(error.to_string()))
        }
        Err(ModelError::Store(error)) => Err(error),
        Err(_) => {
            let model = then.tower().map(|_| ModelChoice::Newest);
            Ok(ScoredPast { world: then, model, missing: Some(version) })
        }
    }
}
