//! The same engine over a log: for import and for evaluation.
//!
//! Invariant: what is learned here is learned by `UserState::apply` and `CoordinatorState::apply`, the very code that
//! serves; time comes from the log. Absent on purpose: clocks, sockets, actors.

pub mod formats;
pub mod labelled;
pub mod off_policy;
pub mod offline;
pub mod ope;
