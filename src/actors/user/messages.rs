//! Messages for `UserActor`. From sessions and requests, through the directory: `ToUser` in an envelope. From the
//! coordinator: `WorldChanged`. From the server: `Want`. From the directory: `Leave`. The journal's `Stored` is in
//! `journal::messages`.
//!
//! Invariant: each request in a message is answered once, or its channel closes.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use crate::actors::answers::{PersonModel, Prediction, RocCurves};
use crate::actors::errors::RequestError;
use crate::actors::session::{SessionId, SessionSettings, ToSession};
use crate::domain::feeds::Feed;
use crate::domain::ids::{FeedVersion, ItemId, Seq, UserId};
use crate::domain::time::Millis;
use crate::engine::user::{Likeness, LikenessQuestion, UserEvent, UserState};
use crate::engine::world::{Changes, World};
use crate::protocol::client::Resume;

/// A message to a person's actor through the directory.
pub enum ToUser {
    /// A socket opened. Answered by `welcome` and a feed.
    Attach {
        /// The identity of the session.
        session: SessionId,
        /// The session's mailbox.
        to: Recipient<ToSession>,
        /// The feed and the extras that the session asks for.
        settings: SessionSettings,
        /// The feed that the client still shows from its last connection.
        resume: Option<Resume>,
    },
    /// A socket closed. Not answered.
    Detach(SessionId),
    /// The person acted. Answered when durable; the next feed goes to all sessions.
    Act {
        /// The event to learn.
        event: UserEvent,
        /// The recipient of the answer.
        answer: Answer,
        /// Time at which the gateway received the event.
        came: Instant,
    },
    /// A client shows this feed, with these items visible, which releases the next one.
    Drawn(SessionId, FeedVersion, Vec<ItemId>),
    /// A session changes its settings. Answered by a feed.
    Configure(SessionId, SessionSettings),
    /// A session requests the items below the first `u32` items of its feed. Answered by a `page`.
    More(SessionId, u32),
    /// Requests the feed that a session with these settings would get.
    AskFeed(SessionSettings, oneshot::Sender<Arc<Feed>>),
    /// Requests the person's learned model in figures.
    AskModel(oneshot::Sender<PersonModel>),
    /// Requests the ROC curves behind the person's AUCs.
    AskCurves(oneshot::Sender<RocCurves>),
    /// Requests the online model's prediction for an item.
    AskPrediction(ItemId, oneshot::Sender<Result<Prediction, RequestError>>),
    /// Requests the hidden ones among these items, in their order.
    AskHidden(Vec<ItemId>, oneshot::Sender<Vec<ItemId>>),
    /// Requests a copy of the person's state.
    AskState(oneshot::Sender<Box<UserState>>),
    /// The person's attributes changed: read them again, and rank again where they matter. Not answered.
    Described,
    /// The person was erased: end without saving. Not answered.
    Erased,
}

/// The recipient of the answer to an event.
pub enum Answer {
    /// A session; it gets `accepted` (with the item, for a post), `busy` or `error`.
    Session(SessionId),
    /// A request; it gets the number of the entry, or the refusal.
    Request(oneshot::Sender<Result<Seq, RequestError>>),
}

/// A new world was published, with these changes.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct WorldChanged(pub Arc<Changes>);

/// Requests this person's score of an item. Answered once, unless the actor ends before.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Want {
    /// The item to score.
    pub item: ItemId,
    /// The world in which the item is scored.
    pub world: Arc<World>,
    /// The instant of the score.
    pub now: Millis,
    /// The recipient: the person with the log-odds, or with `None` if they hid the item.
    pub answer: mpsc::UnboundedSender<(UserId, Option<f32>)>,
}

/// Requests this person's similarity to another one. Answered once, unless the actor ends before.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct WantLikeness {
    /// The other person's tastes, and the instant.
    pub question: LikenessQuestion,
    /// The settings of the world at that instant.
    pub world: Arc<World>,
    /// The recipient: the person with the cosines.
    pub answer: mpsc::UnboundedSender<(UserId, Likeness)>,
}

/// The directory passivates this person, who was used least recently. The actor leaves once all entries are durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;
