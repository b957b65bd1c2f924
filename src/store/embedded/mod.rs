//! The embedded store: SQLite, compiled in, one file in a directory of its own.
//!
//! Invariant: a batch that `append` has acknowledged is in the log and synced (WAL with `synchronous = FULL`). So it
//! survives `kill -9` and, as far as disk and file system honour `fsync`, a power cut. SQLite's own checkpoints copy
//! the log into the file (every 1,000 pages, the default); replaying the log is the only repair. One process owns the
//! directory at a time. Absent on purpose: a server, a second writer, networked file systems.
//!
//! `(user, event id)` and `(user, seq)` are unique indexes. An entry is
//! [`Outcome::Refused`](crate::store::Outcome::Refused) when its number is not the last one of its person plus one. Later entries of that person in the batch are refused, too. A
//! write that is no entry is answered by the position of the last entry of the journal.
//!
//! A store whose files were deleted or replaced acknowledges no further write.
//! [`close`](crate::store::MaintenanceStore::close) folds the log into the file and deletes it.

mod layout;
mod failures;
mod migrations;
mod text_index;
mod wal;
mod files;
mod rows;
mod statements;
mod writes;
mod writer;
mod reader;
mod handle;
mod journal;
mod catalogue;
mod search;
mod snapshots;
mod clusters;
mod slates;
mod models;
mod access;
mod activities;
mod maintenance;

pub use self::handle::Embedded;
