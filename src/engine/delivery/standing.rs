//! The feed that stands for one view, and how it differs from another feed.
//!
//! Invariant: `faces[i]` is the face of `feed.items[i]`. Scores, probabilities, reasons and expected ends alone never make
//! a feed worth a push.
//! Deliberately absent: the wire format (`actors::user::wire` renders faces).

use std::sync::Arc;

use crate::domain::feeds::{Cause, Feed, FeedItem, Ranking};
use crate::domain::ids::{FeedVersion, ItemId, Key};
use crate::domain::time::Millis;
use crate::engine::delivery::patch::{Step, diff};
use crate::engine::delivery::refresh::moved;
use crate::engine::rank::RankRequest;
use crate::engine::world::World;

/// A patch updates an item whose score moved by at least this many log-odds.
const SCORE_STEP: f32 = 0.01;
/// A patch updates an item whose probability moved by at least this much: half of the precision that the page shows.
const LIKELY_STEP: f32 = 0.005;

/// The ranking parameters of a subscription. Subscriptions with equal views share one standing feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedView {
    /// The ranking that orders the feed.
    pub ranking: Ranking,
    /// The number of items at most.
    pub limit: u32,
    /// Whether each item carries the contributions of the experts.
    pub explain: bool,
}

impl FeedView {
    /// The request for the ranking.
    #[must_use]
    pub fn ask(self) -> RankRequest {
        RankRequest { ranking: self.ranking, limit: self.limit as usize, explain: self.explain }
    }
}

/// The part of an item that a client displays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// The item's external key.
    pub key: Key,
    /// The author's external key, if a person made the item.
    pub author: Option<Key>,
    /// The key of the main topic.
    pub topic: Option<Key>,
    /// The text that a person reads.
    pub text: Arc<str>,
    /// Creation time of the item.
    pub created: Millis,
    /// End of the open window, if it is known.
    pub available_until: Option<Millis>,
    /// Expected end of an open window whose end is not known.
    pub expected_until: Option<Millis>,
    /// Whether the item has windows and one of them is open.
    pub is_live: bool,
}

impl Face {
    /// The face of an item at `now`; `None` for an item that is not in the world.
    #[must_use]
    pub fn of(world: &World, id: ItemId, now: Millis) -> Option<Face> {
        let item = world.item(id)?;
        let window = item.windows.at(now);
        Some(Face {
            key: item.key.clone(),
            author: item.author.as_ref().map(|author| author.key.clone()),
            topic: item.topics.first().and_then(|topic| world.topic(*topic)).cloned(),
            text: item.text.clone(),
            created: item.created,
            available_until: window.and_then(|window| window.stop),
            expected_until: window.and_then(|_| world.expected_ends().of(id)).filter(|until| *until > now),
            is_live: window.is_some(),
        })
    }

    /// Whether a client would display another face. The expected end is not compared: it moves every second, without
    /// news for the client.
    #[must_use]
    pub(crate) fn differs_from(&self, other: &Face) -> bool {
        let Face { key, author, topic, text, created, available_until, expected_until: _, is_live } = self;
        (key, author, topic, text, created, available_until, is_live)
            != (
                &other.key,
                &other.author,
                &other.topic,
                &other.text,
                &other.created,
                &other.available_until,
                &other.is_live,
            )
    }
}

/// The current feed of a view, with everything needed to rank it again under equal conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingFeed {
    /// The ranked items with their version.
    pub feed: Feed,
    /// An item outside the feed enters it only with at least this score.
    pub entry_threshold: f32,
    /// One face per item, in the order of the items.
    pub faces: Vec<Face>,
    /// The reason for this feed, as clients are notified of it.
    pub cause: Cause,
    /// Time at which the feed was ranked.
    pub made: Millis,
    /// The version that seeds the exploration noise: the feed's own version, or that of the feed which it refreshed.
    pub noise: FeedVersion,
    /// The items on the client's screen at ranking time, from the top.
    pub drawn: Vec<ItemId>,
    /// Microseconds that the ranking took; 0 where the ranker measures no time.
    pub rank_us: u32,
}

impl StandingFeed {
    /// The items from the top.
    #[must_use]
    pub fn ids(&self) -> Vec<ItemId> {
        self.feed.items.iter().map(|one| one.item).collect()
    }

    /// Whether the feed contains this item.
    #[must_use]
    pub fn contains(&self, item: ItemId) -> bool {
        self.feed.items.iter().any(|one| one.item == item)
    }

    /// Whether this feed is worth a push after `before`: an entry, the order, or the face of an item differs.
    #[must_use]
    pub(crate) fn differs_from(&self, before: &StandingFeed) -> bool {
        let faces = || self.faces.iter().zip(&before.faces).any(|(new, old)| new.differs_from(old));
        moved(&before.feed.items, &self.feed.items) || faces()
    }

    /// The steps from `base` to this feed. Kept items are updated when their face differs or their numbers moved visibly.
    #[must_use]
    pub fn steps_from(&self, base: &StandingFeed) -> Vec<Step<ItemId>> {
        let changed = |item: &ItemId| match (base.position(*item), self.position(*item)) {
            (Some(old), Some(new)) => {
                self.numbers_moved(new, base, old)
                    || match (base.faces.get(old), self.faces.get(new)) {
                        (Some(old), Some(new)) => new.differs_from(old),
                        _ => false,
                    }
            }
            _ => false,
        };
        diff(&base.ids(), &self.ids(), changed)
    }

    /// The position of an item, from 0.
    #[must_use]
    pub fn position(&self, item: ItemId) -> Option<usize> {
        self.feed.items.iter().position(|one| one.item == item)
    }

    fn numbers_moved(&self, place: usize, base: &StandingFeed, old: usize) -> bool {
        let score =
            |feed: &StandingFeed, place: usize| feed.feed.items.get(place).map_or(0.0, |one: &FeedItem| one.score);
        let likely = match (base.feed.likely.get(old), self.feed.likely.get(place)) {
            (Some(old), Some(new)) => (old - new).abs() >= LIKELY_STEP,
            (old, new) => old.is_some() != new.is_some(),
        };
        likely || (score(base, old) - score(self, place)).abs() >= SCORE_STEP
    }
}
