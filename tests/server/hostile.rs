//! Bad input, row by row: on the socket before and after `hello`, below the protocol, and over REST.
//!
//! Invariant: every row is rejected with the documented code, status and field. Afterwards nothing has changed, and the
//! server is alive. A new case is a new row.

mod bounds;
mod frames;
mod fuzz;
mod requests;
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

use frames::*;
use requests::*;
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
