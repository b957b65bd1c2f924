//! Bad REST requests, and bytes that are not HTTP, with the status of their refusal.

use super::*;

/// A REST request and the expected rejection.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) statuses: &'static [u16],
    pub(super) blame: Blame,
}

pub(super) fn get(name: &'static str, path: &str, statuses: &'static [u16], blame: Blame) -> Row {
    Row { name, bytes: request("GET", path, None, b""), statuses, blame }
}

pub(super) fn send(
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

pub(super) fn act(name: &'static str, changes: Value, statuses: &'static [u16], blame: Blame) -> Row {
    let body = changed(json!({"user": "ada", "id": "h-4", "item": "item-1", "kind": "like"}), changes);
    send(name, "POST", "/v1/interactions", body, statuses, blame)
}

pub(super) fn upsert_item(name: &'static str, changes: Value, statuses: &'static [u16], blame: Blame) -> Row {
    let body = changed(json!({"text": "hostile"}), changes);
    send(name, "PUT", "/v1/items/hostile", body, statuses, blame)
}

pub(super) fn requests() -> Vec<Row> {
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
pub(super) fn garbage() -> Vec<(&'static str, Vec<u8>)> {
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
