//! On air and off air: an author's own items over the socket, the ranking of users for an item, and the schedule.
//!
//! Invariant: no test sleeps for a fixed time where it can wait for the event itself; only messages that must not come
//! are waited for during a fixed time.

use crate::support;

use std::time::Duration;

use eddyline::domain::feeds::{Cause, Ranking};
use eddyline::domain::interactions::Kind;
use eddyline::protocol::client::{ClientMessage, GoLive, Hello};
use eddyline::protocol::problem::Code;
use eddyline::protocol::server::ServerMessage;
use serde_json::{Value, json};
use support::socket::{Client, hello, key};
use support::{Server, block_on, now_ms, server};
use tempfile::TempDir;

const SECRET: &str = "a secret of what is on air, 32 bytes";

async fn go(client: &mut Client, id: &str, item: &str, on: bool) {
    let live = GoLive { tag: Default::default(), id: key(id), item: key(item), on };
    client.send(&ClientMessage::Live(live)).await;
}

fn windows(server: &Server, token: Option<&str>, item: &str) -> Vec<Value> {
    let answer = server.rest().ask("GET", &format!("/v1/items/{item}/windows"), token, None);
    answer.success("the windows").json().as_array().unwrap().clone()
}

#[test]
fn an_author_goes_live_and_off_air_and_nobody_else_can() {
    let server = Server::start_with(TempDir::new().unwrap(), &[("EDDYLINE_SECRET", SECRET)]);
    let made = |who: &[&str]| {
        let out = std::process::Command::new(crate::support::program())
            .args(["token", "create"])
            .args(who)
            .env("EDDYLINE_SECRET", SECRET)
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    let (service, ada, bob) = (made(&["--service"]), made(&["--user", "ada"]), made(&["--user", "bob"]));
    let rest = server.rest();
    let put = |path: &str, body: Value| {
        rest.ask("PUT", path, Some(&service), Some(&body)).success(path);
    };
    put("/v1/users/ada", json!({}));
    put("/v1/users/bob", json!({}));
    let later = now_ms() + 86_400_000;
    let schedule = json!([{"start": 1, "stop": 2}, {"start": later, "stop": null}]);
    put("/v1/items/show", json!({"text": "a show", "author": "ada", "windows": schedule}));
    put("/v1/items/always", json!({"text": "always there", "author": "ada"}));
    let as_one = |name: &str, token: &str| Hello { token: Some(token.to_owned()), ..hello(name) };
    block_on(async {
        let mut ada = Client::hello_with(server.address(), as_one("ada", &ada)).await;
        let mut bob = Client::hello_with(server.address(), as_one("bob", &bob)).await;
        assert!(!bob.shows("show"));

        // Only the author may.
        go(&mut bob, "b-1", "show", true).await;
        bob.wait("a refusal", |client| !client.errors().is_empty()).await;
        let refusal = &bob.errors()[0];
        assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Forbidden, Some("item")));
        assert_eq!(windows(&server, Some(&service), "show").len(), 2, "nothing changed");

        go(&mut ada, "a-1", "show", true).await;
        assert_eq!(ada.wait_accepted("a-1").await, 1);
        bob.wait("the show to come on", |client| client.shows("show")).await;
        let now = windows(&server, Some(&service), "show");
        assert_eq!((now.len(), &now[1]["stop"]), (3, &json!(later)), "until what was scheduled: {now:?}");

        go(&mut ada, "a-2", "show", false).await;
        assert_eq!(ada.wait_accepted("a-2").await, 2);
        bob.wait("the show to go off", |client| !client.shows("show")).await;

        // A resend of the first changes nothing and gets its answer.
        let before = windows(&server, Some(&service), "show");
        ada.heard.clear();
        go(&mut ada, "a-1", "show", true).await;
        ada.wait("the same answer", |client| {
            client.heard.iter().any(|message| matches!(message, ServerMessage::Accepted(a) if a.id.as_str() == "a-1"))
        })
        .await;
        assert_eq!(windows(&server, Some(&service), "show"), before);
        bob.listen(Duration::from_millis(300)).await;
        assert!(!bob.shows("show"));

        // An item without windows cannot be switched off.
        go(&mut ada, "a-3", "always", false).await;
        ada.wait("a refusal", |client| !client.errors().is_empty()).await;
        assert_eq!(ada.errors()[0].code, Code::Conflict);
        assert_eq!(ada.errors()[0].id.as_deref(), Some("a-3"));
    });
}

