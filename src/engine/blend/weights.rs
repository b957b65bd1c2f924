//! The blend: shared weights over the features of all experts, plus small user-specific offsets. The weights start from
//! those of the opinion model ([`super::opinions`]) and are corrected online by the choices of all users. They are also the
//! cold start of a new user, whose own offset is 0.
//!
//! Invariant: the fold uses the gradient that the entry carries, so it needs neither the candidates nor the weights of
//! that time. Weights stay finite and within [`WEIGHT_MAX`]. Prediction changes nothing.
//! Sources: multinomial logit over the available items (McFadden 1974), from a stratified sample of them (Manski &
//! McFadden 1981); the Newton step of [`crate::engine::learners::shared::newton`]; asynchronous gradients: Recht et
//! al., *Hogwild!*, NIPS 2011.

use serde::{Deserialize, Serialize};

use super::start::Blend as Start;
use crate::domain::feeds::Expert;
use crate::domain::journal::TrainingExample;
use crate::engine::features::{FEATURES, Features, Row, Segment, at, range, shares};
use crate::engine::learners::person::offset::UserOffset;
use crate::engine::learners::shared::newton::Newton;
use crate::engine::numeric::kernels::{dot, exp_each};

/// Length of a gradient: weights for new items, then weights for seen items.
pub(crate) const GRADIENT: usize = 2 * FEATURES;

/// Length of a list of losses: each expert alone, the blend without the two-tower model, the blend.
pub(crate) const LOSSES: usize = Expert::ALL.len() + 2;

/// Indices of the last two losses: the blend without the two-tower model, and the whole blend.
const WITHOUT_TOWER: usize = LOSSES - 2;
const BLEND: usize = LOSSES - 1;

/// Vector lanes for all losses in parallel.
const LANES: usize = 16;
const _: () = assert!(LOSSES <= LANES);

/// Bound of the magnitude of shared weights.
pub const WEIGHT_MAX: f32 = 20.0;

/// Upper limit of a loss, in nats: it bounds the influence of one surprise.
pub const LOSS_MAX: f32 = 10.0;

/// Predictor that is served instead of the blend when the blend loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leader {
    /// This expert alone.
    Expert(Expert),
    /// The blend without the two-tower model, which is trained elsewhere and not from journal entries.
    WithoutTower,
}

impl Leader {
    /// The predictor at this index of a list of losses; `None` for the blend.
    #[must_use]
    pub fn at(place: usize) -> Option<Leader> {
        match Expert::ALL.get(place) {
            Some(expert) => Some(Leader::Expert(*expert)),
            None => (place == WITHOUT_TOWER).then_some(Leader::WithoutTower),
        }
    }

    /// Name of the predictor in published figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Leader::Expert(expert) => expert.name(),
            Leader::WithoutTower => "blend_without_tower",
        }
    }
}

/// Published shared weights.
#[derive(Clone, Debug, PartialEq)]
pub struct BlendWeights {
    /// Feature weights by [`Segment::index`], log-odds per unit.
    pub weights: [Features; 2],
    /// Predictor that is served while the blend loses against it.
    pub leader: Option<Leader>,
}

impl BlendWeights {
    /// Initial weights from the settings.
    #[must_use]
    pub fn start(start: &Start) -> BlendWeights {
        BlendWeights { weights: [start.features(); 2], leader: None }
    }

    /// Weights for candidates of a segment: those of the blend, or of the leader.
    #[must_use]
    pub fn served(&self, segment: Segment, own: &UserOffset) -> Features {
        match self.leader {
            None => own.added_to(&self.weights[segment.index()]),
            Some(Leader::Expert(expert)) => alone(expert),
            Some(Leader::WithoutTower) => without_tower(&own.added_to(&self.weights[segment.index()])),
        }
    }
}

/// Weights of one expert alone; all others are 0.
fn alone(expert: Expert) -> Features {
    let all = Start::alone();
    let (begin, end) = range(expert);
    let mut weights = [0.0; FEATURES];
    weights[begin..end].copy_from_slice(&all[begin..end]);
    weights
}

/// The weights with those of the two-tower model set to 0.
pub(super) fn without_tower(weights: &Features) -> Features {
    let (mut weights, (begin, end)) = (*weights, range(Expert::Tower));
    weights[begin..end].fill(0.0);
    weights
}

/// Learner of the shared weights, as folded over the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlendLearner {
    /// Learned corrections of the opinion weights, `(GRADIENT,)`; empty before the first example.
    learned: Vec<f32>,
    newton: Newton,
    /// Number of learned choices.
    examples: u64,
}

