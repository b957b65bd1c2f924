//! Online learning of one user: an acceptance model, which is a Bayesian logistic regression with a diagonal covariance. Its features are centred unit
//! embeddings and, for the user's recent topics, pairs of coordinates along the topic's axes.
//!
//! Invariant: mean and precision are finite, and precision is at least the prior's. Prediction changes nothing.
//! Learning is O(dim), and a user's model takes at most 4 KB at 384 dimensions.
//! Deliberately absent: an intercept (it measured worse; the blend models the base rate).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::engine::catalogue::centres::{Axes, Coordinates};
use crate::engine::catalogue::vectors::Vectors;
use crate::engine::learners::person::quadratic::{Form, PAIRS, Quadratic, features};
use crate::engine::numeric::kernels::{dot, gaussian_step, squares_over};

/// Prior and forgetting of the online model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnlineSettings {
    /// Prior variance of the weights, on centred unit vectors.
    pub prior_variance: f32,
    /// Half-life of the precision above the prior's, in milliseconds.
    pub forget_half_life_ms: i64,
}

/// Topics with a quadratic form per user: the most recently used ones. Only the form is dropped; the mean weights serve
/// all topics.
pub(crate) const QUADRATICS_MAX: usize = 2;

/// `1 / (1 + e^-x)`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Gaussian posterior of the weights with a diagonal covariance; empty until the first label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnlineModel {
    /// `(dim,)`; empty stands for zeros.
    mean: Vec<f32>,
    /// `(dim,)`; empty stands for the prior.
    precision: Vec<f32>,
    /// At most [`QUADRATICS_MAX`], the most recently used first.
    quadratics: Vec<Quadratic>,
    as_of: Millis,
}

/// Share of the precision above the prior that remains after a drift alarm.
const LOOSENED: f32 = 0.25;

/// Prediction of the online model for one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Log-odds of acceptance.
    pub log_odds: f32,
    /// `sum x_i^2 / q_i` over all features: variance of those log-odds.
    pub variance: f32,
}

/// Input of the online model for one item.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// Centred unit vector `(dim,)`; all zeros stands for an item that is its own centre.
    x: &'a [f32],
    /// Centre that the vector is centred by.
    centre: CentreRef,
    /// Axes of that centre, and the item's coordinates along them.
    within: Option<(&'a Axes, Coordinates)>,
}

impl<'a> Example<'a> {
    /// Of `x = (e - m) / ||e - m||`, `(dim,)`, with `m` the mean of `centre`.
    #[must_use]
    pub fn new(x: &'a [f32], centre: CentreRef, axes: Option<&'a Axes>) -> Example<'a> {
        let within = axes.and_then(|axes| Some((axes, axes.coordinates(x)?)));
        Example { x, centre, within }
    }

    /// Input for an item whose coordinates are known.
    #[must_use]
    pub fn measured(x: &'a [f32], centre: CentreRef, within: Option<(&'a Axes, Coordinates)>) -> Example<'a> {
        Example { x, centre, within }
    }
}

impl OnlineModel {
    /// The mean weights, `(dim,)`; `None` before the first label (all zeros).
    #[must_use]
    pub fn weights(&self) -> Option<&[f32]> {
        (!self.mean.is_empty()).then_some(&self.mean[..])
    }

    /// Precision of each weight, `(dim,)`: one over its variance; `None` before the first label (all at the prior).
    #[must_use]
    pub fn precision(&self) -> Option<&[f32]> {
        (!self.precision.is_empty()).then_some(&self.precision[..])
    }

    /// Quadratic parts by topic, the most recently used first.
    #[must_use]
    pub fn quadratics(&self) -> &[Quadratic] {
        &self.quadratics
    }

    /// The quadratic form for items of this centre; `None` when there is none. A form that was learned in another epoch
    /// of the topic is transformed into the axes of this one.
    #[must_use]
    pub fn form(&self, centre: CentreRef, vectors: &dyn Vectors) -> Option<Form> {
        let quadratic = self.quadratics.iter().find(|one| one.centre.topic == centre.topic)?;
        let axes = vectors.centre(centre)?.axes()?;
        Some(in_axes(quadratic, centre, axes, vectors)?.form(axes))
    }