/// An item that opens tomorrow cannot be acted on today, by any interface; an ended one can, since events arrive late.
#[test]
fn acting_on_an_item_that_opens_tomorrow_is_refused_as_unavailable() {
    let server = support::server();
    server.people(&["ada"]);
    let (now, day) = (now_ms(), 86_400_000);
    let put = |item: &str, windows: Value| {
        let body = json!({"text": item, "windows": windows, "created": now - 2 * day});
        server.rest().put(&format!("/v1/items/{item}"), &body).success("an item");
    };
    put("tomorrow", json!([{"start": now + day, "stop": null}]));
    put("over", json!([{"start": now - 2 * day, "stop": now - day}]));
    put("between", json!([{"start": now - day, "stop": now - 1}, {"start": now + day, "stop": null}]));
    put("on", json!([{"start": now - day, "stop": now + day}]));
    let act = |item: &str, at: i64| {
        server.rest().post("/v1/interactions", &json!({"user": "ada", "item": item, "kind": "like", "at": at}))
    };
    for (item, at, expected) in [
        ("tomorrow", now, (409, Some("unavailable"))),
        ("tomorrow", now - day, (409, Some("unavailable"))),
        ("over", now, (200, None)),
        ("between", now, (200, None)),
        ("on", now - 3 * day, (200, None)),
    ] {
        let answer = act(item, at);
        assert_eq!((answer.status, answer.code().as_deref()), expected, "{item}: {}", answer.body);
    }
    let label = server.rest().post("/v1/users/ada/predictions/tomorrow", &json!({"label": "accepted"}));
    assert_eq!((label.status, label.code().as_deref()), (409, Some("unavailable")), "{}", label.body);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.interact_as("early", "tomorrow", Kind::Like).await;
        ada.wait("the refusal", |client| !client.errors().is_empty()).await;
        assert_eq!(ada.errors()[0].code, Code::Unavailable);
    });
    // An accepted event stays accepted, whatever happens to the item's windows.
    let taken = json!({"user": "ada", "id": "taken", "item": "on", "kind": "like"});
    let first = server.rest().post("/v1/interactions", &taken).success("while it is on").json();
    put("on", json!([{"start": now + day, "stop": null}]));
    assert_eq!(server.rest().post("/v1/interactions", &taken).success("a resend").json(), first);
    assert_eq!(server.rest().history("ada").len(), 4);
}

#[test]
fn what_is_on_air_survives_a_kill_and_is_expected_to_end_some_time() {
    let server = server();
    server.people(&["ada"]);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.post("p-1", "a show of ada", Some("a")).await;
        ada.wait_accepted("p-1").await;
        let item = ada.list().items()[0].item.to_string();
        go(&mut ada, "l-1", &item, true).await;
        assert_eq!(ada.wait_accepted("l-1").await, 2);
        let server = server.restart();
        let mut ada = Client::hello(server.address(), "ada").await;
        let shown = ada.list().items()[0].clone();
        assert!(shown.live && shown.available_until.is_none());
        let expected = shown.expected_until.expect("an end is expected").0 - now_ms();
        assert!((60_000..86_400_000).contains(&expected), "with nothing learned some two hours: {expected} ms");
        go(&mut ada, "l-2", &item, false).await;
        assert_eq!(ada.wait_accepted("l-2").await, 3);
        ada.wait("it to go", |client| !client.shows(&item)).await;
        // The user's own export contains it, too.
        let export = server.rest().get("/v1/users/ada/export").success("export").json();
        let kinds = |wanted: &str| export.to_string().matches(wanted).count();
        assert_eq!(kinds("went_live"), 2, "{export}");
    });
}

#[test]
fn the_audience_is_those_whose_feeds_score_it_highest() {
    let server = server();
    let names: Vec<String> = (0..12).map(|n| format!("person-{n}")).collect();
    server.people(&names.iter().map(String::as_str).collect::<Vec<_>>());
    server.items(12);
    let rest = server.rest();
    for (n, name) in names.iter().enumerate() {
        for like in 0..n % 5 {
            let body = json!({"user": name, "item": format!("item-{}", like * 3), "kind": "like"});
            rest.post("/v1/interactions", &body).success("a like");
        }
    }
    rest.post("/v1/interactions", &json!({"user": "person-4", "item": "item-9", "kind": "hide"})).success("a hide");
    let direct = |name: &str| {
        let feed = rest.get(&format!("/v1/users/{name}/feed?limit=100")).success("a feed").json();
        let items = feed["items"].as_array().unwrap().clone();
        items.iter().find(|item| item["item"] == "item-9").map(|item| item["score"].as_f64().unwrap())
    };
    let mut expected: Vec<(String, f64)> =
        names.iter().filter_map(|name| Some((name.clone(), direct(name)?))).collect();
    assert_eq!(expected.len(), 11, "one hid it");
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let found = rest.get("/v1/items/item-9/audience?limit=5").success("the audience").json();
    assert_eq!((&found["item"], &found["active"], &found["scored"]), (&json!("item-9"), &json!(12), &json!(12)));
    let people = found["people"].as_array().unwrap();
    assert_eq!(people.len(), 5);
    // Freshness decayed a little in between.
    for (person, (_, score)) in people.iter().zip(&expected) {
        let own = direct(person["user"].as_str().unwrap()).unwrap();
        assert!((person["score"].as_f64().unwrap() - own).abs() < 0.01, "{person} {own}");
        assert!((person["score"].as_f64().unwrap() - score).abs() < 0.01, "{person} {score}");
    }
    assert_eq!(rest.get("/v1/items/nothing/audience").status, 404);
    assert_eq!(rest.get("/v1/items/item-9/audience?limit=0").status, 422);
}

