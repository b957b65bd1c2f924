//! `eddyline explore`: a page about a corpus of judged texts.
//!
//! Invariant: equal files and flags give equal figures and pages. Deliberately absent: learning, and the server.

mod terms;
mod vectors;
mod page;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use eddyline::commands::output::{print_table, write_json};
use eddyline::commands::progress;
use eddyline_replay::formats::accepted_rejected::{LabelledFile, LabelledFiles};
use eddyline_replay::metrics::shown;

use crate::watch::watch;
use terms::TermLists;
use vectors::{Projection, Separability, Similar};

/// Describe a corpus of judged texts: counts, lengths, frequent terms, a projection of the embeddings, near duplicates,
/// and the separability of each file's labels.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the self-contained page to this file.
    #[arg(long, value_name = "FILE", default_value = "explore.html")]
    html: PathBuf,
    /// Write the figures as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Language of the stop words, as an ISO 639-1 code.
    #[arg(long, value_name = "CODE", default_value = "en")]
    language: String,
    /// Terms per list.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    terms: u16,
    /// Texts with a higher cosine of their embeddings are near duplicates.
    #[arg(long, value_name = "COSINE", default_value_t = 0.98)]
    cosine: f32,
    /// Files, or folders of `.json` files: lists of `{text, label, embedding}`; `.gz` and `.zst` are decompressed.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// A text of the corpus, by its file and its row from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Place {
    file: String,
    row: usize,
}

/// Figures of the corpus; its JSON is the output of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Report {
    /// Number of texts.
    texts: usize,
    /// Number of accepted texts.
    accepted: usize,
    /// Number of rejected texts.
    rejected: usize,
    /// Dimensions of an embedding.
    dim: usize,
    /// Language of the stop words.
    language: String,
    /// Words per text, by label.
    lengths: BTreeMap<&'static str, Lengths>,
    /// Figures per file, in the order of the files.
    files: Vec<FileReport>,
    /// Frequent n-grams per label, of one, two and three words.
    terms: Vec<TermLists>,
    /// The embeddings in two dimensions.
    projection: Projection,
    /// Pairs of texts with nearly equal embeddings.
    duplicates: Duplicates,
}

/// Words per text; a figure is `null` without a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Lengths {
    mean: Option<f64>,
    least: Option<usize>,
    median: Option<usize>,
    most: Option<usize>,
    /// Texts by number of words, in bins of [`WORDS_PER_BIN`]; the last bin takes all longer texts.
    bins: Vec<usize>,
}

/// Figures of one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct FileReport {
    name: String,
    texts: usize,
    accepted: usize,
    rejected: usize,
    /// Mean words per text.
    words_mean: Option<f64>,
    /// Texts that have a near duplicate in this file.
    duplicated: usize,
    /// ROC AUC of two classifiers on held-out texts.
    separability: Separability,
}

/// Near duplicates of the corpus.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Duplicates {
    /// Pairs have a cosine above this one.
    cosine: f32,
    /// Texts that were compared: each with each.
    compared: usize,
    /// Number of pairs.
    pairs: usize,
    /// Pairs with different labels.
    contradictions: usize,
    /// The most similar pairs, at most [`LISTED_MAX`].
    listed: Vec<Pair>,
}

/// Two texts that are near duplicates.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Pair {
    cosine: f32,
    first: Place,
    second: Place,
    labels: [&'static str; 2],
    texts: [String; 2],
}

/// Near duplicates that the report lists at most.
const LISTED_MAX: usize = 200;
/// Texts of the corpus at most.
const TEXTS_MAX: usize = 1_000_000;
/// Width of a bin of text lengths, and the number of bins.
const WORDS_PER_BIN: usize = 5;
const LENGTH_BINS: usize = 20;
/// Characters of a text that the report quotes.
const QUOTED_MAX: usize = 160;

/// The name of a label in reports.
const fn label(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "rejected" }
}

/// Reads the corpus, prints a table per file, and writes the page and the JSON.
///
/// # Errors
/// A flag or file cannot be used, or a report not written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let report = explore(&args)?;
    print_table(args.json.as_deref(), || format!("{}page: {}", table(&report), args.html.display()))?;
    let written = std::fs::write(&args.html, page::page(&report));
    written.with_context(|| format!("--html: cannot write {}", args.html.display()))?;
    write_json(args.json, &report)
}

