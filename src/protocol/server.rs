//! What the server says.
//!
//! Invariant: versions of one session rise; a `patch` names the version it changes, which the client has drawn or will
//! draw next; `accepted` means durable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::feeds::{Cause, Expert, Ranking};
use crate::domain::ids::{Epoch, FeedVersion, Key, ModelVersion, Seq};
use crate::domain::time::Millis;

use super::problem::Code;

/// Everything the server may say: one JSON object per text frame, tagged by `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Answers `hello`.
    Welcome(Welcome),
    /// The whole feed.
    Feed(FeedMessage),
    /// What changed since the feed `base`, to be applied in order.
    Patch(Patch),
    /// This event is durable. Answers `interact`, `post`, `follow`, `unfollow`, and `configure` with topics.
    Accepted(Accepted),
    /// Answers `more`.
    Page(Page),
    /// What the server thinks of the person now; at most once a second, after something was learned.
    Model(Model),
    /// An item of the feed became available, or stopped to be.
    Live(Live),
    /// Too much to do: nothing was learned, send the same again later.
    Busy(Busy),
    /// A message could not be followed. The connection stays.
    Error(ErrorMessage),
    /// Answers `ping`.
    Pong(Pong),
    /// The server is about to close the socket.
    Bye(Bye),
}

impl ServerMessage {
    /// All `type` tags.
    pub const TYPES: [&'static str; 11] =
        ["welcome", "feed", "patch", "accepted", "page", "model", "live", "busy", "error", "pong", "bye"];
}

/// See [`ServerMessage::Welcome`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Names this session in logs.
    pub session: String,
    /// Who the session acts as.
    pub user: Key,
    /// The world now.
    pub epoch: Epoch,
    /// The person's newest feed version.
    pub version: FeedVersion,
    /// Milliseconds since the epoch, UTC.
    pub server_time: Millis,
    /// How topic weights fade. A server of an earlier version does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
}

/// How topic weights fade: what a client needs to show them fading between two `model` messages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decay {
    /// The law.
    pub curve: DecayCurve,
    /// Rate `r` of `f(x) = 2 / (1 + exp(5 r x))`.
    pub rate: f64,
    /// Unit of elapsed time, in milliseconds.
    pub horizon_ms: i64,
}

/// How a weight follows `ds/dtau = f'(s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayCurve {
    /// Along the exact flow, down to 0.
    Exact,
    /// By one Euler step since the last change, down to 0.01.
    Euler,
}

/// See [`ServerMessage::Feed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedMessage {
    /// To be named in `drawn`.
    pub version: FeedVersion,
    /// The world it was ranked in.
    pub epoch: Epoch,
    /// How it was ranked.
    pub ranking: Ranking,
    /// The two-tower model that had a say in it; absent when none had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
    /// What made it new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// How long it took; only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// Best first.
    pub items: Vec<WireItem>,
}

/// See [`ServerMessage::Patch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    /// The version after the patch.
    pub version: FeedVersion,
    /// The version it applies to.
    pub base: FeedVersion,
    /// The world it was ranked in.
    pub epoch: Epoch,
    /// The two-tower model that had a say in it; absent when none had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
    /// What made it new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// How long it took; only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// To be applied one after the other.
    pub ops: Vec<Op>,
}

/// One step of a patch. Positions count from 0 in the list as it is at that step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Take the item out.
    Remove {
        /// Which.
        item: Key,
    },
    /// Take the item out and put it back so that it stands at `position`.
    Move {
        /// Which.
        item: Key,
        /// Where to.
        position: u32,
    },
    /// Put a new item in; it stands at its `position`.
    Insert {
        /// All of it.
        item: WireItem,
    },
    /// Same place, new face: replaces the item of the same key.
    Update {
        /// All of it.
        item: WireItem,
    },
}

/// An item as a client sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireItem {
    /// Its key.
    pub item: Key,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Key>,
    /// Its main topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Key>,
    /// What to read.
    pub text: std::sync::Arc<str>,
    /// When it was made, milliseconds since the epoch.
    pub at: Millis,
    /// When it stops to be available, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_until: Option<Millis>,
    /// When it is expected to stop, where that is not known; as of the last time this item was inserted, moved or updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_until: Option<Millis>,
    /// It has windows and one is open: "live".
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// Log-odds in `model`; as of the last time this item was inserted, moved or updated.
    pub score: f32,
    /// Calibrated probability, in (0, 1), that the person approves of it; only in `model`, and once enough answers
    /// calibrated it. As of when the score is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely: Option<f32>,
    /// From 0.
    pub position: u32,
    /// The experts' shares, which sum to the score; only when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<Why>,
}

/// One line of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// Which expert.
    pub expert: Expert,
    /// Its share of the score.
    pub amount: f32,
}

/// Microseconds spent per step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// From the door to the actor.
    pub queue_us: u32,
    /// Learning.
    pub learn_us: u32,
    /// Ranking.
    pub rank_us: u32,
    /// Writing JSON.
    pub encode_us: u32,
}

/// See [`ServerMessage::Accepted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The client's id.
    pub id: Key,
    /// Its number in the person's slice of the journal.
    pub seq: Seq,
    /// The key of the item that a `post` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Key>,
}

/// See [`ServerMessage::Page`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The `after` that was asked for.
    pub after: u32,
    /// The items from that position on.
    pub items: Vec<WireItem>,
    /// There are no more after these.
    pub end: bool,
}

/// See [`ServerMessage::Model`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Topic weights now, in [0, 1]; those at 0 are left out.
    pub topics: BTreeMap<Key, f32>,
    /// Progressive ROC AUC of the accepted/rejected model; absent before both answers were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc: Option<f32>,
    /// Progressive mean log loss of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_loss: Option<f32>,
    /// Progressive ROC AUC of the probability that `likely` says, over the last 256 labelled events; absent before ten of
    /// each label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc_model: Option<f32>,
    /// As `auc_model`, of the score that the `topics` ranking orders by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc_topics: Option<f32>,
    /// Mean log loss of the calibrated probabilities of the `model` ranking, over the events of `auc_model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_loss_model: Option<f32>,
    /// Positive labels among the last 256 labelled events.
    #[serde(default)]
    pub positives: u32,
    /// Negative labels among the last 256 labelled events.
    #[serde(default)]
    pub negatives: u32,
    /// Labelled events so far.
    pub labelled: u64,
    /// All events so far.
    pub events: u64,
    /// How often their taste changed so far that the model was made to forget faster.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drifts: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// See [`ServerMessage::Live`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Which.
    pub item: Key,
    /// On or off.
    pub available: bool,
    /// Until when, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
}

/// See [`ServerMessage::Busy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Busy {
    /// The event that was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Key>,
    /// When to try again, in milliseconds.
    pub retry_after_ms: u32,
}

/// See [`ServerMessage::Error`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// Machine-readable.
    pub code: Code,
    /// For people.
    pub message: String,
    /// The field to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The client's id of what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// See [`ServerMessage::Pong`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// As it came.
    pub t: i64,
    /// Milliseconds since the epoch, UTC.
    pub server_time: Millis,
}

/// See [`ServerMessage::Bye`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bye {
    /// Why: `shutdown`, `silent`, `slow`, `replaced`, `expired`, `revoked`.
    pub reason: String,
}
