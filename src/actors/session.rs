//! What a session may be told. The session itself (the socket) is in `gateway`.
//!
//! Invariant: a session's mailbox is bounded; feeds wait in the person's actor until the last one was drawn, so a slow
//! reader costs at most one feed in flight.

use actix::prelude::*;
use bytestring::ByteString;

use crate::domain::feeds::Ranking;
use crate::protocol::LIMIT_DEFAULT;

/// Names one socket; never reused while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// For the session, from the person's actor.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub enum ToSession {
    /// One encoded `ServerMessage`; written as a text frame as it is. Shared between sessions, so not copied.
    Frame(ByteString),
    /// Several, in order: what one commit made durable is answered in one message, however much it is.
    Frames(Vec<ByteString>),
    /// Say `bye` with this reason and close.
    Close(&'static str),
}

/// How a session wants its feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionSettings {
    /// How to rank.
    pub ranking: Ranking,
    /// 1 to 100.
    pub limit: u32,
    /// Explain every item.
    pub explain: bool,
    /// Report how long each step took.
    pub timing: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings { ranking: Ranking::Model, limit: LIMIT_DEFAULT, explain: false, timing: false }
    }
}