impl BlendLearner {
    /// One training example of this weight; `step` multiplies Newton's.
    pub fn learn(&mut self, example: &TrainingExample, weight: f32, step: f32) {
        let Ok(gradient) = <&[f32; GRADIENT]>::try_from(&example.gradient[..]) else { return };
        if !gradient.iter().fold(true, |finite, g| finite & g.is_finite()) {
            return;
        }
        self.learned.resize(GRADIENT, 0.0);
        let moves = self.newton.learn(gradient, weight);
        for (learned, move_by) in self.learned.iter_mut().zip(moves) {
            *learned = (*learned - step * move_by).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
        self.examples += 1;
    }

    /// Reacts to drift: widens the preconditioner, so that later choices count more.
    pub(crate) fn loosen(&mut self) {
        self.newton.loosen();
    }

    /// The weights to publish: those of the opinion model plus the corrections from choices. Without choices, the
    /// opinion weights define the order.
    #[must_use]
    pub fn weights(&self, opinion: &[Features; 2], leader: Option<Leader>) -> BlendWeights {
        let mut published = BlendWeights { weights: *opinion, leader };
        for (weight, learned) in published.weights.iter_mut().flatten().zip(&self.learned) {
            *weight += learned;
        }
        published
    }
}

/// Minimum number of sampled negatives.
const SAMPLE_MIN: u64 = 6;

/// Number of sampled negatives of a choice among `open` items, at most `most`: one for each doubling. More would hardly
/// improve learning, and each costs as much as the chosen item.
#[must_use]
pub fn sample_size(open: u64, most: u64) -> u64 {
    open.checked_ilog2().map_or(0, u64::from).max(SAMPLE_MIN).min(most).min(open)
}

/// Log importance weight of a sampled row, by [`Segment::index`]; zeros where all rows are present.
pub(crate) type StandsFor = [f32; 2];

/// Training example of a choice: `rows[chosen]` was taken, the others are negatives. The loss is the softmax over all
/// of them, each with its log importance weight `many`.
#[must_use]
pub fn choice(
    rows: &[Row],
    chosen: usize,
    many: StandsFor,
    shared: &BlendWeights,
    own: &UserOffset,
) -> TrainingExample {
    let weights = [own.added_to(&shared.weights[0]), own.added_to(&shared.weights[1])];
    let reduced = weights.map(|weights| without_tower(&weights));
    // Without a two-tower model both losses are equal.
    let has_tower = rows.iter().any(|row| row.features[at::TOWER] != 0.0);
    let score = |row: &Row| {
        let mut scores = [0.0; LANES];
        scores[..Expert::ALL.len()].copy_from_slice(&shares(Start::alone(), &row.features));
        scores[BLEND] = dot(&weights[row.segment.index()], &row.features);
        scores[WITHOUT_TOWER] =
            if has_tower { dot(&reduced[row.segment.index()], &row.features) } else { scores[BLEND] };
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
    TrainingExample { gradient, losses: losses[..LOSSES].to_vec(), ..TrainingExample::default() }
}

/// Turns the scores of the blend into probabilities, and returns the log losses of the chosen row by lane, at most
/// [`LOSS_MAX`]. Lanes are independent, so that the compiler vectorises the loops.
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
        // The loss of an expert with equal scores for all rows is known.
        true => chance,
        false => (-(taken[lane] / sums[lane]).max(f32::MIN_POSITIVE).ln()).min(LOSS_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// The gradient agrees with finite differences of the loss.
    #[test]
    fn gradients_are_slopes() {
        let settings = LearnSettings::default();
        let (rows, own) = (rows(), UserOffset::default());
        let base = BlendWeights::start(&settings.blend);
        let example = |shared: &BlendWeights| choice(&rows, 2, [0.7, 0.2], shared, &own);
        for (k, gradient) in example(&base).gradient.into_iter().enumerate() {
            let nudged = |by: f32| {
                let mut weights = base.clone();
                weights.weights.as_flattened_mut()[k] += by;
                f64::from(example(&weights).losses[LOSSES - 1])
            };
            let slope = (nudged(1e-2) - nudged(-1e-2)) / 2e-2;
            assert!((slope - f64::from(gradient)).abs() < 2e-3, "{k}: {slope} {gradient}");
        }
    }

    #[test]
    fn what_is_chosen_again_and_again_is_predicted() {
        let settings = LearnSettings::default();
        let (mut learner, mut own) = (BlendLearner::default(), UserOffset::default());
        let mut losses = Vec::new();
        for _ in 0..300 {
            let shared = learner.weights(&BlendWeights::start(&settings.blend).weights, None);
            let example = choice(&rows(), 5, [0.0; 2], &shared, &own);
            losses.push(example.losses[LOSSES - 1]);
            learner.learn(&example, 1.0, settings.blend_step);
            own.learn_choice::<FEATURES>(&example, 1.0);
        }
        assert!(losses[0] > 1.0 && losses[299] < 0.2, "{} {}", losses[0], losses[299]);
        assert_eq!(learner.examples, 300);
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
            learner.learn(&TrainingExample { gradient, ..TrainingExample::default() }, 1.0, 0.1);
        }
        assert_eq!(learner, BlendLearner::default());
    }
}
