//! Serves the published two-tower model, and replaces it while the server runs.
//!
//! Invariant: one swap at a time. Reading a checkpoint and encoding all items run beside the threads that serve; the
//! coordinator then exchanges one pointer. Each server follows the published version within [`LOOK_EVERY`].

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::{Mutex, MutexGuard, oneshot};

use super::context::ServerContext;
use super::coordinator::actor::Coordinator;
use super::coordinator::messages::Install;
use super::models::{ModelError, ReadModel, beside, read};
use crate::domain::ids::ModelVersion;
use crate::engine::two_tower::Tower;
use crate::engine::world::World;
use crate::store::models::Publication;

/// The interval at which the store is asked for the published version.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_STEPS: u32 = 5;

/// The reader of checkpoints, the lock of the swap, and the coordinator that serves the model.
pub struct ModelSwap {
    context: Arc<ServerContext>,
    reader: Arc<dyn ReadModel>,
    coordinator: Addr<Coordinator>,
    /// Held from reading a checkpoint until its model is served.
    under_way: Mutex<()>,
}

impl ModelSwap {
    /// A swap that exchanges the models of this coordinator.
    pub(super) fn new(
        context: Arc<ServerContext>,
        reader: Arc<dyn ReadModel>,
        coordinator: Addr<Coordinator>,
    ) -> Arc<ModelSwap> {
        Arc::new(ModelSwap { context, reader, coordinator, under_way: Mutex::new(()) })
    }

    pub(super) fn reader(&self) -> Arc<dyn ReadModel> {
        self.reader.clone()
    }

    /// Waits until no other swap is under way.
    pub(super) async fn lock(&self) -> MutexGuard<'_, ()> {
        self.under_way.lock().await
    }

    /// The version of the model that this server serves.
    pub(super) fn version(&self) -> Option<ModelVersion> {
        self.context.world.load().tower().map(|tower| tower.version())
    }

    async fn is_published(&self, version: ModelVersion) -> bool {
        let publications = self.context.store.publications().await;
        publications.is_ok_and(|list| list.last().is_some_and(|last| last.version == version))
    }

    /// The item vectors of a stored model, and the world that they were encoded from.
    pub(super) async fn vectors(&self, version: ModelVersion) -> Result<(Box<Tower>, Arc<World>), ModelError> {
        let model = read(&*self.context.store, self.reader(), version, self.context.embedder.dim()).await?;
        let of = self.context.world.load_full();
        beside(move || (Box::new(of.tower_by(model)), of)).await
    }

    /// Replaces the served model by `tower`, whose vectors were encoded from the world `of`.
    pub(super) async fn install(&self, tower: Box<Tower>, of: Arc<World>) {
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
        let (done, wait) = oneshot::channel();
        // Unbounded, since a server swaps few models in its life, one at a time.
        self.coordinator.do_send(Install { tower, of, done });
        if wait.await.is_ok() {
            tracing::info!(version = version.0, "another model is served now");
        }
    }
}

/// Follows the published version in the store for as long as the server runs.
pub(super) async fn watch(swap: Arc<ModelSwap>) {
    let context = &swap.context;
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
        if swap.version() == Some(version) || refused == Some(version) {
            continue;
        }
        let _one = swap.lock().await;
        // Another version may be published meanwhile; the next look finds it.
        match swap.vectors(version).await {
            Ok((tower, of)) if swap.is_published(version).await => swap.install(tower, of).await,
            Ok(_) => {}
            Err(ModelError::Store(error)) => tracing::warn!(%error, "the published model was not read: trying again"),
            Err(error) => {
                tracing::error!(%error, version = version.0, "the published model cannot be read: serving without it");
                refused = Some(version);
            }
        }
    }
}
