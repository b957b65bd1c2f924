//! Readers of log files: one module per format, all on the tools of `files`.
//!
//! Invariant: every reader is a stream in bounded memory (`accepted_rejected` holds one file at a time), with `.gz`
//! and `.zst` decompressed on the fly. The first error names file, line, column and remedy, and ends the stream.
//! Absent on purpose: skipping broken rows, because figures of an incomplete log are worth nothing.

pub mod numbers;
pub mod plain;
pub mod movielens;
pub mod live_intervals;
pub mod open_bandit;
pub mod events;
pub mod feed;
pub mod follows;
pub mod items;
pub mod measurements;
pub mod windows;
mod extended_json;
pub mod activities;
pub mod accepted_rejected;
#[cfg(test)]
mod any_input;
#[cfg(test)]
mod tests;

pub use crate::files::{Columns, ColumnsError, FormatError, Progress, Watch, Wrong, time};
