//! `eddyline train`: a two-tower model from tables, with a bar, a state to go on from, and figures at the end.
//!
//! Invariant: files are written beside their place and renamed, so that a crash leaves the old one or the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::app;
use crate::commands::{progress, tables};
use crate::config::Config;
use crate::domain::time::Millis;
use crate::embed::Choice;
use crate::process::say;
use crate::replay::formats::Columns;
use crate::replay::formats::time::{TimeUnit, Times};
use crate::replay::metrics::shown;
use crate::tables::Tables;
use crate::tables::read::{ROLES, TableOptions};
use crate::tower::{Checkpoint, Quality, Sizes};
use crate::training::{AutodiffBackend, Cpu, Fractions, Loss, Progress, Slice, TrainSettings, Training};

/// The state is saved this often within an epoch.
const SAVE_EVERY: Duration = Duration::from_mins(1);
/// Moments of the training slice that figures are taken from.
const TRAIN_LOOKED_AT: usize = 50_000;

/// Where it is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics card by NVIDIA.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// What to minimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LossName {
    /// Was each view followed by a like? Needs views.
    CrossEntropy,
    /// Which of the posts that were there was liked? For likes without views.
    Softmax,
}

impl From<LossName> for Loss {
    fn from(name: LossName) -> Loss {
        match name {
            LossName::CrossEntropy => Loss::CrossEntropy,
            LossName::Softmax => Loss::Softmax,
        }
    }
}

/// What `eddyline train` is told.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// A folder with `user_data`, `post_text_df` and `feed_data` (CSV, also `.gz` and `.zst`, or Parquet), or
    /// `posts=FILE,feed=FILE[,people=FILE]`, or `postgres://…` of a database with these tables.
    #[arg(long, value_name = "PLACE")]
    tables: String,
    /// Where the model goes: one safetensors file.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Names of columns: `user_id=…,post_id=…,timestamp=…,action=…,target=…,text=…,topic=…,embedding=…`.
    #[arg(long, value_name = "ROLE=NAME,…")]
    columns: Option<String>,
    /// Unit of times that are numbers: `s`, `ms`, `us`, `ns` or `step:SECONDS`; by default the size of the first number tells
    /// (9 or 10 digits: seconds; 12 or 13: milliseconds; 16: microseconds; 19: nanoseconds).
    #[arg(long)]
    time_unit: Option<TimeUnit>,
    /// Passes over the training views, at most; it ends earlier when the validation views are foretold no better.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    epochs: u32,
    /// Epochs without a gain after which it ends; the rate falls at each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    patience: u32,
    /// Views in a step of learning; chosen by their number where it is not given.
    #[arg(long, value_name = "VIEWS")]
    batch: Option<usize>,
    /// How far a step goes.
    #[arg(long, default_value_t = 3e-3)]
    rate: f32,
    /// A person's last interactions that the model looks at; 0 for attributes and time alone.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(0..=100))]
    history: u8,
    /// Heads of attention: 1, 2, 4 or 8.
    #[arg(long, default_value = "4", value_parser = ["1", "2", "4", "8"])]
    heads: String,
    /// Hidden units of each layer.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(8..=1_024))]
    hidden: u16,
    /// What is minimised; by default cross-entropy where there are views that were liked and views that were not, else
    /// softmax.
    #[arg(long, value_enum)]
    loss: Option<LossName>,
    /// Share of the views that stands last and judges; 0 for none.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    test_fraction: f64,
    /// Share of the views before those that decides when to stop.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    validation_fraction: f64,
    /// Of all chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads, at most 4 are used.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    threads: u8,
    /// Where it is computed.
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// Go on from the state beside the model.
    #[arg(long)]
    resume: bool,
    /// Train towers without histories, too, to see what histories bring.
    #[arg(long)]
    compare_static: bool,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How it was trained.
    pub summary: crate::tower::Summary,
    /// Figures by name and slice.
    pub rows: Vec<Row>,
    /// Moments learned in a second.
    pub rows_per_second: f64,
}

/// Figures of one way to foretell likes.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub name: String,
    /// Of the log.
    pub slice: &'static str,
    /// How well.
    #[serde(flatten)]
    pub quality: Quality,
}

/// Reads tables, trains, saves and judges.
///
/// # Errors
/// What is wrong with the flags, the tables or the files.
pub fn run(args: &TrainArgs, config: &Config, now: Millis) -> anyhow::Result<Report> {
    let settings = args.settings(now)?;
    let mut tables = args.read(config.dim)?;
    if config.embedder != Choice::Given {
        tables::embed(&mut tables, &*app::open_embedder(config)?)?;
    }
    match args.device {
        Device::Cpu => train::<Cpu>(&tables, &settings, args, Default::default()),
        #[cfg(feature = "cuda")]
        Device::Cuda => train::<crate::training::Cuda>(&tables, &settings, args, Default::default()),
    }
}

impl TrainArgs {
    fn read(&self, dim: usize) -> anyhow::Result<Tables> {
        let columns = self.columns.as_deref().map(|text| Columns::parse(text, &ROLES)).transpose();
        let columns = columns.context("--columns")?.unwrap_or_default();
        let times = Times::of(self.time_unit);
        tables::open(&self.tables, &TableOptions { columns, times, dim: Some(dim), dim_of_texts: None })
    }

