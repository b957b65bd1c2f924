//! `eddyline train`: trains a two-tower model on tables, saves a state for `--resume`, and prints metrics.
//!
//! Invariant: files are written under another name and renamed, so that a crash leaves the old file or the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::table_input;
use crate::training_report::{self, Curves, Epoch, Report, Row};
use eddyline::actors::clock::{Clock, WallClock};
use eddyline::app;
use eddyline::commands::args::AccessArgs;
use eddyline::commands::output::{print_table, write_json};
use eddyline::commands::{model, progress};
use eddyline::config::Config;
use eddyline::domain::time::Millis;
use eddyline::embed::Choice;
use eddyline::process::say;
use eddyline::tower::{Checkpoint, Similarity, Sizes};
use eddyline_replay::formats::Columns;
use eddyline_replay::formats::time::{TimeUnit, Times};
use eddyline_replay::metrics::shown;
use eddyline_tables::Tables;
use eddyline_tables::read::{ROLES, TableOptions};
use eddyline_training::{AutodiffBackend, Cpu, Fractions, Loss, Progress, Slice, TrainSettings, Training};

/// Interval between two saves of the state within an epoch.
const SAVE_EVERY: Duration = Duration::from_mins(1);
/// Largest number of training examples on which the quality of the training slice is measured.
const TRAIN_LOOKED_AT: usize = 50_000;

/// Device that computes the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The CPU, with up to 4 threads.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// Loss to minimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LossName {
    /// Cross-entropy of the like of each view; needs views.
    CrossEntropy,
    /// Softmax over the available posts for each like; for likes without views.
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

/// Similarity of user vectors and item vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SimilarityName {
    /// Dot product: the length of an item vector carries popularity.
    #[default]
    Dot,
    /// Cosine: vectors have length 1, as an index of nearest neighbours by angle needs them.
    Cosine,
}

impl From<SimilarityName> for Similarity {
    fn from(name: SimilarityName) -> Similarity {
        match name {
            SimilarityName::Dot => Similarity::Dot,
            SimilarityName::Cosine => Similarity::Cosine,
        }
    }
}

/// Train a two-tower model on tables of people, posts and views; see docs/two-tower.md.
///
/// The log is split by time: the first views train, the next ones decide when to stop, the last ones test. Equal tables,
/// settings and seed give an equal model, with any number of threads. A state beside the model lets --resume continue a
/// training that was stopped, or train more --epochs. Posts with a text and without an embedding get one from the
/// configured embedder, as in the server. `--publish` lets the model serve at once; `eddyline model publish` does so later.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder with `user_data`, `post_text_df` and `feed_data` (CSV, also `.gz` and `.zst`, or Parquet), or
    /// `posts=FILE,feed=FILE[,people=FILE]`, or `postgres://…` of a database with these tables.
    #[arg(long, value_name = "PLACE")]
    tables: String,
    /// File of the model, in safetensors format.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Names of columns: `user_id=…,post_id=…,timestamp=…,action=…,target=…,text=…,topic=…,embedding=…`.
    #[arg(long, value_name = "ROLE=NAME,…")]
    columns: Option<String>,
    /// Unit of numeric times: `s`, `ms`, `us`, `ns` or `step:SECONDS`. By default the size of the first number decides
    /// (9 or 10 digits: seconds; 12 or 13: milliseconds; 16: microseconds; 19: nanoseconds).
    #[arg(long)]
    time_unit: Option<TimeUnit>,
    /// Passes over the training views at most; the training ends earlier when the validation no longer improves.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    epochs: u32,
    /// Epochs without an improvement after which the training ends; each of them lowers the learning rate.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    patience: u32,
    /// Views in a batch; by default their number decides.
    #[arg(long, value_name = "VIEWS")]
    batch: Option<usize>,
    /// Learning rate of the first epoch.
    #[arg(long, default_value_t = 3e-3)]
    rate: f32,
    /// Last interactions of a user that the model reads; 0 for attributes and time only.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(0..=100))]
    history: u8,
    /// Attention heads: 1, 2, 4 or 8.
    #[arg(long, default_value = "4", value_parser = ["1", "2", "4", "8"])]
    heads: String,
    /// Hidden units of each layer.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(8..=1_024))]
    hidden: u16,
    /// Similarity of user vectors and item vectors; the model keeps it, and the server and `replay` use it.
    #[arg(long, value_enum, default_value_t)]
    similarity: SimilarityName,
    /// Loss to minimise; by default cross-entropy where views with and without a like exist, else softmax.
    #[arg(long, value_enum)]
    loss: Option<LossName>,
    /// Share of the views for the test, the last ones in time; 0 for none.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    test_fraction: f64,
    /// Share of the views for the validation, those before the test; they decide when to stop.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    validation_fraction: f64,
    /// Seed of initial weights, batches and negatives.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads, at most 4.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    threads: u8,
    /// Device that computes the training.
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// Continue from the state beside the model.
    #[arg(long)]
    resume: bool,
    /// Also train towers without histories, to measure the gain of histories.
    #[arg(long)]
    compare_static: bool,
    /// Write the metrics as JSON, those of every epoch included; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a report with plots: loss and AUC per epoch, ROC curve, calibration.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Publish the model after the training, as `eddyline model publish` does.
    #[arg(long)]
    publish: bool,
    #[command(flatten)]
    access: AccessArgs,
}

