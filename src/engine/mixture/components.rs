//! The mixture model: priors, posteriors, and the variational lower bound of the evidence.
//!
//! Invariant: `Dirichlet(alpha)` over shares ([`Shares`] selects alpha), Gaussian-Wishart over means and precisions,
//! and a fixed density for noise. The bound is that of Bishop, *Pattern Recognition and Machine Learning*, 2006,
//! section 10.2. With the responsibilities at their optimum, it is the sum of `ln sum_k rho_nk` minus the divergences
//! of posteriors from priors. Student's t follows Svensen and Bishop, *Robust Bayesian mixture modelling*, 2005, with
//! two departures. The scale of a row is inferred jointly with its component, and degrees of freedom are chosen per
//! component.

use std::f64::consts::{LN_2, PI};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::numeric::special::{digamma, ln_gamma, ln_gamma_of_dimension};

use super::kernel::{Density, Pass, Sums};
use super::triangle::{add_outer, at, cholesky, inverse, length_squared, log_determinant};

/// Concentration of the sparse Dirichlet prior, per component: so low that components with few rows vanish.
const ALPHA: f64 = 1e-5;
/// Range of the fitted concentration.
const ALPHA_FITTED: (f64, f64) = (1e-2, 1e4);
/// Initial share of the noise where [`PriorSettings::noise_share`] is not set.
const NOISE_SHARE: f64 = 0.01;
/// Pseudo-observations of [`PriorSettings::noise_share`].
const NOISE_STRENGTH: f64 = 100.0;
/// Range of the degrees of freedom of Student's t.
const FREEDOM: (f64, f64) = (0.5, 1e3);

/// Priors of a mixture that a caller may choose; the defaults suit scaled columns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ClusterPrior")]
pub struct PriorSettings {
    /// Concentration per component of the Dirichlet prior of the shares; `None` fits it to the sizes of the clusters.
    pub concentration: Option<f64>,
    /// Prior mean of the noise's share, as strong as 100 rows; `None` leaves the share to the rows.
    pub noise_share: Option<f64>,
    /// Pseudo-observations of a component's prior mean, which is the centre of the columns.
    pub mean_strength: f64,
    /// Degrees of freedom of the Wishart prior of a component's precision, beyond the number of columns.
    pub freedom: f64,
    /// Prior standard deviation of a component, in widths of a scaled column.
    pub deviation: f64,
}

impl Default for PriorSettings {
    fn default() -> Self {
        PriorSettings { concentration: None, noise_share: None, mean_strength: 1e-2, freedom: 0.0, deviation: 0.1 }
    }
}

impl PriorSettings {
    /// Checks every field.
    ///
    /// # Errors
    /// The invalid field, and its rule.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let rules = [
            (
                self.concentration.is_none_or(|alpha| (1e-6..=1e6).contains(&alpha)),
                "concentration",
                "must be 0.000001 to 1000000, or left out",
            ),
            (
                self.noise_share.is_none_or(|share| (1e-6..=0.3).contains(&share)),
                "noise_share",
                "must be 0.000001 to 0.3, or left out",
            ),
            ((1e-6..=1e6).contains(&self.mean_strength), "mean_strength", "must be 0.000001 to 1000000"),
            ((0.0..=1e6).contains(&self.freedom), "freedom", "must be 0 to 1000000"),
            ((1e-3..=10.0).contains(&self.deviation), "deviation", "must be 0.001 to 10"),
        ];
        rules.into_iter().find(|(good, ..)| !good).map_or(Ok(()), |(_, name, rule)| Err((name, rule)))
    }

    /// Prior concentrations of the noise, and of all clusters together, where a share is set.
    fn noise(&self) -> Option<(f64, f64)> {
        self.noise_share.map(|share| (share * NOISE_STRENGTH, (1.0 - share) * NOISE_STRENGTH))
    }

    /// Share of the noise at the start of a fit.
    pub(super) fn noise_at_start(&self) -> f64 {
        self.noise_share.unwrap_or(NOISE_SHARE)
    }
}

