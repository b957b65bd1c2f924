//! The store's side of the feeds API.
//!
//! Invariant: a change that returns `Ok` is durable and visible to the next read.

use super::{Server, within};
use crate::actors::errors::{Busy, RequestError};
use crate::store::activities::{ActivityChange, Reads};

impl Server {
    /// Reads of activities, follows between feeds, reactions and objects.
    #[must_use]
    pub fn feeds(&self) -> Reads<'_> {
        Reads::of(&*self.context.store)
    }

    /// Carries out changes of feeds in one transaction.
    ///
    /// # Errors
    /// Busy while the server goes down or the store cannot answer. The change may be stored when the answer is lost.
    pub async fn change_feeds(&self, changes: Vec<ActivityChange>) -> Result<(), RequestError> {
        if self.context.is_closing() {
            return Err(Busy::ShuttingDown.into());
        }
        Ok(within(self.feeds().change(changes)).await??)
    }
}
