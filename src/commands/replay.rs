//! `eddyline replay`: offline evaluation through the serving engine.
//!
//! Invariant: a figure is printed only for what was replayed; same files and seed, same figures, whatever the threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};

use crate::app;
use crate::commands::progress;
use crate::config::Config;
use crate::domain::ids::{Key, ModelVersion};
use crate::domain::time::Millis;
use crate::engine::tower::TwoTower;
use crate::replay::evaluate::{self, TestSpan};
use crate::replay::formats::accepted_rejected::LabelledFiles;
use crate::replay::formats::plain::{self, Places};
use crate::replay::formats::time::{TimeUnit, Times};
use crate::replay::formats::windows::WindowRows;
use crate::replay::formats::{Columns, events, feed, items, windows};
use crate::replay::html;
use crate::replay::labelled::{self, JudgedRow, Query};
use crate::replay::likes::{self, Mode};
use crate::replay::log::read::{self, Source};
use crate::replay::log::tables::{Extras, log_of};
use crate::replay::log::{About, Log, WindowSource};
use crate::replay::rankers;
use crate::replay::report::{self, Report};
use crate::tables::{self, Tables};
use crate::tower::Checkpoint;

/// Texts that are turned into vectors together.
const TEXTS_AT_ONCE: usize = 256;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// JSON lists of `{text, label, embedding}`, one person per file.
    AcceptedRejected,
    /// JSON lines of `{actor, verb, object, time, …}`.
    Activities,
    /// CSV with a header: `user,item,time[,kind,dwell]`.
    Events,
    /// `user item time` without a header, with tabs, commas or blanks between; `--columns user=1,item=2,time=3`.
    Plain,
    /// CSV without a header: `user,stream,streamer,start,stop`.
    LiveIntervals,
    /// CSV with a header: `timestamp,user_id,post_id,action,target`.
    Feed,
    /// `user item rating timestamp` with tabs (`u.data`).
    Movielens,
    /// A folder of impressions with propensities and an `item_context.csv`.
    OpenBandit,
    /// A folder with `user_data`, `post_text_df` and `feed_data` (CSV or Parquet), `posts=FILE,feed=FILE[,people=FILE]`, or
    /// the `postgres://…` of a database that has those tables.
    Tables,
}

/// How it is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Rank among what is available, all of one time unit before any of it is learned.
    Prequential,
    /// Rank each person's last row of the test when all other rows are learned: looks ahead, and says how far.
    LastInWindow,
    /// Predict, score, learn.
    Labelled,
    /// Judge policies that did not make the log; for open-bandit alone.
    OffPolicy,
    /// Predict each view of the test before it is learned, and rank liked posts among all posts and the available ones.
    Likes,
    /// The same for each person's last view of the test, when all else is learned: looks ahead, and says how far.
    LikesLast,
}

/// All that the command line says.
pub struct Options {
    /// What is read.
    pub format: Format,
    /// How it is replayed; by default what suits the format.
    pub protocol: Option<Protocol>,
    /// Files or folders.
    pub paths: Vec<PathBuf>,
    /// `role=name,…` maps column names.
    pub columns: Option<String>,
    /// Unit of times that are numbers; by default what suits the format.
    pub unit: Option<TimeUnit>,
    /// A file of windows.
    pub windows: Option<PathBuf>,
    /// `gap=N,tail=N`.
    pub infer_windows: Option<String>,
    /// A file of items.
    pub items: Option<PathBuf>,
    /// `role=name,…` maps its column names.
    pub item_columns: Option<String>,
    /// Where the test begins.
    pub test_from: Option<String>,
    /// How many time units it has.
    pub test_last: Option<i64>,
    /// Rank nothing before the test.
    pub test_only: bool,
    /// Orders of judged sentences.
    pub shuffles: u32,
    /// Who ranks, of [`rankers::ALL`]; [`rankers::NAMES`] when empty.
    pub rankers: Vec<String>,
    /// A catalogue for each file of judged sentences.
    pub separate: bool,
    /// Decides orders, chance and resampling.
    pub seed: u64,
    /// At least 1.
    pub threads: usize,
}

