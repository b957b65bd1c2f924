//! One actor per active person: accepts their events, holds their state, and serves their open sessions.
//!
//! Invariant: the journal gets exactly the events that the state learned, in the order in which it learned them. Feeds are
//! ranked once per burst of messages.
//! Deliberately absent: decisions about feeds (`engine::delivery`), learning (`engine::user`), sockets (the gateway).
//!
//! | file | subject |
//! |---|---|
//! | `lookup` | how an event is learned once, and how a resend is recognised |
//! | `acceptance` | answers to events, the journal's verdicts, rebuilding the state |
//! | `deliver` | carrying out deliveries: sessions, frames, outboxes |
//! | `refresh` | turns for refreshes of open feeds |
//! | `lifecycle`, `load` | tick, snapshots, passivation, erasure; activation |
//! | `model`, `audience` | answers about the learned model and about one item |

pub mod messages;
mod acceptance;
mod audience;
mod deliver;
mod lifecycle;
mod load;
mod lookup;
mod model;
pub(super) mod refresh;
mod subscription;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use crate::domain::feeds::Cause;
use crate::domain::ids::{Key, Seq, UserId};
use crate::engine::delivery::events::FeedEvent;
use crate::engine::delivery::feeds::Feeds;
use crate::engine::user::UserState;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::Timing;

use super::context::ServerContext;
use super::directory::Flags;
use super::journal::messages::Generation;
use super::server::Prediction;
use super::session::{CountedFrame, SessionId};
use acceptance::Waiting;
use lookup::Asked;
use messages::{Envelope, Leave, Stored, ToUser, WorldChanged};
use refresh::Turns;
use subscription::{Subscription, view_of};

/// The interval of the actor's housekeeping.
const TICK: Duration = Duration::from_secs(1);

/// The actor of one person; see the table above for its parts.
pub struct UserActor {
    user: UserId,
    key: Key,
    context: Arc<ServerContext>,
    flags: Arc<Flags>,
    state: UserState,
    /// The incarnation of `state`. Verdicts about entries of an earlier one are ignored.
    generation: Generation,
    /// All entries up to this number are durable.
    durable: Seq,
    /// Why the journal could not be read. Until the next load all events are refused.
    broken: Option<String>,
    /// Learned events whose entries are not durable yet.
    waiting: BTreeMap<Seq, Waiting>,
    /// The numbers of `waiting` by event id.
    waiting_ids: BTreeMap<Key, Seq>,
    /// Events that are not learned yet, in the order of arrival.
    asked: VecDeque<Asked>,
    /// A query for event ids is under way.
    looking: bool,
    look_is_due: bool,
    /// The store did not answer. Until this instant events are learned without a lookup.
    look_again: Option<Instant>,
    /// Set by a rebuild: nothing is learned before the store has answered a lookup.
    insists: bool,
    feeds: Feeds<SessionId>,
    subscriptions: BTreeMap<SessionId, Subscription>,
    /// Frames that are sent once all waiting messages are handled.
    outbox: BTreeMap<SessionId, Vec<CountedFrame>>,
    flush_is_due: bool,
    /// The turns of this actor's thread.
    turns: Arc<Turns>,
    /// A turn is reserved and has not begun.
    waits_for_turn: bool,
    /// Durations of the last event, for sessions that asked for them.
    timing: Timing,
    model_is_stale: bool,
    model_sent: Instant,
    last_message: Instant,
    snapshot_seq: Seq,
    /// The directory asked the actor to leave once all entries are durable.
    must_leave: bool,
    leaving: bool,
}

