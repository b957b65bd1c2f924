//! The report of a replay: its JSON form, and the table in plain text.
//!
//! Invariant: everything but `seconds` and `throughput` is a function of files, settings and seed, for any number of
//! threads. Maps are sorted by name. An undefined figure is `-` in the table and `null` in JSON, never 0.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::likes::{self, Likes};
use super::log::{Log, LogRow};
use super::metrics::{PromisesReport, Splits, ratio, shown, shown_interval};
use super::prequential::{Reward, StepSums};
use super::test_then_learn::LabelFigures;
use crate::domain::time::{HOUR_MS, Millis};
use crate::engine::blend::hedge::{self, HedgeFigures};

/// The report of one replay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Format of the log.
    pub format: String,
    /// Name of the evaluation protocol.
    pub protocol: String,
    /// Seed of the replay.
    pub seed: u64,
    /// Number of replayed rows; summed over all orders where there are several.
    pub events: u64,
    /// Number of rows that the figures score.
    pub test_events: u64,
    /// Wall time of replaying in seconds, without reading.
    pub seconds: f64,
    /// Statistics of the log; absent for judged sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogReport>,
    /// Figures by ranker.
    pub rankers: BTreeMap<String, RankerReport>,
    /// Figures of predicted labels of judged sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labelled: Option<Labelled>,
    /// Figures by predictor of labels, the model among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labellers: BTreeMap<String, LabelFigures>,
    /// Figures of predicted and ranked likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<Likes>,
    /// The leak of a protocol that looks ahead, and the figures without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<Leak>,
    /// Regret over time against the best single baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regret: Option<Regret>,
    /// Losses of each expert alone, and of the served mixture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<HedgeReport>,
    /// Rows per second of wall time; absent where nothing was timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
}

/// Statistics of a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LogReport {
    /// Number of users with a row.
    pub people: u64,
    /// Number of items.
    pub items: u64,
    /// Time unit in milliseconds.
    pub unit_ms: i64,
    /// Number of time units from the first row to the last.
    pub units: i64,
    /// Origin of the availability windows.
    pub windows: String,
    /// First instant of the test, in milliseconds since 1970.
    pub test_from_ms: i64,
    /// Number of time units in the test.
    pub test_units: i64,
    /// Mean number of available items over the time units of the test; `null` for an empty test.
    pub available_mean: Option<f64>,
    /// Mean number of available items over the ranked rows of the test, which weights busy times; `null` without a
    /// ranked row.
    pub available_per_row_mean: Option<f64>,
    /// Number of test rows whose item was unavailable, and which were not ranked.
    pub unavailable_events: u64,
    /// The table of the data; absent for logs without presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewing: Option<ViewingReport>,
}

/// The table of a log of live viewing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ViewingReport {
    /// Number of rows.
    pub rows: u64,
    /// Number of users with a row.
    pub users: u64,
    /// Number of channels with a row.
    pub channels: u64,
    /// Number of distinct broadcasts.
    pub streams: u64,
    /// The largest start or stop, counted in time units from step 0.
    pub steps: i64,
    /// Hours of presence, summed over rows.
    pub watch_hours: f64,
}

impl ViewingReport {
    /// Counts a log; `None` for a log without presence.
    #[must_use]
    pub fn of(log: &Log) -> Option<ViewingReport> {
        let stop = |row: &LogRow| row.at.plus(i64::from(row.stay_ms));
        let last = log.rows.iter().map(stop).max().filter(|_| log.has_presence)?;
        let watched_ms: u64 = log.rows.iter().map(|row| u64::from(row.stay_ms)).sum();
        Some(ViewingReport {
            rows: log.rows.len() as u64,
            users: log.users.len() as u64,
            channels: log.items.len() as u64,
            streams: log.streams,
            steps: last.0.div_euclid(log.unit_ms),
            watch_hours: watched_ms as f64 / HOUR_MS as f64,
        })
    }
}

