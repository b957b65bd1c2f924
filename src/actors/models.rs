//! Two-tower models: how a checkpoint is read, stored, published, served and replaced.
//!
//! Invariant: one swap at a time. Reading a checkpoint and encoding all items run beside the threads that serve; the
//! coordinator then exchanges one pointer. The store decides which model is published, and each server follows it
//! within [`LOOK_EVERY`]. A checkpoint that cannot be served is refused before it is stored. Deliberately absent: the
//! format of checkpoints ([`ReadModel`] knows it), training.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};

use super::context::ServerContext;
use super::coordinator::messages::Install;
use super::server::{Server, from_store};
use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::engine::coordinator::CoordinatorState;
use crate::engine::learners::person::history::Sign;
use crate::engine::numeric::kernels::dot;
use crate::engine::two_tower::{ItemFacts, Step, Tower, TwoTower};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::models::{self, KeptModel, NewModel, Publication};
use crate::store::{Store, StoreError};

pub use crate::store::models::CHECKPOINT_BYTES_MAX;

/// The interval at which the store is asked for the published version.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_STEPS: u32 = 5;

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
    /// A description of the fault for operators; on another embedding size, both sizes.
    fn read(&self, checkpoint: &[u8], version: ModelVersion, dim: usize) -> Result<Reading, String>;
}

/// The reader of checkpoints, and the lock of the swap.
pub(super) struct Models {
    reader: Arc<dyn ReadModel>,
    /// Held from reading a checkpoint until its model is served.
    swap: Mutex<()>,
}

impl Models {
    pub(super) fn new(reader: Arc<dyn ReadModel>) -> Models {
        Models { reader, swap: Mutex::new(()) }
    }

    pub(super) fn reader(&self) -> Arc<dyn ReadModel> {
        self.reader.clone()
    }
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
    Unfit(String),
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
    let most = CHECKPOINT_BYTES_MAX;
    if checkpoint.len() > most {
        return Err(ModelError::Unfit(format!("it has {} bytes, at most {most} are taken", checkpoint.len())));
    }
    let (checkpoint, reading) = beside(move || {
        let reading = reader.read(&checkpoint, ModelVersion(0), dim).and_then(|reading| try_out(reading, dim));
        (checkpoint, reading)
    })
    .await?;
    let summary = reading.map_err(ModelError::Unfit)?.summary;
    Ok(store.save_model(NewModel { version: None, created: now, summary, checkpoint }).await?)
}

