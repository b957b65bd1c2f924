//! Two-tower models on the real server: published, swapped under load, rolled back, rejected, restarted.
//!
//! Invariant: reported models are the serving ones. No test sleeps for a fixed time where it can wait for the event
//! itself.

use crate::support;

use crate::checkpoint;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use checkpoint::checkpoint;
use eddyline::domain::interactions::Kind;
use eddyline::protocol::server::ServerMessage;
use serde_json::{Value, json};
use support::rest::{Answer, Rest};
use support::socket::Client;
use support::{PATIENCE, Server, block_on, now_ms, store};
use tempfile::TempDir;

/// Numbers in an embedding: few, so that models are trained in a moment.
const DIM: usize = 32;
const VARIABLES: [(&str, &str); 1] = [("EDDYLINE_DIM", "32")];

fn server() -> Server {
    start(TempDir::new().unwrap())
}

fn start(directory: TempDir) -> Server {
    Server::start_with(directory, &VARIABLES)
}

/// Runs `eddyline` to its end; returns status and output.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(crate::support::program());
    let output = command.args(arguments).envs(VARIABLES).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// `POST` of a checkpoint.
fn upload(rest: &Rest, query: &str, bytes: &[u8]) -> Answer {
    rest.post_bytes(&format!("/v1/models{query}"), bytes)
}

fn published(rest: &Rest, bytes: &[u8]) -> u64 {
    let answer = upload(rest, "?publish=true", bytes).success("publish a model");
    answer.json()["version"].as_u64().unwrap()
}

fn publish(rest: &Rest, version: u64) -> u64 {
    let answer = rest.post(&format!("/v1/models/{version}/publish"), &json!(null)).success("publish again");
    answer.json()["version"].as_u64().unwrap()
}

fn rollback(rest: &Rest, query: &str) -> Answer {
    rest.post(&format!("/v1/models/rollback{query}"), &json!(null))
}

/// Version of each stored model, and whether it serves.
fn listed(rest: &Rest) -> Vec<(u64, bool)> {
    let body = rest.get("/v1/models").success("list models").json();
    let row = |row: &Value| (row["version"].as_u64().unwrap(), row["serves"].as_bool().unwrap());
    body["models"].as_array().unwrap().iter().map(row).collect()
}

/// The `tower` feed of a user: the version of its model, and its items.
fn by_tower(rest: &Rest, user: &str) -> (Option<u64>, Vec<String>) {
    let body = rest.get(&format!("/v1/users/{user}/feed?ranking=tower&limit=20")).success("a feed").json();
    (body["model_version"].as_u64(), support::rest::items(&body))
}