/// Figures of one ranker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RankerReport {
    /// Figures of all, new and repeated targets.
    #[serde(flatten)]
    pub splits: Splits,
    /// Calibration of the softmax probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softmax: Option<PromisesReport>,
    /// Figures in equal parts of the log, from its first row to its last.
    pub over_time: Vec<Moment>,
    /// Reward for logs of presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<RewardReport>,
    /// Reward and loss per time unit of the test, for logs of presence. Longer tests have [`STEPS_MAX`] equal parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
}

/// Points of [`RankerReport::steps`], at most.
pub const STEPS_MAX: usize = 1_000;

/// Reward and loss of one time unit, or of a few successive ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepReport {
    /// First instant of the time unit, in milliseconds since 1970.
    pub from_ms: i64,
    /// Reward: mean over all users.
    pub reward: Option<f64>,
    /// Reward: mean over the users present in the next time unit.
    pub reward_of_present: Option<f64>,
    /// Mean log loss in nats of the visits that begin in the time unit; `null` for rankers without probabilities.
    pub log_loss: Option<f64>,
}

impl StepReport {
    /// The points of successive time units of a log with `people` users.
    #[must_use]
    pub fn series(steps: &[StepSums], people: u64) -> Vec<StepReport> {
        let part = steps.len().div_ceil(STEPS_MAX).max(1);
        let of_part = |part: &[StepSums]| {
            let mut sums = part.first().copied().unwrap_or_default();
            part.iter().skip(1).for_each(|step| sums.add(step));
            let reward = RewardReport::new(&sums.reward, people);
            StepReport {
                from_ms: sums.at.0,
                reward: reward.mean,
                reward_of_present: reward.mean_of_present,
                log_loss: ratio(sums.log_loss, sums.losses as f64),
            }
        };
        steps.chunks(part).map(of_part).collect()
    }
}

/// Figures of one part of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Moment {
    /// First instant of the part, in milliseconds since 1970.
    pub from_ms: i64,
    /// Number of ranked rows in the part.
    pub n: u64,
    /// Share of targets at rank 1.
    #[serde(rename = "hr@1")]
    pub hr_1: Option<f64>,
    /// Share of targets among the first ten.
    #[serde(rename = "hr@10")]
    pub hr_10: Option<f64>,
    /// Mean NDCG@10 over the targets.
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: Option<f64>,
    /// Mean share of the other available items below the target.
    pub auc: Option<f64>,
}

/// Reward of the original formulation; a mean over no case is `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RewardReport {
    /// Mean over all users and all time units of the test.
    pub mean: Option<f64>,
    /// Upper bound of `mean` over all rankers.
    pub best_possible: Option<f64>,
    /// Mean over the users present in the next time unit.
    pub mean_of_present: Option<f64>,
    /// Upper bound of `mean_of_present` over all rankers.
    pub best_possible_of_present: Option<f64>,
}

impl RewardReport {
    /// The means of a reward over `people` users.
    #[must_use]
    pub fn new(reward: &Reward, people: u64) -> RewardReport {
        let (all, present) = ((reward.units * people) as f64, reward.present as f64);
        let (right, possible) = (reward.right as f64, reward.possible as f64);
        RewardReport {
            mean: ratio(right, all),
            best_possible: ratio(possible, all),
            mean_of_present: ratio(right, present),
            best_possible_of_present: ratio(possible, present),
        }
    }
}

/// Progressive quality of predicted labels; a figure is `null` where it is undefined.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Labelled {
    /// Exact ROC AUC by file or user; mean over orders, then over the files or users with both labels.
    pub auc_mean: Option<f64>,
    /// ROC AUC over all scores together; mean over orders.
    pub auc_pooled: Option<f64>,
    /// Mean log loss in nats.
    pub log_loss: Option<f64>,
    /// Expected calibration error, ten bins.
    pub ece: Option<f64>,
    /// ROC AUC by file; mean over orders.
    pub per_file: BTreeMap<String, Option<f64>>,
    /// Figures of online classifiers on the rows and orders of the model, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub baselines: BTreeMap<String, LabelledBaseline>,
}

