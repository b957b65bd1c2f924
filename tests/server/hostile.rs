//! Bad input, row by row: on the socket before and after `hello`, below the protocol, and over REST.
//!
//! Invariant: every row is rejected with the documented code, status and field. Afterwards nothing has changed, and the
//! server is alive. A new case is a new row.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod bounds;
mod fuzz;
use crate::support;

use std::time::Duration;

use eddyline::domain::interactions::Kind;
use eddyline::protocol::FRAME_BYTES_MAX;
use eddyline::protocol::server::ServerMessage;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use support::rest::{raw, request, request_in_chunks};
use support::socket::{Client, End, Raw, end_of_line, key, open};
use support::{DIM, PATIENCE, Server, alike, block_on, now_ms, server};

/// Required contents of a rejection: one of these codes, and a field that starts with this.
struct Blame {
    codes: &'static [&'static str],
    field: Option<&'static str>,
}

const fn blame(codes: &'static [&'static str], field: &'static str) -> Blame {
    Blame { codes, field: Some(field) }
}

const fn code(codes: &'static [&'static str]) -> Blame {
    Blame { codes, field: None }
}

impl Blame {
    fn fits(&self, code: &str, fields: &[&str]) -> bool {
        let names_it = |field: &str| fields.iter().any(|found| found.starts_with(field));
        self.codes.contains(&code) && self.field.is_none_or(names_it)
    }
}

const BAD_JSON: &[&str] = &["bad_json"];
const BAD_FIELD: &[&str] = &["bad_field"];
/// Where the code depends on how far the parser reads before it fails.
const UNREADABLE: &[&str] = &["bad_json", "bad_field"];
const OUT_OF_RANGE: &[&str] = &["out_of_range"];

fn interact(changes: Value) -> String {
    changed(json!({"type": "interact", "id": "h-1", "item": "item-1", "kind": "like"}), changes)
}

fn post(changes: Value) -> String {
    changed(json!({"type": "post", "id": "h-2", "text": "hostile"}), changes)
}

/// Changes fields; `null` removes one.
fn changed(mut message: Value, changes: Value) -> String {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            message.as_object_mut().unwrap().remove(name);
        } else {
            message[name] = value.clone();
        }
    }
    message.to_string()
}

fn numbers(count: usize, number: f64) -> Value {
    Value::from(vec![number; count])
}

