//! Acceptance of events: the person's actor answers each event once its journal entry is durable.
//!
//! Invariant: `accepted` is sent only for durable entries, in journal order. When an entry
//! cannot be stored as it was learned, the state is rebuilt from the journal. Events that are not durable are learned again.
//! Deliberately absent: the lookup of event ids and learning itself (`lookup`).

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use actix::prelude::*;

use super::actor::UserActor;
use super::messages::Answer;
use super::pending::{Asked, Waiting};
use crate::actors::errors::{Busy, RequestError};
use crate::actors::journal::messages::{Stored, Verdict};
use crate::actors::session::Frame;
use crate::domain::feeds::Cause;
use crate::domain::ids::{Key, Seq};
use crate::domain::interactions::{Passed, Shown};
use crate::engine::delivery::events::FeedEvent;
use crate::engine::user::UserEvent;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::Accepted;

impl UserActor {
    /// Adds the position of the item in the feed that the session shows, and the items above it.
    pub(super) fn with_place(&self, event: UserEvent, answer: &Answer) -> UserEvent {
        let (UserEvent::Interacted(mut interaction), Answer::Session(session)) = (event.clone(), answer) else {
            return event;
        };
        interaction.shown = self.feeds.shown_to(*session).and_then(|standing| {
            let position = standing.position(interaction.item)?;
            let items = &standing.feed.items;
            // Items with a recent action are left out when the event is learned, after all events before it.
            let seen = self.subscriptions.get(session).map_or(&[][..], |one| one.seen_in(standing.feed.version));
            let passed = items[..position].iter().map(|one| Passed { item: one.item, seen: seen.contains(&one.item) });
            interaction.passed = passed.collect();
            let propensity = items[position].propensity;
            Some(Shown { version: standing.feed.version, position: position as u16, propensity })
        });
        UserEvent::Interacted(interaction)
    }

    /// Takes the journal's verdicts, which come in the order of the entries.
    pub(super) fn stored(&mut self, stored: Stored, ctx: &mut Context<Self>) {
        if stored.generation != self.generation {
            return;
        }
        let mut rebuild = false;
        for (seq, verdict) in stored.verdicts {
            match verdict {
                Verdict::Durable => self.durable = self.durable.max(seq),
                // The rebuilt state looks up the id and so recognises a resend.
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
        } else if !self.fold_if_undone(ctx) {
            self.save_if_due(ctx);
        }
    }

    /// Folds the journal again after the state learned an entry that is not stored. Then learns the waiting events again.
    fn rebuild(&mut self, ctx: &mut Context<Self>) {
        tracing::info!(user = self.user.0, "an entry was not stored as it was learned: folding the journal again");
        self.context.looks.rebuilds.fetch_add(1, Ordering::Relaxed);
        let given_up = self.generation;
        self.generation = self.journal.next_generation();
        self.journal.forget(given_up);
        self.waiting_ids.clear();
        self.undoing = None;
        // Waiting events precede later ones. Their places in the journal's queue were released with their entries.
        let mut again = VecDeque::new();
        for (_, one) in std::mem::take(&mut self.waiting) {
            let event = one.event.clone();
            for (id, answer) in one.answers() {
                match self.journal.reserve() {
                    Some(reservation) => again.push_back(Asked::new(event.clone(), answer, reservation)),
                    None => self.refuse(id, answer, Busy::JournalFull),
                }
            }
        }
        again.append(&mut self.asked);
        self.asked = again;
        // Without a lookup, the resend that caused this rebuild would be learned again and cause the next one.
        self.insists = true;
        self.load(ctx, move |actor, ctx| {
            actor.look_soon(ctx);
            actor.feeds_event(FeedEvent::Due(Cause::Refreshed), ctx);
        });
    }

    pub(super) fn accept(&mut self, accepted: Vec<(Key, Seq, Answer)>) {
        for (id, seq, answer) in accepted {
            match answer {
                Answer::Session(session) => {
                    self.send(session, Frame::Accepted(Accepted { id, seq, item: None }));
                }
                Answer::Request(done) => {
                    let _ = done.send(Ok(seq));
                }
            }
        }
    }

    pub(super) fn refuse(&mut self, id: Key, answer: Answer, error: impl Into<RequestError>) {
        match answer {
            Answer::Request(done) => {
                let _ = done.send(Err(error.into()));
            }
            Answer::Session(session) => self.send(session, Frame::Refused { id: Some(id), error: error.into() }),
        }
    }
}
