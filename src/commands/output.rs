//! Results of commands: a table for people on standard output, JSON where `--json` says.
//!
//! Invariant: with `--json -` standard output holds JSON and nothing else.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

/// Writes one text and a line break to standard output.
///
/// # Errors
/// Standard output is closed or full.
pub fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

/// Prints the table of a report, unless its JSON goes to standard output.
///
/// # Errors
/// Standard output is closed or full.
pub fn print_table(json: Option<&Path>, table: impl FnOnce() -> String) -> anyhow::Result<()> {
    if json.is_some_and(is_stdout) { Ok(()) } else { print(table().trim_end()) }
}

/// Writes a report as JSON to the file of `--json`; `-` is standard output.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(to: Option<PathBuf>, report: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = to else { return Ok(()) };
    let text = serde_json::to_string_pretty(report)?;
    if is_stdout(&path) {
        return print(&text);
    }
    std::fs::write(&path, text).with_context(|| format!("--json: cannot write {}", path.display()))
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}
