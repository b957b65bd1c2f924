//! One per active person: holds their state and the seats of their sessions.
//!
//! Invariant: what is sent to the journal is exactly what was learned, in that order. Learned one by one, ranked once
//! per burst. Each session gets its newest feed once it has drawn the one before. When an entry cannot be stored as it was
//! learned, the state is rebuilt from the journal and what was not durable is learned again (`look`).
//! Absent on purpose: decisions (the engine's), sockets (the gateway's).

pub mod messages;
mod audience;
mod load;
mod look;
pub(super) mod refresh;
mod seat;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::dev::SendError;
use actix::prelude::*;
use bytestring::ByteString;

use crate::domain::feeds::{Cause, Contribution, Expert, Feed, FeedItem, Ranking};
use crate::domain::ids::{FeedVersion, ItemId, Key, Seq, UserId};
use crate::domain::interactions::Shown as ShownAt;
use crate::domain::time::Millis;
use crate::engine::learn::features::{Segment, range};
use crate::engine::learn::progressive::LABELS_MIN;
use crate::engine::rank::refresh::FeedRefresh;
use crate::engine::rank::{RankRequest, Viewport};
use crate::engine::settings::{self, LearnSettings};
use crate::engine::user::{UserEvent, UserState};
use crate::engine::world::World;
use crate::protocol::close::CloseReason;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::{
    Accepted, Busy, Decay, DecayCurve, ErrorMessage, Live, Model, Page, ServerMessage, Timing, Welcome,
};
use crate::store::Snapshot;

use super::directory::Flags;
use super::inside::Inside;
use super::journal::Reservation;
use super::journal::messages::Generation;
use super::server::{PersonModel, Prediction};
use super::session::{CountedFrame, SessionId, SessionSettings, ToSession};
use look::Asked;
use messages::{Answer, Leave, Parcel, Stored, ToUser, Verdict, WorldChanged};
use refresh::Turns;
use seat::{Seat, View};
use wire::{Shown, encode, wire_items};

/// How often the actor looks after its sessions.
const TICK: Duration = Duration::from_secs(1);
/// A feed that is due is not put off longer than this by messages that keep coming.
const RANK_PUT_OFF_MAX: Duration = Duration::from_millis(50);
/// Frames that may wait for one session; beyond, it is too slow.
const OUTBOX_MAX: usize = 8_192;
/// Bytes of frames that may wait for one session; beyond, it is too slow. The largest feed has some 20 MiB, so one frame
/// alone may be longer.
const OUTBOX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// While so many bytes wait for a session, a page is refused as `busy`: a few bytes ask for a page, which has many.
const PAGES_BYTES_MAX: usize = 256 * 1024;
/// Then it may be asked for again after this.
const PAGE_AGAIN_MS: u32 = 250;
/// A session whose mailbox was full is tried again after this.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);
/// Feeds that one person may ask for within a second, beside those that are pushed: each ranks the whole catalogue.
const ASKED_FEEDS_MAX: u32 = 200;
/// Closed items that are remembered until their closing is announced.
const LEFT_MAX: usize = 1_000;
/// Feeds remembered for sessions that may come back.
const PARTED_MAX: usize = 8;

/// The actor.
pub struct UserActor {
    user: UserId,
    key: Key,
    inside: Arc<Inside>,
    flags: Arc<Flags>,
    state: UserState,
    generation: Generation,
    /// All entries up to this are durable.
    durable: Seq,
    /// Why nothing can be learned, when the journal could not be read.
    broken: Option<String>,
    /// Sent to the journal and not durable yet.
    waiting: BTreeMap<Seq, Waiting>,
    /// Numbers of `waiting` by event id.
    waiting_ids: BTreeMap<Key, Seq>,
    /// Not learned yet, see `look`.
    asked: VecDeque<Asked>,
    /// The store is being asked for ids.
    looking: bool,
    look_is_due: bool,
    /// The store did not answer: learn without asking until then.
    look_again: Option<Instant>,
    /// After a rebuild nothing is learned before the store has answered.
    insists: bool,
    seats: BTreeMap<SessionId, Seat>,
    /// Frames that go out when the mailbox is drained, so that a burst costs each session one message.
    outbox: BTreeMap<SessionId, Vec<CountedFrame>>,
    flush_is_due: bool,
    /// Newest feed per view, and those of sessions that left.
    newest: Vec<(View, Arc<Shown>)>,
    /// Items that a feed lost because they had closed, since the last word on what opened and closed: a feed that is
    /// ranked between the publication of a world and the message about it has lost them already.
    left: Vec<ItemId>,
    parted: VecDeque<(View, Arc<Shown>)>,
    version: FeedVersion,
    /// A feed is due, for this reason, since then.
    due: Option<(Cause, Instant)>,
    refresh: FeedRefresh,
    /// On this thread.
    turns: Arc<Turns>,
    /// A turn was given, and did not come yet.
    waits_for_turn: bool,
    timing: Timing,
    model_is_stale: bool,
    model_sent: Instant,
    last_message: Instant,
    snapshot_seq: Seq,
    /// Feeds that were asked for within the second that began then.
    asked_feeds: (Instant, u32),
    /// Asked to leave when all is durable.
    must_leave: bool,
    leaving: bool,
}