fn explore(args: &Args) -> anyhow::Result<Report> {
    let stop_words = terms::stop_words(&args.language).with_context(|| {
        let known = stop_words::available_languages().join(", ");
        format!("--language: no stop words for {:?}; known: {known}", args.language)
    })?;
    ensure!((-1.0..1.0).contains(&args.cosine), "--cosine: must be at least -1 and below 1, is {}", args.cosine);
    let files = read(args)?;
    let rows: Vec<_> = files.iter().flat_map(|file| &file.rows).collect();
    ensure!(!rows.is_empty(), "no texts found: give files or a folder of JSON lists of {{text, label, embedding}}");
    let embeddings: Vec<&[f32]> = rows.iter().map(|row| &row.embedding[..]).collect();
    let words: Vec<Vec<String>> = rows.iter().map(|row| terms::words(&row.text)).collect();

    let bar = progress::steps("comparing texts", rows.len() as u64);
    let similar = vectors::similar(&embeddings, args.cosine, LISTED_MAX, |compared| bar.inc(compared));
    bar.finish_and_clear();
    let bar = progress::steps("telling labels apart", files.len() as u64);
    let mut first = 0;
    let mut reports = Vec::with_capacity(files.len());
    for file in &files {
        let range = first..first + file.rows.len();
        let labels: Vec<bool> = file.rows.iter().map(|row| row.accepted).collect();
        let own = vectors::similar(&embeddings[range.clone()], args.cosine, usize::MAX, |_| {});
        let accepted = labels.iter().filter(|accepted| **accepted).count();
        reports.push(FileReport {
            name: file.name.clone(),
            texts: labels.len(),
            accepted,
            rejected: labels.len() - accepted,
            words_mean: lengths(words[range.clone()].iter()).mean,
            duplicated: own.members(labels.len()),
            separability: vectors::separability(&embeddings[range.clone()], &labels, &own),
        });
        first = range.end;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let bar = progress::steps("projecting", 2);
    let labels: Vec<bool> = rows.iter().map(|row| row.accepted).collect();
    let projection = vectors::project(&embeddings, &labels, |axes| bar.inc(axes));
    bar.finish_and_clear();
    let accepted = labels.iter().filter(|accepted| **accepted).count();
    let of_label = |wanted: bool| {
        let of_it = words.iter().zip(&labels).filter(move |(_, accepted)| **accepted == wanted);
        (label(wanted), lengths(of_it.map(|(words, _)| words)))
    };
    Ok(Report {
        texts: rows.len(),
        accepted,
        rejected: rows.len() - accepted,
        dim: embeddings[0].len(),
        language: args.language.clone(),
        lengths: [of_label(true), of_label(false)].into(),
        files: reports,
        terms: terms::lists(&words, &labels, &stop_words, usize::from(args.terms)),
        projection,
        duplicates: duplicates(&files, &similar, args.cosine),
    })
}

fn read(args: &Args) -> anyhow::Result<Vec<LabelledFile>> {
    let bar = progress::bytes("reading");
    let (mut files, mut texts) = (Vec::new(), 0);
    for file in LabelledFiles::open(&args.paths, None, Some(watch(&bar)))? {
        let file = file?;
        texts += file.rows.len();
        ensure!(texts <= TEXTS_MAX, "more than {TEXTS_MAX} texts: explore a part of the corpus");
        files.push(file);
    }
    bar.finish_and_clear();
    Ok(files)
}

fn lengths<'a>(texts: impl Iterator<Item = &'a Vec<String>>) -> Lengths {
    let mut counts: Vec<usize> = texts.map(Vec::len).collect();
    counts.sort_unstable();
    let mut bins = vec![0; LENGTH_BINS];
    for count in &counts {
        bins[(count / WORDS_PER_BIN).min(LENGTH_BINS - 1)] += 1;
    }
    Lengths {
        mean: (!counts.is_empty()).then(|| counts.iter().sum::<usize>() as f64 / counts.len() as f64),
        least: counts.first().copied(),
        median: counts.get(counts.len() / 2).copied(),
        most: counts.last().copied(),
        bins,
    }
}

fn duplicates(files: &[LabelledFile], similar: &Similar, cosine: f32) -> Duplicates {
    let rows: Vec<_> = files.iter().flat_map(|file| file.rows.iter().enumerate().map(move |row| (file, row))).collect();
    let place = |at: usize| Place { file: rows[at].0.name.clone(), row: rows[at].1.0 + 1 };
    let label_of = |at: usize| label(rows[at].1.1.accepted);
    let text = |at: usize| quoted(&rows[at].1.1.text);
    let listed = similar.pairs.iter().map(|(cosine, a, b)| Pair {
        cosine: *cosine,
        first: place(*a),
        second: place(*b),
        labels: [label_of(*a), label_of(*b)],
        texts: [text(*a), text(*b)],
    });
    let listed: Vec<Pair> = listed.collect();
    let is_contradiction = |pair: &&Pair| pair.labels[0] != pair.labels[1];
    Duplicates {
        cosine,
        compared: similar.compared,
        pairs: similar.count,
        contradictions: listed.iter().filter(is_contradiction).count(),
        listed,
    }
}

/// The first characters of a text, with an ellipsis if there are more.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn table(report: &Report) -> String {
    let mut out = format!(
        "{} texts in {} files, {} accepted, {} rejected; {} near duplicates\n{:<32} {:>6} {:>8} {:>8} {:>12} {:>9}\n",
        report.texts,
        report.files.len(),
        report.accepted,
        report.rejected,
        report.duplicates.pairs,
        "file",
        "texts",
        "accepted",
        "rejected",
        "centroid AUC",
        "ridge AUC"
    );
    for file in &report.files {
        let (centroid, ridge) = (shown(file.separability.centroid, 3), shown(file.separability.ridge, 3));
        let (name, texts, accepted, rejected) = (&file.name, file.texts, file.accepted, file.rejected);
        let _ = writeln!(out, "{name:<32} {texts:>6} {accepted:>8} {rejected:>8} {centroid:>12} {ridge:>9}");
    }
    out
}
