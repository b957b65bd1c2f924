//! Reading tiny files of every format, valid and broken.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::accepted_rejected::LabelledFiles;
use super::activities::{Activities, Verb};
use super::events::{self, Events};
use super::feed::{self, Action, Feed};
use super::follows::Follows;
use super::items::Items;
use super::live_intervals::LiveIntervals;
use super::measurements::Measurements;
use super::movielens::Ratings;
use super::plain::{Places, Plain, PlainRow};
use super::windows::read_windows;
use crate::domain::interactions::Kind;
use crate::domain::metrics::Declaration;
use crate::domain::time::Millis;
use crate::engine::metrics::measured::Declarations;
use crate::files::time::TimeUnit;
use crate::files::{Columns, FormatError, Progress};

fn file(folder: &TempDir, name: &str, content: &[u8]) -> Vec<PathBuf> {
    let path = folder.path().join(name);
    let bytes = match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("gz") => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Some("zst") => zstd::encode_all(content, 1).unwrap(),
        _ => content.to_vec(),
    };
    std::fs::write(&path, bytes).unwrap();
    vec![path]
}

/// All rows, or the message of the first error without the folder.
fn outcome<T>(
    folder: &TempDir,
    rows: Result<impl Iterator<Item = Result<T, FormatError>>, FormatError>,
) -> Result<Vec<T>, String> {
    let found = rows.and_then(|mut rows| {
        let found: Result<Vec<T>, FormatError> = rows.by_ref().collect();
        assert!(rows.next().is_none(), "a stream goes on after its end");
        found
    });
    found.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

/// Fails unless each row's error contains its part, after the name of the file.
fn refused(
    table: &[(&str, &[u8], &str)],
    ending: &str,
    read: impl Fn(&TempDir, Vec<PathBuf>) -> Result<usize, String>,
) {
    for (name, content, part) in table {
        let folder = TempDir::new().unwrap();
        let paths = file(&folder, &format!("log.{ending}"), content);
        let message = read(&folder, paths).err().unwrap_or_default();
        assert!(message.starts_with("log.") && message.contains(part), "{name}: {message}");
    }
}

fn events(folder: &TempDir, paths: &[PathBuf], columns: &str, unit: &str) -> Result<Vec<events::Event>, String> {
    let columns =
        if columns.is_empty() { Columns::default() } else { Columns::parse(columns, &events::ROLES).unwrap() };
    outcome(folder, Events::open(paths, columns, unit.parse::<TimeUnit>().unwrap(), None))
}

#[test]
fn compression_is_seen_by_the_ending_and_progress_counts_bytes_on_disk() {
    let content: String = std::iter::once("user,item,time\n".to_owned())
        .chain((0..60_000).map(|n| format!("u{},i{},{n}\r\n", n % 97, n * 7919 % 1_009)))
        .collect();
    let folder = TempDir::new().unwrap();
    let mut first = None;
    for name in ["a.csv", "b.csv.gz", "c.csv.zst"] {
        let paths = file(&folder, name, content.as_bytes());
        let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let told = seen.clone();
        let watch = Box::new(move |progress| told.lock().unwrap().push(progress));
        let rows: Result<Vec<_>, _> =
            Events::open(&paths, Columns::default(), TimeUnit::SECONDS, Some(watch)).unwrap().collect();
        let rows = rows.unwrap();
        assert_eq!(rows.len(), 60_000, "{name}");
        assert_eq!((rows[1].line, rows[1].time), (3, Millis(1_000)), "{name}");
        assert_eq!(*first.get_or_insert(rows.clone()), rows, "{name}");
        let seen = seen.lock().unwrap();
        let last = seen.last().unwrap();
        assert_eq!(last.bytes_read, last.bytes_total, "{name}");
        assert_eq!(last.bytes_total, std::fs::metadata(&paths[0]).unwrap().len(), "{name}");
        assert!(seen.windows(2).all(|pair| pair[0].bytes_read <= pair[1].bytes_read), "{name}");
    }
}

#[test]
fn a_folder_stands_for_its_files_by_name() {
    let folder = TempDir::new().unwrap();
    let row = br#"[{"text":"a","label":"accepted","embedding":[1,0]}]"#;
    file(&folder, "query_2.json.gz", row);
    file(&folder, "query_1.json", row);
    file(&folder, "notes.txt", b"not ours");
    let files = outcome(&folder, LabelledFiles::open(&[folder.path().into()], Some(2), None)).unwrap();
    assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["query_1", "query_2"]);
    assert!(files[0].rows[0].accepted && files[0].rows[0].text == "a" && files[0].rows[0].embedding.len() == 2);
    let empty = TempDir::new().unwrap();
    assert!(
        LabelledFiles::open(&[empty.path().into()], None, None)
            .err()
            .unwrap()
            .to_string()
            .contains("no file of this format")
    );
    assert!(LabelledFiles::open(&[], None, None).err().unwrap().to_string().contains("at least one path"));
    let absent = LabelledFiles::open(&["/absent.json".into()], None, None).err().unwrap();
    assert!(absent.to_string().contains("check the path") && std::error::Error::source(&absent).is_some());
}

