//! `eddyline simulate`: a network and its history as activities.
//!
//! Invariant: same numbers, same bytes. An existing file is not overwritten.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::commands::progress;
use crate::domain::time::Millis;
use crate::simulate::history::{History, write_json_lines};
use crate::simulate::network::Network;

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
