//! The blend: shared weights over the features of all experts, learned online from everybody; small deviations per person.
//!
//! Invariant: what is folded is the gradient that the entry carries, so the fold needs neither the candidates nor the
//! weights as they were; weights stay finite and within [`WEIGHT_MAX`]. Predicting changes nothing.
//! Sources: multinomial logit over what was available (McFadden 1974), from a stratified sample of it (Manski & McFadden
//! 1981); second-order steps ([`super::newton`]); asynchronous gradients: Recht et al., *Hogwild!*, NIPS 2011;
//! calibration: Platt, *Probabilistic outputs for support vector machines*, 1999.

use serde::{Deserialize, Serialize};

use super::features::{FEATURES, Features, Row, Segment, at, range, shares};
use super::newton::Newton;
use crate::domain::feeds::Expert;
use crate::domain::journal::Lesson;
use crate::engine::settings::Blend as Start;
use crate::engine::simd::{dot, exp_each};

/// Numbers in a gradient: weights of what is new, of what was seen, the bias of opinions, and the [`Calibration`].
pub const GRADIENT: usize = 2 * FEATURES + 3;

/// Place of the bias in a gradient.
const BIAS: usize = 2 * FEATURES;

/// Place of the slope of the calibration; its intercept follows.
const SLOPE: usize = BIAS + 1;

/// Numbers in a list of losses: every expert alone, the blend without the two-tower model, the blend.
pub const LOSSES: usize = Expert::ALL.len() + 2;

/// Places of the last two of them.
const DEAF: usize = LOSSES - 2;
const BLEND: usize = LOSSES - 1;

/// Room for all of them side by side: a whole vector.
const LANES: usize = 16;
const _: () = assert!(LOSSES <= LANES);

/// No weight goes beyond.
pub const WEIGHT_MAX: f32 = 20.0;

/// Losses above this count as this much: one surprise decides nothing.
pub const LOSS_MAX: f32 = 10.0;

/// The slope of the calibration stays within: opposite signs would turn the order round.
const SLOPE_MIN: f32 = 0.1;
/// See [`SLOPE_MIN`].
const SLOPE_MAX: f32 = 4.0;

/// Who is served when the blend loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leader {
    /// This expert alone.
    Expert(Expert),
    /// The blend, deaf to the two-tower model: that comes from elsewhere, and no entry of the journal taught it.
    WithoutTower,
}

impl Leader {
    /// Its place in a list of losses.
    #[must_use]
    pub fn at(place: usize) -> Option<Leader> {
        match Expert::ALL.get(place) {
            Some(expert) => Some(Leader::Expert(*expert)),
            None => (place == DEAF).then_some(Leader::WithoutTower),
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Leader::Expert(expert) => expert.name(),
            Leader::WithoutTower => "blend_without_tower",
        }
    }
}

/// Shared weights, as published.
#[derive(Clone, Debug, PartialEq)]
pub struct BlendWeights {
    /// By [`Segment::index`].
    pub weights: [Features; 2],
    /// Added where a probability is asked for, never where candidates are compared.
    pub bias: f32,
    /// From the sum of both to log-odds that come true.
    pub calibration: Calibration,
    /// When the blend loses against this one, that is served.
    pub leader: Option<Leader>,
}

/// From what the blend says of an opinion to how often it comes true. A skip weighs less than a like, so weights and bias
/// are learned as if likes were more frequent than they are; and what was learned of one thing may be too sure of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Of the log-odds.
    pub slope: f32,
    /// In nats.
    pub intercept: f32,
}

impl Default for Calibration {
    fn default() -> Self {
        Calibration { slope: 1.0, intercept: 0.0 }
    }
}

impl Calibration {
    /// Log-odds that come true as often as they say. Who is ahead stays ahead.
    #[must_use]
    pub fn of(&self, log_odds: f32) -> f32 {
        self.slope * log_odds + self.intercept
    }
}

