//! The actor of one WebSocket: `GET /ws`, subprotocol `eddyline.v1`.
//!
//! Invariant: only this file names `actix_web_actors`. A session decides nothing about feeds: it checks messages of the
//! client, passes them on, and writes the frames that it receives. It answers or passes on every message, in the order
//! of arrival. Its mailbox and its pending posts are bounded. Deliberately absent: dropping silent peers (`watcher`),
//! since a session is frozen while its peer does not read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, web};
use actix_web_actors::ws::{self, CloseCode, Message, ProtocolError, WebsocketContext};
use secrecy::{ExposeSecret, SecretString};

use crate::actors::errors::RequestError;
use crate::actors::server::{ItemDraft, Server, UserEvent};
use crate::actors::session::{Frame, SessionId, SessionSettings, ToSession};
use crate::domain::ids::{Key, Seq, UserId};
use crate::domain::journal::Undo;
use crate::protocol::client::{self, BadMessage, ClientMessage};
use crate::protocol::close::CloseReason;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::{Accepted, Busy, Bye, ErrorMessage, Pong, ServerMessage};
use crate::protocol::{AFTER_MAX, LIMIT_DEFAULT, LIMIT_MAX, SUBPROTOCOL};

use super::checks::{self, InteractionDraft};
use super::errors::{HttpResult, Problem, refusal_of};
use super::frames::{FrameError, Frames, IncomingFrame};
use super::grant::{Grant, Subject};
use super::state::GatewayState;
use super::watcher::{ConnectionHandle, Liveness, SocketPermit};
use super::{auth, busy};
use super::{event_ids, rates};

// Messages that wait for the socket. The user's actor holds feeds back until the last one is acknowledged, so this
// suffices.
const MAILBOX: usize = 32;
// Posts of one session that may be pending in the store.
const POSTS_MAX: usize = 8;
/// Largest number of items in a `drawn`.
pub(crate) const VISIBLE_MAX: usize = 100;
// Time for the peer to answer the close frame before the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);
// The longest timer for the expiry of a token; tokens rarely live longer.
const GRANT_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Opens a session for a WebSocket handshake.
///
/// # Errors
/// `busy` when all permits are taken, `rate_limited` when one address has too many, `bad_frame` without a WebSocket
/// handshake.
pub async fn open(state: web::Data<GatewayState>, request: HttpRequest, payload: web::Payload) -> HttpResult {
    let mut response = ws::handshake_with_protocols(&request, &[SUBPROTOCOL]).map_err(|error| {
        let message = format!("this is a WebSocket, subprotocol {SUBPROTOCOL}: {error}");
        Problem::from(Refusal::new(Code::BadFrame, message))
    })?;
    let address = rates::address_of(&request);
    let permit = state.registry.admit(address)?;
    let connection = request.conn_data::<Arc<ConnectionHandle>>().cloned();
    let token = offered_token(request.headers());
    let session = Session::new(state, permit, connection, token, address);
    // `Frames` reads the socket; the stream of the crate receives nothing.
    let nothing = futures_util::stream::pending::<Result<web::Bytes, actix_web::error::PayloadError>>();
    let written = WebsocketContext::with_factory(nothing, move |context| {
        context.set_mailbox_capacity(MAILBOX);
        context.add_stream(Frames::new(payload));
        session
    });
    Ok(response.streaming(written))
}

/// The token in the second entry of the subprotocol list, or in `Authorization: Bearer` from programs.
fn offered_token(headers: &HeaderMap) -> Option<SecretString> {
    let entries = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    let mut entries = entries.flat_map(|value| value.split(',')).map(str::trim);
    let token = if entries.next() == Some(SUBPROTOCOL) { entries.next() } else { None };
    token.filter(|token| !token.is_empty()).or_else(|| auth::bearer(headers)).map(SecretString::from)
}

/// The actor of one socket.
struct Session {
    state: web::Data<GatewayState>,
    id: SessionId,
    permit: SocketPermit,
    connection: Option<Arc<ConnectionHandle>>,
    liveness: Arc<Liveness>,
    offered_token: Option<SecretString>,
    address: Option<IpAddr>,
    attachment: Option<Attachment>,
    pending_posts: usize,
    is_closing: bool,
}

