//! The embedding export: vectors of items by the served two-tower model, and of users with their present history.
//!
//! Invariant: all vectors of one export come from one world, so from one version of the model. Memory holds one part of an
//! export, however many users and items exist. Deliberately absent: the format of an answer (the gateway's), and models that
//! do not serve, whose item vectors no server holds.

use std::sync::Arc;

use super::apart::Place;
use super::errors::RequestError;
use super::models::ModelError;
use super::server::Server;
use crate::domain::ids::{ItemId, Key, ModelVersion, UserId, page};
use crate::domain::time::Millis;
use crate::engine::two_tower::{TOWER_DIM, TowerVector};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::recovery;

/// An export of vectors under way.
pub struct Embeddings {
    /// The instant for which user vectors are computed.
    pub at: Millis,
    server: Server,
    world: Arc<World>,
    place: Arc<Place>,
}

/// Numbers in a vector.
pub const WIDTH: usize = TOWER_DIM;

/// A key with its vector.
pub type KeyedVector = (Key, TowerVector);

impl Server {
    /// Starts an export of the vectors of a model, which must be the served one. User vectors then cover all acknowledged
    /// events.
    ///
    /// # Errors
    /// `unknown_model`; `conflict` for a stored model that does not serve; busy while too many exports are under way, or the
    /// store cannot answer.
    pub async fn embeddings(&self, version: ModelVersion) -> Result<Embeddings, RequestError> {
        let place = self.context.exports.enter(None)?;
        let world = self.world();
        let serving = world.tower().map(|tower| tower.version());
        if serving != Some(version) {
            let is_stored = self.models().await?.iter().any(|model| model.kept.version == version);
            return Err(match serving {
                Some(serving) if is_stored => {
                    let message =
                        format!("model {} does not serve, model {} does: publish it first", version.0, serving.0);
                    Refusal::field(Code::Conflict, "version", message).into()
                }
                None if is_stored => {
                    Refusal::field(Code::Conflict, "version", "no model serves: publish it first").into()
                }
                _ => ModelError::Unknown(version).into(),
            });
        }
        self.settled().await?;
        let at = self.context.clock.now();
        Ok(Embeddings { at, server: self.clone(), world, place })
    }
}

impl Embeddings {
    /// Up to `limit` items after a position, without deleted ones, and the position of the next page; `None` at the end.
    #[must_use]
    pub fn item_page(&self, after: Option<u32>, limit: usize) -> (Vec<ItemId>, Option<u32>) {
        let exists = |id: &u32| self.world.item(ItemId(*id)).is_some_and(|item| !item.deleted);
        let (page, next) = page(after, self.world.len(), limit, exists);
        (page.into_iter().map(ItemId).collect(), next)
    }

    /// Up to `limit` users after a position, without erased ones, and the position of the next page; `None` at the end.
    #[must_use]
    pub fn user_page(&self, after: Option<u32>, limit: usize) -> (Vec<UserId>, Option<u32>) {
        let people = self.server.people();
        let (page, next) = page(after, people.ids_end(), limit, |id| people.get(UserId(*id)).is_some());
        (page.into_iter().map(UserId).collect(), next)
    }

    /// Vectors of items, copied by `write` on a blocking thread.
    ///
    /// # Errors
    /// `internal` when `write` panicked.
    pub async fn items<T: Send + 'static>(
        &self,
        ids: Vec<ItemId>,
        write: impl FnOnce(Vec<KeyedVector>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let world = self.world.clone();
        let vector = move |world: &World, id| Some((world.item(id)?.key.clone(), *world.tower()?.item(id)?));
        let job = move || write(ids.into_iter().filter_map(|id| vector(&world, id)).collect());
        self.place.run(job).await
    }

    /// Vectors of users by attributes and history, copied by `write` on a blocking thread. Users who were erased meanwhile are
    /// left out.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn users<T: Send + 'static>(
        &self,
        ids: Vec<UserId>,
        write: impl FnOnce(Vec<KeyedVector>) -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        let (context, people) = (&self.server.context, self.server.people());
        let mut states = Vec::with_capacity(ids.len());
        for id in ids {
            // The newest world, because an entry may name a centre that the export's world does not have yet.
            let world = self.server.world();
            let folded = recovery::recover_apart(&*context.store, id, world, context.exports.work()).await;
            // An erasure removes entries while they are read; its user is not found afterwards.
            let Some(person) = people.get(id) else { continue };
            let (mut state, _) = folded?;
            state.set_attributes(person.attributes.as_deref().map(Arc::from));
            states.push((person.key.clone(), state));
        }
        let (world, at) = (self.world.clone(), self.at);
        let job = move || {
            let vectors = states.into_iter().filter_map(|(key, state)| Some((key, state.tower_vector(&world, at)?)));
            write(vectors.collect())
        };
        Ok(self.place.run(job).await?)
    }
}