/// Trains a model, prints its metrics, and publishes it if the flags say so.
///
/// # Errors
/// Flags, tables or files cannot be used, or the store or server refuses the model.
pub fn run(mut args: Args) -> anyhow::Result<()> {
    let config = args.access.config.start_with_store(args.access.store.take())?;
    let report = fit(&args, &config, WallClock::default().now())?;
    print_table(args.json.as_deref(), || report.table())?;
    if let Some(path) = &args.html {
        save(path, training_report::page(&report).as_bytes())?;
    }
    write_json(args.json, &report)?;
    if args.publish {
        let task = model::Task::publish(&args.out)?;
        let version = model::carry_out(args.access.url.as_deref(), &config, task)?;
        say(format_args!("published as version {}", version.trim_end()));
    }
    Ok(())
}

/// Reads tables, trains, saves the model and measures it.
fn fit(args: &Args, config: &Config, now: Millis) -> anyhow::Result<Report> {
    let settings = args.settings(now)?;
    let mut tables = args.read(config.dim)?;
    if config.embedder != Choice::Given {
        table_input::embed(&mut tables, &*app::open_embedder(config)?)?;
    }
    match args.device {
        Device::Cpu => train::<Cpu>(&tables, &settings, args, Default::default()),
        #[cfg(feature = "cuda")]
        Device::Cuda => train::<eddyline_training::Cuda>(&tables, &settings, args, Default::default()),
    }
}

impl Args {
    fn read(&self, dim: usize) -> anyhow::Result<Tables> {
        let columns = self.columns.as_deref().map(|text| Columns::parse(text, &ROLES)).transpose();
        let columns = columns.context("--columns")?.unwrap_or_default();
        let times = Times::of(self.time_unit);
        table_input::open(&self.tables, &TableOptions { columns, times, dim: Some(dim), dim_of_texts: None })
    }

