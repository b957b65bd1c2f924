//! How many files this process may open; a socket is one.
//!
//! Invariant: either there is room for all sockets, or the user is told how to make room; never a run that fails half-way.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside the sockets: standard streams, the runtime's own, REST connections.
const SPARE: u64 = 128;

/// Makes room for `sockets`, and says so when the limit had to be raised.
pub fn make_room(sockets: usize) -> anyhow::Result<Option<String>> {
    let needed = sockets as u64 + SPARE;
    let limit = getrlimit(Resource::Nofile);
    // No limit is `None`.
    let Some(current) = limit.current.filter(|current| *current < needed) else { return Ok(None) };
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < needed) {
        bail!(
            "{sockets} sockets need {needed} open files, this user may have {maximum}: raise it (`ulimit -Hn`) or ask for fewer --sockets"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })?;
    Ok(Some(format!("raised the limit of open files from {current} to {needed}")))
}
