//! Time machine: equal questions about the past give equal bytes.
//!
//! Invariant: bodies are compared as received, not as numbers that are nearly equal.

use crate::support;

use std::time::Duration;

use serde_json::{Value, json};

use support::Server;

const ASK: &str = "/post/recommendations/?id=ada&limit=100&time=";

fn ask(server: &Server, at: i64) -> String {
    server.rest().get(&format!("{ASK}{at}")).success("the past").body
}

fn act(server: &Server, id: &str, item: &str, kind: &str) {
    let one = json!({"user": "ada", "id": id, "item": item, "kind": kind});
    server.rest().post("/v1/interactions", &one).success("an interaction");
}

fn shown(body: &str) -> Vec<String> {
    support::rest::items(&serde_json::from_str::<Value>(body).unwrap()["recommendations"])
}

/// An instant that no other event shares.
fn moment() -> i64 {
    std::thread::sleep(Duration::from_millis(5));
    let at = support::now_ms();
    std::thread::sleep(Duration::from_millis(5));
    at
}

#[test]
fn the_past_answers_the_same_whatever_comes_after() {
    let server = support::server();
    server.items(30);
    server.people(&["ada", "bea"]);
    let before = moment();
    act(&server, "e1", "item-0", "like");
    act(&server, "e2", "item-1", "reject");
    let then = moment();
    let (blank, learned) = (ask(&server, before), ask(&server, then));
    assert_ne!(blank, learned);
    assert!(shown(&blank).contains(&"item-1".to_owned()) && !shown(&learned).contains(&"item-1".to_owned()));
    assert_eq!(ask(&server, then), learned, "asked twice");
    let rfc = jiff_text(then);
    let other = server.rest().get(&format!("/post/recommendations?limit=100&time={rfc}&id=ada")).success("RFC 3339");
    assert_eq!(other.body, learned, "however the instant is written");

    // Later: events of all users, popularity, so many new items that centres move, a revision, a deletion, a follow.
    act(&server, "e3", "item-2", "like");
    for number in 0..60 {
        let topic = ["a", "b", "c"][number % 3];
        let body = json!({"text": format!("later {number}"), "topics": [topic]});
        server.rest().put(&format!("/v1/items/later-{number}"), &body).success("a later item");
        let one = json!({"user": "bea", "item": "item-4", "kind": "like"});
        server.rest().post("/v1/interactions", &one).success("popularity");
    }
    server.rest().put("/v1/users/ada/follows/bea", &json!({})).success("follow");
    server.rest().delete("/v1/items/item-7").success("a deletion");
    for _ in 0..2 {
        let vector: Vec<f32> = (0..support::DIM).map(|n| if n == 0 { moment() as f32 % 100.0 } else { 1.0 }).collect();
        let body = json!({"text": "item number 0", "topics": ["a"], "embedding": vector});
        server.rest().patch("/v1/items/item-0", &body).success("a revision");
    }
    assert!(ask(&server, before) == blank && ask(&server, then) == learned, "after more events");
    let server = server.restart();
    assert!(ask(&server, before) == blank && ask(&server, then) == learned, "after a crash");
    assert_ne!(ask(&server, moment()), ask(&server, then));
}

#[test]
fn only_what_was_there_then_is_shown() {
    let server = support::server();
    let now = support::now_ms();
    let put = |item: &str, body: Value| server.rest().put(&format!("/v1/items/{item}"), &body).success("an item");
    put("old", json!({"text": "old", "created": now - 10_000}));
    put("later", json!({"text": "later", "created": now - 1_000}));
    put(
        "was-on",
        json!({"text": "was on", "created": now - 10_000, "windows": [{"start": now - 9_000, "stop": now - 4_000}]}),
    );
    server.people(&["ada"]);
    for (name, at, expected) in [
        ("before anything: the present", now - 20_000, vec!["later", "old"]),
        ("before the window", now - 9_500, vec!["old"]),
        ("in the window", now - 5_000, vec!["old", "was-on"]),
        ("after it", now - 3_000, vec!["old"]),
        ("now", now, vec!["later", "old"]),
    ] {
        let mut found = shown(&ask(&server, at));
        found.sort();
        assert_eq!(found, expected, "{name}");
    }
    let body: Value = serde_json::from_str(&ask(&server, now - 5_000)).unwrap();
    let on = body["recommendations"].as_array().unwrap().iter().find(|row| row["item"] == "was-on").unwrap();
    assert_eq!((&on["live"], &on["available_until"]), (&json!(true), &json!(now - 4_000)), "as of then");
}

