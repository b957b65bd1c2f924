//! Items that resemble the user's last visited item by their visitors, as `GET /v1/items/{id}/similar?by=visits` lists them.
//!
//! Invariant: it learns as [`Model`] does, and reads the similarities that the engine has published by then. The item itself and
//! items that do not resemble it come behind all others, by current popularity (half-life one day).

use std::collections::HashMap;
use std::sync::Arc;

use super::model::Model;
use super::popularity::Popularity;
use super::ranker::Ranker;
use crate::domain::ids::ItemId;
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::rank::similar::{SimilarBy, similar};
use crate::engine::settings::LearnSettings;
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// The engine's similar items as a ranker.
pub struct SimilarItems<'a> {
    log: &'a Log,
    settings: Arc<LearnSettings>,
    model: Model<'a>,
    popularity: Popularity<'a>,
    /// By user: the last visited item.
    last: Vec<Option<u32>>,
}

impl<'a> SimilarItems<'a> {
    /// A ranker without learned rows.
    #[must_use]
    pub fn new(log: &'a Log, settings: Arc<LearnSettings>) -> SimilarItems<'a> {
        let popularity = Popularity::new(log, settings.signals.clone(), Some(DAY_MS));
        let model = Model::new(log, settings.clone());
        SimilarItems { log, settings, model, popularity, last: vec![None; log.users.len()] }
    }
}

impl Ranker for SimilarItems<'_> {
    fn name(&self) -> &'static str {
        "similar_items"
    }

    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        self.model.begin(now, edges);
        self.popularity.begin(now, edges);
    }

    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        let last = self.last[user as usize].and_then(|item| self.model.known_as(item));
        let world = self.model.offline().world();
        let listed = last.map_or(Vec::new(), |item| similar(world, item, SimilarBy::Visits, candidates.len(), now));
        let similar: HashMap<ItemId, f32> = listed.into_iter().map(|one| (one.item, one.score)).collect();
        self.popularity.scores(user, candidates, now, out);
        for (score, item) in out.iter_mut().zip(candidates) {
            let strength = self.model.known_as(*item).and_then(|item| similar.get(&item));
            // A monotone map of popularity into [-1, 0), below any similarity.
            *score = strength.copied().unwrap_or(-1.0 / (1.0 + *score));
        }
    }

    fn learn(&mut self, index: usize) {
        self.model.learn(index);
        self.popularity.learn(index);
        let row = &self.log.rows[index];
        if row.signal(&self.settings.signals, !self.log.has_presence).is_some_and(|signal| signal.positive) {
            self.last[row.user as usize] = Some(row.item);
        }
    }
}