impl BlendWeights {
    /// As configured: nothing was learned yet.
    #[must_use]
    pub fn start(start: &Start) -> BlendWeights {
        let calibration = Calibration::default();
        BlendWeights { weights: [start.features(); 2], bias: 0.0, calibration, leader: None }
    }

    /// The weights that candidates of a segment meet: all, or those of the leader.
    #[must_use]
    pub fn served(&self, segment: Segment, own: &Deviation) -> Features {
        match self.leader {
            None => own.added_to(&self.weights[segment.index()]),
            Some(Leader::Expert(expert)) => alone(expert),
            Some(Leader::WithoutTower) => without_tower(&own.added_to(&self.weights[segment.index()])),
        }
    }
}

/// The weights of one expert alone, all others 0.
fn alone(expert: Expert) -> Features {
    let all = Start::alone();
    let (begin, end) = range(expert);
    let mut weights = [0.0; FEATURES];
    weights[begin..end].copy_from_slice(&all[begin..end]);
    weights
}

/// The weights without those of the two-tower model.
fn without_tower(weights: &Features) -> Features {
    let (mut weights, (begin, end)) = (*weights, range(Expert::Tower));
    weights[begin..end].fill(0.0);
    weights
}

/// One person's deviations from the shared weights, `(FEATURES,)` or nothing before the first lesson.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    weights: Vec<f32>,
    bias: f32,
}

/// Step of a person's deviations.
const OWN_STEP: f32 = 0.005;
/// How much of a deviation goes with each lesson: it is shrunk to 0.
const OWN_SHRINK: f32 = 0.002;
/// No deviation goes beyond.
const OWN_MAX: f32 = 3.0;

impl Deviation {
    /// One step against a lesson's gradient; both segments share a deviation.
    pub fn learn(&mut self, lesson: &Lesson, weight: f32) {
        let Some((gradient, bias)) = parts(lesson) else { return };
        if self.weights.len() != FEATURES {
            self.weights = vec![0.0; FEATURES];
        }
        let step =
            |own: f32, gradient: f32| (own - OWN_STEP * weight * gradient - OWN_SHRINK * own).clamp(-OWN_MAX, OWN_MAX);
        for (k, own) in self.weights.iter_mut().enumerate() {
            *own = step(*own, gradient[k] + gradient[FEATURES + k]);
        }
        self.bias = step(self.bias, bias);
    }

    /// Their own bias, beside the shared one.
    #[must_use]
    pub fn bias(&self) -> f32 {
        self.bias
    }

    fn added_to(&self, shared: &Features) -> Features {
        let mut sum = *shared;
        for (sum, own) in sum.iter_mut().zip(&self.weights) {
            *sum += own;
        }
        sum
    }
}

/// The gradient of a lesson by weights and by bias; `None` when it has none, or one of another format.
fn parts(lesson: &Lesson) -> Option<(&[f32], f32)> {
    (lesson.gradient.len() == GRADIENT).then(|| (&lesson.gradient[..BIAS], lesson.gradient[BIAS]))
}

/// The shared learner, as folded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlendLearner {
    /// What was learned on top of the configured weights, `(GRADIENT,)`; empty before the first lesson.
    learned: Vec<f32>,
    /// Of the weights and the bias.
    newton: Newton,
    /// Of slope and intercept.
    calibration: Newton,
    lessons: u64,
}

impl BlendLearner {
    /// One lesson of this weight; `step` multiplies Newton's.
    pub fn learn(&mut self, lesson: &Lesson, weight: f32, step: f32) {
        let Some((weights, promises)) = lesson.gradient.split_first_chunk::<SLOPE>() else { return };
        let Ok(promises) = <[f32; GRADIENT - SLOPE]>::try_from(promises) else { return };
        if !lesson.gradient.iter().fold(true, |finite, g| finite & g.is_finite()) {
            return;
        }
        self.learned.resize(GRADIENT, 0.0);
        let moves = self.newton.learn(weights, weight);
        // What comes true counts alike, whatever it weighs.
        let corrections = self.calibration.learn(&promises, 1.0);
        let (weights, promises) = self.learned.split_at_mut(SLOPE);
        let learn =
            |learned: &mut f32, move_by: f32| *learned = (*learned - step * move_by).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        weights.iter_mut().zip(moves).for_each(|(weight, move_by)| learn(weight, move_by));
        promises.iter_mut().zip(corrections).for_each(|(promise, move_by)| learn(promise, move_by));
        self.lessons += 1;
    }

