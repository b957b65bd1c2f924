//! All areas of a store as one object-safe trait.
//!
//! Invariant: a type that implements every area is a [`Store`]; there is no other way to become one.

use crate::store::access::AccessStore;
use crate::store::activities::ActivityStore;
use crate::store::catalogue::CatalogueStore;
use crate::store::clusters::ClusterStore;
use crate::store::journal::JournalStore;
use crate::store::maintenance::MaintenanceStore;
use crate::store::models::ModelStore;
use crate::store::search::SearchStore;
use crate::store::slates::SlateStore;
use crate::store::snapshots::SnapshotStore;

/// The durable state of a server, which holds it as an `Arc<dyn Store>`.
pub trait Store:
    JournalStore
    + CatalogueStore
    + SearchStore
    + SnapshotStore
    + ClusterStore
    + SlateStore
    + ModelStore
    + AccessStore
    + ActivityStore
    + MaintenanceStore
{
}

impl<T> Store for T where
    T: JournalStore
        + CatalogueStore
        + SearchStore
        + SnapshotStore
        + ClusterStore
        + SlateStore
        + ModelStore
        + AccessStore
        + ActivityStore
        + MaintenanceStore
{
}
