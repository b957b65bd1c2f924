//! Rankers: the serving engine, and the baselines beside it.
//!
//! Invariant: scoring changes no later score, and a ranker knows only the rows and edges that [`Ranker::begin`] and
//! [`Ranker::learn`] gave it. Equal seed and rows give equal scores. Absent on purpose: the order of ties, which the
//! protocol decides.

mod ranker;
mod random;
mod popularity;
mod history;
mod latent;
mod model;
mod listed;
mod similar;
pub mod contenders;
pub mod labels;

pub use history::{Habit, History};
pub use latent::LatentFactors;
pub use listed::Listed;
pub use model::Model;
pub use popularity::Popularity;
pub use random::Random;
pub use ranker::Ranker;
pub use similar::SimilarItems;

use std::sync::Arc;

use super::log::Log;
use crate::domain::time::DAY_MS;
use crate::engine::settings::LearnSettings;

/// Names of the default rankers, in the order of reports.
pub const NAMES: [&str; 8] = [
    "model",
    "popularity_decayed",
    "popularity",
    "last_seen",
    "most_frequent",
    "habit_by_hour",
    "latent_factors",
    "random",
];

/// Names of all rankers, in the order of reports; `model_list` shows the cost of the list stage, `similar_items` the worth of
/// the items that resemble the last visited one.
pub const ALL: [&str; 10] = [
    "model",
    "model_list",
    "similar_items",
    "popularity_decayed",
    "popularity",
    "last_seen",
    "most_frequent",
    "habit_by_hour",
    "latent_factors",
    "random",
];

/// Creates the ranker of a name from [`ALL`].
#[must_use]
pub fn make<'a>(name: &str, log: &'a Log, settings: &Arc<LearnSettings>, seed: u64) -> Option<Box<dyn Ranker + 'a>> {
    Some(match name {
        "model" => Box::new(Model::new(log, settings.clone())),
        "model_list" => Box::new(Listed::new(log, settings.clone())),
        "similar_items" => Box::new(SimilarItems::new(log, settings.clone())),
        "popularity_decayed" => Box::new(Popularity::new(log, settings.signals.clone(), Some(DAY_MS))),
        "popularity" => Box::new(Popularity::new(log, settings.signals.clone(), None)),
        "last_seen" => Box::new(History::new(log, settings.signals.clone(), Habit::LastSeen)),
        "most_frequent" => Box::new(History::new(log, settings.signals.clone(), Habit::MostFrequent)),
        "habit_by_hour" => Box::new(History::new(log, settings.signals.clone(), Habit::ByHour)),
        "latent_factors" => Box::new(LatentFactors::new(log, settings.signals.clone(), seed)),
        "random" => Box::new(Random::new(seed)),
        _ => return None,
    })
}
