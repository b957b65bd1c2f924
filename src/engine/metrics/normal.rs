//! Distribution of one number per user over the population: a Normal with unknown mean and precision.
//!
//! Invariant: count, mean and sum of squares are those of the current values, after any additions and removals. The
//! posterior is the exact one of the Normal-Gamma prior. Values are finite; others are rejected.
//! Deliberately absent: the values of single users; the callers keep them.

use serde::{Deserialize, Serialize};

pub use crate::domain::metrics::Prior;
use crate::engine::numeric::special::{student_t_cdf, student_t_quantile};

/// Mean and sum of squares of a set of values, with exact removal.
///
/// Both sums are kept to about 32 digits (each addition and each square with its rounding error). Removing a value
/// restores the digits that it displaced, however big it was. Many values far from the origin keep the digits in which
/// they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    first: Sum,
    second: Sum,
}

/// A compensated sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    value: f64,
    lost: f64,
}

impl Sum {
    /// Adds a term and its rounding error. Source: Neumaier, *Rundungsfehleranalyse einiger Verfahren zur Summation
    /// endlicher Summen*, ZAMM 54, 1974.
    fn add(&mut self, term: f64) {
        let sum = self.value + term;
        self.lost += if self.value.abs() >= term.abs() { (self.value - sum) + term } else { (term - sum) + self.value };
        self.value = sum;
    }

    /// Adds `factor x^2`, with the rounding error of the product.
    fn add_square(&mut self, factor: f64, x: f64) {
        let square = x * x;
        self.add(factor * square);
        self.add(factor * x.mul_add(x, -square));
    }

    fn total(&self) -> f64 {
        self.value + self.lost
    }
}

/// Reason why a value cannot be added or removed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// The value is NaN, or too large to be squared.
    #[error("{0} cannot be counted: a value must be finite and at most 1e100 in size")]
    Value(f64),
    /// The set is empty, so nothing can be removed.
    #[error("there is no value left that could be taken out")]
    Empty,
}

/// Limit of magnitude; squares beyond it would overflow.
const SIZE_MAX: f64 = 1e100;

impl Moments {
    /// Adds a value.
    ///
    /// # Errors
    /// [`ValueError::Value`]; nothing has changed then.
    pub fn add(&mut self, value: f64) -> Result<(), ValueError> {
        checked(value)?;
        self.count += 1;
        self.shift(value, 1.0);
        Ok(())
    }

    /// Removes a value that was added before.
    ///
    /// # Errors
    /// [`ValueError`]; nothing has changed then.
    pub fn remove(&mut self, value: f64) -> Result<(), ValueError> {
        checked(value)?;
        if self.count == 0 {
            return Err(ValueError::Empty);
        }
        self.count -= 1;
        self.shift(value, -1.0);
        if self.count == 0 {
            *self = Moments::default();
        }
        Ok(())
    }

    /// Replaces a value that was added before.
    ///
    /// # Errors
    /// [`ValueError`]; nothing has changed then.
    pub fn replace(&mut self, old: f64, new: f64) -> Result<(), ValueError> {
        checked(new)?;
        self.remove(old)?;
        self.add(new)
    }

    fn shift(&mut self, value: f64, factor: f64) {
        self.first.add(factor * value);
        self.second.add_square(factor, value);
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean of the values; 0 without any.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.first.total() / self.count as f64 }
    }

    /// Sum of squared deviations, `sum (x - mean)^2`.
    #[must_use]
    pub fn squares(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        // `second - first^2 / n` in two parts each, since the first parts may be nearly equal.
        let n = self.count as f64;
        let first = self.first.total();
        let rest = (self.first.value - first) + self.first.lost;
        let square = first * first;
        let square_rest = first.mul_add(first, -square) + 2.0 * first * rest;
        let part = square / n;
        let part_rest = ((-part).mul_add(n, square) + square_rest) / n;
        ((self.second.value - part) + (self.second.lost - part_rest)).max(0.0)
    }

    /// Sample variance with denominator `n - 1`; 0 for fewer than two values.
    #[must_use]
    pub fn variance(&self) -> f64 {
        if self.count < 2 { 0.0 } else { self.squares() / (self.count - 1) as f64 }
    }
}

fn checked(value: f64) -> Result<(), ValueError> {
    if value.is_finite() && value.abs() <= SIZE_MAX { Ok(()) } else { Err(ValueError::Value(value)) }
}

/// Values of a metric over the population; the prior comes from the metric's declaration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NormalModel {
    moments: Moments,
}

/// Normal-Gamma posterior of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    /// Number of observed values.
    pub count: u64,
    /// Posterior mean of the values, in the metric's unit.
    pub mean: f64,
    /// Pseudo-observations and observations behind the mean.
    pub strength: f64,
    /// Shape of the precision's Gamma distribution.
    pub shape: f64,
    /// Rate of the precision's Gamma distribution.
    pub rate: f64,
}

