//! Off-policy evaluation: estimates of a policy's reward from the log of another policy.
//!
//! Invariant: an interval covers the policy's value with probability of at least 95 %, for any number of rows and any
//! weights. It comes from [`betting`](super::betting), with half of the 5 % on either side. The reward model is
//! cross-fitted: it never saw the row that it scores. Equal rows and seed give equal figures.
//! Absent on purpose: the origin of propensities (the log carries them), files, the engine.

use serde::Serialize;

use super::betting::{bound, counted, log_both, log_wealth};
use super::metrics::ratio;

/// `ln` of the wealth that refutes a hypothesis: 2.5 % on each side of an interval.
const LOG_REFUTED: f64 = 3.688_879_454_113_936_4;

/// One logged choice with its outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Index of the context features.
    pub context: usize,
    /// Position of the action.
    pub position: usize,
    /// The action that was shown.
    pub action: usize,
    /// Reward: true for 1, false for 0.
    pub rewarded: bool,
    /// Propensity of the logging policy for this action and position, above 0.
    pub propensity: f64,
    /// Part of the log: a learning policy is evaluated on parts that it did not learn from.
    pub part: usize,
}

/// Probability of an action at a logged choice; sums to 1 over the actions.
pub type Probability<'a> = dyn Fn(&Choice, usize) -> f64 + 'a;

/// The policy to evaluate.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// The policy that made the log.
    Logging,
    /// Any other policy, by its probabilities.
    Policy(&'a Probability<'a>),
}

/// Parameters of the estimators.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpeOptions {
    /// Upper bound of action numbers, exclusive.
    pub actions: usize,
    /// Cap on the weights: less variance, some bias. `None` leaves weights as they are.
    pub clip: Option<f64>,
    /// Number of folds for the reward model, at least 2; each fit leaves one fold out.
    pub folds: usize,
    /// Seed of the assignment of rows to folds.
    pub seed: u64,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean reward per choice; `null` where no row has a weight.
    pub value: Option<f64>,
    /// Lower end of the interval; `null` where none holds: see [`Estimates::weight_bound`].
    pub low: Option<f64>,
    /// Upper end of the interval; `null` where none holds.
    pub high: Option<f64>,
    /// Width of the interval; `null` where none holds.
    pub width: Option<f64>,
}

impl Estimate {
    fn new(value: Option<f64>, interval: Option<[f64; 2]>) -> Estimate {
        // The bounds come from different statistics of the rows, so one may pass the value; the interval then extends
        // to it.
        let interval = interval.zip(value).map(|([low, high], value)| [low.min(value), high.max(value)]);
        Estimate {
            value,
            low: interval.map(|ends| ends[0]),
            high: interval.map(|ends| ends[1]),
            width: interval.map(|[low, high]| high - low),
        }
    }
}

/// All estimates of one policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimates {
    /// Inverse propensity scoring: `mean(w r)`. Its lower end needs no assumption on weights.
    pub ips: Estimate,
    /// Self-normalised estimate: `sum(w r) / sum(w)`.
    pub snips: Estimate,
    /// Doubly robust estimate; absent for the logging policy, whose probabilities are known for the chosen actions
    /// only.
    pub dr: Option<Estimate>,
    /// Effective sample size: `(sum w)^2 / sum w^2`.
    pub effective_rows: f64,
    /// The largest weight, after clipping.
    pub weight_max: f64,
    /// Bound on the weights, if no propensity is below the lowest of the log. The mean of the weights is 1. `null`
    /// where the weights refute the bound. The log then lacks actions of the policy, and only `ips` has an interval, a
    /// wide one.
    pub weight_bound: Option<f64>,
    /// Number of rewarded rows with a positive weight.
    pub rewarded_rows: u64,
}

/// One row as the estimators read it: weight and reward.
type Weighted = [f64; 2];

