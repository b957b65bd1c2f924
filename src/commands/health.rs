//! `eddyline health`: asks a running server whether it is ready, for containers and scripts.
//!
//! Invariant: exit status 0 only when `/ready` answered 200 within 3 seconds.

use std::time::Duration;

use super::remote::reason;

/// Ask a running server whether it is ready: exit status 0 or 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
}

/// Asks `{url}/ready`.
///
/// # Errors
/// The server did not answer, or answered that it is not ready.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(3))).build().into();
    let url = format!("{}/ready", args.url.trim_end_matches('/'));
    agent.get(&url).call().map(|_| ()).map_err(|error| anyhow::anyhow!("{url}: {}", reason(&error)))
}