    /// The weights drifted away from what is true now: learn faster again.
    pub fn loosen(&mut self) {
        self.newton.loosen();
        self.calibration.loosen();
    }

    /// The weights to publish.
    #[must_use]
    pub fn weights(&self, start: &Start, leader: Option<Leader>) -> BlendWeights {
        let mut published = BlendWeights { leader, ..BlendWeights::start(start) };
        if self.learned.len() == GRADIENT {
            let BlendWeights { weights, bias, calibration: Calibration { slope, intercept }, .. } = &mut published;
            for (weight, learned) in weights.iter_mut().flatten().chain([bias, slope, intercept]).zip(&self.learned) {
                *weight += learned;
            }
            *slope = slope.clamp(SLOPE_MIN, SLOPE_MAX);
        }
        published
    }

    /// How many lessons were learned.
    #[must_use]
    pub fn lessons(&self) -> u64 {
        self.lessons
    }
}

/// The smallest sample that a choice is compared with.
const SAMPLE_MIN: u64 = 6;

/// How many of `open` items a choice is compared with, at most `most`: one for each doubling. More would teach next to
/// nothing, and each of them costs as much as the chosen one.
#[must_use]
pub fn sample_size(open: u64, most: u64) -> u64 {
    open.checked_ilog2().map_or(0, u64::from).max(SAMPLE_MIN).min(most).min(open)
}

/// How many each sampled row stands for, as a natural logarithm, by [`Segment::index`]: zeros where all are compared.
pub type StandsFor = [f32; 2];

/// What a choice teaches: `rows[chosen]` was taken, the others were there. Softmax over all of them, each counting as many
/// times as it stands for others that were not drawn.
#[must_use]
pub fn choice(rows: &[Row], chosen: usize, many: StandsFor, shared: &BlendWeights, own: &Deviation) -> Lesson {
    let weights = [own.added_to(&shared.weights[0]), own.added_to(&shared.weights[1])];
    let deaf = weights.map(|weights| without_tower(&weights));
    // Who heard nothing of a two-tower model misses nothing without it.
    let hears = rows.iter().any(|row| row.features[at::TOWER] != 0.0);
    let score = |row: &Row| {
        let mut scores = [0.0; LANES];
        scores[..Expert::ALL.len()].copy_from_slice(&shares(Start::alone(), &row.features));
        scores[BLEND] = dot(&weights[row.segment.index()], &row.features);
        scores[DEAF] = if hears { dot(&deaf[row.segment.index()], &row.features) } else { scores[BLEND] };
        scores.map(|score| score + many[row.segment.index()])
    };
    let mut scores: Vec<[f32; LANES]> = rows.iter().map(score).collect();
    let losses = softmax(&mut scores, chosen);
    let mut gradient = vec![0.0; GRADIENT];
    for (n, (row, probabilities)) in rows.iter().zip(&scores).enumerate() {
        let error = probabilities[BLEND] - f32::from(u8::from(n == chosen));
        let begin = row.segment.index() * FEATURES;
        for (gradient, feature) in gradient[begin..begin + FEATURES].iter_mut().zip(&row.features) {
            *gradient += error * feature;
        }
    }
    Lesson { gradient, losses: losses[..LOSSES].to_vec(), ..Lesson::default() }
}

