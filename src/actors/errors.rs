//! Reasons to turn a request away: the server is busy, or the request is refused for what it says.
//!
//! Invariant: a busy server has learned nothing, unless the function says otherwise. Deliberately absent: the words and
//! retry times of busy answers (`gateway::busy`).

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::StoreError;
use crate::store::recovery;

/// Why the server cannot take a request now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// The journal's queue has no free place.
    #[error("the journal's queue is full")]
    JournalFull,
    /// The mailbox of the person's actor is full.
    #[error("the mailbox of the person's actor is full")]
    MailboxFull,
    /// The server takes no new work.
    #[error("the server is going down")]
    ShuttingDown,
    /// The store does not answer, or not in time. An event may be stored later; its id protects from learning it twice.
    #[error("the store does not answer")]
    StoreStalled,
    /// The store failed for a while; the text is the store's.
    #[error("{0}")]
    StoreUnavailable(String),
    /// The event is stored, and the store that knows its contents does not answer.
    #[error("the store cannot look up a stored event")]
    LookupUnavailable,
    /// An actor ended without an answer.
    #[error("an actor ended without an answer")]
    NoAnswer,
    /// The former holder of the key is being erased.
    #[error("the former holder of the key is being erased")]
    KeyBeingErased,
    /// Too many texts wait for their embedding.
    #[error("too many texts wait for their embedding")]
    EmbedQueueFull,
    /// The embedder failed; the text is the embedder's.
    #[error("{0}")]
    EmbedderFailed(String),
    /// All places for scans, exports or questions about the past are taken.
    #[error("all places for this kind of work are taken")]
    PlacesTaken,
    /// The audience of another item is being computed.
    #[error("the audience of another item is being computed")]
    AudienceUnderWay,
    /// The person's sessions requested too many rankings within a second.
    #[error("too many rankings were requested within a second")]
    RankingsExhausted,
    /// Too many bytes wait for the socket to send a further page.
    #[error("too many bytes wait for the socket")]
    SocketBehind,
}

/// Why a request was turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The client may send the request again later.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The request itself is at fault, or the server failed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Busy::StoreUnavailable(error.to_string()).into(),
            error => {
                tracing::error!(%error, "the store failed");
                Refusal::new(Code::Internal, "the store failed; the server's log says more").into()
            }
        }
    }
}

impl From<recovery::Failure> for RequestError {
    fn from(failure: recovery::Failure) -> Self {
        match failure {
            recovery::Failure::Store(error) => error.into(),
            failure => Refusal::new(Code::Internal, failure.to_string()).into(),
        }
    }
}

/// Why writes were not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The store can never take these writes; the text is the store's.
    #[error("{0}")]
    Refused(String),
    /// Another server took the store over; the text is the store's.
    #[error("{0}")]
    Replaced(String),
    /// The journal ended before it answered.
    #[error("the server is going down")]
    ShuttingDown,
}

impl From<WriteError> for RequestError {
    fn from(error: WriteError) -> Self {
        Refusal::new(Code::Internal, error.to_string()).into()
    }
}

/// The refusal of an id that belongs to an event with other contents.
pub(crate) fn reused_id() -> Refusal {
    let message = "this id belongs to an earlier event with other contents: give each event an id of its own";
    Refusal::field(Code::Conflict, "id", message)
}
