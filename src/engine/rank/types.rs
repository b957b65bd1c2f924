//! Requests, candidates and results of ranking.

use roaring::RoaringBitmap;

use crate::domain::feeds::{FeedItem, Ranking};
use crate::domain::ids::{FeedVersion, ItemId};
use crate::domain::time::Millis;

/// A request for one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankRequest {
    /// The ranking that makes the order.
    pub ranking: Ranking,
    /// The largest number of items in the feed.
    pub limit: usize,
    /// Whether each item carries the contributions of its experts.
    pub explain: bool,
}

/// The version of the feed that is being made, and the items on the client's screen meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Viewport<'a> {
    /// Version of the feed that is being made: it seeds the noise of exploration.
    pub version: FeedVersion,
    /// The items that the client has drawn, from the top; empty when unknown.
    pub drawn: &'a [ItemId],
}

/// A feed, and the score that an item needs to enter it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The items of the feed, best first.
    pub items: Vec<FeedItem>,
    /// An item outside of the feed with a score below this cannot enter it. Minus infinity: any item might.
    pub entry_threshold: f32,
}

/// Items that may be shown, by id.
pub(crate) struct Candidates(pub(super) RoaringBitmap);

/// A candidate with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    /// Id of the candidate.
    pub item: ItemId,
    /// Its score by the ranking of the feed.
    pub score: f32,
    /// Creation time, since `flat` orders by more digits than an f32 score holds.
    pub created: Millis,
}
