//! `eddyline replay`: offline evaluation through the serving engine.
//!
//! Invariant: a figure is printed only for what was replayed; same files and seed, same figures.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::commands::progress;
use crate::config::Config;
use crate::domain::ids::Key;
use crate::replay::formats::accepted_rejected::LabelledFiles;
use crate::replay::labelled::{self, Query, Report, Row};

/// Replays accepted/rejected files.
///
/// # Errors
/// What is wrong, where.
pub fn accepted_rejected(
    paths: &[PathBuf],
    config: &Config,
    options: labelled::Options,
) -> anyhow::Result<Report> {
    let bar = progress::bytes("reading");
    let mut queries = Vec::new();
    for file in LabelledFiles::open(paths, None, Some(progress::watch(&bar)))? {
        let file = file?;
        let name = Key::new(&file.name).with_context(|| format!("file name {:?}", file.name))?;
        let rows = file.rows.into_iter().map(|row| Row { text: row.text, accepted: row.accepted, embedding: row.embedding });
        queries.push(Query { name, rows: rows.collect() });
    }
    bar.finish_and_clear();
    let bar = progress::steps("orders", queries.len() as u64 * u64::from(options.shuffles.max(1)));
    let settings = Arc::new(config.learn.clone());
    let report = labelled::replay(&queries, &settings, options, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(report)
}

/// The report for people.
#[must_use]
pub fn table(report: &Report) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let labelled = &report.labelled;
    for (file, auc) in &labelled.per_file {
        let _ = writeln!(out, "{file:<32} ROC AUC {auc:.4}");
    }
    let per_event = report.seconds / report.events.max(1) as f64 * 1e6;
    let _ = writeln!(out, "{:<32} ROC AUC {:.4}", "mean per file", labelled.auc_mean);
    let _ = writeln!(out, "{:<32} ROC AUC {:.4}", "pooled", labelled.auc_pooled);
    let _ = writeln!(out, "log loss {:.4}, calibration error {:.4}", labelled.log_loss, labelled.ece);
    let _ = writeln!(out, "{} events, {per_event:.2} us each (predict, score, learn)", report.events);
    out
}
