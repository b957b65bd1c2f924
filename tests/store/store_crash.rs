//! Acknowledged entries survive `kill -9`, and so does a store that is being created or migrated.
//!
//! Invariant: the killed process is a real one (this test binary, started again), killed at a random moment while many
//! tasks append. Another process reads its acknowledged entries from the directory right after its death.
//! Deliberately absent: a power cut. It needs a machine that can be switched off; see `synchronous = FULL` in the
//! store.

#![cfg(unix)]

use crate::support;

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::domain::ids::{ItemId, Key, Position, Seq, TopicId, UserId};
use eddyline::domain::interactions::{Kind, Signal};
use eddyline::domain::journal::{CentreRef, Entry, Learned, Predicted, What};
use eddyline::domain::time::Millis;
use eddyline::store::embedded::Embedded;
use eddyline::store::{Outcome, Snapshot, Store, Write};
use rand::{RngExt, SeedableRng};

/// Environment variable with the directory of the process to be killed.
const CHILD: &str = "EDDYLINE_TEST_CRASH_DIRECTORY";
const ROUNDS: u64 = 12;
const USERS: u32 = 24;

fn entry(user: u32, seq: u64) -> Entry {
    let what = if seq.is_multiple_of(5) {
        What::Followed(UserId(u32::try_from(seq).unwrap()))
    } else {
        What::Interacted(Learned {
            item: ItemId(user % 7),
            revision: 1,
            kind: Kind::Like,
            dwell_ms: None,
            shown: None,
            signal: Some(Signal { positive: true, weight: 1.0 }),
            topics: vec![TopicId(1)],
            centre: CentreRef::NONE,
            features: vec![seq as f32; 5],
            predicted: Predicted { online: 0.0, topics: 0.0, model: 0.0, model_version: None },
            example: None,
            liked_at: None,
        })
    };
    let id = Key::new(&format!("{user}-{seq}")).unwrap();
    Entry { user: UserId(user), seq: Seq(seq), id, at: Millis(0), received: Millis(0), what }
}

/// Body of the killed process. Each task continues its user's journal in batches of one to three. It prints `user seq
/// position` for each acknowledged entry, one write per line.
async fn append_until_killed(directory: &Path) {
    let store: Arc<dyn Store> = Arc::new(Embedded::open(directory).unwrap());
    let tasks = (0..USERS).map(|user| {
        let store = store.clone();
        tokio::spawn(async move {
            let recovered = store.recover(UserId(user)).await.unwrap();
            let covered = recovered.snapshot.map(|snapshot| snapshot.seq);
            let mut seq = recovered.tail.last().map(|entry| entry.seq).or(covered).unwrap_or_default().0;
            while seq < u64::MAX {
                let count = seq % 3 + 1;
                let batch: Vec<Write> = (1..=count).map(|more| Write::Entry(entry(user, seq + more))).collect();
                for outcome in store.append(batch).await.unwrap() {
                    seq += 1;
                    let Outcome::Stored(position) = outcome else { panic!("user {user}, seq {seq}: {outcome:?}") };
                    std::io::stdout().write_all(format!("ack {user} {seq} {}\n", position.0).as_bytes()).unwrap();
                }
                if seq.is_multiple_of(10) {
                    let snapshot = Snapshot { seq: Seq(seq), bytes: seq.to_le_bytes().repeat(500) };
                    store.save_snapshot(UserId(user), snapshot).await.unwrap();
                }
            }
        })
    });
    for ended in futures_util::future::join_all(tasks).await {
        ended.unwrap();
    }
}

/// Not a case of its own: does nothing unless the other test starts it.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    if let Some(directory) = std::env::var_os(CHILD) {
        append_until_killed(Path::new(&directory)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_entry_is_there_exactly_once_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = rand::rngs::StdRng::seed_from_u64(rand_seed());
    let mut acknowledged: HashMap<(u32, u64), u64> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store_crash::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let printed = std::thread::spawn(move || {
            let mut text = Vec::new();
            stdout.read_to_end(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        });
        tokio::time::sleep(Duration::from_micros(random.random_range(1_000..250_000))).await;
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none(), "round {round}: it ended by itself before the kill");
        let text = printed.join().unwrap();
        // The kill cut off anything after the last line feed. libtest prints lines of its own, too.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines().filter_map(|line| line.split_once("ack ")).map(|(_, line)| line) {
            let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let &[user, seq, position] = &numbers[..] else { panic!("{line}") };
            acknowledged.insert((u32::try_from(user).unwrap(), seq), position);
        }
        verify(directory.path(), &acknowledged, round).await;
    }
    assert!(
        acknowledged.len() > 1_000,
        "only {} entries: the kills came too early to show anything",
        acknowledged.len()
    );
}

