//! Confidence bounds by betting: the wealth that a gambler gains against a hypothesis about a mean.
//!
//! Invariant: under its hypothesis the wealth has expectation at most 1, so it reaches `1 / alpha` with probability at
//! most `alpha` (Ville's inequality). No normal approximation is made, so bounds hold for any number of rows and any
//! weights. Rows are sorted and counted first, so their order decides nothing.
//!
//! Sources: Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*, JRSS B 2023, section
//! 4. A mixture over fixed fractions (Cover, *Universal portfolios*, 1991) replaces the predictable ones. For weights
//! without an upper bound: Karampatziakis, Mineiro and Ramdas, *Off-policy confidence sequences*, ICML 2021.

/// Number of betting fractions in the mixture.
const FRACTIONS: usize = 21;
/// Initial share of the fraction 1, which is best for rare rewards and heavy weights. The other fractions share the
/// rest equally.
const ALL_IN: f64 = 0.2;
/// Number of factors multiplied before a logarithm is taken, without overflow.
const TOGETHER: usize = 8;
/// Bisection steps for a bound.
const HALVINGS: usize = 26;
/// Cap on a factor, far beyond any real one.
const FACTOR_MAX: f64 = 1e30;

/// The fractions 1, 3/4, 1/2, 1/4, … down to 2^-19.
fn fractions() -> [f64; FRACTIONS] {
    let mut fraction = 1.0;
    std::array::from_fn(|at| match at {
        0 => 1.0,
        1 => 0.75,
        _ => {
            fraction *= 0.5;
            fraction
        }
    })
}

/// `ln` of the wealth after bets with these returns: the weighted mean over fractions `f` of `prod (1 + f x)`.
///
/// Each return comes with its number of occurrences. It is at least -1, and has a mean of at most 0 under the
/// hypothesis.
#[must_use]
pub fn log_wealth(returns: impl Iterator<Item = (f64, u32)>) -> f64 {
    let fractions = fractions();
    let (mut logs, mut products, mut pending) = ([0.0_f64; FRACTIONS], [1.0_f64; FRACTIONS], 0);
    for (x, times) in returns {
        // Rounding may take a return slightly below -1.
        let factor = |fraction: f64| (1.0 + fraction * x).clamp(0.0, FACTOR_MAX);
        if times > 1 {
            for (log, fraction) in logs.iter_mut().zip(fractions) {
                *log += f64::from(times) * factor(fraction).ln();
            }
            continue;
        }
        products.iter_mut().zip(fractions).for_each(|(product, fraction)| *product *= factor(fraction));
        pending += 1;
        if pending == TOGETHER {
            logs.iter_mut().zip(&mut products).for_each(|(log, product)| *log += std::mem::replace(product, 1.0).ln());
            pending = 0;
        }
    }
    let others = ((1.0 - ALL_IN) / (FRACTIONS - 1) as f64).ln();
    for (at, (log, product)) in logs.iter_mut().zip(products).enumerate() {
        *log += product.ln() + if at == 0 { ALL_IN.ln() } else { others };
    }
    log_sum_exp(&logs)
}

/// `ln` of the wealth after splitting it equally between two bets.
#[must_use]
pub fn log_both(a: f64, b: f64) -> f64 {
    log_sum_exp(&[a, b]) - 2.0_f64.ln()
}

fn log_sum_exp(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return most;
    }
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    most + sum.ln()
}

/// Equal rows as one, with their count.
#[must_use]
pub fn counted<const N: usize>(mut rows: Vec<[f64; N]>) -> Vec<([f64; N], u32)> {
    let order = |a: &[f64; N], b: &[f64; N]| {
        a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    rows.sort_unstable_by(order);
    let runs = rows.chunk_by(|a, b| order(a, b).is_eq());
    runs.filter_map(|run| Some((*run.first()?, u32::try_from(run.len()).unwrap_or(u32::MAX)))).collect()
}

/// The last hypothesis that is not refuted between `kept` and `end`. Refutation is monotone along the way.
#[must_use]
pub fn bound(kept: f64, end: f64, is_refuted: impl Fn(f64) -> bool) -> f64 {
    let (mut kept, mut refuted) = (kept, end);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (kept + refuted);
        if is_refuted(middle) { refuted = middle } else { kept = middle }
    }
    refuted
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The wealth equals its formula, and has a mean of at most 1 under the hypothesis.
    #[test]
    fn wealth_is_a_mean_of_products_and_no_more_than_one_under_the_hypothesis() {
        let returns = [0.5, -0.25, 3.0, -0.9, 0.1, -1.0, 0.0, 2.0, 0.3, -0.4];
        let product = |f: f64| returns.iter().map(|x| 1.0 + f * x).product::<f64>();
        let [all, others @ ..] = fractions();
        let others = others.into_iter().map(product).sum::<f64>() / (FRACTIONS - 1) as f64;
        let expected = ALL_IN * product(all) + (1.0 - ALL_IN) * others;
        assert!((log_wealth(returns.into_iter().map(|x| (x, 1))).exp() / expected - 1.0).abs() < 1e-12);
        assert!(log_wealth(std::iter::empty()).abs() < 1e-12);
        assert_eq!(fractions()[2..4], [0.5, 0.25]);
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let runs = 4_000;
        let wealth = |_| {
            // Returns 10 with probability 1/11, else -1: mean 0.
            let mut draw = || if random.random::<f64>() < 1.0 / 11.0 { 10.0 } else { -1.0 };
            log_wealth((0..30).map(|_| (draw(), 1)))
        };
        let refuted = (0..runs).map(wealth).filter(|wealth| *wealth >= 20.0_f64.ln()).count();
        assert!(refuted < runs / 20, "{refuted} of {runs}");
    }

    /// Without a success among n, the bound is near the rule of three, and slightly wider for the mixture.
    #[test]
    fn no_success_among_many_bounds_the_rate() {
        let refuted = |mean: f64| log_wealth(std::iter::once((mean / (1.0 - mean), 1_000))) >= 20.0_f64.ln();
        let found = bound(0.0, 1.0, refuted);
        assert!((0.003..0.007).contains(&found), "{found}");
        assert_eq!(bound(0.2, 1.0, |_| false), 1.0);
        // Counted rows give the wealth of single ones.
        let rows = [[0.5, 1.0], [0.1, 0.0], [0.5, 1.0], [0.1, 0.0], [0.5, 0.0]].repeat(9);
        let each = log_wealth(rows.iter().map(|[a, b]| (a - b, 1)));
        let together = log_wealth(counted(rows).iter().map(|([a, b], times)| (a - b, *times)));
        assert!((each - together).abs() < 1e-9, "{each} {together}");
    }
}