/// An event that was learned and sent to the journal.
struct Waiting {
    /// To be learned again when the state must be rebuilt.
    event: UserEvent,
    /// As in its entry.
    at: Millis,
    /// As in its entry.
    received: Millis,
    answer: Answer,
    /// Those who sent it again meanwhile, each with a place in the journal's queue.
    others: Vec<(Answer, Reservation)>,
}

impl Waiting {
    /// Everybody who waits for it, with its id.
    fn answers(self) -> impl Iterator<Item = (Key, Answer)> {
        let id = self.event.id().clone();
        std::iter::once(self.answer)
            .chain(self.others.into_iter().map(|(answer, _)| answer))
            .map(move |a| (id.clone(), a))
    }
}

impl UserActor {
    pub(super) fn new(user: UserId, inside: Arc<Inside>, flags: Arc<Flags>, turns: Arc<Turns>) -> UserActor {
        let now = inside.clock.now();
        let key = inside.people.get(user).map(|person| person.key.clone());
        UserActor {
            user,
            // Only known people are activated; an id without a person would be a bug of ours, and harms nobody here.
            key: key.unwrap_or_else(|| crate::domain::ids::Key::of_number(user.0)),
            generation: inside.journal.next_generation(),
            inside,
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
            seats: BTreeMap::new(),
            outbox: BTreeMap::new(),
            flush_is_due: false,
            newest: Vec::new(),
            left: Vec::new(),
            parted: VecDeque::new(),
            // Above every version of earlier incarnations: no person gets a hundred feeds in a millisecond for long.
            version: FeedVersion(now.0.max(0) as u64 * 100),
            due: None,
            refresh: FeedRefresh::new(0, now),
            turns,
            waits_for_turn: false,
            timing: Timing::default(),
            model_is_stale: false,
            model_sent: Instant::now(),
            last_message: Instant::now(),
            snapshot_seq: Seq(0),
            asked_feeds: (Instant::now(), 0),
            must_leave: false,
            leaving: false,
        }
    }

    // ---- acting, see `look` for how an event is learned ----

    /// Fills in where the item stood in the feed that the session had drawn.
    fn with_place(&self, event: UserEvent, answer: &Answer) -> UserEvent {
        let (UserEvent::Interacted(mut interaction), Answer::Session(session)) = (event.clone(), answer) else {
            return event;
        };
        let drawn = self.seats.get(session).and_then(|seat| seat.gate.drawn_feed());
        interaction.shown = drawn.and_then(|shown| {
            let position = shown.feed.items.iter().position(|one| one.item == interaction.item)?;
            let propensity = shown.feed.items[position].propensity;
            // Those that they acted on lately are left out when it is learned, after the events before it.
            interaction.passed = shown.feed.items[..position].iter().map(|one| one.item).collect();
            Some(ShownAt { version: shown.feed.version, position: position as u16, propensity })
        });
        UserEvent::Interacted(interaction)
    }

    /// The journal's verdicts, in the order in which entries were sent.
    fn stored(&mut self, stored: Stored, ctx: &mut Context<Self>) {
        if stored.generation != self.generation {
            return;
        }
        let mut rebuild = false;
        for (seq, verdict) in stored.verdicts {
            match verdict {
                Verdict::Durable => self.durable = self.durable.max(seq),
                // A resend is found out when its id is looked up, after the state was folded again.
                Verdict::Refused | Verdict::Duplicate(_) => rebuild = true,
                Verdict::Impossible => {
                    rebuild = true;
                    let refusal = Refusal::new(Code::Internal, "the database refuses this event; it was not learned");
                    for (id, answer) in self.waiting.remove(&seq).into_iter().flat_map(Waiting::answers) {
                        self.refuse(id, answer, refusal.clone());
                    }
                }
            }
        }
        let rest = self.waiting.split_off(&Seq(self.durable.0 + 1));
        let durable = std::mem::replace(&mut self.waiting, rest);
        let mut accepted = Vec::with_capacity(durable.len());
        for (seq, one) in durable {
            self.waiting_ids.remove(one.event.id());
            accepted.extend(one.answers().map(|(id, answer)| (id, seq, answer)));
        }
        self.accept(accepted);
        if rebuild {
            self.rebuild(ctx);
        } else {
            self.save_if_due(ctx);
        }
    }