/// The registration of a session with the actor of its user. Dropping the registration detaches the session, however
/// the session ends.
struct Attachment {
    server: Server,
    session: SessionId,
    user: UserId,
    settings: SessionSettings,
    /// True if a service acts for the user.
    is_service: bool,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.server.detach(self.user, self.session);
    }
}

impl Actor for Session {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.permit.watch(Arc::clone(&self.liveness), self.connection.clone(), context.address().recipient());
        context.run_interval(self.state.settings.heartbeat, |session, context| {
            if !session.is_closing {
                context.ping(b"");
            }
        });
        context.run_later(self.state.settings.hello_within, |session, context| {
            if session.attachment.is_none() {
                session.close(context, CloseReason::Silent);
            }
        });
    }
}

impl StreamHandler<IncomingFrame> for Session {
    fn handle(&mut self, incoming: IncomingFrame, context: &mut Self::Context) {
        if self.is_closing {
            if let IncomingFrame::Close(_) = incoming {
                context.stop();
            }
            return;
        }
        self.liveness.record_frame();
        match incoming {
            IncomingFrame::Text(text) => self.receive(&text, context),
            IncomingFrame::Binary => {
                let message = "binary frames are not read: send one JSON object per text frame";
                send_refusal(context, Refusal::new(Code::BadFrame, message), None);
            }
            IncomingFrame::Ping(bytes) => context.pong(&bytes),
            IncomingFrame::Pong | IncomingFrame::Part => {}
            IncomingFrame::Close(code) => {
                self.is_closing = true;
                context.close(code.map(|code| ws::CloseReason::from(CloseCode::from(code))));
                context.stop();
            }
            IncomingFrame::Invalid(error) => {
                let reason = match error {
                    FrameError::TooLong => CloseReason::TooLarge,
                    FrameError::NotUtf8 => CloseReason::NotUtf8,
                    FrameError::Protocol => CloseReason::BadFrame,
                };
                self.close(context, reason);
            }
        }
    }
}

// The context requires this handler; its own stream stays `pending` forever.
impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, _: Result<Message, ProtocolError>, _: &mut Self::Context) {}
}

impl Handler<ToSession> for Session {
    type Result = ();

    fn handle(&mut self, message: ToSession, context: &mut Self::Context) {
        if self.is_closing {
            return;
        }
        match message {
            ToSession::Frames(frames) => {
                for frame in frames {
                    self.deliver(frame.take(), context);
                }
            }
            ToSession::Close(reason) => self.close(context, reason),
        }
    }
}

impl Session {
    fn new(
        state: web::Data<GatewayState>,
        permit: SocketPermit,
        connection: Option<Arc<ConnectionHandle>>,
        offered_token: Option<SecretString>,
        address: Option<IpAddr>,
    ) -> Session {
        let id = state.server.next_session();
        let liveness = Arc::default();
        Session {
            state,
            id,
            permit,
            connection,
            liveness,
            offered_token,
            address,
            attachment: None,
            pending_posts: 0,
            is_closing: false,
        }
    }

    fn deliver(&self, frame: Frame, context: &mut WebsocketContext<Self>) {
        match frame {
            Frame::Feed(text) | Frame::Patch(text) => {
                self.liveness.record_feed();
                context.text(text);
            }
            Frame::Encoded(text) => context.text(text),
            Frame::Accepted(accepted) => send(context, &ServerMessage::Accepted(accepted)),
            Frame::Refused { id, error } => {
                send_refusal(context, busy::refusal(error), id.map(|id| id.as_str().to_owned()));
            }
        }
    }