/// Opens at once, without a repair and without a remaining lock.
async fn verify(directory: &Path, acknowledged: &HashMap<(u32, u64), u64>, round: u64) {
    let store: Box<dyn Store> = Box::new(Embedded::open(directory).unwrap());
    let journal = store.scan(Position(0), u32::MAX).await.unwrap();
    let mut last: HashMap<u32, u64> = HashMap::new();
    let mut found: HashMap<(u32, u64), u64> = HashMap::new();
    for (position, read) in &journal {
        let seq = last.entry(read.user.0).or_default();
        *seq += 1;
        assert_eq!(*read, entry(read.user.0, *seq), "round {round}: numbers are consecutive and nothing is torn");
        assert_eq!(found.insert((read.user.0, read.seq.0), position.0), None, "round {round}: twice");
    }
    for (name, position) in acknowledged {
        assert_eq!(found.get(name), Some(position), "round {round}: (user, seq) {name:?} was acknowledged");
    }
    for (user, seq) in last {
        let recovered = store.recover(UserId(user)).await.unwrap();
        let covered = recovered.snapshot.map_or(0, |snapshot| snapshot.seq.0);
        assert_eq!(covered + recovered.tail.len() as u64, seq, "round {round}: snapshot and tail are all of it");
        let follows = store.follows(UserId(user)).await.unwrap();
        assert_eq!(follows.len() as u64, seq / 5, "round {round}: the graph changed with its entry, or not at all");
        let resent = Entry { seq: Seq(seq + 1), ..entry(user, seq) };
        let answer = store.append(vec![Write::Entry(resent)]).await.unwrap();
        assert_eq!(answer, [Outcome::Duplicate(Seq(seq))], "round {round}: a resend is answered, not learned");
    }
}

