//! A client on a real socket, for one session of one user.
//!
//! Invariant: it behaves like a good client by default (applies every `feed` and `patch`, sends `drawn`, answers
//! pings), and checks the server's protocol meanwhile: an invalid list ends the test. All received messages are kept in
//! order in `heard`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use eddyline::domain::ids::{Epoch, FeedVersion, Key};
use eddyline::domain::interactions::Act;
use eddyline::protocol::SUBPROTOCOL;
use eddyline::protocol::client::{ClientMessage, Drawn, Follow, Hello, Interact, Post, Resume};
use eddyline::protocol::server::{ErrorMessage, Live, ServerMessage};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::PATIENCE;
use super::list::FeedList;

/// A key from a valid text.
pub fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

/// The socket, before and below the protocol.
pub type Raw = WebSocketStream<TcpStream>;

/// Opens a socket and sends nothing.
pub async fn open(address: SocketAddr) -> Raw {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).unwrap();
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("the upgrade");
    let chosen = response.headers().get("Sec-WebSocket-Protocol").and_then(|value| value.to_str().ok());
    assert_eq!(chosen, Some(SUBPROTOCOL), "the server chooses our subprotocol");
    socket
}

/// A plain `hello`.
pub fn hello(user: &str) -> Hello {
    Hello {
        tag: Default::default(),
        token: None,
        user: key(user),
        ranking: None,
        limit: None,
        resume: None,
        explain: None,
        timing: None,
    }
}

/// One session of one user.
pub struct Client {
    socket: Raw,
    user: String,
    list: FeedList,
    epoch: Epoch,
    accepted: BTreeMap<String, u64>,
    errors: Vec<ErrorMessage>,
    lives: Vec<Live>,
    /// Sent interactions by id, for resending them when the server is busy.
    interactions: BTreeMap<String, ClientMessage>,
    /// Whether the client answers every feed by `drawn`; true by default.
    pub draws: bool,
    /// All received messages, in order.
    pub heard: Vec<ServerMessage>,
}

impl Client {
    /// Opens a session and waits for the first feed.
    pub async fn hello(address: SocketAddr, user: &str) -> Client {
        Client::hello_with(address, hello(user)).await
    }

    /// Opens a session with settings, and waits for the first feed.
    pub async fn hello_with(address: SocketAddr, hello: Hello) -> Client {
        Client::start(address, hello, FeedList::default(), true).await
    }

    /// Opens a session that resumes the list of an earlier one.
    pub async fn resume(address: SocketAddr, before: Left) -> Client {
        let Left { user, list, epoch } = before;
        let resume = list.version().map(|version| Resume { epoch, version });
        Client::start(address, Hello { resume, ..hello(&user) }, list, true).await
    }

    /// Opens a session that never sends `drawn`.
    pub async fn slow(address: SocketAddr, user: &str) -> Client {
        Client::start(address, hello(user), FeedList::default(), false).await
    }