    /// Handles one text frame, or answers with a refusal.
    fn receive(&mut self, text: &str, context: &mut WebsocketContext<Self>) {
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(bad) => {
                let id = bad.id.clone();
                if let Err(refusal) = self.spend() {
                    return send_refusal(context, refusal, id);
                }
                return send_refusal(context, refusal_of(BadMessage { id: None, ..bad }), id);
            }
        };
        let id = id_of(&message).cloned();
        if let Err(refusal) = self.spend().and_then(|()| self.dispatch(message, context)) {
            send_refusal(context, refusal, id.map(|id| id.as_str().to_owned()));
        }
    }

    /// Takes one message out of the budget of the user, or of the address before `hello`.
    fn spend(&self) -> Result<(), Refusal> {
        match &self.attachment {
            Some(attachment) => self.state.rates.message(attachment.user),
            None => self.state.rates.unidentified(self.address),
        }
    }

    fn dispatch(&mut self, message: ClientMessage, context: &mut WebsocketContext<Self>) -> Result<(), Refusal> {
        match message {
            ClientMessage::Hello(hello) => self.hello(hello, context),
            ClientMessage::Interact(interact) => self.interact(interact),
            ClientMessage::Undo(undo) => self.undo(undo),
            ClientMessage::Post(post) => self.post(post, context),
            ClientMessage::Live(live) => self.live(live, context),
            ClientMessage::Follow(follow) => self.graph(follow, |id, user, at| UserEvent::Followed { id, user, at }),
            ClientMessage::Unfollow(follow) => {
                self.graph(follow, |id, user, at| UserEvent::Unfollowed { id, user, at })
            }
            ClientMessage::Drawn(drawn) => self.drawn(&drawn),
            ClientMessage::Configure(configure) => self.configure(configure),
            ClientMessage::More(more) => self.more(&more),
            ClientMessage::Ping(ping) => {
                self.attachment()?;
                send(context, &ServerMessage::Pong(Pong { t: ping.t, server_time: self.state.server.clock().now() }));
                Ok(())
            }
        }
    }

    fn hello(&mut self, hello: client::Hello, context: &mut WebsocketContext<Self>) -> Result<(), Refusal> {
        if self.attachment.is_some() {
            return Err(Refusal::new(
                Code::HelloFirst,
                "hello was said already: open another socket for another person",
            ));
        }
        let server = self.state.server.clone();
        let settings = SessionSettings {
            ranking: hello.ranking.unwrap_or_default(),
            limit: checks::limit(hello.limit, LIMIT_DEFAULT, LIMIT_MAX)?,
            explain: hello.explain.unwrap_or(false),
            timing: hello.timing.unwrap_or(false),
        };
        let offered = self.offered_token.as_ref().map(ExposeSecret::expose_secret);
        let grant = self.state.admit(hello.token.as_deref().or(offered))?;
        grant.subject.may_act_as(&hello.user)?;
        let user = checks::person(server.people(), &hello.user, "user")?;
        self.permit.assign_user(user)?;
        server.attach(user, self.id, context.address().recipient(), settings, hello.resume).map_err(busy::refusal)?;
        let is_service = grant.subject == Subject::Anyone;
        self.attachment = Some(Attachment { server, session: self.id, user, settings, is_service });
        self.close_at_expiry(&grant, context);
        self.offered_token = None;
        grant.token.into_iter().for_each(|token| self.liveness.set_token(token));
        Ok(())
    }

    /// Closes the session when the token that opened it expires.
    fn close_at_expiry(&self, grant: &Grant, context: &mut WebsocketContext<Self>) {
        let Some(expires) = grant.expires else { return };
        let left_ms = expires.since(self.state.server.clock().now()).unsigned_abs();
        context.run_later(Duration::from_millis(left_ms).min(GRANT_MAX), |session, context| {
            session.close(context, CloseReason::Expired);
        });
    }

    fn attachment(&self) -> Result<&Attachment, Refusal> {
        self.attachment.as_ref().ok_or_else(|| Refusal::new(Code::HelloFirst, "say hello first, with your user"))
    }

    fn interact(&self, interact: client::Interact) -> Result<(), Refusal> {
        let Attachment { server, session, user, .. } = self.attachment()?;
        let client::Interact { id, item, kind, dwell_ms, at, .. } = interact;
        let event = checks::interaction(server, InteractionDraft { id, item, kind, dwell_ms, at })?;
        server.act_in_session(*user, *session, event).map_err(busy::refusal)
    }

    fn undo(&self, undo: client::Undo) -> Result<(), Refusal> {
        let Attachment { server, session, user, .. } = self.attachment()?;
        let (of, cancels) = (Undo::Event(undo.event), Vec::new());
        let event = UserEvent::Undone { id: undo.id, of, cancels, at: server.clock().now() };
        server.act_in_session(*user, *session, event).map_err(busy::refusal)
    }

    fn graph(
        &self,
        follow: client::Follow,
        event: fn(Key, UserId, crate::domain::time::Millis) -> UserEvent,
    ) -> Result<(), Refusal> {
        let Attachment { server, session, user, .. } = self.attachment()?;
        let whom = checks::followee(server.people(), *user, &follow.user, "user")?;
        server.act_in_session(*user, *session, event(follow.id, whom, server.clock().now())).map_err(busy::refusal)
    }

    fn drawn(&self, drawn: &client::Drawn) -> Result<(), Refusal> {
        let Attachment { server, session, user, .. } = self.attachment()?;
        let visible = drawn.visible.as_deref().unwrap_or_default();
        if visible.len() > VISIBLE_MAX {
            let message = format!("must be at most {VISIBLE_MAX} items, are {}", visible.len());
            return Err(Refusal::field(Code::OutOfRange, "visible", message));
        }
        self.liveness.record_drawn();
        // A deleted item has no key; a client may still show it.
        let world = server.world();
        let visible = visible.iter().filter_map(|key| world.find_item(key.as_str())).collect();
        server.drawn(*user, *session, drawn.version, visible).map_err(busy::refusal)
    }

    fn configure(&mut self, configure: client::Configure) -> Result<(), Refusal> {
        let Attachment { server, session, user, settings, .. } = self.attachment()?;
        let wanted = SessionSettings {
            ranking: configure.ranking.unwrap_or(settings.ranking),
            limit: checks::limit(configure.limit, settings.limit, LIMIT_MAX)?,
            explain: configure.explain.unwrap_or(settings.explain),
            timing: configure.timing.unwrap_or(settings.timing),
        };
        let topics = configure.topics.as_ref();
        let weights = topics.map(|topics| checks::topic_weights(&server.world(), topics)).transpose()?;
        let only_topics = weights.is_some() && wanted == *settings;
        if let Some(weights) = weights {
            let id = configure.id.unwrap_or_else(event_ids::fresh);
            let event = UserEvent::TopicsSet { id, weights, at: server.clock().now() };
            server.act_in_session(*user, *session, event).map_err(busy::refusal)?;
        }
        if only_topics {
            return Ok(());
        }
        server.configure(*user, *session, wanted).map_err(busy::refusal)?;
        if let Some(attachment) = &mut self.attachment {
            attachment.settings = wanted;
        }
        Ok(())
    }

    fn more(&self, more: &client::More) -> Result<(), Refusal> {
        let Attachment { server, session, user, .. } = self.attachment()?;
        let after = checks::at_most("after", more.after, AFTER_MAX)?;
        server.more(*user, *session, after).map_err(busy::refusal)
    }

    fn post(&mut self, post: client::Post, context: &mut WebsocketContext<Self>) -> Result<(), Refusal> {
        let Attachment { server, user, .. } = self.attachment()?;
        if self.pending_posts >= POSTS_MAX {
            return Err(Refusal::busy(500));
        }
        self.state.rates.post(*user)?;
        let client::Post { id, text, topic, embedding, windows, .. } = post;
        let draft = ItemDraft {
            author: Some(*user),
            topics: topic.map(|topic| vec![topic]),
            text: Some(checks::text(text)?),
            embedding: embedding.map(|numbers| checks::embedding(numbers, server.dim())).transpose()?,
            windows: windows.map(checks::windows).transpose()?,
            ..ItemDraft::default()
        };
        let (server, author, event) = (server.clone(), *user, id.clone());
        let stored = Box::pin(async move { server.post(author, event, draft).await }).into_actor(self);
        self.pending_posts += 1;
        context.spawn(stored.map(move |outcome, session, context| session.posted(id, outcome, context)));
        Ok(())
    }

    fn live(&mut self, live: client::GoLive, context: &mut WebsocketContext<Self>) -> Result<(), Refusal> {
        let Attachment { server, user, is_service, .. } = self.attachment()?;
        if self.pending_posts >= POSTS_MAX {
            return Err(Refusal::busy(500));
        }
        self.state.rates.post(*user)?;
        let client::GoLive { id, item, on, .. } = live;
        let item = checks::own_item(&server.world(), &item, (!is_service).then_some(*user), "item")?;
        let (server, user, event) = (server.clone(), *user, id.clone());
        let done = Box::pin(async move { server.go_live(user, event, item, on).await }).into_actor(self);
        self.pending_posts += 1;
        context.spawn(done.map(move |outcome, session, context| session.posted(id, outcome, context)));
        Ok(())
    }

    fn posted(&mut self, id: Key, outcome: Result<(Seq, Key), RequestError>, context: &mut WebsocketContext<Self>) {
        self.pending_posts -= 1;
        if self.is_closing {
            return;
        }
        match outcome {
            Ok((seq, item)) => send(context, &ServerMessage::Accepted(Accepted { id, seq, item: Some(item) })),
            Err(error) => send_refusal(context, busy::refusal(error), Some(id.as_str().to_owned())),
        }
    }

    /// Sends `bye`, then closes. The connection ends after the peer's answer, or after [`FAREWELL`].
    fn close(&mut self, context: &mut WebsocketContext<Self>, reason: CloseReason) {
        if self.is_closing {
            return;
        }
        self.is_closing = true;
        self.attachment = None;
        send(context, &ServerMessage::Bye(Bye { reason: reason.name().to_owned() }));
        let (code, description) = (CloseCode::from(reason.code()), Some(reason.name().to_owned()));
        context.close(Some(ws::CloseReason { code, description }));
        context.run_later(FAREWELL, |_, context| context.stop());
    }
}

