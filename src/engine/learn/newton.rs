//! Second-order steps for weights that are learned online: gradients, measured against how they usually go together.
//!
//! Invariant: the matrix stays symmetric and positive definite, no diagonal entry above where it began; what is learned
//! depends on the gradients and their order alone. A direction of which no gradient ever spoke keeps its prior, and its
//! weight stays what it was. Sources: natural gradient with the empirical Fisher matrix (Amari, Neural Computation 1998);
//! its inverse by the formula of Sherman and Morrison; a random walk of the weights, so that learning never ends (Kalman
//! 1960). Absent on purpose: the weights themselves.

use serde::{Deserialize, Serialize};

use crate::engine::simd::{add_product, dot, subtract_outer};

/// As if this much had been seen of every direction, so that the first lessons do not decide everything.
const PRIOR: f32 = 10.0;

/// Gradients that make one step. More would cost less, but who is misled by a model that is all noise must turn round at
/// once.
const BATCH: u32 = 1;

/// By how much weights may move with each lesson, as a variance.
const WALK: f32 = 1e-7;

/// An alarm multiplies all variances by this.
const LOOSENED: f32 = 10.0;

/// The learner of `n` weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Newton {
    /// Inverse of the prior and the sum of squared gradients, `(n, n)`; empty before the first lesson.
    inverse: Vec<f32>,
    /// Gradients that have not been learned yet, summed up with their weights, `(n,)`.
    pending: Vec<f32>,
    /// How many these are, the sum of their weights, and of the squares of these.
    count: u32,
    weight: f32,
    weight_squared: f32,
}

impl Newton {
    /// One more gradient, `(n,)`, of this weight. `step`: the change of the weights, where it is time for one.
    pub fn learn(&mut self, gradient: &[f32], weight: f32) -> Option<Vec<f32>> {
        let n = gradient.len();
        if self.pending.len() != n {
            *self = Newton { pending: vec![0.0; n], inverse: beginning(n), ..Newton::default() };
        }
        for (sum, gradient) in self.pending.iter_mut().zip(gradient) {
            *sum += weight * gradient;
        }
        self.count += 1;
        self.weight += weight;
        self.weight_squared += weight * weight;
        (self.count >= BATCH).then(|| self.step())
    }

    /// Takes what is pending into the matrix, and says where the weights go.
    fn step(&mut self) -> Vec<f32> {
        let n = self.pending.len();
        let mut step = vec![0.0; n];
        add_product(&self.pending, &self.inverse, &mut step);
        let length = dot(&step, &self.pending);
        if !(length.is_finite() && length >= 0.0) {
            // Rounding made a matrix of it that measures nothing: begin afresh.
            self.inverse = beginning(n);
            step.fill(0.0);
        } else if length > 0.0 {
            // The square of a sum of gradients that agree in nothing is the sum of their squares; in the matrix a lesson
            // counts by its weight, and not by the square of it.
            let scale = self.weight / self.weight_squared;
            let shrink = scale / (1.0 + scale * length);
            subtract_outer(&step, shrink, &mut self.inverse);
            let walk = WALK * self.count as f32;
            for place in (0..n * n).step_by(n + 1) {
                self.inverse[place] = (self.inverse[place] + walk).min(1.0 / PRIOR);
            }
            step.iter_mut().for_each(|step| *step *= shrink / scale);
        }
        self.pending.fill(0.0);
        (self.count, self.weight, self.weight_squared) = (0, 0.0, 0.0);
        step
    }

    /// What was true is so no longer: later gradients count more.
    pub fn loosen(&mut self) {
        let n = self.pending.len();
        // Rows and columns alike, so that it stays a matrix of variances.
        let grow = |place: usize| (1.0 / (PRIOR * self.inverse[place * (n + 1)])).clamp(1.0, LOOSENED).sqrt();
        let grown: Vec<f32> = (0..n).map(grow).collect();
        for (row, by) in self.inverse.chunks_exact_mut(n.max(1)).zip(&grown) {
            for (entry, also) in row.iter_mut().zip(&grown) {
                *entry *= by * also;
            }
        }
    }
}

