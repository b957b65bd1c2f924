//! The interface of the actors: one cheap handle, shared by all web workers.
//!
//! Invariant: a change that returns `Ok` is durable; a change that returns a [`RequestError`] was not learned, unless its
//! documentation says otherwise.
//! Parts: `items` (the catalogue), `acting` (events of people), `asking` (questions), `history` (interactions page by page), `recommending` (steered rankings), `sessions` (open sockets), `models`,
//! `graph` (the follows).

mod acting;
mod activities;
mod asking;
mod history;
mod graph;
mod items;
mod models;
mod recommending;
mod sessions;
mod weights;

use std::sync::Arc;

use actix::Addr;
use tokio::sync::oneshot;

use crate::domain::ids::{Key, UserId};
use crate::domain::people::Person;
use crate::engine::world::World;
use crate::store::{StoreError, Write};

use super::clock::Clock;
use super::context::{Looks, ServerContext};
use super::coordinator::actor::Coordinator;
use super::coordinator::messages::SaveNow;
use super::directory::Directory;
use super::errors::{Busy, RequestError};
use super::journal::JournalHandle;
use super::journal::messages::{Append, Origin, Reservation};
use super::model_swap::ModelSwap;
use super::people::People;
use super::user::messages::ToUser;

pub use crate::engine::coordinator::{ItemWrite, Written as ItemWritten};
pub use crate::engine::rank::RankRequest;
pub use crate::engine::rank::similar::{Similar, SimilarBy, similar as similar_items};
pub use crate::engine::rank::steer::{Boost, Factors, Steering, Target};
pub use crate::engine::user::UserEvent;
pub use asking::{PastFeed, SearchRequest, StandingPage};
pub use graph::FollowGraph;
pub use items::ItemDraft;
pub use recommending::{RecommendRequest, Recommended};
pub use weights::{LineChoice, LinePlace, TopicLine, TopicLines};

/// The time within which the store has to answer a health check.
const HEALTH_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The longest time that a request waits for the store. After that it is answered with 503, and the client may try
/// again.
const STORED_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Waits for a result that depends on the store.
///
/// # Errors
/// Busy after [`STORED_WITHIN`]: the write may still be stored.
pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> Result<T, Busy> {
    tokio::time::timeout(STORED_WITHIN, wait).await.map_err(|_| Busy::StoreStalled)
}

/// A handle of the running server, cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub(crate) context: Arc<ServerContext>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) journal: JournalHandle,
    pub(crate) coordinator: Addr<Coordinator>,
    pub(crate) models: Arc<ModelSwap>,
}

impl Server {
    /// The newest world; hold it no longer than a request.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.context.world.load_full()
    }

    /// The registry of people.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.context.people
    }

    /// The source of the current time.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.context.clock
    }

    /// The dimension of embeddings.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.context.embedder.dim()
    }

    /// Number of people whose actors are in memory.
    #[must_use]
    pub fn active(&self) -> usize {
        self.directory.len()
    }

    /// Number of entries that wait to be stored.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.journal.queued()
    }

    /// Whether the server takes work: the store writes, and the server is not shutting down.
    ///
    /// # Errors
    /// Busy, with the reason.
    pub async fn ready(&self) -> Result<(), RequestError> {
        if self.context.is_closing() {
            return Err(Busy::ShuttingDown.into());
        }
        let health = tokio::time::timeout(HEALTH_WITHIN, self.context.store.health()).await;
        health.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into())))?;
        // The store is reachable again, and the waiting writes are under way. Requests are refused until those are
        // stored.
        if self.journal.is_stalled() { Err(Busy::StoreStalled.into()) } else { Ok(()) }
    }

    /// Refuses new work from now on; returns when all accepted writes are durable and the coordinator is saved.
    pub async fn close(&self) {
        self.context.closing.store(true, std::sync::atomic::Ordering::Relaxed);
        self.journal.barrier().await;
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(SaveNow(done));
        let _ = wait.await;
    }

    /// A place in the journal's queue for a request.
    ///
    /// # Errors
    /// Busy when the queue is full, or while the store cannot answer: a request that could only wait is not begun.
    pub(crate) fn reserve(&self) -> Result<Reservation, Busy> {
        if self.journal.is_stalled() {
            return Err(Busy::StoreStalled);
        }
        self.journal.reserve().ok_or(Busy::JournalFull)
    }

    /// Returns when all writes that were sent to the journal before are durable.
    ///
    /// # Errors
    /// Busy when the store does not answer in time.
    pub(crate) async fn settled(&self) -> Result<(), Busy> {
        within(self.journal.barrier()).await
    }

    /// Numbers of acknowledged feeds that were logged, and that were dropped, since the start.
    #[must_use]
    pub(crate) fn slate_counts(&self) -> (u64, u64) {
        self.context.slates.counts()
    }

    /// Numbers of queries for event ids, and of states that were folded again, since the start.
    #[must_use]
    pub fn look_counts(&self) -> (u64, u64) {
        let Looks { queries, rebuilds } = &self.context.looks;
        (queries.load(std::sync::atomic::Ordering::Relaxed), rebuilds.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Runs a scan of the catalogue or of all people beside the threads that serve.
    ///
    /// # Errors
    /// `rate_limited` while too many scans of this person are under way, busy while too many are in total.
    pub async fn scan<T: Send + 'static>(
        &self,
        person: Option<UserId>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        Ok(self.context.scans.enter(person)?.run(job).await?)
    }

    /// Creates (true) or changes (false) a person. `None` leaves a property unchanged.
    ///
    /// # Errors
    /// Busy when the journal's queue is full or the person is being erased.
    pub async fn put_person(
        &self,
        key: Key,
        name: Option<String>,
        attributes: Option<String>,
    ) -> Result<bool, RequestError> {
        let reservation = self.reserve()?;
        let now = self.context.clock.now();
        let (done, wait) = oneshot::channel();
        let created = self.context.people.put(
            &key,
            |id, old| Person {
                id,
                key: key.clone(),
                name: name.or_else(|| old.and_then(|old| old.name.clone())),
                attributes: attributes.or_else(|| old.and_then(|old| old.attributes.clone())),
                created: old.map_or(now, |old| old.created),
                erased: false,
            },
            |person| {
                self.journal.append(Append {
                    writes: vec![Write::Person(person)],
                    from: Origin::Request(done),
                    reservation,
                });
            },
        );
        // The former holder of the key is being erased; the key is free in a moment.
        let created = created.ok_or(Busy::KeyBeingErased)?;
        within(wait).await?.map_err(|_| Busy::NoAnswer)??;
        if !created && let Some(user) = self.context.people.find(key.as_str()) {
            self.directory.describe(user);
        }
        Ok(created)
    }

    fn deliver(&self, user: UserId, message: ToUser) -> Result<(), RequestError> {
        self.directory.deliver(user, message)
    }

    pub(crate) async fn ask<T>(
        &self,
        user: UserId,
        question: impl FnOnce(oneshot::Sender<T>) -> ToUser,
    ) -> Result<T, RequestError> {
        let (done, wait) = oneshot::channel();
        self.deliver(user, question(done))?;
        Ok(within(wait).await?.map_err(|_| Busy::NoAnswer)?)
    }
}
