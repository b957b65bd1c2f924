//! Baseline of random scores, the floor of every table.
//!
//! Invariant: a score depends on seed, user, item and instant alone.

use xxhash_rust::xxh3::xxh3_64;

use super::ranker::Ranker;
use crate::domain::time::Millis;
use crate::replay::log::availability::Edge;

/// A ranker by hashes.
pub struct Random {
    seed: u64,
}

impl Random {
    /// A ranker with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random { seed }
    }
}

impl Ranker for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn begin(&mut self, _: Millis, _: &[Edge]) {}

    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&now.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&user.to_le_bytes());
        out.clear();
        out.extend(candidates.iter().map(|item| {
            bytes[20..].copy_from_slice(&item.to_le_bytes());
            // The upper 24 bits fit an f32 exactly.
            (xxh3_64(&bytes) >> 40) as f32
        }));
    }

    fn learn(&mut self, _: usize) {}
}
