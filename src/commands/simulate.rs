//! `eddyline simulate`: a network and its history as activities, or a log of live viewing.
//!
//! Invariant: same numbers, same bytes. An existing file is not overwritten.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;

use crate::commands::progress;
use crate::domain::time::Millis;
use crate::simulate::history::{History, write_json_lines};
use crate::simulate::network::Network;
use crate::simulate::viewing::{Size, Viewing};

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
pub fn viewing(path: &Path, size: Size, seed: u64) -> anyhow::Result<u64> {
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