    /// Predicts an item. `vectors` must have the centres that were learned with.
    #[must_use]
    pub fn predict(&self, example: &Example<'_>, vectors: &dyn Vectors, settings: OnlineSettings) -> Prediction {
        let x = example.x;
        let mut judgement = if self.mean.is_empty() {
            Prediction { log_odds: 0.0, variance: dot(x, x) * settings.prior_variance }
        } else {
            Prediction { log_odds: dot(&self.mean, x), variance: squares_over(x, &self.precision) }
        };
        if let Some((axes, p)) = &example.within {
            let known = self.quadratics.iter().find(|one| one.centre.topic == example.centre.topic);
            let precision = known.map_or(1.0 / settings.prior_variance, |one| one.precision);
            let pairs = features(p, axes);
            judgement.variance += dot(&pairs, &pairs) / precision;
            if let Some(quadratic) = known.and_then(|one| in_axes(one, example.centre, axes, vectors)) {
                judgement.log_odds += quadratic.value(&pairs);
            }
        }
        judgement
    }

    /// Learns one weighted label. `vectors` must have the centres that were learned with.
    ///
    /// The features are `x` and, where the centre has axes, the pairs of coordinates of [`quadratic`]. The step finds
    /// the exact maximum of the posterior along the only direction that changes. With `v = sum x_i^2 / q_i` over all
    /// features, the new log-odds solve `a = a0 + weight v (y - sigmoid(a))`. Then `q_i += weight p (1 - p) x_i^2`, and
    /// the one precision of all pairs grows by the mean of that over them. Source: Chapelle and Li, *An Empirical
    /// Evaluation of Thompson Sampling*, NIPS 2011, Algorithm 3. It is applied one event at a time, with a weight per
    /// event, and the precision relaxes towards the prior with a half-life.
    ///
    /// [`quadratic`]: crate::engine::learners::person::quadratic
    pub fn learn(
        &mut self,
        example: &Example<'_>,
        accepted: bool,
        weight: f32,
        at: Millis,
        vectors: &dyn Vectors,
        settings: OnlineSettings,
    ) {
        let (x, prior) = (example.x, 1.0 / settings.prior_variance);
        if self.mean.is_empty() {
            self.mean = vec![0.0; x.len()];
            self.precision = vec![prior; x.len()];
        } else {
            self.forget(at, prior, settings.forget_half_life_ms);
        }
        self.as_of = self.as_of.max(at);
        let mut before = dot(&self.mean, x);
        let mut variance = squares_over(x, &self.precision);
        let curved = example.within.as_ref().map(|(axes, p)| {
            self.adopt_axes(example.centre, axes, prior, vectors);
            let pairs = features(p, axes);
            let length = dot(&pairs, &pairs);
            before += self.quadratics[0].value(&pairs);
            variance += length / self.quadratics[0].precision;
            (pairs, length)
        });
        let label = f64::from(u8::from(accepted));
        let reach = f64::from(weight) * f64::from(variance);
        let p = sigmoid(solve(f64::from(before), reach, label));
        let step = (f64::from(weight) * (label - p)) as f32;
        let gain = (f64::from(weight) * p * (1.0 - p)) as f32;
        gaussian_step(&mut self.mean, &mut self.precision, x, step, gain);
        if let Some((pairs, length)) = curved {
            let quadratic = &mut self.quadratics[0];
            quadratic.step(&pairs, step / quadratic.precision);
            quadratic.precision += gain * length / PAIRS as f32;
        }
    }

    /// Moves the quadratic part of a centre to the front, in the axes of that centre. A new one replaces the least
    /// recently used.
    fn adopt_axes(&mut self, centre: CentreRef, axes: &Axes, prior: f32, vectors: &dyn Vectors) {
        let index = match self.quadratics.iter().position(|one| one.centre.topic == centre.topic) {
            Some(index) => index,
            None => {
                self.quadratics.truncate(QUADRATICS_MAX - 1);
                // Exactly as long as needed, to keep the memory per user small.
                self.quadratics.reserve_exact(1);
                self.quadratics.push(Quadratic::new(centre, prior));
                self.quadratics.len() - 1
            }
        };
        self.quadratics[..=index].rotate_right(1);
        let quadratic = &mut self.quadratics[0];
        if quadratic.centre != centre {
            let turned = in_axes(quadratic, centre, axes, vectors).map(Cow::into_owned);
            *quadratic = turned.unwrap_or_else(|| Quadratic::new(centre, prior));
        }
    }