#[test]
fn the_windows_of_a_span_come_by_their_start() {
    let server = server();
    let rest = server.rest();
    let item = |id: &str, windows: Value| {
        rest.put(&format!("/v1/items/{id}"), &json!({"text": id, "windows": windows})).success("an item");
    };
    item("early", json!([{"start": 0, "stop": 100}, {"start": 400, "stop": 500}]));
    item("long", json!([{"start": 50, "stop": null}]));
    item("late", json!([{"start": 300, "stop": 301}]));
    item("always", json!([]));
    let span = |query: &str| rest.get(&format!("/v1/availability?{query}"));
    let starts = |query: &str| {
        let body = span(query).success(query).json();
        let rows = body["windows"].as_array().unwrap().clone();
        let rows: Vec<_> =
            rows.iter().map(|row| (row["item"].as_str().unwrap().to_owned(), row["start"].as_i64().unwrap())).collect();
        (rows, body["total"].as_u64().unwrap())
    };
    let row = |item: &str, start: i64| (item.to_owned(), start);
    let all = vec![row("early", 0), row("long", 50), row("late", 300), row("early", 400)];
    assert_eq!(starts("from=0&to=1000"), (all.clone(), 4));
    assert_eq!(starts("from=0&to=1000&limit=2"), (all[..2].to_vec(), 4));
    // Half-open on both sides.
    assert_eq!(starts("from=100&to=300"), (vec![row("long", 50)], 1));
    assert_eq!(starts("from=99&to=301"), (vec![row("early", 0), row("long", 50), row("late", 300)], 3));
    for (query, status, field) in [
        ("from=0", 400, "to"),
        ("to=5", 400, "from"),
        ("from=5&to=5", 422, "to"),
        ("from=1&to=5&at=3", 400, "at"),
        ("from=some&to=5", 400, "from"),
    ] {
        let answer = span(query);
        assert_eq!((answer.status, answer.fields()), (status, vec![field.to_owned()]), "{query}");
    }
}

#[test]
fn a_change_is_pushed_to_those_whose_feed_it_changes_and_to_nobody_else() {
    let server = server();
    server.people(&["ada", "bob"]);
    server.items(24);
    let rest = server.rest();
    for (name, first) in [("ada", 0), ("bob", 1)] {
        for like in 0..5 {
            let item = format!("item-{}", first + 3 * like);
            rest.post("/v1/interactions", &json!({"user": name, "item": item, "kind": "like"})).success("a like");
        }
    }
    let show = json!({"text": "a show", "topics": ["a"], "windows": [{"start": 1, "stop": 2}]});
    rest.put("/v1/items/show", &show).success("a show, off air");
    let pushed = |client: &Client| {
        let told = |message: &&ServerMessage| match message {
            ServerMessage::Feed(feed) => matches!(feed.cause, Some(Cause::World { .. })),
            ServerMessage::Patch(patch) => matches!(patch.cause, Some(Cause::World { .. })),
            ServerMessage::Live(_) => true,
            _ => false,
        };
        client.heard.iter().filter(told).count()
    };
    block_on(async {
        // By topics: the other effects of likes change no order here.
        let short = |name: &str| Hello { limit: Some(6), ranking: Some(Ranking::Topics), ..hello(name) };
        let mut ada = Client::hello_with(server.address(), short("ada")).await;
        let mut bob = Client::hello_with(server.address(), short("bob")).await;
        let begin = json!([{"start": now_ms() - 1_000}]);
        rest.put("/v1/items/show/windows", &begin).success("on air");
        ada.wait("the show", |client| client.shows("show")).await;
        rest.put("/v1/items/show/windows", &json!([{"start": 1, "stop": 2}])).success("off air");
        ada.wait("its end", |client| !client.shows("show") && client.lives().len() == 2).await;
        // A refresh may have brought the feed before the change did; the `live` message comes in either case.
        let words: Vec<bool> = ada.lives().iter().map(|live| live.available).collect();
        assert_eq!(words, [true, false], "{:?}", ada.heard);
        bob.listen(Duration::from_millis(500)).await;
        assert_eq!(pushed(&bob), 0, "{:?}", bob.heard);
    });
}