/// Prior of the mixture; scaled columns have their centre at 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prior {
    pub(super) dim: usize,
    /// Number of components at the start; vanished ones stay at the prior.
    pub(super) slots: usize,
    /// Log-density of the noise; `None` without noise.
    pub(super) log_noise: Option<f64>,
    pub(super) student: bool,
    pub(super) shares: Shares,
    pub(super) settings: PriorSettings,
}

/// Prior of the components' shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shares {
    /// Sparse: concentration [`ALPHA`] for every slot, so that most slots become empty. Infers the number of
    /// components.
    Sparse,
    /// All components exist, and the concentration is the given one, or the one that maximises the likelihood of their
    /// counts. With few rows, counts differ by chance more than the shares do, and where clusters overlap a wrong share
    /// moves the border. Source: Minka, *Estimating a Dirichlet distribution*, 2000, section 2.
    Fitted,
}

impl Prior {
    /// This prior with fitted shares, for a known number of components.
    pub(super) fn fitted(self) -> Prior {
        Prior { shares: Shares::Fitted, ..self }
    }

    /// Degrees of freedom of the Wishart prior: by default the minimum, `dim`.
    pub(super) fn nu(&self) -> f64 {
        self.dim as f64 + self.settings.freedom
    }

    /// Diagonal of the inverse of the Wishart's scale matrix.
    fn scatter(&self) -> f64 {
        self.nu() * self.settings.deviation * self.settings.deviation
    }

    /// Pseudo-observations of the prior mean.
    fn beta(&self) -> f64 {
        self.settings.mean_strength
    }

    /// Fitted concentration per component.
    fn alpha(&self, counts: &[f64]) -> f64 {
        self.settings.concentration.unwrap_or_else(|| likeliest_alpha(counts))
    }
}

/// Sufficient statistics of a component.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Evidence {
    /// Sum of responsibilities, `sum r`.
    pub(super) count: f64,
    /// Sum of weighted responsibilities, `sum r u`.
    pub(super) weight: f64,
    /// Weighted mean, `(dim,)`.
    pub(super) mean: Vec<f64>,
    /// `sum r u (x - mean) (x - mean)^T`, lower triangle.
    pub(super) scatter: Vec<f64>,
}

impl Evidence {
    /// From sums around a center.
    fn new(dim: usize, sums: &Sums, center: &[f64]) -> Evidence {
        let weight = sums.weight.max(f64::MIN_POSITIVE);
        let shift: Vec<f64> = sums.first.iter().map(|sum| sum / weight).collect();
        let mut scatter = sums.second.clone();
        add_outer(dim, &mut scatter, -sums.weight, &shift);
        let mean = center.iter().zip(&shift).map(|(center, shift)| center + shift).collect();
        Evidence { count: sums.count, weight: sums.weight, mean, scatter }
    }

    /// Statistics of the union of both components.
    pub(super) fn joined(&self, other: &Evidence) -> Evidence {
        let weight = self.weight + other.weight;
        let share = other.weight / weight.max(f64::MIN_POSITIVE);
        let gap: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(other, own)| other - own).collect();
        let mean = self.mean.iter().zip(&gap).map(|(mean, gap)| mean + share * gap).collect();
        let mut scatter: Vec<f64> = self.scatter.iter().zip(&other.scatter).map(|(a, b)| a + b).collect();
        add_outer(gap.len(), &mut scatter, self.weight * share, &gap);
        Evidence { count: self.count + other.count, weight, mean, scatter }
    }
}

/// Gaussian-Wishart posterior of one component.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Component {
    pub(super) count: f64,
    pub(super) beta: f64,
    pub(super) mean: Vec<f64>,
    pub(super) nu: f64,
    /// Inverse of the Wishart's scale matrix, lower triangle.
    pub(super) scatter: Vec<f64>,
    /// Inverse of the Cholesky factor of `scatter`.
    root: Vec<f64>,
    log_determinant: f64,
    pub(super) freedom: Option<f64>,
}

