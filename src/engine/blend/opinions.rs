//! Opinion model: the probability that a user says yes to an item, by logistic regression on the features of all
//! experts. Its shared weights are learned online from every labelled interaction.
//!
//! Invariant: weights stay finite and within [`WEIGHT_MAX`]. The fold uses the error that the entry carries, so it does
//! not need the weights of that time. Prediction changes nothing.
//! Deliberately absent: an order. The blend orders feeds, since it learns from choices; the opinion model serves only
//! where a probability is needed.
//! Sources: logistic regression by second-order steps ([`crate::engine::learners::shared::newton`]); calibration: Platt, *Probabilistic outputs
//! for support vector machines*, 1999.

use serde::{Deserialize, Serialize};

use super::start::Blend as Start;
use crate::domain::journal::Opinion;
use crate::engine::blend::weights::{LOSS_MAX, WEIGHT_MAX, without_tower};
use crate::engine::features::{FEATURES, Features, Row, Segment, shares};
use crate::engine::learners::person::offset::UserOffset;
use crate::engine::learners::shared::newton::Newton;
use crate::engine::metrics::progressive::log_loss;
use crate::engine::numeric::kernels::dot;

/// Length of the joint gradient: weights for new items, weights for seen items, and the bias.
const WEIGHTS: usize = 2 * FEATURES + 1;

/// Index of the bias in the gradient.
const BIAS: usize = 2 * FEATURES;

/// An answer whose error is below this teaches nothing, so logs without negative answers cost no steps.
const CERTAIN: f32 = 1e-3;

/// Lower bound of the calibration's slope; a negative slope would reverse the order of probabilities.
const SLOPE_MIN: f32 = 0.1;
/// Upper bound of the calibration's slope.
const SLOPE_MAX: f32 = 4.0;

/// Published shared weights of the opinion model.
#[derive(Clone, Debug, PartialEq)]
pub struct OpinionWeights {
    /// By [`Segment::index`], log-odds per unit of a feature.
    pub weights: [Features; 2],
    /// Log-odds of a yes at zero features.
    pub bias: f32,
    /// Platt scaling from raw to calibrated log-odds.
    pub calibration: Calibration,
    /// Whether enough answers of both labels were learned; before, the probabilities are meaningless.
    pub(crate) is_calibrated: bool,
    /// Whether the two-tower model raises the loss, so that its weights count as 0.
    pub without_tower: bool,
}

/// Platt scaling of log-odds. Skips weigh less than likes, so the raw model overestimates likes; and weights learned on
/// some items may be overconfident on others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Factor of the raw log-odds.
    pub slope: f32,
    /// Addend, in log-odds.
    pub intercept: f32,
}

impl Default for Calibration {
    fn default() -> Self {
        Calibration { slope: 1.0, intercept: 0.0 }
    }
}

impl Calibration {
    /// Calibrated log-odds; keeps their order.
    #[must_use]
    pub fn of(&self, log_odds: f32) -> f32 {
        self.slope * log_odds + self.intercept
    }
}

impl OpinionWeights {
    /// Initial weights from the settings.
    #[must_use]
    pub fn start(start: &Start) -> OpinionWeights {
        let calibration = Calibration::default();
        let weights = [start.features(); 2];
        OpinionWeights { weights, bias: 0.0, calibration, is_calibrated: false, without_tower: false }
    }

    /// Calibrated log-odds that a user with these offsets says yes to the item of this row.
    #[must_use]
    pub fn log_odds(&self, row: &Row, own: &UserOffset) -> f32 {
        let weights = self.served(row.segment, own);
        let sum = shares(&weights, &row.features).into_iter().fold(0.0, |a, b| a + b);
        self.calibration.of(sum + self.bias + own.bias())
    }

    /// Calibrated probability, in (0, 1), that a user with these offsets says yes to the item of this row.
    #[must_use]
    pub fn probability(&self, row: &Row, own: &UserOffset) -> f32 {
        logistic(self.log_odds(row, own))
    }

    fn served(&self, segment: Segment, own: &UserOffset) -> Features {
        let weights = own.added_to(&self.weights[segment.index()]);
        if self.without_tower { without_tower(&weights) } else { weights }
    }