    /// The state stands on something that is not in the journal: folds it again, then learns again what was not stored.
    fn rebuild(&mut self, ctx: &mut Context<Self>) {
        tracing::info!(user = self.user.0, "learning again from the journal");
        self.inside.looks.rebuilds.fetch_add(1, Ordering::Relaxed);
        let given_up = self.generation;
        self.generation = self.inside.journal.next_generation();
        self.inside.journal.forget(given_up);
        self.waiting_ids.clear();
        // Before those that came after them. Their places in the journal's queue went with the entries.
        let mut again = VecDeque::new();
        for (_, one) in std::mem::take(&mut self.waiting) {
            let event = one.event.clone();
            for (id, answer) in one.answers() {
                match self.inside.journal.reserve() {
                    Some(reservation) => again.push_back(Asked::new(event.clone(), answer, reservation)),
                    None => self.refuse(id, answer, Refusal::busy(500)),
                }
            }
        }
        again.append(&mut self.asked);
        self.asked = again;
        // Learning them without asking would end here again.
        self.insists = true;
        self.load(ctx, move |actor, ctx| {
            actor.look_soon(ctx);
            actor.rank_soon(Cause::Refreshed, ctx);
        });
    }

    fn accept(&mut self, accepted: Vec<(Key, Seq, Answer)>) {
        for (id, seq, answer) in accepted {
            match answer {
                Answer::Session(session) => {
                    self.send(session, encode(&ServerMessage::Accepted(Accepted { id, seq, item: None })));
                }
                Answer::Request(done) => {
                    let _ = done.send(Ok(seq));
                }
            }
        }
    }

    fn refuse(&mut self, id: Key, answer: Answer, refusal: Refusal) {
        match answer {
            Answer::Request(done) => {
                let _ = done.send(Err(refusal));
            }
            Answer::Session(session) => {
                let message = match refusal.retry_after_ms {
                    Some(retry_after_ms) => ServerMessage::Busy(Busy { id: Some(id), retry_after_ms }),
                    None => ServerMessage::Error(ErrorMessage {
                        code: refusal.code,
                        message: refusal.message,
                        field: refusal.field,
                        id: Some(id.as_str().to_owned()),
                    }),
                };
                self.send(session, encode(&message));
            }
        }
    }

    // ---- ranking and sending ----

    /// Ranks when the mailbox is drained: once per burst.
    fn rank_soon(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        match &mut self.due {
            Some((newest, since)) => {
                *newest = cause;
                if since.elapsed() > RANK_PUT_OFF_MAX {
                    self.rank_now();
                }
            }
            None => {
                self.due = Some((cause, Instant::now()));
                ctx.notify(RankNow);
            }
        }
    }

    fn rank_now(&mut self) {
        let Some((cause, _)) = self.due.take() else { return };
        let published = self.inside.published();
        let world = self.inside.world.load_full();
        let mut views: Vec<View> = self.seats.values().map(Seat::view).collect();
        views.sort_unstable();
        views.dedup();
        self.newest.retain(|(view, _)| views.contains(view));
        for view in views {
            let shown = self.rank_view(&world, view, cause.clone());
            self.offer(view, &shown);
        }
        self.refresh.ranked(published, self.inside.clock.now());
        self.send_model_if_due();
    }

    fn rank_view(&mut self, world: &World, view: View, cause: Cause) -> Arc<Shown> {
        let shown = self.make(world, view, cause);
        self.stand(view, shown)
    }

    /// From now on this is what sessions with this view get.
    fn stand(&mut self, view: View, shown: Shown) -> Arc<Shown> {
        let shown = Arc::new(shown);
        match self.newest.iter_mut().find(|(known, _)| *known == view) {
            Some((_, newest)) => {
                let world = self.inside.world.load();
                let closed = |item: &ItemId| !world.is_open(*item, shown.made);
                let gone = newest.feed.items.iter().map(|one| one.item);
                self.left.extend(gone.filter(closed).filter(|item| !self.left.contains(item)).collect::<Vec<_>>());
                self.left.truncate(LEFT_MAX);
                *newest = shown.clone();
            }
            None => self.newest.push((view, shown.clone())),
        }
        shown
    }

