//! Messages for `Coordinator`. From the gateway: `Change`, `Erase`, `AskScore`, `AskFigures`, `AskMetrics`,
//! `AskAtypical`, `AskClusterings`, `AskRevisions`, `Refit`, `Install`. At shutdown: `SaveNow`. The journal's `Journalled` is in `journal::messages`.
//!
//! Invariant: messages that change the catalogue or follow from the journal are bounded in number. They hold their places
//! in the journal's queue until they are handled.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::errors::WriteError;
use crate::actors::journal::messages::Reservation;
use crate::domain::clusterings::Revision;
use crate::domain::ids::{Position, UserId};
use crate::domain::time::Millis;
use crate::engine::blend::hedge::HedgeFigures;
use crate::engine::coordinator::{CoordinatorEvent, DraftError, GlobalScores, Written};
use crate::engine::metrics::measured::{RunningMean, Series};
use crate::engine::metrics::normal::{Atypical, Posterior, Prior};
use crate::engine::population::clusterings::ClusteringStatus;
use crate::engine::two_tower::Tower;
use crate::engine::world::World;

/// Changes the catalogue. Answered when durable; the place in the journal's queue is reserved before.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Change {
    /// The change for the coordinator's state.
    pub event: CoordinatorEvent,
    /// A place in the journal's queue.
    pub reservation: Reservation,
    /// The requester: one answer per draft, none for other events.
    pub done: oneshot::Sender<Result<Vec<Result<Written, DraftError>>, WriteError>>,
}

/// Replaces the two-tower model. Answered once the new model is served.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Install {
    /// The model with the vectors of all items of a world.
    pub tower: Box<Tower>,
    /// The world that the vectors of `tower` were encoded from. Items that changed since are encoded again.
    pub of: Arc<World>,
    /// The requester, notified once the model is served.
    pub done: oneshot::Sender<()>,
}

/// Erases a person, who was marked as erased before. Answered when the erasure is durable and the key is free; the
/// shared learners are folded again after that.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Erase {
    /// The person to erase.
    pub user: UserId,
    /// A place in the journal's queue.
    pub reservation: Reservation,
    /// The requester; an error says why the erasure cannot be stored.
    pub done: oneshot::Sender<Result<(), WriteError>>,
}

/// Requests the progressive figures over all people.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskScore(pub oneshot::Sender<GlobalScores>);

/// Requests the learners' figures for operators.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskFigures(pub oneshot::Sender<Learned>);

/// The learners' figures.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The position of the last folded journal entry.
    pub covers: Position,
    /// Progressive figures over all people.
    pub scores: GlobalScores,
    /// Cumulative losses of each expert, the blend and the Hedge mixture, in nats.
    pub hedge: HedgeFigures,
    /// Detected drifts of the blend's loss. Each one raised its learning rate.
    pub drifts: u32,
}

/// Saves a snapshot; answered once it is saved.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SaveNow(pub oneshot::Sender<()>);

/// Requests a refit of a clustering as soon as possible; answered at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Refit {
    /// Name of the clustering; an unknown one is ignored.
    pub clustering: String,
    /// Notified when the request is recorded.
    pub done: oneshot::Sender<()>,
}

/// Requests the state of clusterings, `default` first, then by name.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskClusterings {
    /// Name of the only clustering to describe; `None` for all. An unknown one gives an empty answer.
    pub only: Option<String>,
    /// Receives one answer per described clustering.
    pub done: oneshot::Sender<Vec<ClusteringFigures>>,
}

/// State of a clustering, with its schedule and the progress of its fit.
#[derive(Clone, Debug)]
pub struct ClusteringFigures {
    /// Settings, counter and newest fit.
    pub status: ClusteringStatus,
    /// Time of the next scheduled fit; `None` without a schedule.
    pub next: Option<Millis>,
    /// Finished and all starts of the fit in progress; both 0 while it reads the users.
    pub starts: (usize, usize),
}

/// Requests the stored revisions of a clustering, newest first.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskRevisions {
    /// Name of the clustering; an unknown one has no revisions.
    pub clustering: String,
    /// Receives at most 100 revisions.
    pub done: oneshot::Sender<Vec<Revision>>,
}

/// Requests the posteriors of all declared series.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskMetrics {
    /// A person whose own values are requested, too.
    pub user: Option<UserId>,
    /// The requester: one answer per series, by metric.
    pub done: oneshot::Sender<Vec<SeriesFigures>>,
}

/// A declared series over the population.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesFigures {
    /// Name of the metric.
    pub metric: String,
    /// Type of the measurements; `None` for all of the metric.
    pub kind: Option<String>,
    /// Unit of the values; empty without one.
    pub unit: String,
    /// Posterior over all people with a value.
    pub posterior: Posterior,
    /// The value of the requested person.
    pub own: Option<RunningMean>,
}

/// Requests the people whose measurements are atypical.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskAtypical {
    /// The measured series.
    pub series: Series,
    /// The prior of its metric.
    pub prior: Prior,
    /// The threshold in standard deviations.
    pub sigmas: f64,
    /// The requester: the posterior, and the people beyond the threshold, farthest first.
    pub done: oneshot::Sender<(Posterior, Vec<Atypical<UserId>>)>,
}