/// While one user requests the past repeatedly, others are served, and the user has one answer at a time.
#[test]
fn whoever_asks_for_their_past_many_times_at_once_keeps_nobody_waiting() {
    let server = support::server();
    server.items(30);
    server.people(&["ada", "bea"]);
    let click =
        |n: usize| json!({"user": "ada", "id": format!("e{n}"), "item": format!("item-{}", n % 30), "kind": "click"});
    for part in (0..2_400).map(click).collect::<Vec<_>>().chunks(1_000) {
        server.rest().post("/v1/interactions", &json!(part)).success("a long past");
    }
    let at = moment();
    let expected = ask(&server, at);
    let many = |path: String| -> Vec<_> {
        let asking = || {
            std::thread::spawn({
                let (rest, path) = (server.rest(), path.clone());
                move || rest.get(&path)
            })
        };
        (0..24).map(|_| asking()).collect()
    };
    for path in [format!("{ASK}{at}"), "/v1/users/ada/export".to_owned()] {
        let asked = many(path.clone());
        let (mut looks, mut slowest) = (0, Duration::ZERO);
        while asked.iter().any(|one| !one.is_finished()) {
            let began = std::time::Instant::now();
            server.rest().get("/health").success("health");
            server.rest().get("/v1/users/bea/feed").success("the feed of somebody else");
            slowest = slowest.max(began.elapsed());
            looks += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        let answers: Vec<_> = asked.into_iter().map(|one| one.join().unwrap()).collect();
        let good = answers.iter().filter(|answer| answer.status == 200).count();
        assert!((1..24).contains(&good), "{path}: {good} answers, one after the other");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!((answer.status, answer.code().as_deref()), (429, Some("rate_limited")), "{}", answer.body);
            assert!(answer.header("retry-after").is_some());
        }
        assert!(slowest < Duration::from_secs(5) && looks > 0, "{path}: others waited {slowest:?}");
        server.rest().get(&path).success("and again when the others are answered");
    }
    assert_eq!(ask(&server, at), expected, "the same bytes, page by page");
}

#[test]
fn explain_says_what_the_server_said() {
    let server = support::server();
    server.items(30);
    server.people(&["ada"]);
    act(&server, "e1", "item-0", "like");
    act(&server, "e2", "item-3", "skip");
    let then = moment();
    let said: Value = serde_json::from_str(&ask(&server, then)).unwrap();
    act(&server, "e3", "item-1", "like");
    let model = server.rest().get("/v1/users/ada/model").success("the model").json();
    let directory = server.kill();
    let store = support::store(directory.path());
    let out = directory.path().join("explained.json");
    let explain = |more: &[&str]| {
        let arguments = [&["explain", "--user", "ada", "--store", &store], more].concat();
        let (status, text) = support::run(&arguments);
        assert_eq!(status, Some(0), "{text}");
        text
    };
    let at = then.to_string();
    let text = explain(&["--at", &at, "--limit", "30", "--json", out.to_str().unwrap()]);
    for word in ["2 events", "topics", "  a\n", "uncertainty", "item-0", "freshness", "followed", "online"] {
        assert!(text.contains(word), "{word:?} in:\n{text}");
    }
    let first = std::fs::read(&out).unwrap();
    let json: Value = serde_json::from_slice(&first).unwrap();
    let (rows, expected) = (json["feed"].as_array().unwrap(), said["recommendations"].as_array().unwrap());
    assert_eq!(rows.len(), 30.min(expected.len()));
    for (row, expected) in rows.iter().zip(expected) {
        let score = |row: &Value| row["score"].as_f64().unwrap() as f32;
        assert_eq!((&row["item"], score(row)), (&expected["item"], score(expected)));
        let sum: f64 = row["why"].as_object().unwrap().values().map(|amount| amount.as_f64().unwrap()).sum();
        assert!((sum - row["score"].as_f64().unwrap()).abs() < 1e-5, "{row}");
    }
    assert_eq!((&json["seq"], &json["model"]["labelled"]), (&json!(2), &json!(2)));
    explain(&["--at", &jiff_text(then), "--limit", "30", "--json", out.to_str().unwrap()]);
    assert_eq!(std::fs::read(&out).unwrap(), first, "same question, same bytes");

    explain(&["--json", out.to_str().unwrap()]);
    let now: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!((&now["seq"], &now["model"]["labelled"]), (&model["seq"], &model["labelled"]));
    for (name, arguments) in [("--user", ["--user", "nobody"]), ("--at", ["--user=ada", "--at=yesterday"])] {
        let (status, said) = support::run(&[&["explain", "--store", &store], &arguments[..]].concat());
        assert!(status != Some(0) && said.contains(name), "{said}");
    }
}

fn jiff_text(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap().to_string()
}
