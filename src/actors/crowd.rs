//! What the door asks about the people as a crowd: measurements, what is normal, groups.
//!
//! Invariant: measurements go through their person's actor like everything that a person does; what is answered about the
//! crowd covers all that was acknowledged before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future;
use tokio::sync::oneshot;

use crate::domain::ids::UserId;
use crate::engine::learn::metrics::Series;
use crate::engine::learn::normal::{Atypical, Posterior};
use crate::engine::user::UserEvent;
use crate::protocol::refusal::Refusal;

use super::coordinator::messages::{AskAtypical, AskMetrics, Regroup};
use super::coordinator::regroup;
use super::server::{Server, from_store};

pub use crate::engine::clustering::{Clustering, Summary};

impl Server {
    /// Learns measurements of one person; answers when all of them are durable.
    ///
    /// # Errors
    /// Busy: some of them may have been learned; sent again under the same ids, none is learned twice.
    pub async fn measure(&self, user: UserId, events: Vec<UserEvent>) -> Result<(), Refusal> {
        let acts = events.into_iter().map(|event| self.act(user, event));
        future::join_all(acts).await.into_iter().try_for_each(|acted| acted.map(drop))
    }

    /// Counts measurements that were passed over: nothing of them was declared.
    pub fn ignored(&self, count: u64) -> u64 {
        self.inside.ignored.fetch_add(count, Ordering::Relaxed) + count
    }

    /// What is believed of each series that is measured.
    ///
    /// # Errors
    /// Busy.
    pub async fn metrics(&self) -> Result<Vec<(Series, Posterior)>, Refusal> {
        self.settled().await?;
        let (done, wait) = oneshot::channel();
        self.coordinator()?.do_send(AskMetrics(done));
        wait.await.map_err(|_| Refusal::busy(1_000))
    }

    /// What is believed of a series, and who is outside of `mean +- sigmas sigma`, farthest first.
    ///
    /// # Errors
    /// Busy.
    pub async fn atypical(&self, series: Series, sigmas: f64) -> Result<(Posterior, Vec<Atypical<UserId>>), Refusal> {
        self.settled().await?;
        let (done, wait) = oneshot::channel();
        self.coordinator()?.do_send(AskAtypical { series, sigmas, done });
        wait.await.map_err(|_| Refusal::busy(1_000))
    }

    /// Groups of people, once they were found.
    #[must_use]
    pub fn clusters(&self) -> Option<Arc<Clustering>> {
        self.world().clusters().cloned()
    }

    /// Finds groups afresh, as soon as none is being found and the pause after the last time is over.
    ///
    /// # Errors
    /// Busy.
    pub async fn regroup(&self) -> Result<(), Refusal> {
        self.settled().await?;
        let (done, wait) = oneshot::channel();
        self.coordinator()?.do_send(Regroup(done));
        wait.await.map_err(|_| Refusal::busy(1_000))
    }

    /// What was told of the last fits, newest first.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn clusterings(&self, limit: u32) -> Result<Vec<Summary>, Refusal> {
        let fits = self.inside.store.fits(limit).await.map_err(from_store)?;
        Ok(fits.iter().filter_map(regroup::summary).collect())
    }
}