fn rand_seed() -> u64 {
    let seed = std::env::var("EDDYLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let mut stderr = std::io::stderr();
    writeln!(stderr, "EDDYLINE_TEST_SEED={seed}").unwrap();
    seed
}

/// The newest schema version of earlier programs' stores.
const VERSIONS: i32 = 7;
/// Number of users, items and entries in an old store.
const OLD: u32 = 12;

/// A store as a program with that schema version left it, with data.
fn old_store(directory: &Path, version: i32) {
    Embedded::make_of_version(directory, version).unwrap();
    let connection = rusqlite::Connection::open(directory.join("eddyline.db")).unwrap();
    for number in 0..OLD {
        let rows = format!(
            "INSERT INTO users (id, key, partition, created) VALUES ({number}, 'person-{number}', 1, 1);
             INSERT INTO items (id, key, revision, topics, text, created, deleted)
                VALUES ({number}, 'item-{number}', 1, '[]', 'number {number}', 1, 0);
             INSERT INTO embeddings (item_id, revision, bytes) VALUES ({number}, 1, x'{ones}');
             INSERT INTO follows (source, target, since) VALUES ({number}, {other}, 1);
             INSERT INTO journal (user_id, seq, event_id, kind, at, received, payload)
                VALUES ({number}, 1, 'f', 'followed', 1, 1, '{{\"user\":{other}}}')",
            other = (number + 1) % OLD,
            ones = "0000803f".repeat(384)
        );
        connection.execute_batch(&rows).unwrap();
    }
}

/// Counts of a row of the table.
#[derive(Default)]
struct Tally {
    rounds: u32,
    killed: u32,
    ended: u32,
    ready: u32,
    repaired: u32,
}

/// Rounds: `EDDYLINE_TEST_KILL_ROUNDS`. Half of them kill, half of them send SIGTERM, at random moments of a start. The
/// starts are on nothing, on stores of each earlier version with data, and on one of this version.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_ended_at_any_moment_leaves_a_store_that_opens_with_its_data() {
    let rounds = std::env::var("EDDYLINE_TEST_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40_u32);
    let mut random = rand::rngs::StdRng::seed_from_u64(rand_seed());
    // Duration of a start on this machine, in this build.
    let begin = Instant::now();
    drop(support::server());
    let start_us = u64::try_from(begin.elapsed().as_micros()).unwrap().clamp(20_000, 400_000);
    let mut table: Vec<[Tally; 2]> = Vec::new();
    table.resize_with(VERSIONS as usize + 1, Default::default);
    for round in 0..rounds {
        let version = i32::try_from(round / 2).unwrap() % (VERSIONS + 1);
        let terminates = round % 2 == 1;
        let tally = &mut table[version as usize][usize::from(terminates)];
        let place = tempfile::tempdir().unwrap();
        let directory = support::data(place.path());
        if version > 0 {
            old_store(&directory, version);
        }
        let mut child = Command::new(crate::support::program())
            .args(["serve", "--listen", "127.0.0.1:0", "--store", &support::store(place.path())])
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(place.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_micros(random.random_range(0..start_us))).await;
        if terminates {
            support::terminate(&child)
        } else {
            child.kill().unwrap()
        }
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let log = || std::fs::read_to_string(place.path().join("log")).unwrap();
        tally.rounds += 1;
        tally.ready += u32::from(said.contains("listening"));
        match (status.code(), status.signal()) {
            (Some(0), _) if terminates => {
                tally.ended += 1;
                let left = std::fs::metadata(directory.join("eddyline.db-wal")).map_or(0, |found| found.len());
                assert_eq!(left, 0, "round {round}: an end in order leaves no log");
            }
            (_, Some(9)) if !terminates => tally.killed += 1,
            // Before the program catches signals, it has not touched the store.
            (_, Some(15)) if terminates => {
                tally.killed += 1;
                assert!(!directory.join("eddyline.lock").exists(), "round {round}: signals are caught first");
            }
            other => panic!("round {round}, from version {version}: ended with {other:?}; its log:\n{}", log()),
        }
        let store: Box<dyn Store> = Box::new(
            Embedded::open(&directory).unwrap_or_else(|error| panic!("round {round}, from {version}: {error}")),
        );
        let expected = if version > 0 { OLD as usize } else { 0 };
        assert_eq!(store.scan(Position(0), u32::MAX).await.unwrap().len(), expected, "round {round}: entries");
        let people = eddyline::store::recovery::read_catalogue(&*store).await.unwrap().1;
        assert_eq!(people.len(), expected, "round {round}: people");
        assert!(store.check_files().await.unwrap().is_empty(), "round {round}: the file is sound");
        drop(store);
        tally.repaired += u32::from(log().contains("half-way"));
    }
    println!("from version   signal   rounds   killed   ended in order   ready before   all opened with their data");
    for (version, rows) in table.iter().enumerate() {
        for (signal, tally) in ["KILL", "TERM"].iter().zip(rows) {
            let Tally { rounds, killed, ended, ready, repaired } = tally;
            assert_eq!(*repaired, 0, "this program leaves nothing half-way");
            println!("{version:>12}   {signal:>6}   {rounds:>6}   {killed:>6}   {ended:>14}   {ready:>12}   {rounds}");
        }
    }
}

/// Reproduces a kill of an earlier program between a migration and its version row.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_an_earlier_program_left_half_way_opens_with_its_data() {
    for version in 1..=VERSIONS {
        let place = tempfile::tempdir().unwrap();
        let directory = support::data(place.path());
        old_store(&directory, version);
        let connection = rusqlite::Connection::open(directory.join("eddyline.db")).unwrap();
        connection.execute("DELETE FROM refinery_schema_history WHERE version = ?1", [version]).unwrap();
        drop(connection);
        let store: Box<dyn Store> =
            Box::new(Embedded::open(&directory).unwrap_or_else(|error| panic!("version {version}: {error}")));
        assert_eq!(store.scan(Position(0), u32::MAX).await.unwrap().len(), OLD as usize, "version {version}");
    }
}

/// Environment variable with the kind of the child's panic.
const PANICS: &str = "EDDYLINE_TEST_PANICS";

/// Not a case of its own: does nothing unless the other test starts it.
#[test]
fn child_that_panics() {
    use actix::prelude::*;
    struct Part(#[allow(dead_code, reason = "held until the part ends")] eddyline::process::Vital);
    impl Actor for Part {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            ctx.run_later(Duration::from_millis(10), |_, _| panic!("a bug"));
        }
    }
    let Ok(how) = std::env::var(PANICS) else { return };
    let _system = System::new();
    let vital = || eddyline::process::Vital::new("a part");
    match how.as_str() {
        "thread" => drop(std::thread::spawn(move || {
            let _vital = vital();
            panic!("a bug");
        })),
        "task" => {
            let _ = Arbiter::new().spawn(eddyline::process::Vital::task("a part", async { panic!("a bug") }));
        }
        _ => drop(Part::start_in_arbiter(&Arbiter::new().handle(), move |_| Part(vital()))),
    }
    std::thread::sleep(Duration::from_secs(20));
}

