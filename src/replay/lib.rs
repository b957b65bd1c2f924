//! Offline evaluation: logs are replayed through the serving engine and through baselines.
//!
//! Invariant: learning runs through `UserState::apply` and `CoordinatorState::apply`, the code that serves; time comes
//! from the log. Absent on purpose: clocks (except to time the replay), sockets, actors.

extern crate self as replay;
use eddyline_core::{domain, engine};
use eddyline_files as files;
use eddyline_fold as fold;
use eddyline_tables as tables;

pub mod formats;
pub mod log;
pub mod metrics;
pub mod betting;
pub mod ope;
pub mod rankers;
pub mod prequential;
pub mod test_then_learn;
pub mod likes;
pub mod report;
pub mod evaluate;
pub mod classifiers;
pub mod labelled;
pub mod off_policy;
pub mod html;
