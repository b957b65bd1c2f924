//! Whole logs: simulated and real ones can be read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use eddyline::domain::time::Millis;
use eddyline::simulate::history::{self, History, write_json_lines};
use eddyline::simulate::network::Network;
use eddyline_replay::formats::Columns;
use eddyline_replay::formats::accepted_rejected::LabelledFiles;
use eddyline_replay::formats::activities::{Activities, Verb};
use eddyline_replay::formats::events::{self, Events};
use eddyline_replay::formats::time::Times;

const START: Millis = Millis(1_767_225_600_000);

/// Folder of real logs on this machine, if it exists.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("EDDYLINE_DATA").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no data (set EDDYLINE_DATA)");
    None
}

#[test]
fn a_simulated_history_reads_back_as_it_was_written() {
    let network = Network::new(60, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("activities.jsonl.gz");
    let mut out = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    let count = write_json_lines(History::new(&network, START, 3, 1).unwrap(), &mut out, &mut |_| ()).unwrap();
    out.finish().unwrap();
    let read: Result<Vec<_>, _> = Activities::open(&[path], None, None).unwrap().collect();
    let read = read.unwrap();
    assert_eq!(read.len() as u64, count);
    for (written, read) in History::new(&network, START, 3, 1).unwrap().zip(read) {
        let verb = match written.verb {
            history::Verb::Post => Verb::Post,
            history::Verb::Interact => Verb::Interact,
            history::Verb::Follow => Verb::Follow,
        };
        assert_eq!(
            (read.actor, read.verb, read.object, read.time),
            (written.actor, verb, written.object, written.time)
        );
        assert_eq!(read.topic.as_ref().map(|topic| topic.as_str()), written.topic.map(|topic| topic.name()));
        assert_eq!(
            (read.message, read.to, read.kind, read.dwell_ms),
            (written.message, written.to, written.kind, written.dwell_ms)
        );
    }
}

#[test]
fn real_judgements_are_read() {
    let Some(data) = data() else { return };
    let files: Result<Vec<_>, _> =
        LabelledFiles::open(&[data.join("accepted_rejected")], Some(384), None).unwrap().collect();
    let files = files.unwrap();
    assert!(!files.is_empty());
    for file in files {
        let accepted = file.rows.iter().filter(|row| row.accepted).count();
        println!("{}: {} rows, {accepted} accepted", file.name, file.rows.len());
        assert!(accepted > 0 && accepted < file.rows.len(), "{}", file.name);
    }
}

#[test]
fn a_real_viewing_log_is_read() {
    let Some(data) = data() else { return };
    let paths = [data.join("twitch105k/twitch105k.csv.gz")];
    let columns = Columns::parse("user=user_id,item=streamer_name,time=start_time", &events::ROLES).unwrap();
    let begin = Instant::now();
    let rows: Result<Vec<_>, _> =
        Events::open(&paths, columns, "step:600".parse::<Times>().unwrap(), None).unwrap().collect();
    let rows = rows.unwrap();
    println!("{} events in {:.0} ms", rows.len(), begin.elapsed().as_secs_f64() * 1e3);
    assert_eq!(rows.len(), 105_745);
    assert!(rows.iter().all(|row| row.time.0 % 600_000 == 0));
}

#[test]
fn a_real_social_feed_is_read() {
    let Some(data) = data() else { return };
    let paths = [data.join("karpov_feed/feed.csv.gz")];
    let columns = Columns::parse("user=user_id,item=post_id,time=timestamp,kind=action", &events::ROLES).unwrap();
    let rows: Result<Vec<_>, _> = Events::open(&paths, columns, "s".parse::<Times>().unwrap(), None).unwrap().collect();
    assert_eq!(rows.unwrap().len(), 50_000);
}
