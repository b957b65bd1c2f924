//! `eddyline replay`: offline evaluation through the serving engine.
//!
//! Invariant: a metric is printed only for replayed rows. Equal files and seed give equal metrics, whatever the number of
//! threads.

use crate::watch::watch;
use crate::window_flags::gap_and_tail;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};

use crate::off_policy;
use eddyline::app;
use eddyline::commands::args::ConfigArgs;
use eddyline::commands::output::{print_table, write_json};
use eddyline::commands::progress;
use eddyline::config::{Config, Flags};
use eddyline::domain::ids::{Key, ModelVersion};
use eddyline::domain::time::Millis;
use eddyline::engine::two_tower::TwoTower;
use eddyline::tower::Checkpoint;
use eddyline_replay::evaluate::{self as evaluation, TestSpan};
use eddyline_replay::formats::accepted_rejected::LabelledFiles;
use eddyline_replay::formats::plain::{self, Places};
use eddyline_replay::formats::time::{TimeUnit, Times};
use eddyline_replay::formats::windows::WindowRows;
use eddyline_replay::formats::{Columns, events, feed, items, windows};
use eddyline_replay::html;
use eddyline_replay::labelled::{self, JudgedRow, Query};
use eddyline_replay::likes::{self, Mode};
use eddyline_replay::log::read::{self, Source};
use eddyline_replay::log::tables::{Extras, log_of};
use eddyline_replay::log::{About, Log, WindowSource};
use eddyline_replay::off_policy::Judging;
use eddyline_replay::rankers;
use eddyline_replay::report::{self, Report};
use eddyline_tables::{self as tables, Tables};

/// Texts in one call of the embedder.
const TEXTS_AT_ONCE: usize = 256;

/// Format of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// JSON lists of `{text, label, embedding}`, one user per file.
    AcceptedRejected,
    /// JSON lines of `{actor, verb, object, time, …}`.
    Activities,
    /// CSV with a header: `user,item,time[,kind,dwell]`.
    Events,
    /// `user item time` without a header, separated by tabs, commas or blanks; `--columns user=1,item=2,time=3`.
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

/// Order of ranking and learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Rank the available items for all rows of a time unit, then learn these rows.
    Prequential,
    /// Leave one out: rank for each user's last row of the test after learning all other rows. It looks ahead; the report
    /// says how far.
    LastInWindow,
    /// For each row predict the label, score the prediction, and learn the row.
    Labelled,
    /// Estimate the reward of policies that did not produce the log; for open-bandit only.
    OffPolicy,
    /// Predict each view of the test before learning it, and rank liked posts among all posts and among available ones.
    Likes,
    /// Leave one out: predict each user's last view of the test after learning all others. It looks ahead; the report says
    /// how far.
    LikesLast,
}

/// Evaluate on a log, through the engine that serves.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Format of the files.
    #[arg(long)]
    format: Format,
    /// Order of ranking and learning; by default `labelled` for accepted-rejected and feed, `likes` for tables,
    /// `prequential` for all others.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Names of columns: `user=…,item=…,time=…`; for plain their positions, from 1.
    #[arg(long, value_name = "ROLE=NAME,…")]
    columns: Option<String>,
    /// Unit of numeric times, to which all times are rounded down: `s`, `ms`, `us`, `ns` or `step:SECONDS`. By default
    /// numbers are steps of ten minutes in live-intervals and seconds in movielens; elsewhere the size of the first number
    /// decides (9 or 10 digits: seconds; 12 or 13: milliseconds; 16: microseconds; 19: nanoseconds). By default times are
    /// rounded down to seconds for plain, feed, movielens and tables, to milliseconds for all others.
    #[arg(long)]
    time_unit: Option<TimeUnit>,
    /// Availability of items: CSV `item,start,stop` in the unit of the log. Without it, and without `--infer-windows`, each
    /// item is available from its first row on; for live-intervals, while any user is present.
    #[arg(long, value_name = "FILE")]
    windows: Option<PathBuf>,
    /// Infer windows from rows, in time units: rows of an item that follow each other within `gap` are one window
    /// `[first, last + tail)`.
    #[arg(long, value_name = "gap=N,tail=N", conflicts_with = "windows")]
    infer_windows: Option<String>,
    /// Attributes of items: CSV `item,topic,text,author,at,attributes,embedding`, of which only `item` is required.
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// Names of the columns of `--items`: `item=…,topic=…`.
    #[arg(long, value_name = "ROLE=NAME,…", requires = "items")]
    item_columns: Option<String>,
    /// Start of the test, in the unit or RFC 3339; by default the test is the last fifth of the time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "test_last")]
    test_from: Option<String>,
    /// Length of the test, in time units before the end.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    test_last: Option<i64>,
    /// Rank nothing before the test: faster, but without metrics over time.
    #[arg(long)]
    test_only: bool,
    /// For accepted-rejected: random orders per file; 0: each file once, in its own order.
    #[arg(long, default_value_t = 20)]
    shuffles: u32,
    /// Seed of orders, random rankers and bootstrap samples.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rankers: `model`, `model_list`, `similar_items`, `popularity_decayed`, `popularity`, `last_seen`, `most_frequent`,
    /// `habit_by_hour`, `latent_factors`, `random`. `model_list` is the model's feed after the list's rules, and shows
    /// their cost; `similar_items` resemble the user's last visited item by their visitors; `latent_factors` are user and
    /// item vectors, learned online. By default all but `model_list` and `similar_items`.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    rankers: Vec<String>,
    /// For accepted-rejected: a catalogue for each file, instead of one for all.
    #[arg(long)]
    separate: bool,
    /// For accepted-rejected, implicit feedback: rejected sentences are only seen, and so is this share of the accepted
    /// ones, 0 to 1. Sentences left before an accepted one are weak negatives, see `learn.signals.passed_weight`.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    unsaid: Option<f64>,
    /// Threads; metrics do not depend on it. By default one per core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// For `off-policy`: policies learn from this first share of the log and are evaluated on the rest. By default they are
    /// cross-fitted: each fifth of the log is evaluated by policies that learned from the other four.
    #[arg(long, value_name = "SHARE")]
    split: Option<f64>,
    /// For `off-policy`: clip larger importance weights to this one.
    #[arg(long, value_name = "WEIGHT")]
    clip: Option<f64>,
    /// A two-tower model (safetensors, as `train` writes it), evaluated alone and in the blend; for the protocols likes and
    /// likes-last.
    #[arg(long, value_name = "FILE")]
    tower: Option<PathBuf>,
    /// Replay under another setting of `[learn]`: `--set rank.author_run=2`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the report as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a self-contained page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Files or folders; `.gz` and `.zst` are decompressed.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Replays the files, prints the table, and writes the page and the JSON.
