//! Feeds: ranked lists of items for a user, with scores, propensities and explanations.
//!
//! Invariant: a feed holds no item twice; its order is its rank.

use serde::{Deserialize, Serialize};

use super::ids::{Epoch, FeedVersion, ItemId, Key, ModelVersion, UserId};
use super::time::Millis;

/// The ranking of a feed, chosen per session or request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// Newest items first.
    Flat,
    /// The flat feed, sorted by freshness plus topic weight.
    Topics,
    /// The blend of all experts.
    #[default]
    Model,
    /// The two-tower model alone.
    Tower,
}

impl Ranking {
    /// All rankings, in the order of their declaration.
    pub const ALL: [Ranking; 4] = [Ranking::Flat, Ranking::Topics, Ranking::Model, Ranking::Tower];

    /// Finds a ranking by its name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Ranking> {
        Ranking::ALL.into_iter().find(|ranking| ranking.name() == name)
    }

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ranking::Flat => "flat",
            Ranking::Topics => "topics",
            Ranking::Model => "model",
            Ranking::Tower => "tower",
        }
    }

    /// Whether the ranking uses the two-tower model.
    #[must_use]
    pub fn asks_the_tower(self) -> bool {
        matches!(self, Ranking::Model | Ranking::Tower)
    }
}

/// An expert of the blend. Each uses one or more features of the journal, see `engine::learn::features`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expert {
    /// The user's online logistic regression on embeddings.
    Online,
    /// The user's decaying weights of the item's topics, and the approval rate of its topic.
    Topic,
    /// Age of the item.
    Freshness,
    /// The user follows the author, or users whom they follow visited the item.
    Followed,
    /// Popularity among the available items, and the item's approval rate.
    Popularity,
    /// The user's own habit: frequency, recency and hours of their visits to the item, and their approval rate.
    Repeat,
    /// Transitions of all users from the user's last item to this one.
    CoVisit,
    /// Co-occurrence: users who visit the user's items also visit this one.
    CoAudience,
    /// Time since the item became available.
    Opening,
    /// Score of the two-tower model for the user's history and the item.
    Tower,
}

impl Expert {
    /// All experts, in the order in which a score sums their contributions.
    pub const ALL: [Expert; 10] = [
        Expert::Online,
        Expert::Topic,
        Expert::Freshness,
        Expert::Followed,
        Expert::Popularity,
        Expert::Repeat,
        Expert::CoVisit,
        Expert::CoAudience,
        Expert::Opening,
        Expert::Tower,
    ];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Expert::Online => "online",
            Expert::Topic => "topic",
            Expert::Freshness => "freshness",
            Expert::Followed => "followed",
            Expert::Popularity => "popularity",
            Expert::Repeat => "repeat",
            Expert::CoVisit => "co_visit",
            Expert::CoAudience => "co_audience",
            Expert::Opening => "opening",
            Expert::Tower => "tower",
        }
    }
}

/// Contribution of an expert to a score, in the unit of the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The contributing expert.
    pub expert: Expert,
    /// The contribution; all contributions to an item sum to its score.
    pub amount: f32,
}

/// An item in a feed, with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedItem {
    /// Id of the item.
    pub item: ItemId,
    /// Log-odds in `model` and `tower`, freshness plus weight in `topics`, freshness in `flat`.
    pub score: f32,
    /// Propensity: probability that the policy puts the item here, given the items above; 1 without exploration.
    pub propensity: f32,
    /// Contributions of the experts; empty unless the request asks for an explanation.
    pub why: Vec<Contribution>,
}

/// Cause of a new feed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// The session opened.
    Opened,
    /// The user acted.
    Event {
        /// Id of the user's last event, which the client made.
        id: Key,
    },
    /// Items appeared, disappeared or changed.
    World {
        /// Epoch of the world with the change.
        epoch: Epoch,
    },
    /// The session asked for another ranking, limit or explanation.
    Configured,
    /// New shared weights were published, time passed, or the server recovered the user from the journal.
    Refreshed,
}

impl Cause {
    /// Whether this cause stays when a feed with cause `next` replaces a feed that no client has seen. Causes by the user
    /// come before changes of the world, and those before refreshes.
    #[must_use]
    pub fn outlives(&self, next: &Cause) -> bool {
        let rank = |cause: &Cause| match cause {
            Cause::Refreshed => 0,
            Cause::World { .. } => 1,
            Cause::Opened | Cause::Event { .. } | Cause::Configured => 2,
        };
        rank(self) > rank(next)
    }
}

/// A ranked list of items for one user.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// The user of the feed.
    pub user: UserId,
    /// Version, which increases with each feed of the user.
    pub version: FeedVersion,
    /// Epoch of the world that was ranked.
    pub epoch: Epoch,
    /// Ranking of the feed.
    pub ranking: Ranking,
    /// The two-tower model that took part; `None` without one.
    pub model: Option<ModelVersion>,
    /// Probability of a positive answer to each item, in the order of `items`; empty before calibration.
    pub likely: Vec<f32>,
    /// Items, the best first.
    pub items: Vec<FeedItem>,
}

/// A slate: a feed that a client has shown, as the log of slates stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct Slate {
    /// The user of the feed.
    pub user: UserId,
    /// Version of the feed.
    pub version: FeedVersion,
    /// Instant at which the client showed it.
    pub at: Millis,
    /// Epoch of the world that was ranked.
    pub epoch: Epoch,
    /// Ranking of the feed.
    pub ranking: Ranking,
    /// Items from the top, each with its propensity: the probability of this item here, given the items above.
    pub items: Vec<(ItemId, f32)>,
}
