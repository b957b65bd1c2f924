//! Online linear classifiers of embeddings: the baselines beside the model on judged sentences.
//!
//! Invariant: predicting changes nothing, and the state depends only on the learned rows and their order. The classifiers
//! have no intercept: prequentially it follows the share of labels so far, which lowers the AUC of orders without
//! replacement.

use crate::engine::numeric::kernels::dot;

/// Names of the classifiers in the order of the report.
pub const NAMES: [&str; 3] = ["logistic_sgd", "centroid", "passive_aggressive"];

/// Step of the logistic regression. For vectors of length 1 each row moves its own log-odds by at most this much.
const LOGISTIC_STEP: f32 = 2.0;
/// Bound of a step of the passive-aggressive classifier (`C` of PA-I).
const AGGRESSIVENESS: f32 = 1.0;

/// A classifier that learns one row at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Classifier {
    /// Logistic regression by stochastic gradient descent with a constant step.
    Logistic(Vec<f32>),
    /// Cosine to the mean accepted minus the mean rejected embedding: sums and counts of rejected, then of accepted rows.
    Centroid([(Vec<f32>, u32); 2]),
    /// Hinge loss, changed by the least step that meets a margin of 1, at most `C`. Source: Crammer et al., *Online
    /// passive-aggressive algorithms*, JMLR 2006 (PA-I).
    PassiveAggressive(Vec<f32>),
}

impl Classifier {
    /// A classifier of [`NAMES`] that has learned nothing.
    #[must_use]
    pub fn make(name: &str, dim: usize) -> Option<Classifier> {
        let zero = || vec![0.0; dim];
        match name {
            "logistic_sgd" => Some(Classifier::Logistic(zero())),
            "centroid" => Some(Classifier::Centroid([(zero(), 0), (zero(), 0)])),
            "passive_aggressive" => Some(Classifier::PassiveAggressive(zero())),
            _ => None,
        }
    }

    /// The score of a row, larger for likelier accepted; 0 before the first row. For the logistic regression the log-odds.
    #[must_use]
    pub fn score(&self, x: &[f32]) -> f32 {
        match self {
            Classifier::Logistic(weights) | Classifier::PassiveAggressive(weights) => dot(weights, x),
            Classifier::Centroid([rejected, accepted]) => {
                let direction = difference_of_means(rejected, accepted);
                let norms = (dot(&direction, &direction) * dot(x, x)).sqrt();
                if norms > 0.0 { dot(&direction, x) / norms } else { 0.0 }
            }
        }
    }

    /// Learns the label of a row.
    pub fn learn(&mut self, x: &[f32], accepted: bool) {
        let sign = if accepted { 1.0 } else { -1.0 };
        let score = self.score(x);
        match self {
            Classifier::Logistic(weights) => {
                let wrong = 1.0 / (1.0 + (sign * score).exp());
                add(weights, sign * wrong * LOGISTIC_STEP, x);
            }
            Classifier::Centroid(sums) => {
                let (sum, count) = &mut sums[usize::from(accepted)];
                add(sum, 1.0, x);
                *count += 1;
            }
            Classifier::PassiveAggressive(weights) => {
                let (loss, square) = ((1.0 - sign * score).max(0.0), dot(x, x));
                if square > 0.0 {
                    add(weights, sign * (loss / square).min(AGGRESSIVENESS), x);
                }
            }
        }
    }

    /// True when [`Classifier::score`] is a log-odds, so that log loss and calibration are defined.
    #[must_use]
    pub fn has_odds(&self) -> bool {
        matches!(self, Classifier::Logistic(_))
    }
}

fn difference_of_means(rejected: &(Vec<f32>, u32), accepted: &(Vec<f32>, u32)) -> Vec<f32> {
    let mean = |(sum, count): &(Vec<f32>, u32), at: usize| sum[at] / (*count).max(1) as f32;
    (0..accepted.0.len()).map(|at| mean(accepted, at) - mean(rejected, at)).collect()
}

fn add(to: &mut [f32], factor: f32, x: &[f32]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
}

/// Rows minus their mean, each scaled to length 1; a row equal to the mean stays 0.
#[must_use]
pub fn centred<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone) -> Vec<Vec<f32>> {
    let count = rows.clone().count().max(1) as f64;
    let mut mean: Vec<f64> = Vec::new();
    for row in rows.clone() {
        mean.resize(row.len(), 0.0);
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / count);
    }
    let scale = |row: &[f32]| {
        let mut row: Vec<f32> = row.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean) as f32).collect();
        let norm = dot(&row, &row).sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|x| *x /= norm);
        }
        row
    };
    rows.map(scale).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_step_of_each_classifier_by_hand() {
        let x = [0.6, 0.8];
        for (name, accepted, score) in [
            // The gradient of one row at score 0 is 1/2, and the row has length 1.
            ("logistic_sgd", true, 1.0),
            ("logistic_sgd", false, -1.0),
            ("centroid", true, 1.0),
            ("centroid", false, -1.0),
            ("passive_aggressive", true, 1.0),
            ("passive_aggressive", false, -1.0),
        ] {
            let mut classifier = Classifier::make(name, 2).unwrap();
            assert_eq!(classifier.score(&x), 0.0, "{name} before the first row");
            classifier.learn(&x, accepted);
            assert!((classifier.score(&x) - score).abs() < 1e-6, "{name}: {}", classifier.score(&x));
        }
        assert_eq!(Classifier::make("oracle", 2), None);
    }

    #[test]
    fn a_passive_aggressive_classifier_leaves_a_met_margin_alone() {
        let mut classifier = Classifier::PassiveAggressive(vec![3.0, 0.0]);
        classifier.learn(&[1.0, 0.0], true);
        assert_eq!(classifier, Classifier::PassiveAggressive(vec![3.0, 0.0]));
        classifier.learn(&[1.0, 0.0], false);
        assert_eq!(classifier, Classifier::PassiveAggressive(vec![2.0, 0.0]), "the step is bounded by C");
    }

    proptest! {
        /// One pass over two distant classes separates them, and scores stay finite.
        #[test]
        fn one_pass_separates_distant_classes(rows in vec((any::<bool>(), vec(-0.1_f32..0.1, 3)), 8..60)) {
            prop_assume!(rows.iter().any(|row| row.0) && rows.iter().any(|row| !row.0));
            let rows: Vec<(bool, Vec<f32>)> = rows
                .into_iter()
                .map(|(accepted, mut x)| { x[0] += if accepted { 1.0 } else { -1.0 }; (accepted, x) })
                .collect();
            let xs = centred(rows.iter().map(|row| row.1.as_slice()));
            for name in NAMES {
                let mut classifier = Classifier::make(name, 3).unwrap();
                for ((accepted, _), x) in rows.iter().zip(&xs) {
                    prop_assert!(classifier.score(x).is_finite());
                    classifier.learn(x, *accepted);
                }
                if name != "centroid" { continue; }
                for ((accepted, _), x) in rows.iter().zip(&xs) {
                    // The rows nearest the mean may be on either side of it.
                    prop_assert!(x[0].abs() < 0.5 || (classifier.score(x) > 0.0) == *accepted, "{}", name);
                }
            }
        }
    }
}
