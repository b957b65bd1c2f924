//! `eddyline train`: a two-tower model from tables, with a bar, a state to go on from, and figures at the end.
//!
//! Invariant: files are written beside their place and renamed, so that a crash leaves the old one or the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::commands::progress;
use crate::domain::time::Millis;
use crate::embed::Embedder;
use crate::tables::Tables;
use crate::tower::log::Slice;
use crate::tower::{Checkpoint, Cpu, Loss, Progress, Quality, Sizes, TrainSettings, Training};

/// Texts that are embedded together.
const TEXTS: usize = 256;
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

/// How to train, beside the settings of the training itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the model goes.
    pub out: PathBuf,
    /// Go on from the state beside it.
    pub resume: bool,
    /// Train static towers too, to compare.
    pub compare_static: bool,
    /// Where it is computed.
    pub device: Device,
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

/// Gives each post with a text and no embedding one, by the embedder that the server would use.
///
/// # Errors
/// What the embedder says.
pub fn embed(tables: &mut Tables, embedder: &dyn Embedder) -> anyhow::Result<()> {
    let bare = |post: &&mut crate::tables::PostRow| post.embedding.is_none() && !post.text.is_empty();
    let mut posts: Vec<_> = tables.posts.iter_mut().filter(bare).collect();
    let bar = progress::steps("embedding", posts.len() as u64);
    for posts in posts.chunks_mut(TEXTS) {
        let texts: Vec<&str> = posts.iter().map(|post| post.text.as_str()).collect();
        let vectors = embedder.embed(&texts).context("cannot embed the texts")?;
        for (post, vector) in posts.iter_mut().zip(vectors) {
            post.embedding = Some(vector.to_vec());
        }
        bar.inc(posts.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Trains, saves and judges.
///
/// # Errors
/// What is wrong with the tables, the flags or the files.
pub fn run(tables: &Tables, settings: &TrainSettings, options: &Options) -> anyhow::Result<Report> {
    match options.device {
        Device::Cpu => train::<Cpu>(tables, settings, options, Default::default()),
        #[cfg(feature = "cuda")]
        Device::Cuda => train::<crate::tower::Cuda>(tables, settings, options, Default::default()),
    }
}

fn train<B: burn_tensor::backend::AutodiffBackend>(
    tables: &Tables,
    settings: &TrainSettings,
    options: &Options,
    device: B::Device,
) -> anyhow::Result<Report> {
    let spinner = progress::count("reading features");
    let mut training = Training::<B>::new(tables, settings, device.clone())?;
    spinner.finish_and_clear();
    let state = state_path(&options.out);
    if options.resume {
        let bytes = fs::read(&state).with_context(|| format!("--resume: cannot read {}", state.display()))?;
        training.resume(&bytes).with_context(|| state.display().to_string())?;
        eprintln!("going on after {} epochs", training.epochs());
    }
    let (rows, seconds) = advance(&mut training, Some(&state), "training")?;
    let model = training.finish();
    save(&options.out, &model.to_bytes()?)?;
    let mut report =
        Report { summary: model.summary().clone(), rows: Vec::new(), rows_per_second: rows as f64 / seconds.max(1e-9) };
    let judged = if settings.fractions.test > 0.0 { (Slice::Test, "test") } else { (Slice::Validation, "validation") };
    for (name, quality) in training.baselines(judged.0) {
        report.rows.push(Row { name: name.to_owned(), slice: judged.1, quality });
    }
    if options.compare_static {
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
    fn add<B: burn_tensor::backend::AutodiffBackend>(
        &mut self,
        name: &str,
        training: &Training<B>,
        model: &Checkpoint,
    ) {
        let slices = [
            ("train", training.quality(model, Slice::Train, TRAIN_LOOKED_AT)),
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
                "{:<20}{:<12}{rows:>9}{roc_auc:>9.4}{average_precision:>9.4}{log_loss:>10.4}{calibration_error:>12.4}",
                row.name, row.slice
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
fn advance<B: burn_tensor::backend::AutodiffBackend>(
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
            last_auc = format!(", validation AUC {:.4}", quality.roc_auc);
            bar.suspend(|| eprintln!("{what}: epoch {epoch}, loss {loss:.4}{last_auc}"));
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

/// Checks what flags can get wrong.
///
/// # Errors
/// Names the flag.
pub fn check(settings: &TrainSettings) -> anyhow::Result<()> {
    let fractions = settings.fractions;
    ensure!((0.0..0.9).contains(&fractions.test), "--test-fraction: must be 0 or more, and below 0.9");
    ensure!(fractions.validation > 0.0, "--validation-fraction: must be above 0, for training stops by it");
    ensure!(
        fractions.test + fractions.validation < 0.95,
        "--test-fraction and --validation-fraction leave nothing to train on"
    );
    ensure!(settings.rate > 0.0 && settings.rate <= 1.0, "--rate: must be above 0 and at most 1");
    ensure!(settings.batch.is_none_or(|batch| (1..=65_536).contains(&batch)), "--batch: must be 1 to 65536");
    Ok(())
}

/// The instant that a model is stamped with; 0 leaves it out of the bytes.
#[must_use]
pub fn stamped(settings: TrainSettings, now: Millis) -> TrainSettings {
    TrainSettings { created: now, ..settings }
}
