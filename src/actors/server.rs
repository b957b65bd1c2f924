//! All that the door sees of the actors: one cheap handle, shared by all web workers.
//!
//! Invariant: what returns `Ok` for a change is durable; what returns a [`Refusal`] changed nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Recipient;

use crate::domain::feeds::{Contribution, Feed, Ranking};
use crate::domain::ids::{FeedVersion, ItemId, Key, Seq, TopicId, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::items::Embedding;
use crate::domain::journal::Entry;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::protocol::client::Resume;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::WireItem;

use super::clock::Clock;
use super::people::People;
use super::session::{SessionId, SessionSettings, ToSession};
use crate::engine::world::World;

/// Something that a person did, checked at the door.
#[derive(Clone, Debug, PartialEq)]
pub enum UserEvent {
    /// Acted on an item. `shown` is filled in by the person's actor.
    Interacted(Interaction),
    /// Follows somebody.
    Followed { id: Key, user: UserId, at: Millis },
    /// Follows them no longer.
    Unfollowed { id: Key, user: UserId, at: Millis },
    /// Set topic weights, each in [0, 1].
    TopicsSet { id: Key, weights: Vec<(TopicId, f32)>, at: Millis },
}

/// A new item, or a new face for one, as a client describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemDraft {
    /// Its key.
    pub key: Option<Key>,
    /// Who made it.
    pub author: Option<UserId>,
    /// What it is about, the main topic first.
    pub topics: Option<Vec<Key>>,
    /// What to read.
    pub text: Option<String>,
    /// Given; else made from the text.
    pub embedding: Option<Embedding>,
    /// When it was made; now by default.
    pub created: Option<Millis>,
    /// When it is available; always by default.
    pub windows: Option<Windows>,
}

/// How an item draft meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemWrite {
    /// POST: it must be new (409 `conflict` when the key exists).
    Create,
    /// PUT: all of it, whether or not it is there.
    Replace,
    /// PATCH: what is given, of one that is there (404 `unknown_item`).
    Change,
}

/// What became of an item draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemWritten {
    /// Its key (made by the server when the draft had none).
    pub key: Key,
    /// Its dense index.
    pub id: ItemId,
    /// Its revision now.
    pub revision: u32,
    /// It was not there before.
    pub created: bool,
}

/// What the server thinks of a person.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonModel {
    /// Topic weights now; those at 0 left out.
    pub topics: BTreeMap<Key, f32>,
    /// Events learned so far.
    pub events: u64,
    /// Labelled events so far.
    pub labelled: u64,
    /// Progressive ROC AUC of the online model over the last 256 labelled events.
    pub auc: Option<f32>,
    /// The same of the `topics` ranking's score.
    pub auc_topics: Option<f32>,
    /// The same of the `model` ranking's score.
    pub auc_model: Option<f32>,
    /// Progressive mean log loss of the online model.
    pub log_loss: Option<f32>,
    /// Expected calibration error of the online model, ten bins.
    pub calibration_error: Option<f32>,
    /// Length of the online model's mean vector.
    pub weight_norm: f32,
    /// Mean standard deviation of its weights, in units of the prior's (1 = nothing learned).
    pub uncertainty: f32,
    /// Weights of the blend by expert, in the order of `Expert::ALL`.
    pub experts: Vec<Contribution>,
    /// Whom they follow.
    pub follows: Vec<UserId>,
    /// Number of their last journal entry.
    pub seq: Seq,
}

/// A probability with what is known about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Probability of `accept`, in (0, 1).
    pub accepted: f32,
    /// Standard deviation of the log-odds.
    pub deviation: f32,
}

/// Progressive figures over everybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Labelled events so far.
    pub labelled: u64,
    /// Per score (`online`, `topics`, `model`): ROC AUC pooled over all people.
    pub auc: Vec<(&'static str, Option<f64>)>,
    /// Mean log loss of the online model.
    pub log_loss: Option<f64>,
    /// Its expected calibration error, ten bins.
    pub calibration_error: Option<f64>,
}

/// The server's inside. Clone freely.
#[derive(Clone)]
pub struct Server {}