    fn make(&mut self, world: &World, view: View, cause: Cause) -> Shown {
        self.version = FeedVersion(self.version.0 + 1);
        self.make_for(world, view, cause, self.version, self.drawn_items(view))
    }

    /// A feed with the noise of this version, for a screen that shows this.
    fn make_for(&mut self, world: &World, view: View, cause: Cause, noise: FeedVersion, drawn: Vec<ItemId>) -> Shown {
        let now = self.inside.clock.now();
        let started = Instant::now();
        let screen = Viewport { version: noise, drawn: &drawn };
        self.state.look_for(view.ranking, world, now);
        let ranked = self.state.rank_on(world, now, view.ask(), screen);
        self.timing.rank_us = micros(started.elapsed());
        let (items, floor) = (ranked.items, ranked.entry_threshold);
        let feed = self.feed_of(world, view.ranking, items, now);
        let wire = wire_items(world, &feed.items, &feed.likely, now);
        Shown { feed, floor, items: wire, cause, made: now, noise, drawn }
    }

    /// These items, ranked at `now`, as the newest version's feed.
    fn feed_of(&self, world: &World, ranking: Ranking, items: Vec<FeedItem>, now: Millis) -> Feed {
        let (epoch, model) = (world.epoch(), wire::model_of(world, ranking));
        let likely = self.state.likely(world, ranking, &items, now);
        Feed { user: self.user, version: self.version, epoch, ranking, model, likely, items }
    }

    /// What is on the screens of this view: the newest feed that one of them has drawn.
    fn drawn_items(&self, view: View) -> Vec<ItemId> {
        let drawn = self.seats.values().filter(|seat| seat.view() == view).filter_map(|seat| seat.gate.drawn_feed());
        let newest = drawn.max_by_key(|shown| shown.feed.version);
        newest.map_or(Vec::new(), |shown| shown.feed.items.iter().map(|one| one.item).collect())
    }

    fn drawn_version(&self, session: SessionId) -> Option<FeedVersion> {
        Some(self.seats.get(&session)?.gate.drawn_feed()?.feed.version)
    }

    /// Logs what a session has on its screen, if that was something else `before`.
    fn log_drawn(&self, session: SessionId, before: Option<FeedVersion>) {
        let drawn = self.seats.get(&session).and_then(|seat| seat.gate.drawn_feed());
        if let Some(shown) = drawn.filter(|shown| Some(shown.feed.version) != before) {
            self.inside.slates.drawn(&shown.feed, self.inside.clock.now());
        }
    }

    /// Hands a feed to the gate of every session with this view; frames are encoded once.
    fn offer(&mut self, view: View, shown: &Arc<Shown>) {
        let now = self.inside.clock.now();
        let mut encoded = seat::Frames::default();
        for (session, seat) in self.seats.iter_mut().filter(|(_, seat)| seat.view() == view) {
            let timing = seat.settings.timing.then_some(self.timing);
            // What nobody has seen yet is replaced, and its cause is said with the newer feed.
            let held =
                seat.gate.held_feed().map(|held| &held.cause).filter(|held| held.outlives(&shown.cause)).cloned();
            let frame = match held {
                None => {
                    seat.gate.offer(shown.feed.version, shown.clone(), now).map(|send| encoded.frame(&send, timing))
                }
                Some(cause) => {
                    let shown = Arc::new(Shown { cause, ..Shown::clone(shown) });
                    let send = seat.gate.offer(shown.feed.version, shown, now);
                    send.map(|send| seat::Frames::default().frame(&send, timing))
                }
            };
            if let Some(frame) = frame {
                self.outbox.entry(*session).or_default().push(seat.bytes.counted(frame));
            }
        }
    }

    /// Puts a frame into a session's outbox; [`UserActor::flush`] sends it.
    fn send(&mut self, session: SessionId, frame: ByteString) {
        if let Some(seat) = self.seats.get(&session) {
            self.outbox.entry(session).or_default().push(seat.bytes.counted(frame));
        }
    }

