//! A store as one dump file, and back: nothing is lost, nothing is added, and a torn file is rejected.
//!
//! Invariant: stores are compared by their dumps, byte by byte, and by the answers of a server over them.

use crate::support;

use std::path::Path;

use eddyline::domain::interactions::Kind;
use serde_json::{Value, json};

use support::Server;
use support::socket::Client;

/// A server's directory with some data of each kind: revisions, windows, a centre, a deletion, an erasure.
fn scene() -> tempfile::TempDir {
    let server = support::server();
    server.items(45);
    server.people(&["ada", "bea", "gone"]);
    let rest = server.rest();
    let mood = json!({"kind": "value", "range": [-5, 5], "types": ["am", "pm"], "attribute": "age"});
    rest.put("/v1/metrics/mood", &mood).success("a metric");
    for threshold in [20, 30] {
        let settings = json!({"columns": ["mood.am"], "threshold": threshold});
        rest.put("/v1/clusterings/moods", &settings).success("a clustering");
    }
    rest.put("/v1/users/ada", &json!({"name": "Ada 🌊", "attributes": {"age": 36}})).success("attributes");
    rest.put("/v1/items/item-3", &json!({"text": "revised", "topics": ["a"]})).success("a revision");
    rest.put("/v1/items/item-3", &json!({"text": "revised again", "topics": ["b", "a"]})).success("another");
    rest.put("/v1/items/item-4/windows", &json!([{"start": 1, "stop": 2}, {"start": 5}])).success("windows");
    rest.put("/v1/items/of-gone", &json!({"text": "soon forgotten", "author": "gone"})).success("an item");
    support::block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let mut bea = Client::hello(server.address(), "bea").await;
        for (number, kind) in [(0, Kind::Like), (3, Kind::Skip), (4, Kind::Hide), (5, Kind::View)] {
            let id = ada.interact(&format!("item-{number}"), kind).await;
            ada.wait_accepted(&id).await;
        }
        ada.follow("f1", "bea").await;
        ada.post("p1", "a post 🌊", Some("a")).await;
        bea.follow("f2", "gone").await;
        bea.follow("f3", "ada").await;
        ada.wait_accepted("p1").await;
        bea.wait_accepted("f3").await;
    });
    rest.delete("/v1/items/item-9").success("a deletion");
    rest.delete("/v1/users/gone").success("an erasure");
    // Learned from a revision that is no longer the newest.
    rest.put("/v1/items/item-0", &json!({"text": "new words", "topics": ["c"]})).success("a revision");
    server.kill()
}

fn run(arguments: &[&str]) -> String {
    let (status, said) = support::run(arguments);
    assert_eq!(status, Some(0), "{arguments:?}: {said}");
    said
}

fn dump(store: &str, out: &Path) -> Vec<u8> {
    run(&["db", "dump", "--store", store, "--out", out.to_str().unwrap()]);
    std::fs::read(out).unwrap()
}

fn load(store: &str, from: &Path) -> (Option<i32>, String) {
    support::run(&["db", "load", "--store", store, "--in", from.to_str().unwrap()])
}

#[test]
fn what_is_loaded_is_what_was_dumped_byte_by_byte() {
    let (before, after) = (scene(), tempfile::tempdir().unwrap());
    let file = |name: &str| after.path().join(name);
    let first = dump(&support::store(before.path()), &file("plain.jsonl"));
    for name in ["one.zst", "one.gz"] {
        let small = dump(&support::store(before.path()), &file(name));
        assert!(small.len() < first.len(), "{name}");
        assert_eq!(dump(&support::store(before.path()), &file(name)), small, "{name}: same content, same bytes");
        let into = tempfile::tempdir().unwrap();
        let (status, said) = load(&support::store(into.path()), &file(name));
        assert_eq!(status, Some(0), "{name}: {said}");
        assert!(dump(&support::store(into.path()), &file("again.jsonl")) == first, "{name} is another");
        let said = run(&["db", "check", "--store", &support::store(into.path())]);
        assert!(said.contains("0 wrong"), "{said}");
    }
    assert!(!file("plain.jsonl.part").exists());
}

