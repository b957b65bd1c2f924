//! Refreshes of open feeds, each in a turn of the actor's thread.
//!
//! Invariant: without an open session nothing is refreshed.
//! Deliberately absent: when a refresh is due and what it sends (`engine::delivery`).

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::actor::{TICK, UserActor};
use crate::engine::delivery::events::FeedEvent;

impl UserActor {
    /// Reserves a turn if a refresh is due before the next tick.
    pub(super) fn refresh_soon(&mut self, ctx: &mut Context<Self>) {
        if self.waits_for_turn || self.subscriptions.is_empty() {
            return;
        }
        let rest = self.feeds.refresh_due_at(self.context.published()).since(self.context.clock.now());
        let rest = Duration::from_millis(rest.unsigned_abs());
        if rest < TICK {
            self.take_turn(rest, ctx);
        }
    }

    fn refresh_is_due(&self) -> bool {
        self.feeds.refresh_due_at(self.context.published()) <= self.context.clock.now()
    }

    fn take_turn(&mut self, rest: Duration, ctx: &mut Context<Self>) {
        let Some(wait) = self.turns.next() else { return };
        self.waits_for_turn = true;
        ctx.run_later(wait.max(rest), |actor, ctx| {
            actor.waits_for_turn = false;
            actor.refresh_in_turn(ctx);
        });
    }

    fn refresh_in_turn(&mut self, ctx: &mut Context<Self>) {
        // Feeds that are due for another reason are ranked in the newest world in a moment.
        if !self.refresh_is_due() || self.subscriptions.is_empty() || self.feeds.is_due() {
            return;
        }
        if !self.turns.may_begin() {
            return self.take_turn(Duration::ZERO, ctx);
        }
        let began = Instant::now();
        self.feeds_event(FeedEvent::Refresh, ctx);
        self.turns.took(began);
        self.flush_soon(ctx);
    }
}
