//! Fixed-share Hedge over the single experts, the blend, and the blend without the two-tower model: finds the best
//! predictor.
//!
//! Invariant: weights are positive and sum to 1. After `T` rounds, the mixture's cumulative log loss exceeds that of
//! the best single expert by at most `ln n + (T - 1) (-ln(1 - alpha))` nats, for any sequence of losses.
//! Source: Herbster & Warmuth, *Tracking the best expert*, Machine Learning 1998 (fixed share, log loss, eta = 1).

use serde::{Deserialize, Serialize};

use crate::domain::feeds::Expert;
use crate::engine::blend::weights::{LOSSES, Leader};

/// `alpha`: share of the weight that is redistributed in each round, so that the leader can change.
pub const SHARE: f64 = 1e-3;

/// Index of the blend without the two-tower model.
const WITHOUT_TOWER: usize = LOSSES - 2;

/// Initial weight of the blend, half of it without the two-tower model; the experts divide the rest.
const BLEND_START: f64 = 0.5;

/// Weight from which on a single expert replaces the blend.
const LEADS: f64 = 0.95;

/// Weight above which the blend is served again.
const RETURNS: f64 = 0.5;

/// Hedge weights and cumulative losses, in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hedge {
    /// By expert, then the blend without the two-tower model, then the blend.
    weights: Vec<f64>,
    /// Cumulative losses, in the order of the weights.
    losses: Vec<f64>,
    /// Cumulative loss of the mixture.
    mixture: f64,
    /// Cumulative loss of the served ranking: the blend, or the leader at that time.
    served: f64,
    rounds: u64,
    leader: Option<u8>,
}

impl Default for Hedge {
    fn default() -> Self {
        let mut weights = vec![(1.0 - BLEND_START) / WITHOUT_TOWER as f64; LOSSES];
        weights[WITHOUT_TOWER..].fill(BLEND_START / 2.0);
        Hedge { weights, losses: vec![0.0; LOSSES], mixture: 0.0, served: 0.0, rounds: 0, leader: None }
    }
}

impl Hedge {
    /// Learns one round: the losses of all predictors, in nats, and the example's weight. A skip counts less than a
    /// like, as in the training of the blend; otherwise the blend would be judged by examples that it hardly learns.
    pub fn learn(&mut self, losses: &[f32], weight: f32) {
        if losses.len() != LOSSES || !losses.iter().all(|loss| loss.is_finite()) {
            return;
        }
        let losses: [f32; LOSSES] = std::array::from_fn(|expert| losses[expert] * weight);
        let likelihoods = losses.iter().map(|loss| (-f64::from(*loss)).exp());
        let mut sum = 0.0;
        for (weight, likelihood) in self.weights.iter_mut().zip(likelihoods) {
            *weight *= likelihood;
            sum += *weight;
        }
        self.mixture -= sum.ln();
        let served = self.leader.map_or(LOSSES - 1, usize::from);
        self.served += f64::from(losses[served]);
        for (total, loss) in self.losses.iter_mut().zip(losses) {
            *total += f64::from(loss);
        }
        for weight in &mut self.weights {
            *weight = *weight / sum * (1.0 - SHARE) + SHARE / LOSSES as f64;
        }
        self.rounds += 1;
        let best = (0..WITHOUT_TOWER).max_by(|a, b| self.weights[*a].total_cmp(&self.weights[*b]));
        let (without_tower, blend) = (self.weights[WITHOUT_TOWER], self.weights[LOSSES - 1]);
        match best {
            Some(best) if self.weights[best] > LEADS => self.leader = u8::try_from(best).ok(),
            // The blend in one of its forms. Without a model both losses are equal, and the full blend comes first.
            _ if without_tower + blend > RETURNS => {
                if without_tower > LEADS * (without_tower + blend) {
                    self.leader = Some(WITHOUT_TOWER as u8);
                } else if without_tower <= blend || self.leader != Some(WITHOUT_TOWER as u8) {
                    self.leader = None;
                }
            }
            _ => {}
        }
    }

    /// The predictor to serve; `None` serves the blend.
    #[must_use]
    pub fn leader(&self) -> Option<Leader> {
        self.leader.and_then(|index| Leader::at(usize::from(index)))
    }