/// What an opinion teaches: this one was wanted, or was not. Logistic.
#[must_use]
pub fn opinion(row: &Row, positive: bool, shared: &BlendWeights, own: &Deviation) -> Lesson {
    let weights = own.added_to(&shared.weights[row.segment.index()]);
    let bias = shared.bias + own.bias;
    let score = dot(&weights, &row.features) + bias;
    let error = logistic(score) - f32::from(u8::from(positive));
    let mut gradient = vec![0.0; GRADIENT];
    let begin = row.segment.index() * FEATURES;
    for (gradient, feature) in gradient[begin..begin + FEATURES].iter_mut().zip(&row.features) {
        *gradient = error * feature;
    }
    gradient[BIAS] = error;
    let served = dot(&shared.served(row.segment, own), &row.features) + bias;
    let untrue = logistic(shared.calibration.of(served)) - f32::from(u8::from(positive));
    gradient[SLOPE..].copy_from_slice(&[untrue * served, untrue]);
    let alone = Start::alone();
    let mut losses: Vec<f32> = Vec::with_capacity(LOSSES);
    for expert in Expert::ALL {
        let (begin, end) = range(expert);
        losses.push(loss(dot(&alone[begin..end], &row.features[begin..end]) + bias, positive));
    }
    let deaf = dot(&without_tower(&weights), &row.features) + bias;
    losses.extend([loss(deaf, positive), loss(score, positive)]);
    Lesson { gradient, losses, ..Lesson::default() }
}

/// Turns the scores of the blend into probabilities; gives the log losses of the chosen one by lane, at most [`LOSS_MAX`].
/// Lane by lane nothing waits for anything else, so that a compiler makes vectors of them.
fn softmax(scores: &mut [[f32; LANES]], chosen: usize) -> [f32; LANES] {
    let mut most = [f32::NEG_INFINITY; LANES];
    let mut least = [f32::INFINITY; LANES];
    for scores in scores.iter() {
        for lane in 0..LANES {
            most[lane] = if scores[lane] > most[lane] { scores[lane] } else { most[lane] };
            least[lane] = if scores[lane] < least[lane] { scores[lane] } else { least[lane] };
        }
    }
    for scores in scores.iter_mut() {
        for lane in 0..LANES {
            scores[lane] -= most[lane];
        }
    }
    exp_each(scores.as_flattened_mut());
    let mut sums = [0.0; LANES];
    for scores in scores.iter() {
        for lane in 0..LANES {
            sums[lane] += scores[lane];
        }
    }
    let taken = scores[chosen];
    for scores in scores.iter_mut() {
        scores[BLEND] /= sums[BLEND];
    }
    let chance = (scores.len() as f32).ln();
    std::array::from_fn(|lane| match most[lane] == least[lane] {
        // Of an expert that has nothing to say here the loss is known.
        true => chance,
        false => (-(taken[lane] / sums[lane]).max(f32::MIN_POSITIVE).ln()).min(LOSS_MAX),
    })
}