impl Component {
    /// The posterior given the statistics; Bishop 2006, (10.60) to (10.63). `None` on overflow.
    pub(super) fn learned(prior: &Prior, evidence: &Evidence, freedom: Option<f64>) -> Option<Component> {
        let dim = prior.dim;
        let beta = prior.beta() + evidence.weight;
        let mean: Vec<f64> = evidence.mean.iter().map(|mean| evidence.weight * mean / beta).collect();
        let mut scatter = evidence.scatter.clone();
        for i in 0..dim {
            scatter[at(i, i)] += prior.scatter();
        }
        add_outer(dim, &mut scatter, prior.beta() * evidence.weight / beta, &evidence.mean);
        Component::new(prior, evidence.count, beta, mean, prior.nu() + evidence.count, scatter, freedom)
    }

    pub(super) fn new(
        prior: &Prior,
        count: f64,
        beta: f64,
        mean: Vec<f64>,
        nu: f64,
        scatter: Vec<f64>,
        freedom: Option<f64>,
    ) -> Option<Component> {
        let lower = cholesky(prior.dim, &scatter)?;
        let root = inverse(prior.dim, &lower);
        let log_determinant = log_determinant(prior.dim, &lower);
        let finite = log_determinant.is_finite() && mean.iter().all(|mean| mean.is_finite());
        finite.then_some(Component { count, beta, mean, nu, scatter, root, log_determinant, freedom })
    }

    /// An initial component at `mean`, with `deviation` in each direction.
    pub(super) fn guessed(prior: &Prior, count: f64, mean: Vec<f64>, deviation: f64) -> Option<Component> {
        let nu = prior.nu() + count;
        let mut scatter = vec![0.0; prior.dim * (prior.dim + 1) / 2];
        for i in 0..prior.dim {
            scatter[at(i, i)] = nu * deviation * deviation;
        }
        Component::new(prior, count, prior.beta() + count, mean, nu, scatter, prior.student.then_some(10.0))
    }

    /// The inverse of the expected precision, lower triangle.
    pub(super) fn covariance(&self) -> Vec<f64> {
        self.scatter.iter().map(|value| value / self.nu).collect()
    }

    /// `E ln det Lambda`, Bishop 2006, (10.65).
    fn log_precision(&self, dim: usize) -> f64 {
        let sum: f64 = (0..dim).map(|i| digamma(0.5 * (self.nu - i as f64))).sum();
        sum + dim as f64 * LN_2 - self.log_determinant
    }

    fn density(&self, dim: usize, log_share: f64) -> Density {
        let d = dim as f64;
        let scale = self.nu.sqrt();
        let mut constant = log_share + 0.5 * self.log_precision(dim) - 0.5 * d * (2.0 * PI).ln();
        if let Some(freedom) = self.freedom {
            // The scale u of a row is integrated out: Gamma(freedom/2, freedom/2) prior, optimal posterior.
            constant += ln_gamma(0.5 * (freedom + d)) - ln_gamma(0.5 * freedom) + 0.5 * freedom * (0.5 * freedom).ln();
        }
        Density {
            constant,
            center: self.mean.clone(),
            lower: self.root.iter().map(|value| scale * value).collect(),
            spread: d / self.beta,
            freedom: self.freedom,
        }
    }

    /// Kullback-Leibler divergence of the Gaussian-Wishart posterior from its prior.
    fn divergence(&self, prior: &Prior) -> f64 {
        let (dim, d) = (prior.dim, prior.dim as f64);
        let away = length_squared(dim, &self.root, &self.mean);
        let beta = prior.beta();
        let of_mean = 0.5 * (d * (self.beta / beta).ln() - d + d * beta / self.beta + beta * self.nu * away);
        let trace: f64 = prior.scatter() * self.root.iter().map(|value| value * value).sum::<f64>();
        let normaliser = |nu: f64, log_determinant: f64| {
            0.5 * nu * log_determinant - 0.5 * nu * d * LN_2 - ln_gamma_of_dimension(dim, 0.5 * nu)
        };
        let of_precision = normaliser(self.nu, self.log_determinant) - normaliser(prior.nu(), d * prior.scatter().ln())
            + 0.5 * (self.nu - prior.nu()) * self.log_precision(dim)
            - 0.5 * self.nu * d
            + 0.5 * self.nu * trace;
        of_mean + of_precision
    }
}

