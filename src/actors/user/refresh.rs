//! Open feeds stay what a request would be answered: ranked again when what is learned from everybody was published, and
//! as time passes.
//!
//! Invariant: a refresh keeps the noise of the feed that it replaces, so chance alone moves nothing, and sends nothing unless an entry, the order or an
//! item's face differs; scores alone wait for the next feed. A person without an open socket is never refreshed.
//! A request for a feed that a socket shows gets the feed of that socket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::seat::View;
use super::wire::Shown;
use super::{Seat, TICK, UserActor, micros};
use crate::domain::feeds::{Cause, Feed, FeedItem};
use crate::domain::ids::FeedVersion;
use crate::engine::rank::Viewport;
use crate::engine::rank::refresh::Pace;
use crate::protocol::server::Timing;

/// Turns for refreshes on one thread of people's actors. Without a pace there are no refreshes.
pub struct Turns {
    since: Instant,
    pace: Option<Mutex<Pace>>,
}

impl Turns {
    /// Refreshes take at most so many percent of the thread's time; 0: there are none.
    pub fn new(percent: usize) -> Turns {
        let pace = (percent > 0).then(|| Mutex::new(Pace::new(percent as f64 / 100.0)));
        Turns { since: Instant::now(), pace }
    }

    fn micros_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_micros()).unwrap_or(u64::MAX)
    }

    fn ask<T>(&self, question: impl FnOnce(&mut Pace, u64) -> T) -> Option<T> {
        // Plain numbers: a panic elsewhere leaves nothing half done.
        let mut pace = self.pace.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(question(&mut pace, self.micros_at(Instant::now())))
    }

    /// In what time the next turn comes.
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
    /// Takes a turn, where a refresh is due before the next tick.
    pub(super) fn refresh_soon(&mut self, ctx: &mut Context<Self>) {
        if self.waits_for_turn || self.seats.is_empty() {
            return;
        }
        let rest = self.refresh.due_at(self.inside.published()).since(self.inside.clock.now());
        let rest = Duration::from_millis(rest.unsigned_abs());
        if rest < TICK {
            self.take_turn(rest, ctx);
        }
    }

    fn refresh_is_due(&self) -> bool {
        self.refresh.due_at(self.inside.published()) <= self.inside.clock.now()
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
        // What is due for another reason is ranked in a moment, in the newest world.
        if !self.refresh_is_due() || self.seats.is_empty() || self.due.is_some() {
            return;
        }
        if !self.turns.may_begin() {
            return self.take_turn(Duration::ZERO, ctx);
        }
        let began = Instant::now();
        self.refresh_feeds();
        self.turns.took(began);
        self.flush_soon(ctx);
    }

    /// Ranks all open feeds again. Those that differ are sent.
    fn refresh_feeds(&mut self) {
        let published = self.inside.published();
        let (world, timing) = (self.inside.world.load_full(), self.timing);
        self.newest.retain(|(view, _)| self.seats.values().any(|seat| seat.view() == *view));
        let mut moved = false;
        for (view, before) in self.newest.clone() {
            let made =
                |actor: &mut UserActor, drawn| actor.make_for(&world, view, Cause::Refreshed, before.noise, drawn);
            // By what it was made of: where nothing changed, nothing moves.
            let mut shown = made(self, before.drawn.clone());
            let mut is_news = shown.differs_from(&before);
            if is_news && world.settings().rank.stability > 0.0 {
                // What stands on the screen by now holds.
                shown = made(self, self.drawn_items(view));
                is_news = shown.differs_from(&before);
            }
            if is_news {
                self.version = FeedVersion(self.version.0 + 1);
                shown.feed.version = self.version;
                self.timing = Timing { rank_us: self.timing.rank_us, ..Timing::default() };
            } else {
                // Nothing to send: the version that sockets have, with newer scores for requests.
                (shown.feed.version, shown.cause) = (before.feed.version, before.cause.clone());
            }
            let shown = self.stand(view, shown);
            if is_news {
                self.offer(view, &shown);
                moved = true;
            }
            self.timing = timing;
        }
        self.refresh.refreshed(published, moved, self.inside.clock.now());
    }

    /// The feed for a request: where sessions have this ranking and limit open, theirs; else one of its own. `None` where
    /// the person asked for more feeds within a second than are ranked for them.
    pub(super) fn asked_feed(&mut self, view: View) -> Option<Arc<Feed>> {
        if self.due.is_some() {
            self.rank_now();
        }
        let open = self.open_view(view);
        if open.is_some() && self.refresh_is_due() {
            self.refresh_feeds();
        }
        let shown = open.and_then(|open| self.newest.iter().find(|(known, _)| *known == open));
        let shown = shown.map(|(open, shown)| (open.explain, shown.clone()));
        match shown {
            Some((explain, shown)) if explain == view.explain => return Some(Arc::new(shown.feed.clone())),
            Some((_, shown)) if !view.explain => {
                let items = shown.feed.items.iter().map(|one| FeedItem { why: Vec::new(), ..one.clone() }).collect();
                return Some(Arc::new(Feed { items, ..shown.feed.clone() }));
            }
            _ => {}
        }
        // Everything below ranks the whole catalogue.
        if !self.may_ask_for_a_feed() {
            return None;
        }
        Some(Arc::new(match shown {
            Some((_, shown)) => self.explained(view, &shown),
            None => self.lone_feed(view),
        }))
    }

    /// The open view whose feed has this ranking and limit; with or without reasons, rather as it was asked for.
    fn open_view(&self, view: View) -> Option<View> {
        let alike = |known: &&View| known.ranking == view.ranking && known.limit == view.limit;
        let open: Vec<View> = self.seats.values().map(Seat::view).collect();
        open.iter().find(|known| **known == view).or_else(|| open.iter().find(alike)).copied()
    }

    /// A feed that no session shows.
    fn lone_feed(&mut self, view: View) -> Feed {
        let (world, now) = (self.inside.world.load_full(), self.inside.clock.now());
        self.state.look_for(view.ranking, &world, now);
        let screen = Viewport { version: self.version, drawn: &[] };
        let items = self.state.rank_on(&world, now, view.ask(), screen).items;
        self.feed_of(&world, view.ranking, items, now)
    }

    /// The feed that sessions show, with reasons: ranked as of the same instant, in the order that they show.
    fn explained(&mut self, view: View, shown: &Shown) -> Feed {
        let world = self.inside.world.load_full();
        let screen = Viewport { version: shown.noise, drawn: &shown.drawn };
        self.state.look_for(view.ranking, &world, shown.made);
        let mut items = self.state.rank_on(&world, shown.made, view.ask(), screen).items;
        let place = |one: &FeedItem| shown.feed.items.iter().position(|there| there.item == one.item);
        items.sort_by_key(|one| place(one).unwrap_or(usize::MAX));
        Feed { version: shown.feed.version, ..self.feed_of(&world, view.ranking, items, shown.made) }
    }
}
