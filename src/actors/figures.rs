//! How the server is doing, for whoever looks after it.
//!
//! Invariant: asking waits for no store and takes nothing from the queues, so it is answered under overload, too; what the
//! coordinator knows is left out when it does not answer in time. Nothing of any person is in here.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::engine::learn::hedge::{HedgeFigures, bound};

use super::coordinator::messages::{AskFigures, Learned as FromCoordinator};
use super::directory::resident_bytes;
use super::journal::counts::Counted;
use super::server::{Score, Server};

/// The coordinator answers within this, or its figures are left out.
const WITHIN: Duration = Duration::from_secs(2);

/// See the module. Counters count since the start, apart from what was learned, which counts since the first entry.
#[derive(Clone, Debug)]
pub struct Figures {
    /// When they were taken.
    pub at: Millis,
    /// The queue of the journal and its commits.
    pub journal: JournalFigures,
    /// People who are known.
    pub people: usize,
    /// People whose actors are in memory.
    pub active: usize,
    /// Of the world that is served: its epoch.
    pub epoch: u64,
    /// Items ever made, deleted ones too.
    pub items: u32,
    /// Items that can be shown.
    pub open: u64,
    /// Topics that have a name.
    pub topics: u32,
    /// The two-tower model that serves.
    pub model: Option<ModelVersion>,
    /// Memory of the process in bytes; `None` where the system does not say.
    pub memory: Option<u64>,
    /// Questions to the store whether events were stored before.
    pub event_lookups: u64,
    /// People who were folded again, since an event could not be stored as it was learned.
    pub rebuilds: u64,
    /// Drawn feeds that were logged.
    pub slates_logged: u64,
    /// Drawn feeds for which the log had no room.
    pub slates_dropped: u64,
    /// What was learned over everybody.
    pub learned: Option<LearnedFigures>,
}

/// Of the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JournalFigures {
    /// Entries waiting to be stored.
    pub queued: usize,
    /// Entries that may wait at most.
    pub queue_max: usize,
    /// What was done since the start.
    pub counted: Counted,
}

/// Of what was learned over everybody.
#[derive(Clone, Debug)]
pub struct LearnedFigures {
    /// Last entry of the journal that is in it.
    pub covers: u64,
    /// How well it predicts.
    pub score: Score,
    /// Who predicts best.
    pub hedge: HedgeFigures,
    /// Most by which the mixture may exceed the best single expert; nats.
    pub bound: f64,
    /// How often the blend's loss drifted so far that it was made to learn faster.
    pub drifts: u32,
}

impl Server {
    /// How the server is doing.
    pub async fn figures(&self) -> Figures {
        let (inside, world) = (&self.inside, self.world());
        let (slates_logged, slates_dropped) = self.slate_counts();
        let (event_lookups, rebuilds) = self.look_counts();
        Figures {
            at: inside.clock.now(),
            journal: JournalFigures {
                queued: inside.journal.queued(),
                queue_max: inside.journal.queue_max(),
                counted: inside.journal.counted(),
            },
            people: inside.people.len(),
            active: inside.directory.len(),
            epoch: world.epoch().0,
            items: world.len(),
            open: world.open_len(),
            topics: world.topics_len().saturating_sub(1),
            model: self.model_version(),
            memory: resident_bytes(),
            event_lookups,
            rebuilds,
            slates_logged,
            slates_dropped,
            learned: self.learned().await,
        }
    }

    async fn learned(&self) -> Option<LearnedFigures> {
        let (done, wait) = oneshot::channel();
        self.inside.coordinator.get()?.do_send(AskFigures(done));
        let FromCoordinator { covers, scores, hedge, drifts } = tokio::time::timeout(WITHIN, wait).await.ok()?.ok()?;
        let bound = bound(hedge.rounds);
        Some(LearnedFigures { covers: covers.0, score: Score::of(&scores), hedge, bound, drifts })
    }
}
