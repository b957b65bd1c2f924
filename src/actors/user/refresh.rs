//! Turns for refreshes of open feeds, so that they take at most a share of each actor thread.
//!
//! Invariant: without an open session nothing is refreshed. Turns are given first come, first served.
//! Deliberately absent: when a refresh is due and what it sends (`engine::delivery`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::{TICK, UserActor, micros};
use crate::engine::delivery::events::FeedEvent;
use crate::engine::delivery::refresh::Pace;

/// Turns for the refreshes of one thread of people's actors. Without a pace there are no refreshes.
pub struct Turns {
    since: Instant,
    pace: Option<Mutex<Pace>>,
}

impl Turns {
    /// Limits refreshes to this percentage of the thread's time; 0 disables them.
    pub fn new(percent: usize) -> Turns {
        let pace = (percent > 0).then(|| Mutex::new(Pace::new(percent as f64 / 100.0)));
        Turns { since: Instant::now(), pace }
    }

    fn micros_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_micros()).unwrap_or(u64::MAX)
    }

    fn ask<T>(&self, question: impl FnOnce(&mut Pace, u64) -> T) -> Option<T> {
        // The pace consists of numbers that are valid in any combination, so a poisoned lock can be used.
        let mut pace = self.pace.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(question(&mut pace, self.micros_at(Instant::now())))
    }

    /// Reserves the next turn and returns the time until it begins; `None` where refreshes are disabled.
    fn next(&self) -> Option<Duration> {
        self.ask(|pace, now| Duration::from_micros(pace.turn(now)))
    }

    fn may_begin(&self) -> bool {
        self.ask(|pace, now| pace.may_begin(now)).unwrap_or(false)
    }

    fn took(&self, began: Instant) {
        let (begin, took) = (self.micros_at(began), u64::from(micros(began.elapsed())));
        self.ask(|pace, _| pace.took(begin, took));
    }
}

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