/// Evaluates a policy; `None` for an empty log.
///
/// `w = pi_e(a|x) / pi_b(a|x)`. Doubly robust: `sum_a pi_e(a|x) q(x, a) + w (r - q(x, a))` with a cross-fitted `q`.
///
/// Sources: Horvitz and Thompson 1952; Swaminathan and Joachims, NIPS 2015 (self-normalised); Dudik, Langford and Li,
/// ICML 2011, with cross-fitting as in Chernozhukov et al. 2018.
#[must_use]
pub fn estimate(log: &[Choice], target: Target<'_>, options: &OpeOptions) -> Option<Estimates> {
    if log.is_empty() {
        return None;
    }
    let weight = |row: &Choice| match target {
        Target::Logging => 1.0,
        Target::Policy(probability) => probability(row, row.action) / row.propensity,
    };
    let clipped = |weight: f64| options.clip.map_or(weight, |clip| weight.min(clip));
    let rows: Vec<Weighted> = log.iter().map(|row| [clipped(weight(row)), f64::from(u8::from(row.rewarded))]).collect();
    let kinds = counted(rows.clone());
    let likeliest = |row: &Choice, probability: &Probability<'_>| {
        (0..options.actions).map(|action| probability(row, action)).fold(0.0, f64::max)
    };
    let bound = match target {
        Target::Logging => 1.0,
        Target::Policy(probability) => {
            let lowest = log.iter().map(|row| row.propensity).fold(1.0, f64::min);
            let likeliest = log.iter().map(|row| likeliest(row, probability)).fold(0.0, f64::max);
            (likeliest / lowest).max(1.0)
        }
    };
    let is_clipped = options.clip.is_some_and(|clip| clip < bound);
    // Weights below the bound have mean 1; a bet tests whether that hypothesis holds.
    let mean_is_one =
        log_wealth(kinds.iter().map(|([w, _], n)| ((1.0 - w) / (bound - 1.0).max(1e-9), *n))) < LOG_REFUTED;
    let bound = Some(bound).filter(|_| !is_clipped && mean_is_one);
    let (sum, squares) =
        rows.iter().fold((0.0, 0.0), |(sum, squares), [weight, _]| (sum + weight, squares + weight * weight));
    let earned: f64 = rows.iter().map(|[weight, reward]| weight * reward).sum();
    let ips = earned / rows.len() as f64;
    let snips = ratio(earned, sum);
    let dr = match target {
        Target::Logging => None,
        Target::Policy(probability) => Some(doubly_robust(log, &rows, probability, bound, options)),
    };
    Some(Estimates {
        ips: Estimate::new(Some(ips), Some(of_ips(&kinds, ips, bound))),
        snips: Estimate::new(snips, bound.zip(snips).map(|(bound, snips)| of_snips(&kinds, snips, bound))),
        dr,
        effective_rows: ratio(sum * sum, squares).unwrap_or(0.0),
        weight_max: rows.iter().map(|row| row[0]).fold(0.0, f64::max),
        weight_bound: bound,
        rewarded_rows: rows.iter().filter(|[weight, reward]| *weight > 0.0 && *reward > 0.0).count() as u64,
    })
}

/// The interval of the value from `E w r = V`.
///
/// The lower end needs no upper bound of `w`, because `w r` is at least 0. The upper end uses `E w (1 - r) = 1 - V`,
/// the missed rewards, clipped or not. A second bet uses `w r <= bound`, where there is a bound. Half of the wealth is
/// staked on each.
fn of_ips(rows: &[(Weighted, u32)], value: f64, weight_bound: Option<f64>) -> [f64; 2] {
    let low =
        bound(value, 0.0, |mean| log_wealth(rows.iter().map(|([w, r], n)| (w * r / mean - 1.0, *n))) >= LOG_REFUTED);
    let high = bound(value.min(1.0), 1.0, |mean| {
        let missed = log_wealth(rows.iter().map(|([w, r], n)| (w * (1.0 - r) / (1.0 - mean) - 1.0, *n)));
        let wealth = weight_bound.filter(|bound| *bound > mean).map_or(missed, |bound| {
            log_both(missed, log_wealth(rows.iter().map(|([w, r], n)| ((mean - w * r) / (bound - mean), *n))))
        });
        wealth >= LOG_REFUTED
    });
    [low, high]
}

/// The interval of the value from `E w (r - V) = 0`.
fn of_snips(rows: &[(Weighted, u32)], value: f64, weight_bound: f64) -> [f64; 2] {
    let low = bound(value, 0.0, |mean| {
        log_wealth(rows.iter().map(|([w, r], n)| (w / weight_bound * (r / mean - 1.0), *n))) >= LOG_REFUTED
    });
    let high = bound(value, 1.0, |mean| {
        log_wealth(rows.iter().map(|([w, r], n)| (w / weight_bound * (mean - r) / (1.0 - mean), *n))) >= LOG_REFUTED
    });
    [low, high]
}

