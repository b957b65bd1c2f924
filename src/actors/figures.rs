//! Figures for operators: the state of the journal, the people, the world and the learners.
//!
//! Invariant: reading them waits for no store and takes no place in any queue, so they are available under overload,
//! too. The coordinator's figures are left out when it does not answer in time. No figure is about a single person.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::engine::blend::hedge::{HedgeFigures, bound};

use super::answers::Score;
use super::coordinator::messages::{AskClusterings, AskFigures, ClusteringFigures, Learned as FromCoordinator};
use super::directory::resident_bytes;
use super::journal::counts::Counted;
use super::server::Server;

/// The time within which the coordinator has to answer; later its figures are left out.
const WITHIN: Duration = Duration::from_secs(2);

/// A snapshot of the server's figures. Counters count since the start; those of `learned` count since the first entry.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Time at which the figures were taken.
    pub at: Millis,
    /// The queue of the journal and its commits.
    pub journal: JournalFigures,
    /// Known people, erased ones excluded.
    pub people: usize,
    /// People whose actors are in memory.
    pub active: usize,
    /// The epoch of the world that is served.
    pub epoch: u64,
    /// Items ever made, deleted ones included.
    pub items: u32,
    /// Items that are available now.
    pub open: u64,
    /// Topics that have a name.
    pub topics: u32,
    /// The two-tower model that is served.
    pub model: Option<ModelVersion>,
    /// Items that lack a column which the served model reads.
    pub incomplete_items: u64,
    /// Resident memory of the process in bytes; `None` where the system does not report it.
    pub memory: Option<u64>,
    /// Queries to the store for the ids of events.
    pub event_lookups: u64,
    /// States of people that were folded again because an entry could not be stored as it was learned.
    pub rebuilds: u64,
    /// Acknowledged feeds that were logged.
    pub slates_logged: u64,
    /// Acknowledged feeds that were dropped because the log's queue was full or the store failed.
    pub slates_dropped: u64,
    /// State of all clusterings; empty when the coordinator did not answer in time.
    pub clusterings: Vec<ClusteringFigures>,
    /// Figures of the shared learners; `None` when the coordinator did not answer in time.
    pub learned: Option<LearnedFigures>,
}

/// The load of the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JournalFigures {
    /// Entries that wait to be stored.
    pub queued: usize,
    /// The largest number of entries that may wait.
    pub queue_max: usize,
    /// Commits, writes, retries and refusals since the start.
    pub counted: Counted,
}

/// The quality of the shared learners, which learn from all people.
#[derive(Clone, Debug)]
pub struct LearnedFigures {
    /// The position of the last folded journal entry.
    pub covers: u64,
    /// Progressive figures of the predictions.
    pub score: Score,
    /// Cumulative losses of each expert, the blend and the Hedge mixture, in nats.
    pub hedge: HedgeFigures,
    /// The regret bound: by how much the mixture's loss may exceed that of the best single expert, in nats.
    pub bound: f64,
    /// Detected drifts of the blend's loss. Each one raised its learning rate.
    pub drifts: u32,
}

impl Server {
    /// Takes a snapshot of the server's figures.
    pub async fn figures(&self) -> Figures {
        let (context, world) = (&self.context, self.world());
        let (slates_logged, slates_dropped) = self.slate_counts();
        let (event_lookups, rebuilds) = self.look_counts();
        Figures {
            at: context.clock.now(),
            journal: JournalFigures {
                queued: self.journal.queued(),
                queue_max: self.journal.queue_max(),
                counted: self.journal.counted(),
            },
            people: context.people.len(),
            active: self.directory.len(),
            epoch: world.epoch().0,
            items: world.len(),
            open: world.open_len(),
            topics: world.topics_len().saturating_sub(1),
            model: self.model_version(),
            incomplete_items: self.incomplete_items().0,
            memory: resident_bytes(),
            event_lookups,
            rebuilds,
            slates_logged,
            slates_dropped,
            clusterings: self.figures_of_clusterings().await,
            learned: self.learned().await,
        }
    }

    async fn figures_of_clusterings(&self) -> Vec<ClusteringFigures> {
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(AskClusterings { only: None, done });
        tokio::time::timeout(WITHIN, wait).await.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn learned(&self) -> Option<LearnedFigures> {
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(AskFigures(done));
        let FromCoordinator { covers, scores, hedge, drifts } = tokio::time::timeout(WITHIN, wait).await.ok()?.ok()?;
        let bound = bound(hedge.rounds);
        Some(LearnedFigures { covers: covers.0, score: Score::of(&scores), hedge, bound, drifts })
    }
}
