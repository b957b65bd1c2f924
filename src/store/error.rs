//! The errors of a store, for both implementations.
//!
//! Invariant: `Refused` is permanent, so the caller drops the batch; `Unavailable` is transient, so the caller retries.

/// Reason for which a store did not carry out a call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Transient: the caller retries. The batch may have been committed before its answer was lost. A retry with
    /// identical entries is therefore answered `Stored` when they are found in the journal.
    #[error("the store cannot answer now: {0}")]
    Unavailable(String),
    /// A row of the database does not parse: a bug, or a table that was edited by hand.
    #[error("table `{table}` holds something unreadable: {detail}")]
    Corrupt {
        /// Table of the unreadable row, or the name of the database file.
        table: &'static str,
        /// Column and row that do not parse, for the log.
        detail: String,
    },
    /// A newer version of this program wrote the database.
    #[error("the database has schema version {found}, this program knows up to {known}: use a newer program")]
    Newer {
        /// Schema version in the database.
        found: u32,
        /// Newest schema version that this program knows.
        known: u32,
    },
    /// Another process has the store open.
    #[error("{0} is in use by another process: stop it, or choose another store")]
    Locked(String),
    /// Permanent for this process: another server writes to the database now, and this store accepts no further write.
    #[error(
        "another server took the database over while this one could not reach it ({0}): this one stores nothing more. \
         Stop one of the two; start this one again if it is the one that shall serve"
    )]
    Replaced(String),
    /// The files of a store are missing or empty. Retries do not help, and no new store may take their place.
    #[error("{0}")]
    Gone(String),
    /// Permanent (bad row or bad SQL): the caller drops the batch.
    #[error("refused by the database: {0}")]
    Refused(String),
}