fn doubly_robust(
    log: &[Choice],
    rows: &[Weighted],
    probability: &Probability<'_>,
    weight_bound: Option<f64>,
    options: &OpeOptions,
) -> Estimate {
    let folds = options.folds.max(2).min(log.len().max(2));
    let fold_of = fold_of(log.len(), folds, options.seed);
    let models: Vec<RewardModel> = (0..folds)
        .map(|fold| RewardModel::fit(log.iter().zip(&fold_of).filter(|(_, of)| **of != fold).map(|(row, _)| row)))
        .collect();
    // Range of the influence function: the direct part, and the expected rewards of any action.
    let (mut expected, mut direct_max) = ([f64::INFINITY, f64::NEG_INFINITY], 0.0_f64);
    let mut influence = Vec::with_capacity(log.len());
    for ((choice, [weight, reward]), fold) in log.iter().zip(rows).zip(&fold_of) {
        let mut direct = 0.0;
        let of_chosen = models[*fold].expect(choice.context, choice.position, choice.action);
        for action in 0..options.actions {
            let chance = probability(choice, action);
            let q = models[*fold].expect(choice.context, choice.position, action);
            expected = [expected[0].min(q), expected[1].max(q)];
            direct += chance * q;
        }
        direct_max = direct_max.max(direct);
        influence.push([direct + weight * (reward - of_chosen)]);
    }
    let value = influence.iter().map(|[one]| one).sum::<f64>() / influence.len() as f64;
    let influence = counted(influence);
    let interval = weight_bound.map(|weight_bound| {
        let (least, most) = (-weight_bound * expected[1], direct_max + weight_bound * (1.0 - expected[0]));
        let low = bound(value, 0.0_f64.min(value), |mean| {
            log_wealth(influence.iter().map(|([one], n)| ((one - mean) / (mean - least), *n))) >= LOG_REFUTED
        });
        let high = bound(value, 1.0_f64.max(value), |mean| {
            log_wealth(influence.iter().map(|([one], n)| ((mean - one) / (most - mean).max(1e-12), *n))) >= LOG_REFUTED
        });
        [low, high]
    });
    Estimate::new(Some(value), interval)
}

/// Folds of equal size, in a seeded order.
fn fold_of(rows: usize, folds: usize, seed: u64) -> Vec<usize> {
    use rand::SeedableRng;
    use rand::seq::SliceRandom;
    let mut folds: Vec<usize> = (0..rows).map(|row| row % folds).collect();
    folds.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
    folds
}

/// Expected reward: log-odds of the action's rate, plus the deviations of position and context from the overall
/// log-odds.
///
/// Rates are shrunk to the overall one by [`RewardModel::PRIOR`] rows. The model is simple on purpose: the estimate is
/// consistent for any model.
struct RewardModel {
    base: f64,
    actions: Vec<f64>,
    positions: Vec<f64>,
    contexts: Vec<f64>,
}

impl RewardModel {
    /// Prior strength of each rate, in rows of the overall rate.
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
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const CONTEXTS: usize = 4;
    const POSITIONS: usize = 2;
    const ACTIONS: usize = 6;

    fn options() -> OpeOptions {
        OpeOptions { actions: ACTIONS, clip: None, folds: 5, seed: 1 }
    }

    /// True reward of an action, not of the form of the reward model.
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

    /// True mean reward of a policy over all contexts and positions.
    fn value(policy: fn(usize, usize, usize) -> f64) -> f64 {
        let cells = (0..CONTEXTS).flat_map(|x| (0..POSITIONS).map(move |p| (x, p)));
        let of = |(x, p)| (0..ACTIONS).map(|a| policy(x, p, a) * truth(x, p, a)).sum::<f64>();
        cells.map(of).sum::<f64>() / (CONTEXTS * POSITIONS) as f64
    }