#[test]
fn a_server_over_a_loaded_store_says_the_same() {
    let (before, work) = (scene(), tempfile::tempdir().unwrap());
    let out = work.path().join("dump.zst");
    dump(&support::store(before.path()), &out);
    let into = tempfile::tempdir().unwrap();
    assert_eq!(load(&support::store(into.path()), &out).0, Some(0));
    let at = support::now_ms();
    let paths = [
        "/user/ada".to_owned(),
        "/user/bea/feed?limit=1000".into(),
        "/user/ada/feed?limit=1000".into(),
        "/v1/items?limit=1000".into(),
        "/v1/items/item-4/windows".into(),
        "/v1/score".into(),
        format!("/post/recommendations?id=ada&limit=100&time={at}"),
    ];
    let ask = |server: &Server| -> Vec<Value> {
        paths.iter().map(|path| server.rest().get(path).success(path).json()).collect()
    };
    let (old, new) = (Server::start(before), Server::start(into));
    assert_eq!(ask(&old), ask(&new));
    assert_eq!(new.rest().get("/user/gone").status, 404);
    for (name, body) in [("ada", json!(["bea"])), ("bea", json!(["ada"]))] {
        let export = new.rest().get(&format!("/v1/users/{name}/export")).success("export").json();
        assert_eq!((&export["follows"], &export["followers"]), (&body, &body), "{name}");
    }
    // Operation continues: the erased key is a new user, and numbers go on.
    assert_eq!(new.rest().put("/v1/users/gone", &json!({})).status, 201);
    let next = json!({"user": "ada", "id": "next", "item": "item-1", "kind": "like"});
    assert_eq!(new.rest().post("/v1/interactions", &next).success("the next").json()["seq"], 7);
}

#[test]
fn a_torn_or_spoiled_dump_is_refused_and_changes_nothing() {
    let (before, work) = (scene(), tempfile::tempdir().unwrap());
    let out = work.path().join("dump.jsonl");
    let good = String::from_utf8(dump(&support::store(before.path()), &out)).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let without = |index: usize| {
        let left: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| *line).collect();
        left.join("\n") + "\n"
    };
    let entry = lines.iter().position(|line| line.starts_with("{\"entry\"")).unwrap();
    for (name, text, says) in [
        ("nothing", String::new(), "cut off"),
        ("half", good[..good.len() / 2].to_owned(), "cut off"),
        ("without its end", without(lines.len() - 1), "cut off"),
        ("without an entry", without(entry), "damaged"),
        ("without its header", without(0), "header"),
        ("a letter changed", good.replacen("revised", "revisid", 1), "damaged"),
        ("two in one", format!("{good}{good}"), "after the end"),
        ("another file", "id,name\n1,ada\n".to_owned(), "line 1"),
        ("of a later program", good.replacen("\"version\":1", "\"version\":2", 1), "newer"),
    ] {
        std::fs::write(&out, text).unwrap();
        let into = tempfile::tempdir().unwrap();
        let (status, said) = load(&support::store(into.path()), &out);
        assert_eq!(status, Some(1), "{name}: {said}");
        assert!(said.contains(says) && said.contains("--in"), "{name}: {said}");
        std::fs::write(&out, &good).unwrap();
        assert_eq!(load(&support::store(into.path()), &out).0, Some(0), "{name}: the store is still empty");
    }
    // A compressed dump, cut at several places.
    let small = work.path().join("dump.zst");
    let whole = dump(&support::store(before.path()), &small);
    for part in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&small, &whole[..part]).unwrap();
        let into = tempfile::tempdir().unwrap();
        let (status, said) = load(&support::store(into.path()), &small);
        assert_eq!(status, Some(1), "{part} bytes: {said}");
    }
}