/// Replays.
///
/// # Errors
/// What is wrong, where.
pub fn run(options: &Options, config: &Config, tower: Option<&Arc<dyn TwoTower>>) -> anyhow::Result<Report> {
    let suits = match options.format {
        Format::Tables => Protocol::Likes,
        Format::AcceptedRejected | Format::Feed => Protocol::Labelled,
        _ => Protocol::Prequential,
    };
    match (options.format, options.protocol.unwrap_or(suits)) {
        (Format::AcceptedRejected, Protocol::Labelled) => accepted_rejected(options, config),
        (Format::AcceptedRejected, _) => bail!("--protocol: accepted-rejected has no times, only `labelled` suits it"),
        (Format::OpenBandit, _) | (_, Protocol::OffPolicy) => {
            bail!("--protocol: off-policy needs propensities, and goes with --format open-bandit alone")
        }
        (_, protocol) => {
            let predicts_likes = matches!(protocol, Protocol::Likes | Protocol::LikesLast);
            ensure!(tower.is_none() || predicts_likes, "--tower: goes with --protocol likes and likes-last");
            let times = times_of(options);
            let (mut log, windows, extras) = read_log(options, &times, config)?;
            let test = test_span(options, &times)?;
            embed_texts(&mut log, config)?;
            on_log(options, config, protocol, (&log, &extras), tower, (windows, test))
        }
    }
}

/// Reads a two-tower model for embeddings of `dim` numbers.
///
/// # Errors
/// What is wrong with the file.
pub fn read_tower(path: &Path, dim: usize) -> anyhow::Result<Arc<dyn TwoTower>> {
    let named = || format!("--tower: {}", path.display());
    let bytes = std::fs::read(path).with_context(named)?;
    let checkpoint = Checkpoint::from_bytes(&bytes).with_context(named)?;
    let wanted = checkpoint.dim();
    // A model that reads no embeddings does not care for their size.
    ensure!(
        wanted == 0 || wanted == dim,
        "--tower: {}: was made for embeddings of {wanted} numbers, those of the configuration have {dim} (`dim`)",
        path.display()
    );
    Ok(checkpoint.into_model(ModelVersion(1)))
}

fn on_log(
    options: &Options,
    config: &Config,
    protocol: Protocol,
    (log, extras): (&Log, &Extras),
    tower: Option<&Arc<dyn TwoTower>>,
    (windows, test): (String, TestSpan),
) -> anyhow::Result<Report> {
    let how = evaluate::EvaluateOptions {
        format: name_of(options.format),
        windows,
        test,
        test_only: options.test_only,
        seed: options.seed,
        threads: options.threads,
        rankers: who_ranks(&options.rankers)?,
    };
    let settings = Arc::new(config.learn.clone());
    let passes = match protocol {
        Protocol::Prequential => how.rankers.len(),
        Protocol::LastInWindow => 2 * how.rankers.len(),
        Protocol::Labelled => rankers::labels::NAMES.len(),
        Protocol::Likes | Protocol::LikesLast => likes::names(tower).len(),
        Protocol::OffPolicy => bail!("--protocol: off-policy goes with --format open-bandit alone"),
    };
    let bar = progress::steps("replay", (log.rows.len() * passes) as u64);
    let each = |rows| bar.inc(rows);
    let likes_in = |mode| evaluate::likes(log, extras, tower, mode, &settings, &how, &each);
    let report = match protocol {
        Protocol::Likes => likes_in(Mode::InTime)?,
        Protocol::LikesLast => likes_in(Mode::LeaveOneOut)?,
        Protocol::Prequential => evaluate::prequential(log, &settings, &how, &each)?,
        Protocol::LastInWindow => evaluate::last_in_window(log, &settings, &how, &each)?,
        Protocol::Labelled | Protocol::OffPolicy => evaluate::labelled(log, &settings, &how, &each)?,
    };
    bar.finish_and_clear();
    Ok(report)
}

fn who_ranks(named: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let unknown = named.iter().find(|name| !rankers::ALL.contains(&name.as_str()));
    if let Some(name) = unknown {
        bail!("--rankers: there is no `{name}`, only {}", rankers::ALL.join(", "));
    }
    let wanted = |name: &&'static str| match named {
        [] => rankers::NAMES.contains(name),
        _ => named.iter().any(|one| one == name),
    };
    Ok(rankers::ALL.into_iter().filter(wanted).collect())
}

