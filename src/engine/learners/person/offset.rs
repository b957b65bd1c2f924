//! A user's offsets from shared weights of features.
//!
//! Invariant: offsets are finite, bounded, and shrink towards 0 with each example.
//! Deliberately absent: the features themselves; `FEATURES` is their number.

use serde::{Deserialize, Serialize};

use crate::domain::journal::{Opinion, TrainingExample};

/// A user's offsets from the shared weights of the blend or of the opinion model: one per feature; empty before the first
/// example.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserOffset {
    weights: Vec<f32>,
    bias: f32,
}

/// Step size of the offsets.
const OWN_STEP: f32 = 0.005;
/// Shrinkage of the offsets towards 0, per example.
const OWN_SHRINK: f32 = 0.002;
/// Bound of the magnitude of offsets.
const OWN_MAX: f32 = 3.0;

impl UserOffset {
    /// One step against a choice's gradient; both segments share an offset. A gradient of another length changes nothing.
    pub(crate) fn learn_choice<const FEATURES: usize>(&mut self, example: &TrainingExample, weight: f32) {
        let Some((new, seen)) = example.gradient.split_at_checked(FEATURES).filter(|(_, seen)| seen.len() == FEATURES)
        else {
            return;
        };
        self.step::<FEATURES>(new.iter().zip(seen).map(|(new, seen)| new + seen), weight);
    }

    /// Gradient step for an answer. Features of another length are ignored.
    pub(crate) fn learn_opinion<const FEATURES: usize>(&mut self, opinion: &Opinion, features: &[f32], weight: f32) {
        if features.len() == FEATURES {
            self.step::<FEATURES>(features.iter().map(|feature| opinion.error * feature), weight);
            self.bias = stepped(self.bias, opinion.error, weight);
        }
    }

    fn step<const FEATURES: usize>(&mut self, gradient: impl Iterator<Item = f32>, weight: f32) {
        self.weights.resize(FEATURES, 0.0);
        for (own, gradient) in self.weights.iter_mut().zip(gradient) {
            *own = stepped(*own, gradient, weight);
        }
    }

    /// The user's offset from the shared bias; 0 in a blend.
    #[must_use]
    pub fn bias(&self) -> f32 {
        self.bias
    }

    /// Shared weights plus these offsets.
    pub(in crate::engine) fn added_to<const FEATURES: usize>(&self, shared: &[f32; FEATURES]) -> [f32; FEATURES] {
        let mut sum = *shared;
        for (sum, own) in sum.iter_mut().zip(&self.weights) {
            *sum += own;
        }
        sum
    }
}

fn stepped(own: f32, gradient: f32, weight: f32) -> f32 {
    (own - OWN_STEP * weight * gradient - OWN_SHRINK * own).clamp(-OWN_MAX, OWN_MAX)
}