/// Log marginal likelihood of the statistics, without the terms that are linear in the count.
pub(super) fn log_marginal(prior: &Prior, evidence: &Evidence) -> f64 {
    let Some(learned) = Component::learned(prior, evidence, None) else { return f64::NEG_INFINITY };
    ln_gamma_of_dimension(prior.dim, 0.5 * learned.nu)
        - 0.5 * learned.nu * learned.log_determinant
        - 0.5 * prior.dim as f64 * learned.beta.ln()
        + 0.5 * prior.nu() * prior.dim as f64 * prior.scatter().ln()
        - ln_gamma_of_dimension(prior.dim, 0.5 * prior.nu())
        + 0.5 * prior.dim as f64 * prior.beta().ln()
}

/// Gain of the Dirichlet part of the bound when two components are merged.
pub(super) fn log_share_gain(count_a: f64, count_b: f64) -> f64 {
    ln_gamma(ALPHA + count_a + count_b) + ln_gamma(ALPHA) - ln_gamma(ALPHA + count_a) - ln_gamma(ALPHA + count_b)
}

/// Posterior of the whole mixture, without vanished components.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) components: Vec<Component>,
    /// Number of rows in the noise; `None` without noise.
    pub(super) noise: Option<f64>,
}

impl Model {
    /// Densities for a pass, and the noise's `ln rho`.
    pub(super) fn densities(&self, prior: &Prior) -> (Vec<Density>, Option<f64>) {
        let (shares, noise) = self.log_shares(prior);
        let pairs = self.components.iter().zip(shares);
        let densities = pairs.map(|(component, share)| component.density(prior.dim, share)).collect();
        let noise = noise.zip(prior.log_noise).map(|(share, log_noise)| share + log_noise);
        (densities, noise)
    }

    fn counts(&self) -> Vec<f64> {
        self.components.iter().map(|component| component.count).collect()
    }

    /// Expected logarithms of the components' shares, and of the noise's. Bishop 2006, (10.66).
    fn log_shares(&self, prior: &Prior) -> (Vec<f64>, Option<f64>) {
        let counts = self.counts();
        let rows: f64 = counts.iter().sum();
        let log_share = |alpha: f64, count: f64, total: f64| digamma(alpha + count) - digamma(total);
        match prior.shares {
            Shares::Sparse if prior.settings.noise_share.is_none() => {
                let slots = prior.slots + usize::from(prior.log_noise.is_some());
                let total = ALPHA * slots as f64 + rows + self.noise.unwrap_or(0.0);
                let shares = counts.iter().map(|count| log_share(ALPHA, *count, total)).collect();
                (shares, self.noise.map(|count| log_share(ALPHA, count, total)))
            }
            Shares::Sparse | Shares::Fitted => {
                let (alpha, slots) = match prior.shares {
                    Shares::Sparse => (ALPHA, prior.slots as f64),
                    Shares::Fitted => (prior.alpha(&counts), counts.len() as f64),
                };
                let among = counts.iter().map(|count| log_share(alpha, *count, alpha * slots + rows));
                let Some(noise) = self.noise else { return (among.collect(), None) };
                // Hierarchical: first noise or cluster, by default with the sparse concentration; then the cluster.
                let (of_noise, of_groups, both) = match prior.settings.noise() {
                    Some((of_noise, of_groups)) => (of_noise, of_groups, of_noise + of_groups),
                    None => (ALPHA, ALPHA * prior.slots as f64, ALPHA * (prior.slots + 1) as f64),
                };
                let total = both + rows + noise;
                let groups = log_share(of_groups, rows, total);
                (among.map(|share| groups + share).collect(), Some(log_share(of_noise, noise, total)))
            }
        }
    }

