//! A small server for tests of the load generator; it keeps the promises of the protocol, or breaks one.
//!
//! Invariant: each [`Manner`] breaks at most one promise, so that a test can name the check that must fail.

use std::collections::BTreeSet;

use eddyline::domain::feeds::{Cause, Ranking};
use eddyline::domain::ids::{Epoch, FeedVersion, Key, Seq};
use eddyline::domain::interactions::Act;
use eddyline::domain::time::Millis;
use eddyline::protocol::client::ClientMessage;
use eddyline::protocol::server::{Accepted, Busy, FeedMessage, Op, Patch, ServerMessage, Welcome, WireItem};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// The promise that the server breaks, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Every fifth interaction is refused once.
    BusyNowAndThen,
    /// The third interaction of a person is never accepted.
    ForgetsOne,
    AcceptsTwice,
    NeverPatches,
    /// The item of the last interaction stays on top, hidden or not.
    KeepsHidden,
}

/// A listening server; ends with its runtime.
pub struct Fake {
    port: u16,
}

impl Fake {
    /// Binds a port of loopback and serves until the runtime ends.
    pub async fn start(manner: Manner) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner));
            }
        });
        Fake { port }
    }

    /// The WebSocket URL, in the form of `--url`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

async fn serve(mut stream: TcpStream, manner: Manner) {
    stream.set_nodelay(true).unwrap();
    let mut head = [0; 3];
    stream.peek(&mut head).await.unwrap();
    if &head == b"GET" {
        return session(stream, manner).await;
    }
    // Requests are `PUT /v1/users/{id}` of some two hundred bytes, with the body `{}` at the end.
    let mut request = Vec::new();
    let mut part = [0; 4_096];
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        request.extend_from_slice(&part[..count]);
        if request.ends_with(b"{}") {
            request.clear();
            stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        }
    }
}

fn item(number: u32, position: u32) -> WireItem {
    WireItem {
        item: Key::new(&format!("item-{number}")).unwrap(),
        author: None,
        topic: None,
        text: "something to read".into(),
        at: Millis(1),
        available_until: None,
        expected_until: None,
        live: false,
        score: 0.0,
        likely: None,
        position,
        why: Vec::new(),
    }
}

#[allow(clippy::result_large_err, reason = "tungstenite requires this type of error")]
async fn session(stream: TcpStream, manner: Manner) {
    let protocol = |request: &Request, mut response: Response| {
        let asked = request.headers().get("Sec-WebSocket-Protocol").unwrap().clone();
        response.headers_mut().insert("Sec-WebSocket-Protocol", asked);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, protocol).await.unwrap();
    let (mut version, mut seq, mut heard) = (1, 0, 0);
    let mut refused = BTreeSet::new();
    while let Some(Ok(frame)) = socket.next().await {
        let Message::Text(text) = frame else { continue };
        let mut answers = Vec::new();
        match ClientMessage::parse(&text).unwrap() {
            ClientMessage::Hello(hello) => {
                answers.push(ServerMessage::Welcome(Welcome {
                    session: "s".into(),
                    user: hello.user,
                    epoch: Epoch(1),
                    version: FeedVersion(version),
                    server_time: Millis(1),
                    decay: None,
                }));
                answers.push(ServerMessage::Feed(FeedMessage {
                    model_version: None,
                    version: FeedVersion(version),
                    epoch: Epoch(1),
                    ranking: Ranking::Model,
                    cause: Some(Cause::Opened),
                    timing: None,
                    items: (0..30).map(|number| item(number, number)).collect(),
                }));
            }
            ClientMessage::Interact(interact) => {
                heard += 1;
                if manner == Manner::BusyNowAndThen && heard % 5 == 0 && refused.insert(interact.id.clone()) {
                    answers.push(ServerMessage::Busy(Busy { id: Some(interact.id), retry_after_ms: 20 }));
                } else {
                    seq += 1;
                    let accepted = Accepted { id: interact.id.clone(), seq: Seq(seq), item: None };
                    let times = match manner {
                        Manner::ForgetsOne if seq == 3 => 0,
                        Manner::AcceptsTwice => 2,
                        _ => 1,
                    };
                    answers.extend(vec![ServerMessage::Accepted(accepted); times]);
                    let ops =
                        if matches!(interact.kind, Act::Do(kind) if kind.removes()) && manner != Manner::KeepsHidden {
                            vec![Op::Remove { item: interact.item }]
                        } else {
                            vec![Op::Move { item: interact.item, position: 0 }]
                        };
                    if manner != Manner::NeverPatches {
                        answers.push(ServerMessage::Patch(Patch {
                            model_version: None,
                            version: FeedVersion(version + 1),
                            base: FeedVersion(version),
                            epoch: Epoch(1),
                            cause: Some(Cause::Event { id: interact.id }),
                            timing: None,
                            ops,
                        }));
                        version += 1;
                    }
                }
            }
            _ => {}
        }
        for answer in answers {
            socket.send(Message::text(serde_json::to_string(&answer).unwrap())).await.unwrap();
        }
    }
}
