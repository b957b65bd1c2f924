//! The limit of open files of this process; each socket is one.
//!
//! Invariant: a run starts only with files for all sockets; otherwise the error says how to raise the limit.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files for standard streams, the runtime and REST connections.
const SPARE: u64 = 128;

/// Raises the limit for `sockets`, and prints a note if it had to.
pub fn make_room(sockets: usize) -> anyhow::Result<Option<String>> {
    let needed = sockets as u64 + SPARE;
    let limit = getrlimit(Resource::Nofile);
    // `None` means unlimited.
    let Some(current) = limit.current.filter(|current| *current < needed) else { return Ok(None) };
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < needed) {
        bail!(
            "{sockets} sockets need {needed} open files, this user may have {maximum}: raise it (`ulimit -Hn`) or ask for fewer --sockets"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })?;
    Ok(Some(format!("raised the limit of open files from {current} to {needed}")))
}