    /// The policy in the form that [`estimate`] takes.
    fn judged(policy: fn(usize, usize, usize) -> f64) -> impl Fn(&Choice, usize) -> f64 {
        move |row, action| policy(row.context, row.position, action)
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
                Choice { context, position, action, rewarded, propensity: policy(context, position, action), part: 0 }
            })
            .collect()
    }

    /// Coverage is at least nominal, up to the sampling error of the runs.
    fn covers(name: &str, hits: u32, runs: u32) {
        let runs = f64::from(runs);
        let least = 0.95 * runs - 2.0 * (0.05 * 0.95 * runs).sqrt();
        assert!(f64::from(hits) >= least, "{name}: {hits} of {runs} intervals hold the value, {least} should");
    }

    /// Mean and normal 95 % interval of `w r`, for comparison.
    fn normal(log: &[Choice], policy: &Probability<'_>) -> [f64; 2] {
        let values: Vec<f64> =
            log.iter().map(|row| if row.rewarded { policy(row, row.action) / row.propensity } else { 0.0 }).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let half = 1.96 * (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
        [mean - half, mean + half]
    }

    fn holds(one: Estimate, truth: f64) -> bool {
        one.low.zip(one.high).is_some_and(|(low, high)| (low..=high).contains(&truth))
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let (truth, policy) = (value(target), judged(target));
        let (mut hits, mut errors, mut widths) = ([0_u32; 3], [0.0; 3], [0.0; 2]);
        let runs = 300;
        for seed in 0..runs {
            let log = log(logging, 3_000, u64::from(seed));
            let found = estimate(&log, Target::Policy(&policy), &options()).unwrap();
            for (k, one) in [found.ips, found.snips, found.dr.unwrap()].into_iter().enumerate() {
                hits[k] += u32::from(holds(one, truth));
                errors[k] += one.value.unwrap() - truth;
            }
            let [low, high] = normal(&log, &policy);
            widths = [widths[0] + found.ips.width.unwrap(), widths[1] + high - low];
            assert!(found.effective_rows > 300.0 && found.effective_rows < 3_000.0, "{}", found.effective_rows);
        }
        for (name, (hits, error)) in ["ips", "snips", "dr"].into_iter().zip(hits.into_iter().zip(errors)) {
            covers(name, hits, runs);
            assert!((error / f64::from(runs)).abs() < 0.004, "{name} is off by {error}");
        }
        assert!(widths[0] < 2.5 * widths[1], "what is certain costs width, but not any: {widths:?}");
    }

    /// Thirty actions of which the logging policy takes most very rarely, rewards of one in two hundred, a uniform
    /// policy: weights reach 200, and most logs lack a reward that would count much.
    #[test]
    fn intervals_hold_the_truth_with_weights_up_to_200() {
        const MANY: usize = 30;
        let chance = |action: usize| match action {
            0..10 => (1.0 - 20.0 / 6_000.0 - 0.02) / 10.0,
            10..30 if action.is_multiple_of(2) => 1.0 / 6_000.0,
            _ => 0.002 + 1.0 / 6_000.0,
        };
        assert!(((0..MANY).map(chance).sum::<f64>() - 1.0).abs() < 1e-9);
        let uniform = |_: &Choice, _: usize| 1.0 / MANY as f64;
        for (case, reward) in [
            (
                "rewards are rare everywhere",
                Box::new(|action: usize| 0.003 + 0.0001 * action as f64) as Box<dyn Fn(usize) -> f64>,
            ),
            ("rewards are where the log hardly is", Box::new(|action| if action >= 10 { 0.02 } else { 0.001 })),
        ] {
            let truth = (0..MANY).map(&reward).sum::<f64>() / MANY as f64;
            let (mut hits, mut of_normal, mut weight_max, mut widths) = ([0_u32; 3], 0, 0.0_f64, 0.0);
            let runs = 400;
            for seed in 0..runs {
                let mut random = ChaCha8Rng::seed_from_u64(1_000 + u64::from(seed));
                let mut draw = || {
                    let mut left: f64 = random.random();
                    let mut action = 0;
                    while action + 1 < MANY && left >= chance(action) {
                        left -= chance(action);
                        action += 1;
                    }
                    let rewarded = random.random::<f64>() < reward(action);
                    Choice { context: 0, position: 0, action, rewarded, propensity: chance(action), part: 0 }
                };
                let log: Vec<Choice> = (0..2_000).map(|_| draw()).collect();
                let options = OpeOptions { actions: MANY, ..options() };
                let found = estimate(&log, Target::Policy(&uniform), &options).unwrap();
                weight_max = weight_max.max(found.weight_max);
                widths += found.ips.width.unwrap();
                for (hits, one) in hits.iter_mut().zip([found.ips, found.snips, found.dr.unwrap()]) {
                    // Where the weights refute their bound, only the first estimate has an interval.
                    *hits += u32::from(holds(one, truth) || one.low.is_none());
                }
                let [low, high] = normal(&log, &uniform);
                of_normal += u32::from((low..=high).contains(&truth));
            }
            assert!((199.0..201.0).contains(&weight_max), "{weight_max}");
            for (name, hits) in ["ips", "snips", "dr"].into_iter().zip(hits) {
                covers(&format!("{case}, {name}"), hits, runs);
            }
            assert!(
                of_normal < runs * 9 / 10,
                "{case}: the case is too easy, normal intervals hold {of_normal} of {runs}"
            );
            assert!(widths / f64::from(runs) < 0.5, "{case}: {widths}");
        }
    }

    /// The log never took an action of the policy. The weights reveal that, and the value may include any reward of
    /// the missing share.
    #[test]
    fn actions_that_the_log_lacks_are_noticed() {
        let policy = |_: &Choice, action: usize| [0.5, 0.5][action];
        let log: Vec<Choice> = (0..2_000)
            .map(|n| Choice { context: 0, position: 0, action: 0, rewarded: n % 10 == 0, propensity: 0.9, part: 0 })
            .collect();
        let found = estimate(&log, Target::Policy(&policy), &OpeOptions { actions: 2, ..options() }).unwrap();
        assert_eq!((found.weight_bound, found.snips.low, found.dr.unwrap().width), (None, None, None));
        // Half of the policy earns 0.1, the other half between 0 and 1.
        assert!(found.ips.low.unwrap() < 0.06 && found.ips.high.unwrap() > 0.45, "{:?}", found.ips);
    }

    /// Without a click the interval still covers the rewards that may have been missed.
    #[test]
    fn no_reward_is_no_certainty() {
        let quiet: Vec<Choice> =
            log(logging, 500, 8).into_iter().map(|row| Choice { rewarded: false, ..row }).collect();
        for found in [
            estimate(&quiet, Target::Logging, &options()).unwrap().ips,
            estimate(&quiet, Target::Policy(&judged(target)), &options()).unwrap().ips,
        ] {
            assert_eq!((found.value, found.low), (Some(0.0), Some(0.0)));
            assert!(found.high.unwrap() > 0.005 && found.width == found.high, "{found:?}");
        }
        // A policy disjoint from the log has no self-normalised value.
        let other = |_: &Choice, action: usize| f64::from(u8::from(action == ACTIONS));
        let found = estimate(&quiet, Target::Policy(&other), &options()).unwrap();
        assert_eq!((found.snips.value, found.snips.low, found.effective_rows), (None, None, 0.0));
    }

    /// One policy, evaluated from a uniform log and deployed itself: the estimates agree with its reward.
    #[test]
    fn a_uniform_log_tells_what_the_policy_earns_by_itself() {
        let uniform: fn(usize, usize, usize) -> f64 = |_, _, _| 1.0 / ACTIONS as f64;
        let own = log(target, 40_000, 3);
        let earned = own.iter().filter(|row| row.rewarded).count() as f64 / own.len() as f64;
        assert!((earned - value(target)).abs() < 0.01);
        let found = estimate(&log(uniform, 40_000, 4), Target::Policy(&judged(target)), &options()).unwrap();
        for one in [found.ips, found.snips, found.dr.unwrap()] {
            assert!((one.value.unwrap() - earned).abs() < 0.012, "{one:?} {earned}");
        }
        // Where the action decides the reward, the model explains nearly all variance.
        let sure: Vec<Choice> =
            log(uniform, 40_000, 4).into_iter().map(|row| Choice { rewarded: row.action >= 3, ..row }).collect();
        let found = estimate(&sure, Target::Policy(&judged(target)), &options()).unwrap();
        assert!(found.dr.unwrap().width < found.ips.width, "a reward model narrows the interval: {found:?}");
    }

    #[test]
    fn the_logging_policy_earns_what_it_earned() {
        let log = log(logging, 1_000, 5);
        let earned = log.iter().filter(|row| row.rewarded).count() as f64 / log.len() as f64;
        let found = estimate(&log, Target::Logging, &options()).unwrap();
        let near = |one: Estimate| (one.value.unwrap() - earned).abs() < 1e-12;
        assert!(near(found.ips) && near(found.snips));
        assert!((found.effective_rows - 1_000.0).abs() < 1e-6 && found.dr.is_none());
        // Evaluated as any other policy, it gives equal estimates.
        let again = estimate(&log, Target::Policy(&judged(logging)), &options()).unwrap();
        assert!(near(again.ips) && again.dr.unwrap().low.unwrap() < earned);
        assert_eq!(estimate(&[], Target::Logging, &options()), None);
    }

    #[test]
    fn clipping_bounds_every_weight() {
        let log = log(logging, 2_000, 6);
        let target_policy = judged(target);
        let free = estimate(&log, Target::Policy(&target_policy), &options()).unwrap();
        let clipped =
            estimate(&log, Target::Policy(&target_policy), &OpeOptions { clip: Some(2.0), ..options() }).unwrap();
        assert!(free.weight_max > 3.0 && clipped.weight_max == 2.0);
        assert!(clipped.effective_rows > free.effective_rows);
        assert!(clipped.ips.value < free.ips.value, "the bias of clipping is downwards");
        assert!(holds(clipped.ips, value(target)), "and its interval holds the value all the same: {:?}", clipped.ips);
        assert_eq!(clipped.snips.low, None, "of a biased ratio nothing is known");
    }
}
