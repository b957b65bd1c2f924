//! Bounds, rights of users by the default policy, and forms that several routes share.
//!
//! Invariant: each bound and each rule stands once.

use crate::domain::activities::{FeedName, Micros};

use super::caller::StreamRequest;
use super::reply::{Fault, StreamError};

/// Activities of a page by default.
pub(crate) const PAGE: usize = 25;
/// Activities of a page at most.
pub(crate) const PAGE_MAX: usize = 100;

/// Whether the default policy lets a user read a feed.
pub(crate) fn user_may_read(user: &str, feed: &FeedName) -> bool {
    feed.id() == user || feed.group() == "user"
}

/// Whether the default policy lets a user write to a feed.
pub(crate) fn user_may_write(user: &str, feed: &FeedName) -> bool {
    feed.id() == user || feed.group() == "notification"
}

/// A time with the zone, as follows, users, collections and reactions have it.
pub(crate) fn zoned(at: Micros) -> String {
    format!("{at}Z")
}

/// The relative address of the next page.
pub(crate) fn next(request: &StreamRequest, feed: &FeedName, id: &str, limit: usize) -> String {
    let is_enriched = request.is_enriched();
    let service = if is_enriched { "/api/v1.0/enrich/feed" } else { "/api/v1.0/feed" };
    let kept = request.params();
    let mut kept: Vec<(&str, &str)> = kept
        .into_iter()
        .filter(|(name, _)| !name.starts_with("id_") && !["limit", "offset", "api_key", "authorization"].contains(name))
        .collect();
    kept.sort_unstable();
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let kept: String = kept.iter().map(|(name, value)| format!("&{}={}", encode(name), encode(value))).collect();
    format!("{service}/{}/{}/?id_lt={id}&limit={limit}{kept}", feed.group(), encode(feed.id()))
}

/// Refuses a body whose list is too long.
pub(crate) fn must_be_short(field: &str, length: usize, max: usize) -> Result<(), StreamError> {
    if length <= max {
        return Ok(());
    }
    Err(StreamError::new(Fault::Input, format!("{field} must have at most {max} parts, has {length}")))
}