    /// Euclidean norm of the mean weights.
    #[must_use]
    pub fn weight_norm(&self) -> f32 {
        dot(&self.mean, &self.mean).sqrt()
    }

    /// Mean standard deviation of the weights, relative to the prior's: 1 before the first label.
    #[must_use]
    pub fn uncertainty(&self, settings: OnlineSettings) -> f32 {
        if self.precision.is_empty() {
            return 1.0;
        }
        let prior = 1.0 / settings.prior_variance;
        self.precision.iter().map(|q| (prior / q).sqrt()).sum::<f32>() / self.precision.len() as f32
    }

    /// Size of the model in memory, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let numbers = self.mean.capacity() + self.precision.capacity();
        size_of::<Self>() + numbers * size_of::<f32>() + self.quadratics.capacity() * size_of::<Quadratic>()
    }

    fn forget(&mut self, at: Millis, prior: f32, half_life_ms: i64) {
        let elapsed = at.since(self.as_of);
        if elapsed == 0 {
            return;
        }
        self.relax(prior, (-(elapsed as f64) / half_life_ms as f64).exp2() as f32);
    }

    /// Reacts to drift: a quarter of the precision above the prior remains, so that the next labels count more.
    pub(crate) fn loosen(&mut self, settings: OnlineSettings) {
        self.relax(1.0 / settings.prior_variance, LOOSENED);
    }

    fn relax(&mut self, prior: f32, keep: f32) {
        for precision in &mut self.precision {
            *precision = (prior + (*precision - prior) * keep).max(prior);
        }
        for Quadratic { precision, .. } in &mut self.quadratics {
            *precision = (prior + (*precision - prior) * keep).max(prior);
        }
    }
}

/// A quadratic part in the axes of this centre, transformed if it has another epoch; `None` when its own axes are not
/// available.
fn in_axes<'a>(
    quadratic: &'a Quadratic,
    centre: CentreRef,
    axes: &Axes,
    vectors: &dyn Vectors,
) -> Option<Cow<'a, Quadratic>> {
    if quadratic.centre == centre {
        return Some(Cow::Borrowed(quadratic));
    }
    let own = vectors.centre(quadratic.centre)?.axes()?;
    Some(Cow::Owned(quadratic.turned(own, axes, centre)))
}

