//! Lifecycle of a person's actor: the tick, snapshots, passivation and erasure.
//!
//! Invariant: a snapshot contains durable entries only. The actor stops only without open sessions and waiting events, or
//! because its person was erased.

use std::time::Duration;

use actix::prelude::*;

use super::actor::UserActor;
use super::messages::Answer;
use super::pending::Waiting;
use crate::domain::feeds::Cause;
use crate::engine::delivery::events::FeedEvent;
use crate::protocol::close::CloseReason;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::Snapshot;

impl UserActor {
    pub(super) fn tick(&mut self, ctx: &mut Context<Self>) {
        self.feeds_event(FeedEvent::Tick, ctx);
        self.send_model_if_due();
        if self.registration.take_stale() {
            let epoch = self.context.world.load().epoch();
            self.feeds_event(FeedEvent::Due(Cause::World { epoch }), ctx);
        }
        self.flush_soon(ctx);
        self.refresh_soon(ctx);
        let idle = self.last_message.elapsed() >= Duration::from_millis(self.context.limits.idle_ms);
        if idle || self.must_leave {
            self.passivate_if_free(ctx);
        }
    }

    pub(super) fn passivate_if_free(&mut self, ctx: &mut Context<Self>) {
        if self.subscriptions.is_empty() && self.waiting.is_empty() && self.asked.is_empty() && !self.leaving {
            self.passivate(ctx);
        }
    }

    /// Saves a snapshot, leaves the directory and stops. Messages that arrive meanwhile stay in the mailbox. They are
    /// delivered to the next incarnation.
    fn passivate(&mut self, ctx: &mut Context<Self>) {
        self.leaving = true;
        let save = self.save();
        ctx.wait(save.into_actor(self).map(|(), actor, ctx| {
            actor.registration.leave();
            ctx.stop();
        }));
    }

    /// Stops without saving: closes all sessions with `erased` and fails pending requests with `unknown_user`.
    pub(super) fn erased(&mut self, ctx: &mut Context<Self>) {
        self.leaving = true;
        let waiting = std::mem::take(&mut self.waiting).into_values().flat_map(Waiting::answers);
        let asked = std::mem::take(&mut self.asked).into_iter().map(|one| (one.event.id().clone(), one.answer));
        for (_, answer) in waiting.chain(asked) {
            if let Answer::Request(done) = answer {
                let _ = done.send(Err(Refusal::field(Code::UnknownUser, "user", "this person was erased").into()));
            }
        }
        for session in self.subscriptions.keys().copied().collect::<Vec<_>>() {
            self.drop_session(session, Some(CloseReason::Erased), ctx);
        }
        self.registration.leave();
        ctx.stop();
    }

    pub(super) fn save_if_due(&mut self, ctx: &mut Context<Self>) {
        // A snapshot must not be newer than the journal, so it is taken while all entries are durable.
        let due = self.durable.0 >= self.snapshot_seq.0 + self.context.limits.snapshot_every;
        if due && self.state.seq() == self.durable {
            let save = self.save();
            ctx.spawn(save.into_actor(self));
        }
    }

    fn save(&mut self) -> impl Future<Output = ()> + 'static + use<> {
        let seq = self.state.seq();
        let bytes = (seq > self.snapshot_seq && seq == self.durable && self.undoing.is_none())
            .then(|| self.state.to_bytes(self.context.world.load().settings()));
        if bytes.is_some() {
            self.snapshot_seq = seq;
        }
        let (store, user) = (self.context.store.clone(), self.user);
        async move {
            if let Some(bytes) = bytes
                && let Err(error) = store.save_snapshot(user, Snapshot { seq, bytes }).await
            {
                tracing::warn!(%error, user = user.0, "a snapshot was not saved: the next load folds the journal instead");
            }
        }
    }
}