/// A list of numbers as text, since JSON values cannot hold the wanted ones.
fn with_embedding(list: &str) -> String {
    format!(r#"{{"type": "post", "id": "h-2", "text": "hostile", "embedding": [{list}]}}"#)
}

/// Text frames after `hello`: each is answered by exactly one `error`, and the connection stays open.
fn frames() -> Vec<(&'static str, String, Blame)> {
    let day = 86_400_000;
    let deep = |count: usize| "[".repeat(count);
    vec![
        ("an empty frame", String::new(), code(BAD_JSON)),
        ("no JSON", "hello?".into(), code(BAD_JSON)),
        ("half a message", r#"{"type": "ping", "t""#.into(), code(BAD_JSON)),
        ("two messages in one frame", r#"{"type":"ping","t":1}{"type":"ping","t":2}"#.into(), code(BAD_JSON)),
        ("null", "null".into(), code(UNREADABLE)),
        ("a number", "17".into(), code(UNREADABLE)),
        ("a text", r#""ping""#.into(), code(UNREADABLE)),
        ("an empty list", "[]".into(), code(UNREADABLE)),
        ("a message as a list", r#"["ping", 5]"#.into(), code(UNREADABLE)),
        ("another message as a list", r#"["configure"]"#.into(), code(UNREADABLE)),
        ("an empty object", "{}".into(), blame(BAD_FIELD, "type")),
        ("JSON nested 60,000 deep", deep(60_000), code(UNREADABLE)),
        ("nested 60,000 deep within a field", format!(r#"{{"type":"ping","t":{}"#, deep(60_000)), code(UNREADABLE)),
        ("NUL bytes", "\0\0\0".into(), code(BAD_JSON)),
        ("a byte order mark", "\u{feff}{\"type\":\"ping\",\"t\":1}".into(), code(BAD_JSON)),
        ("comments", "{\"type\":\"ping\",/* one */\"t\":1}".into(), code(BAD_JSON)),
        ("a comma too many", r#"{"type":"ping","t":1,}"#.into(), code(BAD_JSON)),
        ("type is a number", r#"{"type": 5}"#.into(), blame(BAD_FIELD, "type")),
        ("type is unknown", r#"{"type": "dance"}"#.into(), blame(&["unknown_type"], "type")),
        ("type in capitals", r#"{"type": "PING", "t": 1}"#.into(), blame(&["unknown_type"], "type")),
        ("type of a server message", r#"{"type": "welcome"}"#.into(), blame(&["unknown_type"], "type")),
        ("type twice", r#"{"type":"ping","type":"ping","t":1}"#.into(), blame(BAD_FIELD, "type")),
        ("hello again", r#"{"type": "hello", "user": "ada"}"#.into(), code(&["hello_first"])),
        ("hello again as another", r#"{"type": "hello", "user": "grace"}"#.into(), code(&["hello_first"])),
        // interact
        ("a field unknown", interact(json!({"colour": "red"})), blame(BAD_FIELD, "colour")),
        ("a field twice", interact(json!({})).replace('{', r#"{"id":"h-9","#), blame(BAD_FIELD, "id")),
        ("no id", interact(json!({"id": null})), blame(BAD_FIELD, "id")),
        ("no item", interact(json!({"item": null})), blame(BAD_FIELD, "item")),
        ("no kind", interact(json!({"kind": null})), blame(BAD_FIELD, "kind")),
        ("an empty id", interact(json!({"id": ""})), blame(BAD_FIELD, "id")),
        ("an id of 256 bytes", interact(json!({"id": "x".repeat(256)})), blame(BAD_FIELD, "id")),
        ("an id of 60,000 bytes", interact(json!({"id": "x".repeat(60_000)})), blame(BAD_FIELD, "id")),
        ("an id of 128 letters in 256 bytes", interact(json!({"id": "é".repeat(128)})), blame(BAD_FIELD, "id")),
        ("a control character in an id", interact(json!({"id": "a\u{7}b"})), blame(BAD_FIELD, "id")),
        ("a NUL in an id", interact(json!({"id": "a\0b"})), blame(BAD_FIELD, "id")),
        ("a line feed in an item", interact(json!({"item": "a\nb"})), blame(BAD_FIELD, "item")),
        ("half a surrogate", interact(json!({})).replace("h-1", r"\ud800"), code(UNREADABLE)),
        ("an id that is a number", interact(json!({"id": 5})), blame(BAD_FIELD, "id")),
        ("an id that is a list", interact(json!({"id": ["a"]})), blame(BAD_FIELD, "id")),
        ("an unknown item", interact(json!({"item": "nowhere"})), blame(&["unknown_item"], "item")),
        ("an item that looks like SQL", interact(json!({"item": "'; drop table items; --"})), code(&["unknown_item"])),
        ("an unknown kind", interact(json!({"kind": "love"})), blame(BAD_FIELD, "kind")),
        ("a kind in capitals", interact(json!({"kind": "LIKE"})), blame(BAD_FIELD, "kind")),
        ("a negative dwell", interact(json!({"dwell_ms": -1})), blame(BAD_FIELD, "dwell_ms")),
        ("a dwell beyond 32 bits", interact(json!({"dwell_ms": 1_u64 << 32})), blame(BAD_FIELD, "dwell_ms")),
        ("a broken dwell", interact(json!({"dwell_ms": 1.5})), blame(BAD_FIELD, "dwell_ms")),
        ("tomorrow", interact(json!({"at": now_ms() + day})), blame(OUT_OF_RANGE, "at")),
        ("the last instant there is", interact(json!({"at": i64::MAX})), blame(OUT_OF_RANGE, "at")),
        ("the first instant there is", interact(json!({"at": i64::MIN})), blame(OUT_OF_RANGE, "at")),
        ("a time in words", interact(json!({"at": "yesterday"})), blame(BAD_FIELD, "at")),
        ("a time beyond 64 bits", interact(json!({"at": 1e300})), blame(BAD_FIELD, "at")),
        ("a number beyond f64", interact(json!({"at": 5})).replace(":5", ":1e999"), code(UNREADABLE)),
        // post
        ("no text", post(json!({"text": null})), blame(BAD_FIELD, "text")),
        ("an empty text", post(json!({"text": ""})), blame(OUT_OF_RANGE, "text")),
        ("a blank text", post(json!({"text": " \t\n"})), blame(OUT_OF_RANGE, "text")),
        ("a text of 32,769 bytes", post(json!({"text": "x".repeat(32_769)})), blame(OUT_OF_RANGE, "text")),
        ("a NUL in a text", post(json!({"text": "a\0b"})), blame(BAD_FIELD, "text")),
        ("an empty topic", post(json!({"topic": ""})), blame(BAD_FIELD, "topic")),
        ("topics instead of topic", post(json!({"topics": ["a"]})), blame(BAD_FIELD, "topics")),
        ("no numbers", post(json!({"embedding": []})), blame(OUT_OF_RANGE, "embedding")),
        ("three numbers", post(json!({"embedding": [1, 2, 3]})), blame(OUT_OF_RANGE, "embedding")),
        ("a number too many", post(json!({"embedding": numbers(DIM + 1, 0.5)})), blame(OUT_OF_RANGE, "embedding")),
        ("nothing but zeros", post(json!({"embedding": numbers(DIM, 0.0)})), blame(OUT_OF_RANGE, "embedding")),
        ("numbers beyond f32", post(json!({"embedding": numbers(DIM, 1e39)})), blame(OUT_OF_RANGE, "embedding")),
        ("numbers whose square is", post(json!({"embedding": numbers(DIM, 1e20)})), blame(OUT_OF_RANGE, "embedding")),
        ("NaN", with_embedding("NaN"), code(BAD_JSON)),
        ("Infinity", with_embedding("-Infinity"), code(BAD_JSON)),
        ("null for a number", with_embedding("0.5, null"), blame(BAD_FIELD, "embedding")),
        ("text for a number", with_embedding(r#""NaN""#), blame(BAD_FIELD, "embedding")),
        (
            "windows that overlap",
            post(json!({"windows": [{"start": 5_000, "stop": 7_000}, {"start": 1_000, "stop": 5_001}]})),
            blame(&["conflict"], "windows"),
        ),
        (
            "an open end before another",
            post(json!({"windows": [{"start": 5_000, "stop": null}, {"start": 9_000, "stop": 9_001}]})),
            blame(&["conflict"], "windows"),
        ),
        (
            "an empty window",
            post(json!({"windows": [{"start": 1, "stop": 2}, {"start": 5, "stop": 5}]})),
            blame(OUT_OF_RANGE, "windows[1]"),
        ),
        (
            "a window that ends before it starts",
            post(json!({"windows": [{"start": 5, "stop": 4}]})),
            blame(OUT_OF_RANGE, "windows[0]"),
        ),
        ("a window without start", post(json!({"windows": [{"stop": 4}]})), blame(BAD_FIELD, "windows[0].start")),
        ("a window that is a text", post(json!({"windows": ["always"]})), blame(BAD_FIELD, "windows")),
        (
            "a window with more than an end",
            post(json!({"windows": [{"start": 1, "stop": 2, "every": "week"}]})),
            blame(BAD_FIELD, "windows[0]"),
        ),
        (
            "a window before year 1",
            post(json!({"windows": [{"start": i64::MIN, "stop": 4}]})),
            blame(OUT_OF_RANGE, "windows[0].start"),
        ),
        // follow
        (
            "follow nobody known",
            r#"{"type":"follow","id":"h-3","user":"nobody"}"#.into(),
            blame(&["unknown_user"], "user"),
        ),
        ("follow oneself", r#"{"type":"follow","id":"h-3","user":"ada"}"#.into(), blame(OUT_OF_RANGE, "user")),
        ("follow without whom", r#"{"type":"follow","id":"h-3"}"#.into(), blame(BAD_FIELD, "user")),
        ("unfollow nobody known", r#"{"type":"unfollow","id":"h-3","user":"nobody"}"#.into(), code(&["unknown_user"])),
        // configure
        ("limit 0", r#"{"type":"configure","limit":0}"#.into(), blame(OUT_OF_RANGE, "limit")),
        ("limit 101", r#"{"type":"configure","limit":101}"#.into(), blame(OUT_OF_RANGE, "limit")),
        ("limit -1", r#"{"type":"configure","limit":-1}"#.into(), blame(BAD_FIELD, "limit")),
        ("limit 1e99", r#"{"type":"configure","limit":1e99}"#.into(), blame(BAD_FIELD, "limit")),
        ("a ranking that is none", r#"{"type":"configure","ranking":"best"}"#.into(), blame(BAD_FIELD, "ranking")),
        ("explain: yes", r#"{"type":"configure","explain":"yes"}"#.into(), blame(BAD_FIELD, "explain")),
        ("a topic of weight 2", r#"{"type":"configure","topics":{"a":2}}"#.into(), blame(OUT_OF_RANGE, "topics")),
        ("a topic of weight -0.1", r#"{"type":"configure","topics":{"a":-0.1}}"#.into(), blame(OUT_OF_RANGE, "topics")),
        ("a topic without a name", r#"{"type":"configure","topics":{"":0.5}}"#.into(), blame(BAD_FIELD, "topics")),
        (
            "a topic with a control character",
            r#"{"type":"configure","topics":{"a\u0001":0.5}}"#.into(),
            blame(BAD_FIELD, "topics"),
        ),
        ("a topic twice", r#"{"type":"configure","topics":{"a":0.5,"a":0.6}}"#.into(), blame(BAD_FIELD, "topics")),
        ("topics as a list", r#"{"type":"configure","topics":["a"]}"#.into(), blame(BAD_FIELD, "topics")),
        // live
        ("live without an item", r#"{"type":"live","id":"h-4","on":true}"#.into(), blame(BAD_FIELD, "item")),
        ("live without on", r#"{"type":"live","id":"h-4","item":"item-1"}"#.into(), blame(BAD_FIELD, "on")),
        (
            "live, on is a word",
            r#"{"type":"live","id":"h-4","item":"item-1","on":"yes"}"#.into(),
            blame(BAD_FIELD, "on"),
        ),
        (
            "live of nothing known",
            r#"{"type":"live","id":"h-4","item":"nowhere","on":true}"#.into(),
            blame(&["unknown_item"], "item"),
        ),
        (
            "live with a window",
            r#"{"type":"live","id":"h-4","item":"item-1","on":true,"until":5}"#.into(),
            blame(BAD_FIELD, "until"),
        ),
        // more, drawn, ping
        ("more after -1", r#"{"type":"more","after":-1}"#.into(), blame(BAD_FIELD, "after")),
        ("more after 1,001", r#"{"type":"more","after":1001}"#.into(), blame(OUT_OF_RANGE, "after")),
        ("more after nothing", r#"{"type":"more"}"#.into(), blame(BAD_FIELD, "after")),
        ("drawn version -1", r#"{"type":"drawn","version":-1}"#.into(), blame(BAD_FIELD, "version")),
        ("drawn nothing", r#"{"type":"drawn"}"#.into(), blame(BAD_FIELD, "version")),
        ("visible is a number", r#"{"type":"drawn","version":1,"visible":5}"#.into(), blame(BAD_FIELD, "visible")),
        (
            "more visible than a feed can hold",
            json!({"type": "drawn", "version": 1, "visible": vec!["item-1"; 101]}).to_string(),
            blame(OUT_OF_RANGE, "visible"),
        ),
        ("ping without t", r#"{"type":"ping"}"#.into(), blame(BAD_FIELD, "t")),
        ("ping beyond 64 bits", r#"{"type":"ping","t":99999999999999999999}"#.into(), blame(BAD_FIELD, "t")),
    ]
}

/// Text frames instead of the first `hello`: one `error` each, and a valid `hello` works on the socket afterwards.
fn openings() -> Vec<(&'static str, String, Blame)> {
    vec![
        ("interact before hello", interact(json!({})), code(&["hello_first"])),
        ("post before hello", post(json!({})), code(&["hello_first"])),
        ("configure before hello", r#"{"type":"configure","limit":5}"#.into(), code(&["hello_first"])),
        ("more before hello", r#"{"type":"more","after":0}"#.into(), code(&["hello_first"])),
        ("nonsense before hello", "?".into(), code(BAD_JSON)),
        ("hello of nobody known", r#"{"type":"hello","user":"nobody"}"#.into(), blame(&["unknown_user"], "user")),
        ("hello without user", r#"{"type":"hello"}"#.into(), blame(BAD_FIELD, "user")),
        ("hello of an empty user", r#"{"type":"hello","user":""}"#.into(), blame(BAD_FIELD, "user")),
        (
            "hello with a word too many",
            r#"{"type":"hello","user":"ada","mood":"good"}"#.into(),
            blame(BAD_FIELD, "mood"),
        ),
        ("hello, limit 0", r#"{"type":"hello","user":"ada","limit":0}"#.into(), blame(OUT_OF_RANGE, "limit")),
        ("hello, limit 101", r#"{"type":"hello","user":"ada","limit":101}"#.into(), blame(OUT_OF_RANGE, "limit")),
        (
            "hello, a ranking that is none",
            r#"{"type":"hello","user":"ada","ranking":1}"#.into(),
            blame(BAD_FIELD, "ranking"),
        ),
        (
            "hello, resume without version",
            r#"{"type":"hello","user":"ada","resume":{"epoch":1}}"#.into(),
            blame(BAD_FIELD, "resume.version"),
        ),
        (
            "hello, resume from below zero",
            r#"{"type":"hello","user":"ada","resume":{"epoch":1,"version":-1}}"#.into(),
            blame(BAD_FIELD, "resume.version"),
        ),
    ]
}

/// A REST request and the expected rejection.
struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    statuses: &'static [u16],
    blame: Blame,
}

fn get(name: &'static str, path: &str, statuses: &'static [u16], blame: Blame) -> Row {
    Row { name, bytes: request("GET", path, None, b""), statuses, blame }
}

fn send(
    name: &'static str,
    method: &str,
    path: &str,
    body: impl AsRef<[u8]>,
    statuses: &'static [u16],
    blame: Blame,
) -> Row {
    let bytes = request(method, path, Some("application/json"), body.as_ref());
    Row { name, bytes, statuses, blame }
}

fn act(name: &'static str, changes: Value, statuses: &'static [u16], blame: Blame) -> Row {
    let body = changed(json!({"user": "ada", "id": "h-4", "item": "item-1", "kind": "like"}), changes);
    send(name, "POST", "/v1/interactions", body, statuses, blame)
}

fn upsert_item(name: &'static str, changes: Value, statuses: &'static [u16], blame: Blame) -> Row {
    let body = changed(json!({"text": "hostile"}), changes);
    send(name, "PUT", "/v1/items/hostile", body, statuses, blame)
}

fn requests() -> Vec<Row> {
    let long = "x".repeat(256);
    let megabytes = vec![b' '; 10 * 1024 * 1024];
    let day = 86_400_000;
    let overlap = r#"[{"start": 5000, "stop": 7000}, {"start": 1000, "stop": 5001}]"#;
    let open_object = r#"{"a":"#;
    vec![
        // routes and methods
        get("no such route", "/nothing", &[404], code(&["unknown_route"])),
        get("no such route of the API", "/v1/nothing", &[404], code(&["unknown_route"])),
        get("up and away", "/../../etc/passwd", &[400, 404], code(&["unknown_route", "bad_field"])),
        get("up and away, encoded", "/%2e%2e/%2e%2e/etc/passwd", &[400, 404], code(&["unknown_route", "bad_field"])),
        send("DELETE /health", "DELETE", "/health", "", &[405], code(&["method_not_allowed"])),
        send("PATCH /v1/users", "PATCH", "/v1/users", "{}", &[405], code(&["method_not_allowed"])),
        send("POST to a person's feed", "POST", "/v1/users/ada/feed", "{}", &[405], code(&["method_not_allowed"])),
        send("a method of our own", "DANCE", "/v1/users/ada", "{}", &[400, 405, 501], code(&["method_not_allowed"])),
        // keys in paths
        get("an unknown person", "/user/nobody", &[404], code(&["unknown_user"])),
        get("an unknown item", "/post/nothing", &[404], code(&["unknown_item"])),
        get("%00 in a key", "/user/%00", &[400], code(BAD_FIELD)),
        get("a line feed in a key", "/user/a%0Ab", &[400], code(BAD_FIELD)),
        get("a key that is not UTF-8", "/user/%FF%FE", &[400], code(UNREADABLE)),
        get("a percent sign alone", "/user/100%", &[400, 404], code(&["bad_field", "unknown_user"])),
        get("a percent sign with nonsense", "/user/%zz", &[400, 404], code(&["bad_field", "unknown_user"])),
        get("a key of 256 bytes", &format!("/user/{long}"), &[400], code(BAD_FIELD)),
        send("a person of 256 bytes", "PUT", &format!("/v1/users/{long}"), "{}", &[400], code(BAD_FIELD)),
        send("a person with %00", "PUT", "/v1/users/a%00b", "{}", &[400], code(BAD_FIELD)),
        // queries
        get("limit 0", "/user/ada/feed/?limit=0", &[422], blame(OUT_OF_RANGE, "limit")),
        get("limit 1,001", "/user/ada/feed/?limit=1001", &[422], blame(OUT_OF_RANGE, "limit")),
        get("limit -1", "/user/ada/feed/?limit=-1", &[400], blame(BAD_FIELD, "limit")),
        get("limit in words", "/user/ada/feed/?limit=ten", &[400], blame(BAD_FIELD, "limit")),
        get("limit 1e3", "/user/ada/feed/?limit=1e3", &[400], blame(BAD_FIELD, "limit")),
        get("limit beyond 64 bits", "/user/ada/feed/?limit=99999999999999999999", &[422], blame(OUT_OF_RANGE, "limit")),
        get("limit twice", "/user/ada/feed/?limit=5&limit=6", &[400], blame(BAD_FIELD, "limit")),
        get("a parameter that is none", "/user/ada/feed/?limti=5", &[400], blame(BAD_FIELD, "limti")),
        get("limit 101 of a feed", "/v1/users/ada/feed?limit=101", &[422], blame(OUT_OF_RANGE, "limit")),
        get("limit 0 of an item", "/post/item-1/feed/?limit=0", &[422], blame(OUT_OF_RANGE, "limit")),
        get("the feed of nobody", "/v1/users/nobody/feed", &[404], code(&["unknown_user"])),
        get("a ranking that is none", "/v1/users/ada/feed?ranking=best", &[400], blame(BAD_FIELD, "ranking")),
        get("explain: maybe", "/v1/users/ada/feed?explain=maybe", &[400], blame(BAD_FIELD, "explain")),
        get("recommendations for whom", "/post/recommendations/", &[400], blame(BAD_FIELD, "id")),
        get("recommendations for nobody", "/post/recommendations/?id=nobody", &[404], code(&["unknown_user"])),
        get("recommendations, limit 0", "/post/recommendations/?id=ada&limit=0", &[422], blame(OUT_OF_RANGE, "limit")),
        get("time in words", "/post/recommendations/?id=ada&time=yesterday", &[400], blame(BAD_FIELD, "time")),
        get(
            "a month that is none",
            "/post/recommendations/?id=ada&time=2024-13-45%2000:00:00",
            &[400],
            blame(BAD_FIELD, "time"),
        ),
        get(
            "a day that was not",
            "/post/recommendations/?id=ada&time=2023-02-29%2000:00:00",
            &[400],
            blame(BAD_FIELD, "time"),
        ),
        get(
            "a time beyond all",
            "/post/recommendations/?id=ada&time=9223372036854775807",
            &[422],
            blame(OUT_OF_RANGE, "time"),
        ),
        get("availability, some day", "/v1/availability?at=some%20day", &[400], blame(BAD_FIELD, "at")),
        get("a span without end", "/v1/availability?from=5", &[400], blame(BAD_FIELD, "to")),
        get("a span backwards", "/v1/availability?from=5&to=4", &[422], blame(OUT_OF_RANGE, "to")),
        get("the audience of nothing known", "/v1/items/nowhere/audience", &[404], code(&["unknown_item"])),
        get("an audience of none", "/v1/items/item-1/audience?limit=0", &[422], blame(OUT_OF_RANGE, "limit")),
        get("the score of nobody", "/v1/score?user=nobody", &[404], code(&["unknown_user"])),
        get("the model of nobody", "/v1/users/nobody/model", &[404], code(&["unknown_user"])),
        get("people, limit 0", "/v1/users?limit=0", &[422], blame(OUT_OF_RANGE, "limit")),
        // users
        send("a person of half a body", "PUT", "/v1/users/ada", "{", &[400], code(BAD_JSON)),
        send("a person of a list", "PUT", "/v1/users/ada", "[]", &[400], code(UNREADABLE)),
        send("a person of null", "PUT", "/v1/users/ada", "null", &[400], code(UNREADABLE)),
        send(
            "a person with more than is known",
            "PUT",
            "/v1/users/ada",
            r#"{"age": 5}"#,
            &[400],
            blame(BAD_FIELD, "age"),
        ),
        send("a name that is a number", "PUT", "/v1/users/ada", r#"{"name": 5}"#, &[400], blame(BAD_FIELD, "name")),
        send(
            "a name of 256 bytes",
            "PUT",
            "/v1/users/ada",
            json!({"name": long}).to_string(),
            &[422],
            blame(OUT_OF_RANGE, "name"),
        ),
        send(
            "attributes that are a list",
            "PUT",
            "/v1/users/ada",
            r#"{"attributes": [1]}"#,
            &[400],
            blame(BAD_FIELD, "attributes"),
        ),
        send(
            "attributes of 17 KiB",
            "PUT",
            "/v1/users/ada",
            json!({"attributes": {"a": "x".repeat(17 * 1024)}}).to_string(),
            &[422],
            blame(OUT_OF_RANGE, "attributes"),
        ),
        send(
            "attributes nested 2,000 deep",
            "PUT",
            "/v1/users/ada",
            format!(r#"{{"attributes": {}1{}}}"#, open_object.repeat(2_000), "}".repeat(2_000)),
            &[400, 422],
            code(&["bad_json", "bad_field", "out_of_range"]),
        ),
        send("a name twice", "PUT", "/v1/users/ada", r#"{"name": "a", "name": "b"}"#, &[400], blame(BAD_FIELD, "name")),
        Row {
            name: "a person in plain text",
            bytes: request("PUT", "/v1/users/ada", Some("text/plain"), b"{}"),
            statuses: &[415],
            blame: code(&["unsupported_media"]),
        },
        Row {
            name: "a person as a form",
            bytes: request("PUT", "/v1/users/ada", Some("application/x-www-form-urlencoded"), b"name=x"),
            statuses: &[415],
            blame: code(&["unsupported_media"]),
        },
        send("a body of 10 MiB", "PUT", "/v1/users/ada", &megabytes, &[413], code(&["too_large"])),
        Row {
            name: "10 MiB of unknown length",
            bytes: request_in_chunks("PUT", "/v1/users/ada", "application/json", &megabytes),
            statuses: &[413],
            blame: code(&["too_large"]),
        },
        send("a million brackets", "PUT", "/v1/users/ada", "[".repeat(1_000_000), &[400], code(UNREADABLE)),
        send("follow nobody", "PUT", "/v1/users/ada/follows/nobody", "", &[404], code(&["unknown_user"])),
        send("nobody follows", "PUT", "/v1/users/nobody/follows/ada", "", &[404], code(&["unknown_user"])),
        send("follow oneself", "PUT", "/v1/users/ada/follows/ada", "", &[422], code(OUT_OF_RANGE)),
        send(
            "a topic of weight 2",
            "PATCH",
            "/v1/users/ada/model",
            r#"{"topics": {"a": 2}}"#,
            &[422],
            blame(OUT_OF_RANGE, "topics"),
        ),
        // interactions
        send("no interaction", "POST", "/v1/interactions", "", &[400], code(UNREADABLE)),
        act("nobody acts", json!({"user": "nobody"}), &[404], blame(&["unknown_user"], "user")),
        act("without user", json!({"user": null}), &[400], blame(BAD_FIELD, "user")),
        act("on an unknown item", json!({"item": "nothing"}), &[404], blame(&["unknown_item"], "item")),
        act("an unknown kind", json!({"kind": "love"}), &[400], blame(BAD_FIELD, "kind")),
        act("tomorrow", json!({"at": now_ms() + day}), &[422], blame(OUT_OF_RANGE, "at")),
        act("a negative dwell", json!({"dwell_ms": -5}), &[400], blame(BAD_FIELD, "dwell_ms")),
        act("an id of 256 bytes", json!({"id": long}), &[400], blame(BAD_FIELD, "id")),
        act("a word too many", json!({"colour": "red"}), &[400], blame(BAD_FIELD, "colour")),
        send(
            "an id twice",
            "POST",
            "/v1/interactions",
            r#"{"user":"ada","id":"h-5","id":"h-6","item":"item-1","kind":"like"}"#,
            &[400],
            blame(BAD_FIELD, "id"),
        ),
        send("not UTF-8", "POST", "/v1/interactions", b"{\"user\":\"\xff\xfe\"}", &[400], code(UNREADABLE)),
        send("33 MiB of blanks", "POST", "/v1/interactions", vec![b' '; 33 << 20], &[413], code(&["too_large"])),
        // items
        send("an item of nothing", "PUT", "/v1/items/hostile", "", &[400], code(UNREADABLE)),
        upsert_item("without text", json!({"text": null}), &[400, 422], blame(&["bad_field", "out_of_range"], "text")),
        upsert_item("an empty text", json!({"text": ""}), &[422], blame(OUT_OF_RANGE, "text")),
        upsert_item("a text of 32,769 bytes", json!({"text": "x".repeat(32_769)}), &[422], blame(OUT_OF_RANGE, "text")),
        upsert_item("a NUL in a text", json!({"text": "a\0b"}), &[400], blame(BAD_FIELD, "text")),
        upsert_item("an unknown author", json!({"author": "nobody"}), &[404], blame(&["unknown_user"], "author")),
        upsert_item("three numbers", json!({"embedding": [1, 2, 3]}), &[422], blame(OUT_OF_RANGE, "embedding")),
        upsert_item("zeros", json!({"embedding": numbers(DIM, 0.0)}), &[422], blame(OUT_OF_RANGE, "embedding")),
        upsert_item("beyond f32", json!({"embedding": numbers(DIM, -1e39)}), &[422], blame(OUT_OF_RANGE, "embedding")),
        upsert_item("words", json!({"embedding": ["a", "b"]}), &[400], blame(BAD_FIELD, "embedding")),
        send("NaN", "PUT", "/v1/items/hostile", r#"{"text":"x","embedding":[NaN]}"#, &[400], code(BAD_JSON)),
        upsert_item("an empty topic", json!({"topics": [""]}), &[400], blame(BAD_FIELD, "topics")),
        upsert_item("a topic twice", json!({"topics": ["a", "a"]}), &[422], blame(OUT_OF_RANGE, "topics")),
        upsert_item(
            "seventeen topics",
            json!({"topics": (0..17).map(|n| format!("t{n}")).collect::<Vec<_>>()}),
            &[422],
            blame(OUT_OF_RANGE, "topics"),
        ),
        upsert_item(
            "an empty window",
            json!({"windows": [{"start": 5, "stop": 5}]}),
            &[422],
            blame(OUT_OF_RANGE, "windows[0]"),
        ),
        send("windows of nothing known", "PUT", "/v1/items/nothing/windows", "[]", &[404], code(&["unknown_item"])),
        send("windows that overlap", "PUT", "/v1/items/item-1/windows", overlap, &[409], code(&["conflict"])),
        send("windows in words", "PUT", "/v1/items/item-1/windows", r#""always""#, &[400], code(UNREADABLE)),
        send("change nothing known", "PATCH", "/v1/items/nothing", r#"{"text":"x"}"#, &[404], code(&["unknown_item"])),
        send("delete nothing known", "DELETE", "/v1/items/nothing", "", &[404], code(&["unknown_item"])),
        send(
            "an item that is there",
            "POST",
            "/v1/items",
            r#"{"id":"item-1","text":"x"}"#,
            &[409],
            code(&["conflict"]),
        ),
        get("a prediction of nothing", "/v1/users/ada/predictions/nothing", &[404], code(&["unknown_item"])),
        send(
            "a label that is none",
            "POST",
            "/v1/users/ada/predictions/item-1",
            r#"{"label": "perhaps"}"#,
            &[400],
            blame(BAD_FIELD, "label"),
        ),
    ]
}

/// Below REST: rejected by a status or by closing the connection, with any message.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes();
    vec![
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("a word", line("GARBAGE")),
        ("a version that is none", line("GET / HTTP/9.9")),
        ("a negative length", b"PUT /v1/users/ada HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n".to_vec()),
        ("a length in words", b"PUT /v1/users/ada HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n".to_vec()),
        (
            "two lengths",
            b"PUT /v1/users/ada HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}".to_vec(),
        ),
        (
            "a length and chunks",
            b"PUT /v1/users/ada HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        (
            "a chunk of nonsense",
            b"PUT /v1/users/ada HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        ("a path of 200 KB", line(&format!("GET /{} HTTP/1.1", "x".repeat(200_000)))),
        (
            "a header of 1 MB",
            format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(1_000_000)).into_bytes(),
        ),
        (
            "a thousand headers",
            format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-One: 1\r\n".repeat(1_000)).into_bytes(),
        ),
        ("a socket without upgrade", line("GET /ws HTTP/1.1")),
        (
            "a socket of version 99",
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec(),
        ),
        (
            "a socket without a key",
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n".to_vec(),
        ),
    ]
}

/// Observable state of the server.
#[derive(Debug)]
struct Seen {
    items: Vec<Value>,
    available: Value,
    people: usize,
    history: usize,
    model: Value,
    person: Value,
}

fn look(server: &Server) -> Seen {
    let rest = server.rest();
    let json = |path: &str| rest.get(path).success(path).json();
    let items = support::rest::rows(&json("/v1/items?limit=1000"));
    Seen {
        items,
        available: support::rest::rows(&json("/v1/availability")).len().into(),
        people: support::rest::rows(&json("/v1/users?limit=100")).len(),
        history: rest.history("ada").len(),
        model: {
            // The blend's weights are shared by all users: earlier events may be published only now.
            let mut model = json("/v1/users/ada/model");
            model.as_object_mut().unwrap().remove("experts");
            model
        },
        person: json("/v1/users/ada"),
    }
}

fn prepared() -> Server {
    let server = server();
    server.people(&["ada", "grace"]);
    server.items(12);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        for item in ["item-1", "item-4", "item-7"] {
            let id = ada.interact(item, Kind::Like).await;
            ada.wait_accepted(&id).await;
        }
    });
    server
}

/// After the table: nothing has changed, and a normal session works.
fn check_afterwards(mut server: Server, before: &Seen) {
    let after = look(&server);
    assert_eq!(after.items, before.items, "the items");
    assert_eq!(after.available, before.available, "what is on");
    assert_eq!(after.people, before.people, "the people");
    assert_eq!(after.history, before.history, "the events");
    assert!(alike(&before.model, &after.model), "the model: {} is now {}", before.model, after.model);
    assert!(alike(&before.person, &after.person), "the person: {} is now {}", before.person, after.person);

    let next = before.history as u64 + 1;
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let shown = ada.shown();
        let id = ada.interact(&shown[0], Kind::Like).await;
        assert_eq!(ada.wait_accepted(&id).await, next, "numbers go on where they were");
        ada.wait("the feed after it", |client| client.feeds() > 1).await;
    });
    // Valid entries of a list are accepted although a neighbour is rejected.
    let list = json!([
        {"user": "ada", "id": "good-1", "item": "item-2", "kind": "view"},
        {"user": "ada", "id": "bad-1", "item": "nothing", "kind": "view"},
    ]);
    server.rest().post("/v1/interactions", &list);
    let history = server.rest().history("ada");
    let has = |id: &str| history.iter().any(|row| row["id"] == id);
    assert!(has("good-1") && !has("bad-1"), "{history:?}");
    assert_eq!(server.rest().get("/health").status, 200);
    assert!(!server.is_gone(), "the process lives");
    let log = server.log();
    assert!(!log.contains("panicked"), "something panicked:\n{log}");
}

/// Reports all failed rows, not only the first.
#[derive(Default)]
struct Report {
    rows: usize,
    wrong: Vec<String>,
}

impl Report {
    fn row(&mut self, name: &str, is_right: bool, found: impl FnOnce() -> String) {
        self.rows += 1;
        if !is_right {
            self.wrong.push(format!("{name}: {}", found()));
        }
    }

    fn end(self, table: &str, at_least: usize) {
        println!("{table}: {} rows, {} wrong", self.rows, self.wrong.len());
        assert!(
            self.wrong.is_empty(),
            "{table}: {} of {} rows:\n{}",
            self.wrong.len(),
            self.rows,
            self.wrong.join("\n")
        );
        assert!(self.rows >= at_least, "{table}: only {} rows", self.rows);
    }
}

/// Sends `ping` and receives until its `pong`; returns all messages until then.
async fn until_pong(client: &mut Client, number: i64) -> Option<Vec<ServerMessage>> {
    client.send_frame(Message::text(format!(r#"{{"type":"ping","t":{number}}}"#))).await;
    let mut heard = Vec::new();
    loop {
        match client.next_message(PATIENCE).await? {
            ServerMessage::Pong(pong) if pong.t == number => return Some(heard),
            message => heard.push(message),
        }
    }
}

#[test]
fn bad_frames_are_refused_by_name_and_the_line_stays() {
    let server = prepared();
    let before = look(&server);
    let mut report = Report::default();
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        until_pong(&mut ada, 0).await;
        let texts = frames().into_iter().map(|(name, text, blame)| (name, Message::text(text), blame));
        let binary = [
            ("a binary frame", Message::binary(vec![1, 2, 3]), code(&["bad_frame"])),
            ("an empty binary frame", Message::binary(vec![]), code(&["bad_frame"])),
            ("JSON in a binary frame", Message::binary(r#"{"type":"ping","t":1}"#), code(&["bad_frame"])),
        ];
        for (number, (name, frame, blame)) in (1..).zip(texts.chain(binary)) {
            ada.send_frame(frame).await;
            let Some(heard) = until_pong(&mut ada, number).await else {
                report.row(name, false, || "the line was closed".into());
                ada = Client::hello(server.address(), "ada").await;
                continue;
            };
            let errors: Vec<_> = heard
                .iter()
                .filter_map(|message| match message {
                    ServerMessage::Error(error) => Some(error),
                    _ => None,
                })
                .collect();
            let is_right = errors.len() == 1
                && !errors[0].message.is_empty()
                && blame.fits(errors[0].code.name(), &errors[0].field.iter().map(String::as_str).collect::<Vec<_>>());
            // A scheduled feed may come, too; `accepted` and `page` may not.
            let is_quiet = heard.iter().all(|message| {
                !matches!(message, ServerMessage::Accepted(_) | ServerMessage::Page(_) | ServerMessage::Busy(_))
            });
            report.row(name, is_right && is_quiet, || {
                format!("wanted {:?} {:?}, got {heard:?}", blame.codes, blame.field)
            });
        }

        // An `error` names the event that failed, if it can be parsed.
        ada.send_text(&interact(json!({"kind": "love", "id": "named"}))).await;
        let heard = until_pong(&mut ada, -1).await;
        let named =
            |message: &ServerMessage| matches!(message, ServerMessage::Error(e) if e.id.as_deref() == Some("named"));
        report.row("the error names the event", heard.iter().flatten().any(named), || format!("{heard:?}"));

        // The error names the overlapping windows by their starts.
        let clash = json!({"windows": [{"start": 5_000, "stop": 7_000}, {"start": 1_000, "stop": 5_001}]});
        ada.send_text(&post(clash)).await;
        let heard = until_pong(&mut ada, -2).await;
        let named = |message: &ServerMessage| match message {
            ServerMessage::Error(error) => error.message.contains("5000") && error.message.contains("1000"),
            _ => false,
        };
        report.row("the error names both windows", heard.iter().flatten().any(named), || format!("{heard:?}"));
    });
    check_afterwards(server, &before);
    report.end("frames", 60);
}

#[test]
fn a_bad_opening_is_refused_and_a_good_one_works_after_it() {
    let server = prepared();
    let before = look(&server);
    let mut report = Report::default();
    block_on(async {
        for (name, text, blame) in openings() {
            let mut socket = open(server.address()).await;
            socket.send(Message::text(text)).await.unwrap();
            let first = next(&mut socket).await;
            let is_right = match &first {
                Some(ServerMessage::Error(error)) => {
                    let fields: Vec<_> = error.field.iter().map(String::as_str).collect();
                    blame.fits(error.code.name(), &fields)
                }
                _ => false,
            };
            report.row(name, is_right, || format!("wanted {:?} {:?}, got {first:?}", blame.codes, blame.field));
            let good = socket.send(Message::text(r#"{"type":"hello","user":"ada"}"#)).await;
            let welcome = if good.is_ok() { next(&mut socket).await } else { None };
            let is_right = matches!(welcome, Some(ServerMessage::Welcome(_)));
            report.row(name, is_right, || format!("a good hello after it got {welcome:?}"));
        }

        // Without a known version the whole feed is sent.
        let mut socket = open(server.address()).await;
        let unknown = r#"{"type":"hello","user":"ada","resume":{"epoch":999999,"version":999999}}"#;
        socket.send(Message::text(unknown)).await.unwrap();
        let (first, second) = (next(&mut socket).await, next(&mut socket).await);
        let is_right = matches!((&first, &second), (Some(ServerMessage::Welcome(_)), Some(ServerMessage::Feed(_))));
        report.row("a version that never was", is_right, || format!("{first:?}, {second:?}"));
    });
    check_afterwards(server, &before);
    report.end("openings", 20);
}

#[test]
fn what_breaks_the_frame_layer_closes_the_line_with_its_code() {
    let server = prepared();
    let before = look(&server);
    let mut report = Report::default();
    let text = OpCode::Data(Data::Text);
    let padded = |length: usize| {
        let mut text = r#"{"type":"ping","t":77}"#.to_owned();
        text.push_str(&" ".repeat(length - text.len()));
        text
    };
    block_on(async {
        // The longest allowed frame.
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.send_frame(Message::text(padded(FRAME_BYTES_MAX))).await;
        let pong = |client: &Client| client.heard.iter().any(|m| matches!(m, ServerMessage::Pong(p) if p.t == 77));
        ada.wait("the longest ping's pong", pong).await;

        // Frames that are too long, at different sizes. Writing may fail once the server has closed, but the close code
        // must arrive.
        for (name, length) in [("a byte too many", FRAME_BYTES_MAX + 1), ("1 MiB", 1 << 20), ("10 MiB", 10 << 20)] {
            let mut ada = Client::hello(server.address(), "ada").await;
            ada.send_frame(Message::text(padded(length))).await;
            let found = ada.end_of_line().await;
            // For a frame that large the TCP reset may overtake the close code.
            let is_right = found == End::Code(1009) || (length > FRAME_BYTES_MAX + 1 && found == End::Silent);
            report.row(name, is_right, || format!("wanted 1009, got {found:?}"));
        }

        // A split message is too long as a whole, or is not read; the server must not assemble it without a limit.
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.send_frame(Message::Frame(Frame::message(" ".repeat(60_000), text, false))).await;
        let mut is_open = true;
        for _ in 0..40 {
            let part = Frame::message(" ".repeat(60_000), OpCode::Data(Data::Continue), false);
            is_open &= ada.send_frame(Message::Frame(part)).await;
        }
        ada.listen(Duration::from_millis(300)).await;
        let refused = ada.errors().iter().any(|error| matches!(error.code.name(), "bad_frame" | "too_large"));
        let closed = !is_open || until_pong(&mut ada, 5).await.is_none();
        report.row("a message in parts", refused || closed, || "it was read in silence".into());

        // Not UTF-8: closed with 1007, or rejected as `bad_json`.
        let mut ada = Client::hello(server.address(), "ada").await;
        ada.send_frame(Message::Frame(Frame::message(vec![b'"', 0xff, 0xfe, b'"'], text, true))).await;
        ada.listen(Duration::from_millis(300)).await;
        let refused = ada.errors().iter().any(|error| matches!(error.code.name(), "bad_json" | "bad_frame"));
        let closed = until_pong(&mut ada, 6).await.is_none();
        report.row("a frame that is not UTF-8", refused || closed, || "it was taken".into());

        // Below the messages of a WebSocket library: raw bytes. Everything here ends the connection.
        for (name, bytes) in [
            ("a frame without a mask", b"\x81\x15{\"type\":\"ping\",\"t\":1}".to_vec()),
            ("an opcode that is none", b"\x83\x80\0\0\0\0".to_vec()),
            ("reserved bits", b"\xf1\x80\0\0\0\0".to_vec()),
            ("a ping of 126 bytes", [b"\x89\xfe\x00\x7e\0\0\0\0".as_slice(), &[0; 126]].concat()),
            ("a length of 2^63", b"\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
            ("a length of 1 GiB", b"\x81\xff\0\0\0\0\x40\0\0\0\0\0\0\0".to_vec()),
        ] {
            let mut socket = open(server.address()).await;
            socket.send(Message::text(r#"{"type":"hello","user":"ada"}"#)).await.unwrap();
            let welcome = next(&mut socket).await;
            assert!(matches!(welcome, Some(ServerMessage::Welcome(_))), "{welcome:?}");
            socket.get_mut().write_all(&bytes).await.unwrap();
            let found = end_of_line(&mut socket, Duration::from_secs(5)).await;
            report.row(name, found != End::Open, || "the line stays open".into());
        }
    });
    check_afterwards(server, &before);
    report.end("frame layer", 10);
}

#[test]
fn bad_requests_are_refused_by_status_code_and_field() {
    let server = prepared();
    let before = look(&server);
    let mut report = Report::default();
    for Row { name, bytes, statuses, blame } in requests() {
        let answer = raw(server.address(), &bytes);
        let fields = answer.fields();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let is_problem =
            answer.header("content-type").is_some_and(|found| found.starts_with("application/problem+json"));
        let names_status = serde_json::from_str(&answer.body).is_ok_and(|body: Value| body["status"] == answer.status);
        let is_right = statuses.contains(&answer.status)
            && is_problem
            && names_status
            && answer.code().is_some_and(|found| blame.fits(&found, &fields));
        report.row(name, is_right, || {
            let body: String = answer.body.chars().take(300).collect();
            format!("wanted {statuses:?} {:?} {:?}, got {} {body}", blame.codes, blame.field, answer.status)
        });
        if name == "windows that overlap" {
            let named = answer.body.contains("5000") && answer.body.contains("1000");
            report.row("both windows are named", named, || answer.body.clone());
        }
        if answer.status == 405 {
            report.row("405 says what is allowed", answer.header("allow").is_some(), || name.to_owned());
        }
    }
    check_afterwards(server, &before);
    report.end("requests", 60);
}

#[test]
fn garbage_below_http_ends_in_a_status_or_a_closed_line() {
    let server = prepared();
    let before = look(&server);
    let mut report = Report::default();
    for (name, bytes) in garbage() {
        let answer = raw(server.address(), &bytes);
        let is_right = matches!(answer.status, 0 | 400..500 | 505);
        report.row(name, is_right, || format!("got {} {}", answer.status, answer.body));
    }
    check_afterwards(server, &before);
    report.end("garbage", 10);
}

/// Many bad clients at once, some of which disconnect within a frame: good clients are not affected.
#[test]
fn a_crowd_of_bad_clients_does_not_disturb_a_good_one() {
    let server = prepared();
    let before = look(&server);
    block_on(async {
        let address = server.address();
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..200 {
            crowd.spawn(async move {
                let mut socket = open(address).await;
                // Failures of these clients are expected.
                for _ in 0..20 {
                    let _ = match number % 4 {
                        0 => socket.send(Message::text("?")).await,
                        1 => socket.send(Message::binary(vec![0; 1_000])).await,
                        2 => socket.send(Message::text(r#"{"type":"hello","user":"nobody"}"#)).await,
                        _ => socket.send(Message::text("[".repeat(60_000))).await,
                    };
                }
                if number % 2 == 0 {
                    let _ = socket.get_mut().write_all(b"\x81\xfe\x10\x00half a frame").await;
                }
                drop(socket);
            });
        }
        let mut grace = Client::hello(address, "grace").await;
        for (round, seq) in (0..50).zip(1..) {
            let id = grace.interact(&format!("item-{}", round % 12), Kind::Click).await;
            assert_eq!(grace.wait_accepted(&id).await, seq);
        }
        while let Some(done) = crowd.join_next().await {
            done.expect("a bad client");
        }
    });
    check_afterwards(server, &before);
}

/// The next message on a bare socket; `None` when the connection ends first.
async fn next(socket: &mut Raw) -> Option<ServerMessage> {
    let listen = async {
        loop {
            match socket.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).ok(),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.ok()?
}

/// The rows that need no server agree with the parser, so that a wrong expectation is detected in the table itself.
#[test]
fn the_parser_agrees_with_the_table() {
    use eddyline::protocol::client::ClientMessage;
    let mut report = Report::default();
    let rows = frames().into_iter().chain(openings());
    for (name, text, blame) in rows.filter(|(_, _, blame)| blame.codes.iter().all(|code| UNREADABLE.contains(code))) {
        // A NUL within a text is well-formed JSON; the gateway rejects it.
        if name == "a NUL in a text" {
            continue;
        }
        let found = ClientMessage::parse(&text);
        let is_right = found
            .as_ref()
            .is_err_and(|bad| blame.fits(bad.code.name(), &bad.field.iter().map(String::as_str).collect::<Vec<_>>()));
        report.row(name, is_right, || format!("wanted {:?} {:?}, got {found:?}", blame.codes, blame.field));
    }
    assert_eq!(key("ada").as_str(), "ada");
    report.end("parser", 40);
}
