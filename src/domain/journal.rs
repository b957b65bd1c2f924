//! What is remembered of what happened: the one source of everything learned.
//!
//! Invariant: an entry carries or names all that learning read beside the person's own state, so that folding entries
//! in order rebuilds that state bit by bit, on any later day, whatever the catalogue or the configuration is by then.

use serde::{Deserialize, Serialize};

use super::ids::{ItemId, Key, Seq, TopicId, UserId};
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
    /// Set these topic weights by hand, each in [0, 1].
    TopicsSet(Vec<(TopicId, f32)>),
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
    /// The experts' values in the order of `Expert::ALL`, before learning; log-odds scale.
    pub features: Vec<f32>,
    /// What was predicted before learning.
    pub predicted: Predicted,
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
    /// The `model` ranking: log-odds of the blend.
    pub model: f32,
}
