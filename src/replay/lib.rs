//! The same engine over a log: for import and for evaluation.
//!
//! Invariant: what is learned here is learned by `UserState::apply` and `CoordinatorState::apply`, the very code that
//! serves; time comes from the log. Absent on purpose: clocks (but to time the replay itself), sockets, actors.

extern crate self as replay;
use eddyline_core::{domain, engine};
use eddyline_files as files;
use eddyline_store as store;
use eddyline_tables as tables;

pub mod betting;
pub mod evaluate;
pub mod formats;
pub mod html;
pub mod labelled;
pub mod likes;
pub mod log;
pub mod metrics;
pub mod off_policy;
pub mod offline;
pub mod ope;
pub mod prequential;
pub mod rankers;
pub mod report;
pub mod test_then_learn;
