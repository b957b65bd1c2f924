//! Open sessions: hands the messages of a socket to the actor of its person.
//!
//! Invariant: no call waits. All answers come to the session as frames, in order.

use actix::Recipient;

use super::{Server, UserEvent};
use crate::actors::errors::RequestError;
use crate::actors::session::{SessionId, SessionSettings, ToSession};
use crate::actors::user::messages::{Answer, ToUser};
use crate::domain::ids::{FeedVersion, UserId};
use crate::protocol::client::Resume;

impl Server {
    /// A session id that was not used before.
    #[must_use]
    pub fn next_session(&self) -> SessionId {
        SessionId(self.context.sessions.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1)
    }

    /// Opens a session: `welcome` and the first `feed` or `patch` are sent to `to`.
    ///
    /// # Errors
    /// Busy when the actor's mailbox is full.
    pub fn attach(
        &self,
        user: UserId,
        session: SessionId,
        to: Recipient<ToSession>,
        settings: SessionSettings,
        resume: Option<Resume>,
    ) -> Result<(), RequestError> {
        self.deliver(user, ToUser::Attach { session, to, settings, resume })
    }

    /// Closes a session.
    pub fn detach(&self, user: UserId, session: SessionId) {
        if let Err(error) = self.deliver(user, ToUser::Detach(session)) {
            // The actor drops the session once a frame cannot be delivered.
            tracing::debug!(%error, session = session.0, "the end of a session could not be delivered");
        }
    }

    /// Learns an event. The answer comes as a frame: `accepted`, `busy` or `error`.
    ///
    /// # Errors
    /// Busy when the actor's mailbox is full.
    pub fn act_in_session(&self, user: UserId, session: SessionId, event: UserEvent) -> Result<(), RequestError> {
        self.deliver(user, ToUser::Act { event, answer: Answer::Session(session), came: std::time::Instant::now() })
    }

    /// Reports that the client shows this version, with these items visible.
    ///
    /// # Errors
    /// Busy when the actor's mailbox is full.
    pub fn drawn(
        &self,
        user: UserId,
        session: SessionId,
        version: FeedVersion,
        visible: Vec<crate::domain::ids::ItemId>,
    ) -> Result<(), RequestError> {
        self.deliver(user, ToUser::Drawn(session, version, visible))
    }

    /// Changes the settings of a session; a feed comes as a frame.
    ///
    /// # Errors
    /// Busy when the actor's mailbox is full.
    pub fn configure(&self, user: UserId, session: SessionId, settings: SessionSettings) -> Result<(), RequestError> {
        self.deliver(user, ToUser::Configure(session, settings))
    }

    /// Requests the items after the first `after`; a `page` comes as a frame.
    ///
    /// # Errors
    /// Busy when the actor's mailbox is full.
    pub fn more(&self, user: UserId, session: SessionId, after: u32) -> Result<(), RequestError> {
        self.deliver(user, ToUser::More(session, after))
    }
}
