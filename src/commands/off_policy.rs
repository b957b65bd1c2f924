//! `eddyline replay --protocol off-policy`: what policies would have earned on a log of impressions.
//!
//! Invariant: a figure is printed with its interval, and with how many rows it rests on.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::commands::progress;
use crate::config::Config;
use crate::replay::formats::open_bandit::OpenBandit;
use crate::replay::off_policy::{Judging, Report, judge};
use crate::replay::ope::Estimate;

/// A normal interval of fewer rewarded rows says little: with none it has no width at all.
const FEW: u64 = 10;

/// Judges policies on the folder.
///
/// # Errors
/// What is wrong, where.
pub fn open_bandit(paths: &[PathBuf], config: &Config, judging: Judging) -> anyhow::Result<Report> {
    let [folder] = paths else { anyhow::bail!("PATH: give one folder with the log and its item_context.csv") };
    anyhow::ensure!(judging.split > 0.0 && judging.split < 1.0, "--split: must be between 0 and 1");
    anyhow::ensure!(judging.clip.is_none_or(|clip| clip > 0.0), "--clip: must be above 0");
    let bar = progress::bytes("reading");
    let log = OpenBandit::read(folder, Some(progress::watch(&bar)))?;
    bar.finish_and_clear();
    judge(&log, &Arc::new(config.learn.clone()), &judging).with_context(|| folder.display().to_string())
}

/// The report for people.
#[must_use]
pub fn table(report: &Report) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} impressions of {} items to {} kinds of people; learned from {}, judged on {}; clicks per thousand, 95 %",
        report.events, report.items, report.contexts, report.learned_events, report.test_events
    );
    let _ = writeln!(
        out,
        "{:<10}{:<24}{:<24}{:<24}{:>10}{:>8}{:>8}",
        "policy", "ips", "snips", "dr", "rows", "weight", "clicks"
    );
    let cell = |one: Estimate| format!("{:.2} [{:.2}, {:.2}]", one.value * 1e3, one.low * 1e3, one.high * 1e3);
    for one in &report.policies {
        let found = one.estimates;
        let dr = found.dr.map_or_else(|| "-".to_owned(), cell);
        let _ = writeln!(
            out,
            "{:<10}{:<24}{:<24}{:<24}{:>10.1}{:>8.1}{:>8}",
            one.policy,
            cell(found.ips),
            cell(found.snips),
            dr,
            found.effective_rows,
            found.weight_max,
            found.rewarded_rows
        );
    }
    let few: Vec<&str> =
        report.policies.iter().filter(|one| one.estimates.rewarded_rows < FEW).map(|one| one.policy).collect();
    if !few.is_empty() {
        let _ = writeln!(out, "fewer than {FEW} clicks, so no interval is to be trusted: {}", few.join(", "));
    }
    out
}
