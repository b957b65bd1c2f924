//! What the program can be told on the command line, one file per command.
//!
//! Invariant: errors go to standard error and name the flag or key; progress bars appear on standard error and only on a
//! terminal; machine-readable results go where `--json` says.

pub mod check;
pub mod cluster;
pub mod db;
pub mod demo;
pub mod dump;
pub mod explain;
pub mod health;
pub mod import;
pub mod load;
pub mod loader;
pub mod model;
pub mod off_policy;
mod picture;
pub mod progress;
mod remote;
pub mod replay;
pub mod simulate;
pub mod tables;
pub mod token;
pub mod train;
