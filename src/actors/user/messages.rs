//! Messages for `UserActor`. From sessions and requests, through the directory: `Parcel` with a `ToUser`. From the
//! coordinator: `WorldChanged`. From the server: `Want`. From the journal: `Stored`. From the directory: `Leave`.
//!
//! Invariant: a [`Parcel`] that was delivered is opened once, by this incarnation of the actor or by the next. Verdicts
//! carry the generation of the state that they are about, so those about a state that was given up are told apart.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use crate::actors::inside::Inside;
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

/// What a person's actor can be told through the directory.
pub enum ToUser {
    /// A socket opened. Answered by `welcome` and a feed.
    Attach {
        /// Which.
        session: SessionId,
        /// Its mailbox.
        to: Recipient<ToSession>,
        /// How it wants its feeds.
        settings: SessionSettings,
        /// What it still shows from before its line dropped.
        resume: Option<Resume>,
    },
    /// It closed. No answer.
    Detach(SessionId),
    /// The person did something. Answered when durable; the next feed goes to all sessions.
    Act {
        /// What.
        event: UserEvent,
        /// Whom to tell.
        answer: Answer,
        /// When it came through the door.
        came: Instant,
    },
    /// A session has drawn a feed; releases the next one.
    Drawn(SessionId, FeedVersion),
    /// A session wants its feeds otherwise. Answered by a feed.
    Configure(SessionId, SessionSettings),
    /// A session wants the items after so many. Answered by a `page`.
    More(SessionId, u32),
    /// The feed that a socket with these settings would get.
    AskFeed(SessionSettings, oneshot::Sender<Arc<Feed>>),
    /// What is thought of the person.
    AskModel(oneshot::Sender<Result<PersonModel, Refusal>>),
    /// What the online model says of an item.
    AskPrediction(ItemId, oneshot::Sender<Result<Prediction, Refusal>>),
    /// Who they are was changed: read it again, and rank again where that matters. No answer.
    Described,
    /// The person was erased: end, without a trace. No answer.
    Erased,
}

/// Who waits for an event to be durable.
pub enum Answer {
    /// A session; it gets `accepted` (with the item, for a post), `busy` or `error`.
    Session(SessionId),
    /// A request.
    Request(oneshot::Sender<Result<Seq, Refusal>>),
}

/// A message on its way to a person. When an actor leaves it behind unopened, it goes back to the directory and on to
/// the next incarnation.
pub struct Parcel {
    inside: Arc<Inside>,
    user: UserId,
    message: Option<ToUser>,
}

impl Parcel {
    pub(in crate::actors) fn new(inside: Arc<Inside>, user: UserId, message: ToUser) -> Parcel {
        Parcel { inside, user, message: Some(message) }
    }

    /// Opens it.
    pub(in crate::actors) fn take(&mut self) -> Option<ToUser> {
        self.message.take()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Some(message) = self.message.take()
            && let Err(refusal) = self.inside.directory.deliver(&self.inside, self.user, message)
        {
            // The sender's channel closes, which it reads as busy.
            tracing::debug!(%refusal, user = self.user.0, "a message left behind could not be delivered again");
        }
    }
}

impl Message for Parcel {
    type Result = ();
}

/// There is a new world.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct WorldChanged(pub Arc<Changes>);

/// What would this item be worth to this person? Answered once, unless the actor ends before.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Want {
    /// Which item.
    pub item: ItemId,
    /// In which world.
    pub world: Arc<World>,
    /// When.
    pub now: Millis,
    /// Whom to tell: the person, and log-odds, or `None` where they hid it.
    pub answer: mpsc::UnboundedSender<(UserId, Option<f32>)>,
}

/// Too many are active, and this person was used least recently: leave as soon as all is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

/// What became of entries that were sent to the journal.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stored {
    /// By which incarnation of the state.
    pub generation: Generation,
    /// In the order in which they were sent.
    pub verdicts: Vec<(Seq, Verdict)>,
}

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It survives.
    Durable,
    /// This event was stored before, under this number, and was not looked up: learn again from the journal.
    Duplicate(Seq),
    /// It stands on a state that was wrong: learn again from the journal, then this event.
    Refused,
    /// It can never be stored: learn again from the journal, without it.
    Impossible,
}

impl Stored {
    /// About a single entry.
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
