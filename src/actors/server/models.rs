//! Two-tower models of the running server: listed, stored, published, rolled back.
//!
//! Invariant: a published model is served when the request is answered.

use super::{Server, from_store};
use crate::actors::models::{ListedModel, ModelError, keep, list, way_back};
use crate::domain::ids::ModelVersion;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

impl Server {
    /// The version of the model that this server serves now.
    #[must_use]
    pub fn model_version(&self) -> Option<ModelVersion> {
        self.models.version()
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
        let (store, reader) = (&*self.context.store, self.models.reader());
        keep(store, reader, checkpoint, self.dim(), self.context.clock.now()).await.map_err(refusal)
    }

    /// Publishes a model; returns when this server serves it.
    ///
    /// # Errors
    /// The model is unknown or cannot be served; busy while the store cannot answer.
    pub async fn publish_model(&self, version: ModelVersion) -> Result<(), Refusal> {
        let context = &self.context;
        let _one = self.models.lock().await;
        let made = match self.models.version() {
            Some(serving) if serving == version => None,
            _ => Some(self.models.vectors(version).await.map_err(refusal)?),
        };
        if !context.store.publish_model(version, context.clock.now()).await.map_err(from_store)? {
            return Err(refusal(ModelError::Unknown(version)));
        }
        if let Some((tower, of)) = made {
            self.models.install(tower, of).await;
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

fn refusal(error: ModelError) -> Refusal {
    match error {
        ModelError::Unknown(_) => Refusal::field(Code::UnknownModel, "version", error.to_string()),
        ModelError::NothingBefore => Refusal::field(Code::Conflict, "version", error.to_string()),
        ModelError::Unfit(_) => Refusal::new(Code::UnfitModel, error.to_string()),
        ModelError::Store(error) => from_store(error),
    }
}
