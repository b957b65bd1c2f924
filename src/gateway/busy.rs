//! Words and retry times of busy answers, for HTTP and for the socket.
//!
//! Invariant: each reason of a busy server has one retry time and one message.

use crate::actors::errors::{Busy, RequestError};
use crate::protocol::refusal::Refusal;

/// The refusal that the client gets.
#[must_use]
pub fn refusal(error: RequestError) -> Refusal {
    match error {
        RequestError::Refused(refusal) => refusal,
        RequestError::Busy(busy) => in_words(busy),
    }
}

fn in_words(busy: Busy) -> Refusal {
    let refusal = Refusal::busy(retry_after_ms(&busy));
    match busy {
        Busy::StoreStalled => Refusal {
            message:
                "the store cannot answer now: send it again later under the id that it has, nothing is learned twice"
                    .into(),
            ..refusal
        },
        Busy::StoreUnavailable(message) | Busy::EmbedderFailed(message) => Refusal { message, ..refusal },
        _ => refusal,
    }
}

/// Milliseconds after which the client may send the request again.
fn retry_after_ms(busy: &Busy) -> u32 {
    match busy {
        Busy::MailboxFull | Busy::KeyBeingErased => 100,
        Busy::SocketBehind => 250,
        Busy::JournalFull | Busy::EmbedQueueFull => 500,
        Busy::ShuttingDown
        | Busy::StoreStalled
        | Busy::StoreUnavailable(_)
        | Busy::LookupUnavailable
        | Busy::NoAnswer
        | Busy::AudienceUnderWay
        | Busy::RankingsExhausted => 1_000,
        Busy::PlacesTaken => 2_000,
        Busy::EmbedderFailed(_) => 5_000,
    }
}
