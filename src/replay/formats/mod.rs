//! Reading log files: one module per format, all on the tools of `files`.
//!
//! Invariant: every reader is a stream in bounded memory (`accepted_rejected` holds one file at a time); `.gz` and `.zst`
//! are read as they are; whatever is wrong is reported with file, line, column and what to do about it, and ends the
//! stream. Absent on purpose: skipping what is broken, since a log that was read in part gives figures about nothing.

pub mod accepted_rejected;
pub mod activities;
pub mod events;
pub mod feed;
pub mod follows;
pub mod items;
pub mod live_intervals;
pub mod movielens;
pub mod open_bandit;
pub mod numbers;
pub mod plain;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod any_input;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod windows;

pub use crate::files::{Columns, ColumnsError, FormatError, Progress, Watch, Wrong, time};
use crate::files::{cells, error, lines, source, table};
