//! Small requests with large effects: lists of parts, unread answers, unfinished bodies, posts and sockets.
//!
//! Invariant: the server runs in a process whose data is limited to 1 GiB, so an allocation beyond ends it and the
//! test. The peak that the system records stays well below.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eddyline::protocol::client::ClientMessage;
use eddyline::protocol::server::ServerMessage;
use futures_util::SinkExt as _;
use serde_json::json;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

use crate::support::rest::{raw, request};
use crate::support::socket::{Client, hello, open};
use crate::support::{Server, block_on};

/// Limit of the process's data, in MiB.
pub const LIMIT_MIB: u64 = 1024;
const MIB: u64 = 1 << 20;

/// A server within the limit, with two users and a few items.
pub fn limited(variables: &[(&str, &str)]) -> Server {
    let server = Server::start_limited(TempDir::new().unwrap(), LIMIT_MIB, variables);
    server.people(&["ada", "grace"]);
    server.items(12);
    server
}

/// Requests `/health` continuously.
pub struct Health {
    stop: Arc<AtomicBool>,
    asking: std::thread::JoinHandle<Vec<Duration>>,
}

impl Health {
    pub fn of(address: SocketAddr) -> Health {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = std::thread::spawn(move || {
            let mut all = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                assert_eq!(raw(address, &request("GET", "/health", None, b"")).status, 200, "/health");
                all.push(begin.elapsed());
                std::thread::sleep(Duration::from_millis(10));
            }
            all.sort();
            all
        });
        Health { stop, asking }
    }

    /// Response times of all requests, the longest last.
    pub fn end(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join().expect("/health answers")
    }
}

fn list_of(part: &str, bytes: usize) -> Vec<u8> {
    let count = bytes / (part.len() + 1);
    format!("[{}]", vec![part; count.max(1)].join(",")).into_bytes()
}

fn head(path: &str, content_type: &str, length: usize) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// Opens a connection and sends as much as the server accepts within a second.
fn send_unread(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let _ = stream.write_all(bytes);
    stream
}

