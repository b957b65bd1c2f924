//! What is remembered of what happened: the one source of everything learned.
//!
//! Invariant: an entry carries or names all that learning read beside the person's own state, so that folding entries
//! in order rebuilds that state bit by bit, on any later day, whatever the catalogue or the configuration is by then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{ItemId, Key, ModelVersion, Seq, TopicId, UserId};
use super::interactions::{Kind, Shown, Signal};
use super::time::Millis;

/// One entry of one person's slice of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whose.
    pub user: UserId,
    /// Its number in their slice: consecutive from 1.
    pub seq: Seq,
    /// The client's id; unique per person.
    pub id: Key,
    /// When it happened, as far as the client may say; never later than `received`.
    pub at: Millis,
    /// When the server took it.
    pub received: Millis,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A person acted on an item.
    Interacted(Learned),
    /// Follows that person from now on.
    Followed(UserId),
    /// Follows them no longer.
    Unfollowed(UserId),
    /// Made this item.
    Posted(ItemId),
    /// Took an item of theirs on air, or off.
    WentLive(ItemId, bool),
    /// Set these topic weights by hand, each in [0, 1].
    TopicsSet(Vec<(TopicId, f32)>),
    /// Something about them was measured. Teaches no model of what they like.
    Measured(Measured),
}

impl Entry {
    /// Was this entry made from an event with these contents? `at` is the time that the event states.
    #[must_use]
    pub fn holds(&self, contents: &Contents, at: Millis) -> bool {
        self.what.contents() == *contents && contents.is_at(at, self.at, self.received)
    }
}

/// The part of an event that its sender decides, apart from id and time. Two events of one person with one id must
/// agree in it. Left out: what the server adds (revision, place in the feed, features, predictions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// On which item, what, and for how long in milliseconds.
    Interacted(ItemId, Kind, Option<u32>),
    /// See [`What::Followed`].
    Followed(UserId),
    /// See [`What::Unfollowed`].
    Unfollowed(UserId),
    /// See [`What::Posted`].
    Posted(ItemId),
    /// See [`What::WentLive`].
    WentLive(ItemId, bool),
    /// Weights by topic as bits, so that a NaN equals itself.
    TopicsSet(BTreeMap<TopicId, u32>),
    /// See [`What::Measured`].
    Measured(Measured),
}

impl Contents {
    /// Contents of [`What::TopicsSet`]; the order of the weights does not count.
    #[must_use]
    pub fn of_weights(weights: &[(TopicId, f32)]) -> Contents {
        Contents::TopicsSet(weights.iter().map(|(topic, weight)| (*topic, weight.to_bits())).collect())
    }

    /// May an event that states `stated` be the one that was taken at `received` with the time `at`? A time that is not
    /// before its arrival was made by the server, and is compared with nothing; nor is that of events whose senders
    /// cannot state one.
    #[must_use]
    pub fn is_at(&self, stated: Millis, at: Millis, received: Millis) -> bool {
        let can_state = matches!(self, Contents::Interacted(..) | Contents::Measured(_));
        !can_state || stated >= received || at >= received || stated == at
    }
}

impl What {
    /// See [`Contents`].
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
        }
    }
}

/// One measurement of a person, by name, so that it stands for itself whatever is declared later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Which metric, such as `time_spent`.
    pub metric: Key,
    /// Of which kind, such as the type of the page.
    pub kind: Key,
    /// How much, in millionths of the metric's unit: whole, so that no writing down rounds it.
    pub millionths: i64,
}

impl Measured {
    /// In the metric's unit.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.millionths as f64 / 1e6
    }
}

/// An interaction with all that learning used.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// On what.
    pub item: ItemId,
    /// The revision that was learned from.
    pub revision: u32,
    /// What they did.
    pub kind: Kind,
    /// For how long.
    pub dwell_ms: Option<u32>,
    /// Where it stood.
    pub shown: Option<Shown>,
    /// What it taught; `None` is exposure only.
    pub signal: Option<Signal>,
    /// The item's topics then, the main one first.
    pub topics: Vec<TopicId>,
    /// What the embedding was centred by.
    pub centre: CentreRef,
    /// What the blend weighed, in the order of `engine::learn::features::NAMES`, before learning; log-odds scale.
    pub features: Vec<f32>,
    /// What was predicted before learning.
    pub predicted: Predicted,
    /// What it teaches those who learn from everybody; `None` where nothing follows from it.
    pub example: Option<Box<TrainingExample>>,
}

/// What an interaction teaches the shared learners: computed by the person's actor against the shared weights as they
/// were published then, folded by everyone who learns from it as it stands here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingExample {
    /// Gradient of the blend's log loss by its weights, `(2 * features,)`: those of new items, then those of seen ones. Empty
    /// when this was no choice, or when there was nothing to compare it with.
    pub gradient: Vec<f32>,
    /// Log loss of the choice in nats: each expert alone in the order of `Expert::ALL`, then the blend without the two-tower
    /// model, then the blend. Empty with the gradient.
    pub losses: Vec<f32>,
    /// Who made the item.
    pub author: Option<UserId>,
    /// The group that the person was in then, of those found by then; `None` outside of all.
    pub group: Option<u32>,
    /// How often the person had been there before, fading; `None` when this was no visit.
    pub visits: Option<f32>,
    /// Where else they go, most recent first.
    pub co_visited: Vec<CoVisited>,
    /// How long after their last visit, which was to the first of the companions or to the same place; milliseconds.
    pub elapsed_ms: Option<i64>,
    /// What the answer, yes or no, teaches the opinion; `None` when it was all but certain.
    pub opinion: Option<Opinion>,
}

/// What an answer teaches: the errors of what was promised before it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// Promised probability of a yes, before calibration, less the answer (0 or 1). It is the gradient of the log loss by the
    /// bias, and times a feature of the entry that by the feature's weight.
    pub error: f32,
    /// The person had been there, so the weights of seen items made the promise.
    pub seen: bool,
    /// Gradient of the log loss of the calibrated promise by slope and intercept of the calibration.
    pub calibration: [f32; 2],
    /// Log loss of the promise before calibration, in nats.
    pub loss: f32,
}

/// Another item that a person goes to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoVisited {
    /// Which.
    pub item: ItemId,
    /// How often, fading.
    pub count: f32,
}

/// Names the vector that was subtracted from an embedding. Epoch 0 is the zero vector: nothing was known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CentreRef {
    /// The topic, or the catalogue.
    pub topic: TopicId,
    /// Rises by one whenever that centre is computed afresh.
    pub epoch: u32,
}

impl CentreRef {
    /// The zero vector.
    pub const NONE: CentreRef = CentreRef { topic: TopicId::CATALOGUE, epoch: 0 };
}

/// Scores given before the answer was known, one per ranking, plus the online model's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The person's accepted/rejected model: log-odds.
    pub online: f32,
    /// The `topics` ranking: freshness plus topic weight.
    pub topics: f32,
    /// The opinion: calibrated log-odds of a yes.
    pub model: f32,
    /// The two-tower model that had a say in it, if one had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An arrival at 100 that was stored with the time `at`, and a resend that states `stated`.
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
