//! Seeded randomness of the simulation: streams by purpose, hashes as uniform and nearly normal numbers.
//!
//! Invariant: each result is a function of its arguments alone, so a seed gives one world on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A random stream for one purpose, so that more draws for one purpose change no other.
pub(super) fn stream(seed: u64, purpose: &str, number: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mixed(seed, &[xxh3_64_with_seed(purpose.as_bytes(), 0), number]))
}

/// A hash of all `parts` under a seed.
pub(super) fn mixed(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(seed, |hash, part| xxh3_64_with_seed(&part.to_le_bytes(), hash))
}

/// An approximately normal number, mean 0, variance 1: the sum of the four 16-bit quarters of a hash (Irwin-Hall),
/// exact on every machine.
pub(super) fn normal(hash: u64) -> f64 {
    let sum: u64 = (0..4).map(|quarter| (hash >> (16 * quarter)) & 0xffff).sum();
    // Each quarter has mean 32767.5 and variance (2^32 - 1) / 12.
    (sum as f64 - 131_070.0) / 37_837.22
}

/// Maps a hash to [0, 1).
pub(super) fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// `1 / (1 + e^-x)`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_become_nearly_normal_numbers() {
        let draws: Vec<f64> = (0..20_000).map(|n| normal(mixed(7, &[n]))).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }
}