    /// Divergence of all posteriors from their priors, the penalty of the bound.
    pub(super) fn divergence(&self, prior: &Prior) -> f64 {
        let mut counts = self.counts();
        let rows: f64 = counts.iter().sum();
        let slots = prior.slots as f64;
        let shares = match prior.shares {
            Shares::Sparse if prior.settings.noise_share.is_none() => {
                counts.extend(self.noise);
                divergence_of_shares(&counts, ALPHA, ALPHA * (slots + f64::from(u8::from(prior.log_noise.is_some()))))
            }
            Shares::Sparse | Shares::Fitted => {
                let (alpha, slots_here) = match prior.shares {
                    Shares::Sparse => (ALPHA, slots),
                    Shares::Fitted => (prior.alpha(&counts), counts.len() as f64),
                };
                let among = divergence_of_shares(&counts, alpha, alpha * slots_here);
                let (of_noise, of_groups) = prior.settings.noise().unwrap_or((ALPHA, ALPHA * slots));
                among + self.noise.map_or(0.0, |noise| divergence_from_noise((rows, of_groups), (noise, of_noise)))
            }
        };
        shares + self.components.iter().map(|component| component.divergence(prior)).sum::<f64>()
    }

    /// Statistics of each component from a pass.
    pub(super) fn evidence(&self, prior: &Prior, pass: &Pass) -> Vec<Evidence> {
        let pairs = self.components.iter().zip(&pass.sums);
        pairs.map(|(component, sums)| Evidence::new(prior.dim, sums, &component.mean)).collect()
    }

    /// Degrees of freedom of each component that maximise the bound, given a pass.
    pub(super) fn freedoms(&self, prior: &Prior, pass: &Pass) -> Vec<Option<f64>> {
        let pairs = self.components.iter().zip(&pass.sums);
        pairs
            .map(|(component, sums)| {
                component.freedom.map(|freedom| {
                    let shape = 0.5 * (freedom + prior.dim as f64);
                    // Mean of `E ln u - E u` over the component's rows.
                    let mean = digamma(shape) - (sums.log_rate + sums.weight) / sums.count.max(f64::MIN_POSITIVE);
                    best_freedom(mean)
                })
            })
            .collect()
    }
}

/// Divergence of `Dirichlet(alpha + counts)` from `Dirichlet(alpha)`, whose concentrations sum to `total`. Slots
/// without rows are in `total` alone.
fn divergence_of_shares(counts: &[f64], alpha: f64, total: f64) -> f64 {
    let after = total + counts.iter().sum::<f64>();
    let each = counts
        .iter()
        .map(|count| ln_gamma(alpha) - ln_gamma(alpha + count) + count * (digamma(alpha + count) - digamma(after)));
    each.sum::<f64>() + ln_gamma(after) - ln_gamma(total)
}

/// Divergence of the Dirichlet of noise against all clusters; of each, the number of rows and the prior concentration.
fn divergence_from_noise((rows, of_groups): (f64, f64), (noise, of_noise): (f64, f64)) -> f64 {
    let (total, after) = (of_noise + of_groups, of_noise + of_groups + rows + noise);
    let each = |alpha: f64, count: f64| {
        ln_gamma(alpha) - ln_gamma(alpha + count) + count * (digamma(alpha + count) - digamma(after))
    };
    each(of_groups, rows) + each(of_noise, noise) + ln_gamma(after) - ln_gamma(total)
}

/// The concentration per component that maximises the likelihood of the counts: `prod_k Gamma(alpha + n_k) /
/// Gamma(alpha)` times `Gamma(K alpha) / Gamma(K alpha + n)`. If the counts are as equal as by chance, or more so, the
/// likelihood rises without end, and the result is the upper limit.
fn likeliest_alpha(counts: &[f64]) -> f64 {
    let (low, high) = ALPHA_FITTED;
    let (slots, rows) = (counts.len() as f64, counts.iter().sum::<f64>());
    let slope = |alpha: f64| {
        let each = counts.iter().map(|count| digamma(alpha + count) - digamma(alpha));
        each.sum::<f64>() - slots * (digamma(slots * alpha + rows) - digamma(slots * alpha))
    };
    if slope(high) >= 0.0 {
        return high;
    }
    narrowed(slope, (low, high), 40).0
}

