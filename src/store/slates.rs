//! The log of drawn feeds (slates), for off-policy evaluation.
//!
//! Invariant: each feed is logged once, and no feed of an erased person is logged.

use futures_util::future::BoxFuture;

use crate::domain::feeds::Slate;
use crate::domain::ids::{FeedVersion, UserId};
use crate::domain::time::Millis;
use crate::store::error::StoreError;

/// Logs drawn feeds and reads them page by page.
pub trait SlateStore: Send + Sync + 'static {
    /// Logs drawn feeds, each once and none of an erased person. Deletes feeds that were drawn before `before`.
    fn log_slates(&self, slates: Vec<Slate>, before: Option<Millis>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// One page of a person's logged feeds: those after a version (`None`: from the first), by version, at most
    /// `limit`.
    fn slates(
        &self,
        user: UserId,
        after: Option<FeedVersion>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Slate>, StoreError>>;
}
