//! Ranks the feeds of one person from their state and a world.
//!
//! Invariant: equal state, world, view, noise, screen and instant give an equal feed.

use crate::domain::feeds::{FeedItem, Ranking};
use crate::domain::ids::{Epoch, FeedVersion, ItemId, ModelVersion};
use crate::domain::time::Millis;
use crate::engine::delivery::events::{RankedFeed, Ranker};
use crate::engine::delivery::standing::{Face, FeedView};
use crate::engine::rank::Viewport;
use crate::engine::user::UserState;
use crate::engine::world::{Changes, World};

/// The ranker that the server uses.
pub struct UserRanker<'a> {
    /// The person's state; mutable because ranking fills the cache of the user vector.
    pub state: &'a mut UserState,
    /// The world that is ranked.
    pub world: &'a World,
}

impl Ranker for UserRanker<'_> {
    fn epoch(&self) -> Epoch {
        self.world.epoch()
    }

    fn rank(&mut self, view: FeedView, noise: FeedVersion, drawn: &[ItemId], at: Millis) -> RankedFeed {
        self.state.look_for(view.ranking, self.world, at);
        let ranked = self.state.rank_on(self.world, at, view.ask(), Viewport { version: noise, drawn });
        // Ranked items are in the world, so each of them has a face.
        let with_faces = ranked.items.into_iter().filter_map(|one| Some((Face::of(self.world, one.item, at)?, one)));
        let (faces, items): (Vec<Face>, Vec<FeedItem>) = with_faces.unzip();
        RankedFeed {
            epoch: self.world.epoch(),
            model: serving_model(self.world, view.ranking),
            likely: self.state.likely(self.world, view.ranking, &items, at),
            items,
            faces,
            entry_threshold: ranked.entry_threshold,
            rank_us: 0,
        }
    }

    fn is_open(&self, item: ItemId, at: Millis) -> bool {
        self.world.is_open(item, at)
    }

    fn has_windows(&self, item: ItemId) -> bool {
        self.world.item(item).is_some_and(|item| !item.windows.is_always())
    }

    fn is_concerned(
        &mut self,
        changes: &Changes,
        view: FeedView,
        items: &[FeedItem],
        entry_threshold: f32,
        now: Millis,
    ) -> bool {
        self.state.look_for(view.ranking, self.world, now);
        self.state.is_concerned(self.world, changes, items, view.ranking, entry_threshold, now)
    }

    fn keeps_to_screen(&self) -> bool {
        self.world.settings().rank.stability > 0.0
    }
}

/// The version of the two-tower model that contributes to feeds of this ranking.
#[must_use]
pub fn serving_model(world: &World, ranking: Ranking) -> Option<ModelVersion> {
    world.tower().filter(|_| ranking.asks_the_tower()).map(|tower| tower.version())
}
