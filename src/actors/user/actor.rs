//! The actor of one person: its fields, its activation, and its handlers of messages.
//!
//! Invariant: a handler delegates to one file of this folder and then sends the outbox.

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

use super::messages::{Leave, ToUser, WorldChanged};
use super::pending::{Asked, Waiting};
use super::registration::{Envelope, Registration};
use super::subscription::{Subscription, view_of};
use super::turns::Turns;
use crate::actors::answers::{Prediction, RocCurves};
use crate::actors::context::ServerContext;
use crate::actors::errors::{Busy, RequestError};
use crate::actors::journal::JournalHandle;
use crate::actors::journal::messages::{Generation, Stored};
use crate::actors::session::{CountedFrame, SessionId};

/// The interval of the actor's housekeeping.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// The actor of one person.
pub struct UserActor {
    pub(super) user: UserId,
    pub(super) key: Key,
    pub(super) context: Arc<ServerContext>,
    pub(super) journal: JournalHandle,
    pub(super) registration: Registration,
    pub(super) state: UserState,
    /// The incarnation of `state`. Verdicts about entries of an earlier one are ignored.
    pub(super) generation: Generation,
    /// All entries up to this number are durable.
    pub(super) durable: Seq,
    /// Why the journal could not be read. Until the next load all events are refused.
    pub(super) broken: Option<String>,
    /// Learned events whose entries are not durable yet.
    pub(super) waiting: BTreeMap<Seq, Waiting>,
    /// The numbers of `waiting` by event id.
    pub(super) waiting_ids: BTreeMap<Key, Seq>,
    /// Events that are not learned yet, in the order of arrival.
    pub(super) asked: VecDeque<Asked>,
    /// A query for event ids is under way.
    pub(super) looking: bool,
    pub(super) look_is_due: bool,
    /// The store did not answer. Until this instant events are learned without a lookup.
    pub(super) look_again: Option<Instant>,
    /// Set by a rebuild: nothing is learned before the store has answered a lookup.
    pub(super) insists: bool,
    /// A cancellation whose entries are still part of `state`: its number and its event id.
    pub(super) undoing: Option<(Seq, Key)>,
    pub(super) feeds: Feeds<SessionId>,
    pub(super) subscriptions: BTreeMap<SessionId, Subscription>,
    /// Frames that are sent once all waiting messages are handled.
    pub(super) outbox: BTreeMap<SessionId, Vec<CountedFrame>>,
    pub(super) flush_is_due: bool,
    /// The turns of this actor's thread.
    pub(super) turns: Arc<Turns>,
    /// A turn is reserved and has not begun.
    pub(super) waits_for_turn: bool,
    /// Durations of the last event, for sessions that asked for them.
    pub(super) timing: Timing,
    pub(super) model_is_stale: bool,
    pub(super) model_sent: Instant,
    pub(super) last_message: Instant,
    pub(super) snapshot_seq: Seq,
    /// The directory asked the actor to leave once all entries are durable.
    pub(super) must_leave: bool,
    pub(super) leaving: bool,
}

impl UserActor {
    /// The actor of a known person, before its state is loaded.
    pub(crate) fn new(
        user: UserId,
        context: Arc<ServerContext>,
        journal: JournalHandle,
        registration: Registration,
        turns: Arc<Turns>,
    ) -> UserActor {
        let now = context.clock.now();
        let key = context.people.get(user).map(|person| person.key.clone());
        UserActor {
            user,
            // The directory activates known people only. An unknown id would be a bug, and a made-up key does no harm.
            key: key.unwrap_or_else(|| Key::of_number(user.0)),
            generation: journal.next_generation(),
            context,
            journal,
            registration,
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
            undoing: None,
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
            ToUser::Drawn(session, version, visible) => {
                if let Some(subscription) = self.subscriptions.get_mut(&session) {
                    subscription.see(version, &visible);
                }
                self.feeds_event(FeedEvent::Acknowledged(session, version), ctx);
            }
            ToUser::Configure(session, _) | ToUser::More(session, _)
                if !self.feeds.may_rank(self.context.clock.now()) =>
            {
                self.send_busy(session, Busy::RankingsExhausted);
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
                let _ = done.send(self.person_model());
            }
            ToUser::AskCurves(done) => {
                let _ = done.send(RocCurves::of(self.state.scores()));
            }
            ToUser::AskPrediction(item, done) => {
                let judged = self.state.predict(&self.context.world.load(), item).map(Prediction::of);
                let unknown = || RequestError::from(Refusal::field(Code::UnknownItem, "item", "no such item"));
                let _ = done.send(judged.ok_or_else(unknown));
            }
            ToUser::AskHidden(items, done) => {
                let _ = done.send(items.into_iter().filter(|item| self.state.has_hidden(*item)).collect());
            }
            ToUser::AskState(done) => {
                let _ = done.send(Box::new(self.state.clone()));
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
