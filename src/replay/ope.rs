//! Off-policy estimates: what a policy would have earned, from a log that another one made.
//!
//! Invariant: every estimate is the mean of one influence value per row, and its interval is that mean's normal 95 %
//! interval; the reward model that a row is judged by never saw that row. Same rows and seed, same figures.
//! Absent on purpose: where propensities come from (the log carries them), files, the engine.

use serde::Serialize;

/// Half the width of a 95 % interval, in standard errors.
const Z_95: f64 = 1.959_964;

/// One logged choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Who was asked, as an index of whatever is known of them.
    pub context: usize,
    /// Where the action was shown.
    pub position: usize,
    /// What was shown.
    pub action: usize,
    /// Did it earn 1, or 0?
    pub rewarded: bool,
    /// Probability with which the logging policy showed it there, above 0.
    pub propensity: f64,
}

/// A policy that is to be judged.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// The one that made the log.
    Logging,
    /// Probability of an action in a context at a position; sums to 1 over the actions.
    Policy(&'a dyn Fn(usize, usize, usize) -> f64),
}

/// How to estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Actions are below this.
    pub actions: usize,
    /// Weights above this are lowered to it: less variance, and a bias. `None`: as they are.
    pub clip: Option<f64>,
    /// The reward model is fitted so many times, each time without one fold; at least 2.
    pub folds: usize,
    /// Decides who is in which fold.
    pub seed: u64,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean reward per choice.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// All that is said of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimates {
    /// Inverse propensity scores: `mean(w r)`.
    pub ips: Estimate,
    /// Self-normalised: `sum(w r) / sum(w)`.
    pub snips: Estimate,
    /// Doubly robust; absent for the logging policy, of which only the chosen actions are known.
    pub dr: Option<Estimate>,
    /// `(sum w)^2 / sum w^2`: so many rows of the policy's own would be about as good.
    pub effective_rows: f64,
    /// The largest weight, after clipping.
    pub weight_max: f64,
    /// Rows that were rewarded and that the policy might have chosen: with few of them no interval is to be trusted.
    pub rewarded_rows: u64,
}

/// Judges a policy; `None` for an empty log.
///
/// `w = pi_e(a|x) / pi_b(a|x)`. Doubly robust: `sum_a pi_e(a|x) q(x, a) + w (r - q(x, a))` with a cross-fitted `q`.
/// Sources: Horvitz and Thompson 1952; Swaminathan and Joachims, NIPS 2015 (self-normalised, interval by the delta
/// method); Dudik, Langford and Li, ICML 2011, with cross-fitting as in Chernozhukov et al. 2018.
#[must_use]
pub fn estimate(log: &[Choice], target: Target<'_>, options: &Options) -> Option<Estimates> {
    if log.is_empty() {
        return None;
    }
    let weight = |row: &Choice| {
        let weight = match target {
            Target::Logging => 1.0,
            Target::Policy(probability) => probability(row.context, row.position, row.action) / row.propensity,
        };
        options.clip.map_or(weight, |clip| weight.min(clip))
    };
    let weights: Vec<f64> = log.iter().map(weight).collect();
    let reward = |row: &Choice| f64::from(u8::from(row.rewarded));
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
    let earned: f64 = weights.iter().zip(log).map(|(w, row)| w * reward(row)).sum();
    let ips = mean(weights.iter().zip(log).map(|(w, row)| w * reward(row)));
    let snips_value = if sum > 0.0 { earned / sum } else { 0.0 };
    let mean_weight = sum / log.len() as f64;
    let snips = mean(weights.iter().zip(log).map(|(w, row)| {
        // What the row moves the ratio by, to first order.
        let influence = if mean_weight > 0.0 { w * (reward(row) - snips_value) / mean_weight } else { 0.0 };
        snips_value + influence
    }));
    let dr = match target {
        Target::Logging => None,
        Target::Policy(probability) => Some(doubly_robust(log, &weights, probability, options)),
    };
    Some(Estimates {
        ips,
        snips,
        dr,
        effective_rows: if squares > 0.0 { sum * sum / squares } else { 0.0 },
        weight_max: weights.iter().copied().fold(0.0, f64::max),
        rewarded_rows: weights.iter().zip(log).filter(|(w, row)| **w > 0.0 && row.rewarded).count() as u64,
    })
}

