//! The life of a store itself: health, replacement by another server, interrupted loads, closing.
//!
//! Invariant: after `close` every call answers [`StoreError::Unavailable`].

use futures_util::future::BoxFuture;

use crate::store::error::StoreError;

/// Watches and closes a store.
pub trait MaintenanceStore: Send + Sync + 'static {
    /// Succeeds when the store can write now; the check writes one row.
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Resolves with a [`StoreError::Replaced`] when another server has replaced this one as the writer of the store.
    /// Stays pending for ever in a store that only one process can open.
    fn replaced(&self) -> BoxFuture<'_, StoreError> {
        Box::pin(std::future::pending())
    }

    /// Records, durably, whether the store holds only a part of a dump.
    fn set_loading(&self, is_loading: bool) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether the store holds only a part of a dump, since its load was interrupted.
    fn is_loading(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Integrity errors of the database files, one text each. Empty where another program owns the files.
    fn check_files(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Finishes all queued work and releases files and locks, for good. Blocks for a commit or two. Dropping the store
    /// does it, too; a server calls `close` since its actors hold the store until the process ends. Does nothing
    /// where the end of the process releases everything by itself.
    fn close(&self) {}
}
