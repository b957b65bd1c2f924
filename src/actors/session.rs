//! Messages to a session. The session itself, with its socket, is in `gateway`.
//!
//! Invariant: a session's mailbox is bounded. Feeds wait in the person's actor until the client acknowledged the last
//! one, so a slow reader costs at most one feed in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use bytestring::ByteString;

use crate::domain::feeds::Ranking;
use crate::domain::ids::Key;
use crate::protocol::LIMIT_DEFAULT;
use crate::protocol::close::CloseReason;
use crate::protocol::server::Accepted;

use super::errors::RequestError;

/// Identifies one socket; ids are never reused while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One message to a client. Frames that many sessions share, and large ones, are encoded already.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// An encoded whole feed. The client acknowledges it with `drawn`.
    Feed(ByteString),
    /// An encoded difference of two feeds. The client acknowledges it with `drawn`.
    Patch(ByteString),
    /// Another encoded `ServerMessage`.
    Encoded(ByteString),
    /// An event is durable.
    Accepted(Accepted),
    /// The message with this id was turned away, as `busy` or `error`.
    Refused {
        /// The id of the refused event; `None` for messages without one.
        id: Option<Key>,
        /// Why it was turned away.
        error: RequestError,
    },
}

/// The bytes of an `accepted`, `busy` or `error` beside its texts, at most.
const ENVELOPE_BYTES: usize = 128;

impl Frame {
    /// The length of the encoded frame in bytes, estimated where it is not encoded yet.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Frame::Feed(text) | Frame::Patch(text) | Frame::Encoded(text) => text.len(),
            Frame::Accepted(accepted) => ENVELOPE_BYTES + accepted.id.as_str().len(),
            Frame::Refused { id, error } => {
                let message = if let RequestError::Refused(refusal) = error { refusal.message.len() } else { 0 };
                ENVELOPE_BYTES + id.as_ref().map_or(0, |id| id.as_str().len()) + message
            }
        }
    }
}

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
    pub fn counted(&self, frame: Frame) -> CountedFrame {
        let bytes = frame.bytes();
        self.0.fetch_add(bytes, Ordering::Relaxed);
        CountedFrame { frame, counted: Counted { bytes, of: self.clone() } }
    }
}

/// A frame on its way to one socket.
#[derive(Debug)]
pub struct CountedFrame {
    frame: Frame,
    counted: Counted,
}

/// Bytes that count until they are dropped.
#[derive(Debug)]
struct Counted {
    bytes: usize,
    of: FrameBytes,
}

impl CountedFrame {
    /// The frame, which is counted no longer. Its text is shared between sessions without copying.
    #[must_use]
    pub fn take(self) -> Frame {
        drop(self.counted);
        self.frame
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A message to a session from the person's actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToSession {
    /// Frames in order. All answers to one commit travel in one message.
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
