//! Reads of the catalogue and of the follow graph.
//!
//! Invariant: a read of the whole catalogue sees one state of the database. Absent on purpose: writes, which are
//! [`Write`](crate::store::journal::Write)s of a batch.

use futures_util::future::BoxFuture;

use crate::domain::clusterings::{ClusterName, Revision};
use crate::domain::ids::{ItemId, Key, TopicId, UserId};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::journal::CentreRef;
use crate::domain::metrics::Declaration;
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::store::error::StoreError;

/// One row of the catalogue. A read delivers topics first, then centres (by topic and epoch), people (by id), items (by
/// id; newest revision, windows, deleted ones too), and the changes with their instants. Then come the metrics (by name),
/// the revisions of clusterings (by name and number), and the names of clusters.
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogueRow {
    /// A topic and its key.
    Topic(TopicId, Key),
    /// A centre in one epoch. `(dim,)`.
    Centre(CentreRef, Embedding),
    /// A person, or the tombstone of an erased one.
    Person(Person),
    /// An item in its newest revision, with its windows.
    Item(Item),
    /// The instant since which a part of the catalogue is in its current state.
    Since(Change, Millis),
    /// A metric that was declared at run time.
    Metric(Key, Declaration),
    /// A revision of the settings of a clustering.
    Clustering(Revision),
    /// The name of a cluster.
    ClusterName(ClusterName),
}

/// Reads the catalogue, embeddings of old revisions, and the follow graph.
pub trait CatalogueStore: Send + Sync + 'static {
    /// Reads the whole catalogue, row by row, in the order that [`CatalogueRow`] states.
    fn catalogue(&self, each: Box<dyn FnMut(CatalogueRow) + Send>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The embedding of an item in a revision, current or earlier.
    fn embedding(&self, item: ItemId, revision: u32) -> BoxFuture<'_, Result<Option<Embedding>, StoreError>>;

    /// People whom this person follows, by id.
    fn follows(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>>;

    /// Followers of a person, by id.
    fn followers(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>>;
}
