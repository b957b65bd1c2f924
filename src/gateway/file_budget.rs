//! How many connections the open files of this process have room for.
//!
//! Invariant: sockets, other connections and second handles together leave [`SPARE`] files to the store and the runtime,
//! whatever is configured: a crowd at the door never keeps the journal from its files. Absent on purpose: asking the
//! system, and raising its limits.

/// Files beside connections: the store's, its connections to a database, standard streams, the runtime's own.
const SPARE: usize = 256;

/// So many connections that are no sockets there should be room for.
const OTHERS: usize = 1_024;

/// No worker has more connections than this, however many files there are.
const PER_WORKER: usize = 32_000;

/// How many of each there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileBudget {
    /// WebSockets.
    pub sockets: usize,
    /// Connections that have a second handle, by which they can be cut from outside.
    pub handles: usize,
    /// Connections of all kinds, on each worker.
    pub connections_per_worker: usize,
}

impl FileBudget {
    /// Files for so many sockets, each with a second handle, and other connections beside them.
    #[must_use]
    pub fn files_for(sockets: usize) -> usize {
        sockets.saturating_mul(2).saturating_add(OTHERS + SPARE)
    }

    /// What fits into so many files. Sockets come first, but where there is no room for all of them, every second one has a
    /// second handle; without one it is the system that ends peers which vanished or do not read, later.
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
            // Every socket finds a connection, and somebody else does, too.
            prop_assert!(budget.connections_per_worker * workers + workers > budget.sockets);
        }
    }
}
