//! Topic weights of a user: interest in each topic, decaying along a logistic curve.
//!
//! Invariant: weights lie in [0, 1] and are sorted by topic; at most [`TopicWeights::COUNT_MAX`] are kept, and the
//! weakest is dropped first. In the exact mode, decaying by t1 then t2 equals decaying by t1 + t2.

use serde::{Deserialize, Serialize};

use crate::domain::ids::TopicId;
use crate::domain::time::Millis;

/// Decay of topic weights over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Exact solution of the decay equation: the result does not depend on how often it is evaluated.
    #[default]
    Exact,
    /// One Euler step per interaction with a floor of 0.01, as the original demo computed it.
    Euler,
}

/// The decay of topic weights: its curve `2 / (1 + exp(5 r x))`, and the unit of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopicDecay {
    /// How the curve is evaluated.
    pub mode: Decay,
    /// Rate `r` of the curve, in (0, 100].
    pub rate: f64,
    /// Unit of elapsed time, in milliseconds.
    pub horizon_ms: i64,
}

/// Lower bound of weights in the Euler mode.
pub const EULER_FLOOR: f64 = 0.01;

/// Weight after `tau` horizons along the exact flow of `ds/dtau = f'(s)` with `f(x) = 2 / (1 + exp(5 r x))`.
///
/// With `a = 5 r` and `u = a s`: `du/dtau = -a^2 / (1 + cosh u)`, so `G(u) = u + sinh u` falls linearly: `G(u(tau)) =
/// max(0, G(u(0)) - a^2 tau)`. `s` in [0, 1], `tau >= 0`, result in [0, s].
#[must_use]
pub fn decay_exact(s: f64, tau: f64, rate: f64) -> f64 {
    let a = 5.0 * rate;
    if s <= 0.0 || tau <= 0.0 {
        return s.max(0.0);
    }
    let u0 = a * s;
    let target = u0 + u0.sinh() - a * a * tau;
    if target <= 0.0 {
        return 0.0;
    }
    // G is convex on u >= 0 and asinh(target) lies at or above the root, so Newton's method descends to it
    // monotonically.
    let mut u = target.asinh();
    for _ in 0..60 {
        let step = (u + u.sinh() - target) / (1.0 + u.cosh());
        u -= step;
        if step.abs() <= 1e-15 * u.abs() {
            break;
        }
    }
    (u / a).clamp(0.0, s)
}

/// Time in horizons until a weight of `s` reaches 0: `G(a s) / a^2`.
#[must_use]
pub fn lifetime(s: f64, rate: f64) -> f64 {
    let a = 5.0 * rate;
    let u = a * s;
    (u + u.sinh()) / (a * a)
}

/// One Euler step of the decay equation, as in the original demo: `max(0.01, s + f'(s) tau)`.
#[must_use]
pub fn decay_euler(s: f64, tau: f64, rate: f64) -> f64 {
    (s + slope(s, rate) * tau).max(EULER_FLOOR)
}

/// The logistic function `f(x) = 2 / (1 + exp(5 r x))`, whose derivative drives the decay: 1 at 0, falling to 0.
#[must_use]
pub fn logistic(x: f64, rate: f64) -> f64 {
    2.0 / (1.0 + (5.0 * rate * x).exp())
}

/// The derivative `f'(s)` of [`logistic`]: the change of a weight `s` per horizon, at most 0.
#[must_use]
pub fn slope(s: f64, rate: f64) -> f64 {
    let a = 5.0 * rate;
    // f'(s) = -2 a e^(a s) / (1 + e^(a s))^2, written so that it cannot overflow.
    -a / (1.0 + (a * s).cosh())
}

/// Weight `elapsed_ms` after a change to `s`, without interactions since, under the settings of a server.
#[must_use]
pub fn decayed(s: f64, elapsed_ms: f64, decay: TopicDecay) -> f64 {
    let tau = elapsed_ms / decay.horizon_ms as f64;
    match decay.mode {
        Decay::Exact => decay_exact(s, tau, decay.rate),
        Decay::Euler if tau == 0.0 => s,
        Decay::Euler => decay_euler(s, tau, decay.rate),
    }
}

/// Weight after a positive interaction: half-way to 1.
#[must_use]
pub fn bump(s: f64) -> f64 {
    s + (1.0 - s) / 2.0
}

/// All topic weights of one user, as of one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicWeights {
    weights: Vec<(TopicId, f64)>,
    as_of: Millis,
}

impl TopicWeights {
    /// Maximum number of topics per user.
    pub(crate) const COUNT_MAX: usize = 256;

    /// The weight of a topic at `now`; 0 for an unknown topic. Changes nothing.
    #[must_use]
    pub fn at(&self, topic: TopicId, now: Millis, decay: TopicDecay) -> f64 {
        self.weights
            .binary_search_by_key(&topic, |(topic, _)| *topic)
            .map_or(0.0, |index| self.faded(self.weights[index].1, now, decay))
    }

