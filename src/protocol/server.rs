//! Messages of the server.
//!
//! Invariant: feed versions of one session increase. A `patch` names its base version, which the client shows or will show
//! next. `accepted` means durable.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::feeds::{Cause, Expert, Ranking};
use crate::domain::ids::{Epoch, FeedVersion, Key, ModelVersion, Seq};
use crate::domain::time::Millis;

use super::problem::Code;

/// A message of the server: one JSON object per text frame, tagged by `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Answers `hello` and opens the session.
    Welcome(Welcome),
    /// A whole feed.
    Feed(FeedMessage),
    /// Changes of the feed `base`, to apply in order.
    Patch(Patch),
    /// An event is durable. Answers `interact`, `post`, `live`, `follow`, `unfollow`, and `configure` with topics.
    Accepted(Accepted),
    /// Answers `more` with the next items.
    Page(Page),
    /// The user's topic weights and the quality of their model; at most once a second, after learning.
    Model(Model),
    /// An item of the feed has become available or unavailable.
    Live(Live),
    /// Backpressure: nothing was learned, and the client sends the event again later.
    Busy(Busy),
    /// The server refused a message. The connection stays open.
    Error(ErrorMessage),
    /// Answers `ping` with its number.
    Pong(Pong),
    /// The server will close the socket.
    Bye(Bye),
}

impl ServerMessage {
    /// All `type` tags, in the order of the variants.
    pub const TYPES: [&'static str; 11] =
        ["welcome", "feed", "patch", "accepted", "page", "model", "live", "busy", "error", "pong", "bye"];
}

/// Fields of `welcome`, the first answer of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// Id of the session, which the log repeats.
    pub session: String,
    /// Key of the user of the session.
    pub user: Key,
    /// Present epoch of the world.
    pub epoch: Epoch,
    /// Newest feed version of the user.
    pub version: FeedVersion,
    /// Milliseconds since the epoch, UTC.
    pub server_time: Millis,
    /// Decay of topic weights. Servers of earlier versions do not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
}

/// Decay of topic weights, so that a client can show the decay between two `model` messages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decay {
    /// Form of the decay.
    pub curve: DecayCurve,
    /// Rate `r` of `f(x) = 2 / (1 + exp(5 r x))`.
    pub rate: f64,
    /// Unit of elapsed time, in milliseconds.
    pub horizon_ms: i64,
}

/// Numerical solution of the decay `ds/dtau = f'(s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecayCurve {
    /// The exact solution, down to 0.
    Exact,
    /// One Euler step since the last change, down to 0.01.
    Euler,
}

/// Fields of `feed`, a whole feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeedMessage {
    /// Version of the feed, which `drawn` acknowledges.
    pub version: FeedVersion,
    /// Epoch of the world that was ranked.
    pub epoch: Epoch,
    /// Ranking of the feed.
    pub ranking: Ranking,
    /// The two-tower model that took part; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
    /// Cause of the new feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Durations; only if the session asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// Items, the best first.
    pub items: Vec<WireItem>,
}

/// Fields of `patch`, changes of a feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Patch {
    /// Version of the feed after the patch.
    pub version: FeedVersion,
    /// Version of the feed before the patch.
    pub base: FeedVersion,
    /// Epoch of the world that was ranked.
    pub epoch: Epoch,
    /// The two-tower model that took part; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<ModelVersion>,
    /// Cause of the new feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Durations; only if the session asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// Operations, to apply one after the other.
    pub ops: Vec<Op>,
}

/// An operation of a patch. Positions count from 0 in the list at that step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Remove the item.
    Remove {
        /// Key of the item.
        item: Key,
    },
    /// Remove the item and insert it again, so that it has `position`.
    Move {
        /// Key of the item.
        item: Key,
        /// Position after the operation.
        position: u32,
    },
    /// Insert a new item, so that it has its `position`.
    Insert {
        /// The whole item, with its position.
        item: WireItem,
    },
    /// Replace the item with this key, at its position.
    Update {
        /// The whole item, with its position.
        item: WireItem,
    },
}

/// An item in a feed, as a client receives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WireItem {
    /// Key of the item.
    pub item: Key,
    /// Key of the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Key>,
    /// Key of the main topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Key>,
    /// Text of the item.
    pub text: std::sync::Arc<str>,
    /// Instant of creation, milliseconds since the epoch.
    pub at: Millis,
    /// End of availability, if a window sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_until: Option<Millis>,
    /// Predicted end of availability, if no window sets it; as of the last insertion, move or update of this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_until: Option<Millis>,
    /// Whether one of the item's windows is open: "live".
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// Score: log-odds in `model`; as of the last insertion, move or update of this item.
    pub score: f32,
    /// Calibrated probability, in (0, 1), that the user approves of the item; as of the instant of the score. Only in `model`,
    /// after enough answers for the calibration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely: Option<f32>,
    /// Position from the top, which is 0.
    pub position: u32,
    /// Contributions of the experts, which sum to the score; only if the session asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<Why>,
}

/// Contribution of an expert to a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// The contributing expert.
    pub expert: Expert,
    /// The contribution, in the unit of the score.
    pub amount: f32,
}

/// Duration of each step, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Wait in the queue, from the gateway to the actor.
    pub queue_us: u32,
    /// Learning of the event.
    pub learn_us: u32,
    /// Ranking of the feed.
    pub rank_us: u32,
    /// Encoding as JSON.
    pub encode_us: u32,
}

/// Fields of `accepted`, the acknowledgement of a durable event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// Id of the event, as the client made it.
    pub id: Key,
    /// Number of the entry in the user's part of the journal.
    pub seq: Seq,
    /// Key of the item that a `post` created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Key>,
}

/// Fields of `page`, the answer to `more`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// The `after` of the request.
    pub after: u32,
    /// Items from position `after` on.
    pub items: Vec<WireItem>,
    /// Whether these are the last items.
    pub end: bool,
}

/// Fields of `model`: the user's topic weights and the quality of their model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// Present topic weights, in (0, 1]; weights of 0 are left out.
    pub topics: BTreeMap<Key, f32>,
    /// Progressive ROC AUC of the online model; absent before both labels occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc: Option<f32>,
    /// Progressive mean log loss of the online model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_loss: Option<f32>,
    /// Progressive ROC AUC of the probability `likely`, over the last 256 labelled events; absent before ten of each label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc_model: Option<f32>,
    /// Progressive ROC AUC of the `topics` score, over the last 256 labelled events; absent before ten of each label.
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
    /// Number of detected drifts of the user's preferences, after which the model forgets faster.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drifts: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Fields of `live`, a change of availability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// Key of the item.
    pub item: Key,
    /// Whether the item is available now.
    pub available: bool,
    /// End of availability, if a window sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
}

/// Fields of `busy`, the answer under backpressure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Busy {
    /// Id of the refused event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Key>,
    /// Milliseconds to wait before a retry.
    pub retry_after_ms: u32,
}

/// Fields of `error`, the answer to a refused message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorMessage {
    /// Machine-readable kind of the error.
    pub code: Code,
    /// Error text for people.
    pub message: String,
    /// The wrong field, as the client wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Id of the refused event, as the client made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Fields of `pong`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// The number of the `ping`.
    pub t: i64,
    /// Milliseconds since the epoch, UTC.
    pub server_time: Millis,
}

/// Fields of `bye`, the last message of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bye {
    /// Reason: `shutdown`, `silent`, `slow`, `expired`, `revoked`, `erased`.
    pub reason: String,
}
