//! Cancellation of earlier interactions: the actor looks up the entries to cancel, journals the cancellation, and folds the
//! journal again without them.
//!
//! Invariant: between a cancellation and the end of its fold the actor learns nothing and saves no snapshot. So no later
//! entry is learned from a cancelled one, and no snapshot includes it. Deliberately absent: the marks of cancelled entries
//! (the store), and the shared learners (`actors::coordinator`).

use std::time::Duration;

use actix::prelude::*;

use super::actor::UserActor;
use crate::actors::errors::Busy;
use crate::domain::feeds::Cause;
use crate::domain::ids::{Seq, UserId};
use crate::domain::journal::{Undo, What};
use crate::engine::delivery::events::FeedEvent;
use crate::engine::user::UserEvent;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::{Store, StoreError};

/// The largest number of entries that one event cancels, the newest ones first.
const CANCELS_MAX: u32 = 1_024;
/// A store that does not answer within this time counts as unavailable.
const FOUND_WITHIN: Duration = Duration::from_millis(1_000);

/// The entries that a request cancels.
enum Found {
    /// These stand, ascending; none where nothing stands.
    Standing(Vec<Seq>),
    /// The entry with this number has cancelled the named event.
    Cancelled(Seq),
    /// The named event cannot be cancelled.
    Refused(Refusal),
}

async fn find(store: &dyn Store, user: UserId, of: Undo) -> Result<Found, StoreError> {
    let id = match of {
        Undo::Item(item, inverse) => {
            let mut standing = store.standing_of_item(user, inverse.cancels(), item, CANCELS_MAX).await?;
            standing.reverse();
            return Ok(Found::Standing(standing));
        }
        Undo::Event(id) => id,
    };
    Ok(match store.find_events(user, vec![id]).await?.pop() {
        None => Found::Refused(Refusal::field(Code::UnknownEvent, "event", "this person has no event of this id")),
        Some(entry) => match entry.what {
            What::Interacted(_) => Found::Standing(vec![entry.seq]),
            What::Cancelled(cancelled) => Found::Cancelled(cancelled.by),
            _ => {
                let message = "only interactions can be undone: a follow ends with an unfollow";
                Found::Refused(Refusal::field(Code::Conflict, "event", message))
            }
        },
    })
}

impl UserActor {
    /// Whether this event cancels others, which must be looked up before it is learned.
    pub(super) fn is_undo(event: &UserEvent) -> bool {
        matches!(event, UserEvent::Undone { .. })
    }

    /// Looks up the entries that the first waiting event cancels, then learns it. It stays the first one meanwhile.
    pub(super) fn begin_undo(&mut self, ctx: &mut Context<Self>) {
        let Some(UserEvent::Undone { of, .. }) = self.asked.front().map(|asked| &asked.event) else { return };
        self.looking = true;
        let (store, journal) = (self.context.store.clone(), self.journal.clone());
        let (user, of, generation) = (self.user, of.clone(), self.generation);
        let read = async move {
            let read = async {
                // Entries on their way to the store can be cancelled, too.
                journal.barrier().await;
                find(&*store, user, of).await
            };
            tokio::time::timeout(FOUND_WITHIN, read).await
        };
        ctx.spawn(read.into_actor(self).map(move |found, actor, ctx| {
            actor.looking = false;
            if actor.generation == generation {
                actor.undo(found.ok().and_then(Result::ok), ctx);
            }
            actor.look_soon(ctx);
            actor.flush_soon(ctx);
            if actor.must_leave {
                actor.passivate_if_free(ctx);
            }
        }));
    }

    fn undo(&mut self, found: Option<Found>, ctx: &mut Context<Self>) {
        let Some(mut asked) = self.asked.pop_front() else { return };
        let id = asked.event.id().clone();
        match found {
            None => self.refuse(id, asked.answer, Busy::LookupUnavailable),
            Some(Found::Refused(refusal)) => self.refuse(id, asked.answer, refusal),
            Some(Found::Cancelled(by)) => self.accept(vec![(id, by, asked.answer)]),
            Some(Found::Standing(standing)) => {
                let seq = self.state.seq().next();
                self.undoing = (!standing.is_empty()).then_some((seq, id));
                if let UserEvent::Undone { cancels, .. } = &mut asked.event {
                    *cancels = standing;
                }
                self.learn(asked, ctx);
                // Learned above, unless the state knew the id.
                self.undoing.take_if(|(seq, _)| !self.waiting.contains_key(seq));
            }
        }
    }

    /// Folds the journal again once a cancellation is durable. Messages wait meanwhile; then all sessions get a feed.
    pub(super) fn fold_if_undone(&mut self, ctx: &mut Context<Self>) -> bool {
        let Some((_, id)) = self.undoing.take_if(|(seq, _)| *seq <= self.durable) else { return false };
        self.load(ctx, move |actor, ctx| {
            actor.model_is_stale = true;
            actor.feeds_event(FeedEvent::Due(Cause::Event { id }), ctx);
            actor.look_soon(ctx);
            actor.flush_soon(ctx);
        });
        true
    }
}