    /// After a handler: what it had to say goes out once the mailbox is drained.
    fn flush_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.outbox.is_empty() && !self.flush_is_due {
            self.flush_is_due = true;
            ctx.notify(Flush);
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        self.flush_is_due = false;
        let mut slow = Vec::new();
        for (session, frames) in std::mem::take(&mut self.outbox) {
            let Some(seat) = self.seats.get(&session) else { continue };
            match seat.to.try_send(ToSession::Frames(frames)) {
                Ok(()) => {}
                Err(SendError::Full(ToSession::Frames(frames)))
                    if frames.len() <= OUTBOX_MAX && seat.bytes.waiting() <= OUTBOX_BYTES_MAX =>
                {
                    self.outbox.insert(session, frames);
                }
                // What was not said is asked for again when the client comes back.
                Err(SendError::Full(_)) => slow.push((session, Some(CloseReason::Slow))),
                Err(SendError::Closed(_)) => slow.push((session, None)),
            }
        }
        for (session, say) in slow {
            self.drop_seat(session, say);
        }
        if !self.outbox.is_empty() {
            self.flush_is_due = true;
            ctx.run_later(FLUSH_AGAIN, Self::flush);
        }
    }

    fn send_released(&mut self, session: SessionId, release: impl FnOnce(&mut Seat, Millis) -> Option<seat::Released>) {
        let now = self.inside.clock.now();
        let timing = self.timing;
        let Some(seat) = self.seats.get_mut(&session) else { return };
        if let Some(send) = release(seat, now) {
            let frame = seat::Frames::default().frame(&send, seat.settings.timing.then_some(timing));
            self.send(session, frame);
        }
    }

    fn send_model_if_due(&mut self) {
        if !self.model_is_stale || self.seats.is_empty() || self.model_sent.elapsed() < TICK {
            return;
        }
        self.model_is_stale = false;
        self.model_sent = Instant::now();
        let frame = encode(&ServerMessage::Model(self.wire_model()));
        for session in self.seats.keys().copied().collect::<Vec<_>>() {
            self.send(session, frame.clone());
        }
    }

    fn wire_model(&self) -> Model {
        let model = self.person_model();
        let knows = model.positives.min(model.negatives) as usize >= LABELS_MIN;
        Model {
            topics: model.topics,
            auc: model.auc,
            log_loss: model.log_loss,
            auc_model: model.auc_model.filter(|_| knows),
            auc_topics: model.auc_topics.filter(|_| knows),
            log_loss_model: model.log_loss_model.filter(|_| knows),
            positives: model.positives,
            negatives: model.negatives,
            labelled: model.labelled,
            events: model.events,
            drifts: model.drifts,
        }
    }

    fn person_model(&self) -> PersonModel {
        let (world, now) = (self.inside.world.load(), self.inside.clock.now());
        let settings = world.settings();
        let scores = self.state.scores();
        let (positives, negatives) = scores.model.labels();
        let weights = world.blend().served(Segment::New, self.state.offset());
        PersonModel {
            topics: self
                .state
                .topics()
                .all(now, settings)
                .filter_map(|(topic, s)| Some((world.topic(topic)?.clone(), s as f32)))
                .collect(),
            events: self.state.seq().0,
            labelled: scores.progress.count(),
            auc: scores.online.auc(),
            auc_topics: scores.topics.auc(),
            auc_model: scores.model.auc(),
            log_loss_model: scores.model.log_loss(),
            positives: positives as u32,
            negatives: negatives as u32,
            decay: decay_of(settings),
            log_loss: scores.progress.log_loss().map(|loss| loss as f32),
            calibration_error: scores.progress.ece().map(|error| error as f32),
            weight_norm: self.state.online().weight_norm(),
            uncertainty: self.state.online().uncertainty(settings),
            drifts: self.state.drifts(),
            experts: Expert::ALL
                .into_iter()
                .map(|expert| {
                    let (begin, end) = range(expert);
                    let amount = weights[begin..end].iter().map(|weight| weight * weight).sum::<f32>().sqrt();
                    Contribution { expert, amount }
                })
                .collect(),
            metrics: self.state.metrics().clone(),
            follows: self.state.follows().to_vec(),
            seq: self.state.seq(),
        }
    }