impl NormalModel {
    /// Adds a user's first value, or replaces their `old` one.
    ///
    /// # Errors
    /// [`ValueError`]; nothing has changed then.
    pub fn set(&mut self, old: Option<f64>, new: f64) -> Result<(), ValueError> {
        match old {
            Some(old) => self.moments.replace(old, new),
            None => self.moments.add(new),
        }
    }

    /// The exact posterior under a prior. Source: Murphy, *Conjugate Bayesian analysis of the Gaussian distribution*, 2007, (85) to
    /// (89).
    #[must_use]
    pub fn posterior(&self, prior: &Prior) -> Posterior {
        let n = self.moments.count() as f64;
        let strength = prior.strength + n;
        let away = self.moments.mean() - prior.mean;
        Posterior {
            count: self.moments.count(),
            mean: if self.moments.count() == 0 { prior.mean } else { prior.mean + n * away / strength },
            strength,
            shape: prior.shape + 0.5 * n,
            rate: prior.rate + 0.5 * self.moments.squares() + 0.5 * prior.strength * n * away * away / strength,
        }
    }

    /// Outliers of a list: values outside of `mean ± sigmas * sigma`, farthest first, ties in the order of the list.
    /// Empty for fewer than two observations.
    pub fn atypical<K>(
        &self,
        prior: &Prior,
        values: impl IntoIterator<Item = (K, f64)>,
        sigmas: f64,
    ) -> Vec<Atypical<K>> {
        let posterior = self.posterior(prior);
        let mut found: Vec<Atypical<K>> = values
            .into_iter()
            .filter_map(|(key, value)| {
                let away = posterior.sigmas(value)?;
                (away.abs() > sigmas).then_some(Atypical { key, value, sigmas: away })
            })
            .collect();
        found.sort_by(|a, b| b.sigmas.abs().total_cmp(&a.sigmas.abs()));
        found
    }
}

/// An outlier of the population.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Atypical<K> {
    /// Key of the value's owner.
    pub key: K,
    /// The value, in the metric's unit.
    pub value: f64,
    /// Signed distance from the mean, in standard deviations.
    pub sigmas: f64,
}

