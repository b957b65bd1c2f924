//! Fuzzes every reader with arbitrary bytes.
//!
//! Invariant under test: a reader gives rows, or an error that names the file. It never panics, and a failed stream
//! ends.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::accepted_rejected::LabelledFiles;
use super::activities::Activities;
use super::events::Events;
use super::feed::Feed;
use super::follows::Follows;
use super::items::Items;
use super::live_intervals::LiveIntervals;
use super::measurements::Measurements;
use super::movielens::Ratings;
use super::numbers;
use super::open_bandit::OpenBandit;
use super::plain::{Places, Plain};
use super::windows::read_windows;
use crate::engine::metrics::measured::Declarations;
use crate::files::time::{TimeUnit, Times};
use crate::files::{Columns, FormatError};

/// Name, extension and header of every format.
const FORMATS: [(&str, &str, &str); 14] = [
    ("events", "csv", "user,item,time,kind,dwell"),
    ("feed", "csv", "timestamp,user_id,post_id,action,target"),
    ("follows", "csv", "source,target"),
    ("items", "csv", "item,topic,text,author,created,embedding"),
    ("bare items", "csv", "item,topic,text,embedding"),
    ("windows", "csv", "item,start,stop"),
    ("metrics", "csv", "user,metric,value,time,type"),
    ("numbers", "csv", "a,b,c"),
    ("open-bandit", "csv", "timestamp,item_id,position,click,propensity_score,user_feature_0"),
    ("plain", "txt", ""),
    ("live-intervals", "csv", ""),
    ("movielens", "data", ""),
    ("activities", "jsonl", ""),
    ("accepted-rejected", "json", ""),
];

/// Values of other programs that break parsers.
const ODD: [&str; 40] = [
    "",
    "\"",
    "\"\"",
    "\"a,b\"",
    "\"\n\"",
    "\"never closed",
    "NaN",
    "inf",
    "-inf",
    "1e308",
    "-1e-320",
    "1.7e+09",
    "0",
    "-0",
    "1.0",
    "1700000000",
    "1700000000.0",
    "1700000000000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "340282366920938463463374607431768211456",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "2023-11-14 22:13:20 UTC",
    "Tue Apr 03 18:00:09 +0000 2012",
    "like",
    "view",
    "watch",
    "a|b||",
    "[1,2]",
    "[1 NaN]",
    "[[[[",
    "{1,2}",
    "\u{feff}",
    "\0",
    "🌊",
    "\u{85}",
    "\r",
    "true",
];

/// Fragments of JSON, valid and invalid.
const JSON: [&str; 24] = [
    "\"a\"",
    "\"post\"",
    "\"follow\"",
    "\"accepted\"",
    "\"2026-01-01T00:00:00Z\"",
    "1",
    "-1",
    "18446744073709551615",
    "340282366920938463463374607431768211456",
    "1.5",
    "1e999",
    "NaN",
    "Infinity",
    "null",
    "true",
    "[]",
    "[1,2]",
    "[1,\"x\"]",
    "[1e39]",
    "{}",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"",
    "[[[[[[[[",
];

fn read(format: &str, folder: &Path, paths: &[PathBuf], times: Times) -> Result<usize, FormatError> {
    fn rows<T>(mut all: impl Iterator<Item = Result<T, FormatError>>) -> Result<usize, FormatError> {
        let read = all.by_ref().try_fold(0, |count, row| row.map(|_| count + 1));
        assert!(all.next().is_none(), "a stream goes on after its end");
        read
    }
    let columns = Columns::default();
    match format {
        "events" => rows(Events::open(paths, columns, times, None)?),
        "feed" => rows(Feed::open(paths, columns, times, None)?),
        "follows" => rows(Follows::open(paths, columns, None)?),
        "items" => rows(Items::open(paths, columns, times, None, None)?.with_texts_of(3)),
        "bare items" => rows(Items::open_bare(paths, columns, times, Some(2), None)?),
        "windows" => read_windows(paths, columns, times, None).map(|windows| windows.len()),
        "metrics" => rows(Measurements::open(paths, columns, times, Declarations::default(), false, None)?),
        "numbers" => numbers::read(paths[0].clone(), &["a".into(), "c".into()], Some("b"), None).map(|n| n.lines.len()),
        "open-bandit" => OpenBandit::read(folder, None).map(|log| log.impressions.len()),
        "plain" => rows(Plain::open(paths, Places::default(), times, None)?),
        "live-intervals" => rows(LiveIntervals::open(paths, times, None)?),
        "movielens" => rows(Ratings::open(paths, times, None)?),
        "activities" => rows(Activities::open(paths, None, None)?.with_times(times).with_texts_of(3)),
        _ => rows(LabelledFiles::open(paths, None, None)?),
    }
}

/// Writes a file, reads it, and fails unless the result is rows or an error that names the file.
fn rows_or_error(format: (&str, &str, &str), compression: &str, bytes: &[u8], cut: Option<usize>) -> Option<String> {
    let packed = match compression {
        ".gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    };
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(format!("log.{}{compression}", format.1));
    std::fs::write(&path, &packed[..cut.map_or(packed.len(), |cut| cut % (packed.len() + 1))]).unwrap();
    let mut said = None;
    for times in [Times::by_size(), TimeUnit::TEN_MINUTES.into()] {
        said = read(format.0, folder.path(), std::slice::from_ref(&path), times).err().map(|error| error.to_string());
        if let Some(said) = &said {
            assert!(said.contains("log."), "{}: {said}", format.0);
            assert!(said.chars().count() < 1_000, "{}: {said}", format.0);
        }
    }
    said
}

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(ODD.to_vec()).prop_map(str::to_owned),
        2 => "[a-z]{1,3}",
        2 => "-?[0-9]{1,22}(\\.[0-9]{0,3})?",
        1 => "\\PC{0,12}",
    ]
}

