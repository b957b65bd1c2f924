//! `eddyline simulate`: a network and its history as activities, a log of live viewing, or tables of people, posts and
//! views.
//!
//! Invariant: equal flags with a given start give equal bytes. An existing file is not overwritten.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};

use crate::friend_graph::{self, PEOPLE_DRAWN};
use eddyline::actors::clock::{Clock, WallClock};
use eddyline::commands::args::rfc3339;
use eddyline::commands::output::print;
use eddyline::commands::progress;
use eddyline::domain::time::{DAY_MS, HOUR_MS, Millis};
use eddyline::process::say;
use eddyline::simulate::history::{History, write_json_lines};
use eddyline::simulate::measures::Measures;
use eddyline::simulate::network::Network;
use eddyline::simulate::tables::bounds::{Bounds, RECENT, Truth};
use eddyline::simulate::tables::{Act, Tables, TablesSize};
use eddyline::simulate::viewing::{Viewing, ViewingSize};
use eddyline_replay::metrics::shown;
use eddyline_tables::write::{Cell, ColumnKind, FileFormat, TableWriter};

/// Write a simulated network as activities (JSON lines), a log of live viewing, or tables of people, posts and views.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["out", "log", "tables"]))]
pub struct Args {
    /// Directory for the documents of a network: `people.jsonl` (`user`, `name`, `friends`) and `activities.jsonl`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Let people view and judge posts of their friends only.
    #[arg(long, requires = "out")]
    among_friends: bool,
    /// Write activities as a document database exports them: `$oid`, `$date`, and posts without `object`.
    #[arg(long, requires = "out")]
    extended_json: bool,
    /// Draw the friend graph as SVG; for up to 5,000 people.
    #[arg(long, value_name = "FILE", requires = "out")]
    svg: Option<PathBuf>,
    /// Write measurements of this many people into the directory instead, in four groups: `groups.csv` (`user`, `post`,
    /// `channel`, `group`) for `cluster`, and `metrics.csv` for `import --format metrics`.
    #[arg(long, value_name = "N", requires = "out", conflicts_with_all = ["among_friends", "extended_json", "svg"],
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    metrics: Option<u32>,
    /// Write a log of live viewing instead (`user,stream,streamer,start,stop`), compressed when it ends in `.gz` or `.zst`.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Approximate number of rows in the log.
    #[arg(long, default_value_t = 100_000, requires = "log")]
    rows: u64,
    /// Channels in the log.
    #[arg(long, default_value_t = 1_500, requires = "log", value_parser = clap::value_parser!(u32).range(1..))]
    channels: u32,
    /// Write tables instead: `user_data`, `post_text_df` and `feed_data`. The file `truth.json` beside them holds the best
    /// ROC AUC that a predictor can reach on the last fifth of the time: one that knows the law behind the likes.
    #[arg(long, value_name = "DIR")]
    tables: Option<PathBuf>,
    /// Posts in the tables.
    #[arg(long, default_value_t = 7_000, requires = "tables", value_parser = clap::value_parser!(u32).range(1..))]
    posts: u32,
    /// Views in the tables; each like adds a row.
    #[arg(long, default_value_t = 100_000, requires = "tables", value_parser = clap::value_parser!(u64).range(1..))]
    views: u64,
    /// File format of the tables.
    #[arg(long, default_value = "csv", requires = "tables")]
    format: TableFormat,
    /// People in the network, in the log or in the tables.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    people: u32,
    /// Days of history.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,
    /// Seed; equal seeds give equal bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin of the history, RFC 3339. By default a network's history ends with the current hour, so that it is alive when
    /// it is served, and tables begin at 2026-01-05T00:00:00Z.
    #[arg(long, value_parser = rfc3339)]
    start: Option<Millis>,
}