///
/// # Errors
/// A flag or file cannot be used (the message names flag, file, line and column), or a report not written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let mut config = args.config.start(&Flags::default())?;
    config.set_learn(&args.set)?;
    if args.format == Format::OpenBandit {
        let judging = Judging { split: args.split, clip: args.clip, folds: 5, seed: args.seed };
        let report = off_policy::open_bandit(&args.paths, &config, judging)?;
        print_table(args.json.as_deref(), || off_policy::table(&report))?;
        return write_json(args.json, &report);
    }
    let tower = args.tower.as_deref().map(|path| read_tower(path, config.dim)).transpose()?;
    let report = evaluate(&args, &config, tower.as_ref())?;
    print_table(args.json.as_deref(), || report::table(&report, &order()))?;
    if let Some(path) = args.html {
        let written = std::fs::write(&path, html::page(&report, &order(), &config.learn));
        written.with_context(|| format!("--html: cannot write {}", path.display()))?;
    }
    write_json(args.json, &report)
}

fn evaluate(options: &Args, config: &Config, tower: Option<&Arc<dyn TwoTower>>) -> anyhow::Result<Report> {
    let suits = match options.format {
        Format::Tables => Protocol::Likes,
        Format::AcceptedRejected | Format::Feed => Protocol::Labelled,
        _ => Protocol::Prequential,
    };
    match (options.format, options.protocol.unwrap_or(suits)) {
        (Format::AcceptedRejected, Protocol::Labelled) => accepted_rejected(options, config),
        (Format::AcceptedRejected, _) => bail!("--protocol: accepted-rejected has no times and takes only `labelled`"),
        (Format::OpenBandit, _) | (_, Protocol::OffPolicy) => {
            bail!("--protocol: off-policy needs propensities and takes only --format open-bandit")
        }
        (_, protocol) => {
            let predicts_likes = matches!(protocol, Protocol::Likes | Protocol::LikesLast);
            ensure!(tower.is_none() || predicts_likes, "--tower: takes only --protocol likes or likes-last");
            let times = times_of(options);
            let (mut log, windows, extras) = read_log(options, &times, config)?;
            let test = test_span(options, &times)?;
            embed_texts(&mut log, config)?;
            on_log(options, config, protocol, (&log, &extras), tower, (windows, test))
        }
    }
}

fn read_tower(path: &Path, dim: usize) -> anyhow::Result<Arc<dyn TwoTower>> {
    let named = || format!("--tower: {}", path.display());
    let bytes = std::fs::read(path).with_context(named)?;
    let checkpoint = Checkpoint::from_bytes(&bytes).with_context(named)?;
    let wanted = checkpoint.dim();
    // A model without embeddings as input suits any size.
    ensure!(
        wanted == 0 || wanted == dim,
        "--tower: {}: the model takes embeddings of {wanted} numbers, the configuration has {dim} (`dim`)",
        path.display()
    );
    Ok(checkpoint.into_model(ModelVersion(1)))
}