    /// May one more feed be ranked because somebody asks for it?
    fn may_ask_for_a_feed(&mut self) -> bool {
        let (since, count) = &mut self.asked_feeds;
        if since.elapsed() >= TICK {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        *count <= ASKED_FEEDS_MAX
    }

    fn say_busy(&mut self, session: SessionId) {
        let busy = Busy { id: None, retry_after_ms: TICK.as_millis() as u32 };
        self.send(session, encode(&ServerMessage::Busy(busy)));
    }

    // ---- sessions ----

    fn attach(&mut self, session: SessionId, seat: Seat, resume: Option<FeedVersion>) {
        let view = seat.view();
        let published = self.inside.published();
        let world = self.inside.world.load_full();
        let welcome = ServerMessage::Welcome(Welcome {
            session: session.0.to_string(),
            user: self.key.clone(),
            epoch: world.epoch(),
            version: self.version,
            server_time: self.inside.clock.now(),
            decay: Some(decay_of(world.settings())),
        });
        let known = resume.and_then(|version| self.remembered(view, version));
        self.seats.insert(session, seat);
        self.flags.set_watching(true);
        self.send(session, encode(&welcome));
        if let (Some(shown), Some(seat)) = (known, self.seats.get_mut(&session)) {
            seat.gate = seat::Gate::resumed(shown.feed.version, shown);
        }
        self.timing = Timing::default();
        // All sessions with this view get it, so that they stay in step.
        let shown = self.rank_view(&world, view, Cause::Opened);
        self.offer(view, &shown);
        if self.newest.len() == 1 {
            self.refresh.ranked(published, self.inside.clock.now());
        }
        let model = encode(&ServerMessage::Model(self.wire_model()));
        self.send(session, model);
    }

    /// A feed that a returning client still shows, if this actor remembers it.
    fn remembered(&self, view: View, version: FeedVersion) -> Option<Arc<Shown>> {
        let drawn = self.seats.values().filter_map(|seat| Some((seat.view(), seat.gate.drawn_feed()?.clone())));
        drawn
            .chain(self.parted.iter().cloned())
            .find(|(known, shown)| *known == view && shown.feed.version == version)
            .map(|(_, shown)| shown)
    }

    fn drop_seat(&mut self, session: SessionId, say: Option<CloseReason>) {
        let Some(seat) = self.seats.remove(&session) else { return };
        self.outbox.remove(&session);
        if let Some(reason) = say {
            // One message to a mailbox that nobody else writes to any more: it cannot grow.
            seat.to.do_send(ToSession::Close(reason));
        }
        if let Some(shown) = seat.gate.drawn_feed() {
            if self.parted.len() == PARTED_MAX {
                self.parted.pop_front();
            }
            self.parted.push_back((seat.view(), shown.clone()));
        }
        self.newest.retain(|(view, _)| self.seats.values().any(|seat| seat.view() == *view));
        self.flags.set_watching(!self.seats.is_empty());
    }

    fn configure(&mut self, session: SessionId, settings: SessionSettings) {
        let Some(seat) = self.seats.get_mut(&session) else { return };
        seat.settings = settings;
        let view = seat.view();
        let world = self.inside.world.load_full();
        let shown = self.rank_view(&world, view, Cause::Configured);
        self.offer(view, &shown);
    }

    fn page(&mut self, session: SessionId, after: u32) {
        let Some(seat) = self.seats.get(&session) else { return };
        if seat.bytes.waiting() > PAGES_BYTES_MAX {
            let busy = ServerMessage::Busy(Busy { id: None, retry_after_ms: PAGE_AGAIN_MS });
            return self.send(session, encode(&busy));
        }
        let view = seat.view();
        let (world, now) = (self.inside.world.load_full(), self.inside.clock.now());
        let upto = after as usize + view.limit as usize;
        // The same noise and screen as the feed that it goes on from.
        let version = seat.gate.drawn_feed().map_or(self.version, |shown| shown.noise);
        let drawn = self.drawn_items(view);
        let screen = Viewport { version, drawn: &drawn };
        self.state.look_for(view.ranking, &world, now);
        // One more than is shown tells whether there is an end.
        let ranked = self.state.rank_on(&world, now, RankRequest { limit: upto + 1, ..view.ask() }, screen).items;
        let end = ranked.len() <= upto;
        let ranked = &ranked[..ranked.len().min(upto)];
        let likely = self.state.likely(&world, view.ranking, ranked, now);
        let items = wire_items(&world, ranked, &likely, now).into_iter().skip(after as usize).collect();
        self.send(session, encode(&ServerMessage::Page(Page { after, items, end })));
    }

    fn world_changed(&mut self, changed: &WorldChanged) {
        if changed.0.is_empty() {
            return;
        }
        let (world, now) = (self.inside.world.load_full(), self.inside.clock.now());
        if let Some((view, _)) = self.newest.iter().find(|(view, _)| view.ranking.asks_the_tower()) {
            self.state.look_for(view.ranking, &world, now);
        }
        let concerned = self.newest.iter().any(|(view, shown)| {
            self.state.is_concerned(&world, &changed.0, &shown.feed.items, view.ranking, shown.floor, now)
        });
        let left = std::mem::take(&mut self.left);
        if !concerned {
            return self.tell_live(changed, &world, &left, now);
        }
        let shown = self.newest.iter().flat_map(|(_, shown)| shown.feed.items.iter().map(|one| one.item));
        let before: Vec<ItemId> = shown.chain(left).collect();
        let cause = Cause::World { epoch: world.epoch() };
        if self.due.is_some() {
            self.due = Some((cause, Instant::now()));
            self.rank_now();
        } else {
            self.newest.retain(|(view, _)| self.seats.values().any(|seat| seat.view() == *view));
            for (view, old) in self.newest.clone() {
                let shown = self.make(&world, view, cause.clone());
                let touches = |shown: &Shown| shown.feed.items.iter().any(|one| changed.0.names(one.item));
                if touches(&old) || touches(&shown) {
                    let shown = self.stand(view, shown);
                    self.offer(view, &shown);
                } else {
                    // What else moved is pushed by the refresh that follows. The floor is the newer one, so that this
                    // change does not come this far again.
                    self.stand(view, Shown { floor: shown.floor, ..Shown::clone(&old) });
                }
            }
        }
        self.tell_live(changed, &world, &before, now);
        self.left.clear();
    }

    /// Items with windows that came into a feed, or went out of one.
    fn tell_live(&mut self, changed: &WorldChanged, world: &World, before: &[ItemId], now: Millis) {
        let after: Vec<ItemId> =
            self.newest.iter().flat_map(|(_, shown)| shown.feed.items.iter().map(|one| one.item)).collect();
        let went = changed.0.closed.iter().filter(|item| before.contains(item)).map(|item| (*item, false));
        let came = changed.0.opened.iter().filter(|item| after.contains(item)).map(|item| (*item, true));
        let frames: Vec<_> = went
            .chain(came)
            .filter_map(|(id, available)| {
                let item = world.item(id).filter(|item| !item.windows.is_always())?;
                let until = item.windows.at(now).and_then(|window| window.stop);
                Some(encode(&ServerMessage::Live(Live { item: item.key.clone(), available, until })))
            })
            .collect();
        if frames.is_empty() {
            return;
        }
        for session in self.seats.keys().copied().collect::<Vec<_>>() {
            for frame in &frames {
                self.send(session, frame.clone());
            }
        }
    }

    // ---- time ----

    fn tick(&mut self, ctx: &mut Context<Self>) {
        for session in self.seats.keys().copied().collect::<Vec<_>>() {
            self.send_released(session, |seat, now| seat.gate.tick(now));
        }
        self.send_model_if_due();
        self.flush_soon(ctx);
        if self.flags.take_stale() {
            self.rank_soon(Cause::World { epoch: self.inside.world.load().epoch() }, ctx);
        }
        self.refresh_soon(ctx);
        let idle = self.last_message.elapsed() >= Duration::from_millis(self.inside.limits.idle_ms);
        if idle || self.must_leave {
            self.passivate_if_free(ctx);
        }
    }

    fn passivate_if_free(&mut self, ctx: &mut Context<Self>) {
        if self.seats.is_empty() && self.waiting.is_empty() && self.asked.is_empty() && !self.leaving {
            self.passivate(ctx);
        }
    }

    /// Saves, leaves the directory, stops. Messages that come meanwhile wait; what is left in the mailbox at the end is
    /// delivered to the next incarnation.
    fn passivate(&mut self, ctx: &mut Context<Self>) {
        self.leaving = true;
        let save = self.save();
        ctx.wait(save.into_actor(self).map(|(), actor, ctx| {
            actor.inside.directory.leave(actor.user, &ctx.address());
            ctx.stop();
        }));
    }

    /// Nothing is saved, and nobody comes back: sessions are told, whoever waits gets to know that there is no such person.
    fn erased(&mut self, ctx: &mut Context<Self>) {
        self.leaving = true;
        let waiting = std::mem::take(&mut self.waiting).into_values().flat_map(Waiting::answers);
        let asked = std::mem::take(&mut self.asked).into_iter().map(|one| (one.event.id().clone(), one.answer));
        for (_, answer) in waiting.chain(asked) {
            if let Answer::Request(done) = answer {
                let _ = done.send(Err(Refusal::field(Code::UnknownUser, "user", "this person was erased")));
            }
        }
        for session in self.seats.keys().copied().collect::<Vec<_>>() {
            self.drop_seat(session, Some(CloseReason::Erased));
        }
        self.inside.directory.leave(self.user, &ctx.address());
        ctx.stop();
    }

    fn save_if_due(&mut self, ctx: &mut Context<Self>) {
        // A snapshot must not run ahead of the journal: it is taken at a moment when all is durable.
        let due = self.durable.0 >= self.snapshot_seq.0 + self.inside.limits.snapshot_every;
        if due && self.state.seq() == self.durable {
            let save = self.save();
            ctx.spawn(save.into_actor(self));
        }
    }

    fn save(&mut self) -> impl Future<Output = ()> + 'static + use<> {
        let seq = self.state.seq();
        let bytes = (seq > self.snapshot_seq && seq == self.durable)
            .then(|| self.state.to_bytes(self.inside.world.load().settings()));
        if bytes.is_some() {
            self.snapshot_seq = seq;
        }
        let (store, user) = (self.inside.store.clone(), self.user);
        async move {
            if let Some(bytes) = bytes
                && let Err(error) = store.save_snapshot(user, Snapshot { seq, bytes }).await
            {
                tracing::warn!(%error, user = user.0, "a snapshot was not saved: the journal has it all the same");
            }
        }
    }
}