/// Writes what the flags ask for, and prints how much it wrote.
///
/// # Errors
/// A file exists or cannot be written, or the simulation refuses the sizes.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { people, days, seed, .. } = args;
    if let Some(path) = args.log {
        let size = ViewingSize { rows: args.rows, people, channels: args.channels, days };
        let count = viewing(&path, size, seed)?;
        say(format_args!("{count} visits of {people} people in {}", path.display()));
    }
    if let Some(out) = args.tables {
        let size = TablesSize { people, posts: args.posts, views: args.views, days };
        let start = args.start.unwrap_or(TABLES_START);
        print(&truth_table(&tables(&out, size, seed, start, args.format)?, &out))?;
    }
    if let (Some(count), Some(out)) = (args.metrics, &args.out) {
        let start = args.start.unwrap_or(TABLES_START);
        measurements(out, count, seed, start)?;
        say(format_args!("measurements of {count} people in four groups in {}", out.display()));
        return Ok(());
    }
    if let Some(out) = args.out {
        let network = Network::new(people as usize, seed)?;
        // Drawn first: where this fails, no document is written.
        if let Some(path) = &args.svg {
            draw(&network, path)?;
        }
        let this_hour = Millis(WallClock::default().now().0.div_euclid(HOUR_MS) * HOUR_MS);
        let start = args.start.unwrap_or_else(|| this_hour.plus(-i64::from(days) * DAY_MS));
        let mut history = History::new(&network, start, days, seed)?;
        if args.among_friends {
            history = history.among_friends();
        }
        if args.extended_json {
            history = history.as_extended_json();
        }
        let count = documents(&out, &network, history)?;
        say(format_args!("{count} activities of {people} people in {}", out.display()));
    }
    Ok(())
}

/// Creates a file that a flag names, or one in the folder that it names.
///
/// # Errors
/// The file exists or cannot be created.
fn create(flag: &str, path: &Path) -> anyhow::Result<File> {
    File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow!("{flag}: {} exists: remove it, or choose another place", path.display()),
        _ => anyhow::Error::new(error).context(format!("{flag}: cannot create {}", path.display())),
    })
}

/// Makes the folder that a flag names.
///
/// # Errors
/// A file has this name, or the folder cannot be made.
fn make_folder(flag: &str, path: &Path) -> anyhow::Result<()> {
    ensure!(!path.is_file(), "{flag}: {} is a file: name a folder", path.display());
    fs::create_dir_all(path).with_context(|| format!("{flag}: cannot make {}", path.display()))
}

/// Begin of simulated tables: a Monday.
const TABLES_START: Millis = Millis(1_767_571_200_000);

/// Writes `groups.csv` and `metrics.csv` into a directory.
///
/// # Errors
/// A file exists or cannot be written.
fn measurements(out: &Path, people: u32, seed: u64, start: Millis) -> anyhow::Result<()> {
    make_folder("--out", out)?;
    let create = |name: &str| create("--out", &out.join(name)).map(BufWriter::new);
    let (mut groups, mut metrics) = (create("groups.csv")?, create("metrics.csv")?);
    writeln!(groups, "user,post,channel,group")?;
    writeln!(metrics, "user,metric,type,value,time")?;
    for person in 0..people {
        let measures = Measures::of(seed, person.into());
        writeln!(groups, "person-{person},{},{},{}", measures.post, measures.channel, measures.group)?;
        for (kind, value) in measures.by_type() {
            writeln!(metrics, "person-{person},time_spent,{kind},{value},{}", start.0)?;
        }
    }
    groups.flush()?;
    metrics.flush()?;
    Ok(())
}

/// Draws the friend graph.
///
/// # Errors
/// The network is too large, or the file exists or cannot be written.
fn draw(network: &Network, path: &Path) -> anyhow::Result<()> {
    let people = network.people().len();
    ensure!(people <= PEOPLE_DRAWN, "--svg: at most {PEOPLE_DRAWN} people can be drawn, not {people}: lower --people");
    let mut file = create("--svg", path)?;
    file.write_all(friend_graph::draw(network).as_bytes())
        .with_context(|| format!("--svg: cannot write {}", path.display()))
}

