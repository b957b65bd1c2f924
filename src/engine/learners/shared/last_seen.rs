//! Last seen item of each user, for the feature of a followed user's current item.
//!
//! Invariant: one visit per user, the last one learned. Chunks are shared with all published worlds, so publishing
//! copies only chunks that changed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ItemId, UserId};
use crate::domain::time::{HOUR_MS, Millis};

/// Users per copy-on-write chunk.
const CHUNK: usize = 64;

/// Half-life of a visit: 6 hours.
const HALF_LIFE_MS: f32 = 6.0 * HOUR_MS as f32;

/// Last seen item by user id; `None` for users without a visit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastSeen(Vec<Arc<Chunk>>);

type Chunk = Vec<Option<(ItemId, Millis)>>;

impl LastSeen {
    /// Records a visit, which replaces the user's earlier one.
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

    /// Last seen item of a user and its decayed weight at `now`, in (0, 1].
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
        let mut last_seen = LastSeen::default();
        last_seen.learn(UserId(700), ItemId(3), Millis(0));
        last_seen.learn(UserId(700), ItemId(4), Millis(0));
        assert_eq!(last_seen.of(UserId(700), Millis(6 * HOUR_MS)), Some((ItemId(4), 0.5)));
        assert_eq!(last_seen.of(UserId(699), Millis(0)), None);
        assert_eq!(last_seen.of(UserId(100_000), Millis(0)), None);
    }
}