fn id_of(message: &ClientMessage) -> Option<&Key> {
    match message {
        ClientMessage::Interact(interact) => Some(&interact.id),
        ClientMessage::Undo(undo) => Some(&undo.id),
        ClientMessage::Post(post) => Some(&post.id),
        ClientMessage::Live(live) => Some(&live.id),
        ClientMessage::Follow(follow) | ClientMessage::Unfollow(follow) => Some(&follow.id),
        ClientMessage::Configure(configure) => configure.id.as_ref(),
        ClientMessage::Hello(_) | ClientMessage::Drawn(_) | ClientMessage::More(_) | ClientMessage::Ping(_) => None,
    }
}

fn send(context: &mut WebsocketContext<Session>, message: &ServerMessage) {
    // These enums always encode.
    if let Ok(text) = serde_json::to_string(message) {
        context.text(text);
    }
}

fn send_refusal(context: &mut WebsocketContext<Session>, refusal: Refusal, id: Option<String>) {
    send(context, &refusal_message(refusal, id));
}

fn refusal_message(refusal: Refusal, id: Option<String>) -> ServerMessage {
    if matches!(refusal.code, Code::Busy | Code::RateLimited) {
        let id = id.and_then(|id| Key::new(&id).ok());
        return ServerMessage::Busy(Busy { id, retry_after_ms: refusal.retry_after_ms.unwrap_or(1_000) });
    }
    let Refusal { code, field, message, .. } = refusal.bounded();
    ServerMessage::Error(ErrorMessage { code, message, field, id })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_token_may_come_beside_the_subprotocol() {
        for (name, header, value, expected) in [
            ("second entry", "sec-websocket-protocol", "eddyline.v1, a.b.c", Some("a.b.c")),
            ("none offered", "sec-websocket-protocol", "eddyline.v1", None),
            ("another protocol", "sec-websocket-protocol", "chat, a.b.c", None),
            ("header of a program", "authorization", "Bearer a.b.c", Some("a.b.c")),
        ] {
            let request = TestRequest::default().insert_header((header, value)).to_http_request();
            let offered = offered_token(request.headers());
            assert_eq!(offered.as_ref().map(ExposeSecret::expose_secret), expected, "{name}");
        }
    }

    #[test]
    fn a_refusal_becomes_busy_or_an_error() {
        let busy = refusal_message(Refusal::busy(250), Some("e1".into()));
        assert_eq!(busy, ServerMessage::Busy(Busy { id: Key::new("e1").ok(), retry_after_ms: 250 }));
        let error = refusal_message(Refusal::field(Code::OutOfRange, "limit", "no"), None);
        let expected =
            ErrorMessage { code: Code::OutOfRange, message: "no".into(), field: Some("limit".into()), id: None };
        assert_eq!(error, ServerMessage::Error(expected));
    }
}
