//! Authorisation matrix: every route and every message of the real server, for every kind of caller.
//!
//! Invariant: the rows cover the tables that register the routes, and the closed enum of messages, so a new one without
//! a row fails here. No token and no secret appears in the log, not even at `trace`.

mod rows;
use crate::support;

use std::collections::{BTreeMap, BTreeSet};

use eddyline::gateway;
use eddyline::protocol::client::ClientMessage;
use eddyline::protocol::problem::Code;
use futures_util::{SinkExt as _, StreamExt as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rows::{Row, row, rows};
use serde_json::{Value, json};
use support::rest::Answer;
use support::{PATIENCE, Server, block_on, now_ms, run, store};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const SECRET: &str = "a secret of the matrix, 32 bytes and more";

/// Kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// No valid token.
    Nobody,
    /// A valid token of another user.
    Other,
    /// A valid token of the user concerned.
    Own,
    /// A valid token of a service.
    Service,
}

/// Allowed callers, and the status that they get.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// Any caller, without a token.
    Open(u16),
    /// Any caller with a valid token.
    Known(u16),
    /// The user concerned, and services.
    Own(u16),
    /// Services, and no users.
    Service(u16),
}

impl Rule {
    fn expects(self, rank: Rank) -> u16 {
        match (self, rank) {
            (Rule::Open(status), _) => status,
            (_, Rank::Nobody) => 401,
            (Rule::Known(status), _) => status,
            (Rule::Own(_), Rank::Other) | (Rule::Service(_), Rank::Other | Rank::Own) => 403,
            (Rule::Own(status) | Rule::Service(status), _) => status,
        }
    }
}

struct Caller {
    name: &'static str,
    token: Option<String>,
    rank: Rank,
}

fn signed(algorithm: Algorithm, kid: Option<&str>, secret: &str, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    eddyline::gateway::hmac::install();
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// All kinds of callers, with `ada` as the user concerned.
fn callers(server: &Server, stored: &str) -> Vec<Caller> {
    let (now, later) = (now_ms() / 1_000, now_ms() / 1_000 + 3_600);
    let ada = |claims: Value| {
        let mut all = json!({"sub": "ada", "exp": later});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        all
    };
    let plain = |kid: Option<&str>, claims: Value| signed(Algorithm::HS256, kid, SECRET, &claims);
    let service = plain(Some("env"), json!({"role": "service", "exp": later}));
    let make = |body: Value| {
        server.rest().ask("POST", "/v1/tokens", Some(&service), Some(&body)).success("make a token").json()
    };
    let revoked = make(json!({"user": "ada", "days": 1}));
    let revoke = format!("/v1/tokens/{}", revoked["jti"].as_str().unwrap());
    server.rest().ask("DELETE", &revoke, Some(&service), None).success("revoke it");
    let own = make(json!({"user": "ada", "days": 1}))["token"].as_str().unwrap().to_owned();
    // Signed with the configured secret, but claims the key id of a stored key.
    let kid = jsonwebtoken::decode_header(stored).unwrap().kid.unwrap();
    assert_ne!(kid, "env");
    let borrowed = plain(Some(&kid), ada(json!({})));
    let none_alg = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.";
    let rows = [
        ("no token", None, Rank::Nobody),
        ("expired", Some(plain(Some("env"), ada(json!({"exp": now - 60})))), Rank::Nobody),
        ("not yet valid", Some(plain(Some("env"), ada(json!({"nbf": later})))), Rank::Nobody),
        ("never expires", Some(plain(Some("env"), json!({"sub": "ada"}))), Rank::Nobody),
        (
            "wrong signature",
            Some(signed(Algorithm::HS256, Some("env"), &SECRET.replace('a', "b"), &ada(json!({})))),
            Rank::Nobody,
        ),
        ("another key's signature", Some(borrowed), Rank::Nobody),
        ("unknown kid", Some(plain(Some("nobody"), ada(json!({})))), Rank::Nobody),
        ("revoked", Some(revoked["token"].as_str().unwrap().to_owned()), Rank::Nobody),
        ("alg none", Some(none_alg.to_owned()), Rank::Nobody),
        ("alg HS512", Some(signed(Algorithm::HS512, Some("env"), SECRET, &ada(json!({})))), Rank::Nobody),
        ("nobody's", Some(plain(Some("env"), json!({"exp": later}))), Rank::Nobody),
        ("other user", Some(plain(Some("env"), ada(json!({"sub": "bob"})))), Rank::Other),
        ("own", Some(own), Rank::Own),
        ("own, no kid", Some(plain(None, ada(json!({})))), Rank::Own),
        ("own, within the leeway", Some(plain(Some("env"), ada(json!({"nbf": now + 3})))), Rank::Own),
        ("service", Some(service), Rank::Service),
        ("service, made offline", Some(stored.to_owned()), Rank::Service),
    ];
    rows.into_iter().map(|(name, token, rank)| Caller { name, token, rank }).collect()
}

/// Status for a second service when the first one has already deleted the resource.
fn again(row: &Row, rank: Rank, seen: &mut BTreeSet<String>) -> u16 {
    let expected = row.rule.expects(rank);
    if row.method != "DELETE" || rank != Rank::Service || seen.insert(row.path.clone()) {
        return expected;
    }
    match row.route {
        "/v1/keys/{kid}" | "/v1/items/{id:.+}" | "/v1/users/{id}" => 404,
        _ => expected,
    }
}

fn code_of(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("unauthorized"),
        403 => Some("forbidden"),
        _ => None,
    }
}