    /// Figures to publish.
    #[must_use]
    pub fn figures(&self) -> HedgeFigures {
        let best = (0..WITHOUT_TOWER).min_by(|a, b| self.losses[*a].total_cmp(&self.losses[*b])).unwrap_or(0);
        HedgeFigures {
            rounds: self.rounds,
            experts: Expert::ALL.into_iter().zip(self.losses.iter().copied()).collect(),
            without_tower: self.losses[WITHOUT_TOWER],
            blend: self.losses[LOSSES - 1],
            mixture: self.mixture,
            served: self.served,
            best: Expert::ALL[best],
            regret: self.served - self.losses[best],
            leader: self.leader(),
        }
    }
}

/// Cumulative losses in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgeFigures {
    /// Number of rounds so far.
    pub rounds: u64,
    /// Loss of each expert alone.
    pub experts: Vec<(Expert, f64)>,
    /// Loss of the blend without the two-tower model.
    pub without_tower: f64,
    /// Loss of the blend.
    pub blend: f64,
    /// Loss of the Hedge mixture.
    pub mixture: f64,
    /// Loss of the served ranking.
    pub served: f64,
    /// The best single expert in hindsight.
    pub best: Expert,
    /// Loss of the served ranking minus that of the best single expert; below 0, the blend gains.
    pub regret: f64,
    /// The predictor that is served now; `None` stands for the blend.
    pub leader: Option<Leader>,
}

/// Upper bound, in nats, of the mixture's excess over the best single expert after this many rounds.
#[must_use]
pub fn bound(rounds: u64) -> f64 {
    let start = (1.0 - BLEND_START) / WITHOUT_TOWER as f64;
    -start.ln() - (rounds.saturating_sub(1)) as f64 * (1.0 - SHARE).ln()
}

/// Additional loss of a change of the leader, in nats: the old one is served until the new one has [`LEADS`] of the
/// weight.
#[must_use]
pub fn hesitation() -> f64 {
    (LEADS / (1.0 - LEADS)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The regret bound holds for any losses.
        #[test]
        fn the_mixture_is_never_worse_than_the_bound(rounds in proptest::collection::vec(proptest::collection::vec(0.0_f32..10.0, LOSSES), 1..400)) {
            let mut hedge = Hedge::default();
            for losses in &rounds {
                hedge.learn(losses, 1.0);
                let figures = hedge.figures();
                let best = figures.experts.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
                prop_assert!(figures.mixture <= best + bound(figures.rounds) + 1e-6);
                prop_assert!((hedge.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }

    /// A two-tower model that raises the loss is switched off until it lowers it again; without a model there is no
    /// leader.
    #[test]
    fn a_model_that_costs_is_not_listened_to_until_it_gains() {
        let mut hedge = Hedge::default();
        for (rounds, without_tower, blend, leader) in [
            (300, 1.0, 1.0, None),
            (50, 1.0, 1.5, Some(Leader::WithoutTower)),
            (300, 1.0, 1.0, Some(Leader::WithoutTower)),
            (50, 1.0, 0.5, None),
            (300, 1.0, 1.0, None),
        ] {
            for _ in 0..rounds {
                let mut losses = [2.0_f32; LOSSES];
                (losses[WITHOUT_TOWER], losses[LOSSES - 1]) = (without_tower, blend);
                hedge.learn(&losses, 1.0);
            }
            assert_eq!(hedge.leader(), leader, "{without_tower} {blend}");
        }
    }

    #[test]
    fn a_losing_blend_is_not_served_until_it_wins_again() {
        let mut hedge = Hedge::default();
        let mut losses = vec![2.0_f32; LOSSES];
        losses[4] = 1.0;
        for _ in 0..50 {
            hedge.learn(&losses, 1.0);
        }
        assert_eq!(hedge.leader(), Some(Leader::Expert(Expert::Popularity)));
        losses[LOSSES - 1] = 0.5;
        for _ in 0..50 {
            hedge.learn(&losses, 1.0);
        }
        assert_eq!(hedge.leader(), None);
        assert!(hedge.figures().regret < 0.0);
    }
}
