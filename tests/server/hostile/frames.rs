//! Bad frames, before and after `hello`, with the code and field of their refusal.

use super::*;

pub(super) fn interact(changes: Value) -> String {
    changed(json!({"type": "interact", "id": "h-1", "item": "item-1", "kind": "like"}), changes)
}

pub(super) fn post(changes: Value) -> String {
    changed(json!({"type": "post", "id": "h-2", "text": "hostile"}), changes)
}

/// Changes fields; `null` removes one.
pub(super) fn changed(mut message: Value, changes: Value) -> String {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            message.as_object_mut().unwrap().remove(name);
        } else {
            message[name] = value.clone();
        }
    }
    message.to_string()
}

pub(super) fn numbers(count: usize, number: f64) -> Value {
    Value::from(vec![number; count])
}

/// A list of numbers as text, since JSON values cannot hold the wanted ones.
pub(super) fn with_embedding(list: &str) -> String {
    format!(r#"{{"type": "post", "id": "h-2", "text": "hostile", "embedding": [{list}]}}"#)
}

/// Text frames after `hello`: each is answered by exactly one `error`, and the connection stays open.
pub(super) fn frames() -> Vec<(&'static str, String, Blame)> {
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
        ("a time beyond 64 bits", interact(json!({"at": 1e300})), blame(OUT_OF_RANGE, "at")),
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
pub(super) fn openings() -> Vec<(&'static str, String, Blame)> {
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
