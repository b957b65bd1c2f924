//! One actor per server that owns the catalogue, publishes worlds, and wakes at the next edge of availability.
//!
//! Invariant: handlers are thin shells around `CoordinatorState::apply`. Its effects are carried out in order in one
//! exhaustive match. The world is replaced before any actor is notified of the change.
//!
//! | file | subject |
//! |---|---|
//! | `messages` | messages to the actor |
//! | `fits` | stored fits of clusters |
//! | `refolds` | erasures whose person is still part of the shared learners |
//! | `schedules`, `progress` | next scheduled fits; progress of the fit in progress |
//! | `actor` | the actor's fields, its effects and its handlers |
//! | `refit`, `erasure` | refits of the clusters; erasure of a person |

pub mod messages;
pub mod fits;
mod refolds;
mod schedules;
mod progress;
pub mod actor;
mod refit;
mod erasure;
