//! Events between their arrival and their durable entry.
//!
//! Invariant: each event that is not learned yet holds a place in the journal's queue, so their number is bounded.

use super::messages::Answer;
use crate::actors::journal::messages::Reservation;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::engine::user::UserEvent;

/// An event that is not learned yet.
pub(super) struct Asked {
    pub event: UserEvent,
    pub answer: Answer,
    /// Its place in the journal's queue, which bounds the number of waiting events.
    pub reservation: Reservation,
    /// Whether an event of this id was in the journal's queue when the store was queried.
    pub was_waiting: bool,
}

impl Asked {
    pub(super) fn new(event: UserEvent, answer: Answer, reservation: Reservation) -> Asked {
        Asked { event, answer, reservation, was_waiting: false }
    }
}

/// A learned event whose entry is on its way to the journal.
pub(super) struct Waiting {
    /// Kept to be learned again when the state is rebuilt.
    pub event: UserEvent,
    /// The event's time, as in its entry.
    pub at: Millis,
    /// The time of arrival, as in its entry.
    pub received: Millis,
    /// The first sender.
    pub answer: Answer,
    /// Senders of resends that came meanwhile, each with a place in the journal's queue.
    pub others: Vec<(Answer, Reservation)>,
}

impl Waiting {
    /// All senders that wait for the entry, with the event's id.
    pub(super) fn answers(self) -> impl Iterator<Item = (Key, Answer)> {
        let id = self.event.id().clone();
        std::iter::once(self.answer)
            .chain(self.others.into_iter().map(|(answer, _)| answer))
            .map(move |a| (id.clone(), a))
    }
}