fn name_of(format: Format) -> String {
    clap::ValueEnum::to_possible_value(&format).map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// How the times of the log are read, and what they are rounded down to.
fn times_of(options: &Options) -> Times {
    let times = Times::of(options.unit);
    match options.format {
        Format::LiveIntervals if options.unit.is_none() => TimeUnit::TEN_MINUTES.into(),
        Format::Movielens => times.or_own(TimeUnit::SECONDS),
        Format::Plain | Format::Feed | Format::Tables => times.in_steps_of(TimeUnit::SECONDS),
        _ => times,
    }
}

fn test_span(options: &Options, times: &Times) -> anyhow::Result<TestSpan> {
    Ok(match (&options.test_from, options.test_last) {
        (Some(_), Some(_)) => bail!("--test-from and --test-last: give one of them"),
        (Some(text), None) => {
            let at =
                times.parse(text).map_err(|expected| anyhow::anyhow!("--test-from: `{text}` is not {expected}"))?;
            TestSpan::From(at)
        }
        (None, Some(units)) => TestSpan::Last(units),
        (None, None) => TestSpan::LastFifth,
    })
}

/// Reads the log, and says where its windows came from, and what tables say beside it.
fn read_log(options: &Options, times: &Times, config: &Config) -> anyhow::Result<(Log, String, Extras)> {
    let columns = |given: &Option<String>, flag: &str, roles: &[&str]| match given {
        Some(text) => Columns::parse(text, roles).with_context(|| flag.to_owned()),
        None => Ok(Columns::default()),
    };
    let places = match (options.format, &options.columns) {
        (Format::Plain, Some(text)) => Places::parse(text).context("--columns")?,
        _ => Places::default(),
    };
    let roles: &[&str] = match options.format {
        Format::Plain => &plain::ROLES,
        Format::Events => &events::ROLES,
        Format::Feed => &feed::ROLES,
        Format::Tables => &tables::read::ROLES,
        _ => &[],
    };
    ensure!(options.columns.is_none() || !roles.is_empty(), "--columns: the format has no names of columns");
    let columns_of_log = columns(&options.columns, "--columns", roles)?;
    let read = if options.format == Format::Tables {
        Some(read_tables(options, columns_of_log.clone(), times, config)?)
    } else {
        None
    };
    let bar = progress::bytes("reading");
    let watch = || Some(progress::watch(&bar));
    let source = Source { paths: &options.paths, columns: columns_of_log, unit: times.clone(), watch: watch() };
    let mut log = match options.format {
        Format::Events => read::events(source)?,
        Format::Plain => read::plain(source, places)?,
        Format::LiveIntervals => read::live_intervals(source)?,
        Format::Feed => read::feed(source)?,
        Format::Movielens => read::movielens(source)?,
        Format::Activities => read::activities(source, config.dim)?,
        Format::Tables => log_of(read.as_ref().unwrap_or(&Tables::default()), times.step_ms()),
        Format::AcceptedRejected | Format::OpenBandit => {
            bail!("--format: {} is no log of times and places", name_of(options.format))
        }
    };
    if let Some(path) = &options.items {
        let columns = columns(&options.item_columns, "--item-columns", &items::ROLES)?;
        let source = Source { paths: std::slice::from_ref(path), columns, unit: times.fresh(), watch: watch() };
        read::describe(&mut log, source, config.dim)?;
    }
    let (windows, said) = window_source(options, times.fresh())?;
    let log = log.finish(windows);
    let extras = read.map_or_else(Extras::default, |tables| Extras::of(&tables, &log));
    bar.finish_and_clear();
    Ok((log, said, extras))
}

fn read_tables(options: &Options, columns: Columns, times: &Times, config: &Config) -> anyhow::Result<Tables> {
    let [place] = &options.paths[..] else {
        bail!("PATH: give one folder, posts=FILE,feed=FILE[,people=FILE], or postgres://…")
    };
    let from = place.to_str().context("PATH: must be UTF-8")?;
    let options =
        tables::read::TableOptions { columns, times: times.clone(), dim: None, dim_of_texts: Some(config.dim) };
    super::tables::open(from, &options)
}

/// Turns the texts of items into vectors, as the server would; items without either stay without.
fn embed_texts(log: &mut Log, config: &Config) -> anyhow::Result<()> {
    let mut waiting: Vec<&mut About> =
        log.about.iter_mut().filter(|about| about.embedding.is_none() && about.text.is_some()).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let embedder = app::open_embedder(config)?;
    let bar = progress::steps("reading texts", waiting.len() as u64);
    for batch in waiting.chunks_mut(TEXTS_AT_ONCE) {
        let texts: Vec<&str> = batch.iter().filter_map(|about| about.text.as_deref()).collect();
        let vectors = embedder.embed(&texts)?;
        for (about, vector) in batch.iter_mut().zip(vectors) {
            about.embedding = Some(vector);
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

fn window_source(options: &Options, times: Times) -> anyhow::Result<(WindowSource, String)> {
    Ok(match (&options.windows, &options.infer_windows) {
        (Some(_), Some(_)) => bail!("--windows and --infer-windows: give one of them"),
        (Some(path), None) => {
            let roles = Columns::parse("item=item,start=start,stop=stop", &windows::ROLES)?;
            let mut list: Vec<(Key, Millis, Option<Millis>)> = Vec::new();
            for row in WindowRows::open(std::slice::from_ref(path), roles, times, None)? {
                let row = row?;
                list.push((row.item, row.window.start, row.window.stop));
            }
            (WindowSource::Given(list), "as given".to_owned())
        }
        (None, Some(text)) => {
            let (gap, tail) = gap_and_tail(text).with_context(|| {
                format!("--infer-windows: `{text}` is not of the form gap=18,tail=6, in time units, tail above 0")
            })?;
            (WindowSource::Inferred { gap, tail }, format!("inferred, gap {gap}, tail {tail}"))
        }
        (None, None) if options.format == Format::LiveIntervals => {
            (WindowSource::Presence, "the union of everybody's presence".to_owned())
        }
        (None, None) => (WindowSource::FirstRow, "each item from its first row on".to_owned()),
    })
}

fn gap_and_tail(text: &str) -> Option<(i64, i64)> {
    let (mut gap, mut tail) = (None, None);
    for part in text.split(',') {
        let (name, value) = part.split_once('=')?;
        let value = value.parse::<i64>().ok().filter(|value| (0..=1 << 40).contains(value))?;
        match name {
            "gap" if gap.is_none() => gap = Some(value),
            "tail" if tail.is_none() && value > 0 => tail = Some(value),
            _ => return None,
        }
    }
    gap.zip(tail)
}

/// Replays accepted/rejected files.
fn accepted_rejected(options: &Options, config: &Config) -> anyhow::Result<Report> {
    let bar = progress::bytes("reading");
    let mut queries = Vec::new();
    for file in LabelledFiles::open(&options.paths, None, Some(progress::watch(&bar)))? {
        let file = file?;
        let name = Key::new(&file.name).with_context(|| format!("file name {:?}", file.name))?;
        let rows = file.rows.into_iter().map(|row| JudgedRow {
            text: row.text,
            accepted: row.accepted,
            embedding: row.embedding,
        });
        queries.push(Query { name, rows: rows.collect() });
    }
    bar.finish_and_clear();
    let bar = progress::steps("orders", queries.len() as u64 * u64::from(options.shuffles.max(1)));
    let settings = Arc::new(config.learn.clone());
    let how = labelled::LabelledOptions { shuffles: options.shuffles, seed: options.seed, separate: options.separate };
    let report = labelled::replay(&queries, &settings, how, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(report)
}

/// Rankers and labellers in the order in which they are listed.
fn order() -> Vec<&'static str> {
    let labellers = rankers::labels::NAMES.into_iter().filter(|name| !rankers::ALL.contains(name));
    rankers::ALL.into_iter().chain(labellers).collect()
}

/// The report for people.
#[must_use]
pub fn table(report: &Report) -> String {
    report::table(report, &order())
}

/// The report as a page.
#[must_use]
pub fn page(report: &Report) -> String {
    html::page(report, &order())
}
