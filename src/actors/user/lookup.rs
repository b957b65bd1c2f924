//! Lookup of event ids makes learning idempotent: a resend is not learned again, and a reused id is refused.
//!
//! Invariant: events are taken in the order of arrival. An id that neither the state nor the journal's queue remembers
//! is looked up in the store before anything is learned; all waiting ids share one query. So a resend never rebuilds a
//! state and never moves a feed. While the store cannot answer, new ids are learned without a lookup. The store's
//! unique key then finds resends, and the state is folded again once for all of them. Deliberately absent: when two
//! events are equal (`domain::journal::Contents`).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::actor::UserActor;
use super::messages::Answer;
use super::pending::{Asked, Waiting};
use super::turns::micros;
use crate::actors::errors::{Busy, reused_id};
use crate::actors::journal::messages::{Append, Origin};
use crate::domain::ids::{Key, Seq};
use crate::domain::journal::Entry;
use crate::domain::time::Millis;
use crate::engine::delivery::events::FeedEvent;
use crate::engine::user::{EVENTS_REMEMBERED, Effect, UserEvent};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::Write;

/// The largest number of ids in one query.
const LOOK_MAX: usize = 1_024;
/// A store that does not answer within this time counts as unavailable.
const LOOK_WITHIN: Duration = Duration::from_millis(1_000);
/// The pause before an unavailable store is queried again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Stored entries by event id; `None` when the store was not queried or did not answer.
type Found = Option<BTreeMap<Key, Entry>>;

/// To the actor itself: all waiting messages are handled, so their ids are looked up in one query.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LookNow;

impl Handler<LookNow> for UserActor {
    type Result = ();
    fn handle(&mut self, _: LookNow, ctx: &mut Self::Context) {
        self.look_is_due = false;
        self.look(ctx);
        self.flush_soon(ctx);
    }
}

impl UserActor {
    pub(super) fn act(&mut self, event: UserEvent, answer: Answer, came: Instant, ctx: &mut Context<Self>) {
        self.timing.queue_us = micros(came.elapsed());
        if let Some(why) = &self.broken {
            let refusal = Refusal::new(Code::Internal, format!("this person's journal cannot be read: {why}"));
            return self.refuse(event.id().clone(), answer, refusal);
        }
        let Some(reservation) = self.journal.reserve() else {
            return self.refuse(event.id().clone(), answer, Busy::JournalFull);
        };
        let asked = Asked::new(self.with_place(event, &answer), answer, reservation);
        if self.asked.is_empty() && self.undoing.is_none() && !self.must_look(&asked.event) {
            return self.take(asked, ctx);
        }
        self.asked.push_back(asked);
        self.look_soon(ctx);
    }

    /// Whether only the store can show if this event was stored, and with which contents.
    fn must_look(&self, event: &UserEvent) -> bool {
        if self.waiting_ids.contains_key(event.id()) {
            return false;
        }
        let remembers_all = self.state.seq().0 <= EVENTS_REMEMBERED as u64;
        (!remembers_all || self.state.number_of(event.id()).is_some()) && !self.store_is_away()
    }

    fn store_is_away(&self) -> bool {
        !self.insists && self.look_again.is_some_and(|again| Instant::now() < again)
    }

