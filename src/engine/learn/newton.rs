//! Second-order steps for weights that are learned online: gradients, measured against how they usually go together.
//!
//! Invariant: the matrix stays symmetric and positive definite, no diagonal entry above where it began; what is learned
//! depends on the gradients and their order alone. A direction of which no gradient ever spoke keeps its prior, and its
//! weight stays what it was. Sources: natural gradient with the empirical Fisher matrix (Amari, Neural Computation 1998);
//! its inverse by the formula of Sherman and Morrison; a random walk of the weights, so that learning never ends (Kalman
//! 1960). Absent on purpose: the weights themselves.

use serde::{Deserialize, Serialize};

use crate::engine::simd::{LANES, add_product, dot, subtract_outer};

/// As if this much had been seen of every direction, so that the first training examples do not decide everything.
const PRIOR: f32 = 10.0;

/// By how much weights may move with each training example, as a variance.
const WALK: f32 = 1e-7;

/// An alarm multiplies all variances by this.
const LOOSENED: f32 = 10.0;

/// The learner of `n` weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Newton {
    /// Directions of which some gradient spoke, in the order in which they first did. Most logs are silent about some.
    spoken: Vec<usize>,
    /// Inverse of the prior and the sum of squared gradients among these directions, `(width, width)` with their number
    /// rounded up to [`LANES`]; what stands beyond is 0.
    inverse: Vec<f32>,
}

impl Newton {
    /// One more gradient, `(n,)`, of this weight, above 0, into the change of the weights, `(n,)`: zeros for a gradient
    /// that says nothing.
    pub fn learn<const N: usize>(&mut self, gradient: &[f32; N], weight: f32) -> [f32; N] {
        let mut moves = [0.0; N];
        let known = self.spoken.iter().filter(|direction| gradient[**direction] != 0.0).count();
        let speaking = gradient.iter().filter(|g| **g != 0.0).count();
        if speaking == 0 {
            return moves;
        }
        if speaking > known {
            self.listen(gradient);
        }
        let (count, width) = (self.spoken.len(), self.width());
        let (mut x, mut step) = (vec![0.0; count], vec![0.0; width]);
        for (x, direction) in x.iter_mut().zip(&self.spoken) {
            *x = gradient[*direction];
        }
        add_product(&x, &self.inverse[..count * width], &mut step);
        let length = dot(&step[..count], &x);
        if !(length.is_finite() && length >= 0.0) {
            // Rounding made a matrix of it that measures nothing: begin afresh.
            *self = Newton::default();
            return moves;
        }
        // A training example counts in the matrix by its weight, and not by the square of it.
        let by = weight / (1.0 + weight * length);
        // By its root on both sides, so that rows and columns stay alike.
        let root = by.sqrt();
        step.iter_mut().for_each(|step| *step *= root);
        subtract_outer(&step, &mut self.inverse);
        for place in (0..width * count).step_by(width + 1) {
            self.inverse[place] = (self.inverse[place] + WALK).min(1.0 / PRIOR);
        }
        for (direction, step) in self.spoken.iter().zip(step) {
            moves[*direction] = root * step;
        }
        moves
    }

    /// Makes room for the directions that this gradient is the first to speak of.
    fn listen(&mut self, gradient: &[f32]) {
        let (old, old_width) = (std::mem::take(&mut self.inverse), self.width());
        let speaking = gradient.iter().enumerate().filter(|(_, g)| **g != 0.0).map(|(direction, _)| direction);
        let new: Vec<usize> = speaking.filter(|direction| !self.spoken.contains(direction)).collect();
        let (from, count) = (self.spoken.len(), self.spoken.len() + new.len());
        self.spoken.extend(new);
        let width = self.width();
        self.inverse.resize(width * width, 0.0);
        for (row, old) in self.inverse.chunks_exact_mut(width).zip(old.chunks_exact(old_width.max(1))) {
            row[..old_width].copy_from_slice(old);
        }
        self.inverse.iter_mut().step_by(width + 1).take(count).skip(from).for_each(|entry| *entry = 1.0 / PRIOR);
    }

    fn width(&self) -> usize {
        self.spoken.len().next_multiple_of(LANES)
    }

    /// What was true is so no longer: later gradients count more.
    pub fn loosen(&mut self) {
        let width = self.width();
        // Rows and columns alike, so that it stays a matrix of variances.
        let grow = |place: usize| (1.0 / (PRIOR * self.inverse[place * (width + 1)])).clamp(1.0, LOOSENED).sqrt();
        let grown: Vec<f32> = (0..self.spoken.len()).map(grow).collect();
        for (row, by) in self.inverse.chunks_exact_mut(width.max(1)).zip(&grown) {
            for (entry, also) in row.iter_mut().zip(&grown) {
                *entry *= by * also;
            }
        }
    }
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
    fn example(random: &mut ChaCha8Rng, truth: &[f32], weights: &[f32]) -> [f32; N] {
        let common: f32 = random.random_range(-1.0..1.0);
        let x = [0.0; N].map(|_| common + 0.2 * random.random_range(-1.0..1.0f32));
        let chance = 1.0 / (1.0 + (-dot64(truth, &x)).exp());
        let said = 1.0 / (1.0 + (-dot64(weights, &x)).exp());
        let label = f64::from(u8::from(random.random_range(0.0..1.0) < chance));
        x.map(|x| ((said - label) * f64::from(x)) as f32)
    }

    fn taught(examples: usize, weight: f32) -> (Newton, Vec<f32>, Vec<f32>) {
        let truth: Vec<f32> = (0..N).map(|k| if k % 2 == 0 { 1.5 } else { -1.5 }).collect();
        let (mut newton, mut weights) = (Newton::default(), vec![0.0; N]);
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..examples {
            let gradient = example(&mut random, &truth, &weights);
            let step: [f32; N] = newton.learn(&gradient, weight);
            weights.iter_mut().zip(step).for_each(|(weight, step)| *weight -= step);
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
            let mut gradient = [0.0; N].map(|_: f32| size * random.random_range(-1.0..1.0f32));
            (gradient[N - 1], gradient[N - 2]) = (0.0, gradient[0]);
            let step = newton.learn(&gradient, 1.0);
            assert!(step.iter().all(|s| s.is_finite()) && step[N - 1..].iter().all(|s| *s == 0.0), "{step:?}");
            if turn % 5_000 == 4_999 {
                newton.loosen();
            }
        }
        let width = newton.width();
        assert_eq!(newton.spoken.len(), N - 1, "of one direction nobody ever spoke");
        for (row, entries) in newton.inverse.chunks_exact(width).enumerate().take(N - 1) {
            assert!(entries[row] > 0.0 && entries[row] <= 1.001 / PRIOR, "{row}: {}", entries[row]);
            for (column, entry) in entries.iter().enumerate() {
                assert_eq!(*entry, newton.inverse[column * width + row], "{row} {column}");
            }
        }
    }

    #[test]
    fn loosened_it_moves_further() {
        let (newton, ..) = taught(20_000, 1.0);
        let gradient: [f32; N] = std::array::from_fn(|k| if k < N / 2 { 0.3 } else { -0.3 });
        let moved = |mut newton: Newton| newton.learn(&gradient, 1.0).into_iter().map(f32::abs).sum::<f32>();
        let mut loosened = newton.clone();
        loosened.loosen();
        assert!(moved(loosened) > 2.0 * moved(newton));
    }
}