fn logistic(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

fn loss(score: f32, positive: bool) -> f32 {
    super::progressive::log_loss(f64::from(score), positive).min(f64::from(LOSS_MAX)) as f32
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::engine::learn::features::at;
    use crate::engine::settings::LearnSettings;

    fn row(k: usize, value: f32, segment: Segment) -> Row {
        let mut features = [0.0; FEATURES];
        features[k] = value;
        Row { features, segment }
    }

    fn rows() -> Vec<Row> {
        (0..6)
            .map(|n| row(n % 5, 0.3 * n as f32 - 0.5, if n % 2 == 0 { Segment::New } else { Segment::Seen }))
            .collect()
    }

    /// The gradient is that of the loss: differences agree.
    #[test]
    fn gradients_are_slopes() {
        let settings = LearnSettings::default();
        let (rows, own) = (rows(), Deviation::default());
        let base = BlendWeights::start(&settings.blend);
        let last = |lesson: &Lesson| f64::from(lesson.losses[LOSSES - 1]);
        type Teach<'a> = Box<dyn Fn(&BlendWeights) -> Lesson + 'a>;
        let lessons: [(&str, Teach<'_>); 2] = [
            ("choice", Box::new(|shared| choice(&rows, 2, [0.7, 0.2], shared, &own))),
            ("opinion", Box::new(|shared| opinion(&rows[4], true, shared, &own))),
        ];
        for (name, lesson) in lessons {
            for (k, gradient) in lesson(&base).gradient.into_iter().take(SLOPE).enumerate() {
                let nudged = |by: f32| {
                    let mut weights = base.clone();
                    match k {
                        k if k < FEATURES => weights.weights[0][k] += by,
                        k if k < 2 * FEATURES => weights.weights[1][k - FEATURES] += by,
                        _ => weights.bias += by,
                    }
                    last(&lesson(&weights))
                };
                let slope = (nudged(1e-2) - nudged(-1e-2)) / 2e-2;
                assert!((slope - f64::from(gradient)).abs() < 2e-3, "{name} {k}: {slope} {gradient}");
            }
        }
    }

    /// Likes count more than skips, and yet what is promised comes true.
    #[test]
    fn promises_come_true_whatever_answers_weigh() {
        let settings = LearnSettings::default();
        let (mut learner, own) = (BlendLearner::default(), Deviation::default());
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (mut promised, mut liked, mut raw, mut rounds) = (0.0, 0.0, 0.0, 0.0);
        let mut bins = [[0.0_f32; 3]; 4];
        for round in 0..12_000 {
            let shared = learner.weights(&settings.blend, None);
            let x: f32 = random.random_range(-1.0..1.0);
            let row = row(at::ONLINE, x, Segment::New);
            let positive = random.random::<f32>() < logistic(2.0 * x - 1.0);
            if round >= 6_000 {
                let said = dot(&shared.weights[0], &row.features) + shared.bias;
                let probability = logistic(shared.calibration.of(said));
                (promised, liked) = (promised + probability, liked + f32::from(u8::from(positive)));
                (raw, rounds) = (raw + logistic(said), rounds + 1.0);
                let bin = &mut bins[((x + 1.0) * 2.0) as usize % 4];
                *bin = [bin[0] + 1.0, bin[1] + probability, bin[2] + f32::from(u8::from(positive))];
            }
            let lesson = opinion(&row, positive, &shared, &own);
            learner.learn(&lesson, if positive { 1.0 } else { 0.3 }, settings.blend_step);
        }
        assert!((promised - liked).abs() / rounds < 0.02, "{promised} promised, {liked} liked, of {rounds}");
        assert!((raw - liked).abs() / rounds > 0.1, "without the calibration it would be off: {raw}");
        for [n, promised, liked] in bins {
            assert!((promised - liked).abs() / n < 0.04, "{bins:?}");
        }
    }

    #[test]
    fn what_is_chosen_again_and_again_is_predicted() {
        let settings = LearnSettings::default();
        let (mut learner, mut own) = (BlendLearner::default(), Deviation::default());
        let mut losses = Vec::new();
        for _ in 0..300 {
            let shared = learner.weights(&settings.blend, None);
            let lesson = choice(&rows(), 5, [0.0; 2], &shared, &own);
            losses.push(lesson.losses[LOSSES - 1]);
            learner.learn(&lesson, 1.0, settings.blend_step);
            own.learn(&lesson, 1.0);
        }
        assert!(losses[0] > 1.0 && losses[299] < 0.2, "{} {}", losses[0], losses[299]);
        assert_eq!(learner.lessons(), 300);
    }

    #[test]
    fn a_sample_grows_by_one_with_each_doubling() {
        for (open, most, size) in [
            (0, 12, 0),
            (3, 12, 3),
            (80, 12, 6),
            (127, 12, 6),
            (128, 12, 7),
            (3_000, 12, 11),
            (1_000_000, 12, 12),
            (80, 2, 2),
        ] {
            assert_eq!(sample_size(open, most), size, "{open} open, at most {most}");
        }
    }

    #[test]
    fn a_gradient_of_another_format_changes_nothing() {
        let mut learner = BlendLearner::default();
        for gradient in [vec![], vec![1.0; 7], vec![f32::NAN; GRADIENT]] {
            learner.learn(&Lesson { gradient, ..Lesson::default() }, 1.0, 0.1);
        }
        assert_eq!(learner, BlendLearner::default());
    }
}
