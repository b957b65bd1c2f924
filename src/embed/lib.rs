//! The reading: text to vectors.
//!
//! Invariant: for every text that is accepted exactly one [`Embedding`] of `dim` numbers comes back, in the order of the
//! texts, or none at all. Absent on purpose: centring and learning (the engine's), caching (an item's embedding is
//! stored with its revision), and anything asynchronous: callers run this off the actor threads.

use eddyline_core::domain;

pub mod given;
pub mod hashing;
pub mod http;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::items::{Embedding, EmbeddingError};

/// Turns texts into vectors. May block for seconds (`http`), so never call it on an actor's thread.
pub trait Embedder: Send + Sync {
    /// How many numbers each vector has.
    fn dim(&self) -> usize;

    /// One vector per text, in the order of the texts.
    ///
    /// # Errors
    /// [`EmbedError`]; then no text has been embedded, and the whole call may be repeated.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;
}

/// The configuration key `embedder`: who turns text into vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Nobody: every item brings its embedding.
    Given,
    /// This program, by feature hashing; needs nothing.
    #[default]
    Hashing,
    /// A server that speaks `POST /v1/embeddings`.
    Http,
}

/// Makes the chosen embedder. `http` is read only when it is the choice.
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

/// The largest dimension: beyond it a vector costs more than it can say.
pub const DIM_MAX: usize = 8_192;

/// Checks the configured dimension, once, for all embedders.
pub(crate) fn checked_dim(dim: usize) -> Result<usize, EmbedError> {
    if (1..=DIM_MAX).contains(&dim) {
        Ok(dim)
    } else {
        Err(EmbedError::Setting { key: "dim", why: format!("must be 1 to {DIM_MAX}, is {dim}") })
    }
}

/// Why no vectors came back.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A configuration key is wrong; nothing was tried.
    #[error("`{key}`: {why}")]
    Setting {
        /// Which.
        key: &'static str,
        /// What it must be.
        why: String,
    },
    /// The server is configured to take embeddings, not texts.
    #[error(
        "this server takes only items with an embedding of {dim} numbers; send `embedding`, or configure `embedder`"
    )]
    TextRefused {
        /// How many numbers.
        dim: usize,
    },
    /// The embedding server did not answer in time; the caller may repeat.
    #[error("the embedding server did not answer within {timeout_ms} ms ({attempts} attempts)")]
    Timeout {
        /// The limit for one attempt.
        timeout_ms: u64,
        /// How often it was tried.
        attempts: u32,
    },
    /// The embedding server cannot be reached; the caller may repeat.
    #[error("the embedding server cannot be reached ({attempts} attempts): check its address and that it runs")]
    Unreachable {
        /// How often it was tried.
        attempts: u32,
        /// What the network said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The embedding server refused.
    #[error("the embedding server answered {status} ({attempts} attempts): {detail}")]
    Status {
        /// HTTP status.
        status: u16,
        /// How often it was tried.
        attempts: u32,
        /// The start of what it said, without the key.
        detail: String,
    },
    /// The answer is longer than we are ready to read.
    #[error(
        "the embedding server's answer has more than {limit} bytes; lower `batch_max`, or raise `answer_bytes_max`"
    )]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The answer is not what `POST /v1/embeddings` promises.
    #[error("the embedding server's answer is not understood: {why}")]
    Answer {
        /// What is wrong with it.
        why: String,
    },
    /// One vector of the answer is unusable, most often of another dimension than configured.
    #[error("the embedding server's vector for text {index} is unusable (model `{model}`; does `dim` fit it?)")]
    Vector {
        /// Position in the texts that were given, from 0.
        index: usize,
        /// The model that was asked.
        model: String,
        /// What is wrong.
        #[source]
        source: EmbeddingError,
    },
}

impl EmbedError {
    /// Is it worth trying again later with the same texts?
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
#[allow(clippy::unwrap_used)]
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
