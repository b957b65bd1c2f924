//! The offline commands, one file per command: its flags (`Args`) and its `run`.
//!
//! Invariant: errors go to standard error and name the flag or key. Progress bars appear on standard error, only on a terminal.
//! Machine-readable results go to the file of `--json`.

mod by_time;
mod picture;
mod friend_graph;
pub mod simulate;
mod table_input;
mod table_import;
pub mod training_report;
pub mod train;
pub mod embeddings;
mod watch;
mod window_flags;
pub mod live_channels;
pub mod cluster;
pub mod explore;
pub mod import;
mod off_policy;
pub mod plots;
pub mod replay;
