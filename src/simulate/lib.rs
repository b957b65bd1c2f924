//! The simulated social network: people, their friends, their tastes, what they write and what they do.
//!
//! Invariant: everything follows from a seed and the instants that are handed in; the same seed gives the same bytes.
//! Absent on purpose: clocks, threads, sockets, and the recommender itself: nothing here knows what a feed's order means.

extern crate self as simulate;
use eddyline_core::{domain, engine};

mod behaviour;
pub mod bots;
pub mod history;
pub mod network;
pub mod tables;
pub mod taste;
pub mod text;
mod vocabulary;
pub mod viewing;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A stream of random numbers for one purpose, so that drawing more for one thing changes no other.
pub(crate) fn stream(seed: u64, purpose: &str, number: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mixed(seed, &[xxh3_64_with_seed(purpose.as_bytes(), 0), number]))
}

/// A number that depends on all of `parts` and looks random.
pub(crate) fn mixed(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(seed, |hash, part| xxh3_64_with_seed(&part.to_le_bytes(), hash))
}

/// Nearly normal, mean 0, variance 1: the sum of the four 16-bit quarters of a hash (Irwin-Hall), exact on every machine.
pub(crate) fn normal(hash: u64) -> f64 {
    let sum: u64 = (0..4).map(|quarter| (hash >> (16 * quarter)) & 0xffff).sum();
    // Each quarter has mean 32767.5 and variance (2^32 - 1) / 12.
    (sum as f64 - 131_070.0) / 37_837.22
}

/// A hash as a number in [0, 1).
pub(crate) fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// `1 / (1 + e^-x)`.
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Why nothing could be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulateError {
    /// Too few or too many people.
    #[error("`people` must be {min} to {max}, is {found}", min = network::PEOPLE_MIN, max = network::PEOPLE_MAX)]
    People {
        /// What was asked for.
        found: usize,
    },
    /// Too short or too long a history.
    #[error("`days` must be 1 to {max}, is {found}", max = history::DAYS_MAX)]
    Days {
        /// What was asked for.
        found: u32,
    },
    /// Nobody, or nothing to see.
    #[error("tables need at least one person and one post")]
    Tables,
    /// A start that RFC 3339 cannot write, or whose end it cannot.
    #[error("`start` must leave the whole history between the years 1 and 9999")]
    Start,
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