    fn settings(&self, now: Millis) -> anyhow::Result<TrainSettings> {
        let fractions = Fractions { test: self.test_fraction, validation: self.validation_fraction };
        ensure!((0.0..0.9).contains(&fractions.test), "--test-fraction: must be 0 or more, and below 0.9");
        ensure!(fractions.validation > 0.0, "--validation-fraction: must be above 0, because it decides when to stop");
        let later = fractions.test + fractions.validation;
        ensure!(later < 0.95, "--test-fraction and --validation-fraction leave nothing to train on");
        ensure!(self.rate > 0.0 && self.rate <= 1.0, "--rate: must be above 0 and at most 1");
        ensure!(self.batch.is_none_or(|batch| (1..=65_536).contains(&batch)), "--batch: must be 1 to 65536");
        Ok(TrainSettings {
            sizes: Sizes { history: self.history.into(), heads: self.heads.parse()?, hidden: self.hidden.into() },
            similarity: self.similarity.into(),
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
    args: &Args,
    device: B::Device,
) -> anyhow::Result<Report> {
    let spinner = progress::count("reading features");
    let mut training = Training::<B>::new(tables, settings, device.clone())?;
    spinner.finish_and_clear();
    let state = state_path(&args.out);
    if args.resume {
        let bytes = fs::read(&state).with_context(|| format!("--resume: cannot read {}", state.display()))?;
        training.resume(&bytes).with_context(|| state.display().to_string())?;
        say(format_args!("resuming after {} epochs", training.epochs()));
    }
    let watches = args.html.is_some() || args.json.is_some();
    let Course { rows, seconds, epochs } = advance(&mut training, Some(&state), "training", watches)?;
    let model = training.finish();
    save(&args.out, &model.to_bytes()?)?;
    let judged = if settings.fractions.test > 0.0 { (Slice::Test, "test") } else { (Slice::Validation, "validation") };
    let (odds, liked) = training.scores(model.weights(), judged.0);
    let mut report = Report {
        summary: model.summary().clone(),
        similarity: settings.similarity,
        rows: Vec::new(),
        epochs,
        curves: Curves::of(judged.1, &odds, &liked),
        rows_per_second: rows as f64 / seconds.max(1e-9),
    };
    for (name, quality) in training.baselines(judged.0) {
        report.rows.push(Row { name: name.to_owned(), slice: judged.1, quality });
    }
    if args.compare_static {
        let sizes = Sizes { history: 0, ..settings.sizes };
        let settings = TrainSettings { sizes, ..settings.clone() };
        let mut training = Training::<B>::new(tables, &settings, device)?;
        advance(&mut training, None, "static towers", false)?;
        add(&mut report, "static towers", &training, &training.finish());
    }
    add(&mut report, "two towers", &training, &model);
    Ok(report)
}

/// Adds the quality of a model on each slice.
fn add<B: AutodiffBackend>(report: &mut Report, name: &str, training: &Training<B>, model: &Checkpoint) {
    let slices = [
        ("train", Some(training.quality(model, Slice::Train, TRAIN_LOOKED_AT))),
        ("validation", model.summary().validation),
        ("test", model.summary().test),
    ];
    for (slice, quality) in slices {
        if let Some(quality) = quality {
            report.rows.push(Row { name: name.to_owned(), slice, quality });
        }
    }
}

/// The course of one training.
struct Course {
    /// Number of training examples.
    rows: u64,
    seconds: f64,
    epochs: Vec<Epoch>,
}

/// Trains to the end. `watches` measures the training slice and the test slice after each epoch, too.
fn advance<B: AutodiffBackend>(
    training: &mut Training<B>,
    state: Option<&Path>,
    what: &str,
    watches: bool,
) -> anyhow::Result<Course> {
    let bar = progress::steps(what, 0);
    let (began, mut saved, mut rows, mut before) = (Instant::now(), Instant::now(), 0, 0);
    let (mut last_auc, mut epochs, mut watched) = (String::new(), Vec::new(), Duration::ZERO);
    while let Some(step) = training.advance()? {
        let Progress { epoch, step: at, steps, rows: seen, loss, validation } = step;
        rows += seen.saturating_sub(before);
        before = if validation.is_some() || at == steps { 0 } else { seen };
        bar.set_length(steps);
        bar.set_position(at);
        if let Some(quality) = validation {
            last_auc = format!(", validation AUC {}", shown(quality.roc_auc, 4));
            bar.suspend(|| say(format_args!("{what}: epoch {epoch}, loss {loss:.4}{last_auc}")));
            let at = Instant::now();
            let measure = |slice| watches.then(|| training.quality_so_far(slice, TRAIN_LOOKED_AT)).flatten();
            let (train, test) = (measure(Slice::Train), measure(Slice::Test));
            epochs.push(Epoch { epoch, loss, train, validation: quality, test });
            watched += at.elapsed();
        }
        bar.set_message(format!("{what}: epoch {epoch}, loss {loss:.4}{last_auc}"));
        let due = validation.is_some() || saved.elapsed() >= SAVE_EVERY;
        if let Some(state) = state.filter(|_| due) {
            save(state, &training.state())?;
            saved = Instant::now();
        }
    }
    bar.finish_and_clear();
    Ok(Course { rows, seconds: began.elapsed().saturating_sub(watched).as_secs_f64(), epochs })
}

/// Path of the state of a training: beside its model.
fn state_path(out: &Path) -> PathBuf {
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
