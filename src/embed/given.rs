//! The embedder for items that come with their embeddings.
//!
//! Invariant: it embeds no text. Absent on purpose: checks of the given embeddings, which `Embedding::new` makes.

use super::{EmbedError, Embedder, checked_dim};
use crate::domain::items::Embedding;

/// An embedder that refuses every text.
#[derive(Clone, Copy, Debug)]
pub struct GivenEmbedder {
    dim: usize,
}

impl GivenEmbedder {
    /// For items with embeddings of `dim` numbers.
    ///
    /// # Errors
    /// [`EmbedError::Setting`] when `dim` is out of range.
    pub fn new(dim: usize) -> Result<GivenEmbedder, EmbedError> {
        Ok(GivenEmbedder { dim: checked_dim(dim)? })
    }
}

impl Embedder for GivenEmbedder {
    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        if texts.is_empty() { Ok(Vec::new()) } else { Err(EmbedError::TextRefused { dim: self.dim }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_refused_and_the_reader_told_what_to_send() {
        let given = GivenEmbedder::new(384).unwrap();
        assert_eq!(given.embed(&[]).unwrap().len(), 0);
        let message = given.embed(&["hello"]).unwrap_err().to_string();
        assert!(message.contains("takes only items with an embedding of 384 numbers"), "{message}");
    }
}
