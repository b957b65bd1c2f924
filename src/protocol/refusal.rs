//! A request that was refused, in one form for the socket and for REST.
//!
//! Invariant: a refused request changed nothing; the message says what its reader can do.

use super::problem::Code;

/// The longest message, in bytes: a message repeats what a client wrote, and one request has many parts.
pub const MESSAGE_BYTES_MAX: usize = 512;
/// The longest name of a field, in bytes; a path of fields is made of keys that a client wrote.
pub const FIELD_BYTES_MAX: usize = 256;

/// Why, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Machine-readable.
    pub code: Code,
    /// The field to blame, as the client wrote it.
    pub field: Option<String>,
    /// For people: lowercase, no full stop.
    pub message: String,
    /// With [`Code::Busy`] and [`Code::RateLimited`]: when to try again.
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    /// Blames a field.
    #[must_use]
    pub fn field(code: Code, field: impl Into<String>, message: impl Into<String>) -> Refusal {
        Refusal { code, field: Some(field.into()), message: message.into(), retry_after_ms: None }
    }

    /// Blames no field.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, field: None, message: message.into(), retry_after_ms: None }
    }

    /// The refusal with a message and a field of bounded length, as every answer tells it.
    #[must_use]
    pub fn bounded(self) -> Refusal {
        let message = shortened(self.message, MESSAGE_BYTES_MAX);
        Refusal { message, field: self.field.map(|field| shortened(field, FIELD_BYTES_MAX)), ..self }
    }

    /// Nothing was learned: the same again later.
    #[must_use]
    pub fn busy(retry_after_ms: u32) -> Refusal {
        Refusal {
            code: Code::Busy,
            field: None,
            message: "too much to do: send the same again later".into(),
            retry_after_ms: Some(retry_after_ms),
        }
    }
}

/// Cuts out the middle: a message names what is wrong at its beginning, and what to do at its end.
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
