//! Refusals of requests, in one form for the socket and for REST.
//!
//! Invariant: a refused request has changed nothing, and its message tells the client how to correct it.

use super::problem::Code;

/// Size limit in bytes of a message, which may quote the input of a client.
pub(crate) const MESSAGE_BYTES_MAX: usize = 512;
/// Size limit in bytes of a field name, which may hold keys of a client.
pub(crate) const FIELD_BYTES_MAX: usize = 256;

/// A refusal: code, field and message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Machine-readable kind of the error.
    pub code: Code,
    /// The wrong field, as the client wrote it.
    pub field: Option<String>,
    /// Text for people: lowercase, without a full stop.
    pub message: String,
    /// Milliseconds to wait before a retry, with [`Code::Busy`] and [`Code::RateLimited`].
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    /// A refusal that names a field.
    #[must_use]
    pub fn field(code: Code, field: impl Into<String>, message: impl Into<String>) -> Refusal {
        Refusal { code, field: Some(field.into()), message: message.into(), retry_after_ms: None }
    }

    /// A refusal without a field.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, field: None, message: message.into(), retry_after_ms: None }
    }

    /// Shortens message and field to their bounds; every answer is bounded.
    #[must_use]
    pub fn bounded(self) -> Refusal {
        let message = shortened(self.message, MESSAGE_BYTES_MAX);
        Refusal { message, field: self.field.map(|field| shortened(field, FIELD_BYTES_MAX)), ..self }
    }

    /// Backpressure: nothing was learned, and the client may send the request again later.
    #[must_use]
    pub fn busy(retry_after_ms: u32) -> Refusal {
        Refusal {
            code: Code::Busy,
            field: None,
            message: "too much to do: send the request again later".into(),
            retry_after_ms: Some(retry_after_ms),
        }
    }
}

/// Cuts out the middle: a message has the error at its beginning and the remedy at its end.
fn shortened(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let half = (most - '…'.len_utf8()) / 2;
    format!("{}…{}", &text[..text.floor_char_boundary(half)], &text[text.ceil_char_boundary(text.len() - half)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_repeats_a_bounded_part_of_what_a_client_wrote() {
        for text in ["x".repeat(100_000), "🌊".repeat(30_000), "\u{1}é".repeat(50_000)] {
            let message = format!("unknown field `{text}`, expected `id`");
            let found = Refusal::field(Code::BadField, text, message).bounded();
            assert!(found.message.len() <= MESSAGE_BYTES_MAX && found.message.len() > MESSAGE_BYTES_MAX - 8);
            assert!(found.message.starts_with("unknown field `") && found.message.ends_with("`, expected `id`"));
            assert!(found.field.is_some_and(|field| field.len() <= FIELD_BYTES_MAX));
        }
        let short = Refusal::field(Code::BadField, "id", "must not be empty");
        assert_eq!(short.clone().bounded(), short);
    }
}