    pub(super) fn look_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.looking && !self.look_is_due && !self.asked.is_empty() {
            self.look_is_due = true;
            ctx.notify(LookNow);
        }
    }

    /// Looks up the ids of the waiting events, if any of them needs it.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.looking || self.asked.is_empty() || self.undoing.is_some() {
            return;
        }
        let count = self.asked.len().min(LOOK_MAX);
        let mut ids: Vec<Key> = Vec::new();
        for index in 0..count {
            let event = &self.asked[index].event;
            if self.must_look(event) {
                ids.push(event.id().clone());
            }
            self.asked[index].was_waiting = self.waiting_ids.contains_key(self.asked[index].event.id());
        }
        if ids.is_empty() {
            self.insists = false;
            return self.take_all(count, None, ctx);
        }
        self.looking = true;
        self.context.looks.queries.fetch_add(1, Ordering::Relaxed);
        let (store, user, generation) = (self.context.store.clone(), self.user, self.generation);
        let look = async move { tokio::time::timeout(LOOK_WITHIN, store.find_events(user, ids)).await };
        ctx.spawn(look.into_actor(self).map(move |found, actor, ctx| {
            actor.looking = false;
            if actor.generation != generation {
                // The state was folded again meanwhile, so other events are first in the queue.
                return actor.look_soon(ctx);
            }
            let found = match found {
                Ok(Ok(entries)) => {
                    actor.insists = false;
                    actor.look_again = None;
                    Some(entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect())
                }
                Ok(Err(error)) => actor.is_away(&error.to_string()),
                Err(_) => actor.is_away("no answer in time"),
            };
            if found.is_none() && actor.insists {
                ctx.run_later(LOOK_AGAIN, |actor, ctx| actor.look(ctx));
                return;
            }
            actor.take_all(count, found, ctx);
            actor.flush_soon(ctx);
            if actor.must_leave {
                actor.passivate_if_free(ctx);
            }
        }));
    }

    fn is_away(&mut self, why: &str) -> Found {
        tracing::debug!(user = self.user.0, why, "ids of events could not be looked up");
        self.look_again = Some(Instant::now() + LOOK_AGAIN);
        None
    }

    /// Takes the first `count` waiting events, in order.
    fn take_all(&mut self, count: usize, found: Found, ctx: &mut Context<Self>) {
        for _ in 0..count {
            // An event that cancels others is looking them up, as the first one in the queue.
            if self.looking {
                break;
            }
            let Some(asked) = self.asked.pop_front() else { break };
            let id = asked.event.id();
            if let Some(entry) = found.as_ref().and_then(|found| found.get(id)) {
                let equal = entry.holds(&asked.event.contents(), asked.event.at());
                self.known(asked, entry.seq, equal);
                continue;
            }
            if asked.was_waiting && !self.waiting_ids.contains_key(id) {
                // Its twin became durable while the other ids were looked up.
                self.asked.push_front(asked);
                break;
            }
            self.take(asked, ctx);
        }
        self.look_soon(ctx);
    }

    /// Learns an event that the store does not have, or answers one whose twin is on its way to the store.
    fn take(&mut self, asked: Asked, ctx: &mut Context<Self>) {
        if let Some(seq) = self.waiting_ids.get(asked.event.id()).copied() {
            let first = self.waiting.get(&seq);
            let equal = first.is_none_or(|first| {
                let contents = asked.event.contents();
                first.event.contents() == contents && contents.is_at(asked.event.at(), first.at, first.received)
            });
            return match self.waiting.get_mut(&seq) {
                Some(first) if equal => first.others.push((asked.answer, asked.reservation)),
                _ => self.known(asked, seq, equal),
            };
        }
        if self.state.number_of(asked.event.id()).is_some() {
            // The event is stored, and the store that knows its contents cannot answer.
            return self.refuse(asked.event.id().clone(), asked.answer, Busy::LookupUnavailable);
        }
        if UserActor::is_undo(&asked.event) {
            self.asked.push_front(asked);
            return self.begin_undo(ctx);
        }
        self.learn(asked, ctx);
    }

    /// Answers an event whose id is stored.
    fn known(&mut self, asked: Asked, seq: Seq, equal: bool) {
        let Asked { event, answer, .. } = asked;
        if equal {
            self.accept(vec![(event.id().clone(), seq, answer)]);
        } else {
            self.refuse(event.id().clone(), answer, reused_id());
        }
    }

    pub(super) fn learn(&mut self, asked: Asked, ctx: &mut Context<Self>) {
        let Asked { mut event, answer, reservation, .. } = asked;
        let (world, now) = (self.context.world.load_full(), self.context.clock.now());
        if let Err(refusal) = must_have_opened(&event, &world, now) {
            return self.refuse(event.id().clone(), answer, refusal);
        }
        if let UserEvent::Interacted(interaction) = &mut event {
            interaction.passed.retain(|passed| !self.state.acted_lately(passed.item));
        }
        let started = Instant::now();
        let effects = self.state.apply(event.clone(), &world, now);
        self.timing.learn_us = micros(started.elapsed());
        let (mut answer, mut reservation, mut event) = (Some(answer), Some(reservation), Some(event));
        for effect in effects {
            match effect {
                Effect::Journal(entry) => {
                    let (seq, id, at, received) = (entry.seq, entry.id.clone(), entry.at, entry.received);
                    if let (Some(reservation), Some(answer), Some(event)) =
                        (reservation.take(), answer.take(), event.take())
                    {
                        let from = Origin::Person(ctx.address().recipient(), self.generation);
                        self.journal.append(Append { writes: vec![Write::Entry(entry)], from, reservation });
                        self.waiting_ids.insert(id, seq);
                        self.waiting.insert(seq, Waiting { event, at, received, answer, others: Vec::new() });
                    }
                    self.model_is_stale = true;
                }
                // The id was looked up before, so the state does not know it.
                Effect::Known(id, seq) => {
                    if let Some(answer) = answer.take() {
                        self.accept(vec![(id, seq, answer)]);
                    }
                }
                // Ranked after the fold without the cancelled entries.
                Effect::Rank(_) if self.undoing.is_some() => {}
                Effect::Rank(cause) => self.feeds_event(FeedEvent::Due(cause), ctx),
                Effect::UnknownItem(id, _) => {
                    if let Some(answer) = answer.take() {
                        self.refuse(id, answer, Refusal::field(Code::UnknownItem, "item", "no such item"));
                    }
                }
            }
        }
    }
}

/// Refuses events on items that have not opened yet. Events on closed items are accepted, because events arrive late.
fn must_have_opened(event: &UserEvent, world: &World, now: Millis) -> Result<(), Refusal> {
    let (UserEvent::Interacted(interaction) | UserEvent::Answered(interaction)) = event else { return Ok(()) };
    let Some(opens) = world.item(interaction.item).and_then(|item| item.opens_after(now)) else { return Ok(()) };
    let message = format!("this item opens in {} ms: act on it from then on", opens.since(now));
    Err(Refusal::field(Code::Unavailable, "item", message))
}