#[test]
fn a_list_of_many_parts_is_refused_before_it_costs_memory() {
    let server = limited(&[]);
    for (path, part) in [
        ("/v1/interactions", "1"),
        ("/v1/interactions", "{}"),
        ("/v1/items", "1"),
        ("/v1/items", r#"{"text":"x"}"#),
        ("/v1/metrics?user=ada", "1"),
        ("/v1/metrics?user=ada", r#"{"metric":"x"}"#),
    ] {
        for bytes in [1 << 20, 4 << 20, 31 << 20] {
            let answer = raw(server.address(), &request("POST", path, Some("application/json"), &list_of(part, bytes)));
            assert!(matches!(answer.status, 400 | 413 | 422), "{path} {part}: {} {}", answer.status, answer.body);
            assert!(answer.body.len() < 1_024, "{path} {part}");
        }
    }
    // One part with many elements inside.
    for (path, begin, part, end) in [
        ("/v1/items", r#"[{"text":"x","topics":["#, r#""a""#, "]}]"),
        ("/v1/items", r#"[{"text":"x","embedding":["#, "1", "]}]"),
        ("/v1/items", r#"[{"text":"x","windows":["#, r#"{"start":1}"#, "]}]"),
        ("/v1/metrics?user=ada", r#"[{"metric":"x","a":["#, "1", "]}]"),
        ("/v1/metrics?user=ada", r#"{"metric":"x","a":["#, "1", "]}"),
    ] {
        let list = String::from_utf8(list_of(part, 30 << 20)).unwrap();
        let body = format!("{begin}{}{end}", list.trim_matches(['[', ']']));
        let answer = raw(server.address(), &request("POST", path, Some("application/json"), body.as_bytes()));
        assert!(matches!(answer.status, 200 | 400 | 413 | 422), "{path}: {} {}", answer.status, answer.body);
        assert!(answer.status != 200 || answer.body.contains("too_large"), "{path}: {}", answer.body);
    }
    let peak = server.peak_memory();
    assert!(peak < 384 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn each_part_of_a_long_list_is_answered_and_a_message_repeats_little_of_it() {
    let server = limited(&[]);
    let count = 10_000;
    let body = format!("[{}]", vec!["1"; count].join(","));
    let answer = server_answer(&server, "/v1/interactions", "application/json", body.as_bytes());
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(count));
    let long = "x".repeat(60_000);
    let body = format!(r#"[{{"{long}":1}},{{"user":"{long}"}},{{"user":"ada","item":"{long}","kind":"like"}}]"#);
    for path in ["/v1/interactions", "/v1/items"] {
        let answer = server_answer(&server, path, "application/json", body.as_bytes());
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(3));
        assert!(answer.to_string().len() < 4_096, "{path}");
    }
    for path in [format!("/v1/{}", "x".repeat(30_000)), format!("/v1/users?{}=1", "x".repeat(30_000))] {
        let answer = raw(server.address(), &request("GET", &path, None, b""));
        assert!(matches!(answer.status, 400 | 404) && answer.body.len() < 4_096, "{}", answer.status);
    }
}

fn server_answer(server: &Server, path: &str, media: &str, body: &[u8]) -> serde_json::Value {
    let answer = raw(server.address(), &request("POST", path, Some(media), body));
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

#[test]
fn answers_that_nobody_reads_stay_within_their_budget() {
    let server = limited(&[]);
    let text = "\u{1}".repeat(30_000);
    for number in 0..200 {
        let body = json!({"text": text, "topics": ["a"]});
        server.rest().put(&format!("/v1/items/long-{number}"), &body).success("a long item");
    }
    let lines = "1\n".repeat(400_000);
    let mut ndjson = head("/v1/interactions", "application/x-ndjson", lines.len());
    ndjson.extend(lines.as_bytes());
    let mut list = head("/v1/interactions", "application/json", 20_001);
    list.extend(format!("[{}]", vec!["1"; 10_000].join(",")).as_bytes());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let requests: Vec<Vec<u8>> = (0..120)
        .map(|number| match number % 6 {
            0 | 1 => ndjson.clone(),
            2 => list.clone(),
            3 => get("/v1/items?limit=1000"),
            4 => get("/v1/availability?limit=1000"),
            _ => get("/v1/users/ada/feed?limit=100"),
        })
        .collect();
    let unread: Vec<TcpStream> = std::thread::scope(|scope| {
        let sent: Vec<_> =
            requests.iter().map(|request| scope.spawn(|| send_unread(server.address(), request))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    std::thread::sleep(Duration::from_secs(3));
    let peak = server.peak_memory();
    assert!(peak < 640 * MIB, "{} MiB", peak / MIB);
    assert_eq!(server.rest().get("/health").status, 200);
    drop(unread);
}

#[test]
fn unfinished_bodies_hold_a_share_and_leave_room_for_others_until_they_are_given_up() {
    let server = limited(&[]);
    let mut large = head("/v1/items", "application/json", 3_000_000);
    large.push(b'[');
    large.extend(vec![b' '; 1_500_000]);
    let slow: Vec<TcpStream> = (0..8).map(|_| send_unread(server.address(), &large)).collect();
    let good = json!((0..3_000).map(|n| json!({"id": format!("i-{n}"), "text": "x".repeat(500)})).collect::<Vec<_>>());
    let answer =
        raw(server.address(), &request("POST", "/v1/items", Some("application/json"), good.to_string().as_bytes()));
    assert_eq!(answer.status, 200, "beside eight large bodies that are not finished: {:.300}", answer.body);

    let mut below = head("/v1/interactions", "application/json", 1_048_000);
    below.extend(vec![b' '; 1_040_000]);
    let many: Vec<TcpStream> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..600).map(|_| scope.spawn(|| send_unread(server.address(), &below))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let peak = server.peak_memory();
    assert!(peak < 512 * MIB, "{} MiB", peak / MIB);
    drop(many);
    drop(slow);
}

#[test]
fn a_body_that_never_comes_is_given_up_after_ten_seconds() {
    let server = limited(&[]);
    let begin = Instant::now();
    let mut stream = send_unread(server.address(), &head("/v1/items", "application/json", 3_000_000));
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut part = [0; 1_024];
    let count = stream.read(&mut part).expect("an answer");
    assert!(String::from_utf8_lossy(&part[..count]).contains("400"), "{}", String::from_utf8_lossy(&part[..count]));
    assert!((9..25).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[test]
fn posts_of_one_person_have_a_rate_of_their_own() {
    let server = limited(&[]);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        // A session stores eight at once.
        for number in 0..30 {
            for one in 0..5 {
                ada.post(&format!("p-{number}-{one}"), "High water", Some("a")).await;
            }
            ada.listen(Duration::from_millis(60)).await;
        }
        ada.listen(Duration::from_millis(500)).await;
        let busy = ada.heard.iter().filter(|message| matches!(message, ServerMessage::Busy(_))).count();
        let accepted = ada.heard.iter().filter(|message| matches!(message, ServerMessage::Accepted(_))).count();
        assert!(busy > 0 && (1..=135).contains(&accepted), "{accepted} accepted, {busy} busy");
        let mut grace = Client::hello(server.address(), "grace").await;
        grace.post("p-1", "Low water", Some("a")).await;
        grace.wait_accepted("p-1").await;
    });
}

#[test]
fn pages_that_nobody_reads_do_not_pile_up() {
    let server = limited(&[]);
    let text = "x".repeat(30_000);
    for number in 0..100 {
        let body = json!({"text": text, "topics": ["a"]});
        server.rest().put(&format!("/v1/items/long-{number}"), &body).success("a long item");
    }
    block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..10 {
            let mut socket = open(server.address()).await;
            let hello = ClientMessage::Hello(eddyline::protocol::client::Hello { limit: Some(100), ..hello("ada") });
            socket.feed(Message::text(serde_json::to_string(&hello).unwrap())).await.unwrap();
            // All in one write, so that they are read before the first feed fills the connection.
            for _ in 0..400 {
                socket.feed(Message::text(r#"{"type":"more","after":0}"#)).await.unwrap();
            }
            let _ = tokio::time::timeout(Duration::from_millis(200), socket.flush()).await;
            sockets.push(socket);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    let peak = server.peak_memory();
    assert!(peak < 640 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn sockets_without_hello_leave_room_for_sockets_with_it() {
    let server = limited(&[("EDDYLINE_SOCKETS_MAX", "20")]);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let mut crowd = Vec::new();
        for _ in 0..60 {
            crowd.push(open(server.address()).await);
        }
        let mut grace = Client::hello(server.address(), "grace").await;
        for client in [&mut ada, &mut grace] {
            client.send_text(r#"{"type":"ping","t":7}"#).await;
            let pong = |client: &Client| client.heard.iter().any(|heard| matches!(heard, ServerMessage::Pong(_)));
            client.wait("a pong", pong).await;
        }
        drop(crowd);
    });
}

#[test]
fn pages_may_connect_to_their_own_origin_alone_and_send_no_forms() {
    let server = limited(&[]);
    let answer = server.rest().get("/");
    let policy = answer.header("content-security-policy").unwrap();
    let of = |name: &str| policy.split(';').map(str::trim).find_map(|one| one.strip_prefix(name)).map(str::trim);
    assert_eq!((of("connect-src"), of("form-action")), (Some("'self'"), Some("'none'")), "{policy}");
}
