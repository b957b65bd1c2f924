//! Runs a protocol on a log for all rankers, and builds the report.
//!
//! Invariant: each ranker's pass runs on one thread, and results are joined in the order of names. The number of
//! threads changes wall times and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::likes::{self, Mode};
use super::log::Log;
use super::log::tables::Extras;
use super::metrics::ratio;
use super::prequential::{self, Outcome, Plan};
use super::rankers::{self, Ranker, labels};
use super::report::{
    HedgeReport, Labelled, Leak, LogReport, Moment, RankerReport, Regret, Report, RewardReport, StepReport, Throughput,
    ViewingReport,
};
use super::test_then_learn::{self, LabelFigures};
use crate::domain::time::Millis;
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::TwoTower;

/// Number of bootstrap draws for intervals.
pub const RESAMPLES: usize = 1_000;

/// Start of the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestSpan {
    /// The last fifth of the time units.
    #[default]
    LastFifth,
    /// All time units from this instant on.
    From(Millis),
    /// The last `n` time units.
    Last(i64),
}

/// Parameters of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluateOptions {
    /// Name of the format, for the report.
    pub format: String,
    /// Origin of the windows, for the report.
    pub windows: String,
    /// Start of the test.
    pub test: TestSpan,
    /// True to rank nothing before the test.
    pub test_only: bool,
    /// Seed of the random baseline and of bootstrap draws.
    pub seed: u64,
    /// Number of threads, at least 1.
    pub threads: usize,
    /// Names from [`rankers::ALL`], in the order of reports.
    pub rankers: Vec<&'static str>,
}

/// Reason why a log cannot be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// The log has no rows.
    #[error("the log has no rows: check the paths")]
    Empty,
    /// The test has no target.
    #[error("the test has no rows to rank: let it begin earlier (--test-from, --test-last)")]
    NoTarget,
    /// The test has no label.
    #[error("the test has no row with a label: a labelled protocol needs kinds of interaction, or views with targets")]
    NoLabel,
}

/// The prequential protocol; `each` receives the number of rows done since its last call.
///
/// # Errors
/// [`EvaluateError`] when there is nothing to rank.
pub fn prequential(
    log: &Log,
    settings: &Arc<LearnSettings>,
    options: &EvaluateOptions,
    each: &(impl Fn(u64) + Sync),
) -> Result<Report, EvaluateError> {
    let test_from = test_from(log, options.test).ok_or(EvaluateError::Empty)?;
    let started = Instant::now();
    let plan = Plan::new(log, &settings.signals, test_from, options.test_only);
    let found = ranked(&plan, settings, options, each, prequential::replay)?;
    let mut report = new_report(log, options, "prequential", test_from, started.elapsed().as_secs_f64(), &found);
    let hedge = found.iter().map(|(_, outcome, _)| outcome.hedge.clone()).find(|series| !series.is_empty());
    let hedge = hedge.unwrap_or_default();
    report.rankers = found.into_iter().map(|(name, _, report)| (name.to_owned(), report)).collect();
    report.regret = Regret::of_hedge(&hedge).or_else(|| Regret::of_rankers(&report.rankers));
    report.hedge = hedge.last().map(|(_, figures)| HedgeReport::new(figures));
    Ok(report)
}

/// Leave-one-out evaluation: one target per user, their last, ranked after all other rows were learned. The report
/// names that leak, and has the figures without it.
///
/// # Errors
/// [`EvaluateError`] when there is nothing to rank.
pub fn last_in_window(
    log: &Log,
    settings: &Arc<LearnSettings>,
    options: &EvaluateOptions,
    each: &(impl Fn(u64) + Sync),
) -> Result<Report, EvaluateError> {
    let test_from = test_from(log, options.test).ok_or(EvaluateError::Empty)?;
    let started = Instant::now();
    let mut plan = Plan::new(log, &settings.signals, test_from, true);
    plan.keep_last();
    let found = ranked(&plan, settings, options, each, prequential::learn_all_then_rank)?;
    let honest = ranked(&plan, settings, options, each, prequential::replay)?;
    let mut report = new_report(log, options, "last-in-window", test_from, started.elapsed().as_secs_f64(), &found);
    // Only the rows of the targets are ranked; presences in between do not matter here.
    let named = |found: Found| -> BTreeMap<String, RankerReport> {
        found
            .into_iter()
            .map(|(name, _, one)| (name.to_owned(), RankerReport { reward: None, steps: Vec::new(), ..one }))
            .collect()
    };
    report.rankers = named(found);
    report.leak = Some(Leak {
        what: "before a person's last row was ranked, what others did after it had been learned".to_owned(),
        later_rows_share: plan.later_rows_share(),
        without: named(honest),
    });
    Ok(report)
}

