//! Items by the words of their texts, hidden ones included.
//!
//! Invariant: matches are those of `GET /v1/search`.

use crate::actors::server::SearchRequest;
use crate::domain::ids::ItemId;
use crate::domain::search::{QUERY_CHARS_MAX, TextQuery};
use crate::protocol::refusal::Refusal;

use super::reply::{GorseRequest, bad, patiently};

/// At most `limit` items whose texts have all words of `text`, best first.
///
/// # Errors
/// The text is too long, or the server is busy.
pub(super) async fn find(request: &GorseRequest, text: &str, limit: usize) -> Result<Vec<ItemId>, Refusal> {
    let chars = text.chars().count();
    if chars > QUERY_CHARS_MAX {
        return Err(bad("q", format!("must have at most {QUERY_CHARS_MAX} characters, has {chars}")));
    }
    let Some(query) = TextQuery::parse(text) else { return Ok(Vec::new()) };
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let search = SearchRequest { query, required: Vec::new(), available_at: None, skip: 0, limit };
    let hits = patiently(|| request.server().search(request.quota_user(), search.clone())).await?;
    Ok(hits.into_iter().map(|hit| hit.item).collect())
}