/// Scores one item for one person, so that a broken model is refused before it is stored.
fn try_out(reading: Reading, dim: usize) -> Result<Reading, String> {
    let embedding = vec![1.0 / (dim.max(1) as f32).sqrt(); dim];
    let item = reading.model.item(&ItemFacts { embedding: &embedding, text: "a text", ..ItemFacts::default() });
    let steps = [Step { item: &item, sign: Sign::Positive, at: Millis(0) }];
    let person = reading.model.person(Some("{}"), &steps, Millis(1_000));
    let numbers = item.iter().chain(&person).copied().chain([reading.model.log_odds(dot(&item, &person))]);
    if numbers.into_iter().all(f32::is_finite) { Ok(reading) } else { Err("its scores are not finite numbers".into()) }
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

/// Publishes a model in the store. A running server follows within [`LOOK_EVERY`].
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

async fn read(
    store: &dyn Store,
    reader: Arc<dyn ReadModel>,
    version: ModelVersion,
    dim: usize,
) -> Result<Arc<dyn TwoTower>, ModelError> {
    let checkpoint = store.checkpoint(version).await?.ok_or(ModelError::Unknown(version))?;
    let reading = beside(move || reader.read(&checkpoint, version, dim)).await?;
    Ok(reading.map_err(ModelError::Unfit)?.model)
}

/// Runs long work on a blocking thread.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ModelError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ModelError::Unfit("reading it failed, see the log".into()))
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

/// Follows the published version in the store for as long as the server runs.
pub(super) async fn watch(context: Arc<ServerContext>) {
    let mut refused = None;
    loop {
        // Sleeps in short steps, so that the store is released soon after the end.
        for _ in 0..LOOK_STEPS {
            tokio::time::sleep(LOOK_EVERY / LOOK_STEPS).await;
            if context.is_closing() {
                return;
            }
        }
        let publications = match context.store.publications().await {
            Ok(publications) => publications,
            Err(error) => {
                tracing::debug!(%error, "the published model could not be looked up: trying again");
                continue;
            }
        };
        let Some(Publication { version, .. }) = publications.last().copied() else { continue };
        if context.model() == Some(version) || refused == Some(version) {
            continue;
        }
        let _one = context.models.swap.lock().await;
        // Another version may be published meanwhile; the next look finds it.
        match context.vectors(version).await {
            Ok((tower, of)) if context.is_published(version).await => context.install(tower, of).await,
            Ok(_) => {}
            Err(ModelError::Store(error)) => tracing::warn!(%error, "the published model was not read: trying again"),
            Err(error) => {
                tracing::error!(%error, version = version.0, "the published model cannot be read: serving without it");
                refused = Some(version);
            }
        }
    }
}

impl ServerContext {
    /// The version of the model that this server serves.
    fn model(&self) -> Option<ModelVersion> {
        self.world.load().tower().map(|tower| tower.version())
    }

    async fn is_published(&self, version: ModelVersion) -> bool {
        let publications = self.store.publications().await;
        publications.is_ok_and(|list| list.last().is_some_and(|last| last.version == version))
    }

    /// The item vectors of a stored model, and the world that they were encoded from.
    async fn vectors(&self, version: ModelVersion) -> Result<(Box<Tower>, Arc<World>), ModelError> {
        let reader = self.models.reader.clone();
        let model = read(&*self.store, reader, version, self.embedder.dim()).await?;
        let of = self.world.load_full();
        beside(move || (Box::new(of.tower_by(model)), of)).await
    }

    /// Serves these vectors from now on.
    async fn install(&self, tower: Box<Tower>, of: Arc<World>) {
        let version = tower.version();
        if tower.incomplete() > 0 {
            let (items, columns) = (tower.incomplete(), tower.lacked().iter().cloned().collect::<Vec<_>>().join(", "));
            tracing::warn!(
                version = version.0,
                items,
                columns,
                "items lack columns that the model reads: give them as attributes of the items"
            );
        }
        let Some(coordinator) = self.coordinator.get() else { return };
        let (done, wait) = oneshot::channel();
        // Unbounded, since a server swaps few models in its life, one at a time.
        coordinator.do_send(Install { tower, of, done });
        if wait.await.is_ok() {
            tracing::info!(version = version.0, "another model is served now");
        }
    }
}

impl Server {
    /// The version of the model that this server serves now.
    #[must_use]
    pub fn model_version(&self) -> Option<ModelVersion> {
        self.context.model()
    }

    /// Number of items that lack columns which the served model reads, and the names of the columns.
    #[must_use]
    pub fn incomplete_items(&self) -> (u64, Vec<String>) {
        let world = self.context.world.load();
        world.tower().map_or((0, Vec::new()), |tower| (tower.incomplete(), tower.lacked().iter().cloned().collect()))
    }

    /// All stored models, newest first.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn models(&self) -> Result<Vec<ListedModel>, Refusal> {
        list(&*self.context.store).await.map_err(from_store)
    }

    /// Stores a checkpoint without publishing it.
    ///
    /// # Errors
    /// Why the checkpoint cannot be served, or busy while the store cannot answer.
    pub async fn set_model(&self, checkpoint: Vec<u8>) -> Result<ModelVersion, Refusal> {
        let (store, reader) = (&*self.context.store, self.context.models.reader.clone());
        keep(store, reader, checkpoint, self.dim(), self.context.clock.now()).await.map_err(refusal)
    }

    /// Publishes a model; returns when this server serves it.
    ///
    /// # Errors
    /// The model is unknown or cannot be served; busy while the store cannot answer.
    pub async fn publish_model(&self, version: ModelVersion) -> Result<(), Refusal> {
        let context = &self.context;
        let _one = context.models.swap.lock().await;
        let made = match context.model() {
            Some(serving) if serving == version => None,
            _ => Some(context.vectors(version).await.map_err(refusal)?),
        };
        if !context.store.publish_model(version, context.clock.now()).await.map_err(from_store)? {
            return Err(refusal(ModelError::Unknown(version)));
        }
        if let Some((tower, of)) = made {
            context.install(tower, of).await;
        }
        Ok(())
    }

    /// Publishes this model again, or the one that served before; returns its version.
    ///
    /// # Errors
    /// No such model exists; busy while the store cannot answer.
    pub async fn roll_back(&self, version: Option<ModelVersion>) -> Result<ModelVersion, Refusal> {
        let version = way_back(&*self.context.store, version).await.map_err(refusal)?;
        self.publish_model(version).await?;
        Ok(version)
    }
}

/// The world of an instant, scored by the model that served then. If that model is no longer stored, the current one
/// stands in for it, and the missing version is returned.
///
/// # Errors
/// The error of the store.
pub async fn as_of(
    store: &dyn Store,
    reader: Arc<dyn ReadModel>,
    then: World,
    at: Millis,
) -> Result<(World, Option<ModelVersion>), StoreError> {
    let version = models::at(&store.publications().await?, at);
    let Some(version) = version else { return Ok((then.with_tower(None), None)) };
    if then.tower().is_some_and(|tower| tower.version() == version) {
        return Ok((then, None));
    }
    match read(store, reader, version, then.dim()).await {
        Ok(model) => {
            let made = beside(move || {
                let tower = Arc::new(then.tower_by(model));
                then.with_tower(Some(tower))
            });
            made.await.map(|then| (then, None)).map_err(|error| StoreError::Unavailable(error.to_string()))
        }
        Err(ModelError::Store(error)) => Err(error),
        Err(_) => Ok((then, Some(version))),
    }
}

fn refusal(error: ModelError) -> Refusal {
    match error {
        ModelError::Unknown(_) => Refusal::field(Code::UnknownModel, "version", error.to_string()),
        ModelError::NothingBefore => Refusal::field(Code::Conflict, "version", error.to_string()),
        ModelError::Unfit(_) => Refusal::new(Code::UnfitModel, error.to_string()),
        ModelError::Store(error) => from_store(error),
    }
}