/// Predicts, scores and learns the labels of judged rows.
///
/// # Errors
/// [`EvaluateError`] when there is nothing to predict.
pub fn labelled(
    log: &Log,
    settings: &Arc<LearnSettings>,
    options: &EvaluateOptions,
    each: &(impl Fn(u64) + Sync),
) -> Result<Report, EvaluateError> {
    let first = log.rows.first().ok_or(EvaluateError::Empty)?.at;
    let test_from = match options.test {
        // No test needs to be held back: every row is predicted before it is learned.
        TestSpan::LastFifth => first,
        given => test_from(log, given).ok_or(EvaluateError::Empty)?,
    };
    let started = Instant::now();
    let test_events = test_then_learn::targets(log, &settings.signals, test_from);
    if test_events == 0 {
        return Err(EvaluateError::NoLabel);
    }
    let names = labels::NAMES;
    let found = on_threads(options.threads, names.len(), |index| {
        let mut labeller = labels::make(names[index], log, settings)?;
        let found = test_then_learn::replay(log, &settings.signals, test_from, &mut *labeller, each);
        Some((names[index].to_owned(), found.seconds, found.figures(RESAMPLES, options.seed)))
    });
    let found: Vec<(String, f64, LabelFigures)> = found.into_iter().flatten().collect();
    let seconds = started.elapsed().as_secs_f64();
    let labelled = found.iter().find(|(name, ..)| name == "model").map(|(_, _, model)| Labelled {
        auc_mean: model.auc_mean,
        auc_pooled: model.auc_pooled,
        log_loss: model.log_loss,
        ece: model.ece,
        ..Labelled::default()
    });
    let ranker_seconds = found.iter().map(|(name, seconds, _)| (name.clone(), *seconds)).collect();
    Ok(Report {
        test_events,
        log: Some(of_log(log, test_from, &options.windows)),
        labelled,
        throughput: Some(throughput(log, seconds, ranker_seconds)),
        labellers: found.into_iter().map(|(name, _, figures)| (name, figures)).collect(),
        ..new_report(log, options, "labelled", test_from, seconds, &[])
    })
}

/// Predicts each view of the test and ranks liked posts, with and without a two-tower model.
///
/// # Errors
/// [`EvaluateError`] when there is nothing to predict.
pub fn likes(
    log: &Log,
    extras: &Extras,
    tower: Option<&Arc<dyn TwoTower>>,
    mode: Mode,
    settings: &Arc<LearnSettings>,
    options: &EvaluateOptions,
    each: &(impl Fn(u64) + Sync),
) -> Result<Report, EvaluateError> {
    let test_from = test_from(log, options.test).ok_or(EvaluateError::Empty)?;
    let started = Instant::now();
    let plan = likes::Plan::new(log, &settings.signals, test_from, mode);
    if plan.views() == 0 {
        return Err(EvaluateError::NoLabel);
    }
    let names = likes::names(tower);
    let told = on_threads(options.threads, names.len(), |index| {
        let started = Instant::now();
        let told = likes::tell(&plan, names[index], extras, settings, tower, &|rows| each(rows))?;
        Some((told, started.elapsed().as_secs_f64()))
    });
    let (mut found, mut ranker_seconds) = (Vec::new(), BTreeMap::new());
    for (told, seconds) in told.into_iter().flatten() {
        // Reports call the served engine `model` everywhere.
        let name = if told.0 == "blend" { "model" } else { told.0 };
        ranker_seconds.insert(name.to_owned(), seconds);
        found.push(told);
    }
    let figures = likes::figures(&plan, &found, RESAMPLES, options.seed);
    let protocol = if mode == Mode::InTime { "likes" } else { "likes-last" };
    let seconds = started.elapsed().as_secs_f64();
    Ok(Report {
        test_events: figures.views,
        log: Some(of_log(log, test_from, &options.windows)),
        likes: Some(figures),
        throughput: Some(throughput(log, seconds, ranker_seconds)),
        ..new_report(log, options, protocol, test_from, seconds, &[])
    })
}

/// By ranker: name, sums, figures.
type Found = Vec<(&'static str, Outcome, RankerReport)>;

fn ranked<'a>(
    plan: &Plan<'a>,
    settings: &Arc<LearnSettings>,
    options: &EvaluateOptions,
    each: &(impl Fn(u64) + Sync),
    replay: impl Fn(&Plan<'a>, &mut dyn Ranker, &dyn Fn(u64)) -> Outcome + Sync,
) -> Result<Found, EvaluateError> {
    if plan.targets() == 0 {
        return Err(EvaluateError::NoTarget);
    }
    let found = on_threads(options.threads, options.rankers.len(), |index| {
        let mut ranker = rankers::make(options.rankers[index], plan.log, settings, options.seed)?;
        let outcome = replay(plan, &mut *ranker, &|rows| each(rows));
        let report = of_ranker(plan, &outcome, options.seed);
        Some((options.rankers[index], outcome, report))
    });
    Ok(found.into_iter().flatten().collect())
}

/// The report without figures.
fn new_report(
    log: &Log,
    options: &EvaluateOptions,
    protocol: &str,
    test_from: Millis,
    seconds: f64,
    found: &[(&'static str, Outcome, RankerReport)],
) -> Report {
    let mut report = Report {
        format: options.format.clone(),
        protocol: protocol.to_owned(),
        seed: options.seed,
        events: log.rows.len() as u64,
        seconds,
        ..Report::default()
    };
    if let Some((_, outcome, one)) = found.first() {
        report.test_events = one.splits.all.n;
        report.log = Some(LogReport {
            available_per_row_mean: ratio(outcome.available as f64, report.test_events as f64),
            unavailable_events: outcome.unavailable,
            ..of_log(log, test_from, &options.windows)
        });
        let seconds_of = found.iter().map(|(name, outcome, _)| ((*name).to_owned(), outcome.seconds)).collect();
        report.throughput = Some(throughput(log, seconds, seconds_of));
    }
    report
}

/// First instant of the test; `None` for a log without rows.
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
        available_per_row_mean: None,
        unavailable_events: 0,
        viewing: ViewingReport::of(log),
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
        steps: StepReport::series(&outcome.steps, plan.log.users.len() as u64),
    }
}

fn throughput(log: &Log, seconds: f64, ranker_seconds: BTreeMap<String, f64>) -> Throughput {
    let rows = log.rows.len() as f64;
    let model = ranker_seconds.get("model").copied().filter(|seconds| *seconds > 0.0);
    Throughput {
        overall_per_second: rows / seconds.max(1e-9),
        model_per_second: model.map(|seconds| rows / seconds),
        ranker_seconds,
    }
}

/// Runs `count` tasks on up to `threads` threads and returns results in the order of their numbers.
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
