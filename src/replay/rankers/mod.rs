//! Who ranks: the serving engine, and the baselines that always run beside it.
//!
//! Invariant: scoring changes nothing that later scores depend on; a ranker knows of the log only what it was shown by
//! [`Ranker::begin`] and [`Ranker::learn`]. Same seed and rows, same scores. Absent on purpose: the order among equals,
//! which is the protocol's.

pub mod contenders;
mod history;
pub mod labels;
mod listed;
mod model;
mod popularity;
mod random;

pub use history::{Habit, History};
pub use listed::Listed;
pub use model::Model;
pub use popularity::Popularity;
pub use random::Random;

use std::sync::Arc;

use super::log::Log;
use super::log::availability::Edge;
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::learn::hedge::HedgeFigures;
use crate::engine::settings::LearnSettings;

/// Orders what is available for a person; higher scores come first.
pub trait Ranker: Send {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Its scores are log-odds: their softmax over what is available is a probability that can be judged.
    fn is_log_odds(&self) -> bool {
        false
    }

    /// A new time unit begins: these items opened and closed since the last one.
    fn begin(&mut self, now: Millis, edges: &[Edge]);

    /// Scores of `candidates` for a person at `now`, in their order, into `out`.
    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>);

    /// Learns row `index` of the log.
    fn learn(&mut self, index: usize);

    /// What its experts lost so far; only of the engine.
    fn hedge(&self) -> Option<HedgeFigures> {
        None
    }
}

/// Names of the rankers that always run, in the order of reports.
pub const NAMES: [&str; 7] =
    ["model", "popularity_decayed", "popularity", "last_seen", "most_frequent", "habit_by_hour", "random"];

/// Names of all rankers, in the order of reports: also the one that shows what the list stage costs.
pub const ALL: [&str; 8] = [
    "model",
    "model_list",
    "popularity_decayed",
    "popularity",
    "last_seen",
    "most_frequent",
    "habit_by_hour",
    "random",
];

/// Makes the ranker of a name from [`ALL`].
#[must_use]
pub fn make<'a>(name: &str, log: &'a Log, settings: &Arc<LearnSettings>, seed: u64) -> Option<Box<dyn Ranker + 'a>> {
    Some(match name {
        "model" => Box::new(Model::new(log, settings.clone())),
        "model_list" => Box::new(Listed::new(log, settings.clone())),
        "popularity_decayed" => Box::new(Popularity::new(log, settings.signals.clone(), Some(DAY_MS))),
        "popularity" => Box::new(Popularity::new(log, settings.signals.clone(), None)),
        "last_seen" => Box::new(History::new(log, settings.signals.clone(), Habit::LastSeen)),
        "most_frequent" => Box::new(History::new(log, settings.signals.clone(), Habit::MostFrequent)),
        "habit_by_hour" => Box::new(History::new(log, settings.signals.clone(), Habit::ByHour)),
        "random" => Box::new(Random::new(seed)),
        _ => return None,
    })
}
