//! Upper bounds on predicting the likes of the last fifth: ROC AUC of oracles that know the law and parts of the data.
//!
//! Each view of the last fifth is scored before it is learned, as a model would do it. A user's taste has a normal
//! posterior given the likes so far. One Laplace step per view updates it along `taste . theme`, exact in the observed
//! direction. A post's effect that only other users' likes reveal has such a posterior, too.
//!
//! Invariant: a score depends on earlier rows alone. Absent on purpose: learning the law, which every oracle knows.
//!
//! Source: Opper, *A Bayesian approach to on-line learning*, in *On-line Learning in Neural Networks*, 1998 (assumed
//! density). MacKay, *The evidence framework applied to classification networks*, Neural Computation 1992, for the
//! mean of a sigmoid under a normal distribution.

use std::collections::VecDeque;
use std::f64::consts::PI;

use serde::Serialize;

use super::generate::{Act, SimulatedRow, Tables};
use super::likes::{CHANCE_SPREAD, TASTES, product};

use crate::domain::time::Millis;
use crate::engine::metrics::progressive::roc_auc;
use crate::simulate::chance::sigmoid;

/// Number of views in the history of the oracle with a short memory.
pub const RECENT: usize = 32;

/// Posterior mean and covariance of a taste, `(TASTES,)` and `(TASTES, TASTES)`.
#[derive(Clone, Debug)]
struct Belief {
    mean: [f64; TASTES],
    covariance: [[f64; TASTES]; TASTES],
}

/// Mean and variance of a scalar.
#[derive(Clone, Copy, Debug)]
struct Guess {
    mean: f64,
    variance: f64,
}

const CHANCE: Guess = Guess { mean: 0.0, variance: CHANCE_SPREAD * CHANCE_SPREAD };

impl Belief {
    /// Prior of a taste.
    fn stranger() -> Belief {
        let covariance = std::array::from_fn(|row| std::array::from_fn(|column| f64::from(u8::from(row == column))));
        Belief { mean: [0.0; TASTES], covariance }
    }

    /// Distribution of `taste . direction`.
    fn guess(&self, direction: &[f64; TASTES]) -> Guess {
        Guess { mean: product(&self.mean, direction), variance: product(&self.spread(direction), direction).max(0.0) }
    }

    /// Product of the covariance and a direction.
    fn spread(&self, direction: &[f64; TASTES]) -> [f64; TASTES] {
        std::array::from_fn(|row| product(&self.covariance[row], direction))
    }

    /// Updates the posterior by an observation along a direction.
    fn learn(&mut self, direction: &[f64; TASTES], shift: Shift) {
        let spread = self.spread(direction);
        for (row, along) in spread.iter().enumerate() {
            self.mean[row] += along * shift.mean;
            for (column, across) in spread.iter().enumerate() {
                self.covariance[row][column] -= along * across * shift.variance;
            }
        }
    }
}

impl Guess {
    fn learn(&mut self, shift: Shift) {
        self.mean += self.variance * shift.mean;
        self.variance -= self.variance * self.variance * shift.variance;
    }
}

/// Effect of one observation on a component of the observed sum: `mean` per unit of covariance, `variance` per its
/// square.
#[derive(Clone, Copy, Debug)]
struct Shift {
    mean: f64,
    variance: f64,
}

impl Shift {
    /// Laplace step for one label, where the log-odds are `offset` plus a normal variable `sum`.
    fn observed(offset: f64, sum: Guess, liked: bool) -> Shift {
        let label = f64::from(u8::from(liked));
        // The mode of sigmoid(+-(offset + a)) N(a; mean, variance). The logarithm is concave, so damped Newton steps
        // find it.
        let mut found = sum.mean;
        for _ in 0..12 {
            let p = sigmoid(offset + found);
            let step = ((label - p) - (found - sum.mean) / sum.variance) / (p * (1.0 - p) + 1.0 / sum.variance);
            found += step.clamp(-2.0, 2.0);
            if step.abs() < 1e-9 {
                break;
            }
        }
        let p = sigmoid(offset + found);
        let curvature = p * (1.0 - p);
        Shift { mean: (found - sum.mean) / sum.variance, variance: curvature / (1.0 + curvature * sum.variance) }
    }
}

/// Log-odds of the mean of `sigmoid(offset + a)` over a normal `a`, approximately.
fn expected(offset: f64, sum: Guess) -> f32 {
    ((offset + sum.mean) / (1.0 + PI * sum.variance / 8.0).sqrt()) as f32
}

fn plus(a: Guess, b: Guess) -> Guess {
    Guess { mean: a.mean + b.mean, variance: a.variance + b.variance }
}

/// ROC AUC over the views of the last fifth, by the data that each oracle knows beside the law. `null` where all views
/// have one label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Optimum {
    /// Oracle that knows the true probabilities, hidden tastes included.
    pub latent: Option<f64>,
    /// Oracle that knows all earlier rows of all users.
    pub history_and_others: Option<f64>,
    /// Oracle that knows the user's earlier rows and the features of posts: the bound of a content model.
    pub history: Option<f64>,
    /// Oracle that knows the user's last [`RECENT`] views and the features of posts.
    pub history_recent: Option<f64>,
    /// Oracle that knows features of posts and users and the hour, without history.
    pub features: Option<f64>,
}