fn file(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A published model takes part in ranking, and feeds, journal and figures name it; another one replaces it. `rollback`
/// leads back step by step. After `kill -9` the published one serves from the first request on.
#[test]
fn a_model_is_published_taken_back_and_still_there_after_a_crash() {
    let server = server();
    server.people(&["ada"]);
    server.items(30);
    let rest = server.rest();
    let (before, newest) = by_tower(&rest, "ada");
    assert_eq!((before, newest.first().map(String::as_str)), (None, Some("item-0")), "without a model: the newest");
    assert_eq!(rollback(&rest, "").code().as_deref(), Some("conflict"));
    assert!(rest.get("/v1/users/ada/feed").json().get("model_version").is_none());

    let first = published(&rest, &checkpoint(1, DIM));
    let (version, of_first) = by_tower(&rest, "ada");
    assert_eq!(version, Some(first));
    assert_ne!(of_first, newest);
    assert!(rest.get("/v1/users/ada/feed?ranking=flat").json().get("model_version").is_none(), "flat asks no model");
    let act = json!({"user": "ada", "item": "item-3", "kind": "like"});
    rest.post("/v1/interactions", &act).success("an interaction");
    assert_eq!(rest.history("ada")[0]["predicted"]["model_version"], first, "the entry names who predicted");
    assert_eq!(rest.get("/v1/figures").json()["world"]["model_version"], first);
    assert!(rest.get("/metrics").body.lines().any(|line| line == format!("eddyline_model_version {first}")));

    let second = upload(&rest, "", &checkpoint(2, DIM)).success("keep a model").json()["version"].as_u64().unwrap();
    assert_eq!(listed(&rest), [(second, false), (first, true)]);
    assert_eq!(by_tower(&rest, "ada").0, Some(first), "what is only kept does not serve");
    assert_eq!(publish(&rest, second), second);
    let (version, of_second) = by_tower(&rest, "ada");
    assert_eq!(version, Some(second));
    assert_ne!(of_second, of_first);
    assert_eq!(rollback(&rest, "").success("roll back").json()["version"], first);
    assert_eq!(by_tower(&rest, "ada").0, Some(first));
    assert_eq!(rollback(&rest, "").code().as_deref(), Some("conflict"), "nothing was before the first");
    assert_eq!(rollback(&rest, &format!("?version={second}")).success("to a version").json()["version"], second);
    assert_eq!(listed(&rest), [(second, true), (first, false)]);
    for (path, status) in
        [("/v1/models/99/publish", 404), ("/v1/models/x/publish", 400), ("/v1/models/rollback?version=99", 404)]
    {
        assert_eq!(rest.post(path, &json!(null)).status, status, "{path}");
    }

    let server = start(server.kill());
    let (version, again) = by_tower(&server.rest(), "ada");
    assert_eq!((version, again), (Some(second), of_second));
}

/// A checkpoint that is torn, of no known format, or of another embedding size changes nothing; both sizes are named.
#[test]
fn what_cannot_serve_is_refused_and_nothing_is_stored() {
    let server = server();
    server.items(10);
    server.people(&["ada"]);
    let rest = server.rest();
    let good = checkpoint(1, DIM);
    let first = published(&rest, &good);
    for (name, bytes, says) in [
        ("of another size", checkpoint(1, 48), vec!["48", "32"]),
        ("torn", good[..good.len() / 2].to_vec(), vec![]),
        ("a text", b"not a model".to_vec(), vec![]),
        ("nothing", Vec::new(), vec![]),
    ] {
        let answer = upload(&rest, "?publish=true", &bytes);
        assert_eq!((answer.status, answer.code().as_deref()), (422, Some("unfit_model")), "{name}: {}", answer.body);
        assert!(says.iter().all(|word| answer.body.contains(word)), "{name}: {}", answer.body);
    }
    assert_eq!(rest.post("/v1/models", &json!({})).status, 415);
    let head =
        format!("POST /v1/models HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream", server.address());
    let huge = support::rest::raw(server.address(), format!("{head}\r\nContent-Length: 67108865\r\n\r\n").as_bytes());
    assert_eq!(huge.status, 413);
    assert_eq!(listed(&rest), [(first, true)]);
    assert_eq!(by_tower(&rest, "ada").0, Some(first));
}

/// While models are published and rolled back in a loop, every request is answered by one of them. Every event becomes
/// durable and is acknowledged once, and no socket is lost.
#[test]
fn a_swap_under_load_drops_nothing() {
    let server = server();
    let people = ["ada", "bob", "cleo", "dan"];
    server.people(&people);
    server.items(120);
    let rest = server.rest();
    let versions = [published(&rest, &checkpoint(1, DIM)), published(&rest, &checkpoint(2, DIM))];
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let askers: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(number, who)| {
            let (rest, stop, asked, who) = (rest.clone(), stop.clone(), asked.clone(), who.to_string());
            std::thread::spawn(move || {
                let mut seen = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let path = match number % 2 {
                        0 => format!("/post/recommendations/?id={who}&limit=20&ranking=tower"),
                        _ => format!("/v1/users/{who}/feed?limit=20&explain=true"),
                    };
                    let answer = rest.get(&path);
                    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                    let body = answer.json();
                    let version = body["model_version"].as_u64().expect("every feed names its model");
                    assert!(versions.contains(&version), "{version}");
                    let rows = if number % 2 == 0 { &body["recommendations"] } else { &body["items"] };
                    assert_eq!(rows.as_array().unwrap().len(), 20);
                    seen.insert(version);
                    asked.fetch_add(1, Ordering::Relaxed);
                    // A person may request 200 rankings per second; beyond that the server answers `busy`.
                    std::thread::sleep(Duration::from_millis(6));
                }
                seen
            })
        })
        .collect();
    let address = server.address();
    let actors: Vec<_> = ["ada", "bob"]
        .into_iter()
        .map(|who| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                block_on(async move {
                    let mut client = Client::hello(address, who).await;
                    let mut sent = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let item = format!("item-{}", sent.len() * 7 % 120);
                        let id = client.interact(&item, Kind::Like).await;
                        client.wait_accepted(&id).await;
                        sent.push(id);
                    }
                    assert!(client.errors().is_empty(), "{:?}", client.errors());
                    sent
                })
            })
        })
        .collect();
    // Each round: to the other model, and back.
    let begin = Instant::now();
    let mut swaps = 0;
    while swaps < 24 || asked.load(Ordering::Relaxed) < 200 {
        assert!(begin.elapsed() < 3 * PATIENCE, "{swaps} swaps, {} answers", asked.load(Ordering::Relaxed));
        let back = rollback(&rest, "").success("roll back").json()["version"].as_u64().unwrap();
        assert_eq!((back, publish(&rest, versions[1])), (versions[0], versions[1]));
        swaps += 2;
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = BTreeSet::new();
    for asker in askers {
        seen.extend(asker.join().expect("nothing was dropped"));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), versions, "both have served");
    for (who, actor) in ["ada", "bob"].iter().zip(actors) {
        let sent = actor.join().expect("no socket was lost");
        let kept = rest.history(who);
        let newest: Vec<_> = kept.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = sent.iter().rev().take(newest.len()).cloned().collect();
        assert_eq!(newest, expected, "every event is there once, in order");
        for row in &kept {
            let version = row["predicted"]["model_version"].as_u64().expect("every entry names its model");
            assert!(versions.contains(&version));
        }
    }
}

