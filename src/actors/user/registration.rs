//! The entry of a person's actor in the directory, as the actor and its unopened messages see it.
//!
//! Invariant: a delivered [`Envelope`] is opened once, by this incarnation of the actor or by the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use actix::prelude::*;

use super::messages::ToUser;
use crate::domain::ids::UserId;

/// The directory's services for people's actors and for unopened messages.
pub trait Registry: Send + Sync {
    /// Removes the entry with these flags; the next message activates a new incarnation.
    fn leave(&self, user: UserId, flags: &Arc<Flags>);

    /// Delivers a message that its actor left unopened to the next incarnation.
    fn redeliver(self: Arc<Self>, user: UserId, message: ToUser);
}

/// Properties of an active person that are read without a message to their actor. Each incarnation has its own.
#[derive(Debug, Default)]
pub struct Flags {
    bits: AtomicU8,
}

const WATCHING: u8 = 1;
const STALE: u8 = 2;

impl Flags {
    /// Whether the person has an open session.
    pub(crate) fn is_watching(&self) -> bool {
        self.bits.load(Ordering::Relaxed) & WATCHING != 0
    }

    /// Records that a change of the world was not delivered because the mailbox was full.
    pub(crate) fn set_stale(&self) {
        self.bits.fetch_or(STALE, Ordering::Relaxed);
    }
}

/// The entry of one incarnation of a person's actor in the directory.
pub struct Registration {
    registry: Arc<dyn Registry>,
    user: UserId,
    flags: Arc<Flags>,
}

impl Registration {
    /// The entry with these flags.
    pub(crate) fn new(registry: Arc<dyn Registry>, user: UserId, flags: Arc<Flags>) -> Registration {
        Registration { registry, user, flags }
    }

    /// Whether the person has an open session.
    pub(super) fn set_watching(&self, watching: bool) {
        if watching {
            self.flags.bits.fetch_or(WATCHING, Ordering::Relaxed);
        } else {
            self.flags.bits.fetch_and(!WATCHING, Ordering::Relaxed);
        }
    }

    /// Whether a change of the world was not delivered because the mailbox was full, so feeds must be ranked again.
    /// Reading clears the flag.
    pub(super) fn take_stale(&self) -> bool {
        let bits = &self.flags.bits;
        bits.load(Ordering::Relaxed) & STALE != 0 && bits.fetch_and(!STALE, Ordering::Relaxed) & STALE != 0
    }

    /// Removes the entry from the directory; the next message activates a new incarnation.
    pub(super) fn leave(&self) {
        self.registry.leave(self.user, &self.flags);
    }
}

/// A message on its way to a person. When an actor stops without opening it, it returns to the directory and goes on to
/// the next incarnation.
pub struct Envelope {
    registry: Arc<dyn Registry>,
    user: UserId,
    message: Option<ToUser>,
}

impl Envelope {
    pub(crate) fn new(registry: Arc<dyn Registry>, user: UserId, message: ToUser) -> Envelope {
        Envelope { registry, user, message: Some(message) }
    }

    /// Opens the envelope; the message can be taken once.
    pub(crate) fn take(&mut self) -> Option<ToUser> {
        self.message.take()
    }
}

impl Drop for Envelope {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.registry.clone().redeliver(self.user, message);
        }
    }
}

impl Message for Envelope {
    type Result = ();
}