    /// Training example of an answer; `None` if the answer was almost certain.
    #[must_use]
    pub fn example(&self, row: &Row, positive: bool, own: &UserOffset) -> Option<Opinion> {
        let answer = f32::from(u8::from(positive));
        let bias = self.bias + own.bias();
        let score = dot(&own.added_to(&self.weights[row.segment.index()]), &row.features) + bias;
        let error = logistic(score) - answer;
        let served = dot(&self.served(row.segment, own), &row.features) + bias;
        let untrue = logistic(self.calibration.of(served)) - answer;
        if error.abs() < CERTAIN && untrue.abs() < CERTAIN {
            return None;
        }
        Some(Opinion {
            error,
            seen: row.segment == Segment::Seen,
            calibration: [untrue * served, untrue],
            loss: log_loss(f64::from(score), positive).min(f64::from(LOSS_MAX)) as f32,
        })
    }
}

/// Learner of the shared weights, as folded over the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpinionLearner {
    /// Learned addends to the initial weights, `(WEIGHTS,)`; empty before the first example.
    learned: Vec<f32>,
    /// Learned addends to slope 1 and intercept 0.
    calibration: [f32; 2],
    /// Preconditioner of the weights and the bias.
    newton: Newton,
    /// Preconditioner of slope and intercept.
    platt: Newton,
}

impl OpinionLearner {
    /// Learns one answer with this weight, on an item with these features, `(FEATURES,)`. `step` scales the Newton
    /// step. Features of another length and values that are not finite are ignored.
    pub fn learn(&mut self, opinion: &Opinion, features: &[f32], weight: f32, step: f32) {
        if features.len() != FEATURES {
            return;
        }
        let mut gradient = [0.0; WEIGHTS];
        let begin = if opinion.seen { FEATURES } else { 0 };
        for (gradient, feature) in gradient[begin..begin + FEATURES].iter_mut().zip(features) {
            *gradient = opinion.error * feature;
        }
        gradient[BIAS] = opinion.error;
        if !gradient.iter().chain(&opinion.calibration).fold(true, |finite, g| finite & g.is_finite()) {
            return;
        }
        self.learned.resize(WEIGHTS, 0.0);
        let learn =
            |learned: &mut f32, move_by: f32| *learned = (*learned - step * move_by).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        let moves = self.newton.learn(&gradient, weight);
        self.learned.iter_mut().zip(moves).for_each(|(weight, move_by)| learn(weight, move_by));
        // Calibration counts all answers equally.
        let corrections = self.platt.learn(&opinion.calibration, 1.0);
        self.calibration.iter_mut().zip(corrections).for_each(|(promise, move_by)| learn(promise, move_by));
    }

    /// Reacts to drift: widens the preconditioners, so that later answers count more.
    pub(crate) fn loosen(&mut self) {
        self.newton.loosen();
        self.platt.loosen();
    }

    /// The weights to publish.
    #[must_use]
    pub fn weights(&self, start: &Start, without_tower: bool) -> OpinionWeights {
        let mut published = OpinionWeights { without_tower, ..OpinionWeights::start(start) };
        let OpinionWeights { weights, bias, calibration, .. } = &mut published;
        for (weight, learned) in weights.iter_mut().flatten().chain([bias]).zip(&self.learned) {
            *weight += learned;
        }
        calibration.slope = (calibration.slope + self.calibration[0]).clamp(SLOPE_MIN, SLOPE_MAX);
        calibration.intercept += self.calibration[1];
        published
    }
}

