//! The inputs and outputs of delivery, and the interface to the ranking.
//!
//! Invariant: plain values. An event carries no time; each call brings a [`Moment`].

use std::sync::Arc;

use crate::domain::feeds::{Cause, FeedItem};
use crate::domain::ids::{Epoch, FeedVersion, ItemId, ModelVersion};
use crate::domain::time::Millis;
use crate::engine::delivery::flow_control::FeedUpdate;
use crate::engine::delivery::standing::{Face, FeedView, StandingFeed};
use crate::engine::world::Changes;

/// A ranking's result, before it has a version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RankedFeed {
    /// The epoch of the world that was ranked.
    pub epoch: Epoch,
    /// The two-tower model that contributed.
    pub model: Option<ModelVersion>,
    /// The ranked items, best first.
    pub items: Vec<FeedItem>,
    /// The probability of a yes to each item; empty where it is not calibrated.
    pub likely: Vec<f32>,
    /// One face per item.
    pub faces: Vec<Face>,
    /// An item outside the feed enters it only with at least this score.
    pub entry_threshold: f32,
    /// Microseconds that the ranking took; 0 where the ranker measures no time.
    pub rank_us: u32,
}

/// Computes rankings and answers questions about the current world, for one person.
pub trait Ranker {
    /// The epoch of the current world.
    fn epoch(&self) -> Epoch;
    /// Ranks a feed as of `at`, with the exploration noise of version `noise`, for a screen that shows `drawn`.
    fn rank(&mut self, view: FeedView, noise: FeedVersion, drawn: &[ItemId], at: Millis) -> RankedFeed;
    /// Whether the item is available at `at`.
    fn is_open(&self, item: ItemId, at: Millis) -> bool;
    /// Whether the item's availability is limited to windows. Only such items are announced by `live`.
    fn has_windows(&self, item: ItemId) -> bool;
    /// Whether the changes can alter a feed with these items and this entry threshold.
    fn is_concerned(
        &mut self,
        changes: &Changes,
        view: FeedView,
        items: &[FeedItem],
        entry_threshold: f32,
        now: Millis,
    ) -> bool;
    /// Whether the order depends on the items that the client shows.
    fn keeps_to_screen(&self) -> bool;
}

/// The instant of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The current time.
    pub now: Millis,
    /// The number of the newest publication of a world; read before the world itself.
    pub published: u64,
}

/// An input of `Feeds::apply`. `S` identifies a subscription.
#[derive(Clone, Debug)]
pub enum FeedEvent<'a, S> {
    /// A subscription opened.
    Attach {
        /// The identity of the new subscription.
        subscription: S,
        /// The feed that the subscription shows.
        view: FeedView,
        /// The version that a reconnecting client still shows.
        resume: Option<FeedVersion>,
    },
    /// A subscription closed.
    Detach(S),
    /// A client reported that it shows this version.
    Acknowledged(S, FeedVersion),
    /// A subscription switches to another feed.
    Configure(S, FeedView),
    /// All feeds are outdated for this reason. They are ranked once per burst.
    Due(Cause),
    /// The burst is over: ranks all feeds if they are due.
    BurstOver,
    /// A world with these changes was published. Empty changes count, too: time passed since the publication before.
    WorldChanged(&'a Changes),
    /// Ranks all open feeds again without a new reason, and sends those that differ.
    Refresh,
    /// Time passed: checks acknowledgement timeouts and closed items.
    Tick,
}

/// An output of `Feeds::apply`, to carry out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery<S> {
    /// Send this update to one subscription.
    Feed {
        /// The subscription that receives it.
        to: S,
        /// The feed, whole or as a patch.
        update: FeedUpdate<StandingFeed>,
    },
    /// Send a `live` message about this item to all subscriptions.
    Live {
        /// The item that opened or closed.
        item: ItemId,
        /// Whether it opened.
        available: bool,
    },
    /// A client shows this feed: log it.
    Shown(Arc<StandingFeed>),
    /// Apply [`FeedEvent::BurstOver`] once all waiting messages are handled.
    RankAfterBurst,
}

/// The items that follow a client's feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedPage {
    /// The ranking from the top, up to the end of the page.
    pub ranked: RankedFeed,
    /// Whether no further item follows.
    pub is_last: bool,
}
