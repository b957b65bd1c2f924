//! Reasons for which the server closes a socket: the word in `bye`, and the code of the close frame (RFC 6455, 7.4).
//!
//! Invariant: each reason has one word and one code, and both are part of the wire. Deliberately absent: closes that a
//! client begins, which are answered with the client's own code.

/// A reason for which the server closes a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The server shuts down; the client may connect again and resume.
    Shutdown,
    /// The peer sent no frame within the configured time, or no `hello`.
    Silent,
    /// The peer receives feeds and acknowledges none within the configured time, or its outbox is full.
    Slow,
    /// The token of the session has expired.
    Expired,
    /// The token of the session was revoked, or its key was retired.
    Revoked,
    /// The user of the session was erased.
    Erased,
    /// A message is longer than a client may send.
    TooLarge,
    /// A text message is not UTF-8.
    NotUtf8,
    /// A frame breaks RFC 6455.
    BadFrame,
}

impl CloseReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [CloseReason; 9] = [
        CloseReason::Shutdown,
        CloseReason::Silent,
        CloseReason::Slow,
        CloseReason::Expired,
        CloseReason::Revoked,
        CloseReason::Erased,
        CloseReason::TooLarge,
        CloseReason::NotUtf8,
        CloseReason::BadFrame,
    ];

    /// The word in `bye`, and the description in the close frame.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Shutdown => "shutdown",
            CloseReason::Silent => "silent",
            CloseReason::Slow => "slow",
            CloseReason::Expired => "expired",
            CloseReason::Revoked => "revoked",
            CloseReason::Erased => "erased",
            CloseReason::TooLarge => "too_large",
            CloseReason::NotUtf8 => "not_utf8",
            CloseReason::BadFrame => "bad_frame",
        }
    }

    /// The status code of the close frame.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            CloseReason::Shutdown => 1001,
            CloseReason::BadFrame => 1002,
            CloseReason::NotUtf8 => 1007,
            CloseReason::Silent
            | CloseReason::Slow
            | CloseReason::Expired
            | CloseReason::Revoked
            | CloseReason::Erased => 1008,
            CloseReason::TooLarge => 1009,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_has_a_word_of_its_own_and_a_code_that_the_protocol_describes() {
        let words: BTreeSet<&str> = CloseReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(words.len(), CloseReason::ALL.len());
        let manual = include_str!("../../docs/protocol.md");
        for reason in CloseReason::ALL {
            assert!(manual.contains(&format!("\n| {} |", reason.code())), "{reason:?} is not in docs/protocol.md");
        }
    }
}
