//! Messages to a session. The session itself, with its socket, is in `gateway`.
//!
//! Invariant: a session's mailbox is bounded. Feeds wait in the person's actor until the client acknowledged the last
//! one, so a slow reader costs at most one feed in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use bytestring::ByteString;

use crate::domain::feeds::Ranking;
use crate::protocol::LIMIT_DEFAULT;
use crate::protocol::close::CloseReason;

/// Identifies one socket; ids are never reused while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Bytes of frames that wait for one socket, in the outbox of the person's actor and in the session's mailbox.
#[derive(Clone, Debug, Default)]
pub struct FrameBytes(Arc<AtomicUsize>);

impl FrameBytes {
    /// The number of bytes that wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A frame that is counted until it is dropped.
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
    /// The text, shared between sessions without copying.
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

/// A message to a session from the person's actor.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub enum ToSession {
    /// One encoded `ServerMessage`, written as a text frame without changes and shared between sessions.
    Frame(ByteString),
    /// Several frames in order. All answers to one commit travel in one message.
    Frames(Vec<CountedFrame>),
    /// Send `bye` with this reason and close.
    Close(CloseReason),
}

/// The feed and the extras that a session asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionSettings {
    /// The ranking that orders its feeds.
    pub ranking: Ranking,
    /// The number of items, 1 to 100.
    pub limit: u32,
    /// Whether each item carries the contributions of the experts.
    pub explain: bool,
    /// Whether feeds report the duration of each step.
    pub timing: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings { ranking: Ranking::Model, limit: LIMIT_DEFAULT, explain: false, timing: false }
    }
}