#[allow(unused_variables, missing_docs, clippy::unused_async, clippy::unimplemented)]
impl Server {
    /// The newest world; hold it no longer than a request.
    pub fn world(&self) -> Arc<World> {
        unimplemented!()
    }
    pub fn people(&self) -> &People {
        unimplemented!()
    }
    pub fn clock(&self) -> &dyn Clock {
        unimplemented!()
    }
    /// Numbers in an embedding.
    pub fn dim(&self) -> usize {
        unimplemented!()
    }
    /// Ok when it may take work: the store writes, the world is loaded, it is not shutting down.
    pub async fn ready(&self) -> Result<(), Refusal> {
        unimplemented!()
    }

    // People.
    /// Creates (true) or changes (false).
    pub async fn put_person(
        &self,
        key: Key,
        name: Option<String>,
        attributes: Option<String>,
    ) -> Result<bool, Refusal> {
        unimplemented!()
    }

    // Acting, by REST: answers when durable.
    pub async fn act(&self, user: UserId, event: UserEvent) -> Result<Seq, Refusal> {
        unimplemented!()
    }
    /// Makes an item of a person and remembers that they did. A resend of the same `id` gives the same item.
    /// `field` names in refusals are those of `protocol::client::Post`.
    pub async fn post(&self, author: UserId, id: Key, draft: ItemDraft) -> Result<(Seq, Key), Refusal> {
        unimplemented!()
    }

    // Catalogue. One answer per draft, in order; those that are refused change nothing, the others are durable.
    pub async fn write_items(&self, drafts: Vec<ItemDraft>, how: ItemWrite) -> Vec<Result<ItemWritten, Refusal>> {
        unimplemented!()
    }
    pub async fn delete_item(&self, item: ItemId) -> Result<(), Refusal> {
        unimplemented!()
    }
    pub async fn set_windows(&self, item: ItemId, windows: Windows) -> Result<(), Refusal> {
        unimplemented!()
    }

    // Asking.
    /// The feed that a socket with these settings would get.
    pub async fn feed(&self, user: UserId, settings: SessionSettings) -> Result<Arc<Feed>, Refusal> {
        unimplemented!()
    }
    /// Top items as of an instant: state folded up to it, availability and catalogue as of it.
    pub async fn recommend_at(
        &self,
        user: UserId,
        at: Millis,
        ranking: Ranking,
        limit: u32,
    ) -> Result<Arc<Feed>, Refusal> {
        unimplemented!()
    }
    /// A feed as clients see it.
    pub fn wire_items(&self, feed: &Feed) -> Vec<WireItem> {
        unimplemented!()
    }
    pub async fn model(&self, user: UserId) -> Result<PersonModel, Refusal> {
        unimplemented!()
    }
    pub async fn predict(&self, user: UserId, item: ItemId) -> Result<Prediction, Refusal> {
        unimplemented!()
    }
    pub async fn score(&self) -> Result<Score, Refusal> {
        unimplemented!()
    }
    /// Newest first.
    pub async fn interactions_of_user(&self, user: UserId, limit: u32) -> Result<Vec<Entry>, Refusal> {
        unimplemented!()
    }
    pub async fn interactions_with_item(&self, item: ItemId, limit: u32) -> Result<Vec<Entry>, Refusal> {
        unimplemented!()
    }

    // Sessions. None of these waits: what they cause comes back as frames to the session's recipient, in order. An
    // `Err` is to be told to the client at once (busy).
    /// A new session id.
    pub fn next_session(&self) -> SessionId {
        unimplemented!()
    }
    /// Sends `welcome` and the first `feed` (or `patch`) to `to`.
    pub fn attach(
        &self,
        user: UserId,
        session: SessionId,
        to: Recipient<ToSession>,
        settings: SessionSettings,
        resume: Option<Resume>,
    ) -> Result<(), Refusal> {
        unimplemented!()
    }
    pub fn detach(&self, user: UserId, session: SessionId) {
        unimplemented!()
    }
    /// `accepted`, `busy` or `error` comes as a frame.
    pub fn act_in_session(&self, user: UserId, session: SessionId, event: UserEvent) -> Result<(), Refusal> {
        unimplemented!()
    }
    pub fn drawn(
        &self,
        user: UserId,
        session: SessionId,
        version: FeedVersion,
        visible: Vec<ItemId>,
    ) -> Result<(), Refusal> {
        unimplemented!()
    }
    pub fn configure(&self, user: UserId, session: SessionId, settings: SessionSettings) -> Result<(), Refusal> {
        unimplemented!()
    }
    /// A `page` comes as a frame.
    pub fn more(&self, user: UserId, session: SessionId, after: u32) -> Result<(), Refusal> {
        unimplemented!()
    }
}
