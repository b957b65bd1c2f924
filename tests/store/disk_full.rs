//! Full disks. When Postgres runs out of disk, the server goes on. Accepted events are written after there is room
//! again, in order, once. A full disk below the embedded store and its log, or a blocked standard error, loses no
//! acknowledged entry and no thread. Shutdown stays orderly.

use crate::support;

use crate::postgres;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eddyline::domain::interactions::Kind;
use support::rest::Rest;
use support::socket::Client;
use support::{PATIENCE, Server, block_on};

/// A small file system, unmounted at the end.
struct Small(PathBuf);

impl Small {
    fn mount(mib: u32) -> Option<Small> {
        let size = format!("size={mib}m,mode=1777");
        let place = tempfile::tempdir().unwrap().keep();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&place).status();
        mounted.is_ok_and(|status| status.success()).then_some(Small(place))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn it_goes_on_while_the_database_has_no_disk() {
    let small = match Small::mount(160) {
        Some(small) if !postgres::skipped() => small,
        _ => {
            println!("skipped: needs Postgres, and root to mount a small file system");
            return;
        }
    };
    let cluster = postgres::Cluster::start_in(&small.0, &["wal_recycle=off", "max_wal_size=32MB", "min_wal_size=32MB"]);
    let database = cluster.database();
    let server = Server::start_on(tempfile::TempDir::new().unwrap(), cluster.url(&database));
    server.people(&["ada"]);
    server.items(12);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let first = ada.interact("item-1", Kind::Like).await;
        ada.wait_accepted(&first).await;
        let filler = small.0.join("filler");
        fill(&filler);
        let mut ids = vec![first];
        // Enough to need more room than the current file has left.
        for number in 0..400 {
            ids.push(ada.interact(&format!("item-{}", 2 + number % 8), Kind::Like).await);
        }
        ada.wait("a feed after them, from memory", |client| client.feeds() > 2).await;
        ada.listen(std::time::Duration::from_secs(2)).await;
        let kept = ids.iter().filter(|id| ada.accepted().contains_key(*id)).count();
        println!("{kept} of {} were accepted while the disk was full", ids.len());
        std::fs::remove_file(&filler).unwrap();
        // Without room for its log Postgres ends itself; its supervisor starts it again.
        cluster.run_if_down();
        for (id, seq) in ids.iter().zip(1_u64..) {
            assert_eq!(ada.wait_accepted(id).await, seq);
        }
        let rows = cluster.sql(&database, "SELECT event_id FROM journal ORDER BY position");
        assert_eq!(rows, ids, "all of it, in order, once");
    });
}

/// Data and log on one disk, which fills up twice; the second time the server gets SIGTERM meanwhile.
#[test]
fn on_a_full_disk_requests_are_refused_and_nothing_that_matters_dies() {
    let Some(small) = Small::mount(48) else {
        println!("skipped: needs root to mount a small file system");
        return;
    };
    let server = Server::start_with(tempfile::TempDir::new_in(&small.0).unwrap(), &[("EDDYLINE_LOG", "debug")]);
    server.people(&["ada"]);
    server.items(12);
    let mut acknowledged: Vec<String> = Vec::new();
    let mut post = |id: String| {
        let begin = Instant::now();
        let body = serde_json::json!({"id": id, "user": "ada", "item": "item-2", "kind": "like"});
        let answer = server.rest().post("/v1/interactions", &body);
        assert!([200, 503].contains(&answer.status), "{}: {}", answer.status, answer.body);
        assert!(begin.elapsed() < PATIENCE / 2, "an answer after {:?}", begin.elapsed());
        if answer.status == 200 {
            acknowledged.push(id);
        } else {
            assert!(answer.header("retry-after").is_some());
        }
        answer.status
    };
    assert_eq!(post("before".into()), 200);
    for round in 0..2 {
        let filler = small.0.join("filler");
        fill(&filler);
        // The log's current file may have room left.
        let refused = (0..4_000).any(|number| post(format!("full-{round}-{number}")) == 503);
        assert!(refused, "the disk is full");
        let ready = server.rest().get("/ready");
        assert_eq!(ready.status, 503, "{}", ready.body);
        assert!(ready.body.contains("disk"), "what to do: {}", ready.body);
        assert_eq!(server.rest().get("/health").status, 200);
        assert!(!server.rest().feed("ada", "limit=5").is_empty(), "feeds come from memory");
        if round == 0 {
            std::fs::remove_file(&filler).unwrap();
            until("/ready to say yes", || server.rest().get("/ready").status == 200);
            assert_eq!(post("after".into()), 200, "the writer lives");
        }
    }
    // An entry waits for room, without an acknowledgement: the shutdown reports it, and completes.
    let (status, directory) = server.terminate();
    assert_eq!(status, Some(1), "what could not be stored is a failure, and no signal was needed to end it");
    std::fs::remove_file(small.0.join("filler")).unwrap();
    let again = Server::start(directory);
    let answer = again.rest().get("/v1/users/ada/export").success("all of it").json();
    let ids: Vec<&str> = answer["journal"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str()).collect();
    for id in &acknowledged {
        assert_eq!(ids.iter().filter(|found| *found == id).count(), 1, "{id} was acknowledged");
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server with a broken standard error, and its clients.
struct Mute {
    child: Child,
    rest: Rest,
}

impl Mute {
    fn start(directory: &Path, stderr: Stdio) -> Mute {
        use std::io::BufRead as _;
        let mut child = Command::new(crate::support::program())
            .args(["serve", "--listen", "127.0.0.1:0", "--store", &support::store(directory)])
            .env("EDDYLINE_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        // A pipe that no process reads any more.
        drop(child.stderr.take());
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("an address").parse().unwrap();
        Mute { child, rest: Rest::new(address) }
    }
}

#[test]
fn a_server_whose_log_cannot_be_written_serves_and_ends_in_order() {
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    for (name, stderr) in [("full", full()), ("gone", Stdio::piped()), ("null", Stdio::null())] {
        let place = tempfile::tempdir().unwrap();
        let Mute { mut child, rest } = Mute::start(place.path(), stderr);
        rest.put("/v1/users/ada", &serde_json::json!({})).success(name);
        rest.put("/v1/items/one", &serde_json::json!({"text": "one"})).success(name);
        for number in 0..20 {
            let id = format!("event-{number}");
            let body = serde_json::json!({"id": id, "user": "ada", "item": "one", "kind": "like"});
            rest.post("/v1/interactions", &body).success(name);
        }
        assert_eq!(rest.get("/ready").status, 200, "{name}");
        support::terminate(&child);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{name}");
        assert!(!support::data(place.path()).join("eddyline.db-wal").exists(), "{name}: closed");
    }
}

#[test]
fn a_command_whose_words_cannot_be_written_does_its_work() {
    let place = tempfile::tempdir().unwrap();
    let (store, file) = (support::store(place.path()), place.path().join("dump.zst"));
    let file = file.to_str().unwrap();
    for arguments in [
        ["db", "check", "--store", &store].as_slice(),
        &["db", "dump", "--store", &store, "--out", file],
        &["token", "create", "--service", "--store", &store],
        &["db", "no-such-command"],
    ] {
        let stderr = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(crate::support::program());
        let status = command.args(arguments).stdout(Stdio::null()).stderr(stderr).status().unwrap().code();
        let expected = if arguments.contains(&"no-such-command") { 2 } else { 0 };
        assert_eq!(status, Some(expected), "{arguments:?}");
    }
    assert!(Path::new(file).exists());
}

/// Fills the file system completely.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    let block = vec![0_u8; 64 * 1024];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
}
