//! `eddyline simulate`: a network and its history as activities, a log of live viewing, or tables of people, posts and
//! views.
//!
//! Invariant: same numbers, same bytes. An existing file is not overwritten.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;

use crate::commands::progress;
use crate::domain::time::Millis;
use crate::replay::metrics::shown;
use crate::simulate::history::{History, write_json_lines};
use crate::simulate::network::Network;
use crate::simulate::tables::bounds::{Bounds, RECENT, Truth};
use crate::simulate::tables::{Act, Tables, TablesSize};
use crate::simulate::viewing::{Viewing, ViewingSize};
use crate::tables::write::{Cell, ColumnKind, FileFormat, TableWriter};

/// Writes `activities.jsonl` and `people.jsonl` into a directory.
///
/// # Errors
/// What cannot be written, or simulated.
pub fn run(out: &Path, people: usize, days: u32, seed: u64, start: Millis) -> anyhow::Result<u64> {
    let network = Network::new(people, seed)?;
    fs::create_dir_all(out).with_context(|| format!("--out: cannot make {}", out.display()))?;
    let create = |name: &str| {
        let path = out.join(name);
        File::create_new(&path).with_context(|| format!("--out: cannot create {}", path.display())).map(BufWriter::new)
    };
    let mut list = create("people.jsonl")?;
    for person in network.people() {
        let line = serde_json::json!({"user": person.key, "name": person.name});
        writeln!(list, "{line}")?;
    }
    list.flush()?;
    let history = History::new(&network, start, days, seed)?;
    let bar = progress::steps("hours", u64::from(history.progress().hours_total));
    let mut file = create("activities.jsonl")?;
    let count = write_json_lines(history, &mut file, &mut |progress| bar.set_position(u64::from(progress.hours)))?;
    bar.finish_and_clear();
    Ok(count)
}

/// Writes `user,stream,streamer,start,stop` in steps of ten minutes, without a header; compressed when the file ends in
/// `.gz` or `.zst`.
///
/// # Errors
/// What cannot be written.
pub fn viewing(path: &Path, size: ViewingSize, seed: u64) -> anyhow::Result<u64> {
    let file = File::create_new(path).with_context(|| format!("--log: cannot create {}", path.display()))?;
    let file = BufWriter::new(file);
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

/// How tables are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TableFormat {
    /// Text with a header.
    Csv,
    /// The same, compressed.
    CsvZst,
    /// Columns, compressed.
    Parquet,
}

/// The first person's id; ids of posts begin with 1.
const FIRST_PERSON: i64 = 200;

/// Writes `user_data`, `post_text_df` and `feed_data` into a directory, and `truth.json`.
///
/// # Errors
/// What cannot be written, or simulated.
pub fn tables(out: &Path, size: TablesSize, seed: u64, start: Millis, format: TableFormat) -> anyhow::Result<Truth> {
    let format = match format {
        TableFormat::Csv => FileFormat::Csv,
        TableFormat::CsvZst => FileFormat::CsvZst,
        TableFormat::Parquet => FileFormat::Parquet,
    };
    let mut tables = Tables::new(size, seed, start)?;
    fs::create_dir_all(out).with_context(|| format!("--tables: cannot make {}", out.display()))?;
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

/// What was written, and how well it can be told.
#[must_use]
pub fn said(truth: &Truth, out: &Path) -> String {
    let auc = truth.auc;
    format!(
        "{views} views, {likes} likes in {folder}\n\
         ROC AUC of the {test} views of the last fifth of the time, for who knows the law that likes are drawn from and\n\
         {features}  what posts show, attributes of people, the hour: nothing of the past\n\
         {recent}  and the last {RECENT} views of the person\n\
         {history}  and all their views so far\n\
         {others}  and everybody's views so far\n\
         {latent}  tastes themselves, which no row tells",
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
