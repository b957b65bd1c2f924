//! Carries out the deliveries of `engine::delivery`: encodes frames, and keeps the outbox of each session.
//!
//! Invariant: the frames of one session keep their order. A session whose waiting frames exceed [`OUTBOX_MAX`] or
//! [`OUTBOX_BYTES_MAX`] while its mailbox is full is closed as `slow`.
//! Deliberately absent: decisions about feeds (`engine::delivery::feeds`), sockets (the gateway).

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::dev::SendError;
use actix::prelude::*;

use super::actor::{TICK, UserActor};
use super::subscription::{Frames, Subscription, view_of};
use super::turns::micros;
use super::wire::{encode, with_faces};
use crate::actors::errors::Busy;
use crate::actors::session::{Frame, SessionId, SessionSettings, ToSession};
use crate::domain::feeds::{Cause, Feed, FeedItem};
use crate::domain::ids::{Epoch, FeedVersion, ItemId};
use crate::domain::time::Millis;
use crate::engine::delivery::events::{Delivery, FeedEvent, Moment, RankedFeed, Ranker};
use crate::engine::delivery::ranker::UserRanker;
use crate::engine::delivery::standing::{FeedView, StandingFeed};
use crate::engine::world::{Changes, World};
use crate::protocol::close::CloseReason;
use crate::protocol::server::{Live, Page, ServerMessage, Timing, Welcome};

/// Frames that may wait for one session while its mailbox is full.
const OUTBOX_MAX: usize = 8_192;
/// Bytes of frames that may wait for one session while its mailbox is full. The largest feed has about 20 MiB, so a single
/// frame may be longer.
const OUTBOX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// With more waiting bytes than this, a request for a page is refused as `busy`: a short request causes a long answer.
const PAGES_BYTES_MAX: usize = 256 * 1024;
/// Delay before a full mailbox is tried again.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);

/// Measures the duration of each ranking.
struct TimedRanker<'a>(UserRanker<'a>);

impl Ranker for TimedRanker<'_> {
    fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    fn rank(&mut self, view: FeedView, noise: FeedVersion, drawn: &[ItemId], at: Millis) -> RankedFeed {
        let started = Instant::now();
        let ranked = self.0.rank(view, noise, drawn, at);
        RankedFeed { rank_us: micros(started.elapsed()), ..ranked }
    }

    fn is_open(&self, item: ItemId, at: Millis) -> bool {
        self.0.is_open(item, at)
    }

    fn has_windows(&self, item: ItemId) -> bool {
        self.0.has_windows(item)
    }

    fn is_concerned(
        &mut self,
        changes: &Changes,
        view: FeedView,
        items: &[FeedItem],
        entry_threshold: f32,
        now: Millis,
    ) -> bool {
        self.0.is_concerned(changes, view, items, entry_threshold, now)
    }

    fn keeps_to_screen(&self) -> bool {
        self.0.keeps_to_screen()
    }
}

impl UserActor {
    /// The current moment and world. The publication is read first, so the world is at least that new.
    fn moment(&self) -> (Moment, Arc<World>) {
        let published = self.context.published();
        let world = self.context.world.load_full();
        (Moment { now: self.context.clock.now(), published }, world)
    }

    /// Applies an event to the feeds and carries out what follows.
    pub(super) fn feeds_event(&mut self, event: FeedEvent<'_, SessionId>, ctx: &mut Context<Self>) {
        let (at, world) = self.moment();
        let mut ranker = TimedRanker(UserRanker { state: &mut self.state, world: &world });
        let deliveries = self.feeds.apply(event, &mut ranker, at);
        self.carry_out(deliveries, &world, at.now, ctx);
    }

    /// The feed for a request; `None` when the person requested too many rankings within a second.
    pub(super) fn requested_feed(&mut self, view: FeedView, ctx: &mut Context<Self>) -> Option<Arc<Feed>> {
        let (at, world) = self.moment();
        let mut ranker = TimedRanker(UserRanker { state: &mut self.state, world: &world });
        let (feed, deliveries) = self.feeds.request(view, &mut ranker, at);
        self.carry_out(deliveries, &world, at.now, ctx);
        feed.map(Arc::new)
    }

    fn carry_out(&mut self, deliveries: Vec<Delivery<SessionId>>, world: &World, now: Millis, ctx: &mut Context<Self>) {
        let mut frames = Frames::default();
        for delivery in deliveries {
            match delivery {
                Delivery::Feed { to, update } => {
                    let Some(one) = self.subscriptions.get(&to) else { continue };
                    let timing = one.settings.timing.then(|| self.timing_of(update.feed()));
                    self.send(to, frames.frame(&update, timing));
                }
                Delivery::Live { item, available } => {
                    let Some(item) = world.item(item) else { continue };
                    let until = item.windows.at(now).and_then(|window| window.stop);
                    self.send_all(&ServerMessage::Live(Live { item: item.key.clone(), available, until }));
                }
                Delivery::Shown(feed) => self.context.slates.drawn(&feed.feed, now),
                Delivery::RankAfterBurst => ctx.notify(RankNow),
            }
        }
    }

    /// The durations that a feed reports. Queueing and learning are 0 for a feed without a causing event.
    fn timing_of(&self, standing: &StandingFeed) -> Timing {
        let event = if matches!(standing.cause, Cause::Event { .. }) { self.timing } else { Timing::default() };
        Timing { rank_us: standing.rank_us, ..event }
    }

    // ---- sessions ----

