//! Two-tower models of the running server: listed, stored, published, rolled back.
//!
//! Invariant: a published model is served when the request is answered.

use super::Server;
use crate::actors::errors::RequestError;
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
    pub async fn models(&self) -> Result<Vec<ListedModel>, RequestError> {
        Ok(list(&*self.context.store).await?)
    }

    /// The bytes of a stored checkpoint, as they were uploaded.
    ///
    /// # Errors
    /// The model is unknown; busy while the store cannot answer.
    pub async fn checkpoint(&self, version: ModelVersion) -> Result<Vec<u8>, RequestError> {
        let found = self.context.store.checkpoint(version).await?;
        Ok(found.ok_or(ModelError::Unknown(version))?)
    }

    /// Stores a checkpoint without publishing it.
    ///
    /// # Errors
    /// Why the checkpoint cannot be served, or busy while the store cannot answer.
    pub async fn set_model(&self, checkpoint: Vec<u8>) -> Result<ModelVersion, RequestError> {
        let (store, reader) = (&*self.context.store, self.models.reader());
        keep(store, reader, checkpoint, self.dim(), self.context.clock.now()).await.map_err(RequestError::from)
    }

    /// Publishes a model; returns when this server serves it.
    ///
    /// # Errors
    /// The model is unknown or cannot be served; busy while the store cannot answer.
    pub async fn publish_model(&self, version: ModelVersion) -> Result<(), RequestError> {
        let context = &self.context;
        let _one = self.models.lock().await;
        let made = match self.models.version() {
            Some(serving) if serving == version => None,
            _ => Some(self.models.vectors(version).await?),
        };
        if !context.store.publish_model(version, context.clock.now()).await? {
            return Err(ModelError::Unknown(version).into());
        }
        if let Some((tower, of)) = made {
            self.models.install(tower, of).await;
        }
        Ok(())
    }

    /// Publishes the given version again, or else the model that served before; returns the published version.
    ///
    /// # Errors
    /// No such model exists; busy while the store cannot answer.
    pub async fn roll_back(&self, version: Option<ModelVersion>) -> Result<ModelVersion, RequestError> {
        let version = way_back(&*self.context.store, version).await?;
        self.publish_model(version).await?;
        Ok(version)
    }
}

impl From<ModelError> for RequestError {
    fn from(error: ModelError) -> Self {
        let text = error.to_string();
        match error {
            ModelError::Unknown(_) => Refusal::field(Code::UnknownModel, "version", text).into(),
            ModelError::NothingBefore => Refusal::field(Code::Conflict, "version", text).into(),
            ModelError::Unfit(_) => Refusal::new(Code::UnfitModel, text).into(),
            ModelError::Store(error) => error.into(),
        }
    }
}
