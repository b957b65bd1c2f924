//! The labelled protocol on a log: the rows of a time unit are predicted and scored, then learned.
//!
//! Invariant: all rows of a time unit are predicted before any is learned. The log orders rows by content, so figures
//! do not depend on the order in files. Each predictor walks the log on its own. Figures count the judged rows of the
//! test; all rows are learned. A figure that is undefined for one kind of label is `None`.

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::log::Log;
use super::metrics::{Bin, middle_95, ratio};
use super::rankers::labels::Labeller;
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
use crate::engine::metrics::progressive::{Progress, roc_auc};

/// Predictions and labels of one predictor.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    scores: Vec<f32>,
    labels: Vec<bool>,
    users: Vec<u32>,
    times: Vec<Millis>,
    progress: Progress,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Figures of one predictor.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LabelFigures {
    /// Exact ROC AUC over all rows together; `null` where only one label occurs.
    pub auc_pooled: Option<f64>,
    /// Mean ROC AUC over the users with both labels; `null` without such a user.
    pub auc_mean: Option<f64>,
    /// 95 % bootstrap interval of `auc_mean` over users; `null` for fewer than two users with both labels.
    pub auc_mean_interval: Option<[f64; 2]>,
    /// Number of users with both labels.
    pub people: u64,
    /// Mean log loss in nats; `null` without a row.
    pub log_loss: Option<f64>,
    /// Expected calibration error, ten bins; `null` without a row.
    pub ece: Option<f64>,
    /// Reliability diagram, by tenths.
    pub bins: Vec<Bin>,
    /// ROC AUC in equal parts of the rows.
    pub over_time: Vec<Part>,
}

/// Figures of one part of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Part {
    /// First instant of the part, in milliseconds since 1970.
    pub from_ms: i64,
    /// Number of rows in the part.
    pub n: u64,
    /// ROC AUC over the part's rows; `null` where only one label occurs.
    pub auc: Option<f64>,
}

/// Number of parts of the figures over time.
const PARTS: usize = 20;

/// Number of rows that the figures count.
#[must_use]
pub fn targets(log: &Log, signals: &Signals, test_from: Millis) -> u64 {
    let counts = |row: &&super::log::LogRow| {
        row.is_judged && row.at >= test_from && row.signal(signals, !log.has_presence).is_some()
    };
    log.rows.iter().filter(counts).count() as u64
}

/// Replays the log for one predictor; `each` receives the number of rows done since its last call.
pub fn replay(
    log: &Log,
    signals: &Signals,
    test_from: Millis,
    labeller: &mut dyn Labeller,
    each: &dyn Fn(u64),
) -> Predictions {
    let started = Instant::now();
    let mut found = Predictions::default();
    let (mut walk, mut told) = (log.availability.walk(), 0);
    for range in log.steps() {
        let now = log.rows[range.start].at;
        labeller.begin(now, walk.move_to(now));
        for index in range.clone() {
            let row = &log.rows[index];
            let signal = row.signal(signals, !log.has_presence);
            if let Some(signal) = signal.filter(|_| row.is_judged && now >= test_from) {
                let score = labeller.predict(index);
                let score = if score.is_finite() { score } else { 0.0 };
                found.scores.push(score);
                found.labels.push(signal.positive);
                found.users.push(row.user);
                found.times.push(now);
                found.progress.record(score, signal.positive);
            }
        }
        for index in range.clone() {
            labeller.learn(index);
        }
        if range.end >= told + 1024 || range.end == log.rows.len() {
            each((range.end - told) as u64);
            told = range.end;
        }
    }
    found.seconds = started.elapsed().as_secs_f64();
    found
}

impl Predictions {
    /// Figures with `resamples` bootstrap draws of users.
    #[must_use]
    pub fn figures(&self, resamples: usize, seed: u64) -> LabelFigures {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        order.sort_by_key(|row| self.users[*row]);
        let of = |rows: &[usize]| {
            let scores: Vec<f32> = rows.iter().map(|row| self.scores[*row]).collect();
            let labels: Vec<bool> = rows.iter().map(|row| self.labels[*row]).collect();
            roc_auc(&scores, &labels)
        };
        let people: Vec<f64> = order.chunk_by(|a, b| self.users[*a] == self.users[*b]).filter_map(of).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| ratio(values.sum(), people.len() as f64);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn: Vec<f64> = Vec::new();
        // With a single user all resamples agree, which is no interval.
        if people.len() > 1 {
            let mut draw = || mean(&mut (0..people.len()).map(|_| people[random.random_range(0..people.len())]));
            drawn.extend((0..resamples).filter_map(|_| draw()));
        }
        let size = self.scores.len().div_ceil(PARTS).max(1);
        let parts = (0..self.scores.len()).step_by(size).map(|start| {
            let end = (start + size).min(self.scores.len());
            let auc = roc_auc(&self.scores[start..end], &self.labels[start..end]);
            Part { from_ms: self.times[start].0, n: (end - start) as u64, auc }
        });
        let bins = self.progress.bins().iter().map(|bin| Bin::new(bin.count, bin.positives, bin.probability_sum));
        LabelFigures {
            auc_pooled: roc_auc(&self.scores, &self.labels),
            auc_mean: mean(&mut people.iter().copied()),
            auc_mean_interval: middle_95(&mut drawn),
            people: people.len() as u64,
            log_loss: self.progress.log_loss(),
            ece: self.progress.ece(),
            bins: bins.collect(),
            over_time: parts.collect(),
        }
    }
}
