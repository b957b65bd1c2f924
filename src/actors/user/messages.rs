//! Messages for `UserActor`. From sessions and requests, through the directory: `Envelope` with a `ToUser`. From the
//! coordinator: `WorldChanged`. From the server: `Want`. From the journal: `Stored`. From the directory: `Leave`.
//!
//! Invariant: a delivered [`Envelope`] is opened once, by this incarnation of the actor or by the next one. Verdicts
//! carry the generation of their state, so verdicts about an abandoned state are recognised.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use crate::actors::context::ServerContext;
use crate::actors::journal::messages::{Append, Generation};
use crate::actors::server::{PersonModel, Prediction};
use crate::actors::session::{SessionId, SessionSettings, ToSession};
use crate::domain::feeds::Feed;
use crate::domain::ids::{FeedVersion, ItemId, Seq, UserId};
use crate::domain::time::Millis;
use crate::engine::user::UserEvent;
use crate::engine::world::{Changes, World};
use crate::protocol::client::Resume;
use crate::protocol::refusal::Refusal;
use crate::store::Write;

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
        /// When the gateway received it.
        came: Instant,
    },
    /// A client shows this feed, which releases the next one.
    Drawn(SessionId, FeedVersion),
    /// A session changes its settings. Answered by a feed.
    Configure(SessionId, SessionSettings),
    /// A session requests the items after so many. Answered by a `page`.
    More(SessionId, u32),
    /// Requests the feed that a socket with these settings would get.
    AskFeed(SessionSettings, oneshot::Sender<Arc<Feed>>),
    /// Requests the person's learned model in figures.
    AskModel(oneshot::Sender<Result<PersonModel, Refusal>>),
    /// Requests the online model's prediction for an item.
    AskPrediction(ItemId, oneshot::Sender<Result<Prediction, Refusal>>),
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
    Request(oneshot::Sender<Result<Seq, Refusal>>),
}

/// A message on its way to a person. When an actor stops without opening it, it returns to the directory and goes on to
/// the next incarnation.
pub struct Envelope {
    context: Arc<ServerContext>,
    user: UserId,
    message: Option<ToUser>,
}

impl Envelope {
    pub(in crate::actors) fn new(context: Arc<ServerContext>, user: UserId, message: ToUser) -> Envelope {
        Envelope { context, user, message: Some(message) }
    }

    /// Opens the envelope; the message can be taken once.
    pub(in crate::actors) fn take(&mut self) -> Option<ToUser> {
        self.message.take()
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        if let Some(message) = self.message.take()
            && let Err(refusal) = self.context.directory.deliver(&self.context, self.user, message)
        {
            // The sender's channel closes, and the sender treats that as busy.
            tracing::debug!(%refusal, user = self.user.0, "an unopened message could not be delivered again");
        }
    }
}

impl Message for Envelope {
    type Result = ();
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

/// Too many people are active, and this one was used least recently: leave once all entries are durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

/// The outcomes of entries that were sent to the journal.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stored {
    /// The incarnation of the state that sent the entries.
    pub generation: Generation,
    /// One verdict per entry, in the order of sending.
    pub verdicts: Vec<(Seq, Verdict)>,
}

/// The outcome of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The entry survives a crash.
    Durable,
    /// The event was stored before, under this number, and was not looked up: fold the journal again.
    Duplicate(Seq),
    /// The entry depends on a wrong state: fold the journal again, then learn this event.
    Refused,
    /// The entry can never be stored: fold the journal again, without this event.
    Impossible,
}

impl Stored {
    /// The outcome of a single entry.
    #[must_use]
    pub(in crate::actors) fn one(generation: Generation, append: &Append, verdict: Verdict) -> Stored {
        let verdicts = append
            .writes
            .iter()
            .filter_map(|write| match write {
                Write::Entry(entry) => Some((entry.seq, verdict)),
                _ => None,
            })
            .collect();
        Stored { generation, verdicts }
    }
}
