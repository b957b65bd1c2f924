//! Entries of the write-ahead journal, the only source of all learned state.
//!
//! Invariant: an entry holds or names all inputs of learning beside the user's state. Folding entries in order therefore
//! rebuilds the state bit by bit on any later day, whatever the catalogue or the configuration is by then.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{ItemId, Key, ModelVersion, Seq, TopicId, UserId};
use super::interactions::{Inverse, Kind, Shown, Signal};
use super::time::Millis;

/// An entry of one user's part of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// User of the event.
    pub user: UserId,
    /// Number of the entry in the user's part, consecutive from 1.
    pub seq: Seq,
    /// Id of the event, made by the client and unique per user.
    pub id: Key,
    /// Instant of the event as the client states it, replaced by `received` where it is later.
    pub at: Millis,
    /// Instant at which the server accepted the event.
    pub received: Millis,
    /// Content of the event.
    pub what: What,
}

/// Content of an event, with everything that learning used.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An interaction with an item.
    Interacted(Learned),
    /// The user follows this user from now on.
    Followed(UserId),
    /// The user stops following this user.
    Unfollowed(UserId),
    /// The user posted this item.
    Posted(ItemId),
    /// The user took their item on air (`true`) or off air.
    WentLive(ItemId, bool),
    /// The user set these topic weights, each in [0, 1].
    TopicsSet(Vec<(TopicId, f32)>),
    /// A measurement of the user. It trains no preference model.
    Measured(Measured),
    /// The user cancelled earlier interactions of theirs.
    Undone(Undone),
    /// An entry that a later one cancelled. It trains nothing, and its id stays taken.
    Cancelled(Box<Cancelled>),
}

/// A cancelled entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancelled {
    /// Number of the entry that cancelled it, among those of the user.
    pub by: Seq,
    /// Content before the cancellation.
    pub what: What,
}

/// A cancellation of earlier entries of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The sender's request.
    pub of: Undo,
    /// Numbers of the cancelled entries, ascending; empty where no such interaction stood.
    pub cancels: Vec<Seq>,
}

/// The sender's part of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// The interaction with this event id.
    Event(Key),
    /// All standing interactions with an item that this inverse cancels.
    Item(ItemId, Inverse),
}

impl Entry {
    /// Whether an event with these contents, which states the instant `at`, can be the source of this entry.
    #[must_use]
    pub fn holds(&self, contents: &Contents, at: Millis) -> bool {
        self.what.contents() == *contents && contents.is_at(at, self.at, self.received)
    }
}

/// The sender's part of an event, apart from id and time. Two events of one user with one id must agree in it. Left out are
/// the server's additions: revision, position in the feed, features, predictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Item, kind, and dwell time in milliseconds.
    Interacted(ItemId, Kind, Option<u32>),
    /// The user followed, as in [`What::Followed`].
    Followed(UserId),
    /// The user no longer followed, as in [`What::Unfollowed`].
    Unfollowed(UserId),
    /// The posted item, as in [`What::Posted`].
    Posted(ItemId),
    /// Item, and whether it went on air, as in [`What::WentLive`].
    WentLive(ItemId, bool),
    /// Weights by topic as bits, so that a NaN equals itself.
    TopicsSet(BTreeMap<TopicId, u32>),
    /// The measurement, as in [`What::Measured`].
    Measured(Measured),
    /// The request of a cancellation, as in [`What::Undone`].
    Undone(Undo),
}

impl Contents {
    /// Contents of [`What::TopicsSet`], independent of the order of the weights.
    #[must_use]
    pub fn of_weights(weights: &[(TopicId, f32)]) -> Contents {
        Contents::TopicsSet(weights.iter().map(|(topic, weight)| (*topic, weight.to_bits())).collect())
    }

    /// Whether a resent event that states the instant `stated` can be the event that was accepted at `received` with
    /// the instant `at`. The server replaces a stated instant at or after the arrival, so such an instant matches every
    /// other one. An event whose kind states no instant always matches.
    #[must_use]
    pub fn is_at(&self, stated: Millis, at: Millis, received: Millis) -> bool {
        let can_state = matches!(self, Contents::Interacted(..) | Contents::Measured(_));
        !can_state || stated >= received || at >= received || stated == at
    }
}

impl What {
    /// The sender's part of the event.
    #[must_use]
    pub fn contents(&self) -> Contents {
        match self {
            What::Interacted(learned) => Contents::Interacted(learned.item, learned.kind, learned.dwell_ms),
            What::Followed(user) => Contents::Followed(*user),
            What::Unfollowed(user) => Contents::Unfollowed(*user),
            What::Posted(item) => Contents::Posted(*item),
            What::WentLive(item, on) => Contents::WentLive(*item, *on),
            What::TopicsSet(weights) => Contents::of_weights(weights),
            What::Measured(measured) => Contents::Measured(measured.clone()),
            What::Undone(undone) => Contents::Undone(undone.of.clone()),
            What::Cancelled(cancelled) => cancelled.what.contents(),
        }
    }
}

/// A measurement of a user. It names its metric, so that later configurations cannot change its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the metric, such as `time_spent`.
    pub metric: Key,
    /// Type within the metric, such as the type of the page; `None` if the measurement has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Key>,
    /// Value in millionths of the metric's unit: an integer, so that no format rounds it.
    pub millionths: i64,
    /// Whether the value replaces the user's running mean, as the value of an attribute does, instead of joining it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaces: bool,
}

impl Measured {
    /// Value in the metric's unit.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.millionths as f64 / 1e6
    }
}

