//! Where everybody was last: what a person's friends are at.
//!
//! Invariant: one visit per person, the newest. Chunks are shared with every world that was published, so publishing
//! copies only what changed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ItemId, UserId};
use crate::domain::time::{HOUR_MS, Millis};

/// People per chunk: what is copied when one of them went somewhere.
const CHUNK: usize = 64;

/// A friend's visit counts half after this.
const HALF_LIFE_MS: f32 = 6.0 * HOUR_MS as f32;

/// By person; `None` for those who were nowhere yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lately(Vec<Arc<Chunk>>);

type Chunk = Vec<Option<(ItemId, Millis)>>;

impl Lately {
    /// Went there.
    pub fn learn(&mut self, user: UserId, item: ItemId, at: Millis) {
        let (chunk, row) = (user.0 as usize / CHUNK, user.0 as usize % CHUNK);
        if chunk >= self.0.len() {
            self.0.resize_with(chunk + 1, Arc::default);
        }
        let chunk = Arc::make_mut(&mut self.0[chunk]);
        if row >= chunk.len() {
            chunk.resize(row + 1, None);
        }
        chunk[row] = Some((item, at));
    }

    /// Where a person was last, and how much that counts at `now`, in (0, 1].
    #[must_use]
    pub fn of(&self, user: UserId, now: Millis) -> Option<(ItemId, f32)> {
        let (item, at) = (*self.0.get(user.0 as usize / CHUNK)?.get(user.0 as usize % CHUNK)?)?;
        Some((item, (-(now.since(at) as f32) / HALF_LIFE_MS).exp2()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_visit_counts_and_fades() {
        let mut lately = Lately::default();
        lately.learn(UserId(700), ItemId(3), Millis(0));
        lately.learn(UserId(700), ItemId(4), Millis(0));
        assert_eq!(lately.of(UserId(700), Millis(6 * HOUR_MS)), Some((ItemId(4), 0.5)));
        assert_eq!(lately.of(UserId(699), Millis(0)), None);
        assert_eq!(lately.of(UserId(100_000), Millis(0)), None);
    }
}
