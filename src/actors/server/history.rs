//! Interactions of one user, or of all users, read page by page.
//!
//! Invariant: memory holds one page of the journal, whatever its length. Few of these readings run at once, as they read as
//! many entries as a scan reads rows.

use super::Server;
use crate::actors::errors::RequestError;
use crate::domain::ids::{Position, Seq, UserId};
use crate::domain::journal::{Entry, Learned, What};
use crate::domain::time::Millis;

/// Entries per page: at most about 4 MiB.
const PAGE: u32 = 1_000;
/// Entries of the whole journal that one call reads at most.
const ENTRIES_MAX: usize = 20_000;

impl Server {
    /// Hands each interaction of a person to `take`, from the first to the last one.
    ///
    /// # Errors
    /// `rate_limited` while too many scans of this person are under way. Busy while too many are in total, or while the store
    /// cannot answer.
    pub async fn each_interaction(
        &self,
        user: UserId,
        mut take: impl FnMut(&Entry, &Learned),
    ) -> Result<(), RequestError> {
        let place = self.context.scans.enter(Some(user))?;
        let mut after = Seq(0);
        loop {
            let turn = place.turn().await;
            let page = self.context.store.entries(user, after, Millis::MAX, PAGE).await?;
            drop(turn);
            for entry in &page {
                if let What::Interacted(learned) = &entry.what {
                    take(entry, learned);
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = last.seq,
                _ => return Ok(()),
            }
        }
    }

    /// At most `limit` interactions of all people after a position that are `wanted`, in commit order, and the position to
    /// go on from; `None` at the end. A page may be short, even empty, before the end.
    ///
    /// # Errors
    /// Busy while too many scans are under way, or while the store cannot answer.
    pub async fn interactions_after(
        &self,
        mut after: Position,
        limit: usize,
        wanted: impl Fn(&Entry, &Learned) -> bool,
    ) -> Result<(Vec<Entry>, Option<Position>), RequestError> {
        let place = self.context.scans.enter(None)?;
        let (mut found, mut read) = (Vec::new(), 0);
        loop {
            let turn = place.turn().await;
            let page = self.context.store.scan(after, PAGE).await?;
            drop(turn);
            let is_last = page.len() < PAGE as usize;
            read += page.len();
            for (position, entry) in page {
                if let What::Interacted(learned) = &entry.what
                    && wanted(&entry, learned)
                {
                    if found.len() == limit {
                        return Ok((found, Some(after)));
                    }
                    found.push(entry);
                }
                after = position;
            }
            if is_last {
                return Ok((found, None));
            }
            if read >= ENTRIES_MAX {
                return Ok((found, Some(after)));
            }
        }
    }
}