#[test]
fn a_store_that_holds_something_is_not_loaded_into() {
    let (before, work) = (scene(), tempfile::tempdir().unwrap());
    let out = work.path().join("dump.gz");
    dump(&support::store(before.path()), &out);
    let (status, said) = load(&support::store(before.path()), &out);
    assert_eq!(status, Some(1));
    assert!(said.contains("--store") && said.contains("empty"), "{said}");
    let running = Server::start(before);
    assert_eq!(running.rest().history("ada").len(), 4);
}

#[test]
fn a_dump_that_cannot_be_written_leaves_the_old_one() {
    let (before, work) = (scene(), tempfile::tempdir().unwrap());
    let store = support::store(before.path());
    let (status, said) = support::run(&["db", "dump", "--store", &store, "--out", "/nowhere/at/all/dump.zst"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("--out: /nowhere/at/all/dump.zst"), "{said}");
    let out = work.path().join("dump.zst");
    std::fs::write(&out, "the old one").unwrap();
    let server = Server::start(before);
    let (status, said) = support::run(&["db", "dump", "--store", &store, "--out", out.to_str().unwrap()]);
    assert_eq!(status, Some(1), "its server runs");
    assert!(said.contains("in use"), "{said}");
    assert_eq!(std::fs::read(&out).unwrap(), b"the old one");
    drop(server);
}

/// A killed load leaves a part of the data, which no process may take for the whole.
#[test]
fn a_store_whose_load_was_interrupted_is_opened_by_nobody() {
    let (before, into) = (scene(), tempfile::tempdir().unwrap());
    let out = into.path().join("dump.jsonl");
    dump(&support::store(before.path()), &out);
    let store = support::store(into.path());
    support::block_on(async {
        use eddyline::store::{JournalStore as _, MaintenanceStore as _};
        // As far as a load gets that is killed at its first entry.
        let embedded = eddyline::store::embedded::Embedded::open(&support::data(into.path())).unwrap();
        embedded.set_loading(true).await.unwrap();
        let topic = eddyline::store::Write::Topic(
            eddyline::domain::ids::TopicId(1),
            eddyline::domain::ids::Key::new("a").unwrap(),
        );
        embedded.append(vec![topic]).await.unwrap();
    });
    for arguments in [["serve", "--listen", "127.0.0.1:0"].as_slice(), &["db", "check"], &["db", "dump", "--out", "x"]]
    {
        let (status, said) = support::run(&[arguments, &["--store", &store]].concat());
        assert_eq!(status, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("part of a dump") && said.contains("load again"), "{arguments:?}: {said}");
    }
    std::fs::remove_dir_all(support::data(into.path())).unwrap();
    assert_eq!(load(&store, &out).0, Some(0));
    run(&["db", "check", "--store", &store]);
}

/// Earlier versions accepted such texts into the embedded store; now only manual edits can create them.
#[test]
fn a_text_that_could_not_be_loaded_again_is_not_dumped_and_not_loaded_half_way() {
    let (before, work) = (scene(), tempfile::tempdir().unwrap());
    let out = work.path().join("dump.jsonl");
    let good = String::from_utf8(dump(&support::store(before.path()), &out)).unwrap();
    let file = support::data(before.path()).join("eddyline.db");
    let edit = |sql: &str| assert_eq!(rusqlite::Connection::open(&file).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
    std::fs::write(&out, "the old one").unwrap();
    for (spoil, mend, says) in [
        (
            "UPDATE items SET text = 'hel' || char(0) || 'lo' WHERE key = 'item-4'",
            "UPDATE items SET text = 'hello' WHERE key = 'item-4'",
            "item \"item-4\": start the server, and change its text",
        ),
        (
            "UPDATE users SET attributes = '{\"a\": [\"\\u0000\"]}' WHERE key = 'ada'",
            "UPDATE users SET attributes = NULL WHERE key = 'ada'",
            "person \"ada\": start the server, and change them",
        ),
    ] {
        edit(spoil);
        let (status, said) =
            support::run(&["db", "dump", "--store", &support::store(before.path()), "--out", out.to_str().unwrap()]);
        assert!(status == Some(1) && said.contains(says) && said.contains("NUL"), "{said}");
        assert_eq!(std::fs::read(&out).unwrap(), b"the old one");
        edit(mend);
    }
    for (name, text, says) in [
        (
            "a text",
            good.replacen("\"text\":\"item number 5\"", "\"text\":\"item\\u0000\"", 1),
            "the text of \"item-5\"",
        ),
        ("attributes", good.replacen("\\\"age\\\":", "\\\"a\\\\u0000e\\\":", 1), "the attributes of \"ada\""),
    ] {
        assert_ne!(text, good, "{name}");
        std::fs::write(&out, text).unwrap();
        let into = tempfile::tempdir().unwrap();
        let (status, said) = load(&support::store(into.path()), &out);
        assert!(
            status == Some(1) && said.contains(says) && said.contains("line ") && said.contains("NUL"),
            "{name}: {said}"
        );
        std::fs::write(&out, &good).unwrap();
        assert_eq!(load(&support::store(into.path()), &out).0, Some(0), "{name}: the store is still empty");
    }
}

/// The newest fit is in the dump, so a name stays with the users of its cluster through a load and a refit.
#[test]
fn a_cluster_keeps_its_name_and_its_users_through_a_load() {
    let by_hand = [
        ("EDDYLINE_CLUSTER__THRESHOLD", "0"),
        ("EDDYLINE_CLUSTER__INTERVAL_S", "1"),
        ("EDDYLINE_CLUSTER__COLUMNS", "[\"time_spent.post\"]"),
    ];
    let server = Server::start_with(tempfile::tempdir().unwrap(), &by_hand);
    let rest = server.rest();
    let measure = |rest: &support::rest::Rest, n: usize, value: f64| {
        let noise = ((n * 7_919) % 101) as f64 / 25.0;
        rest.put(&format!("/v1/users/p{n}"), &json!({})).success("a user");
        let body = json!({"metric": "time_spent", "type": "post", "value": value + noise});
        rest.post(&format!("/v1/metrics?user=p{n}"), &body).success("measure");
    };
    let refit = |rest: &support::rest::Rest, epoch: u64| {
        rest.post("/v1/clusters/refit", &json!({})).success("refit");
        let begin = std::time::Instant::now();
        while rest.get("/v1/clusters").success("clusters").json()["epoch"] != epoch {
            assert!(begin.elapsed() < 3 * support::PATIENCE, "no fit {epoch}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    // The second fit has a cluster of users that the first did not have, so numbers do not follow from the values alone.
    (0..60).for_each(|n| measure(&rest, n, [60.0, 120.0][n % 2]));
    refit(&rest, 1);
    (60..90).for_each(|n| measure(&rest, n, 10.0));
    refit(&rest, 2);
    let cluster = |rest: &support::rest::Rest, user: &str| {
        rest.get(&format!("/v1/users/{user}/clusters")).success("clusters").json()["clusters"][0].clone()
    };
    for (user, name) in [("p0", "minutes"), ("p1", "hours"), ("p60", "seconds")] {
        let id = cluster(&rest, user)["id"].as_u64().unwrap();
        rest.put(&format!("/v1/clusterings/default/names/{id}"), &json!({"name": name})).success("a name");
    }
    let before = rest.get("/v1/clusters").success("clusters").json();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (from, work, into) = (server.kill(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = work.path().join("dump.jsonl");
    let first = dump(&support::store(from.path()), &out);
    assert!(first.windows(7).any(|part| part == b"{\"fit\":"), "no fit in the dump");
    assert_eq!(load(&support::store(into.path()), &out).0, Some(0));
    assert!(dump(&support::store(into.path()), &work.path().join("again.jsonl")) == first, "another dump");
    let server = Server::start_with(into, &by_hand);
    let rest = server.rest();
    assert_eq!(rest.get("/v1/clusters").success("clusters").json()["clusters"], before["clusters"]);
    refit(&rest, 3);
    for (user, name) in [("p0", "minutes"), ("p1", "hours"), ("p60", "seconds")] {
        assert_eq!(cluster(&rest, user)["name"], name, "{user}");
    }
}
