//! A minimal two-tower model for tests of serving: fixed projections, no training.
//!
//! Invariant: a pure function of its version and its inputs, and every input changes the vector: embedding, text,
//! topic; attributes, the order, labels and times of a history, the time of day.
#![allow(dead_code, reason = "each program that includes this module uses a part of it")]

use eddyline::domain::ids::ModelVersion;
use eddyline::domain::time::Millis;
use eddyline::engine::two_tower::{ItemFacts, Sign, Step, TOWER_DIM, TowerVector, TwoTower};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Two-tower model with fixed projections.
#[derive(Clone, Copy, Debug)]
pub struct Little {
    /// Version of the model; each has projections of its own.
    pub version: u64,
    /// Log-odds per unit of the dot product.
    pub scale: f32,
}

impl Little {
    /// A model of this version.
    pub fn new(version: u64) -> Little {
        Little { version, scale: 4.0 }
    }

    /// A pseudo-random number in [-1, 1) for a text and an index.
    fn number(&self, bytes: &[u8], place: usize) -> f32 {
        let hash = xxh3_64_with_seed(bytes, self.version * 1_000 + place as u64);
        (hash >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn add(&self, vector: &mut TowerVector, bytes: &[u8], by: f32) {
        for (place, number) in vector.iter_mut().enumerate() {
            *number += by * self.number(bytes, place);
        }
    }
}

fn unit(mut vector: TowerVector) -> TowerVector {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

impl TwoTower for Little {
    fn version(&self) -> ModelVersion {
        ModelVersion(self.version)
    }

    fn history(&self) -> usize {
        32
    }

    fn lacking(&self, _: &ItemFacts<'_>) -> Vec<String> {
        Vec::new()
    }

    fn item(&self, item: &ItemFacts<'_>) -> TowerVector {
        let mut vector = [0.0; TOWER_DIM];
        for (column, x) in item.embedding.iter().enumerate() {
            self.add(&mut vector, &column.to_le_bytes(), *x);
        }
        self.add(&mut vector, item.text.as_bytes(), 0.5);
        self.add(&mut vector, item.topic.unwrap_or_default().as_bytes(), 0.5);
        unit(vector)
    }

    fn person(&self, attributes: Option<&str>, history: &[Step<'_>], now: Millis) -> TowerVector {
        let mut vector = [0.0; TOWER_DIM];
        if let Some(attributes) = attributes {
            self.add(&mut vector, attributes.as_bytes(), 1.0);
        }
        self.add(&mut vector, &(now.0 / 3_600_000 % 24).to_le_bytes(), 0.1);
        for (place, step) in history.iter().enumerate() {
            let age = now.since(step.at) as f32 / 3_600_000.0;
            let sign = match step.sign {
                Sign::Negative => -1.0,
                Sign::Neutral => 0.1,
                Sign::Positive => 1.0,
            };
            let weight = sign * (1.0 + 0.1 * place as f32) / (1.0 + age);
            for (number, x) in vector.iter_mut().zip(step.item) {
                *number += weight * x;
            }
        }
        unit(vector)
    }

    fn log_odds(&self, dot: f32) -> f32 {
        self.scale * dot
    }
}
