//! Embedders: text to embeddings.
//!
//! Invariant: a call returns one [`Embedding`] of `dim` numbers per text, in the order of the texts, or fails as a whole.
//! Absent on purpose: centring and learning, which are the engine's; caching, since the store holds the embedding of each
//! revision; asynchronous calls, since callers run embedders outside of the actor threads.

use eddyline_core::domain;

pub mod given;
pub mod hashing;
pub mod http;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::items::{Embedding, EmbeddingError};

/// Computes embeddings of texts. `http` may block for seconds, so no actor's thread calls it.
pub trait Embedder: Send + Sync {
    /// Length of each embedding.
    fn dim(&self) -> usize;

    /// One embedding per text, in the order of the texts.
    ///
    /// # Errors
    /// [`EmbedError`]: no text was embedded, and the whole call may be repeated.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;
}

/// Values of the configuration key `embedder`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// No embedder: every item comes with its embedding.
    Given,
    /// Feature hashing in this program, without a model or a server.
    #[default]
    Hashing,
    /// A server with the API `POST /v1/embeddings`.
    Http,
}

/// Makes the configured embedder. Only the choice `http` reads the argument `http`.
///
/// # Errors
/// [`EmbedError::Setting`] names the key that is missing or wrong.
pub fn open(choice: Choice, dim: usize, http: Option<http::HttpConfig>) -> Result<Arc<dyn Embedder>, EmbedError> {
    Ok(match choice {
        Choice::Given => Arc::new(given::GivenEmbedder::new(dim)?),
        Choice::Hashing => Arc::new(hashing::HashingEmbedder::new(dim)?),
        Choice::Http => {
            let why = "embedder = \"http\" needs the address and the model of a server";
            let config = http.ok_or(EmbedError::Setting { key: "embedder", why: why.into() })?;
            Arc::new(http::HttpEmbedder::new(config, dim)?)
        }
    })
}

/// Largest length of an embedding, which bounds the cost of ranking.
pub const DIM_MAX: usize = 8_192;

/// Checks the configured length of embeddings, for all embedders.
pub(crate) fn checked_dim(dim: usize) -> Result<usize, EmbedError> {
    if (1..=DIM_MAX).contains(&dim) {
        Ok(dim)
    } else {
        Err(EmbedError::Setting { key: "dim", why: format!("must be 1 to {DIM_MAX}, is {dim}") })
    }
}

/// Failure of an embedder.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A configuration key is wrong; no request was sent.
    #[error("`{key}`: {why}")]
    Setting {
        /// The configuration key.
        key: &'static str,
        /// Rule that the value must satisfy.
        why: String,
    },
    /// The server is configured to take embeddings, not texts.
    #[error(
        "this server takes only items with an embedding of {dim} numbers; send `embedding`, or configure `embedder`"
    )]
    TextRefused {
        /// Length of the embeddings.
        dim: usize,
    },
    /// The embedding server did not answer in time; the caller may repeat.
    #[error("the embedding server did not answer within {timeout_ms} ms ({attempts} attempts)")]
    Timeout {
        /// Limit of one attempt in milliseconds.
        timeout_ms: u64,
        /// Number of attempts.
        attempts: u32,
    },
    /// The embedding server cannot be reached; the caller may repeat.
    #[error("the embedding server cannot be reached ({attempts} attempts): check its address and that it runs")]
    Unreachable {
        /// Number of attempts.
        attempts: u32,
        /// Error of the network.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The embedding server refused the request.
    #[error("the embedding server answered {status} ({attempts} attempts): {detail}")]
    Status {
        /// HTTP status of the answer.
        status: u16,
        /// Number of attempts.
        attempts: u32,
        /// Start of the answer, without the key.
        detail: String,
    },
    /// The answer is longer than the limit.
    #[error(
        "the embedding server's answer has more than {limit} bytes; lower `batch_max`, or raise `answer_bytes_max`"
    )]
    TooLarge {
        /// Limit in bytes.
        limit: u64,
    },
    /// The answer is not what `POST /v1/embeddings` promises.
    #[error("the embedding server's answer is not understood: {why}")]
    Answer {
        /// Error of the answer.
        why: String,
    },
    /// A vector of the answer is unusable; most often its length differs from `dim`.
    #[error("the embedding server's vector for text {index} is unusable (model `{model}`; does `dim` fit it?)")]
    Vector {
        /// Position of the text in the call, from 0.
        index: usize,
        /// Name of the model.
        model: String,
        /// Error of the vector.
        #[source]
        source: EmbeddingError,
    },
}

impl EmbedError {
    /// Whether a retry with equal texts may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            EmbedError::Timeout { .. } | EmbedError::Unreachable { .. } => true,
            EmbedError::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_a_word_in_the_configuration() {
        for (word, choice) in [("given", Choice::Given), ("hashing", Choice::Hashing), ("http", Choice::Http)] {
            assert_eq!(serde_json::from_value::<Choice>(word.into()).unwrap(), choice);
        }
        assert!(serde_json::from_value::<Choice>("openai".into()).is_err());
    }

    #[test]
    fn a_wrong_setting_names_its_key() {
        for (name, choice, dim, key) in [
            ("no dimension", Choice::Hashing, 0, "dim"),
            ("too many dimensions", Choice::Given, DIM_MAX + 1, "dim"),
            ("http without a server", Choice::Http, 8, "embedder"),
        ] {
            let error = open(choice, dim, None).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.starts_with(&format!("`{key}`")), "{name}: {error}");
        }
    }
}
