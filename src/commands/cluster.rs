//! `eddyline cluster`: groups in the rows of a CSV file.
//!
//! Invariant: same file, columns and seed, same groups, in however many threads. Nothing is left out silently: a row
//! that cannot be read ends the command.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::picture;
use crate::actors::solving::solve;
use crate::commands::progress;
use crate::engine::cluster::{Fit, Group, Problem, ProblemError, Settings, adjusted_rand_index};
use crate::replay::formats::numbers::{self, Numbers};
use crate::replay::metrics::shown;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// A CSV file with a header.
    pub csv: PathBuf,
    /// Names of the columns that are looked at.
    pub columns: Vec<String>,
    /// The column with the true groups; -1 is an outlier.
    pub truth: Option<String>,
    /// How groups are looked for.
    pub settings: Settings,
    /// In how many threads; 0: as many as there are cores.
    pub threads: usize,
}

/// What was found; its JSON is that of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// By id.
    pub clusters: Vec<Group>,
    /// Per row the id of its group, -1 for outliers.
    pub assignment: Vec<i64>,
    /// Rows that are in no group, from 0 below the header.
    pub outliers: Vec<usize>,
    /// Of the log evidence, on scaled columns.
    pub lower_bound: f64,
    /// Random starts.
    pub restarts: usize,
    /// There are as many groups as `--components` allows, and one more would be better.
    pub maximum_binds: bool,
    /// Of the fit; reading and writing take no part.
    pub seconds: f64,
    /// Agreement with the truth, rows that are outliers there left out. Absent without a truth; `null` where the index is
    /// undefined, as for one group in both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ari: Option<Option<f64>>,
    /// What was read, for the picture.
    #[serde(skip)]
    pub numbers: Numbers,
}

/// Reads, fits, compares.
///
/// # Errors
/// What is wrong, by flag, column and line.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    let bar = progress::bytes("reading");
    for (place, name) in options.columns.iter().enumerate() {
        if options.columns[..place].contains(name) {
            bail!("--columns: `{name}` is named twice");
        }
    }
    let numbers =
        numbers::read(options.csv.clone(), &options.columns, options.truth.as_deref(), Some(progress::watch(&bar)))
            .context("--csv")?;
    bar.finish_and_clear();
    let problem = Problem::new(&numbers.columns, options.settings, None).map_err(|error| explained(options, &error))?;
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let bar = progress::steps("starts", problem.starts() as u64);
    let begun = Instant::now();
    let fit = solve(&problem, threads, || bar.inc(1))?;
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    Ok(report(fit, numbers, options.settings.restarts, seconds))
}

fn report(fit: Fit, numbers: Numbers, restarts: usize, seconds: f64) -> Report {
    let assignment: Vec<i64> =
        fit.members.iter().map(|member| if member.outlier { -1 } else { i64::from(member.group) }).collect();
    let outliers = (0..assignment.len()).filter(|row| assignment[*row] < 0).collect();
    let ari = (!numbers.labels.is_empty()).then(|| {
        let pairs = assignment.iter().zip(&numbers.labels).filter(|(_, label)| label.parse() != Ok(-1.0));
        let (found, truth): (Vec<i64>, Vec<&str>) = pairs.map(|(found, label)| (*found, label.as_str())).unzip();
        adjusted_rand_index(&found, &truth)
    });
    Report {
        clusters: fit.groups,
        assignment,
        outliers,
        lower_bound: fit.lower_bound,
        restarts,
        maximum_binds: fit.maximum_binds,
        seconds,
        ari,
        numbers,
    }
}

/// A problem's error by the names that the reader knows.
fn explained(options: &Options, error: &ProblemError) -> anyhow::Error {
    match error {
        ProblemError::NoRows => anyhow::anyhow!("--csv: {}: there is no row below the header", options.csv.display()),
        ProblemError::NoColumns | ProblemError::TooManyColumns { .. } => anyhow::anyhow!("--columns: {error}"),
        ProblemError::Setting { name, found, low, high } => {
            anyhow::anyhow!("--{}: {found} is not in {low}..={high}", name.replace('_', "-"))
        }
        error => anyhow::anyhow!("--csv: {}: {error}", options.csv.display()),
    }
}

/// The report for people.
#[must_use]
pub fn table(report: &Report, columns: &[String]) -> String {
    let mut out = String::new();
    let _ = write!(out, "{:>6} {:>9} {:>8}", "group", "size", "weight");
    for name in columns {
        let _ = write!(out, "  {:>20}", shortened(name));
    }
    out.push('\n');
    for group in &report.clusters {
        let _ = write!(out, "{:>6} {:>9} {:>8.4}", group.id, group.size, group.weight);
        for (place, mean) in group.mean.iter().enumerate() {
            let deviation = group.covariance[place][place].sqrt();
            let _ = write!(out, "  {:>20}", format!("{} +- {}", short(*mean), short(deviation)));
        }
        if let Some(freedom) = group.freedom {
            let _ = write!(out, "  {} degrees of freedom", short(freedom));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{:>6} {:>9}", "none", report.outliers.len());
    let (rows, restarts) = (report.assignment.len(), report.restarts);
    let bound = report.lower_bound;
    let _ = writeln!(out, "{rows} rows, {restarts} starts in {:.3} s, lower bound {bound:.2}", report.seconds);
    if report.maximum_binds {
        let groups = report.clusters.len();
        let _ = writeln!(out, "the rows fall into more than {groups} groups, which --components allows: raise it");
    }
    if let Some(ari) = report.ari {
        let _ = writeln!(out, "adjusted Rand index {}, outliers of the truth left out", shown(ari, 4));
    }
    out
}

/// The picture of the first two columns.
///
/// # Errors
/// There is only one column.
pub fn svg(report: &Report, columns: &[String]) -> anyhow::Result<String> {
    let [x, y, ..] = &report.numbers.columns[..] else { bail!("--svg: a picture needs two columns in --columns") };
    let names = (columns[0].as_str(), columns[1].as_str());
    Ok(picture::draw(&report.clusters, &report.assignment, (x, y), names))
}

/// Four digits that count.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = if size >= 1_000.0 {
        0
    } else if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

fn shortened(name: &str) -> String {
    const CHARS_MAX: usize = 20;
    if name.chars().count() <= CHARS_MAX {
        name.into()
    } else {
        name.chars().take(CHARS_MAX - 1).chain(['…']).collect()
    }
}