fn doubly_robust(
    log: &[Choice],
    weights: &[f64],
    probability: &dyn Fn(usize, usize, usize) -> f64,
    options: &Options,
) -> Estimate {
    let folds = options.folds.max(2).min(log.len().max(2));
    let fold_of = fold_of(log.len(), folds, options.seed);
    let models: Vec<RewardModel> = (0..folds)
        .map(|fold| RewardModel::fit(log.iter().zip(&fold_of).filter(|(_, of)| **of != fold).map(|(row, _)| row)))
        .collect();
    mean(log.iter().zip(weights).zip(&fold_of).map(|((row, weight), fold)| {
        let q = |action: usize| models[*fold].expect(row.context, row.position, action);
        let direct: f64 = (0..options.actions)
            .map(|action| (action, probability(row.context, row.position, action)))
            .filter(|(_, chance)| *chance > 0.0)
            .map(|(action, chance)| chance * q(action))
            .sum();
        direct + weight * (f64::from(u8::from(row.rewarded)) - q(row.action))
    }))
}

/// Folds of equal size, in an order that the seed decides.
fn fold_of(rows: usize, folds: usize, seed: u64) -> Vec<usize> {
    use rand::SeedableRng;
    use rand::seq::SliceRandom;
    let mut folds: Vec<usize> = (0..rows).map(|row| row % folds).collect();
    folds.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
    folds
}

/// Mean and its normal 95 % interval.
fn mean(values: impl Iterator<Item = f64> + Clone) -> Estimate {
    let n = values.clone().count().max(1) as f64;
    let value = values.clone().sum::<f64>() / n;
    let squares: f64 = values.map(|x| (x - value).powi(2)).sum();
    let half = Z_95 * (squares / (n - 1.0).max(1.0) / n).sqrt();
    Estimate { value, low: value - half, high: value + half }
}

/// Expected reward: log-odds of the action's rate, plus what position and context differ from the overall log-odds.
/// Rates are shrunk to the overall one by [`RewardModel::PRIOR`] rows. Meant to be simple: the estimate is consistent
/// whatever it says.
struct RewardModel {
    base: f64,
    actions: Vec<f64>,
    positions: Vec<f64>,
    contexts: Vec<f64>,
}

impl RewardModel {
    /// How many rows of the overall rate each action, position and context starts with.
    const PRIOR: f64 = 50.0;

    fn fit<'a>(rows: impl Iterator<Item = &'a Choice> + Clone) -> RewardModel {
        let (mut all, mut rewarded) = (0.0, 0.0);
        for row in rows.clone() {
            all += 1.0;
            rewarded += f64::from(u8::from(row.rewarded));
        }
        // Half a success and half a failure keep the log-odds finite.
        let rate = (rewarded + 0.5) / (all + 1.0);
        let by = |index: fn(&Choice) -> usize| {
            let mut counts: Vec<(f64, f64)> = Vec::new();
            for row in rows.clone() {
                let at = index(row);
                if counts.len() <= at {
                    counts.resize(at + 1, (0.0, 0.0));
                }
                counts[at].0 += 1.0;
                counts[at].1 += f64::from(u8::from(row.rewarded));
            }
            let shrunk = |(n, rewarded): (f64, f64)| (rewarded + Self::PRIOR * rate) / (n + Self::PRIOR);
            counts.into_iter().map(|count| log_odds(shrunk(count)) - log_odds(rate)).collect::<Vec<f64>>()
        };
        let (actions, positions, contexts) = (by(|row| row.action), by(|row| row.position), by(|row| row.context));
        RewardModel { base: log_odds(rate), actions, positions, contexts }
    }

    fn expect(&self, context: usize, position: usize, action: usize) -> f64 {
        let of = |effects: &[f64], at: usize| effects.get(at).copied().unwrap_or(0.0);
        let odds = self.base + of(&self.actions, action) + of(&self.positions, position) + of(&self.contexts, context);
        1.0 / (1.0 + (-odds).exp())
    }
}

