//! An acknowledged entry survives `kill -9`.
//!
//! Invariant: the killed process is a real one (this test binary, started again), killed at a random moment while many
//! tasks append; what it had acknowledged is read by another process from the same directory, right after its death.
//! Absent on purpose: a power cut. It needs a machine that can be switched off; see `synchronous = FULL` in the store.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use eddyline::domain::ids::{ItemId, Key, Position, Seq, TopicId, UserId};
use eddyline::domain::interactions::{Kind, Signal};
use eddyline::domain::journal::{CentreRef, Entry, Learned, Predicted, What};
use eddyline::domain::time::Millis;
use eddyline::store::embedded::Embedded;
use eddyline::store::{Outcome, Snapshot, Store, Write};
use rand::{RngExt, SeedableRng};

/// Names the directory to the process that is to be killed.
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
            lesson: None,
        })
    };
    let id = Key::new(&format!("{user}-{seq}")).unwrap();
    Entry { user: UserId(user), seq: Seq(seq), id, at: Millis(0), received: Millis(0), what }
}

/// The process that is killed: each task goes on where the journal of its person ends, in batches of one to three, and
/// prints `user seq position` for each entry that was acknowledged, one write per line.
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
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
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
        // What follows the last line feed was cut off by the kill. libtest prints its own words, too.
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

/// Opens at once, without a repair and without a lock in the way.
async fn verify(directory: &Path, acknowledged: &HashMap<(u32, u64), u64>, round: u64) {
    let store = Embedded::open(directory).unwrap();
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