#[test]
fn the_death_of_a_part_ends_the_process_with_a_failure() {
    for how in ["thread", "task", "actor"] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store_crash::child_that_panics", "--nocapture", "--test-threads=1"])
            .env(PANICS, how)
            .stdout(Stdio::null())
            .stderr(std::fs::File::options().write(true).open("/dev/full").unwrap())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        let status = child.wait().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(15), "{how}: it went on");
        assert_eq!(status.code(), Some(1), "{how}");
    }
}

/// Simulates file system damage: zeros in place of a page of an index.
#[test]
fn a_damaged_file_is_named_by_db_check() {
    let place = tempfile::tempdir().unwrap();
    let (directory, store) = (support::data(place.path()), support::store(place.path()));
    old_store(&directory, VERSIONS);
    drop(Embedded::open(&directory).unwrap());
    let (status, said) = support::run(&["db", "check", "--store", &store]);
    assert_eq!(status, Some(0), "{said}");
    let connection = rusqlite::Connection::open(directory.join("eddyline.db")).unwrap();
    let page: u32 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'journal_by_user_seq'", [], |row| row.get(0))
        .unwrap();
    let size: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(connection);
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().write(true).open(directory.join("eddyline.db")).unwrap();
    file.write_all_at(&vec![0; size as usize], u64::from(page - 1) * u64::from(size)).unwrap();
    let (status, said) = support::run(&["db", "check", "--store", &store]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("the file is damaged, restore it from a backup"), "{said}");
}

/// If the directory is removed by mistake, the server reports it and acknowledges nothing more.
#[test]
fn a_server_whose_directory_was_deleted_says_so_and_acknowledges_nothing() {
    let server = support::server();
    server.people(&["ada"]);
    server.items(3);
    let post = |id: &str| {
        let body = serde_json::json!({"id": id, "user": "ada", "item": "item-1", "kind": "like"});
        server.rest().post("/v1/interactions", &body)
    };
    assert_eq!(post("before").status, 200);
    std::fs::remove_dir_all(Path::new(&server.data_directory()).join("data")).unwrap();
    let ready = server.rest().get("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("deleted or replaced"), "{}", ready.body);
    for id in ["after", "later"] {
        let answer = post(id);
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    assert_eq!(server.rest().get("/health").status, 200, "it lives");
}

/// Two ways in which a restart could silently begin with an empty store.
#[test]
fn a_server_does_not_start_on_a_directory_whose_database_is_gone() {
    for empties in [true, false] {
        let server = support::server();
        server.people(&["ada"]);
        let (status, place) = server.terminate();
        assert_eq!(status, Some(0));
        let database = support::data(place.path()).join("eddyline.db");
        if empties {
            drop(std::fs::File::create(&database).unwrap())
        } else {
            std::fs::remove_file(&database).unwrap()
        }
        let (status, said) =
            support::run(&["serve", "--listen", "127.0.0.1:0", "--store", &support::store(place.path())]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("restore it from a backup"), "{said}");
    }
}

/// Ids of an erased user's events must not remain in the write-ahead log after a shutdown.
#[test]
fn an_end_in_order_leaves_no_byte_of_who_was_erased() {
    let server = support::server();
    server.people(&["ada", "bea"]);
    server.items(6);
    for number in 0..60 {
        let body =
            serde_json::json!({"id": format!("secret-{number}"), "user": "ada", "item": "item-1", "kind": "like"});
        server.rest().post("/v1/interactions", &body).success("an event");
    }
    server.rest().delete("/v1/users/ada").success("an erasure");
    let body = serde_json::json!({"id": "hers", "user": "bea", "item": "item-1", "kind": "like"});
    server.rest().post("/v1/interactions", &body).success("an event of somebody else");
    let (status, place) = server.terminate();
    assert_eq!(status, Some(0));
    let files: Vec<_> = std::fs::read_dir(support::data(place.path())).unwrap().map(Result::unwrap).collect();
    let names: Vec<String> = files.iter().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.ends_with("-wal") || name.ends_with("-shm")), "closed: {names:?}");
    for file in files {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(7).any(|some| some == b"secret-"), "{:?}", file.file_name());
    }
}
