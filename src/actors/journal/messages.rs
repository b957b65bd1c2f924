//! Messages for `Journal`. From people's actors: `Append`, `Forget`. From the coordinator and the gateway: `Append`.
//! From activations: `Barrier`.
//!
//! Invariant: an [`Append`] holds a reservation, so a bounded number of them wait. Each entry is answered once.

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::user::UserActor;
use crate::store::Write;

use super::Reservation;

/// Stores these writes, in order, in one transaction. Answered through `from` when durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    /// The rows to store, in order.
    pub writes: Vec<Write>,
    /// The sender, who gets the answer.
    pub from: Origin,
    /// The place that the sender took in the bounded queue.
    pub reservation: Reservation,
}

/// Who waits for an [`Append`].
pub enum Origin {
    /// One entry of a person, by this incarnation of their actor; answered by `Stored`.
    Person(Addr<UserActor>, Generation),
    /// A request, answered when all writes are durable. An error says why they can never be stored.
    Request(oneshot::Sender<Result<(), String>>),
}

/// Identifies one incarnation of one person's state in memory. After an entry that could not be stored, all later
/// entries of its generation depend on a wrong state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// A generation was given up: no entry of it will come any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Forget(pub Generation);

/// Answered when all writes that were sent before are durable.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Barrier(pub oneshot::Sender<()>);
