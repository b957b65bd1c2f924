//! Feeds: ranked lists of items for a user, with scores, propensities and explanations.
//!
//! Invariant: a feed holds no item twice; its order is its rank.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{Epoch, FeedVersion, ItemId, Key, ModelVersion, UserId};
use super::time::Millis;

/// The ranking of a feed, chosen per session or request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

    /// Whether the scores are log-odds, to which a boost can be added.
    #[must_use]
    pub fn is_log_odds(self) -> bool {
        matches!(self, Ranking::Model | Ranking::Tower)
    }

    /// Whether the ranking uses the two-tower model.
    #[must_use]
    pub fn asks_the_tower(self) -> bool {
        matches!(self, Ranking::Model | Ranking::Tower)
    }
}

/// Passes the list of the blend's experts to the macro `$generate`, in the order in which their shares are added.
///
/// A new expert is one line here and one file, `engine/experts/NAME.rs`; `docs/experts.md` says how. A line has the
/// expert's type, its name (of the file, of the setting, on the wire and in metrics), and its documentation. The order is
/// part of the formats of journal and snapshots.
macro_rules! for_each_expert {
    ($generate:ident) => {
        $generate! {
            Online online "The log-odds of the person's accepted/rejected model on the item's embedding.";
            Topic topic "The person's decaying weight of the item's topics, and how its main topic is received.";
            Freshness freshness "The age of the item.";
            Followed followed "The person follows the author, or people they follow were there.";
            Popularity popularity "The item's popularity among open items, and its rate of approval.";
            Repeat repeat "The person's habits: counts, recency and hours of their visits, and how easily they approve.";
            CoVisit co_visit "The share of steps that lead from the person's last places to the item.";
            CoAudience co_audience "The co-occurrence of the item with the places that the person visits.";
            Opening opening "The time since the item became available, and the time that remains.";
            Tower tower "The log-odds of the two-tower model for the person's history and the item.";
            #[cfg(test)] Toy toy "An example for tests: the parity of the item's id.";
        }
    };
}
pub(crate) use for_each_expert;

macro_rules! expert_enum {
    ($( $(#[cfg($only:meta)])? $Expert:ident $name:ident $doc:literal; )*) => {
        /// One expert of the blend. It weighs one or more features, which `engine::features` lists.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Expert {
            $( #[doc = $doc] $(#[cfg($only)])? $Expert, )*
        }

        impl Expert {
            /// All experts, in the order in which their shares are added.
            pub const ALL: [Expert; [$( $(#[cfg($only)])? $doc, )*].len()] =
                [$( $(#[cfg($only)])? Expert::$Expert, )*];

            /// The name on the wire, in metrics and in settings.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $( $(#[cfg($only)])? Expert::$Expert => stringify!($name), )*
                }
            }
        }
    };
}
for_each_expert!(expert_enum);

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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
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
