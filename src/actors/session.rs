//! What a session may be told. The session itself (the socket) is in `gateway`.
//!
//! Invariant: a session's mailbox is bounded; feeds wait in the person's actor until the last one was drawn, so a slow
//! reader costs at most one feed in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use bytestring::ByteString;

use crate::domain::feeds::Ranking;
use crate::protocol::LIMIT_DEFAULT;
use crate::protocol::close::CloseReason;

/// Names one socket; never reused while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Bytes of frames that wait for one socket: in the outbox of the person's actor, and in the session's mailbox.
#[derive(Clone, Debug, Default)]
pub struct FrameBytes(Arc<AtomicUsize>);

impl FrameBytes {
    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A frame that counts until it is dropped.
    #[must_use]
    pub fn counted(&self, frame: ByteString) -> CountedFrame {
        self.0.fetch_add(frame.len(), Ordering::Relaxed);
        CountedFrame { frame, bytes: self.clone() }
    }
}

/// A frame on its way to one socket.
#[derive(Debug)]
pub struct CountedFrame {
    frame: ByteString,
    bytes: FrameBytes,
}

impl CountedFrame {
    /// The text, shared between sessions and so not copied.
    #[must_use]
    pub fn text(&self) -> ByteString {
        self.frame.clone()
    }
}

impl Clone for CountedFrame {
    fn clone(&self) -> Self {
        self.bytes.counted(self.frame.clone())
    }
}

impl Drop for CountedFrame {
    fn drop(&mut self) {
        self.bytes.0.fetch_sub(self.frame.len(), Ordering::Relaxed);
    }
}

/// For the session, from the person's actor.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub enum ToSession {
    /// One encoded `ServerMessage`; written as a text frame as it is. Shared between sessions, so not copied.
    Frame(ByteString),
    /// Several, in order: what one commit made durable is answered in one message, however much it is.
    Frames(Vec<CountedFrame>),
    /// Say `bye` with this reason and close.
    Close(CloseReason),
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
