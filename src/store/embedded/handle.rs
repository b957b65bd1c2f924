//! The embedded store as a handle: reader threads, writer thread, and the lock of its directory.
//!
//! Invariant: the lock is released last, after all threads have ended.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::files;
use super::layout::DATABASE;
use super::reader::Readers;
use super::writer::Writer;
use crate::store::error::StoreError;

/// The store in a directory. Its futures run on any executor; dropping one does not cancel its work.
pub struct Embedded {
    // Closed in this order: queued calls are answered, the log is folded into the file, the lock is released.
    pub(super) readers: Readers,
    pub(super) writer: Writer,
    lock: Mutex<Option<files::Lock>>,
}

impl Embedded {
    /// Opens the store in `directory`, creates it where it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// - [`StoreError::Locked`]: another process, or this one, has the directory open.
    /// - [`StoreError::Newer`]: a newer program wrote the store.
    /// - [`StoreError::Corrupt`]: the tables are not those of this program.
    /// - [`StoreError::Unavailable`]: the directory is unusable.
    /// - [`StoreError::Gone`]: the directory has held a store, and its database is missing or empty.
    pub fn open(directory: &Path) -> Result<Embedded, StoreError> {
        let mut lock = files::take(directory)?;
        let database = directory.join(DATABASE);
        let connection = files::writer(&database, &mut lock)?;
        let writer = Writer::start(connection, files::Files::of(&database)?)?;
        let readers = Readers::start(&database)?;
        Ok(Embedded { readers, writer, lock: Mutex::new(Some(lock)) })
    }

    /// Creates a store with the schema of an older version, for tests of upgrades.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the directory is unusable.
    #[doc(hidden)]
    pub fn make_of_version(directory: &Path, version: i32) -> Result<(), StoreError> {
        files::make_of_version(directory, version)
    }

    /// Answers all queued calls, folds the log into the database file, and releases the lock.
    pub(super) fn shut_down(&self) {
        self.readers.close();
        self.writer.close();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shut_down();
    }
}