#[test]
fn broken_judgements_are_named() {
    refused(
        &[
            ("not a list", br#"{"text":"a"}"#, "log.json, line 1, column"),
            (
                "another label",
                br#"[{"text":"a","label":"maybe","embedding":[1]}]"#,
                "must be one of accepted, rejected, is \"maybe\"",
            ),
            ("no embedding", br#"[{"text":"a","label":"accepted"}]"#, "the field `embedding` is missing"),
            (
                "another dimension",
                b"[{\"label\":\"accepted\",\"embedding\":[1,2]},\n{\"label\":\"rejected\",\"embedding\":[1]}]",
                "line 2, column 37: must have 2 numbers, has 1",
            ),
            ("all zeros", br#"[{"label":"accepted","embedding":[0,0]}]"#, "must not be all zeros"),
            ("cut off", br#"[{"label":"acc"#, "not JSON: the text ends too early"),
            ("something behind", br#"[] []"#, "not JSON: content after the end"),
            ("empty", b"", "not JSON: the text ends too early"),
        ],
        "json",
        |folder, paths| outcome(folder, LabelledFiles::open(&paths, None, None)).map(|rows| rows.len()),
    );
}

#[test]
fn broken_compression_is_said_so() {
    for (name, ending) in [("gzip", "gz"), ("zstd", "zst")] {
        let folder = TempDir::new().unwrap();
        let long: Vec<u8> = (0..50_000)
            .flat_map(|n: u32| format!("u,i,{}\n", n.wrapping_mul(2_654_435_761) >> 1).into_bytes())
            .collect();
        let paths = file(&folder, &format!("log.csv.{ending}"), &[b"user,item,time\n", &long[..]].concat());
        let whole = std::fs::read(&paths[0]).unwrap();
        for (case, bytes) in [("cut off", &whole[..whole.len() / 2]), ("not compressed", &b"user,item,time\n"[..])] {
            std::fs::write(&paths[0], bytes).unwrap();
            let message = events(&folder, &paths, "", "s").unwrap_err();
            assert!(message.contains(&format!("is not a whole {name} file")), "{name} {case}: {message}");
        }
    }
}

#[test]
fn events_are_read_with_mapped_columns() {
    let folder = TempDir::new().unwrap();
    let content = "\u{feff},user_id,streamer_name,start_time,what,ms\n1, 43 ,\"0, live\",93,watch,1200\n\n2,44,1,1970-01-01T00:00:01Z,,\n";
    let paths = file(&folder, "log.csv", content.as_bytes());
    let columns = "user=user_id,item=streamer_name,time=start_time,kind=what,dwell=ms";
    let rows = events(&folder, &paths, columns, "step:600").unwrap();
    assert_eq!((rows[0].user.as_str(), rows[0].item.as_str(), rows[0].time), ("43", "0, live", Millis(55_800_000)));
    assert_eq!((rows[0].kind, rows[0].dwell_ms), (Some(Kind::Watch), Some(1_200)));
    assert_eq!((rows[1].line, rows[1].time, rows[1].kind, rows[1].dwell_ms), (4, Millis(1_000), None, None));
    for (name, mapping, part) in [
        ("no equals", "user", "is not of the form"),
        ("empty name", "user=", "is not of the form"),
        ("unknown", "who=x", "it has user, item, time, kind, dwell"),
        ("twice", "user=a,user=b", "mapped twice"),
    ] {
        assert!(Columns::parse(mapping, &events::ROLES).unwrap_err().to_string().contains(part), "{name}");
    }
    let message = events(&folder, &paths, &columns.replace("what", "action"), "s").unwrap_err();
    assert!(message.contains("line 1: there is no column `action`"), "{message}");
}

#[test]
fn broken_events_are_named() {
    let endless = [b"user,item,time\nu,\"".as_slice(), &vec![b'x'; 2 * 1024 * 1024]].concat();
    refused(
        &[
            (
                "no header",
                b"",
                "there is no column `user` in the header (): rename it, or map it with --columns user=NAME",
            ),
            ("column missing", b"user,item\n1,2\n", "line 1: there is no column `time`"),
            ("column twice", b"user,item,time,user\n", "line 1, column user: the column is in the header twice"),
            ("cell missing", b"user,item,time\na,b,1\na,b\n", "line 3: has 2 cells where the header has 3"),
            ("no user", b"user,item,time\n,b,1\n", "line 2, column user: must not be empty"),
            ("no time", b"user,item,time\na,b,\n", "line 2, column time: `` is not a number (see --time-unit)"),
            ("bad time", b"user,item,time\na,b,noon\n", "column time: `noon` is not a number"),
            ("late time", b"user,item,time\na,b,99999999999999\n", "between the years 1 and 9999"),
            (
                "bad kind",
                b"user,item,time,kind\na,b,1,LIKE\n",
                "column kind: `LIKE` is not a kind of interaction (like,",
            ),
            ("bad dwell", b"user,item,time,dwell\na,b,1,-5\n", "column dwell: `-5` is not a duration"),
            ("not UTF-8", b"user,item,time\na,b\xff,1\n", "line 2: is not UTF-8"),
            ("control character", b"user,item,time\na\x07,b,1\n", "column user: must not contain control"),
            ("quote never closed", &endless, "line 2: has more than 1048576 bytes"),
        ],
        "csv",
        |folder, paths| events(folder, &paths, "", "s").map(|rows| rows.len()),
    );
}

#[test]
fn measurements_are_read_in_range_and_by_declared_names() {
    let folder = TempDir::new().unwrap();
    let mut declared = Declarations::default();
    let mood = Declaration { range: Some((-5.0, 5.0)), types: vec!["am".into()], ..Declaration::default() };
    declared.declare("mood", mood);
    let read = |text: &str, passes: bool| {
        let paths = file(&folder, "measured.csv", text.as_bytes());
        let rows = Measurements::open(&paths, Columns::default(), TimeUnit::SECONDS, declared.clone(), passes, None);
        outcome(&folder, rows)
    };
    let head = "metric,user,time,value,type\n";
    let rows = read(&format!("{head}mood,ada,1700000000,-4.5,am\nmood,ada,1700000001,5,\n"), false).unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.millionths, row.kind.is_some(), row.is_declared)).collect();
    assert_eq!(found, [(-4_500_000, true, true), (5_000_000, false, true)]);
    for (row, column) in [
        ("mood,ada,1700000000,5.5,am", "value"),
        ("mood,ada,1700000000,much,am", "value"),
        ("mood,ada,1700000000,NaN,am", "value"),
        ("mood,ada,1700000000,,am", "value"),
        ("mood,ada,1700000000,1,pm", "type"),
        ("clicks,ada,1700000000,1,", "metric"),
        ("visits,ada,1700000000,1,", "metric"),
        ("mood,,1700000000,1,", "user"),
        ("mood,ada,soon,1,", "time"),
    ] {
        let error = read(&format!("{head}{row}\n"), false).unwrap_err();
        assert!(error.contains("line 2") && error.contains(&format!("column {column}")), "{row}: {error}");
        let passed = read(&format!("{head}{row}\n"), true);
        assert_eq!(passed.is_ok(), ["metric", "type"].contains(&column), "{row}: {passed:?}");
    }
}

#[test]
fn items_follows_and_windows_are_read() {
    let folder = TempDir::new().unwrap();
    let content = "item,topic,text,author,created,embedding\na,jazz|live,\"two\nlines\",maya,5,\"[1, 2]\"\nb,,,,,0.5 -1e-3\nc,x,words,,,\n";
    let paths = file(&folder, "items.csv", content.as_bytes());
    let items = outcome(&folder, Items::open(&paths, Columns::default(), TimeUnit::SECONDS, None, None)).unwrap();
    assert_eq!(items[0].topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>(), ["jazz", "live"]);
    assert_eq!((items[0].text.as_str(), items[0].created), ("two\nlines", Some(Millis(5_000))));
    assert_eq!(items[1].embedding.as_deref().unwrap(), [0.5, -1e-3]);
    assert_eq!((items[1].line, items[1].author.is_none(), items[2].embedding.is_none()), (4, true, true));
    for (content, at) in [
        ("item,text,at\na,x,5\n", Some(Some(5_000))),
        ("item,text,at,created\na,x,5,5\n", Some(Some(5_000))),
        ("item,text,at,created\na,x,,5\n", Some(Some(5_000))),
        ("item,text,at,created\na,x,5,6\n", None),
    ] {
        let paths = file(&folder, "named.csv", content.as_bytes());
        let read = outcome(&folder, Items::open(&paths, Columns::default(), TimeUnit::SECONDS, None, None));
        let found = read.ok().map(|items| items[0].created.map(|at| at.0));
        assert_eq!(found, at, "{content}");
    }

    let paths = file(&folder, "facts.csv", b"item,text,attributes\na,x,\"{\"\"length\"\": 3}\"\nb,y,\n");
    let items = outcome(&folder, Items::open(&paths, Columns::default(), TimeUnit::SECONDS, None, None)).unwrap();
    assert_eq!((items[0].attributes.as_deref(), items[1].attributes.as_deref()), (Some("{\"length\": 3}"), None));

    let paths = file(&folder, "follows.csv", b"target,source\nb,a\n");
    let follows = outcome(&folder, Follows::open(&paths, Columns::default(), None)).unwrap();
    assert_eq!((follows[0].source.as_str(), follows[0].target.as_str()), ("a", "b"));

    let paths = file(&folder, "windows.csv", b"item,start,stop\na,20,\na,3,9\nb,1,2\n");
    let windows = read_windows(&paths, Columns::default(), TimeUnit::TEN_MINUTES, None).unwrap();
    let a = windows.get("a").unwrap();
    assert!(a.is_open(Millis(3 * 600_000)) && !a.is_open(Millis(9 * 600_000)) && a.is_open(Millis::MAX));
    assert_eq!(windows.len(), 2);
}

#[test]
fn broken_items_follows_and_windows_are_named() {
    refused(
        &[
            ("neither text nor vector", b"item,text\na,\n", "line 2, column text: `` is not a text, which"),
            (
                "no object",
                b"item,text,attributes\na,x,[1]\n",
                "column attributes: `[1]` is not a JSON object of at most",
            ),
            ("bad vector", b"item,embedding\na,1 two\n", "column embedding: `1 two` is not an embedding"),
            ("bad JSON vector", b"item,embedding\na,\"[1,\"\n", "column embedding: `[1,` is not an embedding"),
            (
                "another dimension",
                b"item,embedding\na,1 2\nb,1 2 3\n",
                "line 3, column embedding: must have 2 numbers, has 3",
            ),
            ("infinite", b"item,embedding\na,1 inf\n", "number 1 is not finite"),
        ],
        "csv",
        |folder, paths| {
            outcome(folder, Items::open(&paths, Columns::default(), TimeUnit::MILLIS, None, None))
                .map(|rows| rows.len())
        },
    );
    refused(
        &[("oneself", b"source,target\na,a\n", "line 2, column target: `a` is not another user")],
        "csv",
        |folder, paths| outcome(folder, Follows::open(&paths, Columns::default(), None)).map(|rows| rows.len()),
    );
    refused(
        &[
            ("backwards", b"item,start,stop\na,5,5\n", "line 2, column stop: `5` is not after the start"),
            ("overlap", b"item,start,stop\na,1,5\na,4,9\n", "item `a`: window from 4000 overlaps the window from 1000"),
        ],
        "csv",
        |folder, paths| {
            let rows = read_windows(&paths, Columns::default(), TimeUnit::SECONDS, None);
            rows.map(|rows| rows.len()).map_err(|e| e.to_string().replace(&format!("{}/", folder.path().display()), ""))
        },
    );
}

#[test]
fn activities_are_read() {
    let folder = TempDir::new().unwrap();
    let content = concat!(
        "\u{feff}{\"actor\":\"maya\",\"verb\":\"post\",\"object\":\"p1\",\"time\":\"1970-01-01T00:00:01Z\",\"message\":\"hi\",\"topic\":\"music\",\"to\":[\"topic:music\"],\"foreign\":1}\r\n",
        "\n",
        "{\"actor\":\"ravi\",\"verb\":\"interact\",\"object\":\"p1\",\"time\":\"1970-01-01T00:00:02\",\"topic\":\"\",\"to\":\"user:maya\",\"kind\":\"read\",\"dwell_ms\":9}",
    );
    let paths = file(&folder, "log.jsonl.zst", content.as_bytes());
    let rows = outcome(&folder, Activities::open(&paths, None, None)).unwrap();
    assert_eq!((rows[0].verb, rows[0].message.as_str(), rows[0].time), (Verb::Post, "hi", Millis(1_000)));
    assert_eq!((rows[1].line, rows[1].kind, rows[1].dwell_ms, &rows[1].topic), (3, Some(Kind::Read), Some(9), &None));
    assert_eq!(rows[1].to, ["user:maya"]);
}

/// Documents as a database exports them: canonical and relaxed dates, ids of documents, posts that are their own object.
#[test]
fn documents_of_a_database_are_read_as_they_are() {
    let folder = TempDir::new().unwrap();
    let content = concat!(
        r#"{"_id":{"$oid":"65a0c0ffee00000000000001"},"name":"Maya Varga","friends":["Ravi","Ravi","Maya Varga"]}"#,
        "\n",
        r#"{"_id":{"$oid":"65a0c0ffee00000000000002"},"actor":"Maya Varga","verb":"add","object":null,"#,
        r#""time":{"$date":{"$numberLong":"1767225600250"}},"message":"for \"$5\"","topic":"music","to":null}"#,
        "\n",
        r#"{"actor":"Ravi","verb":"post","time":{"$date":"2026-01-01T00:00:01Z"},"message":"hi","topic":null}"#,
        "\n",
        r#"{"actor":"Ravi","verb":"interact","object":{"$oid":"65a0c0ffee00000000000002"},"#,
        r#""time":{"$date":1767225602000},"kind":"read","dwell_ms":{"$numberInt":"9"},"name":7}"#,
        "\n",
        r#"{"_id":{"$oid":"0a"},"name":"Ada","friends":[{"$oid":"0b"}]}"#,
        "\n",
        r#"{"user":"tove","name":"Tove Brandt","friends":[]}"#,
    );
    let paths = file(&folder, "log.jsonl", content.as_bytes());
    let mut read = Activities::open(&paths, None, None).unwrap();
    let rows: Vec<_> = read.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!((rows[0].verb, rows[0].object.as_str()), (Verb::Post, "65a0c0ffee00000000000002"));
    assert_eq!((rows[0].time, rows[0].message.as_str()), (Millis(1_767_225_600_250), "for \"$5\""));
    assert_eq!((rows[1].verb, rows[1].time), (Verb::Post, Millis(1_767_225_601_000)));
    assert!(rows[1].object.as_str().starts_with("post-"), "{:?}", rows[1].object);
    assert_eq!((rows[2].object.clone(), rows[2].dwell_ms), (rows[0].object.clone(), Some(9)));
    let people = read.take_people();
    assert_eq!(people.iter().filter(|person| person.lists_self).count(), 1, "Maya Varga");
    let people = people.into_iter().map(|person| {
        let friends: Vec<String> = person.friends.iter().map(|friend| friend.as_str().to_owned()).collect();
        (person.user.as_str().to_owned(), person.name.unwrap_or_default(), friends.join(" "))
    });
    let expected = [("Maya Varga", "Maya Varga", "Ravi"), ("0a", "Ada", "0b"), ("tove", "Tove Brandt", "")];
    assert_eq!(people.collect::<Vec<_>>(), expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
}

#[test]
fn broken_activities_are_named() {
    let line = |change: (&str, &str)| {
        let whole = r#"{"actor":"a","verb":"post","object":"p","time":"2026-01-01T00:00:00Z","message":"m"}"#;
        assert!(whole.contains(change.0));
        whole.replace(change.0, change.1).into_bytes()
    };
    let long = line(("\"m\"", &format!("\"{}\"", "m".repeat(2 * 1024 * 1024))));
    refused(
        &[
            ("not JSON", b"hello", "log.jsonl, line 1, column 1: not JSON (JSON has no NaN"),
            ("not an object", b"{}\n", "line 1, column actor: the field `actor` is missing"),
            ("second line", &[&line(("m\"", "m\""))[..], b"\n{"].concat(), "line 2, column 1: not JSON: the text"),
            ("unknown verb", &line(("post", "like")), "must be one of add, post, interact, follow, is \"like\""),
            (
                "an unknown document",
                br#"{"title":"x"}"#,
                "line 1, column actor: the field `actor` is missing: an activity has",
            ),
            ("a person without friends", br#"{"name":"x"}"#, "line 1, column 12: the field `friends` is missing"),
            ("a person with a wrong friend", br#"{"name":"x","friends":[{}]}"#, "as text), is an object"),
            ("no object to react to", &line(("\"post\",\"object\":\"p\"", "\"interact\"")), "`object` is missing"),
            (
                "a wrapper of another type",
                &line(("\"2026-01-01T00:00:00Z\"", "{\"$timestamp\":{\"t\":1,\"i\":1}}")),
                "line 1, column time: `$timestamp` must be one of $oid, $date",
            ),
            ("empty actor", &line(("\"a\"", "\"\"")), "must not be empty"),
            (
                "bad time",
                &line(("2026-01-01T00:00:00Z", "today")),
                "line 1, column time: `today` is not a number (see --time-unit) or a time such as",
            ),
            ("no message", &line((",\"message\":\"m\"", "")), "column message: `` is not a message"),
            ("bad kind", &line(("\"message\"", "\"kind\":\"love\",\"message\"")), "must be one of like, "),
            ("a dwell in fractions", &line(("\"message\"", "\"dwell_ms\":1.5,\"message\"")), "is number `1.5`"),
            (
                "a zero vector",
                &line(("\"message\"", "\"embedding\":[0],\"message\"")),
                "column embedding: must not be all zeros",
            ),
            (
                "follows oneself",
                br#"{"actor":"a","verb":"follow","object":"a","time":"2026-01-01T00:00:00Z"}"#,
                "column object: `a` is not another user",
            ),
            ("a number for a verb", &line(("\"post\"", "5")), "line 1, column verb: must be one of "),
            ("friends that are no list", br#"{"name":"x","friends":"a"}"#, "must be a list, is string \"a\""),
            ("not UTF-8", b"{\"actor\":\"\xff\"}", "line 1: is not UTF-8"),
            ("too long", &long, "line 1: has more than 1048576 bytes"),
        ],
        "jsonl",
        |folder, paths| outcome(folder, Activities::open(&paths, None, None)).map(|rows| rows.len()),
    );
}

#[test]
fn presence_is_read_in_steps() {
    let folder = TempDir::new().unwrap();
    let paths = file(&folder, "log.csv.gz", b"1,33842865744,mithrain,154,156\r\n2, 7 ,b,3,3\n");
    let rows = outcome(&folder, LiveIntervals::open(&paths, TimeUnit::TEN_MINUTES, None)).unwrap();
    let spans: Vec<(&str, &str, i64, i64)> = rows
        .iter()
        .map(|row| (row.streamer.as_str(), row.stream.as_str(), row.start.0 / 600_000, row.stop.0 / 600_000))
        .collect();
    // A row with equal start and stop counts as present in that step.
    assert_eq!(spans, [("mithrain", "33842865744", 154, 156), ("b", "7", 3, 4)]);
}

#[test]
fn broken_presence_is_named() {
    refused(
        &[
            (
                "too few cells",
                b"1,2,3,4\n",
                "line 1: has 4 cells where there must be 5: user,stream,streamer,start,stop",
            ),
            ("too many cells", b"1,2,3,4,5\n1,2,3,4,5,6\n", "line 2: has 6 cells"),
            ("a header", b"user,stream,streamer,start,stop\n", "line 1, column start: `start` is not a number"),
            ("no streamer", b"1,2,,4,5\n", "line 1, column streamer: must not be empty"),
            ("backwards", b"1,2,3,5,4\n", "column stop: `4` is not at or after the start"),
            ("not UTF-8", b"\xff,2,3,4,5\n", "line 1: is not UTF-8"),
        ],
        "csv",
        |folder, paths| {
            outcome(folder, LiveIntervals::open(&paths, TimeUnit::TEN_MINUTES, None)).map(|rows| rows.len())
        },
    );
}

#[test]
fn ratings_are_read() {
    let folder = TempDir::new().unwrap();
    let paths = file(&folder, "u.data", b"196\t242\t3\t881250949\n");
    let rows = outcome(&folder, Ratings::open(&paths, TimeUnit::SECONDS, None)).unwrap();
    let row = &rows[0];
    assert_eq!((row.user.as_str(), row.item.as_str(), row.rating), ("196", "242", 3.0));
    assert_eq!(row.time, Millis(881_250_949_000));
    refused(
        &[
            ("commas", b"1,2,3,4\n", "line 1: has 1 cells with tabs between them where there must be 4"),
            ("no number", b"1\t2\tgood\t4\n", "line 1, column rating: `good` is not a rating"),
            ("not finite", b"1\t2\tNaN\t4\n", "column rating"),
            ("no time", b"1\t2\t3\t\n", "column timestamp"),
        ],
        "data",
        |folder, paths| outcome(folder, Ratings::open(&paths, TimeUnit::SECONDS, None)).map(|rows| rows.len()),
    );
}

fn plain(folder: &TempDir, paths: &[PathBuf], columns: &str) -> Result<Vec<PlainRow>, String> {
    let places = if columns.is_empty() { Places::default() } else { Places::parse(columns).unwrap() };
    outcome(folder, Plain::open(paths, places, TimeUnit::SECONDS, None))
}

/// Lines of at least three cells, separated by tabs, else commas, else blanks. Columns go by position, and further
/// ones are ignored.
#[test]
fn plain_logs_are_read_whatever_stands_between() {
    let folder = TempDir::new().unwrap();
    let instant = 1_333_476_009_i64;
    for (name, content, columns, item) in [
        ("blanks", "7 tea 1333476009\n\n8  tea   1970-01-01T00:00:01Z x\n".as_bytes(), "", "tea"),
        ("commas", b"\xef\xbb\xbf7,tea house,1333476009\r\n8,tea,1970-01-01 00:00:01,x,y\n", "", "tea house"),
        ("tabs", b"7\tTea, hot\t1333476009\t\n8\tb\t1\n", "", "Tea, hot"),
        (
            "check-ins, whose foreign columns are in another encoding",
            b"7\t4b\tCaf\xe9\t-240\tTue Apr 03 18:00:09 +0000 2012\n8\tb\t\t0\tThu Jan 01 00:00:01 +0000 1970\n",
            "time=5",
            "4b",
        ),
        ("time in the middle", b"7 1333476009 9.5 x\n8 1 9.5 y\n", "user=1,time=2,item=4", "x"),
        ("a date in two cells", b"2012-04-03 18:00:09 x 7\n1970-01-01 00:00:01 y 8\n", "user=4,time=1,item=3", "x"),
    ] {
        let rows = plain(&folder, &file(&folder, "log.txt.gz", content), columns);
        let rows = rows.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((rows[0].user.as_str(), rows[0].item.as_str(), rows[0].line), ("7", item, 1), "{name}");
        assert_eq!((rows[0].time, rows[1].time), (Millis(instant * 1_000), Millis(1_000)), "{name}");
        assert_eq!((rows[1].user.as_str(), rows.len()), ("8", 2), "{name}");
    }
    // Each file chooses its separator.
    let paths = [file(&folder, "a.tsv", b"1\tx\t5\n"), file(&folder, "b.csv", b"2,y,6\n")].concat();
    assert_eq!(plain(&folder, &paths, "").unwrap()[1].user.as_str(), "2");
}

#[test]
fn broken_plain_logs_are_named() {
    let refused_as = |columns: &'static str, table: &[(&str, &[u8], &str)]| {
        refused(table, "txt", |folder, paths| plain(folder, &paths, columns).map(|rows| rows.len()));
    };
    refused_as(
        "",
        &[
            (
                "too short",
                b"a b\n",
                "log.txt, line 1: has 2 cells with blanks between them where there must be at least 3",
            ),
            ("another separator", b"a\tb\t1\na,b,1\n", "line 2: has 1 cells with tabs between them"),
            ("a header", b"user,item,time\n", "line 1, column 3 (time): `time` is not a number (see --time-unit) or"),
            ("what a header wants", b"user,item,time\n", "a log with a header is read by --format events"),
            ("bad time", b"a,b,1\na,b,noon\n", "line 2, column 3 (time): `noon` is not a number"),
            ("no user", b"a,b,1\n,b,1\n", "line 2, column 1 (user): must not be empty"),
            ("not UTF-8", b"a,b\xff,1\n", "line 1, column 2 (item): is not UTF-8"),
            ("a comma in a number", b"a\tb\t1,5\n", "column 3 (time): `1,5` is not a number"),
        ],
    );
    refused_as(
        "item=5",
        &[("few", b"a,b,1,x\n", "line 1: has 4 cells with commas between them where there must be at least 5")],
    );
    for (mapping, part) in [
        ("user=0", "`0` is not the position of a column, from 1"),
        ("user=name", "`name` is not the position"),
        ("kind=4", "it has user, item, time"),
        ("user=1,user=2", "mapped twice"),
    ] {
        assert!(Places::parse(mapping).unwrap_err().to_string().contains(part), "{mapping}");
    }
}

#[test]
fn feeds_are_read() {
    let head = b"timestamp,user_id,post_id,action,target\n";
    let with = |row: &[u8]| [&head[..], row].concat();
    let open = |paths: &[PathBuf]| Feed::open(paths, Columns::default(), TimeUnit::SECONDS, None);
    let folder = TempDir::new().unwrap();
    let rows = with(b"2021-10-20 11:08:10,9,22,view,1\n2021-10-20 11:08:25,9,22,like,0\n");
    let rows = outcome(&folder, open(&file(&folder, "log.csv", &rows))).unwrap();
    assert_eq!((rows[0].action, rows[1].action), (Action::View { liked: true }, Action::Like));
    assert_eq!(rows[1].time.since(rows[0].time), 15_000);
    assert!(Columns::parse("user=u", &feed::ROLES).is_err());
    refused(
        &[
            ("no column", b"timestamp,user_id,post_id,target\n", "there is no column `action` in the header"),
            ("another action", &with(b"1,9,22,hide,0\n"), "line 2, column action: `hide` is not view or like"),
            ("no target", &with(b"1,9,22,view,\n"), "line 2, column target: `` is not 0 or 1"),
            ("another target", &with(b"1,9,22,view,2\n"), "line 2, column target: `2` is not 0 or 1"),
        ],
        "csv",
        |folder, paths| outcome(folder, open(&paths)).map(|rows| rows.len()),
    );
}
