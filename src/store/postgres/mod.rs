//! The Postgres store: the durable state of production.
//!
//! Invariant: a batch that `append` has acknowledged was committed with `synchronous_commit` on. So it survives `kill
//! -9` of this server and of the database and, as far as the disk honours `fsync`, a power cut. One process writes at a
//! time, by a lock that ends with its connection. Outcomes equal those of the embedded store. Absent on purpose:
//! poolers in transaction mode (locks and prepared statements need a session), a second writer, and retries, which
//! callers decide.
//!
//! When the answer to a commit is lost, its entries are in doubt: they may or may not be stored. The store remembers
//! them. When an identical entry comes again and is found in the journal, its outcome is `Stored`. So a caller that
//! repeats a batch learns its true outcomes.
//!
//! The futures of the store run on any executor.

mod failures;
mod url;
mod settings;
pub mod tls;
mod pool;
mod rows;
mod text_index;
pub mod schema;
mod append;
mod plan;
mod writes;
mod writer_connection;
mod writer;
mod reads;
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

pub use self::handle::Postgres;
pub use self::settings::{OutOfBounds, PostgresSettings};
pub use self::url::{PostgresUrl, PostgresUrlError};