/// Progressive quality of an online classifier; a figure is `null` where it is undefined.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LabelledBaseline {
    /// Exact ROC AUC by file; mean over orders, then over the files with both labels.
    pub auc_mean: Option<f64>,
    /// ROC AUC over all scores together; mean over orders.
    pub auc_pooled: Option<f64>,
    /// Mean log loss in nats; `null` for scores that are no log-odds.
    pub log_loss: Option<f64>,
    /// Expected calibration error, ten bins; `null` for scores that are no log-odds.
    pub ece: Option<f64>,
    /// ROC AUC by file; mean over orders.
    pub per_file: BTreeMap<String, Option<f64>>,
}

/// Information from the future that a protocol uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Leak {
    /// Description in one sentence.
    pub what: String,
    /// Mean share of the learned rows that are later than the target; `null` where nothing else was learned.
    pub later_rows_share: Option<f64>,
    /// Figures of equal targets, ranked before any later row was learned.
    pub without: BTreeMap<String, RankerReport>,
}

/// Regret over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Regret {
    /// Description: the opponent and the loss.
    pub what: String,
    /// Points in order of time.
    pub points: Vec<RegretPoint>,
}

/// Regret up to one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RegretPoint {
    /// End of the span, exclusive, in milliseconds since 1970.
    pub from_ms: i64,
    /// Cumulative regret; negative for a gain.
    pub value: f64,
}

/// Cumulative log loss in nats over all training examples of the log, each predicted before it was learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HedgeReport {
    /// Number of training examples.
    pub rounds: u64,
    /// Loss of each expert alone.
    pub experts: BTreeMap<String, f64>,
    /// Loss of the blend.
    pub blend: f64,
    /// Loss of the fixed-share Hedge over experts and blend.
    pub mixture: f64,
    /// Loss of the served prediction: the blend, or an expert while it led.
    pub served: f64,
    /// Name of the best single expert in hindsight; `null` before the first training example.
    pub best: Option<String>,
    /// Loss of the served prediction minus that of the best single expert; negative where the blend gained.
    pub regret: f64,
    /// Upper bound on the excess of the mixture over the best single expert.
    pub bound: f64,
}

impl HedgeReport {
    /// The report of the engine's figures.
    #[must_use]
    pub fn new(figures: &HedgeFigures) -> HedgeReport {
        HedgeReport {
            rounds: figures.rounds,
            experts: figures.experts.iter().map(|(expert, loss)| (expert.name().to_owned(), *loss)).collect(),
            blend: figures.blend,
            mixture: figures.mixture,
            served: figures.served,
            best: (figures.rounds > 0).then(|| figures.best.name().to_owned()),
            regret: figures.regret,
            bound: hedge::bound(figures.rounds),
        }
    }
}

impl Regret {
    /// Regret in log loss against the best single expert in hindsight; `None` without figures.
    #[must_use]
    pub fn of_hedge(series: &[(Millis, HedgeFigures)]) -> Option<Regret> {
        let best = series.last()?.1.best;
        let loss_of_best = |figures: &HedgeFigures| {
            figures.experts.iter().find(|(expert, _)| *expert == best).map_or(0.0, |(_, loss)| *loss)
        };
        let point = |(at, figures): &(Millis, HedgeFigures)| RegretPoint {
            from_ms: at.0,
            value: figures.served - loss_of_best(figures),
        };
        Some(Regret {
            what: format!("log loss in nats of what was served, less that of {}, the best single expert", best.name()),
            points: series.iter().map(point).collect(),
        })
    }