/// How topic weights fade under these settings, as clients are told.
fn decay_of(settings: &LearnSettings) -> Decay {
    let curve = match settings.decay {
        settings::Decay::Exact => DecayCurve::Exact,
        settings::Decay::Euler => DecayCurve::Euler,
    };
    Decay { curve, rate: settings.decay_rate, horizon_ms: settings.decay_horizon_ms }
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

impl Handler<Parcel> for UserActor {
    type Result = ();
    fn handle(&mut self, mut parcel: Parcel, ctx: &mut Self::Context) {
        self.last_message = Instant::now();
        let Some(message) = parcel.take() else { return };
        match message {
            ToUser::Attach { session, to, settings, resume } => {
                self.must_leave = false;
                self.attach(session, Seat::new(to, settings), resume.map(|resume| resume.version));
            }
            ToUser::Detach(session) => self.drop_seat(session, None),
            ToUser::Act { event, answer, came } => self.act(event, answer, came, ctx),
            ToUser::Drawn(session, version) => {
                let before = self.drawn_version(session);
                self.send_released(session, |seat, now| seat.gate.drawn(version, now));
                self.log_drawn(session, before);
            }
            ToUser::Configure(session, _) | ToUser::More(session, _) if !self.may_ask_for_a_feed() => {
                self.say_busy(session);
            }
            ToUser::Configure(session, settings) => self.configure(session, settings),
            ToUser::More(session, after) => self.page(session, after),
            ToUser::AskFeed(settings, done) => {
                // Without an answer whoever asks hears `busy`.
                if let Some(feed) = self.asked_feed(View::of(&settings)) {
                    let _ = done.send(feed);
                }
            }
            ToUser::AskModel(done) => {
                let _ = done.send(Ok(self.person_model()));
            }
            ToUser::AskPrediction(item, done) => {
                let judged = self.state.predict(&self.inside.world.load(), item).map(Prediction::of);
                let unknown = || Refusal::field(Code::UnknownItem, "item", "no such item");
                let _ = done.send(judged.ok_or_else(unknown));
            }
            ToUser::Described => {
                let before = self.state.attributes().cloned();
                self.describe();
                if self.state.attributes() != before.as_ref() && self.inside.world.load().tower().is_some() {
                    self.rank_soon(Cause::Refreshed, ctx);
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
        self.world_changed(&changed);
        self.refresh_soon(ctx);
        self.flush_soon(ctx);
    }
}

/// To itself: the mailbox is drained.
#[derive(Message)]
#[rtype(result = "()")]
struct RankNow;

impl Handler<RankNow> for UserActor {
    type Result = ();
    fn handle(&mut self, _: RankNow, ctx: &mut Self::Context) {
        self.rank_now();
        self.flush_soon(ctx);
    }
}

/// To itself: the mailbox is drained.
#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

impl Handler<Flush> for UserActor {
    type Result = ();
    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.flush(ctx);
    }
}

/// How a feed is ranked, apart from who sees it: sessions with the same view share one.
impl View {
    fn of(settings: &SessionSettings) -> View {
        View { ranking: settings.ranking, limit: settings.limit, explain: settings.explain }
    }

    fn ask(self) -> RankRequest {
        RankRequest { ranking: self.ranking, limit: self.limit as usize, explain: self.explain }
    }
}
