//! The `model` feed as people see it: what the list stage and exploration make of the scores.
//!
//! Invariant: it learns as [`Model`] does, so beside it in one report it shows what a rule of the list costs, and nothing
//! else. What a person has on screen is the feed that was last made for them here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Model, Ranker};
use crate::domain::feeds::Ranking;
use crate::domain::ids::{FeedVersion, ItemId};
use crate::domain::time::Millis;
use crate::engine::rank::{RankRequest, Viewport};
use crate::engine::settings::LearnSettings;
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// So much of a feed is on screen.
const SCREEN: usize = 20;

/// See the module.
pub struct Listed<'a> {
    model: Model<'a>,
    /// By person: what they were shown last.
    drawn: BTreeMap<u32, Vec<ItemId>>,
    /// Names the noise of the next feed.
    version: FeedVersion,
    /// By item of the engine, of the feed that was just made.
    places: Vec<u32>,
}

impl<'a> Listed<'a> {
    /// Knows nothing yet.
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
        let screen = Viewport { version: self.version, drawn };
        // Hidden items are not candidates of a feed, so it may be shorter than what is open.
        let ask = RankRequest { ranking: Ranking::Model, limit: candidates.len(), explain: false };
        let feed = self.model.feed(user, now, ask, screen);
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
