//! The accepted/rejected model of one person: diagonal Bayesian logistic regression on centred unit embeddings.
//!
//! Invariant: mean and precision are finite, precision is at least the prior's; predicting changes nothing; learning is
//! O(dim). Absent on purpose: an intercept (it measured worse; the base rate is the blend's).

use serde::{Deserialize, Serialize};

use crate::domain::time::Millis;
use crate::engine::settings::LearnSettings;
use crate::engine::simd::{dot, gaussian_step, squares_over};

/// `1 / (1 + e^-x)`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Gaussian over the weights with a diagonal covariance; empty until the first label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnlineModel {
    /// `(dim,)`, or empty: all zeros.
    mean: Vec<f32>,
    /// `(dim,)`, or empty: all at the prior.
    precision: Vec<f32>,
    as_of: Millis,
}

/// What the model says of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// `w . x`: log-odds of acceptance.
    pub log_odds: f32,
    /// `sum x_i^2 / q_i`: variance of those log-odds.
    pub variance: f32,
}

impl OnlineModel {
    /// The mean weights, `(dim,)`; `None` before the first label (all zeros).
    #[must_use]
    pub fn weights(&self) -> Option<&[f32]> {
        (!self.mean.is_empty()).then_some(&self.mean[..])
    }

    /// How sure each weight is, `(dim,)`: one over its variance; `None` before the first label (all at the prior).
    #[must_use]
    pub fn precision(&self) -> Option<&[f32]> {
        (!self.precision.is_empty()).then_some(&self.precision[..])
    }

    /// Judges a centred unit vector `(dim,)`; all zeros stands for an item that is its own centre.
    #[must_use]
    pub fn predict(&self, x: &[f32], settings: &LearnSettings) -> Judgement {
        if self.mean.is_empty() {
            return Judgement { log_odds: 0.0, variance: dot(x, x) * settings.prior_variance };
        }
        Judgement { log_odds: dot(&self.mean, x), variance: squares_over(x, &self.precision) }
    }

    /// Learns one label on a centred unit vector `(dim,)`, weighted.
    ///
    /// Finds the exact maximum of the posterior along the one direction that matters: with `v = sum x_i^2 / q_i` the
    /// new log-odds solve `a = a0 + weight v (y - sigmoid(a))`; then `q_i += weight p (1 - p) x_i^2`. Source: Chapelle
    /// and Li, *An Empirical Evaluation of Thompson Sampling*, NIPS 2011, Algorithm 3, one event at a time, with a
    /// weight per event and precision that relaxes towards the prior with a half-life.
    pub fn learn(&mut self, x: &[f32], accepted: bool, weight: f32, at: Millis, settings: &LearnSettings) {
        let prior = 1.0 / settings.prior_variance;
        if self.mean.is_empty() {
            self.mean = vec![0.0; x.len()];
            self.precision = vec![prior; x.len()];
        } else {
            self.forget(at, prior, settings.forget_half_life_ms);
        }
        self.as_of = self.as_of.max(at);
        let before = f64::from(dot(&self.mean, x));
        let reach = f64::from(weight) * f64::from(squares_over(x, &self.precision));
        let label = f64::from(u8::from(accepted));
        // The left side minus the right side rises in `a` with a slope of at least 1, so Newton from inside the bracket
        // [a0 - reach, a0 + reach] with bisection as its guard always ends.
        let (mut low, mut high) = (before - reach, before + reach);
        let mut after = before;
        for _ in 0..50 {
            let p = sigmoid(after);
            let error = after - before - reach * (label - p);
            if error > 0.0 {
                high = after;
            } else {
                low = after;
            }
            let step = error / (1.0 + reach * p * (1.0 - p));
            let newton = after - step;
            let next = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
            if (next - after).abs() <= 1e-12 * (1.0 + after.abs()) {
                after = next;
                break;
            }
            after = next;
        }
        let p = sigmoid(after);
        let step = f64::from(weight) * (label - p);
        let gain = f64::from(weight) * p * (1.0 - p);
        gaussian_step(&mut self.mean, &mut self.precision, x, step as f32, gain as f32);
    }

    /// Length of the mean weights.
    #[must_use]
    pub fn weight_norm(&self) -> f32 {
        dot(&self.mean, &self.mean).sqrt()
    }

    /// Mean standard deviation of the weights, in units of the prior's: 1 before anything was learned.
    #[must_use]
    pub fn uncertainty(&self, settings: &LearnSettings) -> f32 {
        if self.precision.is_empty() {
            return 1.0;
        }
        let prior = 1.0 / settings.prior_variance;
        self.precision.iter().map(|q| (prior / q).sqrt()).sum::<f32>() / self.precision.len() as f32
    }

    fn forget(&mut self, at: Millis, prior: f32, half_life_ms: i64) {
        let elapsed = at.since(self.as_of);
        if elapsed == 0 {
            return;
        }
        let keep = (-(elapsed as f64) / half_life_ms as f64).exp2() as f32;
        for precision in &mut self.precision {
            *precision = (prior + (*precision - prior) * keep).max(prior);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::DAY_MS;
    use proptest::prelude::*;

    fn unit(numbers: &[f32]) -> Vec<f32> {
        let norm = dot(numbers, numbers).sqrt().max(1e-6);
        numbers.iter().map(|x| x / norm).collect()
    }

    proptest! {
        /// Whatever is learned, the state stays finite and sure of at least the prior; learning a label moves the
        /// judgement towards it.
        #[test]
        fn learning_moves_towards_the_label(
            events in prop::collection::vec((prop::collection::vec(-1.0f32..1.0, 8), any::<bool>(), 0.01f32..10.0, 0i64..10_000_000_000), 1..60)
        ) {
            let settings = LearnSettings::default();
            let mut model = OnlineModel::default();
            for (x, accepted, weight, at) in events {
                let x = unit(&x);
                let before = model.predict(&x, &settings).log_odds;
                model.learn(&x, accepted, weight, Millis(at), &settings);
                let after = model.predict(&x, &settings);
                prop_assert!(after.log_odds.is_finite() && after.variance.is_finite() && after.variance >= 0.0);
                let moved = if accepted { after.log_odds - before } else { before - after.log_odds };
                prop_assert!(moved >= -1e-4, "{before} {after:?} {accepted}");
                prop_assert!(model.precision.iter().all(|q| *q >= 0.1 && q.is_finite()));
            }
        }
    }

    #[test]
    fn one_step_solves_its_equation() {
        let settings = LearnSettings::default();
        let mut model = OnlineModel::default();
        let x = unit(&[1.0, 2.0, -2.0]);
        model.learn(&x, true, 1.0, Millis(0), &settings);
        let a = f64::from(model.predict(&x, &settings).log_odds);
        // By hand: v = 10, a = 10 (1 - sigmoid(a)) has its root at 1.6766...
        assert!((a - 10.0 * (1.0 - sigmoid(a))).abs() < 1e-5, "{a}");
    }

    #[test]
    fn certainty_fades_with_its_half_life() {
        let settings = LearnSettings::default();
        let mut model = OnlineModel::default();
        for _ in 0..20 {
            model.learn(&[1.0, 0.0], true, 1.0, Millis(0), &settings);
        }
        let sure = model.precision[0] - 0.1;
        model.learn(&[0.0, 1.0], true, 1.0, Millis(30 * DAY_MS), &settings);
        assert!((model.precision[0] - 0.1 - sure / 2.0).abs() < 1e-5);
    }
}