/// A change of attributes reaches the model at once: the user's feed changes, also on an open socket.
#[test]
fn a_change_of_attributes_reaches_the_feed() {
    let server = server();
    server.items(60);
    let rest = server.rest();
    rest.put("/v1/users/ada", &json!({"attributes": {"city": "Aa", "age": 20}})).success("make known");
    let version = published(&rest, &checkpoint(1, DIM));
    block_on(async {
        let hello = support::socket::hello("ada");
        let ranking = Some(eddyline::domain::feeds::Ranking::Tower);
        let hello = eddyline::protocol::client::Hello { ranking, limit: Some(20), ..hello };
        let mut ada = Client::hello_with(server.address(), hello).await;
        ada.wait("the first feed", |client| !client.shown().is_empty()).await;
        let before = ada.shown();
        assert_eq!(by_tower(&rest, "ada"), (Some(version), before.clone()));
        rest.put("/v1/users/ada", &json!({"attributes": {"city": "Bb", "age": 31}})).success("change");
        ada.wait("another feed", |client| client.shown() != before).await;
        assert_eq!(by_tower(&rest, "ada").1, ada.shown());
    });
    // Attributes are also loaded when a passivated user returns.
    let after = by_tower(&rest, "ada").1;
    let server = start(server.kill());
    assert_eq!(by_tower(&server.rest(), "ada").1, after);
}