    async fn start(address: SocketAddr, hello: Hello, list: FeedList, draws: bool) -> Client {
        let mut client = Client {
            socket: open(address).await,
            user: hello.user.to_string(),
            list,
            epoch: Epoch(0),
            accepted: BTreeMap::new(),
            errors: Vec::new(),
            lives: Vec::new(),
            interactions: BTreeMap::new(),
            draws,
            heard: Vec::new(),
        };
        client.send(&ClientMessage::Hello(hello)).await;
        client.wait("the first feed", |client| client.feeds() > 0).await;
        assert!(matches!(client.heard[0], ServerMessage::Welcome(_)), "welcome comes first: {:?}", client.heard);
        client
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Keys of the shown items, best first.
    pub fn shown(&self) -> Vec<String> {
        self.list.items().iter().map(|item| item.item.to_string()).collect()
    }

    pub fn list(&self) -> &FeedList {
        &self.list
    }

    pub fn shows(&self, item: &str) -> bool {
        self.list.items().iter().any(|there| there.item.as_str() == item)
    }

    pub fn version(&self) -> FeedVersion {
        self.list.version().unwrap_or_default()
    }

    /// Accepted events and their numbers.
    pub fn accepted(&self) -> &BTreeMap<String, u64> {
        &self.accepted
    }

    pub fn errors(&self) -> &[ErrorMessage] {
        &self.errors
    }

    pub fn lives(&self) -> &[Live] {
        &self.lives
    }

    /// Number of feeds and patches received so far.
    pub fn feeds(&self) -> usize {
        let is_feed = |message: &&ServerMessage| matches!(message, ServerMessage::Feed(_) | ServerMessage::Patch(_));
        self.heard.iter().filter(is_feed).count()
    }

    pub async fn send(&mut self, message: &ClientMessage) {
        self.send_text(&serde_json::to_string(message).unwrap()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        assert!(self.send_frame(Message::text(text)).await, "{}: the line is closed", self.user);
    }

    /// Sends a raw frame; returns whether the connection took it.
    pub async fn send_frame(&mut self, frame: Message) -> bool {
        self.socket.send(frame).await.is_ok()
    }

    /// Acts on an item under a new id, and returns the id.
    pub async fn interact(&mut self, item: &str, kind: impl Into<Act>) -> String {
        // Unique over all sessions of a user.
        let id = format!("{}-{}-{}", self.user, self.local_port(), self.interactions.len());
        self.interact_as(&id, item, kind).await;
        id
    }

    /// Acts on an item under a given id.
    pub async fn interact_as(&mut self, id: &str, item: &str, kind: impl Into<Act>) {
        assert!(self.try_interact_as(id, item, kind).await, "{}: the line is closed", self.user);
    }

    /// Acts on an item on a connection that may be closed; returns whether it took the message.
    pub async fn try_interact_as(&mut self, id: &str, item: &str, kind: impl Into<Act>) -> bool {
        let (tag, item) = (Default::default(), key(item));
        let interact = Interact { tag, id: key(id), item, kind: kind.into(), dwell_ms: None, at: None };
        let message = ClientMessage::Interact(interact);
        let text = serde_json::to_string(&message).unwrap();
        self.interactions.insert(id.to_owned(), message);
        self.send_frame(Message::text(text)).await
    }

    pub async fn follow(&mut self, id: &str, user: &str) {
        let follow = Follow { tag: Default::default(), id: key(id), user: key(user) };
        self.send(&ClientMessage::Follow(follow)).await;
    }

    pub async fn post(&mut self, id: &str, text: &str, topic: Option<&str>) {
        let (id, text, topic) = (key(id), text.to_owned(), topic.map(key));
        let post = Post { tag: Default::default(), id, text, topic, embedding: None, windows: None };
        self.send(&ClientMessage::Post(post)).await;
    }

    /// The next message, after it was applied and answered; `None` after the timeout or on a closed connection.
    pub async fn next_message(&mut self, timeout: Duration) -> Option<ServerMessage> {
        let deadline = Instant::now() + timeout;
        loop {
            let frame = tokio::time::timeout_at(deadline, self.socket.next()).await.ok()??;
            match frame.ok()? {
                Message::Text(text) => {
                    let message: ServerMessage = serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("not a message of the protocol: {error}: {text}"));
                    self.take(&message).await;
                    self.heard.push(message.clone());
                    return Some(message);
                }
                Message::Close(_) => return None,
                Message::Binary(_) => panic!("the server sent a binary frame"),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn take(&mut self, message: &ServerMessage) {
        let faults = match message.clone() {
            ServerMessage::Feed(feed) => {
                self.epoch = feed.epoch;
                if self.feeds() == 0 {
                    // A new session, whose versions need not be above those of the one before it.
                    self.list = FeedList::default();
                }
                self.list.replace(feed)
            }
            ServerMessage::Patch(patch) => {
                self.epoch = patch.epoch;
                self.list.apply(patch)
            }
            ServerMessage::Accepted(accepted) => {
                let before = self.accepted.insert(accepted.id.to_string(), accepted.seq.0);
                assert!(before.is_none_or(|seq| seq == accepted.seq.0), "{accepted:?} was {before:?} before");
                return;
            }
            ServerMessage::Error(error) => return self.errors.push(error),
            ServerMessage::Live(live) => return self.lives.push(live),
            ServerMessage::Busy(busy) => {
                let message = busy.id.and_then(|id| self.interactions.get(id.as_str()).cloned());
                if let Some(message) = message {
                    tokio::time::sleep(Duration::from_millis(u64::from(busy.retry_after_ms))).await;
                    // A connection that is closed by now is detected by the next wait.
                    let _ = self.send_frame(Message::text(serde_json::to_string(&message).unwrap())).await;
                }
                return;
            }
            _ => return,
        };
        assert_eq!(faults, [], "{}: in {message:?}", self.user);
        if self.draws {
            self.drawn().await;
        }
    }

    /// Sends `drawn` for the current list with its first `count` items as visible ones.
    pub async fn sees(&mut self, count: usize) {
        let visible = Some(self.shown().iter().take(count).map(|item| key(item)).collect());
        let drawn = Drawn { tag: Default::default(), version: self.version(), visible };
        let text = serde_json::to_string(&ClientMessage::Drawn(drawn)).unwrap();
        self.socket.send(Message::text(text)).await.expect("the socket is open");
    }

    /// Sends `drawn` for the current list.
    pub async fn drawn(&mut self) {
        let drawn = Drawn { tag: Default::default(), version: self.version(), visible: None };
        let text = serde_json::to_string(&ClientMessage::Drawn(drawn)).unwrap();
        // The server may just have closed the connection; the next wait detects that.
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Receives messages until a condition is true.
    #[track_caller]
    pub fn wait<'a>(
        &'a mut self,
        what: &'a str,
        is_true: impl Fn(&Client) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + PATIENCE;
            while !is_true(self) {
                let left = deadline.saturating_duration_since(Instant::now());
                if self.next_message(left).await.is_none() {
                    let newest: Vec<_> = self.heard.iter().rev().take(5).collect();
                    panic!("{caller}: {} waited for {what} in vain; newest messages first: {newest:#?}", self.user);
                }
            }
        }
    }

    /// Receives messages until this event is accepted, and returns its number.
    pub async fn wait_accepted(&mut self, id: &str) -> u64 {
        let what = format!("{id} to be accepted");
        self.wait(&what, |client| client.accepted.contains_key(id)).await;
        self.accepted[id]
    }

    /// Receives messages for a while, whatever comes.
    pub async fn listen(&mut self, for_: Duration) {
        let deadline = Instant::now() + for_;
        while self.next_message(deadline.saturating_duration_since(Instant::now())).await.is_some() {}
    }

    /// Receives until the connection ends, and returns how it ended.
    pub async fn end_of_line(&mut self) -> End {
        end_of_line(&mut self.socket, PATIENCE).await
    }

    /// Drops the connection without a close frame, like a lost network. The caller keeps the list.
    pub fn drop_line(self) -> Left {
        Left { user: self.user, list: self.list, epoch: self.epoch }
    }

    /// Drops the connection like [`Client::drop_line`], and returns the accepted events.
    pub fn into_accepted(self) -> BTreeMap<String, u64> {
        self.accepted
    }

    fn local_port(&self) -> u16 {
        self.socket.get_ref().local_addr().map_or(0, |address| address.port())
    }
}

/// List of a user whose connection was dropped.
pub struct Left {
    pub user: String,
    pub list: FeedList,
    pub epoch: Epoch,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame and this code.
    Code(u16),
    /// Without a close frame, or without a code.
    Silent,
    /// Not at all, within the given time.
    Open,
}

/// Receives until the connection ends, at most for this long.
pub async fn end_of_line(socket: &mut Raw, within: Duration) -> End {
    let listen = async {
        while let Some(frame) = socket.next().await {
            match frame {
                Ok(Message::Close(frame)) => return frame.map_or(End::Silent, |frame| End::Code(frame.code.into())),
                Ok(_) => {}
                Err(_) => return End::Silent,
            }
        }
        End::Silent
    };
    tokio::time::timeout(within, listen).await.unwrap_or(End::Open)
}