/// Writes `people.jsonl` and `activities.jsonl` into a directory; returns the number of activities.
///
/// # Errors
/// A file exists or cannot be written.
fn documents(out: &Path, network: &Network, history: History<'_>) -> anyhow::Result<u64> {
    make_folder("--out", out)?;
    let create = |name: &str| create("--out", &out.join(name)).map(BufWriter::new);
    let (mut list, mut file) = (create("people.jsonl")?, create("activities.jsonl")?);
    for (person, index) in network.people().iter().zip(network.indices()) {
        let friends: Vec<&str> =
            network.friends(index).iter().map(|friend| network.person(*friend).key.as_str()).collect();
        let line = serde_json::json!({"user": person.key, "name": person.name, "friends": friends});
        writeln!(list, "{line}")?;
    }
    list.flush()?;
    let bar = progress::steps("hours", u64::from(history.progress().hours_total));
    let count = write_json_lines(history, &mut file, &mut |progress| bar.set_position(u64::from(progress.hours)))?;
    bar.finish_and_clear();
    Ok(count)
}

/// Writes `user,stream,streamer,start,stop` in steps of ten minutes, without a header; returns the number of visits.
/// The file is compressed when its name ends in `.gz` or `.zst`.
///
/// # Errors
/// The file exists or cannot be written.
fn viewing(path: &Path, size: ViewingSize, seed: u64) -> anyhow::Result<u64> {
    let file = BufWriter::new(create("--log", path)?);
    let mut viewing = Viewing::new(size, seed);
    let bar = progress::steps("steps", u64::from(viewing.steps()));
    let written = match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => {
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            write_visits(&mut viewing, &mut out, &bar).and_then(|count| Ok((count, out.finish()?)))
        }
        Some("zst") => zstd::Encoder::new(file, 3).and_then(|mut out| {
            let count = write_visits(&mut viewing, &mut out, &bar)?;
            Ok((count, out.finish()?))
        }),
        _ => {
            let mut out = file;
            write_visits(&mut viewing, &mut out, &bar).map(|count| (count, out))
        }
    };
    let count = written.and_then(|(count, mut file)| file.flush().map(|()| count));
    bar.finish_and_clear();
    count.with_context(|| format!("--log: cannot write {}", path.display()))
}

fn write_visits(viewing: &mut Viewing, out: &mut impl Write, bar: &indicatif::ProgressBar) -> std::io::Result<u64> {
    let mut count = 0;
    let mut out = BufWriter::new(out);
    while let Some(visits) = viewing.next_step() {
        for visit in &visits {
            writeln!(out, "{},{},{},{},{}", visit.user, visit.stream, visit.channel, visit.start, visit.stop)?;
        }
        count += visits.len() as u64;
        bar.inc(1);
    }
    out.flush()?;
    Ok(count)
}

/// File format of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TableFormat {
    /// CSV with a header.
    Csv,
    /// CSV with a header, compressed by Zstandard.
    CsvZst,
    /// Parquet, compressed by column.
    Parquet,
}

/// Id of the first person; ids of posts begin with 1.
const FIRST_PERSON: i64 = 200;

