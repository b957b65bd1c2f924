//! A log through a protocol, for all rankers: from rows to a report.
//!
//! Invariant: each ranker's pass is one thread's work from beginning to end, and what they found is put together in the
//! order of their names; the number of threads changes wall times and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::log::Log;
use super::prequential::{self, Outcome, Plan};
use super::rankers;
use super::report::{LogReport, Moment, RankerReport, Report, RewardReport, Throughput};
use crate::domain::time::Millis;
use crate::engine::settings::LearnSettings;

/// How often people are drawn for intervals.
pub const RESAMPLES: usize = 1_000;

/// Where the test begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestSpan {
    /// With the last fifth of the time units.
    #[default]
    LastFifth,
    /// At this instant.
    From(Millis),
    /// With the last so many time units.
    Last(i64),
}

/// How to evaluate.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Names the format in the report.
    pub format: String,
    /// Says in the report where windows came from.
    pub windows: String,
    /// Where the test begins.
    pub test: TestSpan,
    /// Rank nothing before the test.
    pub test_only: bool,
    /// Decides chance and resampling.
    pub seed: u64,
    /// At least 1.
    pub threads: usize,
    /// Of [`rankers::NAMES`], in order.
    pub rankers: Vec<&'static str>,
}

/// Why nothing can be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// No rows.
    #[error("the log has no rows: check the paths")]
    Empty,
    /// No target.
    #[error("the test has no rows to rank: let it begin earlier (--test-from, --test-last)")]
    NoTarget,
}

/// The prequential protocol; `each` is told how many more rows some ranker has done.
///
/// # Errors
/// [`EvaluateError`] when there is nothing to rank.
pub fn prequential(
    log: &Log,
    settings: &Arc<LearnSettings>,
    options: &Options,
    each: &(impl Fn(u64) + Sync),
) -> Result<Report, EvaluateError> {
    let test_from = test_from(log, options.test).ok_or(EvaluateError::Empty)?;
    let started = Instant::now();
    let plan = Plan::new(log, &settings.signals, test_from, options.test_only);
    if plan.targets() == 0 {
        return Err(EvaluateError::NoTarget);
    }
    let found = on_threads(options.threads, options.rankers.len(), |index| {
        let mut ranker = rankers::make(options.rankers[index], log, settings, options.seed)?;
        let outcome = prequential::replay(&plan, &mut *ranker, each);
        let report = of_ranker(&plan, &outcome, options.seed);
        Some((options.rankers[index], outcome, report))
    });
    let found: Vec<(&str, Outcome, RankerReport)> = found.into_iter().flatten().collect();
    let seconds = started.elapsed().as_secs_f64();
    let mut report = Report {
        format: options.format.clone(),
        protocol: "prequential".to_owned(),
        seed: options.seed,
        events: log.rows.len() as u64,
        seconds,
        ..Report::default()
    };
    if let Some((_, outcome, one)) = found.first() {
        report.test_events = one.splits.all.n;
        report.log = Some(LogReport {
            available_per_row_mean: outcome.available as f64 / report.test_events.max(1) as f64,
            unavailable_events: outcome.unavailable,
            ..of_log(log, test_from, &options.windows)
        });
    }
    report.throughput = Some(throughput(log, seconds, &found));
    report.rankers = found.into_iter().map(|(name, _, report)| (name.to_owned(), report)).collect();
    Ok(report)
}

/// The first instant of the test; `None` for a log without rows.
#[must_use]
pub fn test_from(log: &Log, test: TestSpan) -> Option<Millis> {
    let (first, end) = (log.rows.first()?.at, log.end());
    Some(match test {
        TestSpan::From(at) => at,
        TestSpan::Last(units) => Millis(end.0.saturating_sub(units.saturating_mul(log.unit_ms))),
        TestSpan::LastFifth => {
            let units = end.since(first) / log.unit_ms;
            first.plus((units - units / 5) * log.unit_ms)
        }
    })
}

fn of_log(log: &Log, test_from: Millis, windows: &str) -> LogReport {
    let first = log.rows.first().map_or(Millis(0), |row| row.at);
    LogReport {
        people: log.users.len() as u64,
        items: log.items.len() as u64,
        unit_ms: log.unit_ms,
        units: log.end().since(first) / log.unit_ms,
        windows: windows.to_owned(),
        test_from_ms: test_from.0,
        test_units: log.end().since(test_from.max(first)) / log.unit_ms,
        available_mean: log.availability.mean_open(test_from.max(first), log.end()),
        available_per_row_mean: 0.0,
        unavailable_events: 0,
    }
}

fn of_ranker(plan: &Plan<'_>, outcome: &Outcome, seed: u64) -> RankerReport {
    let over_time = plan.bucket_starts().into_iter().zip(&outcome.over_time).map(|(from, sums)| {
        let [hr_1, _, hr_10, ndcg_10, _, auc] = sums.means();
        Moment { from_ms: from.0, n: sums.n, hr_1, hr_10, ndcg_10, auc }
    });
    RankerReport {
        splits: outcome.per_person.splits(RESAMPLES, seed),
        softmax: outcome.promises.report(),
        over_time: over_time.collect(),
        reward: plan.log.has_presence.then(|| RewardReport::new(&outcome.reward, plan.log.users.len() as u64)),
    }
}

fn throughput(log: &Log, seconds: f64, found: &[(&str, Outcome, RankerReport)]) -> Throughput {
    let rows = log.rows.len() as f64;
    let ranker_seconds: BTreeMap<String, f64> =
        found.iter().map(|(name, outcome, _)| ((*name).to_owned(), outcome.seconds)).collect();
    let model = ranker_seconds.get("model").copied().unwrap_or_default();
    Throughput {
        overall_per_second: rows / seconds.max(1e-9),
        model_per_second: if model > 0.0 { rows / model } else { 0.0 },
        ranker_seconds,
    }
}

/// Does `count` pieces of work on up to `threads` threads; gives what came out in the order of their numbers.
fn on_threads<T: Send>(threads: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
    let worker = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let found = work(index);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, found));
        }
    };
    if threads <= 1 {
        worker();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads.min(count) {
                scope.spawn(worker);
            }
        });
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, found)| found).collect()
}
