//! The `model` feed as users see it: scores after the list stage and exploration.
//!
//! Invariant: it learns as [`Model`] does, so the difference between both in one report is the cost of the list stage.
//! A user's screen holds the feed that was last ranked for them here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::Model;
use super::ranker::Ranker;
use crate::domain::feeds::Ranking;
use crate::domain::ids::{FeedVersion, ItemId};
use crate::domain::time::Millis;
use crate::engine::rank::{RankRequest, Viewport};
use crate::engine::settings::LearnSettings;
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// Number of feed items on a screen.
const SCREEN: usize = 20;

/// The engine with its list stage.
pub struct Listed<'a> {
    model: Model<'a>,
    /// By user: the items of their last feed.
    drawn: BTreeMap<u32, Vec<ItemId>>,
    /// Seed of the next feed's exploration noise.
    version: FeedVersion,
    /// By engine item: its position in the current feed.
    places: Vec<u32>,
}

impl<'a> Listed<'a> {
    /// A ranker without learned rows.
    #[must_use]
    pub fn new(log: &'a Log, settings: Arc<LearnSettings>) -> Listed<'a> {
        let model = Model::new(log, settings);
        Listed { model, drawn: BTreeMap::new(), version: FeedVersion::default(), places: Vec::new() }
    }
}

impl Ranker for Listed<'_> {
    fn name(&self) -> &'static str {
        "model_list"
    }

    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        self.model.begin(now, edges);
    }

    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        self.version = FeedVersion(self.version.0 + 1);
        let drawn = self.drawn.get(&user).map_or(&[][..], Vec::as_slice);
        let viewport = Viewport { version: self.version, drawn };
        // Hidden items are no candidates of a feed, so a feed may be shorter than the list of open items.
        let request = RankRequest { ranking: Ranking::Model, limit: candidates.len(), explain: false };
        let feed = self.model.feed(user, now, request, viewport);
        let end = feed.len() as u32;
        self.places.clear();
        self.places.resize(feed.iter().map(|item| item.0 as usize + 1).max().unwrap_or(0), end);
        for (place, item) in (0..).zip(&feed) {
            self.places[item.0 as usize] = place;
        }
        let place_of = |item: Option<ItemId>| item.and_then(|item| self.places.get(item.0 as usize)).unwrap_or(&end);
        out.clear();
        out.extend(candidates.iter().map(|item| -(*place_of(self.model.known_as(*item)) as f32)));
        self.drawn.insert(user, feed.into_iter().take(SCREEN).collect());
    }

    fn learn(&mut self, index: usize) {
        self.model.learn(index);
    }
}