/// Writes `user_data`, `post_text_df`, `feed_data` and `truth.json` into a directory.
///
/// # Errors
/// A file cannot be written, or the simulation refuses the sizes.
fn tables(out: &Path, size: TablesSize, seed: u64, start: Millis, format: TableFormat) -> anyhow::Result<Truth> {
    let format = match format {
        TableFormat::Csv => FileFormat::Csv,
        TableFormat::CsvZst => FileFormat::CsvZst,
        TableFormat::Parquet => FileFormat::Parquet,
    };
    let mut tables = Tables::new(size, seed, start)?;
    make_folder("--tables", out)?;
    write_people(&tables, out, format)?;
    write_posts(&tables, out, format)?;
    let columns = [
        ("timestamp", ColumnKind::Time),
        ("user_id", ColumnKind::Integer),
        ("post_id", ColumnKind::Integer),
        ("action", ColumnKind::Text),
        ("target", ColumnKind::Integer),
    ];
    let mut feed = TableWriter::create(out, "feed_data", format, &columns)?;
    let mut bounds = Bounds::new(&tables);
    let bar = progress::steps("views", size.views);
    while let Some(row) = tables.next() {
        bounds.note(&tables, &row);
        let (action, target) = match row.act {
            Act::View { liked, .. } => ("view", i64::from(liked)),
            Act::Like => ("like", 0),
        };
        let (person, post) = (FIRST_PERSON + i64::from(row.person), 1 + i64::from(row.post));
        feed.row(&[
            Cell::Time(row.at),
            Cell::Integer(person),
            Cell::Integer(post),
            Cell::Text(action),
            Cell::Integer(target),
        ])?;
        bar.set_position(tables.views());
    }
    feed.finish()?;
    bar.finish_and_clear();
    let truth = bounds.truth();
    let path = out.join("truth.json");
    let text = serde_json::to_string_pretty(&truth)?;
    fs::write(&path, text).with_context(|| format!("--tables: cannot write {}", path.display()))?;
    Ok(truth)
}

fn write_people(tables: &Tables, out: &Path, format: FileFormat) -> anyhow::Result<()> {
    let columns = [
        ("user_id", ColumnKind::Integer),
        ("gender", ColumnKind::Integer),
        ("age", ColumnKind::Integer),
        ("country", ColumnKind::Text),
        ("city", ColumnKind::Text),
        ("exp_group", ColumnKind::Integer),
        ("os", ColumnKind::Text),
        ("source", ColumnKind::Text),
    ];
    let mut people = TableWriter::create(out, "user_data", format, &columns)?;
    for (id, person) in (FIRST_PERSON..).zip(tables.people()) {
        people.row(&[
            Cell::Integer(id),
            Cell::Integer(person.gender.into()),
            Cell::Integer(person.age.into()),
            Cell::Text(person.country()),
            Cell::Text(person.city()),
            Cell::Integer(person.group.into()),
            Cell::Text(person.os()),
            Cell::Text(person.source()),
        ])?;
    }
    people.finish()?;
    Ok(())
}

fn write_posts(tables: &Tables, out: &Path, format: FileFormat) -> anyhow::Result<()> {
    let columns = [("post_id", ColumnKind::Integer), ("text", ColumnKind::Text), ("topic", ColumnKind::Text)];
    let mut posts = TableWriter::create(out, "post_text_df", format, &columns)?;
    for (id, post) in (1..).zip(tables.posts()) {
        posts.row(&[Cell::Integer(id), Cell::Text(&post.text), Cell::Text(post.topic.name())])?;
    }
    posts.finish()?;
    Ok(())
}

/// Formats the number of rows, and the best ROC AUC by the knowledge that a predictor has.
fn truth_table(truth: &Truth, out: &Path) -> String {
    let auc = truth.auc;
    format!(
        "{views} views, {likes} likes in {folder}\n\
         best ROC AUC on the {test} views of the last fifth of the time, for a predictor that knows the law of likes and\n\
         {features}  posts, attributes of people, and the hour, without history\n\
         {recent}  and the last {RECENT} views of the person\n\
         {history}  and all earlier views of the person\n\
         {others}  and all earlier views of all people\n\
         {latent}  and the latent interests, which no row holds",
        views = truth.views,
        likes = truth.likes,
        folder = out.display(),
        test = truth.test_views,
        features = shown(auc.features, 4),
        recent = shown(auc.history_recent, 4),
        history = shown(auc.history, 4),
        others = shown(auc.history_and_others, 4),
        latent = shown(auc.latent, 4),
    )
}
