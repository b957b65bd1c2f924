//! `eddyline replay --protocol off-policy`: off-policy evaluation, the estimated reward of policies on a log of impressions.
//!
//! Invariant: each estimate is printed with its interval and its effective number of rows; `-` is undefined.

use crate::watch::watch;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use eddyline::commands::progress;
use eddyline::config::Config;
use eddyline_replay::formats::open_bandit::OpenBandit;
use eddyline_replay::metrics::{shown, shown_interval};
use eddyline_replay::off_policy::{Judged, Judging, Report, judge};
use eddyline_replay::ope::Estimate;

/// Estimates the reward of each policy on the log in a folder.
///
/// # Errors
/// A flag is out of bounds, or a file cannot be read: the message names file, line and column.
pub fn open_bandit(paths: &[PathBuf], config: &Config, judging: Judging) -> anyhow::Result<Report> {
    let [folder] = paths else { anyhow::bail!("PATH: give one folder with the log and its item_context.csv") };
    let is_share = |split: f64| split > 0.0 && split < 1.0;
    anyhow::ensure!(judging.split.is_none_or(is_share), "--split: must be between 0 and 1");
    anyhow::ensure!(judging.clip.is_none_or(|clip| clip > 0.0), "--clip: must be above 0");
    let bar = progress::bytes("reading");
    let log = OpenBandit::read(folder, Some(watch(&bar)))?;
    bar.finish_and_clear();
    judge(&log, &Arc::new(config.learn.clone()), &judging).with_context(|| folder.display().to_string())
}

/// Formats the report as a table.
#[must_use]
pub fn table(report: &Report) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let how = match report.parts {
        1 => format!("learned from the first {}, evaluated on {}", report.learned_events, report.test_events),
        parts => format!(
            "all evaluated, in {parts} folds by policies that learned from the other folds ({} impressions)",
            report.learned_events
        ),
    };
    let (items, contexts) = (report.items, report.contexts);
    let _ = writeln!(
        out,
        "{} impressions of {items} items in {contexts} contexts; {how}; clicks per thousand, at least 95 %",
        report.events
    );
    let _ = writeln!(
        out,
        "{:<10}{:<26}{:<26}{:<26}{:>10}{:>8}{:>8}{:>8}",
        "policy", "ips", "snips", "dr", "rows", "weight", "at most", "clicks"
    );
    let thousand = |figure: Option<f64>| figure.map(|figure| figure * 1e3);
    let cell = |one: Estimate| {
        let interval = one.low.zip(one.high).map(|(low, high)| [low * 1e3, high * 1e3]);
        format!("{} [{}]", shown(thousand(one.value), 2), shown_interval(interval, 2, ", "))
    };
    for one in &report.policies {
        let found = one.estimates;
        let dr = found.dr.map_or_else(|| "-".to_owned(), cell);
        let _ = writeln!(
            out,
            "{:<10}{:<26}{:<26}{:<26}{:>10.1}{:>8.1}{:>8}{:>8}",
            one.policy,
            cell(found.ips),
            cell(found.snips),
            dr,
            found.effective_rows,
            found.weight_max,
            shown(found.weight_bound, 1),
            found.rewarded_rows
        );
    }
    let unbounded = |one: &&Judged| one.estimates.weight_bound.is_none();
    let names: Vec<&str> = report.policies.iter().filter(unbounded).map(|one| one.policy).collect();
    if !names.is_empty() {
        let _ = writeln!(
            out,
            "weights are clipped, or the log lacks actions of the policy, so only ips has an interval: {}",
            names.join(", ")
        );
    }
    out
}
