//! A request that was refused, in one form for the socket and for REST.
//!
//! Invariant: a refused request changed nothing; the message says what its reader can do.

use super::problem::Code;

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