    fn settings(&self, now: Millis) -> anyhow::Result<TrainSettings> {
        let fractions = Fractions { test: self.test_fraction, validation: self.validation_fraction };
        ensure!((0.0..0.9).contains(&fractions.test), "--test-fraction: must be 0 or more, and below 0.9");
        ensure!(fractions.validation > 0.0, "--validation-fraction: must be above 0, for training stops by it");
        let later = fractions.test + fractions.validation;
        ensure!(later < 0.95, "--test-fraction and --validation-fraction leave nothing to train on");
        ensure!(self.rate > 0.0 && self.rate <= 1.0, "--rate: must be above 0 and at most 1");
        ensure!(self.batch.is_none_or(|batch| (1..=65_536).contains(&batch)), "--batch: must be 1 to 65536");
        Ok(TrainSettings {
            sizes: Sizes { history: self.history.into(), heads: self.heads.parse()?, hidden: self.hidden.into() },
            epochs: self.epochs,
            patience: self.patience,
            batch: self.batch,
            rate: self.rate,
            fractions,
            loss: self.loss.map(Into::into),
            seed: self.seed,
            threads: self.threads.into(),
            created: now,
        })
    }
}

fn train<B: AutodiffBackend>(
    tables: &Tables,
    settings: &TrainSettings,
    args: &TrainArgs,
    device: B::Device,
) -> anyhow::Result<Report> {
    let spinner = progress::count("reading features");
    let mut training = Training::<B>::new(tables, settings, device.clone())?;
    spinner.finish_and_clear();
    let state = state_path(&args.out);
    if args.resume {
        let bytes = fs::read(&state).with_context(|| format!("--resume: cannot read {}", state.display()))?;
        training.resume(&bytes).with_context(|| state.display().to_string())?;
        say(format_args!("going on after {} epochs", training.epochs()));
    }
    let (rows, seconds) = advance(&mut training, Some(&state), "training")?;
    let model = training.finish();
    save(&args.out, &model.to_bytes()?)?;
    let mut report =
        Report { summary: model.summary().clone(), rows: Vec::new(), rows_per_second: rows as f64 / seconds.max(1e-9) };
    let judged = if settings.fractions.test > 0.0 { (Slice::Test, "test") } else { (Slice::Validation, "validation") };
    for (name, quality) in training.baselines(judged.0) {
        report.rows.push(Row { name: name.to_owned(), slice: judged.1, quality });
    }
    if args.compare_static {
        let sizes = Sizes { history: 0, ..settings.sizes };
        let settings = TrainSettings { sizes, ..settings.clone() };
        let mut training = Training::<B>::new(tables, &settings, device)?;
        advance(&mut training, None, "static towers")?;
        report.add("static towers", &training, &training.finish());
    }
    report.add("two towers", &training, &model);
    Ok(report)
}

impl Report {
    fn add<B: AutodiffBackend>(&mut self, name: &str, training: &Training<B>, model: &Checkpoint) {
        let slices = [
            ("train", Some(training.quality(model, Slice::Train, TRAIN_LOOKED_AT))),
            ("validation", model.summary().validation),
            ("test", model.summary().test),
        ];
        for (slice, quality) in slices {
            if let Some(quality) = quality {
                self.rows.push(Row { name: name.to_owned(), slice, quality });
            }
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<20}{:<12}{:>9}{:>9}{:>9}{:>10}{:>12}",
            "", "slice", "views", "ROC AUC", "AP", "log loss", "calibration"
        );
        for row in &self.rows {
            let Quality { rows, roc_auc, average_precision, log_loss, calibration_error } = row.quality;
            let _ = writeln!(
                out,
                "{:<20}{:<12}{rows:>9}{:>9}{:>9}{:>10}{:>12}",
                row.name,
                row.slice,
                shown(roc_auc, 4),
                shown(average_precision, 4),
                shown(log_loss, 4),
                shown(calibration_error, 4)
            );
        }
        let _ = write!(
            out,
            "learned from {} views, best after epoch {}, {:.0} views a second",
            self.summary.learned_rows, self.summary.epochs, self.rows_per_second
        );
        out
    }
}

/// Trains to the end; how many moments in how many seconds.
fn advance<B: AutodiffBackend>(
    training: &mut Training<B>,
    state: Option<&Path>,
    what: &str,
) -> anyhow::Result<(u64, f64)> {
    let bar = progress::steps(what, 0);
    let (began, mut saved, mut rows, mut before) = (Instant::now(), Instant::now(), 0, 0);
    let mut last_auc = String::new();
    while let Some(step) = training.advance()? {
        let Progress { epoch, step: at, steps, rows: seen, loss, validation } = step;
        rows += seen.saturating_sub(before);
        before = if validation.is_some() || at == steps { 0 } else { seen };
        bar.set_length(steps);
        bar.set_position(at);
        if let Some(quality) = validation {
            last_auc = format!(", validation AUC {}", shown(quality.roc_auc, 4));
            bar.suspend(|| say(format_args!("{what}: epoch {epoch}, loss {loss:.4}{last_auc}")));
        }
        bar.set_message(format!("{what}: epoch {epoch}, loss {loss:.4}{last_auc}"));
        let due = validation.is_some() || saved.elapsed() >= SAVE_EVERY;
        if let Some(state) = state.filter(|_| due) {
            save(state, &training.state())?;
            saved = Instant::now();
        }
    }
    bar.finish_and_clear();
    Ok((rows, began.elapsed().as_secs_f64()))
}

/// Where the state of a training stands: beside its model.
#[must_use]
pub fn state_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".state");
    name.into()
}

fn save(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let write = |part: &Path| -> io::Result<()> {
        fs::write(part, bytes)?;
        fs::File::open(part)?.sync_all()?;
        fs::rename(part, path)
    };
    write(Path::new(&part)).with_context(|| format!("cannot write {}", path.display()))
}