fn table() -> impl Strategy<Value = String> {
    let rows = prop::collection::vec(prop::collection::vec(cell(), 0..7), 0..5);
    let (between, ends) =
        (prop::sample::select(vec![",", "\t", " "]), prop::sample::select(vec!["\n", "\r\n", "\n\n", "\r"]));
    (rows, between, ends)
        .prop_map(|(rows, between, end)| rows.iter().map(|row| row.join(between) + end).collect::<String>())
}

fn json() -> impl Strategy<Value = String> {
    let fields =
        prop::sample::select(vec!["actor", "verb", "object", "time", "message", "to", "label", "text", "embedding"]);
    let value = prop::sample::select(JSON.to_vec());
    let object = prop::collection::vec((fields, value), 0..9).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    });
    (prop::collection::vec(object, 0..4), any::<bool>())
        .prop_map(|(objects, is_list)| if is_list { format!("[{}]", objects.join(",")) } else { objects.join("\n") })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Odd cells below the right header: with and without a byte order mark, compressed or not, complete or cut off.
    #[test]
    fn any_table_gives_rows_or_an_error(
        body in table(), has_header in prop::bool::weighted(0.9), has_mark: bool,
        compression in prop::sample::select(vec!["", ".gz", ".zst"]), cut in prop::option::weighted(0.3, any::<usize>()),
    ) {
        for format in FORMATS {
            let mark = if has_mark { "\u{feff}" } else { "" };
            let header = if has_header && !format.2.is_empty() { format!("{}\n", format.2) } else { String::new() };
            rows_or_error(format, compression, format!("{mark}{header}{body}").as_bytes(), cut);
        }
    }

    #[test]
    fn any_json_gives_rows_or_an_error(
        body in json(), has_mark: bool, cut in prop::option::weighted(0.3, any::<usize>()),
    ) {
        for format in FORMATS.into_iter().filter(|format| format.1.starts_with("json")) {
            let mark = if has_mark { "\u{feff}" } else { "" };
            rows_or_error(format, "", format!("{mark}{body}").as_bytes(), cut);
        }
    }

    #[test]
    fn any_bytes_give_rows_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..80), compression in prop::sample::select(vec!["", ".gz", ".zst"]),
    ) {
        for format in FORMATS {
            rows_or_error(format, compression, &bytes, None);
            rows_or_error(format, "", &[format.2.as_bytes(), b"\n", &bytes[..]].concat(), None);
        }
    }
}

#[test]
fn a_small_file_of_a_huge_text_is_refused_within_bounds() {
    // Half a gibibyte of one character takes some kilobytes of zstd.
    let frame = zstd::encode_all(std::io::repeat(b'x').take(64 << 20), 1).unwrap();
    assert!(frame.len() < 64 << 10);
    for format in FORMATS {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(format!("log.{}.zst", format.1));
        let header = if format.2.is_empty() {
            Vec::new()
        } else {
            zstd::encode_all(format!("{}\n\"", format.2).as_bytes(), 1).unwrap()
        };
        std::fs::write(&path, [&header[..], &frame, &frame, &frame, &frame, &frame, &frame, &frame, &frame].concat())
            .unwrap();
        let said =
            read(format.0, folder.path(), std::slice::from_ref(&path), Times::by_size()).unwrap_err().to_string();
        let expected = if format.0 == "accepted-rejected" { "not JSON" } else { "has more than 1048576 bytes" };
        assert!(said.contains(expected), "{}: {said}", format.0);
    }
}

#[test]
fn deep_nesting_is_refused() {
    for depth in [200, 100_000] {
        let deep = "[".repeat(depth);
        for format in FORMATS.into_iter().filter(|format| format.1.starts_with("json")) {
            for body in [
                deep.clone(),
                format!("{{\"actor\":{deep}"),
                format!("{{\"foreign\":{deep}"),
                format!("[{{\"text\":\"a\",\"embedding\":{deep}"),
            ] {
                assert!(rows_or_error(format, "", body.as_bytes(), None).is_some(), "{}", format.0);
            }
        }
    }
}

#[test]
fn a_mark_an_empty_file_and_other_line_ends_are_no_rows_of_their_own() {
    for format in FORMATS.into_iter().filter(|format| !format.1.starts_with("json")) {
        for body in ["", "\u{feff}", "\r\n", "\n\n\n"] {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join(format!("log.{}", format.1));
            std::fs::write(&path, body).unwrap();
            match read(format.0, folder.path(), std::slice::from_ref(&path), Times::by_size()) {
                Ok(rows) => assert_eq!(rows, 0, "{}: {body:?}", format.0),
                Err(error) => assert!(error.to_string().contains("there is no column"), "{}: {error}", format.0),
            }
        }
    }
    let utf_16: Vec<u8> = "\u{feff}user,item,time\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for format in FORMATS {
        let said = rows_or_error(format, "", &utf_16, None).unwrap();
        assert!(said.contains("is not UTF-8: convert it"), "{}: {said}", format.0);
    }
}