/// Ground truth about the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Truth {
    /// ROC AUC that a model can reach.
    pub auc: Optimum,
    /// First instant of the last fifth, in milliseconds since 1970.
    pub test_from_ms: i64,
    /// Number of views in the last fifth.
    pub test_views: u64,
    /// Number of views in all.
    pub views: u64,
    /// Number of likes in all.
    pub likes: u64,
    /// Mean negative log-likelihood of the true probabilities over all views, in nats; `null` without a view.
    pub log_loss: Option<f64>,
}

const SCORES: usize = 5;

/// Accumulates the figures of [`Truth`] row by row.
pub struct Bounds {
    test_from: Millis,
    /// By user: posteriors with and without the other users' likes.
    beliefs: Vec<[Belief; 2]>,
    recent: Vec<VecDeque<(u32, bool, f32)>>,
    /// By post: posterior of its hidden effect.
    chances: Vec<Guess>,
    scores: [Vec<f32>; SCORES],
    labels: Vec<bool>,
    views: u64,
    likes: u64,
    log_loss: f64,
}

impl Bounds {
    /// Starts with the law of these tables and none of their rows.
    #[must_use]
    pub fn new(tables: &Tables) -> Bounds {
        let people = tables.people().len();
        Bounds {
            test_from: tables.last_fifth(),
            beliefs: vec![[Belief::stranger(), Belief::stranger()]; people],
            recent: vec![VecDeque::new(); people],
            chances: vec![CHANCE; tables.posts().len()],
            scores: Default::default(),
            labels: Vec::new(),
            views: 0,
            likes: 0,
            log_loss: 0.0,
        }
    }

    /// Scores and learns the next row of these tables.
    pub fn note(&mut self, tables: &Tables, row: &SimulatedRow) {
        let Act::View { liked, probability } = row.act else { return };
        let (person, post) = (row.person as usize, row.post as usize);
        let facts = &tables.posts[post].facts;
        let direction = tables.law.direction(facts);
        let visible = tables.law.visible(&tables.people[person], facts, row.at);
        let [known, alone] = &mut self.beliefs[person];
        let sums = [plus(known.guess(direction), self.chances[post]), plus(alone.guess(direction), CHANCE)];
        if row.at >= self.test_from {
            let mut short = Belief::stranger();
            for (post, liked, visible) in &self.recent[person] {
                let direction = tables.law.direction(&tables.posts[*post as usize].facts);
                let sum = plus(short.guess(direction), CHANCE);
                short.learn(direction, Shift::observed(f64::from(*visible), sum, *liked));
            }
            let scores = [
                (probability / (1.0 - probability)).ln() as f32,
                expected(visible, sums[0]),
                expected(visible, sums[1]),
                expected(visible, plus(short.guess(direction), CHANCE)),
                expected(visible, plus(Belief::stranger().guess(direction), CHANCE)),
            ];
            for (list, score) in self.scores.iter_mut().zip(scores) {
                list.push(score);
            }
            self.labels.push(liked);
        }
        let shift = Shift::observed(visible, sums[0], liked);
        known.learn(direction, shift);
        self.chances[post].learn(shift);
        alone.learn(direction, Shift::observed(visible, sums[1], liked));
        let recent = &mut self.recent[person];
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((row.post, liked, visible as f32));
        self.views += 1;
        self.likes += u64::from(liked);
        self.log_loss -= if liked { probability } else { 1.0 - probability }.ln();
    }

    /// The figures of all rows so far.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let [latent, history_and_others, history, history_recent, features] =
            std::array::from_fn(|score| roc_auc(&self.scores[score], &self.labels));
        Truth {
            auc: Optimum { latent, history_and_others, history, history_recent, features },
            test_from_ms: self.test_from.0,
            test_views: self.labels.len() as u64,
            views: self.views,
            likes: self.likes,
            log_loss: (self.views > 0).then(|| self.log_loss / self.views as f64),
        }
    }

    #[cfg(test)]
    pub(super) fn scores_of_history(&self) -> &[f32] {
        &self.scores[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a scalar the steps come close to the exact posterior, computed on a grid.
    #[test]
    fn beliefs_come_close_to_the_exact_posterior() {
        let direction = [1.2, 0.0, 0.0, 0.0];
        let seen = [(-1.5, true), (-1.0, false), (-0.5, true), (-2.0, false), (-1.0, true), (-1.5, false), (0.0, true)];
        let mut belief = Belief::stranger();
        for (offset, liked) in seen {
            belief.learn(&direction, Shift::observed(offset, belief.guess(&direction), liked));
        }
        let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
        for step in -4_000..=4_000 {
            let taste = f64::from(step) / 500.0;
            let density = seen.iter().fold((-taste * taste / 2.0).exp(), |density, (offset, liked)| {
                let p = sigmoid(offset + 1.2 * taste);
                density * if *liked { p } else { 1.0 - p }
            });
            mass += density;
            first += density * taste;
            second += density * taste * taste;
        }
        let mean = first / mass;
        let variance = second / mass - mean * mean;
        assert!((belief.mean[0] - mean).abs() < 0.1, "{} is not {mean}", belief.mean[0]);
        assert!((belief.covariance[0][0] - variance).abs() < 0.08, "{} is not {variance}", belief.covariance[0][0]);
        assert_eq!(belief.covariance[1][1], 1.0, "nothing was seen of the others");
    }
}
