//! `eddyline health`: asks a running server whether it is ready, for containers and scripts.
//!
//! Invariant: exit status 0 only when `/ready` answered 200 in time.

use std::time::Duration;

/// Asks `{url}/ready`.
///
/// # Errors
/// That it did not answer, or what it said.
pub fn ask(url: &str) -> anyhow::Result<()> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(3))).build().into();
    let url = format!("{}/ready", url.trim_end_matches('/'));
    agent.get(&url).call().map(|_| ()).map_err(|error| anyhow::anyhow!("{url}: {error}"))
}