/// The root of `a = before + reach (label - sigmoid(a))`.
fn solve(before: f64, reach: f64, label: f64) -> f64 {
    // The left side minus the right side rises in `a` with a slope of at least 1. So Newton's method within the bracket
    // [before - reach, before + reach], safeguarded by bisection, always ends.
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
        let is_there = (next - after).abs() <= 1e-12 * (1.0 + after.abs());
        after = next;
        if is_there {
            break;
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ItemId, TopicId};
    use crate::domain::items::Embedding;
    use crate::domain::time::DAY_MS;
    use crate::engine::catalogue::centres::{Centre, principal, stored_len};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn unit(numbers: &[f32]) -> Vec<f32> {
        let norm = dot(numbers, numbers).sqrt().max(1e-6);
        numbers.iter().map(|x| x / norm).collect()
    }

    /// Topic 1 has a centre at 0 with axes in each of these epochs, from 1; nothing else exists.
    struct Topic(Vec<Centre>);

    impl Vectors for Topic {
        fn embedding(&self, _: ItemId, _: u32) -> Option<&[f32]> {
            None
        }
        fn centre(&self, centre: CentreRef) -> Option<&Centre> {
            self.0.get((centre.epoch as usize).checked_sub(1)?).filter(|_| centre.topic == TopicId(1))
        }
    }

    impl Topic {
        fn of(epochs: &[&[Vec<f32>]]) -> Topic {
            let centre = |rows: &&[Vec<f32>]| {
                let dim = rows[0].len();
                let mut stored = vec![0.0; dim];
                stored[0] = 1e-9;
                stored.extend(principal(rows));
                Centre::of(&Embedding::new(stored, stored_len(dim)).unwrap(), dim).unwrap()
            };
            Topic(epochs.iter().map(centre).collect())
        }

        fn example<'a>(&'a self, x: &'a [f32], epoch: u32) -> Example<'a> {
            let centre = CentreRef { topic: TopicId(1), epoch };
            Example::new(x, centre, self.centre(centre).and_then(Centre::axes))
        }
    }

    fn bare(x: &[f32]) -> Example<'_> {
        Example::new(x, CentreRef::NONE, None)
    }

    fn clouds(seed: u64, count: usize, dim: usize) -> Vec<Vec<f32>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| unit(&(0..dim).map(|_| random.random_range(-1.0..1.0)).collect::<Vec<f32>>())).collect()
    }

    proptest! {
        /// The state stays finite with a precision of at least the prior's, with and without axes. Learning a label
        /// moves the prediction towards it.
        #[test]
        fn learning_moves_towards_the_label(
            events in prop::collection::vec((prop::collection::vec(-1.0f32..1.0, 8), any::<bool>(), 0.01f32..10.0, 0i64..10_000_000_000, 0u32..3), 1..60)
        ) {
            let settings = OnlineSettings { prior_variance: 10.0, forget_half_life_ms: 30 * DAY_MS };
            let topic = Topic::of(&[&clouds(1, 30, 8), &clouds(2, 40, 8)]);
            let mut model = OnlineModel::default();
            for (x, accepted, weight, at, epoch) in events {
                let x = unit(&x);
                let example = topic.example(&x, epoch);
                let before = model.predict(&example, &topic, settings).log_odds;
                model.learn(&example, accepted, weight, Millis(at), &topic, settings);
                let after = model.predict(&example, &topic, settings);
                prop_assert!(after.log_odds.is_finite() && after.variance.is_finite() && after.variance >= 0.0);
                let moved = if accepted { after.log_odds - before } else { before - after.log_odds };
                // The tolerance covers the 16 bits per weight of the form; forgetting changes no prediction.
                prop_assert!(moved >= -5e-3 * (1.0 + before.abs()), "{before} {after:?} {accepted}");
                prop_assert!(model.precision.iter().all(|q| *q >= 0.1 && q.is_finite()));
                prop_assert!(model.quadratics.iter().all(|one| one.precision >= 0.1 && one.precision.is_finite()));
            }
        }
    }

    #[test]
    fn one_step_solves_its_equation() {
        let settings = OnlineSettings { prior_variance: 10.0, forget_half_life_ms: 30 * DAY_MS };
        let x = unit(&[1.0, 2.0, -2.0]);
        let mut model = OnlineModel::default();
        model.learn(&bare(&x), true, 1.0, Millis(0), &Topic(vec![]), settings);
        let a = f64::from(model.predict(&bare(&x), &Topic(vec![]), settings).log_odds);
        // By hand: v = 10, a = 10 (1 - sigmoid(a)) has its root at 1.6766...
        assert!((a - 10.0 * (1.0 - sigmoid(a))).abs() < 1e-5, "{a}");

        let topic = Topic::of(&[&clouds(3, 40, 12)]);
        let x = &clouds(4, 1, 12)[0];
        let example = topic.example(x, 1);
        let mut model = OnlineModel::default();
        let variance = f64::from(model.predict(&example, &topic, settings).variance);
        model.learn(&example, false, 1.0, Millis(0), &topic, settings);
        let a = f64::from(model.predict(&example, &topic, settings).log_odds);
        // The expected value adds the variance of all features; the form is stored in 16 bits.
        assert!(variance > 10.1 && (a + variance * sigmoid(a)).abs() < 5e-3, "{a} {variance}");
    }

    #[test]
    fn certainty_fades_with_its_half_life() {
        let settings = OnlineSettings { prior_variance: 10.0, forget_half_life_ms: 30 * DAY_MS };
        let topic = Topic::of(&[&[vec![1.0, 0.0], vec![0.0, 1.0]]]);
        let mut model = OnlineModel::default();
        for _ in 0..20 {
            model.learn(&topic.example(&[1.0, 0.0], 1), true, 1.0, Millis(0), &topic, settings);
        }
        let sure = (model.precision[0] - 0.1, model.quadratics[0].precision - 0.1);
        assert!(sure.0 > 0.0 && sure.1 > 0.0);
        model.learn(&bare(&[0.0, 1.0]), true, 1.0, Millis(30 * DAY_MS), &topic, settings);
        assert!((model.precision[0] - 0.1 - sure.0 / 2.0).abs() < 1e-5);
        assert!((model.quadratics[0].precision - 0.1 - sure.1 / 2.0).abs() < 1e-5);
    }

    /// Both ends of an axis are liked, its middle is not: no linear model can express that, a quadratic form can.
    #[test]
    fn both_ends_of_an_axis_can_be_liked() {
        let settings = OnlineSettings { prior_variance: 10.0, forget_half_life_ms: 30 * DAY_MS };
        let mut items = clouds(5, 200, 24);
        for x in &mut items {
            x[0] *= 3.0;
            *x = unit(x);
        }
        let topic = Topic::of(&[&items]);
        let wanted = |x: &[f32]| x[0].abs() > 0.45;
        let mut model = OnlineModel::default();
        for (time, x) in items[..150].iter().enumerate() {
            model.learn(&topic.example(x, 1), wanted(x), 1.0, Millis(time as i64), &topic, settings);
        }
        let right = |curved: bool| {
            let says = |x: &Vec<f32>| {
                let example = if curved { topic.example(x, 1) } else { bare(x) };
                model.predict(&example, &topic, settings).log_odds > 0.0
            };
            items[150..].iter().filter(|x| says(x) == wanted(x)).count()
        };
        assert!(
            right(true) >= 42 && right(false) <= 35,
            "of 50: {} with the form, {} without",
            right(true),
            right(false)
        );
    }

    /// A new epoch of the topic has other axes; the form is transformed into them.
    #[test]
    fn a_new_epoch_keeps_what_was_learned() {
        let settings = OnlineSettings { prior_variance: 10.0, forget_half_life_ms: 30 * DAY_MS };
        // In 12 dimensions, 20 axes span the whole space, so nothing is lost but rounding and the mean square.
        let topic = Topic::of(&[&clouds(6, 40, 12), &clouds(7, 80, 12)]);
        let mut model = OnlineModel::default();
        for (time, x) in clouds(8, 60, 12).iter().enumerate() {
            model.learn(&topic.example(x, 1), x[0] * x[1] > 0.0, 1.0, Millis(time as i64), &topic, settings);
        }
        let judged = |epoch| {
            let judge = |x: &Vec<f32>| model.predict(&topic.example(x, epoch), &topic, settings).log_odds;
            clouds(9, 40, 12).iter().map(judge).collect::<Vec<_>>()
        };
        let (old, new) = (judged(1), judged(2));
        let shift = new.iter().zip(&old).map(|(new, old)| new - old).sum::<f32>() / 40.0;
        let spread = old.iter().fold(0.0_f32, |most, a| most.max(a.abs()));
        for (old, new) in old.iter().zip(&new) {
            assert!((new - old - shift).abs() < 0.05 * spread, "{old} {new}, all moved by {shift}");
        }
    }

    #[test]
    fn a_person_takes_four_kilobytes() {
        let settings = OnlineSettings { prior_variance: 10.0, forget_half_life_ms: 30 * DAY_MS };
        let items = clouds(10, 60, 384);
        let topic = Topic::of(&[&items]);
        let axes = topic.0[0].axes().unwrap();
        /// Every topic has one shared centre.
        struct Everywhere<'a>(&'a Topic);
        impl Vectors for Everywhere<'_> {
            fn embedding(&self, _: ItemId, _: u32) -> Option<&[f32]> {
                None
            }
            fn centre(&self, _: CentreRef) -> Option<&Centre> {
                self.0.0.first()
            }
        }
        let mut model = OnlineModel::default();
        for (turn, x) in items.iter().enumerate() {
            let centre = CentreRef { topic: TopicId(turn as u32 % 7), epoch: 1 };
            let example = Example::new(x, centre, Some(axes));
            model.learn(&example, turn % 3 == 0, 1.0, Millis(turn as i64), &Everywhere(&topic), settings);
        }
        assert_eq!(model.quadratics().iter().map(|one| one.centre.topic.0).collect::<Vec<_>>(), [59 % 7, 58 % 7]);
        let stored = postcard::to_allocvec(&model).unwrap();
        assert!(stored.len() <= 4096 && model.memory_bytes() <= 4096, "{} {}", stored.len(), model.memory_bytes());
        assert_eq!(postcard::from_bytes::<OnlineModel>(&stored).unwrap(), model);
    }
}