    /// Regret in NDCG@10, summed over rows, against the best baseline over all rows; `None` without both.
    #[must_use]
    pub fn of_rankers(rankers: &BTreeMap<String, RankerReport>) -> Option<Regret> {
        let sum = |moment: &Moment| moment.ndcg_10.map_or(0.0, |mean| moment.n as f64 * mean);
        let total = |ranker: &RankerReport| ranker.over_time.iter().map(sum).sum::<f64>();
        let model = rankers.get("model")?;
        let baselines = rankers.iter().filter(|(name, _)| *name != "model");
        let (name, best) = baselines.max_by(|a, b| total(a.1).total_cmp(&total(b.1)))?;
        let mut value = 0.0;
        let points = model.over_time.iter().zip(&best.over_time).map(|(model, best)| {
            let point = RegretPoint { from_ms: model.from_ms, value };
            value += sum(best) - sum(model);
            point
        });
        let points = points.collect();
        Some(Regret {
            what: format!("NDCG@10 lost against {name}, the best single baseline, summed over rows"),
            points,
        })
    }
}

/// Rows per second of wall time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Throughput {
    /// All rankers together, on all threads.
    pub overall_per_second: f64,
    /// The model alone, on one thread; `null` where it was not replayed.
    pub model_per_second: Option<f64>,
    /// Seconds by ranker, each on one thread.
    pub ranker_seconds: BTreeMap<String, f64>,
}

/// The table in plain text; `order` gives the order of rankers.
#[must_use]
pub fn table(report: &Report, order: &[&str]) -> String {
    let mut out = String::new();
    if let Some(log) = &report.log {
        let _ = writeln!(
            out,
            "{} rows of {} people and {} items in {} time units; windows: {}",
            report.events, log.people, log.items, log.units, log.windows
        );
        if let Some(viewing) = &log.viewing {
            let _ = writeln!(
                out,
                "{:>12}{:>12}{:>12}{:>12}{:>12}{:>14}",
                "rows", "users", "channels", "streams", "steps", "watch hours"
            );
            let _ = writeln!(
                out,
                "{:>12}{:>12}{:>12}{:>12}{:>12}{:>14.1}",
                viewing.rows, viewing.users, viewing.channels, viewing.streams, viewing.steps, viewing.watch_hours
            );
        }
        let _ = match report.protocol.as_str() {
            "likes" | "likes-last" => Ok(()),
            "labelled" => writeln!(out, "test: {} rows, each predicted before it was learned", report.test_events),
            _ => writeln!(
                out,
                "test: {} time units with {} available on average; {} rows, ranked among {} on average",
                log.test_units,
                shown(log.available_mean, 1),
                report.test_events,
                shown(log.available_per_row_mean, 1)
            ),
        };
        if log.unavailable_events > 0 {
            let _ = writeln!(out, "not ranked: {} rows whose item was not available", log.unavailable_events);
        }
    }
    ranked(&mut out, &report.rankers, order);
    if let Some(leak) = &report.leak {
        let share = shown(leak.later_rows_share.map(|share| 100.0 * share), 1);
        let _ = writeln!(out, "leak: {} ({share} % of what was learned)", leak.what);
        let _ = writeln!(out, "the same targets without the leak:");
        ranked(&mut out, &leak.without, order);
    }
    if let Some(labelled) = report.labelled.as_ref().filter(|_| report.labellers.is_empty()) {
        for (file, auc) in &labelled.per_file {
            let _ = writeln!(out, "{file:<32} ROC AUC {}", shown(*auc, 4));
        }
        for (name, auc) in [("mean", labelled.auc_mean), ("pooled", labelled.auc_pooled)] {
            let _ = writeln!(out, "{name:<32} ROC AUC {}", shown(auc, 4));
        }
        let (loss, error) = (shown(labelled.log_loss, 4), shown(labelled.ece, 4));
        let _ = writeln!(out, "log loss {loss}, calibration error {error}");
        for (name, baseline) in &labelled.baselines {
            let (mean, pooled) = (shown(baseline.auc_mean, 4), shown(baseline.auc_pooled, 4));
            let name = format!("baseline {name}");
            let _ = writeln!(out, "{name:<32} ROC AUC {mean} mean, {pooled} pooled");
        }
    }
    labels(&mut out, &report.labellers, order);
    if let Some(likes) = &report.likes {
        likes::table(&mut out, likes);
    }
    match &report.throughput {
        Some(throughput) => {
            let _ = writeln!(
                out,
                "{:.1} s; {:.0} rows a second in all, {} by the model alone on one thread",
                report.seconds,
                throughput.overall_per_second,
                shown(throughput.model_per_second, 0)
            );
        }
        None => {
            let per_event = report.seconds / report.events.max(1) as f64 * 1e6;
            let _ = writeln!(out, "{} events, {per_event:.2} us each (predict, score, learn)", report.events);
        }
    }
    out
}

