//! The interface to the population: measurements, their posteriors, atypical people, clusterings of people.
//!
//! Invariant: measurements go through the actor of their person, like all events. Answers about the population cover
//! all acknowledged measurements.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future;
use tokio::sync::oneshot;

use crate::domain::clusterings::Revision;
use crate::domain::ids::{Key, UserId};
use crate::domain::metrics::Declaration;
use crate::engine::coordinator::CoordinatorEvent;
use crate::engine::metrics::measured::Series;
use crate::engine::metrics::normal::{Atypical, Posterior, Prior};
use crate::engine::user::UserEvent;

use super::coordinator::fits;
use super::coordinator::messages::{AskAtypical, AskClusterings, AskMetrics, AskRevisions, Refit};

pub use super::coordinator::messages::{ClusteringFigures, SeriesFigures};
use super::errors::{Busy, RequestError};
use super::server::{Server, within};

pub use crate::engine::population::clusterings::{ClusteringEdit, ClusteringStatus, Published};
pub use crate::engine::population::refit::{Clustering, Summary};
pub use crate::engine::settings::ClusterSettings;

impl Server {
    /// Learns measurements of one person; returns when all of them are durable.
    ///
    /// # Errors
    /// Busy: some of them may have been learned. Sent again under their ids, none of them is learned twice.
    pub async fn measure(&self, user: UserId, events: Vec<UserEvent>) -> Result<(), RequestError> {
        let acts = events.into_iter().map(|event| self.act(user, event));
        future::join_all(acts).await.into_iter().try_for_each(|acted| acted.map(drop))
    }

    /// Counts measurements that were skipped because their metric or kind is not declared.
    pub fn ignored(&self, count: u64) -> u64 {
        self.context.ignored.fetch_add(count, Ordering::Relaxed) + count
    }

    /// Declares a metric or replaces its declaration, which was checked before; `None` removes the declaration that was
    /// made at run time. Returns when it is durable.
    ///
    /// # Errors
    /// Busy when the journal's queue is full or the store does not answer in time.
    pub async fn declare(&self, name: Key, declaration: Option<Declaration>) -> Result<(), RequestError> {
        self.change_now(CoordinatorEvent::Declare(name, declaration)).await
    }

    /// The posterior of each declared series, with the values of a person.
    ///
    /// # Errors
    /// Busy when the coordinator or the store does not answer in time.
    pub async fn metrics(&self, user: Option<UserId>) -> Result<Vec<SeriesFigures>, Busy> {
        self.settled().await?;
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(AskMetrics { user, done });
        wait.await.map_err(|_| Busy::NoAnswer)
    }

    /// The posterior of a series, and the people outside of `mean +- sigmas sigma`, farthest first.
    ///
    /// # Errors
    /// Busy when the coordinator or the store does not answer in time.
    pub async fn atypical(
        &self,
        series: Series,
        prior: Prior,
        sigmas: f64,
    ) -> Result<(Posterior, Vec<Atypical<UserId>>), Busy> {
        self.settled().await?;
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(AskAtypical { series, prior, sigmas, done });
        wait.await.map_err(|_| Busy::NoAnswer)
    }

    /// Groups of people by the clustering `default`, once they were found.
    #[must_use]
    pub fn clusters(&self) -> Option<Arc<Clustering>> {
        self.world().clusters().cloned()
    }

    /// Requests a refit of a clustering. It starts once no fit is under way and the pause after its last one is over.
    ///
    /// # Errors
    /// Busy when the coordinator is not running.
    pub async fn refit(&self, clustering: &str) -> Result<(), Busy> {
        self.settled().await?;
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(Refit { clustering: clustering.to_owned(), done });
        wait.await.map_err(|_| Busy::NoAnswer)
    }

    /// State of all clusterings, `default` first, then by name; or of one of them alone.
    ///
    /// # Errors
    /// Busy when the coordinator does not answer in time.
    pub async fn clusterings(&self, only: Option<&str>) -> Result<Vec<ClusteringFigures>, Busy> {
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(AskClusterings { only: only.map(str::to_owned), done });
        within(wait).await?.map_err(|_| Busy::NoAnswer)
    }

    /// Changes a clustering; its settings and names were checked before. Returns when the change is durable.
    ///
    /// # Errors
    /// Busy when the journal's queue is full or the store does not answer in time.
    pub async fn edit_clustering(&self, edit: ClusteringEdit) -> Result<(), RequestError> {
        self.change_now(CoordinatorEvent::Clustering(edit)).await
    }

    /// Stored revisions of the settings of a clustering, newest first.
    ///
    /// # Errors
    /// Busy when the coordinator does not answer in time.
    pub async fn revisions(&self, clustering: &str) -> Result<Vec<Revision>, Busy> {
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(AskRevisions { clustering: clustering.to_owned(), done });
        within(wait).await?.map_err(|_| Busy::NoAnswer)
    }

    /// Summaries of the last fits of a clustering, newest first.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn fits(&self, clustering: &str, limit: u32) -> Result<Vec<Summary>, RequestError> {
        let fits = self.context.store.fits(clustering, limit).await?;
        Ok(fits.iter().filter_map(fits::summary).collect())
    }
}
