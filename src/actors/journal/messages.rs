//! Messages for `Journal`. From people's actors: `Append`, `Forget`. From the coordinator and the door: `Append`. From
//! whoever activates a person: `Barrier`.
//!
//! Invariant: an [`Append`] holds a reservation, so a bounded number of them wait; each is answered, once per entry.

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::user::UserActor;
use crate::store::Write;

use super::Reservation;

/// Store these, in order, in one transaction. Answered through `from` when durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    /// What.
    pub writes: Vec<Write>,
    /// Who waits.
    pub from: Origin,
    /// Its place in the bounded queue.
    pub reservation: Reservation,
}

/// Who waits for an [`Append`].
pub enum Origin {
    /// One entry of a person, by this incarnation of their actor; answered by `Stored`.
    Person(Addr<UserActor>, Generation),
    /// A request; answered when all is durable. An error says why it never can be.
    Request(oneshot::Sender<Result<(), String>>),
}

/// Names one incarnation of one person's state in memory. When an entry of it could not be stored, all later ones of
/// the same generation stand on a wrong state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// This generation has been given up: nothing of it will come any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Forget(pub Generation);

/// Answered when all that was sent before is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Barrier(pub oneshot::Sender<()>);
