//! Second-order online learning: gradients are preconditioned by the inverse of their second moments.
//!
//! Invariant: the matrix stays symmetric and positive definite, with no diagonal entry above its prior. The steps
//! depend only on the gradients and their order. A direction without gradients keeps its prior, and its weight never
//! moves.
//! Sources: natural gradient with the empirical Fisher matrix (Amari, Neural Computation 1998); its inverse by the
//! Sherman-Morrison formula; a random walk of the weights, so that learning never ends (Kalman 1960).
//! Deliberately absent: the weights themselves.

use serde::{Deserialize, Serialize};

use crate::engine::numeric::kernels::{LANES, add_product, dot, subtract_outer};

/// Prior precision of every direction, which limits the influence of the first examples.
const PRIOR: f32 = 10.0;

/// Variance of the weights' random walk per example.
const WALK: f32 = 1e-7;

/// Factor of all variances after a drift alarm.
const LOOSENED: f32 = 10.0;

/// Preconditioner of `n` weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Newton {
    /// Directions with a nonzero gradient so far, in order of appearance. Most logs leave some directions unused.
    spoken: Vec<usize>,
    /// Inverse of the prior plus the sum of squared gradients, over these directions: `(width, width)`, with their
    /// number rounded up to [`LANES`]. The padding is 0.
    inverse: Vec<f32>,
}

impl Newton {
    /// Learns a gradient, `(n,)`, with this weight, above 0. Returns the descent step to subtract from the weights,
    /// `(n,)`; zeros for a zero gradient.
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
            // Rounding made the matrix indefinite: reset it.
            *self = Newton::default();
            return moves;
        }
        // The example enters the matrix by its weight, not by the square of it.
        let by = weight / (1.0 + weight * length);
        // The square root goes to both sides, so that the matrix stays symmetric.
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

    /// Grows the matrix by the directions that have their first nonzero gradient.
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

    /// Widens the variances after a drift alarm, so that later gradients count more.
    pub(crate) fn loosen(&mut self) {
        let width = self.width();
        // Scales rows and columns alike, so that it stays a covariance matrix.
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

    /// Logistic labels of strongly correlated features, from `truth`.
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

    /// Features that differ by a fifth only have opposite weights: first-order steps see their sum, second-order steps
    /// their differences.
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
            // The last direction never has a gradient; the one before always equals the first.
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
