//! The number of connections that the open files of this process allow.
//!
//! A second handle is a duplicated descriptor of a connection, through which the watcher shuts the connection down.
//! Invariant: sockets, other connections and second handles together leave [`SPARE`] files to the store and the
//! runtime, whatever the configuration. So no number of clients takes the journal's files. Deliberately absent:
//! querying the system's limits, and raising them.

/// Files for the store, its database connections, standard streams and the runtime.
const SPARE: usize = 256;

/// Connections to keep free for requests, beside sockets.
const OTHERS: usize = 1_024;

/// Largest number of connections per worker, however many files the process may open.
const PER_WORKER: usize = 32_000;

/// The files of this process, divided among sockets, second handles and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBudget {
    /// Largest number of open WebSockets.
    pub sockets: usize,
    /// Largest number of second handles.
    pub handles: usize,
    /// Largest number of connections of all kinds on each worker.
    pub connections_per_worker: usize,
}

impl FileBudget {
    /// The files that `sockets` sockets need, each with a second handle, with other connections beside them.
    #[must_use]
    pub fn files_for(sockets: usize) -> usize {
        sockets.saturating_mul(2).saturating_add(OTHERS + SPARE)
    }

    /// Divides `files`. Sockets come first; where not all fit, half of the sockets have a second handle. For a socket
    /// without a second handle, only the system drops a peer that vanished or does not read, and later than the
    /// watcher.
    #[must_use]
    pub fn within(files: usize, sockets_max: usize, workers: usize) -> FileBudget {
        let files = files.saturating_sub(SPARE).max(2);
        let others = OTHERS.min(files / 4).max(1);
        let sockets = sockets_max.min((files - others).div_ceil(3) * 2).min(files - others);
        let handles = sockets.min(files - others - sockets);
        let connections_per_worker = ((files - handles) / workers.max(1)).clamp(1, PER_WORKER.max(sockets));
        FileBudget { sockets, handles, connections_per_worker }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sockets_come_first_and_second_handles_get_what_is_left_but_a_third() {
        let rows = [
            (FileBudget::files_for(12_000), 12_000, 12_000, 12_000),
            (20_000, 10_000, 10_000, 8_720),
            (20_000, 12_000, 12_000, 6_720),
            (20_000, 100_000, 12_480, 6_240),
            (1_024, 12_000, 384, 192),
            (0, 12_000, 1, 0),
        ];
        for (files, wanted, sockets, handles) in rows {
            let budget = FileBudget::within(files, wanted, 1);
            assert_eq!((budget.sockets, budget.handles), (sockets, handles), "{files} files, {wanted} sockets");
        }
    }

    proptest! {
        #[test]
        fn connections_leave_the_store_its_files(files in 600_usize..2_000_000, sockets_max in 1_usize..1_000_000, workers in 1_usize..64) {
            let budget = FileBudget::within(files, sockets_max, workers);
            prop_assert!(budget.connections_per_worker * workers + budget.handles + SPARE <= files);
            prop_assert!(budget.sockets <= sockets_max && budget.handles <= budget.sockets);
            // Each socket finds a connection, and at least one other client does, too.
            prop_assert!(budget.connections_per_worker * workers + workers > budget.sockets);
        }
    }
}
