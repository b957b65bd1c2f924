//! What the program can be told on the command line, one file per command.
//!
//! Invariant: errors go to standard error and name the flag or key; progress bars appear on standard error and only on a
//! terminal; machine-readable results go where `--json` says.

pub mod by_time;
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

/// An error with its causes, each said once: a cause is left out where the text before it says it already.
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