impl Posterior {
    /// Posterior mean of the precision, in one over the metric's unit squared.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.shape / self.rate
    }

    /// Standard deviation of that precision, in the metric's unit.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        (self.rate / self.shape).sqrt()
    }

    /// Signed distance of a value from the mean, in standard deviations. `None` for fewer than two observations, or if
    /// the distance is not finite.
    #[must_use]
    pub fn sigmas(&self, value: f64) -> Option<f64> {
        let away = (value - self.mean) / self.sigma();
        (self.count >= 2 && away.is_finite()).then_some(away)
    }

    /// Symmetric credible interval of the mean with `probability` in (0, 1): Student's t with `2 shape` degrees of
    /// freedom. `None` for a probability outside of that range.
    #[must_use]
    pub fn credible_mean(&self, probability: f64) -> Option<(f64, f64)> {
        self.interval(probability, (self.rate / (self.shape * self.strength)).sqrt())
    }

    /// Symmetric predictive interval of the next value with `probability` in (0, 1); `None` outside of that range.
    #[must_use]
    pub fn credible_value(&self, probability: f64) -> Option<(f64, f64)> {
        self.interval(probability, self.predictive_scale())
    }

    /// Scale of the predictive distribution of the next value: Student's t with `2 shape` degrees of freedom.
    #[must_use]
    pub fn predictive_scale(&self) -> f64 {
        (self.rate * (self.strength + 1.0) / (self.shape * self.strength)).sqrt()
    }

    /// Predictive probability that the next value is at least as far from the mean as this one.
    #[must_use]
    pub fn tail(&self, value: f64) -> f64 {
        2.0 * student_t_cdf(-((value - self.mean) / self.predictive_scale()).abs(), 2.0 * self.shape)
    }

    fn interval(&self, probability: f64, scale: f64) -> Option<(f64, f64)> {
        let reach = scale * student_t_quantile(0.5 + 0.5 * probability, 2.0 * self.shape);
        (probability > 0.0 && reach.is_finite()).then_some((self.mean - reach, self.mean + reach))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reference: two passes over the values.
    fn recomputed(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum())
    }

    proptest! {
        /// After any additions, replacements and removals, the moments equal those of the current values.
        #[test]
        fn removal_is_exact(
            offset in prop_oneof![Just(0.0), Just(1e6), Just(-3e9)],
            acts in prop::collection::vec((0_usize..30, prop_oneof![3 => -100.0_f64..100.0, 1 => -1e9_f64..1e9], 0_u8..4), 1..300),
        ) {
            let mut moments = Moments::default();
            let mut there: Vec<Option<f64>> = vec![None; 30];
            let mut largest: f64 = 1.0;
            for (person, value, act) in acts {
                let value = offset + value;
                largest = largest.max((value - offset).abs());
                match (there[person], act) {
                    (Some(old), 0) => { moments.remove(old).unwrap(); there[person] = None; }
                    (Some(old), _) => { moments.replace(old, value).unwrap(); there[person] = Some(value); }
                    (None, _) => { moments.add(value).unwrap(); there[person] = Some(value); }
                }
            }
            let values: Vec<f64> = there.into_iter().flatten().collect();
            let (mean, squares) = recomputed(&values);
            prop_assert_eq!(moments.count(), values.len() as u64);
            prop_assert!((moments.mean() - mean).abs() <= 1e-12 * (offset.abs() + largest), "{} {mean}", moments.mean());
            // Relative to the current values, and to the last digits of the biggest square so far.
            prop_assert!((moments.squares() - squares).abs() <= 1e-9 * squares + 1e-24 * (largest + offset.abs()).powi(2),
                "{} {squares}", moments.squares());
        }

        /// The posterior does not depend on whether values are learned one by one or all at once; a higher probability
        /// gives a wider interval.
        #[test]
        fn the_posterior_is_the_conjugate_one(values in prop::collection::vec(-50.0_f64..50.0, 2..40)) {
            let prior = Prior { mean: 3.0, strength: 2.0, shape: 1.5, rate: 4.0 };
            let mut model = NormalModel::default();
            // Updates by one observation at a time.
            let (mut mean, mut strength, mut shape, mut rate) = (3.0, 2.0, 1.5, 4.0);
            for value in &values {
                model.set(None, *value).unwrap();
                rate += 0.5 * strength * (value - mean) * (value - mean) / (strength + 1.0);
                mean = (strength * mean + value) / (strength + 1.0);
                strength += 1.0;
                shape += 0.5;
            }
            let found = model.posterior(&prior);
            for (found, expected) in [(found.mean, mean), (found.strength, strength), (found.shape, shape), (found.rate, rate)] {
                prop_assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found} {expected}");
            }
            let (narrow, wide) = (found.credible_mean(0.5).unwrap(), found.credible_mean(0.95).unwrap());
            prop_assert!(wide.0 < narrow.0 && narrow.1 < wide.1);
            let next = found.credible_value(0.95).unwrap();
            prop_assert!(next.0 < wide.0 && wide.1 < next.1);
            prop_assert!((found.tail(next.1) - 0.05).abs() < 1e-8);
        }
    }

    #[test]
    fn a_huge_value_that_left_leaves_nothing_behind() {
        let mut moments = Moments::default();
        for value in [1.0, 2.0, 3.0] {
            moments.add(value).unwrap();
        }
        let before = (moments.mean(), moments.squares());
        moments.add(1e12).unwrap();
        moments.remove(1e12).unwrap();
        assert_eq!((moments.mean(), moments.squares()), before);
        for value in [3.0, 2.0, 1.0] {
            moments.remove(value).unwrap();
        }
        assert_eq!(moments, Moments::default());
        assert_eq!(moments.remove(1.0), Err(ValueError::Empty));
    }

    #[test]
    fn who_is_far_out_is_listed_farthest_first() {
        let mut model = NormalModel::default();
        assert!(model.posterior(&Prior::default()).sigmas(1e9).is_none(), "nobody is unlike nobody");
        let values: Vec<f64> = (0..100).map(|n| f64::from(n % 10)).chain([40.0, -30.0, 9.5]).collect();
        for value in &values {
            model.set(None, *value).unwrap();
        }
        let found = model.atypical(&Prior::default(), (0..).zip(values.iter().copied()), 2.0);
        assert_eq!(found.iter().map(|found| found.key).collect::<Vec<i32>>(), [100, 101]);
        assert!(found[0].sigmas > 5.0 && found[1].sigmas < -5.0);
        assert!(model.atypical(&Prior::default(), (0..).zip(values.iter().copied()), 20.0).is_empty());
        // The mean of 103 values, and a textbook's interval: mean ± t s / sqrt(n), for a negligible prior.
        let posterior = model.posterior(&Prior::default());
        let (low, high) = posterior.credible_mean(0.95).unwrap();
        let reach = 1.983_5 * (model.moments.variance() / 103.0).sqrt();
        assert!((high - low - 2.0 * reach).abs() < 0.02 * reach, "{low} {high} {reach}");
        assert!((posterior.precision() * model.moments.variance() - 1.0).abs() < 0.02);
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let mut model = NormalModel::default();
        model.set(None, 1.0).unwrap();
        model.set(None, 2.0).unwrap();
        let before = model;
        for value in [f64::NAN, f64::INFINITY, 1e200] {
            assert!(model.set(None, value).is_err() && model.set(Some(1.0), value).is_err(), "{value}");
            assert!(model.posterior(&Prior::default()).sigmas(f64::NAN).is_none());
        }
        assert_eq!(model, before);
        for probability in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(model.posterior(&Prior::default()).credible_mean(probability), None, "{probability}");
        }
    }
}
