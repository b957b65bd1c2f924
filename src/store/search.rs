//! Text search over the catalogue.
//!
//! Invariant: a search finds all items whose write was acknowledged before its call, by the words of their newest revision,
//! and no deleted item. Absent on purpose: the folding of words, which `domain::search` decides for all stores.

use futures_util::future::BoxFuture;

use crate::domain::search::{SearchHit, TextSearch};
use crate::store::error::StoreError;

/// Finds items by the words of their texts.
pub trait SearchStore: Send + Sync + 'static {
    /// Matches of a search, best first, newest first among equals. Of more matches than
    /// [`RANKED_MAX`](crate::domain::search::RANKED_MAX), the newest ones are ranked.
    fn search(&self, search: TextSearch) -> BoxFuture<'_, Result<Vec<SearchHit>, StoreError>>;
}