impl UserActor {
    pub(super) fn new(user: UserId, context: Arc<ServerContext>, flags: Arc<Flags>, turns: Arc<Turns>) -> UserActor {
        let now = context.clock.now();
        let key = context.people.get(user).map(|person| person.key.clone());
        UserActor {
            user,
            // The directory activates known people only. An unknown id would be a bug, and a made-up key does no harm.
            key: key.unwrap_or_else(|| Key::of_number(user.0)),
            generation: context.journal.next_generation(),
            context,
            flags,
            state: UserState::new(user),
            durable: Seq(0),
            broken: None,
            waiting: BTreeMap::new(),
            waiting_ids: BTreeMap::new(),
            asked: VecDeque::new(),
            looking: false,
            look_is_due: false,
            look_again: None,
            insists: false,
            feeds: Feeds::new(user, now),
            subscriptions: BTreeMap::new(),
            outbox: BTreeMap::new(),
            flush_is_due: false,
            turns,
            waits_for_turn: false,
            timing: Timing::default(),
            model_is_stale: false,
            model_sent: Instant::now(),
            last_message: Instant::now(),
            snapshot_seq: Seq(0),
            must_leave: false,
            leaving: false,
        }
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

impl Actor for UserActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load(ctx, |_, _| {});
        ctx.run_interval(TICK, Self::tick);
    }
}

impl Handler<Envelope> for UserActor {
    type Result = ();
    fn handle(&mut self, mut envelope: Envelope, ctx: &mut Self::Context) {
        self.last_message = Instant::now();
        let Some(message) = envelope.take() else { return };
        match message {
            ToUser::Attach { session, to, settings, resume } => {
                self.must_leave = false;
                let resume = resume.map(|resume| resume.version);
                self.attach(session, Subscription::new(to, settings), resume, ctx);
            }
            ToUser::Detach(session) => self.drop_session(session, None, ctx),
            ToUser::Act { event, answer, came } => self.act(event, answer, came, ctx),
            ToUser::Drawn(session, version) => self.feeds_event(FeedEvent::Acknowledged(session, version), ctx),
            ToUser::Configure(session, _) | ToUser::More(session, _)
                if !self.feeds.may_rank(self.context.clock.now()) =>
            {
                self.send_busy(session, TICK.as_millis() as u32);
            }
            ToUser::Configure(session, settings) => self.configure(session, settings, ctx),
            ToUser::More(session, after) => self.page(session, after),
            ToUser::AskFeed(settings, done) => {
                // A request without an answer is refused as `busy`.
                if let Some(feed) = self.requested_feed(view_of(&settings), ctx) {
                    let _ = done.send(feed);
                }
            }
            ToUser::AskModel(done) => {
                let _ = done.send(Ok(self.person_model()));
            }
            ToUser::AskPrediction(item, done) => {
                let judged = self.state.predict(&self.context.world.load(), item).map(Prediction::of);
                let unknown = || Refusal::field(Code::UnknownItem, "item", "no such item");
                let _ = done.send(judged.ok_or_else(unknown));
            }
            ToUser::Described => {
                let before = self.state.attributes().cloned();
                self.describe();
                if self.state.attributes() != before.as_ref() && self.context.world.load().tower().is_some() {
                    self.feeds_event(FeedEvent::Due(Cause::Refreshed), ctx);
                }
            }
            ToUser::Erased => return self.erased(ctx),
        }
        self.flush_soon(ctx);
    }
}

impl Handler<Stored> for UserActor {
    type Result = ();
    fn handle(&mut self, stored: Stored, ctx: &mut Self::Context) {
        self.stored(stored, ctx);
        self.flush_soon(ctx);
        if self.must_leave {
            self.passivate_if_free(ctx);
        }
    }
}

impl Handler<Leave> for UserActor {
    type Result = ();
    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        self.must_leave = true;
        self.passivate_if_free(ctx);
    }
}

impl Handler<WorldChanged> for UserActor {
    type Result = ();
    fn handle(&mut self, changed: WorldChanged, ctx: &mut Self::Context) {
        self.feeds_event(FeedEvent::WorldChanged(&changed.0), ctx);
        self.refresh_soon(ctx);
        self.flush_soon(ctx);
    }
}