fn log_odds(rate: f64) -> f64 {
    (rate / (1.0 - rate)).ln()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const CONTEXTS: usize = 4;
    const POSITIONS: usize = 2;
    const ACTIONS: usize = 6;

    fn options() -> Options {
        Options { actions: ACTIONS, clip: None, folds: 5, seed: 1 }
    }

    /// What an action earns: known, and not of the reward model's form.
    fn truth(context: usize, position: usize, action: usize) -> f64 {
        let fits = (context + action).is_multiple_of(3);
        (0.05 + 0.04 * action as f64 + if fits { 0.15 } else { 0.0 }) * if position == 0 { 1.0 } else { 0.6 }
    }

    fn softmax(context: usize, action: usize, slope: f64, twist: usize) -> f64 {
        let v = |action: usize| {
            slope * (action as f64) / 2.0 + if (context + action).is_multiple_of(twist) { 0.5 } else { 0.0 }
        };
        v(action).exp() / (0..ACTIONS).map(|action| v(action).exp()).sum::<f64>()
    }

    fn logging(context: usize, _: usize, action: usize) -> f64 {
        softmax(context, action, -0.6, 2)
    }

    fn target(context: usize, position: usize, action: usize) -> f64 {
        if position == 0 { softmax(context, action, 0.8, 3) } else { softmax(context, action, 0.3, 5) }
    }

    /// Mean reward of a policy over all contexts and positions, by summing everything up.
    fn value(policy: fn(usize, usize, usize) -> f64) -> f64 {
        let cells = (0..CONTEXTS).flat_map(|x| (0..POSITIONS).map(move |p| (x, p)));
        let of = |(x, p)| (0..ACTIONS).map(|a| policy(x, p, a) * truth(x, p, a)).sum::<f64>();
        cells.map(of).sum::<f64>() / (CONTEXTS * POSITIONS) as f64
    }

    fn log(policy: fn(usize, usize, usize) -> f64, rows: usize, seed: u64) -> Vec<Choice> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..rows)
            .map(|_| {
                let (context, position) = (random.random_range(0..CONTEXTS), random.random_range(0..POSITIONS));
                let mut left: f64 = random.random();
                let mut action = 0;
                while action + 1 < ACTIONS && left >= policy(context, position, action) {
                    left -= policy(context, position, action);
                    action += 1;
                }
                let rewarded = random.random::<f64>() < truth(context, position, action);
                Choice { context, position, action, rewarded, propensity: policy(context, position, action) }
            })
            .collect()
    }

    /// How often the true value lies in the intervals, over repetitions: near 95 %, for each estimator.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let truth = value(target);
        let (mut hits, mut errors) = ([0_u32; 3], [0.0; 3]);
        let repetitions = 200;
        for seed in 0..repetitions {
            let found = estimate(&log(logging, 3_000, seed), Target::Policy(&target), &options()).unwrap();
            for (k, one) in [found.ips, found.snips, found.dr.unwrap()].into_iter().enumerate() {
                hits[k] += u32::from((one.low..=one.high).contains(&truth));
                errors[k] += one.value - truth;
            }
            assert!(found.effective_rows > 300.0 && found.effective_rows < 3_000.0, "{}", found.effective_rows);
        }
        for (name, (hits, error)) in ["ips", "snips", "dr"].into_iter().zip(hits.into_iter().zip(errors)) {
            assert!((180..=198).contains(&hits), "{name}: {hits} of {repetitions}");
            assert!((error / repetitions as f64).abs() < 0.004, "{name} is off by {error}");
        }
    }

    /// The same policy, once judged from a uniform log and once let loose: the estimates agree with what it earns.
    #[test]
    fn a_uniform_log_tells_what_the_policy_earns_by_itself() {
        let uniform = |_: usize, _: usize, _: usize| 1.0 / ACTIONS as f64;
        let own = log(target, 40_000, 3);
        let earned = own.iter().filter(|row| row.rewarded).count() as f64 / own.len() as f64;
        assert!((earned - value(target)).abs() < 0.01);
        let found = estimate(&log(uniform, 40_000, 4), Target::Policy(&target), &options()).unwrap();
        for one in [found.ips, found.snips, found.dr.unwrap()] {
            assert!((one.value - earned).abs() < 0.012, "{one:?} {earned}");
        }
        let (width, dr) = (|one: Estimate| one.high - one.low, found.dr.unwrap());
        assert!(width(dr) < width(found.ips), "a reward model narrows the interval");
    }

    #[test]
    fn the_logging_policy_earns_what_it_earned() {
        let log = log(logging, 1_000, 5);
        let earned = log.iter().filter(|row| row.rewarded).count() as f64 / log.len() as f64;
        let found = estimate(&log, Target::Logging, &options()).unwrap();
        assert!((found.ips.value - earned).abs() < 1e-12 && (found.snips.value - earned).abs() < 1e-12);
        assert!((found.effective_rows - 1_000.0).abs() < 1e-6 && found.dr.is_none());
        // Judged as any other policy it is the same.
        let again = estimate(&log, Target::Policy(&logging), &options()).unwrap();
        assert!((again.ips.value - earned).abs() < 1e-12 && again.dr.unwrap().low < earned);
        assert_eq!(estimate(&[], Target::Logging, &options()), None);
    }

    #[test]
    fn clipping_bounds_every_weight() {
        let log = log(logging, 2_000, 6);
        let free = estimate(&log, Target::Policy(&target), &options()).unwrap();
        let clipped = estimate(&log, Target::Policy(&target), &Options { clip: Some(2.0), ..options() }).unwrap();
        assert!(free.weight_max > 3.0 && clipped.weight_max == 2.0);
        assert!(clipped.effective_rows > free.effective_rows);
        assert!(clipped.ips.value < free.ips.value, "the bias of clipping is downwards");
    }
}
