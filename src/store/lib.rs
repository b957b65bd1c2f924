//! The durable state of a server: journal, catalogue, snapshots, models and access, in SQLite or in Postgres.
//!
//! Invariant: both implementations pass one conformance suite. `(user, event id)` and `(user, seq)` are unique in the
//! database itself. Absent on purpose: learning; `recovery` folds the entries that a store returns.
//!
//! Files stand in reading order: a file imports only files that stand before it.

extern crate self as store;
use eddyline_core::{domain, engine};
use eddyline_process as process;

pub mod error;
pub mod journal;
pub mod catalogue;
pub mod search;
pub mod snapshots;
pub mod clusters;
pub mod slates;
pub mod models;
pub mod access;
pub mod maintenance;
pub mod activities;
mod api;
pub mod codec;
mod group;
mod tail_cache;
pub mod ndjson;
pub mod embedded;
pub mod postgres;
pub mod recovery;

pub use self::access::AccessStore;
pub use self::activities::ActivityStore;
pub use self::api::Store;
pub use self::catalogue::{CatalogueRow, CatalogueStore};
pub use self::clusters::{ClusterStore, FITS_KEPT, StoredFit};
pub use self::error::StoreError;
pub use self::journal::{JournalStore, Outcome, Slice, StandingItem, Write, writable};
pub use self::maintenance::MaintenanceStore;
pub use self::models::ModelStore;
pub use self::search::SearchStore;
pub use self::slates::SlateStore;
pub use self::snapshots::{CoordinatorSnapshot, Recovered, Snapshot, SnapshotStore};