pub(super) fn logistic(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::engine::features::at;
    use crate::engine::settings::LearnSettings;

    fn row(k: usize, value: f32, segment: Segment) -> Row {
        let mut features = [0.0; FEATURES];
        features[k] = value;
        Row { features, segment }
    }

    /// The error equals the derivative of the loss by the bias, and, times a feature, that by the feature's weight.
    #[test]
    fn the_error_is_the_slope_of_the_loss() {
        let start = LearnSettings::default().blend;
        let (base, own) = (OpinionWeights::start(&start), UserOffset::default());
        let row = row(at::ONLINE, 0.7, Segment::Seen);
        for positive in [true, false] {
            let taught = base.example(&row, positive, &own).unwrap_or_default();
            let loss = |by_bias: f32, by_weight: f32| {
                let mut weights = base.clone();
                weights.bias += by_bias;
                weights.weights[1][at::ONLINE] += by_weight;
                f64::from(weights.example(&row, positive, &own).unwrap_or_default().loss)
            };
            for (slope, gradient) in [
                ((loss(1e-2, 0.0) - loss(-1e-2, 0.0)) / 2e-2, taught.error),
                ((loss(0.0, 1e-2) - loss(0.0, -1e-2)) / 2e-2, taught.error * 0.7),
            ] {
                assert!((slope - f64::from(gradient)).abs() < 2e-3, "{positive}: {slope} {gradient}");
            }
        }
    }

    /// Probabilities are calibrated although likes weigh more than skips.
    #[test]
    fn promises_come_true_whatever_answers_weigh() {
        let settings = LearnSettings::default();
        let (mut learner, own) = (OpinionLearner::default(), UserOffset::default());
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (mut promised, mut liked, mut raw, mut rounds) = (0.0, 0.0, 0.0, 0.0);
        let mut bins = [[0.0_f32; 3]; 4];
        for round in 0..12_000 {
            let shared = learner.weights(&settings.blend, false);
            let x: f32 = random.random_range(-1.0..1.0);
            let row = row(at::ONLINE, x, Segment::New);
            let positive = random.random::<f32>() < logistic(2.0 * x - 1.0);
            if round >= 6_000 {
                let probability = logistic(shared.log_odds(&row, &own));
                (promised, liked) = (promised + probability, liked + f32::from(u8::from(positive)));
                let said = dot(&shared.weights[0], &row.features) + shared.bias;
                (raw, rounds) = (raw + logistic(said), rounds + 1.0);
                let bin = &mut bins[((x + 1.0) * 2.0) as usize % 4];
                *bin = [bin[0] + 1.0, bin[1] + probability, bin[2] + f32::from(u8::from(positive))];
            }
            if let Some(opinion) = shared.example(&row, positive, &own) {
                learner.learn(&opinion, &row.features, if positive { 1.0 } else { 0.3 }, settings.blend_step);
            }
        }
        assert!((promised - liked).abs() / rounds < 0.02, "{promised} promised, {liked} liked, of {rounds}");
        assert!((raw - liked).abs() / rounds > 0.1, "without the calibration it would be off: {raw}");
        for [n, promised, liked] in bins {
            assert!((promised - liked).abs() / n < 0.04, "{bins:?}");
        }
    }

    /// In a log without negative answers, further answers soon teach nothing and cost nothing.
    #[test]
    fn answers_that_were_certain_teach_nothing() {
        let settings = LearnSettings::default();
        let (mut learner, own) = (OpinionLearner::default(), UserOffset::default());
        let row = row(at::ONLINE, 0.5, Segment::New);
        let mut taught = 0;
        for _ in 0..10_000 {
            let example = learner.weights(&settings.blend, false).example(&row, true, &own);
            taught += u32::from(example.is_some());
            if let Some(opinion) = example {
                learner.learn(&opinion, &row.features, 1.0, settings.blend_step);
            }
        }
        assert!((1..6_000).contains(&taught), "{taught} of 10,000");
        let shared = learner.weights(&settings.blend, false);
        assert!(shared.example(&row, false, &own).is_some(), "a first no is a surprise");
    }

    #[test]
    fn numbers_of_another_format_change_nothing() {
        let mut learner = OpinionLearner::default();
        let opinion = Opinion { error: 0.5, ..Opinion::default() };
        learner.learn(&opinion, &[1.0; 7], 1.0, 1.0);
        learner.learn(&Opinion { error: f32::NAN, ..opinion.clone() }, &[1.0; FEATURES], 1.0, 1.0);
        learner.learn(&Opinion { calibration: [f32::INFINITY, 0.0], ..opinion }, &[1.0; FEATURES], 1.0, 1.0);
        assert_eq!(learner, OpinionLearner::default());
    }
}
