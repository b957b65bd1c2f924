//! `eddyline cluster`: clusters in the rows of a CSV file.
//!
//! Invariant: equal file, columns and seed give equal clusters, whatever the number of threads. A row that cannot be read
//! ends the command.

use crate::watch::watch;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::picture;
use eddyline::actors::fitting::fit as fit_mixture;
use eddyline::commands::output::{print_table, write_json};
use eddyline::commands::progress;
use eddyline::engine::mixture::{Fit, Group, Kind, Problem, ProblemError, Settings, adjusted_rand_index};
use eddyline_replay::formats::numbers::{self, Numbers};
use eddyline_replay::metrics::shown;

/// Shape of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ClusterKind {
    /// Gaussian clusters, and uniform noise.
    Gaussian,
    /// Student's t clusters, each with its degrees of freedom, and uniform noise.
    StudentT,
}

/// Find clusters in the rows of a CSV file: their number, means, covariances and members, and the outliers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file with a header; `.gz` and `.zst` are decompressed.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    /// Names of the columns to cluster by.
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME,…")]
    columns: Vec<String>,
    /// The column with the true clusters, to compare with; -1 is an outlier.
    #[arg(long, value_name = "COLUMN")]
    truth: Option<String>,
    /// Shape of the clusters.
    #[arg(long, default_value = "gaussian")]
    kind: ClusterKind,
    /// Clusters at most; the report says when there are more.
    #[arg(long, default_value_t = Settings::default().components)]
    components: usize,
    /// Number of random starts; the best fit is reported.
    #[arg(long, default_value_t = Settings::default().restarts)]
    restarts: usize,
    /// Seed of the random starts.
    #[arg(long, default_value_t = Settings::default().seed)]
    seed: u64,
    /// Threads; 0: one per core. The clusters do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Write the result as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the first two columns.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Result of a fit; its JSON is the output of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Clusters in the order of their ids.
    pub clusters: Vec<Group>,
    /// Id of the cluster of each row, -1 for outliers.
    pub assignment: Vec<i64>,
    /// Outlier rows, numbered from 0 below the header.
    pub outliers: Vec<usize>,
    /// Lower bound of the log evidence, on scaled columns.
    pub lower_bound: f64,
    /// Number of random starts.
    pub restarts: usize,
    /// The fit has as many clusters as `--components` allows, and one more would be better.
    pub maximum_binds: bool,
    /// Duration of the fit, without reading and writing.
    pub seconds: f64,
    /// Adjusted Rand index against the truth, without the truth's outliers. Absent without a truth; `null` where the index
    /// is undefined, as for one cluster in both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ari: Option<Option<f64>>,
    /// The columns that were read, for the picture.
    #[serde(skip)]
    pub numbers: Numbers,
}

/// Finds clusters, prints the table, and writes the picture and the JSON.
///
/// # Errors
/// A flag, column or line cannot be used, or a file not written.
pub fn run(args: Args) -> anyhow::Result<()> {
    if args.svg.is_some() && args.columns.len() < 2 {
        bail!("--svg: a picture needs two columns in --columns");
    }
    let report = fit(&args)?;
    print_table(args.json.as_deref(), || table(&report, &args.columns))?;
    if let Some(path) = &args.svg {
        let drawn = svg(&report, &args.columns)?;
        std::fs::write(path, drawn).with_context(|| format!("--svg: cannot write {}", path.display()))?;
    }
    write_json(args.json, &report)
}

fn settings(args: &Args) -> Settings {
    let kind = match args.kind {
        ClusterKind::Gaussian => Kind::Gaussian,
        ClusterKind::StudentT => Kind::StudentT,
    };
    let Args { components, restarts, seed, .. } = *args;
    Settings { kind, components, restarts, seed, ..Settings::default() }
}

fn fit(options: &Args) -> anyhow::Result<Report> {
    let bar = progress::bytes("reading");
    for (place, name) in options.columns.iter().enumerate() {
        if options.columns[..place].contains(name) {
            bail!("--columns: `{name}` is named twice");
        }
    }
    let numbers = numbers::read(options.csv.clone(), &options.columns, options.truth.as_deref(), Some(watch(&bar)))
        .context("--csv")?;
    bar.finish_and_clear();
    let problem = Problem::new(&numbers.columns, settings(options), None).map_err(|error| by_flag(options, &error))?;
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let bar = progress::steps("starts", problem.starts() as u64);
    let begun = Instant::now();
    let fit = fit_mixture(&problem, threads, || bar.inc(1))?;
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    Ok(report(fit, numbers, options.restarts, seconds))
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

/// Names the flag that an error of the fit is about.
fn by_flag(options: &Args, error: &ProblemError) -> anyhow::Error {
    match error {
        ProblemError::NoRows => {
            anyhow::anyhow!("--csv: {}: the file has no row below the header", options.csv.display())
        }
        ProblemError::NoColumns | ProblemError::TooManyColumns { .. } => anyhow::anyhow!("--columns: {error}"),
        ProblemError::Setting { name, found, low, high } => {
            anyhow::anyhow!("--{}: must be {low} to {high}, is {found}", name.replace('_', "-"))
        }
        error => anyhow::anyhow!("--csv: {}: {error}", options.csv.display()),
    }
}

/// Formats the report as a table.
fn table(report: &Report, columns: &[String]) -> String {
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
        let _ = writeln!(out, "the rows form more than {groups} clusters, the limit of --components: raise it");
    }
    if let Some(ari) = report.ari {
        let _ = writeln!(out, "adjusted Rand index {}, outliers of the truth left out", shown(ari, 4));
    }
    out
}

/// Draws the clusters in the plane of the first two columns.
///
/// # Errors
/// The report has only one column.
fn svg(report: &Report, columns: &[String]) -> anyhow::Result<String> {
    let [x, y, ..] = &report.numbers.columns[..] else { bail!("--svg: a picture needs two columns in --columns") };
    let names = (columns[0].as_str(), columns[1].as_str());
    Ok(picture::draw(&report.clusters, &report.assignment, (x, y), names))
}

/// Formats a number with four significant digits.
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