    /// All weights above 0 at `now`, sorted by topic. Changes nothing.
    pub fn all(&self, now: Millis, decay: TopicDecay) -> impl Iterator<Item = (TopicId, f64)> + '_ {
        self.weights.iter().map(move |(topic, s)| (*topic, self.faded(*s, now, decay))).filter(|(_, s)| *s > 0.0)
    }

    /// Learns a positive interaction with an item of these topics.
    pub fn learn(&mut self, topics: &[TopicId], now: Millis, decay: TopicDecay) {
        self.fade(now, decay);
        for topic in topics {
            self.put(*topic, bump);
        }
    }

    /// Sets these weights explicitly, each in [0, 1].
    pub fn set(&mut self, weights: &[(TopicId, f32)], now: Millis, decay: TopicDecay) {
        self.fade(now, decay);
        for (topic, weight) in weights {
            self.put(*topic, |_| f64::from(*weight));
        }
        self.weights.retain(|(_, s)| *s > 0.0);
    }

    fn put(&mut self, topic: TopicId, change: impl Fn(f64) -> f64) {
        match self.weights.binary_search_by_key(&topic, |(topic, _)| *topic) {
            Ok(index) => self.weights[index].1 = change(self.weights[index].1),
            Err(index) => {
                self.weights.insert(index, (topic, change(0.0)));
                if self.weights.len() > Self::COUNT_MAX {
                    let weakest = (0..self.weights.len())
                        .filter(|other| *other != index)
                        .min_by(|a, b| self.weights[*a].1.total_cmp(&self.weights[*b].1));
                    if let Some(weakest) = weakest {
                        self.weights.remove(weakest);
                    }
                }
            }
        }
    }

    /// Decays all weights to `now`; for an event out of order the weights stay.
    fn fade(&mut self, now: Millis, decay: TopicDecay) {
        if now <= self.as_of {
            return;
        }
        for index in 0..self.weights.len() {
            self.weights[index].1 = self.faded(self.weights[index].1, now, decay);
        }
        self.weights.retain(|(_, s)| *s > 0.0);
        self.as_of = now;
    }

    fn faded(&self, s: f64, now: Millis, decay: TopicDecay) -> f64 {
        decayed(s, now.since(self.as_of) as f64, decay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::DAY_MS;
    use proptest::prelude::*;

    proptest! {
        /// Decaying by t1 then t2 equals decaying by t1 + t2.
        #[test]
        fn exact_decay_is_a_semigroup(s in 0.0..=1.0f64, t1 in 0.0..4.0f64, t2 in 0.0..4.0f64, rate in 0.1..3.0f64) {
            let twice = decay_exact(decay_exact(s, t1, rate), t2, rate);
            prop_assert!((twice - decay_exact(s, t1 + t2, rate)).abs() < 1e-9);
        }

        /// Weights stay in [0, 1] and never rise over time.
        #[test]
        fn exact_decay_is_bounded_and_falls(s in 0.0..=1.0f64, tau in 0.0..50.0f64, rate in 0.01..5.0f64) {
            let after = decay_exact(s, tau, rate);
            prop_assert!((0.0..=s).contains(&after));
        }

        /// A longer time never leaves a higher weight; a stronger interest is never overtaken by a weaker one.
        #[test]
        fn exact_decay_is_monotone(s1 in 0.0..=1.0f64, s2 in 0.0..=1.0f64, t1 in 0.0..5.0f64, t2 in 0.0..5.0f64) {
            let (weak, strong) = (s1.min(s2), s1.max(s2));
            let (soon, late) = (t1.min(t2), t1.max(t2));
            prop_assert!(decay_exact(weak, soon, 1.0) <= decay_exact(strong, soon, 1.0) + 1e-12);
            prop_assert!(decay_exact(strong, late, 1.0) <= decay_exact(strong, soon, 1.0) + 1e-12);
        }

        /// The solution satisfies its equation: the slope is f'(s).
        #[test]
        fn exact_decay_follows_its_equation(s in 0.05..=1.0f64, rate in 0.2..2.0f64) {
            let h = 1e-6;
            let slope = (decay_exact(s, h, rate) - s) / h;
            let a = 5.0 * rate;
            let expected = -2.0 * a * (a * s).exp() / (1.0 + (a * s).exp()).powi(2);
            prop_assert!((slope - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{slope} {expected}");
        }

        /// A weight reaches 0 at its lifetime, and not before.
        #[test]
        fn exact_decay_ends_in_finite_time(s in 0.01..=1.0f64, rate in 0.2..2.0f64) {
            let end = lifetime(s, rate);
            prop_assert_eq!(decay_exact(s, end * (1.0 + 1e-9), rate), 0.0);
            prop_assert!(decay_exact(s, end * 0.999, rate) > 0.0);
        }
    }

    #[test]
    fn a_strong_interest_fades_slowly_at_first_then_faster() {
        let losses: Vec<f64> =
            (0..3).map(|n| decay_exact(1.0, f64::from(n), 1.0) - decay_exact(1.0, f64::from(n + 1), 1.0)).collect();
        assert!(losses[0] < losses[1] && losses[1] < losses[2], "{losses:?}");
    }

    #[test]
    fn the_euler_step_has_its_pinned_numbers() {
        // f'(0.5) at r = 1 is -10 e^2.5 / (1 + e^2.5)^2 = -0.701037165451081
        for (name, s, jump, rate, expected) in [
            ("from the demo", 0.5, 0.1, 1.0, 0.429_896_283_454_891_9),
            ("no time", 0.5, 0.0, 1.0, 0.5),
            ("floor", 0.02, 1.0, 1.0, 0.01),
            ("from nothing it rises to the floor", 0.0, 0.1, 1.0, 0.01),
        ] {
            assert!((decay_euler(s, jump, rate) - expected).abs() < 1e-12, "{name}: {}", decay_euler(s, jump, rate));
        }
    }

    /// The values come from Python 3, independently of this code. `f` and `f'` are `2/(1+math.exp(5*r*x))` and
    /// `-10*r*math.exp(5*r*x)/(1+math.exp(5*r*x))**2`; the exact weights are 200,000 Runge-Kutta steps of fourth order
    /// along `ds/dtau = f'(s)`; the Euler weights are `max(0.01, s + f'(s)*tau)`.
    #[test]
    fn both_decay_functions_have_the_values_of_an_independent_computation() {
        for (x, rate, value, derivative) in [
            (0.0, 1.0, 1.0, -2.5),
            (0.5, 1.0, 0.151_716_360_042_487_1, -0.701_037_165_451_081_6),
            (1.0, 1.0, 0.013_385_701_848_569_711, -0.066_480_566_707_901_55),
            (0.0, 0.5, 1.0, -1.25),
            (0.5, 0.5, 0.445_400_277_650_617_7, -0.865_523_934_962_485),
            (1.0, 0.5, 0.151_716_360_042_487_1, -0.350_518_582_725_540_8),
            (0.5, 2.0, 0.013_385_701_848_569_711, -0.132_961_133_415_803_1),
            (1.0, 2.0, 9.079_573_740_486_879e-5, -0.000_907_916_154_719_033_4),
        ] {
            assert!((logistic(x, rate) - value).abs() < 1e-14, "f({x}) at {rate}: {}", logistic(x, rate));
            assert!((slope(x, rate) - derivative).abs() < 1e-14, "f'({x}) at {rate}: {}", slope(x, rate));
        }
        for (s, tau, rate, expected) in [
            (1.0, 0.5, 1.0, 0.963_697_166_8),
            (1.0, 1.0, 1.0, 0.919_471_518_2),
            (1.0, 2.0, 1.0, 0.784_707_747_6),
            (0.5, 0.25, 1.0, 0.209_719_375_9),
            (1.0, 1.0, 0.5, 0.419_438_751_9),
            (0.8, 0.5, 0.5, 0.449_863_550_7),
            (1.0, 1.0, 2.0, 0.999_087_937_5),
        ] {
            let found = decay_exact(s, tau, rate);
            assert!((found - expected).abs() < 1e-9, "exact from {s} for {tau} at {rate}: {found}");
        }
        for (s, tau, rate, expected) in [
            (1.0, 0.5, 1.0, 0.966_759_716_646_049_2),
            (1.0, 1.0, 1.0, 0.933_519_433_292_098_4),
            (0.5, 0.5, 1.0, 0.149_481_417_274_459_18),
            (0.5, 1.0, 1.0, 0.01),
            (1.0, 1.0, 0.5, 0.649_481_417_274_459_2),
        ] {
            let found = decay_euler(s, tau, rate);
            assert!((found - expected).abs() < 1e-14, "Euler from {s} for {tau} at {rate}: {found}");
        }
        let decay = TopicDecay { mode: Decay::Euler, rate: 0.5, horizon_ms: 7 * DAY_MS };
        assert!((decayed(1.0, 7.0 * DAY_MS as f64, decay) - 0.649_481_417_274_459_2).abs() < 1e-14);
    }

    #[test]
    fn a_positive_interaction_bumps_half_way() {
        let decay = TopicDecay { mode: Decay::Exact, rate: 1.0, horizon_ms: 7 * DAY_MS };
        let mut weights = TopicWeights::default();
        for expected in [0.5, 0.75, 0.875] {
            weights.learn(&[TopicId(3)], Millis(5), decay);
            assert_eq!(weights.at(TopicId(3), Millis(5), decay), expected);
        }
        assert_eq!(weights.at(TopicId(4), Millis(5), decay), 0.0);
        let later = weights.at(TopicId(3), Millis(5 + 7 * DAY_MS), decay);
        assert!((later - decay_exact(0.875, 1.0, 1.0)).abs() < 1e-12);
    }

    #[test]
    fn never_more_topics_than_the_most() {
        let decay = TopicDecay { mode: Decay::Exact, rate: 1.0, horizon_ms: 7 * DAY_MS };
        let mut weights = TopicWeights::default();
        for topic in 1..1000 {
            weights.learn(&[TopicId(topic)], Millis(i64::from(topic) * 1000), decay);
        }
        assert_eq!(weights.all(Millis(999_000), decay).count(), TopicWeights::COUNT_MAX);
        assert!(weights.at(TopicId(999), Millis(999_000), decay) > 0.49, "the newest is kept");
    }
}