fn labels(out: &mut String, labellers: &BTreeMap<String, LabelFigures>, order: &[&str]) {
    if labellers.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "{:<20}{:>11}{:>16}{:>18}{:>10}{:>13}",
        "", "ROC AUC", "mean per person", "95 %", "log loss", "calibration"
    );
    for (name, found) in order.iter().filter_map(|name| labellers.get_key_value(*name)) {
        let _ = writeln!(
            out,
            "{name:<20}{:>11}{:>16}{:>18}{:>10}{:>13}",
            shown(found.auc_pooled, 4),
            shown(found.auc_mean, 4),
            shown_interval(found.auc_mean_interval, 3, " - "),
            shown(found.log_loss, 4),
            shown(found.ece, 4)
        );
    }
}

fn ranked(out: &mut String, rankers: &BTreeMap<String, RankerReport>, order: &[&str]) {
    if rankers.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "{:<20}{:>8}{:>8}{:>8}{:>9}{:>8}{:>8}{:>9}{:>9}{:>16}",
        "", "HR@1", "HR@5", "HR@10", "NDCG@10", "MRR", "AUC", "new", "repeat", "NDCG@10 95 %"
    );
    for (name, ranker) in order.iter().filter_map(|name| rankers.get_key_value(*name)) {
        let all = &ranker.splits.all;
        let _ = writeln!(
            out,
            "{name:<20}{:>8}{:>8}{:>8}{:>9}{:>8}{:>8}{:>9}{:>9}{:>16}",
            shown(all.hr_1, 3),
            shown(all.hr_5, 3),
            shown(all.hr_10, 3),
            shown(all.ndcg_10, 3),
            shown(all.mrr, 3),
            shown(all.auc, 3),
            shown(ranker.splits.new.ndcg_10, 3),
            shown(ranker.splits.repeat.ndcg_10, 3),
            shown_interval(all.intervals.and_then(|intervals| intervals.ndcg_10), 3, " - ")
        );
    }
    for (name, ranker) in order.iter().filter_map(|name| rankers.get_key_value(*name)) {
        if let Some(promises) = &ranker.softmax {
            let _ = writeln!(
                out,
                "{name}: log loss {:.3} (chance {:.3}), calibration error of the first {:.3}",
                promises.log_loss, promises.log_loss_chance, promises.ece
            );
        }
    }
    if rankers.values().any(|ranker| ranker.reward.is_some()) {
        let _ = writeln!(out, "reward per person and time unit (of those who are somewhere next):");
        for (name, ranker) in order.iter().filter_map(|name| rankers.get_key_value(*name)) {
            if let Some(reward) = &ranker.reward {
                let _ = writeln!(
                    out,
                    "{name:<20}{:>10} of {} possible {:>10} of {}",
                    shown(reward.mean, 5),
                    shown(reward.best_possible, 5),
                    shown(reward.mean_of_present, 3),
                    shown(reward.best_possible_of_present, 3)
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::feeds::Expert;
    use crate::engine::blend::hedge::Hedge;

    #[test]
    fn the_report_has_a_line_for_every_expert_of_the_list() {
        let report = HedgeReport::new(&Hedge::default().figures());
        let names: Vec<&str> = report.experts.keys().map(String::as_str).collect();
        let mut all = Expert::ALL.map(Expert::name);
        all.sort_unstable();
        assert_eq!(names, all);
    }
}
