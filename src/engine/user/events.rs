//! Events that a user's state learns from, and the effects that the shell performs.
//!
//! Invariant: a validated event has an id that is unique per user, and a payload that tells a reused id apart.

use crate::domain::feeds::Cause;
use crate::domain::ids::{ItemId, Key, Seq, TopicId, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::journal::{Contents, Entry, Measured, Undo};
use crate::domain::time::Millis;

/// A validated action of the user, or a measurement of the user.
#[derive(Clone, Debug, PartialEq)]
pub enum UserEvent {
    /// Chose an item among all available ones.
    Interacted(Interaction),
    /// Judged one item that was put before the user, as in a log of views: an answer, not a choice among others.
    Answered(Interaction),
    /// Started to follow another user.
    Followed {
        /// Event id, unique per user.
        id: Key,
        /// The followed user.
        user: UserId,
        /// Time of the event.
        at: Millis,
    },
    /// Stopped following another user.
    Unfollowed {
        /// Event id, unique per user.
        id: Key,
        /// The user who is followed no longer.
        user: UserId,
        /// Time of the event.
        at: Millis,
    },
    /// Published an item.
    Posted {
        /// Event id, unique per user.
        id: Key,
        /// The published item.
        item: ItemId,
        /// Time of the event.
        at: Millis,
    },
    /// Switched an own item on air or off air.
    WentLive {
        /// Event id, unique per user.
        id: Key,
        /// The switched item.
        item: ItemId,
        /// `true` switches on, `false` switches off.
        on: bool,
        /// Time of the event.
        at: Millis,
    },
    /// Set topic weights, each in [0, 1].
    TopicsSet {
        /// Event id, unique per user.
        id: Key,
        /// New weights; topics that are not named keep theirs.
        weights: Vec<(TopicId, f32)>,
        /// Time of the event.
        at: Millis,
    },
    /// A metric of the user was measured. It is learned, but causes no new ranking.
    Measured {
        /// Event id, unique per user.
        id: Key,
        /// The value, with a declared metric and kind.
        measured: Measured,
        /// Time of the event.
        at: Millis,
    },
    /// Cancels earlier interactions of the user. The state must be folded again without them.
    Undone {
        /// Event id, unique per user.
        id: Key,
        /// The event or the item that the user named.
        of: Undo,
        /// Numbers of the entries that it cancels, ascending. The shell reads them from the journal.
        cancels: Vec<Seq>,
        /// Time of the event.
        at: Millis,
    },
}

impl UserEvent {
    /// Event id that the client gave, unique per user.
    #[must_use]
    pub fn id(&self) -> &Key {
        match self {
            UserEvent::Interacted(interaction) | UserEvent::Answered(interaction) => &interaction.id,
            UserEvent::Followed { id, .. }
            | UserEvent::Unfollowed { id, .. }
            | UserEvent::Posted { id, .. }
            | UserEvent::WentLive { id, .. }
            | UserEvent::TopicsSet { id, .. }
            | UserEvent::Measured { id, .. }
            | UserEvent::Undone { id, .. } => id,
        }
    }

    /// Payload of the event, for detecting an event id that is reused with other contents.
    #[must_use]
    pub fn contents(&self) -> Contents {
        match self {
            UserEvent::Interacted(one) | UserEvent::Answered(one) => {
                Contents::Interacted(one.item, one.kind, one.dwell_ms)
            }
            UserEvent::Followed { user, .. } => Contents::Followed(*user),
            UserEvent::Unfollowed { user, .. } => Contents::Unfollowed(*user),
            UserEvent::Posted { item, .. } => Contents::Posted(*item),
            UserEvent::WentLive { item, on, .. } => Contents::WentLive(*item, *on),
            UserEvent::TopicsSet { weights, .. } => Contents::of_weights(weights),
            UserEvent::Measured { measured, .. } => Contents::Measured(measured.clone()),
            UserEvent::Undone { of, .. } => Contents::Undone(of.clone()),
        }
    }

    /// Time of the event; [`Millis::ON_ARRIVAL`], or any future time, means the time of arrival.
    #[must_use]
    pub fn at(&self) -> Millis {
        match self {
            UserEvent::Interacted(interaction) | UserEvent::Answered(interaction) => interaction.at,
            UserEvent::Followed { at, .. }
            | UserEvent::Unfollowed { at, .. }
            | UserEvent::Posted { at, .. }
            | UserEvent::WentLive { at, .. }
            | UserEvent::TopicsSet { at, .. }
            | UserEvent::Measured { at, .. }
            | UserEvent::Undone { at, .. } => *at,
        }
    }
}

/// Action for the shell to perform; effects are performed in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store the entry; once it is durable, send `accepted` with its number to the client.
    Journal(Entry),
    /// The event was learned before, under this number: answer with it, and do nothing else.
    Known(Key, Seq),
    /// The feed is stale: rank again, once per burst of events.
    Rank(Cause),
    /// The event cannot be learned: this world has no such item.
    UnknownItem(Key, ItemId),
}