#[derive(Default)]
struct Tally {
    checks: usize,
    by_caller: BTreeMap<&'static str, BTreeMap<String, usize>>,
    wrong: Vec<String>,
}

impl Tally {
    fn check(&mut self, caller: &'static str, what: &str, is_right: bool, found: String) {
        self.checks += 1;
        *self.by_caller.entry(caller).or_default().entry(found.clone()).or_default() += 1;
        if !is_right {
            self.wrong.push(format!("{caller}: {what}: {found}"));
        }
    }

    fn end(self, table: &str) {
        println!("{table}: {} checks", self.checks);
        for (caller, found) in &self.by_caller {
            let found: Vec<_> = found.iter().map(|(answer, count)| format!("{answer} x {count}")).collect();
            println!("  {caller:26} {}", found.join(", "));
        }
        assert!(self.wrong.is_empty(), "{table}: {} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

/// A server with a stored key, a configured secret, a trace log, and limits that do not interfere.
fn prepared() -> (Server, String) {
    let directory = TempDir::new().unwrap();
    let url = store(directory.path());
    let (status, said) = run(&["token", "create", "--service", "--days", "1", "--store", &url]);
    assert_eq!(status, Some(0), "{said}");
    let stored = said.lines().find(|line| line.matches('.').count() == 2 && line.starts_with("ey")).expect("a token");
    let stored = stored.to_owned();
    let environment = [
        ("EDDYLINE_SECRET", SECRET),
        ("EDDYLINE_LOG", "trace"),
        ("EDDYLINE_RATE__PERSON__PER_SECOND", "0"),
        ("EDDYLINE_RATE__SERVICE__PER_SECOND", "0"),
        ("EDDYLINE_RATE__ADDRESS__PER_SECOND", "0"),
    ];
    let server = Server::start_with(directory, &environment);
    let put = |path: &str, body: Value| {
        server.rest().ask("PUT", path, Some(&stored), Some(&body)).success("prepare");
    };
    for name in ["ada", "bob", "cleo"] {
        put(&format!("/v1/users/{name}"), json!({}));
    }
    for number in 0..10 {
        put(&format!("/v1/items/item-{number}"), json!({"text": format!("item {number}"), "topics": ["a"]}));
    }
    (server, stored)
}

#[test]
fn every_route_has_a_row_and_every_row_its_route() {
    let registered: BTreeSet<(&str, &str)> = gateway::ROUTES
        .iter()
        .chain(gateway::rest::ROUTES)
        .chain(gateway::gorse::ROUTES)
        .flat_map(|(path, methods)| methods.iter().map(move |method| (*path, *method)))
        .collect();
    let rows: BTreeSet<(&str, &str)> = rows("jti", "kid").iter().map(|row| (row.route, row.method)).collect();
    assert_eq!(rows, registered, "left: rows of this file, right: routes of the server");
    // No route is registered outside of the tables.
    for file in ["src/gateway/lib.rs", "src/gateway/rest/mod.rs", "src/gateway/gorse/mod.rs"] {
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in [".route(", ".service(", "web::resource", "web::scope"] {
            assert!(!code.contains(word), "{file}: `{word}` registers a route beside the table: add it to `routes!`");
        }
    }
}

#[test]
fn every_route_answers_each_caller_as_the_rules_say() {
    let (server, stored) = prepared();
    let callers = callers(&server, &stored);
    let rest = server.rest();
    let doomed = |path: &str, field: &str, body: Option<Value>| {
        let made = rest.ask("POST", path, Some(&stored), body.as_ref()).success("something to delete").json();
        made[field].as_str().unwrap().to_owned()
    };
    let jti = doomed("/v1/tokens", "jti", Some(json!({"user": "ada"})));
    let kid = doomed("/v1/keys", "kid", None);
    let mut tally = Tally::default();
    let mut deleted = BTreeSet::new();
    for row in rows(&jti, &kid) {
        for caller in &callers {
            let methods: &[&str] = match row.method {
                "GET" => &["GET", "HEAD"],
                "SOCKET" => &["GET"],
                method => &[method],
            };
            let expected = again(&row, caller.rank, &mut deleted);
            for method in methods {
                let answer = row.ask(&rest, method, caller.token.as_deref());
                let right_code = *method == "HEAD" || code_of(expected).is_none_or(|code| row.answers(&answer, code));
                let what = format!("{method} {} expects {expected}, {:?}", row.path, answer.body);
                tally.check(caller.name, &what, answer.status == expected && right_code, answer.status.to_string());
            }
        }
    }
    // A batch is authorised entry by entry.
    for caller in &callers {
        let part = |user: &str| json!({"user": user, "item": "item-0", "kind": "view"});
        let answer =
            rest.ask("POST", "/v1/interactions", caller.token.as_deref(), Some(&json!([part("ada"), part("bob")])));
        let found = if answer.status == 200 { parts(&answer) } else { answer.status.to_string() };
        let expected = match caller.rank {
            Rank::Nobody => "401",
            Rank::Other => "forbidden accepted",
            Rank::Own => "accepted forbidden",
            Rank::Service => "accepted accepted",
        };
        tally.check(caller.name, &format!("a batch expects {expected}"), found == expected, found);
    }
    // An unknown route is 404, and an unknown method 405, for any caller.
    for caller in &callers {
        for (method, path, expected) in [("GET", "/v1/nothing", 404), ("DELETE", "/v1/score", 405), ("PUT", "/ws", 405)]
        {
            let answer = rest.ask(method, path, caller.token.as_deref(), None);
            tally.check(caller.name, &format!("{method} {path}"), answer.status == expected, answer.status.to_string());
        }
    }
    tally.end("routes");
    nothing_leaked(&server, &callers);
}

#[test]
fn an_unknown_parameter_is_refused_by_its_name_on_every_route_with_a_token() {
    let (server, stored) = prepared();
    let mut wrong = Vec::new();
    for row in rows("jti", "kid").into_iter().filter(|row| !row.is_gorse() && row.method != "SOCKET") {
        if matches!(row.rule, Rule::Open(_)) {
            continue;
        }
        let sign = if row.path.contains('?') { '&' } else { '?' };
        let row = Row { path: format!("{}{sign}unheard=1", row.path), ..row };
        let answer = row.ask(&server.rest(), row.method, Some(&stored));
        if (answer.status, answer.fields()) != (400, vec!["unheard".to_owned()]) {
            wrong.push(format!("{} {}: {} {}", row.method, row.path, answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn parts(answer: &Answer) -> String {
    let of = |row: &Value| row["error"]["code"].as_str().or(row["status"].as_str()).unwrap().to_owned();
    answer.json()["results"].as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(" ")
}

trait Is {
    fn is(&self, code: &str) -> bool;
}

impl Is for Answer {
    fn is(&self, code: &str) -> bool {
        self.code().as_deref() == Some(code)
    }
}

/// One frame of each type, and the type of its answer after `hello`.
fn messages() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("interact", json!({"type": "interact", "id": "e1", "item": "item-0", "kind": "click"}), "accepted"),
        ("post", json!({"type": "post", "id": "e2", "text": "High water"}), "accepted"),
        ("live", json!({"type": "live", "id": "e5", "item": "item-0", "on": true}), "accepted"),
        ("follow", json!({"type": "follow", "id": "e3", "user": "bob"}), "accepted"),
        ("unfollow", json!({"type": "unfollow", "id": "e4", "user": "bob"}), "accepted"),
        ("undo", json!({"type": "undo", "id": "e6", "event": "e1"}), "accepted"),
        // It has no answer, so the following ping is answered instead.
        ("drawn", json!({"type": "drawn", "version": 1}), "pong"),
        ("configure", json!({"type": "configure", "limit": 5}), "feed"),
        ("more", json!({"type": "more", "after": 2}), "page"),
        ("ping", json!({"type": "ping", "t": 7}), "pong"),
    ]
}

/// How a token is presented.
#[derive(Clone, Copy, Debug)]
enum By {
    Hello,
    Subprotocol,
    Header,
}

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn open(server: &Server, token: Option<&str>, by: By) -> Socket {
    let mut request = format!("ws://{}/ws", server.address()).into_client_request().unwrap();
    let (mut protocols, headers) = ("eddyline.v1".to_owned(), request.headers_mut());
    match (token, by) {
        (Some(token), By::Subprotocol) => protocols = format!("eddyline.v1, {token}"),
        (Some(token), By::Header) => {
            headers.insert("Authorization", format!("Bearer {token}").parse().unwrap());
        }
        _ => {}
    }
    headers.insert("Sec-WebSocket-Protocol", protocols.parse().unwrap());
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    tokio_tungstenite::client_async(request, stream).await.expect("the upgrade").0
}

/// Sends a frame and waits for one of these types, or an error; returns its type, or its code.
async fn ask(socket: &mut Socket, frame: &Value, wanted: &str) -> String {
    socket.send(Message::text(frame.to_string())).await.unwrap();
    if frame["type"] == "drawn" {
        socket.send(Message::text(r#"{"type":"ping","t":1}"#)).await.unwrap();
    }
    let listen = async {
        while let Some(Ok(frame)) = socket.next().await {
            let Ok(text) = frame.to_text() else { continue };
            let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
            match message["type"].as_str() {
                Some("error") => return message["code"].as_str().unwrap().to_owned(),
                Some("feed" | "patch") => {
                    let drawn = json!({"type": "drawn", "version": message["version"]});
                    let _ = socket.send(Message::text(drawn.to_string())).await;
                    // As a whole or as steps, whichever is shorter.
                    if wanted == "feed" {
                        return wanted.to_owned();
                    }
                }
                Some(found) if found == wanted || found == "bye" => return found.to_owned(),
                _ => {}
            }
        }
        "the end of the line".to_owned()
    };
    tokio::time::timeout(PATIENCE, listen).await.unwrap_or_else(|_| "silence".to_owned())
}

#[test]
fn every_message_answers_each_caller_as_the_rules_say() {
    let (server, stored) = prepared();
    let callers = callers(&server, &stored);
    let mut covered: BTreeSet<&str> = messages().iter().map(|(name, ..)| *name).collect();
    covered.insert("hello");
    assert_eq!(covered, ClientMessage::TYPES.into_iter().collect(), "left: rows of this file, right: the protocol");
    let mut tally = Tally::default();
    block_on(async {
        for caller in &callers {
            let (token, rank) = (caller.token.as_deref(), caller.rank);
            let hello = |token: Option<&str>| match token {
                Some(token) => json!({"type": "hello", "user": "ada", "token": token}),
                None => json!({"type": "hello", "user": "ada"}),
            };
            let expected = match rank {
                Rank::Nobody => "unauthorized",
                Rank::Other => "forbidden",
                Rank::Own | Rank::Service => "welcome",
            };
            for by in [By::Hello, By::Subprotocol, By::Header] {
                let mut socket = open(&server, token, by).await;
                let frame = hello(token.filter(|_| matches!(by, By::Hello)));
                let found = ask(&mut socket, &frame, "welcome").await;
                tally.check(caller.name, &format!("hello by {by:?} expects {expected}"), found == expected, found);
                // A rejected hello opens no session: all later messages are rejected, too.
                for (name, frame, answer) in messages() {
                    // The item has no author: only a service may take it on air.
                    let answer = if name == "live" && rank == Rank::Own { Code::Forbidden.name() } else { answer };
                    let expected = if expected == "welcome" { answer } else { Code::HelloFirst.name() };
                    let found = ask(&mut socket, &frame, answer).await;
                    tally.check(caller.name, &format!("{name} expects {expected}"), found == expected, found);
                }
            }
            // A session acts for its user only: no message names another one to act for, and hello comes once.
            if rank == Rank::Own {
                let mut socket = open(&server, token, By::Hello).await;
                assert_eq!(ask(&mut socket, &hello(token), "welcome").await, "welcome");
                let other = json!({"type": "hello", "user": "bob", "token": stored});
                let found = ask(&mut socket, &other, "welcome").await;
                tally.check(caller.name, "a second hello", found == "hello_first", found);
            }
        }
    });
    tally.end("messages");
    nothing_leaked(&server, &callers);
}

/// Tokens, their signatures and the secret are not in the log, which is at the most verbose level.
fn nothing_leaked(server: &Server, callers: &[Caller]) {
    let log = server.log();
    assert!(log.contains("TRACE"), "the log is at trace");
    for needle in [SECRET, "Bearer "] {
        assert!(!log.contains(needle), "{needle:?} is in the log");
    }
    for caller in callers {
        let Some(token) = &caller.token else { continue };
        assert!(!log.contains(token), "the token of {:?} is in the log", caller.name);
        let signature = token.rsplit('.').next().unwrap();
        assert!(signature.is_empty() || !log.contains(signature), "the signature of {:?} is in the log", caller.name);
    }
    println!("  log at trace: {} lines, no token, no secret", log.lines().count());
}

/// Every method of every route but reading, requested by pages of other origins, with and without a secret.
#[test]
fn no_route_lets_a_foreign_page_change_anything() {
    let dev = Server::start_with(TempDir::new().unwrap(), &[("EDDYLINE_ORIGINS", r#"["https://app.example"]"#)]);
    for name in ["ada", "bob", "cleo"] {
        dev.rest().put(&format!("/v1/users/{name}"), &json!({})).success("prepare");
    }
    for number in 0..10 {
        let item = json!({"text": format!("item {number}"), "topics": ["a"]});
        dev.rest().put(&format!("/v1/items/item-{number}"), &item).success("prepare");
    }
    let dumped = |directory: &TempDir| {
        let (url, out) = (store(directory.path()), directory.path().join("dump.jsonl"));
        let (status, said) = run(&["db", "dump", "--store", &url, "--out", out.to_str().unwrap()]);
        assert_eq!(status, Some(0), "{said}");
        std::fs::read(out).unwrap()
    };
    let directory = dev.kill();
    let before = dumped(&directory);
    let dev = Server::start_with(directory, &[("EDDYLINE_ORIGINS", r#"["https://app.example"]"#)]);
    let (guarded, service) = prepared();
    let foreign: [&[(&str, &str)]; 5] = [
        &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
        &[("Origin", "http://localhost:1")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
    ];
    let beside = ["/health", "/", "/v1/nothing"].map(|path| row("", "POST", path, Rule::Open(403)));
    let mut asked = 0;
    for row in rows("jti", "kid").iter().chain(&beside) {
        for (server, token) in [(&dev, None), (&guarded, Some(service.as_str())), (&guarded, None)] {
            for headers in foreign {
                asked += 1;
                let what = format!("{} {} {headers:?}", row.method, row.path);
                let ask = |method: &str| server.rest().ask_with(method, &row.path, token, row.body.as_ref(), headers);
                match row.method {
                    // They change nothing, which the dump below proves; the answers are not readable for foreign pages.
                    "GET" => {
                        let answer = ask("GET");
                        assert_ne!(answer.status, 403, "{what}");
                        assert_eq!(answer.header("access-control-allow-origin"), None, "{what}");
                    }
                    "SOCKET" => {}
                    method => {
                        let answer = ask(method);
                        assert_eq!((answer.status, answer.code().as_deref()), (403, Some("forbidden")), "{what}");
                    }
                }
            }
        }
    }
    println!("{asked} requests of foreign pages");
    // Own pages and listed origins may.
    let own = format!("http://{}", dev.address());
    for headers in [
        &[("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")][..],
        &[("Origin", "https://app.example"), ("Sec-Fetch-Site", "cross-site")],
        &[],
    ] {
        let answer = dev.rest().ask_with("POST", "/v1/clusters/refit", None, None, headers);
        assert_eq!(answer.status, 202, "{headers:?}");
    }
    for (origin, allowed) in [("https://app.example", Some("https://app.example")), ("https://evil.example", None)] {
        let read = dev.rest().ask_with("GET", "/v1/items/item-0", None, None, &[("Origin", origin)]);
        assert_eq!((read.status, read.header("access-control-allow-origin")), (200, allowed), "{origin}");
        let shown = read.header("access-control-expose-headers").is_some_and(|all| all.contains("etag"));
        assert!(shown || allowed.is_none(), "{origin}");
        let preflight = format!(
            "OPTIONS /v1/items/item-0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: authorization,content-type\r\n\r\n"
        );
        let preflight = support::rest::raw(dev.address(), preflight.as_bytes());
        assert_eq!(preflight.header("access-control-allow-origin"), allowed, "{origin}");
        let methods = preflight.header("access-control-allow-methods").is_some_and(|all| all.contains("PATCH"));
        assert!(methods || allowed.is_none(), "{origin}");
        assert_eq!(preflight.header("access-control-allow-credentials"), None);
    }
    assert_eq!(dev.rest().get("/v1/keys").json(), json!({"keys": []}));
    assert_eq!(dev.rest().get("/v1/tokens").json(), json!({"tokens": []}));
    let directory = dev.kill();
    assert!(dumped(&directory) == before, "what foreign pages read has changed nothing either");
    assert_eq!(Server::start(directory).rest().get("/v1/users").status, 200, "nobody needs a token");
}

#[test]
fn only_own_pages_open_a_socket() {
    let (server, stored) = prepared();
    let own = format!("http://{}", server.address());
    for (origin, expected) in
        [(None, 101), (Some(own.as_str()), 101), (Some("https://evil.example"), 403), (Some("null"), 403)]
    {
        let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: eddyline.v1, {stored}\r\n{origin}\r\n",
            server.address()
        );
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut head = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut head).unwrap();
        assert_eq!(String::from_utf8_lossy(&head), format!("HTTP/1.1 {expected}"), "{origin:?}");
    }
}
