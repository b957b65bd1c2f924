//! Aggregates over all users: the fold over the whole journal, apart from the catalogue.
//!
//! Invariant: each entry is learned once, in commit order.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Position, TopicId};
use crate::domain::journal::{Entry, What};
use crate::domain::time::Millis;
use crate::engine::blend::hedge::Hedge;
use crate::engine::blend::opinions::OpinionLearner;
use crate::engine::blend::weights::BlendLearner;
use crate::engine::learners::shared::cluster_popularity::ClusterPopularity;
use crate::engine::learners::shared::drift::{self, PageHinkley};
use crate::engine::learners::shared::item_neighbours::CoOccurrence;
use crate::engine::learners::shared::last_seen::LastSeen;
use crate::engine::learners::shared::popularity::Popularity;
use crate::engine::metrics::progressive::{Progress, ScoreHistogram};
use crate::engine::population::Population;
use crate::engine::settings::LearnSettings;

/// Everything folded over the journal, apart from the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Folded {
    pub(super) covers: Position,
    pub(super) popularity: Popularity,
    pub(super) cluster_popularity: ClusterPopularity,
    pub(super) neighbours: CoOccurrence,
    pub(super) last_seen: LastSeen,
    pub(super) blend: BlendLearner,
    pub(super) hedge: Hedge,
    /// Drift detector of the blend's loss.
    pub(super) drift: PageHinkley,
    pub(super) opinion: OpinionLearner,
    /// Drift detector of the opinion model's loss.
    pub(super) opinion_drift: PageHinkley,
    pub(super) scores: GlobalScores,
    pub(super) population: Population,
    /// Arrival of the first cancellation whose cancelled entries may be part of the fold; `None` without one.
    pub(super) undone_since: Option<Millis>,
}

impl Folded {
    pub(super) fn new(settings: &LearnSettings) -> Folded {
        Folded { population: Population::new(settings), ..Folded::default() }
    }

    /// Learns one entry, once. Returns whether any published aggregate changed.
    pub(super) fn fold(&mut self, position: Position, entry: &Entry, settings: &LearnSettings) -> bool {
        if position <= self.covers {
            return false;
        }
        self.covers = position;
        self.population.fold(entry, settings);
        if let What::Undone(undone) = &entry.what
            && !undone.cancels.is_empty()
        {
            self.undone_since.get_or_insert(entry.received);
        }
        let What::Interacted(learned) = &entry.what else { return false };
        let Some(signal) = learned.signal else { return false };
        self.scores.online.record(learned.predicted.online, signal.positive);
        self.scores.topics.record(learned.predicted.topics, signal.positive);
        self.scores.model.record(learned.predicted.model, signal.positive);
        self.scores.progress.record(learned.predicted.online, signal.positive);
        let topic = learned.topics.first().copied().unwrap_or(TopicId::CATALOGUE);
        self.popularity.learn(learned.item, topic, signal, entry.at);
        if signal.positive {
            self.last_seen.learn(entry.user, learned.item, entry.at);
        }
        if let Some(example) = &learned.example {
            if let Some(group) = example.group.filter(|_| signal.positive) {
                self.cluster_popularity.learn(group, learned.item, signal.weight, entry.at);
            }
            self.blend.learn(example, signal.weight, settings.blend_step);
            self.hedge.learn(&example.losses, signal.weight);
            if let Some(loss) = example.losses.last()
                && self.drift.learn(*loss, drift::ALL_USERS)
            {
                self.blend.loosen();
            }
            if let Some(opinion) = &example.opinion {
                self.opinion.learn(opinion, &learned.features, signal.weight, settings.blend_step);
                if self.opinion_drift.learn(opinion.loss, drift::ALL_USERS) {
                    self.opinion.loosen();
                }
            }
            if let Some(visits) = example.visits {
                self.popularity.visited(learned.item, visits == 0.0, entry.at);
                let last = example.co_visited.first().map(|other| other.item);
                let came = last.zip(example.elapsed_ms);
                self.neighbours.learn(learned.item, visits, &example.co_visited, came, entry.at);
            }
        }
        true
    }
}

/// A recomputed fold over the whole journal: after an erasure or an undo, the aggregates no longer equal the fold of the
/// journal.
#[derive(Clone, Debug)]
pub struct Refold {
    pub(super) folded: Folded,
    pub(super) settings: Arc<LearnSettings>,
    /// Cancellations up to this position precede the reading, which therefore finds their entries cancelled.
    pub(super) begun_at: Position,
}

impl Refold {
    /// Learns one entry; entries come in commit order.
    pub fn fold(&mut self, position: Position, entry: &Entry) {
        self.folded.fold(position, entry, &self.settings);
        if position <= self.begun_at {
            self.folded.undone_since = None;
        }
    }

    /// Position of the last folded entry.
    #[must_use]
    pub fn covers(&self) -> Position {
        self.folded.covers
    }
}

/// Prequential metrics over all users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GlobalScores {
    /// Histogram of the online models' log-odds.
    pub online: ScoreHistogram,
    /// Histogram of the `topics` ranking's score.
    pub topics: ScoreHistogram,
    /// Histogram of the `model` ranking's score.
    pub model: ScoreHistogram,
    /// Log loss and calibration of the online models.
    pub progress: Progress,
}