/// An interaction with all inputs of learning.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Id of the item.
    pub item: ItemId,
    /// Revision of the item that was learned.
    pub revision: u32,
    /// Kind of the interaction.
    pub kind: Kind,
    /// Dwell time in milliseconds, where the client measured it.
    pub dwell_ms: Option<u32>,
    /// Position in the shown feed, where it is known.
    pub shown: Option<Shown>,
    /// Label and weight; `None` for exposure without a label.
    pub signal: Option<Signal>,
    /// Topics of the revision, the main one first.
    pub topics: Vec<TopicId>,
    /// The centre that was subtracted from the embedding.
    pub centre: CentreRef,
    /// Features of the blend before learning, in the order of `engine::features::NAMES`; log-odds scale.
    pub features: Vec<f32>,
    /// Predictions before learning.
    pub predicted: Predicted,
    /// Training example for the shared learners; `None` if they learn nothing from it.
    pub example: Option<Box<TrainingExample>>,
    /// Instant of the like that followed an imported view; `None` where the table has no row for the like. The entry's
    /// own instant is that of the view. Learning does not read it.
    pub liked_at: Option<Millis>,
}

/// A training example for the shared learners. The user's actor computes it against the published shared weights, and
/// each shared learner folds it unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingExample {
    /// Gradient of the blend's log loss by its weights, `(2 * features,)`: weights of new items, then of seen items. Empty
    /// if the interaction is no choice, or has no negatives.
    pub gradient: Vec<f32>,
    /// Log loss of the choice in nats: each expert alone in the order of `Expert::ALL`, then the blend without the two-tower
    /// model, then the blend. Empty with the gradient.
    pub losses: Vec<f32>,
    /// Author of the item.
    pub author: Option<UserId>,
    /// The user's cluster at that time; `None` for an outlier or before the first fit.
    pub group: Option<u32>,
    /// Decayed number of the user's earlier visits to the item; `None` if the interaction is no visit.
    pub visits: Option<f32>,
    /// Other items that the user visits, most recent first.
    pub co_visited: Vec<CoVisited>,
    /// Milliseconds since the user's last visit, which was to the first companion or to this item.
    pub elapsed_ms: Option<i64>,
    /// Training example for the opinion model; `None` if its prediction was all but certain.
    pub opinion: Option<Opinion>,
    /// Weak negatives of the user's online model: items seen above the visited one and left. The store's codec writes them
    /// after the other fields, so that an example without them keeps its bytes.
    #[serde(skip)]
    pub passed: Vec<WeakNegative>,
}

/// An item that the user saw above a visited one and left. The online model learns it as a no.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeakNegative {
    /// Id of the item.
    pub item: ItemId,
    /// Revision of the item that was seen.
    pub revision: u32,
    /// The centre that is subtracted from its embedding.
    pub centre: CentreRef,
    /// Weight of the no: above 0, at most 1.
    pub weight: f32,
}

/// Training example for the opinion model: errors of its prediction before the answer, yes or no.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// Predicted probability of a yes, before calibration, minus the answer (0 or 1). It is the gradient of the log loss by
    /// the bias. Times a feature of the entry, it is the gradient by that feature's weight.
    pub error: f32,
    /// Whether the user had visited the item, so that the weights of seen items made the prediction.
    pub seen: bool,
    /// Gradient of the calibrated prediction's log loss by slope and intercept of the calibration.
    pub calibration: [f32; 2],
    /// Log loss of the prediction before calibration, in nats.
    pub loss: f32,
}

/// Another item that a user visits, for co-occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoVisited {
    /// The visited item.
    pub item: ItemId,
    /// Decayed number of visits.
    pub count: f32,
}

/// Names a centre: the vector that is subtracted from an embedding. Epoch 0 is the zero vector, before the first fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CentreRef {
    /// The topic of the centre, or the catalogue.
    pub topic: TopicId,
    /// Number of recomputations of the centre.
    pub epoch: u32,
}

impl CentreRef {
    /// The zero vector: epoch 0 of the catalogue.
    pub const NONE: CentreRef = CentreRef { topic: TopicId::CATALOGUE, epoch: 0 };
}

/// Scores before the answer was known: one per ranking, and the online model's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Predicted {
    /// Log-odds of the user's online model.
    pub online: f32,
    /// Score of the `topics` ranking: freshness plus topic weight.
    pub topics: f32,
    /// Calibrated log-odds of a yes, by the opinion model.
    pub model: f32,
    /// The two-tower model that took part; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event that arrived at 100 and is stored with the instant `at`, and a resend that states `stated`.
    #[test]
    fn a_time_is_compared_only_where_both_senders_stated_one() {
        let click = Contents::Interacted(ItemId(1), Kind::Click, None);
        for (name, stated, at, equal) in [
            ("both state it", 40, 40, true),
            ("both state another", 41, 40, false),
            ("the resend leaves it out", Millis::ON_ARRIVAL.0, 40, true),
            ("the first left it out", 40, 100, true),
            ("both left it out", Millis::ON_ARRIVAL.0, 100, true),
            ("the clock of the sender is ahead", 103, 100, true),
        ] {
            assert_eq!(click.is_at(Millis(stated), Millis(at), Millis(100)), equal, "{name}");
        }
        assert!(
            Contents::Followed(UserId(1)).is_at(Millis(41), Millis(40), Millis(100)),
            "nobody states when they follow"
        );
    }

    #[test]
    fn the_order_of_weights_does_not_count() {
        let weights = [(TopicId(1), 0.5), (TopicId(2), 0.25)];
        let others = [weights[1], weights[0]];
        assert_eq!(Contents::of_weights(&weights), Contents::of_weights(&others));
        assert_ne!(Contents::of_weights(&weights), Contents::of_weights(&weights[..1]));
    }
}