    pub(super) fn attach(
        &mut self,
        session: SessionId,
        subscription: Subscription,
        resume: Option<FeedVersion>,
        ctx: &mut Context<Self>,
    ) {
        let view = view_of(&subscription.settings);
        self.subscriptions.insert(session, subscription);
        self.registration.set_watching(true);
        let welcome = {
            let world = self.context.world.load();
            ServerMessage::Welcome(Welcome {
                session: session.0.to_string(),
                user: self.key.clone(),
                epoch: world.epoch(),
                version: self.feeds.version(),
                server_time: self.context.clock.now(),
                decay: Some(super::model::decay_of(world.settings())),
            })
        };
        self.send(session, encode(&welcome));
        self.feeds_event(FeedEvent::Attach { subscription: session, view, resume }, ctx);
        let model = encode(&ServerMessage::Model(self.wire_model()));
        self.send(session, model);
    }

    /// Ends a session. With a reason, the session is asked to close.
    pub(super) fn drop_session(&mut self, session: SessionId, reason: Option<CloseReason>, ctx: &mut Context<Self>) {
        let Some(one) = self.subscriptions.remove(&session) else { return };
        self.outbox.remove(&session);
        if let Some(reason) = reason {
            // One message beyond a full mailbox: no other sender writes to it any more, so it cannot grow.
            one.to.do_send(ToSession::Close(reason));
        }
        self.feeds_event(FeedEvent::Detach(session), ctx);
        self.registration.set_watching(!self.subscriptions.is_empty());
    }

    pub(super) fn configure(&mut self, session: SessionId, settings: SessionSettings, ctx: &mut Context<Self>) {
        let Some(one) = self.subscriptions.get_mut(&session) else { return };
        one.settings = settings;
        self.feeds_event(FeedEvent::Configure(session, view_of(&settings)), ctx);
    }

    pub(super) fn page(&mut self, session: SessionId, after: u32) {
        let Some(one) = self.subscriptions.get(&session) else { return };
        if one.bytes.waiting() > PAGES_BYTES_MAX {
            return self.send_busy(session, Busy::SocketBehind);
        }
        let (world, now) = (self.context.world.load_full(), self.context.clock.now());
        let mut ranker = UserRanker { state: &mut self.state, world: &world };
        let Some(page) = self.feeds.page(session, after, &mut ranker, now) else { return };
        let items = with_faces(&page.ranked.items, &page.ranked.likely, &page.ranked.faces);
        let items = items.into_iter().skip(after as usize).collect();
        self.send(session, encode(&ServerMessage::Page(Page { after, items, end: page.is_last })));
    }

    // ---- the outbox ----

    /// Puts a frame into a session's outbox; [`UserActor::flush`] sends it.
    pub(super) fn send(&mut self, session: SessionId, frame: Frame) {
        if let Some(one) = self.subscriptions.get(&session) {
            self.outbox.entry(session).or_default().push(one.bytes.counted(frame));
        }
    }

    /// Puts a message into the outboxes of all sessions, encoded once.
    pub(super) fn send_all(&mut self, message: &ServerMessage) {
        let frame = encode(message);
        for (session, one) in &self.subscriptions {
            self.outbox.entry(*session).or_default().push(one.bytes.counted(frame.clone()));
        }
    }

    pub(super) fn send_busy(&mut self, session: SessionId, busy: Busy) {
        self.send(session, Frame::Refused { id: None, error: busy.into() });
    }

    pub(super) fn send_model_if_due(&mut self) {
        if !self.model_is_stale || self.subscriptions.is_empty() || self.model_sent.elapsed() < TICK {
            return;
        }
        self.model_is_stale = false;
        self.model_sent = Instant::now();
        let model = ServerMessage::Model(self.wire_model());
        self.send_all(&model);
    }

    /// Sends the outbox once all waiting messages are handled, so a burst costs each session one message.
    pub(super) fn flush_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.outbox.is_empty() && !self.flush_is_due {
            self.flush_is_due = true;
            ctx.notify(Flush);
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        self.flush_is_due = false;
        let mut slow = Vec::new();
        for (session, frames) in std::mem::take(&mut self.outbox) {
            let Some(one) = self.subscriptions.get(&session) else { continue };
            match one.to.try_send(ToSession::Frames(frames)) {
                Ok(()) => {}
                Err(SendError::Full(ToSession::Frames(frames)))
                    if frames.len() <= OUTBOX_MAX && one.bytes.waiting() <= OUTBOX_BYTES_MAX =>
                {
                    self.outbox.insert(session, frames);
                }
                // The client reconnects and requests the lost messages.
                Err(SendError::Full(_)) => slow.push((session, Some(CloseReason::Slow))),
                Err(SendError::Closed(_)) => slow.push((session, None)),
            }
        }
        for (session, reason) in slow {
            self.drop_session(session, reason, ctx);
        }
        if !self.outbox.is_empty() {
            self.flush_is_due = true;
            ctx.run_later(FLUSH_AGAIN, Self::flush);
        }
    }
}

/// To the actor itself: all waiting messages are handled, so the due feeds are ranked.
#[derive(Message)]
#[rtype(result = "()")]
struct RankNow;

impl Handler<RankNow> for UserActor {
    type Result = ();
    fn handle(&mut self, _: RankNow, ctx: &mut Self::Context) {
        self.feeds_event(FeedEvent::BurstOver, ctx);
        self.send_model_if_due();
        self.flush_soon(ctx);
    }
}

/// To the actor itself: all waiting messages are handled, so the outbox is sent.
#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

impl Handler<Flush> for UserActor {
    type Result = ();
    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.flush(ctx);
    }
}
