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

// The server, and everything that needs a store or a running server.
pub mod check;
pub mod config;
pub mod db;
pub mod demo;
pub mod dump;
pub mod explain;
pub mod health;
pub mod load;
pub mod model;
pub mod serve;
pub mod token;

// Offline: logs, tables, evaluation, training.
pub mod by_time;
pub mod cluster;
pub mod import;
pub mod off_policy;
mod picture;
pub mod replay;
pub mod simulate;
pub mod tables;
pub mod train;

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
