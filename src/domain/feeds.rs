//! What a person is shown.
//!
//! Invariant: a feed holds no item twice; its order is its rank.

use serde::{Deserialize, Serialize};

use super::ids::{Epoch, FeedVersion, ItemId, Key, ModelVersion, UserId};
use super::time::Millis;

/// How a feed is ranked, chosen per session or request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// Newest first.
    Flat,
    /// The flat feed, re-sorted by freshness plus topic weight.
    Topics,
    /// Everything that was learned.
    #[default]
    Model,
    /// By the two-tower model alone.
    Tower,
}

impl Ranking {
    /// All rankings.
    pub const ALL: [Ranking; 4] = [Ranking::Flat, Ranking::Topics, Ranking::Model, Ranking::Tower];

    /// The ranking of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Ranking> {
        Ranking::ALL.into_iter().find(|ranking| ranking.name() == name)
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ranking::Flat => "flat",
            Ranking::Topics => "topics",
            Ranking::Model => "model",
            Ranking::Tower => "tower",
        }
    }

    /// Has the two-tower model a say in it?
    #[must_use]
    pub fn asks_the_tower(self) -> bool {
        matches!(self, Ranking::Model | Ranking::Tower)
    }
}

/// One voice in the blend. Each stands on one or more features of the journal, see `engine::learn::features`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expert {
    /// The person's accepted/rejected model on the embedding.
    Online,
    /// The person's decaying weight of the item's topics, and how its topic is received.
    Topic,
    /// How new the item is.
    Freshness,
    /// The person follows its author, or people they follow were there.
    Followed,
    /// How popular it is among what is available, and how it is received.
    Popularity,
    /// The person's own habit: how often, how lately, at which hours they came back to it; how easily they approve.
    Repeat,
    /// What people go to next, from where this person was last.
    CoVisit,
    /// Who goes to where this person goes also goes there.
    CoAudience,
    /// How long ago it became available.
    Opening,
    /// The two-tower model: what it makes of the person's history and of the item.
    Tower,
}

impl Expert {
    /// All experts, in the order in which their shares are added.
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

    /// The name on the wire.
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

/// One line of an explanation: what an expert added to the score, in the score's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// Which expert.
    pub expert: Expert,
    /// What it added; all lines of an item sum to its score.
    pub amount: f32,
}

/// An item in a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedItem {
    /// Which.
    pub item: ItemId,
    /// Log-odds in `model` and `tower`, freshness plus weight in `topics`, freshness in `flat`.
    pub score: f32,
    /// Probability with which the policy put it there, given what stands above; 1 without exploration.
    pub propensity: f32,
    /// Why; empty unless it was asked for.
    pub why: Vec<Contribution>,
}

/// What made a feed new.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// The session opened.
    Opened,
    /// The person did something: the id of their last event.
    Event {
        /// The client's own id of it.
        id: Key,
    },
    /// Items appeared, disappeared or changed.
    World {
        /// The world in which they did.
        epoch: Epoch,
    },
    /// The session asked for another ranking, limit or explanation.
    Configured,
    /// What is learned from everybody was published, time passed, or the server learned again from the journal.
    Refreshed,
}

impl Cause {
    /// Does this cause stay when a feed with `next` replaces a feed that no client has seen? What a person asked for is
    /// said before what the world did, and that before a mere refresh.
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

/// A ranked list for one person.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// For whom.
    pub user: UserId,
    /// Rises with each feed of that person.
    pub version: FeedVersion,
    /// The world it was ranked in.
    pub epoch: Epoch,
    /// How it was ranked.
    pub ranking: Ranking,
    /// The two-tower model that had a say in it, if one had.
    pub model: Option<ModelVersion>,
    /// Probability of a yes to each item, in the order of `items`; empty where none is calibrated.
    pub likely: Vec<f32>,
    /// Best first.
    pub items: Vec<FeedItem>,
}

/// A feed that a screen has drawn, as it is logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Slate {
    /// For whom.
    pub user: UserId,
    /// Which of their feeds.
    pub version: FeedVersion,
    /// When it was drawn.
    pub at: Millis,
    /// The world it was ranked in.
    pub epoch: Epoch,
    /// How it was ranked.
    pub ranking: Ranking,
    /// From the top: what stood there, and the probability with which the policy put it there, given what stands above.
    pub items: Vec<(ItemId, f32)>,
}