/// The past is scored by the model that served then, while the store has it; before the first model, by the newest.
#[test]
fn the_past_is_scored_by_the_model_of_then() {
    let server = server();
    server.people(&["ada"]);
    server.items(30);
    let rest = server.rest();
    let pause = || std::thread::sleep(Duration::from_millis(5));
    let then = |at: i64| {
        let path = format!("/post/recommendations/?id=ada&limit=20&ranking=tower&time={at}");
        rest.get(&path).success("the past").json()
    };
    let before = now_ms();
    assert_eq!(rest.get("/post/recommendations/?id=ada&ranking=tower&time=5").status, 404, "there is no model");
    pause();
    let (one, other) = (checkpoint(1, DIM), checkpoint(2, DIM));
    let first = published(&rest, &one);
    pause();
    let (of_first, during) = (by_tower(&rest, "ada").1, now_ms());
    pause();
    let second = published(&rest, &other);
    pause();
    let past = then(before);
    assert_eq!((past["model_version"].as_u64(), past["model"].as_str()), (Some(second), Some("newest")));
    let past = rest.get(&format!("/post/recommendations/?id=ada&ranking=tower&time={during}&model=newest"));
    let past = past.success("by the newest model").json();
    assert_eq!((past["model_version"].as_u64(), past["model"].as_str()), (Some(second), Some("newest")));
    // Long before the first item, the present items are ranked.
    let past = then(1_000_000);
    assert_eq!(
        (past["availability"].as_str(), support::rest::items(&past["recommendations"]).len()),
        (Some("now"), 20)
    );
    let list = rest.get("/post/recommendations/?id=ada&time=1000000&limit=3&compat=list").success("a list").json();
    let names: Vec<&str> = list[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((list.as_array().unwrap().len(), names), (3, vec!["id", "text", "topic"]));
    let past = then(during);
    assert_eq!((past["model_version"].as_u64(), past.get("model_missing")), (Some(first), None));
    assert_eq!(support::rest::items(&past["recommendations"]), of_first);
    assert_eq!(then(now_ms())["model_version"], second);
    // Ten more models displace it in the store.
    for number in 0..10 {
        published(&rest, if number % 2 == 0 { &one } else { &other });
    }
    let now = listed(&rest)[0].0;
    let past = then(during);
    assert_eq!((past["model_version"].as_u64(), past["model_missing"].as_u64()), (Some(now), Some(first)));
}

/// `eddyline model …` on a store that no process has open, through a server, and into a dump.
#[test]
fn the_command_works_on_a_store_and_through_a_server() {
    let directory = TempDir::new().unwrap();
    let url = store(directory.path());
    let (first, other) =
        (file(&directory, "1.safetensors", &checkpoint(1, DIM)), file(&directory, "48", &checkpoint(1, 48)));
    let path = |path: &PathBuf| path.display().to_string();
    assert_eq!(run(&["model", "publish", &path(&first), "--store", &url]), (Some(0), "1\n".into()));
    let (status, said) = run(&["model", "publish", &path(&other), "--store", &url]);
    assert!(status == Some(1) && said.contains("48") && said.contains("32"), "{said}");
    assert_eq!(run(&["model", "rollback", "--store", &url]).0, Some(1), "nothing was before it");

    let server = start(directory);
    let rest = server.rest();
    let base = format!("http://{}", server.address());
    assert_eq!(listed(&rest), [(1, true)]);
    server.people(&["ada"]);
    assert_eq!(by_tower(&rest, "ada").0, Some(1), "published before the server was there");
    let (status, said) = run(&["model", "list", "--store", &url]);
    assert!(status == Some(1) && said.contains("--url"), "a server has it: {said}");
    let second = PathBuf::from(server.data_directory()).join("2.safetensors");
    std::fs::write(&second, checkpoint(2, DIM)).unwrap();
    assert_eq!(run(&["model", "publish", &path(&second), "--url", &base]), (Some(0), "2\n".into()));
    assert_eq!(by_tower(&rest, "ada").0, Some(2));
    let (_, table) = run(&["model", "list", "--url", &base]);
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        rows.iter().map(|row| (row[0], row[1])).collect::<Vec<_>>(),
        [("2", "serves"), ("1", "served")],
        "{table}"
    );
    assert_eq!(run(&["model", "rollback", "--url", &base]), (Some(0), "1\n".into()));
    assert_eq!(run(&["model", "rollback", "2", "--url", &base]), (Some(0), "2\n".into()));
    assert_eq!(run(&["model", "rollback", "9", "--url", &base]).0, Some(1));

    let directory = server.kill();
    let (dump, copy) = (directory.path().join("dump.zst"), format!("file:{}", directory.path().join("copy").display()));
    let dump = dump.display().to_string();
    assert_eq!(run(&["db", "dump", "--store", &url, "--out", &dump]).0, Some(0));
    assert_eq!(run(&["db", "load", "--store", &copy, "--in", &dump]).0, Some(0));
    let (list, copied) = (run(&["model", "list", "--store", &url]), run(&["model", "list", "--store", &copy]));
    assert_eq!((list.0, &list), (Some(0), &copied), "a dump holds the models");
}

/// A server follows models that another process publishes or rolls back in the database within seconds.
#[test]
fn a_server_follows_its_database() {
    use crate::postgres;
    if postgres::skipped() {
        return;
    }
    let database = postgres::shared().database();
    let url = postgres::shared().url(&database);
    let directory = TempDir::new().unwrap();
    let files = [1, 2].map(|seed| file(&directory, &seed.to_string(), &checkpoint(seed, DIM)).display().to_string());
    let server = Server::start_on_with(TempDir::new().unwrap(), url.clone(), &VARIABLES);
    server.people(&["ada"]);
    server.items(5);
    let rest = server.rest();
    let until = |version: u64| {
        let begin = Instant::now();
        while by_tower(&rest, "ada").0 != Some(version) {
            assert!(begin.elapsed() < PATIENCE, "model {version} never served");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for (version, file) in (1..).zip(&files) {
        assert_eq!(run(&["model", "publish", file, "--store", &url]), (Some(0), format!("{version}\n")));
        until(version);
    }
    assert_eq!(run(&["model", "rollback", "--store", &url]), (Some(0), "1\n".into()));
    until(1);
}

/// On the wire: `feed` and `patch` name the model, and an open session gets the name of a new one with its next feed.
#[test]
fn frames_name_the_model() {
    let server = server();
    server.people(&["ada"]);
    server.items(30);
    let rest = server.rest();
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.wait("the first feed", |client| !client.shown().is_empty()).await;
        let mut said = Vec::new();
        let version = published(&rest, &checkpoint(1, DIM));
        ada.interact("item-3", Kind::Like).await;
        while !said.contains(&Some(version)) {
            let message = ada.next_message(PATIENCE).await.expect("a frame with the model");
            match message {
                ServerMessage::Feed(feed) => said.push(feed.model_version.map(|version| version.0)),
                ServerMessage::Patch(patch) => said.push(patch.model_version.map(|version| version.0)),
                _ => {}
            }
        }
    });
}