/// Bisects the bracket of a falling slope's root `times` times, at geometric means.
fn narrowed(slope: impl Fn(f64) -> f64, (mut low, mut high): (f64, f64), times: usize) -> (f64, f64) {
    for _ in 0..times {
        let middle = (low * high).sqrt();
        if slope(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// The root of `1 + ln(v/2) - psi(v/2) + mean`, which falls in `v`; Svensen and Bishop 2005, (30).
fn best_freedom(mean: f64) -> f64 {
    let slope = |freedom: f64| 1.0 + (0.5 * freedom).ln() - digamma(0.5 * freedom) + mean;
    let (low, high) = FREEDOM;
    if slope(high) >= 0.0 {
        return high;
    }
    if slope(low) <= 0.0 {
        return low;
    }
    let (low, high) = narrowed(slope, (low, high), 60);
    (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the optimum with the likelihood of the counts at many concentrations.
    #[test]
    fn the_concentration_is_the_likeliest() {
        for counts in [&[50.0, 30.0, 15.0, 5.0][..], &[90.0, 2.0, 1.0], &[400.0, 350.5, 300.25], &[0.5, 99.5]] {
            let likelihood = |alpha: f64| {
                let (slots, rows) = (counts.len() as f64, counts.iter().sum::<f64>());
                let each: f64 = counts.iter().map(|count| ln_gamma(alpha + count) - ln_gamma(alpha)).sum();
                each + ln_gamma(slots * alpha) - ln_gamma(slots * alpha + rows)
            };
            let best = likelihood(likeliest_alpha(counts));
            for step in -40..80 {
                let alpha = 1.1_f64.powi(step);
                assert!(likelihood(alpha) <= best + 1e-9, "{counts:?}: {alpha} is likelier");
            }
        }
        // Counts as equal as by chance, or a single one: no evidence for unequal shares.
        for counts in [&[48.0, 53.0, 51.0, 48.0][..], &[10.0, 10.0], &[7.0]] {
            assert_eq!(likeliest_alpha(counts), ALPHA_FITTED.1, "{counts:?}");
        }
    }

    /// Clusters of clearly unequal sizes keep their shares; sizes that differ by chance alone are equalised.
    #[test]
    fn shares_are_what_the_rows_say() {
        let settings = PriorSettings::default();
        let prior =
            Prior { dim: 1, slots: 10, log_noise: Some(-3.0), student: false, shares: Shares::Sparse, settings };
        let shares = |counts: &[f64], prior: &Prior| -> Vec<f64> {
            let guess = |count: &f64| Component::guessed(prior, *count, vec![0.0], 1.0);
            let model = Model { components: counts.iter().filter_map(guess).collect(), noise: Some(10.0) };
            let (shares, noise) = model.log_shares(prior);
            shares.into_iter().chain(noise).map(f64::exp).collect()
        };
        for (counts, expected) in [
            (&[45.0, 55.0, 52.0, 48.0][..], &[0.238, 0.238, 0.238, 0.238][..]),
            (&[120.0, 50.0, 20.0, 10.0], &[0.571, 0.238, 0.095, 0.048]),
        ] {
            for (prior, margin) in [(prior.fitted(), 0.015), (prior, 0.03)] {
                let found = shares(counts, &prior);
                for (share, expected) in found.iter().zip(expected) {
                    assert!((share - expected).abs() < margin, "{counts:?}: {found:?}");
                }
                // The noise's share does not depend on the clusters' sizes: 10 rows of 210.
                assert!((found[counts.len()] - 0.048).abs() < 0.005, "{found:?}");
            }
        }
    }
}
