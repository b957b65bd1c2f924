//! Answers to questions about learned models.
//!
//! Invariant: plain values, without a lock and without a reference to a world.

use std::collections::BTreeMap;

use crate::domain::feeds::Contribution;
use crate::domain::ids::{Key, Seq, UserId};
use crate::engine::coordinator::GlobalScores;
use crate::engine::learners::person::online::{self, sigmoid};
use crate::engine::metrics::measured::PersonMetrics;
use crate::engine::metrics::progressive::RocPoint;
use crate::engine::user::Scores;
use crate::protocol::server::Decay;

/// The learned model of a person, in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonModel {
    /// Topic weights now; weights of 0 are left out.
    pub topics: BTreeMap<Key, f32>,
    /// Events that were learned so far.
    pub events: u64,
    /// Labelled events so far.
    pub labelled: u64,
    /// Progressive ROC AUC of the online model over the last 256 labelled events.
    pub auc: Option<f32>,
    /// Progressive ROC AUC of the score of the `topics` ranking, over the last 256 labelled events.
    pub auc_topics: Option<f32>,
    /// Progressive ROC AUC of the calibrated probability of a yes beside the `model` ranking, over the last 256
    /// labelled events.
    pub auc_model: Option<f32>,
    /// Mean log loss of the `model` ranking's calibrated probabilities over the events of `auc_model`.
    pub log_loss_model: Option<f32>,
    /// Positive labels among the last 256 labelled events.
    pub positives: u32,
    /// Negative labels among the last 256 labelled events.
    pub negatives: u32,
    /// The decay of topic weights.
    pub decay: Decay,
    /// The progressive mean log loss of the online model.
    pub log_loss: Option<f32>,
    /// Expected calibration error of the online model, ten bins.
    pub calibration_error: Option<f32>,
    /// The Euclidean norm of the online model's mean vector.
    pub weight_norm: f32,
    /// The mean standard deviation of the online model's weights, in units of the prior's (1 = nothing learned).
    pub uncertainty: f32,
    /// Detected drifts of the person's behaviour. Each one made the online model forget faster.
    pub drifts: u32,
    /// The norm of each expert's weights in the blend, the person's offset included; in the order of `Expert::ALL`.
    pub experts: Vec<Contribution>,
    /// The person's measurements.
    pub metrics: PersonMetrics,
    /// The people whom the person follows.
    pub follows: Vec<UserId>,
    /// The number of the person's last journal entry.
    pub seq: Seq,
}

/// Progressive ROC curves of the three scores, over the labelled events of their AUCs; empty without both labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RocCurves {
    /// Curve of the online model.
    pub online: Vec<RocPoint>,
    /// Curve of the score that the `topics` ranking orders by.
    pub topics: Vec<RocPoint>,
    /// Curve of the calibrated probability of a yes beside the `model` ranking.
    pub model: Vec<RocPoint>,
}

impl RocCurves {
    pub(crate) fn of(scores: &Scores) -> RocCurves {
        RocCurves { online: scores.online.roc(), topics: scores.topics.roc(), model: scores.model.roc() }
    }
}

/// A probability with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The probability of `accept`, in (0, 1).
    pub accepted: f32,
    /// The standard deviation of the log-odds.
    pub deviation: f32,
}

impl Prediction {
    pub(crate) fn of(judged: online::Prediction) -> Prediction {
        Prediction { accepted: sigmoid(f64::from(judged.log_odds)) as f32, deviation: judged.variance.sqrt() }
    }
}

/// Progressive figures over all people.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Labelled events so far.
    pub labelled: u64,
    /// ROC AUC pooled over all people, per score (`online`, `topics`, `model`).
    pub auc: Vec<(&'static str, Option<f64>)>,
    /// The mean log loss of the online model.
    pub log_loss: Option<f64>,
    /// The expected calibration error of the online model, ten bins.
    pub calibration_error: Option<f64>,
    /// Positive labels so far.
    pub positives: u64,
    /// Negative labels so far.
    pub negatives: u64,
    /// The ROC curves behind `auc`, up to binning.
    pub roc: RocCurves,
}

impl Score {
    pub(crate) fn of(GlobalScores { online, topics, model, progress }: &GlobalScores) -> Score {
        let (positives, negatives) = online.labels();
        Score {
            labelled: progress.count(),
            auc: vec![("online", online.auc()), ("topics", topics.auc()), ("model", model.auc())],
            log_loss: progress.log_loss(),
            calibration_error: progress.ece(),
            positives,
            negatives,
            roc: RocCurves { online: online.roc(), topics: topics.roc(), model: model.roc() },
        }
    }
}
