//! The commands of the program, one file per command: its flags (`Args`) and its `run`.
//!
//! Invariant: errors go to standard error and name the flag or key. Progress bars appear on standard error, only on a
//! terminal. Machine-readable results go to the file of `--json`. Commands of the server import no offline command.

// Shared by commands.
pub mod args;
pub mod loader;
pub mod output;
pub mod progress;
mod remote;
// The program with the offline commands.
pub mod beside;

// The server, and everything that needs a store or a running server.
pub mod check;
pub mod clusterings;
pub mod config;
pub mod demo;
pub mod dump;
pub mod explain;
pub mod health;
pub mod load;
pub mod db;
pub mod model;
pub mod embeddings;
pub mod serve;
pub mod token;

use std::process::ExitCode;

use crate::config::ConfigError;
use crate::process::say;

/// Runs a future to its end on the current thread.
///
/// # Errors
/// The future's own, or the operating system refuses a runtime.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Formats an error with its causes. A cause whose text is already in the message is left out.
#[must_use]
pub fn explained(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
        if said.is_empty() {
            cause
        } else if said.contains(&cause) {
            said
        } else {
            format!("{said}: {cause}")
        }
    })
}

/// Writes an error once to standard error and returns the exit status: 2 for flags or a configuration that cannot be
/// used, 1 for any other error.
#[must_use]
pub fn status(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("eddyline: {}", explained(&error)));
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("line 2: {0}")]
        struct Outer(#[source] std::io::Error);
        let error =
            Err::<(), _>(Outer(std::io::Error::other("it is torn"))).context("--in").map_err(|e| super::explained(&e));
        assert_eq!(error, Err("--in: line 2: it is torn".to_owned()));
        let error = Err::<(), _>(std::io::Error::other("it is torn")).context("it is torn").context("--in");
        assert_eq!(error.map_err(|error| super::explained(&error)), Err("--in: it is torn".to_owned()));
    }
}