fn on_log(
    options: &Args,
    config: &Config,
    protocol: Protocol,
    (log, extras): (&Log, &Extras),
    tower: Option<&Arc<dyn TwoTower>>,
    (windows, test): (String, TestSpan),
) -> anyhow::Result<Report> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let how = evaluation::EvaluateOptions {
        format: name_of(options.format),
        windows,
        test,
        test_only: options.test_only,
        seed: options.seed,
        threads: options.threads.map_or_else(cores, usize::from),
        rankers: who_ranks(&options.rankers)?,
    };
    let settings = Arc::new(config.learn.clone());
    let passes = match protocol {
        Protocol::Prequential => how.rankers.len(),
        Protocol::LastInWindow => 2 * how.rankers.len(),
        Protocol::Labelled => rankers::labels::NAMES.len(),
        Protocol::Likes | Protocol::LikesLast => likes::names(tower).len(),
        Protocol::OffPolicy => bail!("--protocol: off-policy takes only --format open-bandit"),
    };
    let bar = progress::steps("replay", (log.rows.len() * passes) as u64);
    let each = |rows| bar.inc(rows);
    let likes_in = |mode| evaluation::likes(log, extras, tower, mode, &settings, &how, &each);
    let report = match protocol {
        Protocol::Likes => likes_in(Mode::InTime)?,
        Protocol::LikesLast => likes_in(Mode::LeaveOneOut)?,
        Protocol::Prequential => evaluation::prequential(log, &settings, &how, &each)?,
        Protocol::LastInWindow => evaluation::last_in_window(log, &settings, &how, &each)?,
        Protocol::Labelled | Protocol::OffPolicy => evaluation::labelled(log, &settings, &how, &each)?,
    };
    bar.finish_and_clear();
    Ok(report)
}

fn who_ranks(named: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let unknown = named.iter().find(|name| !rankers::ALL.contains(&name.as_str()));
    if let Some(name) = unknown {
        bail!("--rankers: no ranker `{name}`: choose from {}", rankers::ALL.join(", "));
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

/// Unit of numeric times, and the step to which all times are rounded down.
fn times_of(options: &Args) -> Times {
    let times = Times::of(options.time_unit);
    match options.format {
        Format::LiveIntervals if options.time_unit.is_none() => TimeUnit::TEN_MINUTES.into(),
        Format::Movielens => times.or_own(TimeUnit::SECONDS),
        Format::Plain | Format::Feed | Format::Tables => times.in_steps_of(TimeUnit::SECONDS),
        _ => times,
    }
}

fn test_span(options: &Args, times: &Times) -> anyhow::Result<TestSpan> {
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

/// Reads the log, the description of its windows for the report, and what tables add to the log.
fn read_log(options: &Args, times: &Times, config: &Config) -> anyhow::Result<(Log, String, Extras)> {
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
    ensure!(options.columns.is_none() || !roles.is_empty(), "--columns: this format has no named columns");
    let columns_of_log = columns(&options.columns, "--columns", roles)?;
    let read = if options.format == Format::Tables {
        Some(read_tables(options, columns_of_log.clone(), times, config)?)
    } else {
        None
    };
    let bar = progress::bytes("reading");
    let watch = || Some(watch(&bar));
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
            bail!("--format: {} is not a log of events", name_of(options.format))
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

fn read_tables(options: &Args, columns: Columns, times: &Times, config: &Config) -> anyhow::Result<Tables> {
    let from = crate::table_input::only_path(&options.paths)?;
    let options =
        tables::read::TableOptions { columns, times: times.clone(), dim: None, dim_of_texts: Some(config.dim) };
    crate::table_input::open(from, &options)
}

/// Embeds the texts of items as the server does. Items with neither text nor embedding stay as they are.
fn embed_texts(log: &mut Log, config: &Config) -> anyhow::Result<()> {
    let mut waiting: Vec<&mut About> =
        log.about.iter_mut().filter(|about| about.embedding.is_none() && about.text.is_some()).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let embedder = app::open_embedder(config)?;
    let bar = progress::steps("embedding texts", waiting.len() as u64);
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

fn window_source(options: &Args, times: Times) -> anyhow::Result<(WindowSource, String)> {
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
            let (gap, tail) = gap_and_tail(text)?;
            (WindowSource::Inferred { gap, tail }, format!("inferred, gap {gap}, tail {tail}"))
        }
        (None, None) if options.format == Format::LiveIntervals => {
            (WindowSource::Presence, "the union of everybody's presence".to_owned())
        }
        (None, None) => (WindowSource::FirstRow, "each item from its first row on".to_owned()),
    })
}

/// Replays files of accepted and rejected sentences.
fn accepted_rejected(options: &Args, config: &Config) -> anyhow::Result<Report> {
    let bar = progress::bytes("reading");
    let mut queries = Vec::new();
    for file in LabelledFiles::open(&options.paths, None, Some(watch(&bar)))? {
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
    let how = labelled::LabelledOptions {
        shuffles: options.shuffles,
        seed: options.seed,
        separate: options.separate,
        unsaid: options.unsaid,
    };
    let report = labelled::replay(&queries, &settings, how, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(report)
}

fn share(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("must be a number between 0 and 1")
}

/// Names of rankers and labellers in the order of the report's rows.
fn order() -> Vec<&'static str> {
    let labellers = rankers::labels::NAMES.into_iter().filter(|name| !rankers::ALL.contains(name));
    rankers::ALL.into_iter().chain(labellers).collect()
}
