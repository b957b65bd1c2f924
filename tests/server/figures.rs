//! `/metrics` and `/v1/figures` of the real server.
//!
//! Invariant under test: events are counted, Prometheus and the admin page get equal figures, and rate-limited requests
//! are visible.

use crate::support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{PATIENCE, Server, server};
use tempfile::TempDir;

/// The value of a series, with its labels as written.
fn series(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn scrape(server: &Server) -> (String, Value) {
    let answer = server.rest().get("/metrics").success("figures for Prometheus");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    (answer.body, server.rest().get("/v1/figures").success("figures as JSON").json())
}

#[test]
fn what_was_done_is_counted_and_both_say_the_same() {
    let server = server();
    let (before, _) = scrape(&server);
    server.items(12);
    server.people(&["ada", "bob"]);
    for (number, kind) in ["like", "reject", "like", "like"].into_iter().enumerate() {
        let act = json!({"id": format!("e{number}"), "user": "ada", "item": format!("item-{number}"), "kind": kind});
        server.rest().post("/v1/interactions", &act).success("an interaction");
    }
    // Covers all acknowledged events: only then are the figures requested.
    server.rest().get("/v1/score").success("the score");
    let (text, body) = scrape(&server);
    let of = |name: &str| series(&text, name).unwrap_or_else(|| panic!("{name} is not in:\n{text}"));
    assert_eq!(series(&before, "eddyline_people"), Some(0.0));
    assert_eq!(of("eddyline_people"), 2.0);
    assert_eq!(of("eddyline_items"), 12.0);
    assert_eq!(of("eddyline_items_open"), 12.0);
    assert_eq!(of("eddyline_people_active"), 1.0);
    assert_eq!(of("eddyline_journal_queued"), 0.0);
    assert_eq!(of("eddyline_labelled"), 4.0);
    assert!(of("eddyline_journal_writes_total") >= 18.0, "12 items, 2 people, 4 interactions:\n{text}");
    assert!(of("eddyline_journal_commit_seconds_count") >= 1.0 && of("eddyline_journal_commit_seconds_sum") > 0.0);
    let lessons = of("eddyline_lessons");
    assert!(lessons >= 1.0, "the blend learned from what was liked:\n{text}");
    for (name, pointer) in [
        ("eddyline_people_active", "/people/active"),
        ("eddyline_journal_writes_total", "/journal/writes"),
        ("eddyline_labelled", "/learned/labelled"),
        ("eddyline_lessons", "/learned/hedge/rounds"),
        ("eddyline_hedge_loss_nats{of=\"served\"}", "/learned/hedge/served"),
        ("eddyline_hedge_regret_nats", "/learned/hedge/regret"),
        ("eddyline_hedge_expert_loss_nats{expert=\"topic\"}", "/learned/hedge/experts/topic"),
    ] {
        let found = body.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer} in {body}"));
        // Parsing may change the last digit.
        assert!((found - of(name)).abs() <= 1e-12 * found.abs(), "{pointer} is {found}, {name} {}", of(name));
    }
    // Regret is relative to the best single expert.
    let losses = body["learned"]["hedge"]["experts"].as_object().unwrap().values();
    let best = losses.map(|loss| loss.as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert!((of("eddyline_hedge_loss_nats{of=\"served\"}") - best - of("eddyline_hedge_regret_nats")).abs() < 1e-9);
}

#[test]
fn what_is_refused_as_too_much_shows() {
    let limits = [("EDDYLINE_RATE__ADDRESS__PER_SECOND", "1"), ("EDDYLINE_RATE__ADDRESS__BURST", "3")];
    let server = Server::start_with(TempDir::new().unwrap(), &limits);
    let ask = |path: &str| server.rest().ask("GET", path, None, None);
    let mut refused = (0..50).filter(|_| ask("/v1/items").status == 429).count();
    assert!(refused > 0, "50 requests at once are more than 3");
    // The scrape is rate-limited like any other request.
    let began = Instant::now();
    let text = loop {
        let answer = ask("/metrics");
        if answer.status == 200 {
            break answer.body;
        }
        assert_eq!(answer.status, 429, "{}", answer.body);
        assert!(began.elapsed() < PATIENCE, "never let in again");
        refused += 1;
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(series(&text, "eddyline_rate_limited_total{bucket=\"address\"}"), Some(refused as f64));
    assert_eq!(series(&text, "eddyline_rate_limited_total{bucket=\"message\"}"), Some(0.0));
}
