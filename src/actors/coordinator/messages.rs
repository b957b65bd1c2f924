//! Messages for `Coordinator`. From the door: `Change`, `Erase`, `AskScore`, `AskFigures`, `AskMetrics`, `AskAtypical`,
//! `Regroup`, `Install`. From the journal: `Journalled`. From the server's end: `SaveNow`.
//!
//! Invariant: what changes the catalogue or follows from the journal holds its places in the journal's queue until it
//! was handled, so a bounded number of these wait.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::journal::Reservation;
use crate::domain::ids::{Position, UserId};
use crate::domain::journal::Entry;
use crate::engine::coordinator::{CoordinatorEvent, DraftError, GlobalScores, Written};
use crate::engine::learn::hedge::HedgeFigures;
use crate::engine::learn::metrics::Series;
use crate::engine::learn::normal::{Atypical, Posterior};
use crate::engine::tower::Tower;
use crate::engine::world::World;

/// Change the catalogue. Answered when durable; the places in the journal's queue are taken before it is sent.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Change {
    /// What.
    pub event: CoordinatorEvent,
    /// Its place in the journal's queue.
    pub reservation: Reservation,
    /// Who waits; one answer per draft, none for other events.
    pub done: oneshot::Sender<Result<Vec<Result<Written, DraftError>>, String>>,
}

/// Another two-tower model serves from now on. Answered when it does.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Install {
    /// The model with the vectors of all items of a world.
    pub tower: Box<Tower>,
    /// That world: what changed since is completed.
    pub of: Arc<World>,
    /// Who waits.
    pub done: oneshot::Sender<()>,
}

/// Forget a person, who was marked as erased before. Answered when it is durable and their key is free; what was counted
/// over everybody is counted afresh after that.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Erase {
    /// Whom.
    pub user: UserId,
    /// Its place in the journal's queue.
    pub reservation: Reservation,
    /// Who waits.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// These are durable, in commit order.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Journalled {
    /// What.
    pub entries: Arc<[(Position, Entry)]>,
    /// Their places in the journal's queue, free from now on.
    pub reservations: Vec<Reservation>,
}

/// Progressive figures over everybody.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskScore(pub oneshot::Sender<GlobalScores>);

/// Figures over everybody, for whoever looks after the server.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskFigures(pub oneshot::Sender<Learned>);

/// What the coordinator has learned, in figures.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Last entry of the journal that it has folded.
    pub covers: Position,
    /// Progressive figures.
    pub scores: GlobalScores,
    /// Who predicts best.
    pub hedge: HedgeFigures,
    /// How often the blend's loss drifted so far that it was made to learn faster.
    pub drifts: u32,
}

/// Save what was folded; answered when it is saved.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SaveNow(pub oneshot::Sender<()>);

/// Find groups of people afresh, as soon as may be; answered at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Regroup(pub oneshot::Sender<()>);

/// What is believed of every series that is measured.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskMetrics(pub oneshot::Sender<Vec<(Series, Posterior)>>);

/// Who is unlike the others.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskAtypical {
    /// On what.
    pub series: Series,
    /// Beyond so many standard deviations.
    pub sigmas: f64,
    /// Who waits: what is believed of the series, and who is outside, farthest first.
    pub done: oneshot::Sender<(Posterior, Vec<Atypical<UserId>>)>,
}