fn beginning(n: usize) -> Vec<f32> {
    let mut inverse = vec![0.0; n * n];
    inverse.iter_mut().step_by(n + 1).for_each(|entry| *entry = 1.0 / PRIOR);
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const N: usize = 12;

    fn dot64(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// Logistic labels of features that nearly say the same, from `truth`.
    fn lesson(random: &mut ChaCha8Rng, truth: &[f32], weights: &[f32]) -> Vec<f32> {
        let common: f32 = random.random_range(-1.0..1.0);
        let x: Vec<f32> = (0..truth.len()).map(|_| common + 0.2 * random.random_range(-1.0..1.0f32)).collect();
        let chance = 1.0 / (1.0 + (-dot64(truth, &x)).exp());
        let said = 1.0 / (1.0 + (-dot64(weights, &x)).exp());
        let label = f64::from(u8::from(random.random_range(0.0..1.0) < chance));
        x.iter().map(|x| ((said - label) * f64::from(*x)) as f32).collect()
    }

    fn taught(lessons: usize, weight: f32) -> (Newton, Vec<f32>, Vec<f32>) {
        let truth: Vec<f32> = (0..N).map(|k| if k % 2 == 0 { 1.5 } else { -1.5 }).collect();
        let (mut newton, mut weights) = (Newton::default(), vec![0.0; N]);
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..lessons {
            let gradient = lesson(&mut random, &truth, &weights);
            if let Some(step) = newton.learn(&gradient, weight) {
                weights.iter_mut().zip(step).for_each(|(weight, step)| *weight -= step);
            }
        }
        (newton, weights, truth)
    }

    /// Features that differ by a fifth only, with opposite meanings: first-order steps see their sum, these their differences.
    #[test]
    fn weights_of_features_that_go_together_are_told_apart() {
        for weight in [1.0, 0.3] {
            let (_, weights, truth) = taught(20_000, weight);
            let off = weights.iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 0.75, "weight {weight}: {weights:?}");
        }
    }

    #[test]
    fn the_matrix_stays_symmetric_and_within_its_prior_whatever_comes() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut newton = Newton::default();
        for turn in 0..20_000 {
            let size = if turn % 1_000 == 0 { 500.0 } else { 0.5 };
            // The last direction is never spoken of, the one before always as the first.
            let mut gradient: Vec<f32> = (0..N).map(|_| size * random.random_range(-1.0..1.0f32)).collect();
            (gradient[N - 1], gradient[N - 2]) = (0.0, gradient[0]);
            let step = newton.learn(&gradient, 1.0);
            assert!(step.is_none_or(|step| step.iter().all(|s| s.is_finite()) && step[N - 1] == 0.0));
            if turn % 5_000 == 4_999 {
                newton.loosen();
            }
        }
        for (row, entries) in newton.inverse.chunks_exact(N).enumerate() {
            assert!(entries[row] > 0.0 && entries[row] <= 1.001 / PRIOR, "{row}: {}", entries[row]);
            for (column, entry) in entries.iter().enumerate() {
                assert_eq!(*entry, newton.inverse[column * N + row], "{row} {column}");
            }
        }
        assert_eq!(newton.inverse[N * N - 1], 1.0 / PRIOR);
    }

    #[test]
    fn loosened_it_moves_further() {
        let (newton, ..) = taught(20_000, 1.0);
        let gradient: Vec<f32> = (0..N).map(|k| if k < N / 2 { 0.3 } else { -0.3 }).collect();
        let moved = |mut newton: Newton| {
            let steps = (0..BATCH).filter_map(|_| newton.learn(&gradient, 1.0)).flatten();
            steps.map(f32::abs).sum::<f32>()
        };
        let mut loosened = newton.clone();
        loosened.loosen();
        assert!(moved(loosened) > 2.0 * moved(newton));
    }
}
