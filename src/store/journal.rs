//! The write-ahead journal: batches of writes, their outcomes, and reads of journal entries.
//!
//! Invariant: a batch is stored whole and in order, or not at all. When `append` has answered, its entries survive
//! `kill -9` and, as far as the disk honours `fsync`, a power cut.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::clusterings::ClusteringChange;
use crate::domain::ids::{ItemId, Key, Position, Seq, TopicId, UserId};
use crate::domain::interactions::{Kind, Standing};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::metrics::Declaration;
use crate::domain::people::{Erasure, Person};
use crate::domain::text::{HasNul, json_must_be_storable, must_be_storable};
use crate::domain::time::Millis;
use crate::store::error::StoreError;

/// One write of a batch. Batches keep their order: an entry may name an item that an earlier write of its batch adds.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A journal entry. `Followed` and `Unfollowed` also change table `follows`. `Undone` marks the entries that it
    /// cancels, and deletes a snapshot of the person that includes one. All in one transaction.
    Entry(Entry),
    /// An upsert of a person, by id.
    Person(Person),
    /// The key of a new topic.
    Topic(TopicId, Key),
    /// An upsert of an item in its current revision, by id, with its windows. Embeddings of earlier revisions stay.
    Item(Arc<Item>),
    /// A centre in a new epoch. `(dim,)`.
    Centre(CentreRef, Embedding),
    /// The instant since which a part of the catalogue is in its current state; a later write replaces the instant.
    Since(Change, Millis),
    /// A change of a clustering: of its settings, of the names of its clusters, or its deletion.
    Clustering(ClusteringChange),
    /// The declaration of a metric; a later write replaces it, and `None` deletes it.
    Metric(Key, Option<Declaration>),
    /// Erases a person: their entries, snapshot, logged feeds, the follow graph in both directions, and the snapshots
    /// of the coordinator, which counted them. Their row and their items become tombstones (without a
    /// [`Write::Since`]). Their first entry is [`Outcome::Refused`] from then on, so no write in flight brings them
    /// back. No follow of them is stored.
    Erase(Erasure),
}

/// The outcome of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The write is durable; an entry gets its place in commit order.
    Stored(Position),
    /// `(user, event id)` is stored already, under this sequence number. The write changed nothing.
    Duplicate(Seq),
    /// The write was not stored, since an earlier entry of that person in the batch was a duplicate. The state that
    /// learned from it is wrong: the caller recovers the person and learns again.
    Refused,
}

/// A secondary index of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Entries of one person.
    User(UserId),
    /// Interactions with one item.
    Item(ItemId),
}

/// An item with which an interaction of a person stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingItem {
    /// Number of the newest such interaction.
    pub seq: Seq,
    /// Id of the item.
    pub item: ItemId,
    /// Kind of the interaction.
    pub kind: Kind,
    /// Instant of the interaction, as in its entry.
    pub at: Millis,
}

/// Refuses a batch with a text that some kind of store cannot hold, and names the owner of that text. The gateway
/// rejects such texts earlier, with a better message.
///
/// # Errors
/// [`StoreError::Refused`].
pub fn writable(batch: &[Write]) -> Result<(), StoreError> {
    let refuse = |what: &str, key: &Key, why: HasNul| StoreError::Refused(format!("{what} of {key:?} {why}"));
    for write in batch {
        match write {
            Write::Person(Person { key, name, attributes, .. }) => {
                let name = name.as_deref().map_or(Ok(()), must_be_storable);
                name.map_err(|why| refuse("the name", key, why))?;
                let attributes = attributes.as_deref().map_or(Ok(()), json_must_be_storable);
                attributes.map_err(|why| refuse("the attributes", key, why))?;
            }
            Write::Item(item) => {
                must_be_storable(&item.text).map_err(|why| refuse("the text", &item.key, why))?;
                let attributes = item.attributes.as_deref().map_or(Ok(()), json_must_be_storable);
                attributes.map_err(|why| refuse("the attributes", &item.key, why))?;
            }
            // Keys, the names in declarations and those of clusterings have no control characters.
            Write::Entry(_) | Write::Topic(..) | Write::Centre(..) | Write::Since(..) => {}
            Write::Metric(..) | Write::Clustering(_) | Write::Erase(_) => {}
        }
    }
    Ok(())
}

/// Appends to the journal and reads it.
pub trait JournalStore: Send + Sync + 'static {
    /// Stores a batch in one transaction. Answers when it is durable, with one outcome per write, in order.
    fn append(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>>;

    /// One page of a person's entries: those after a sequence number whose `at` (the person's own time) is at or before
    /// `until`, in order, at most `limit`.
    fn entries(
        &self,
        user: UserId,
        after: Seq,
        until: Millis,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// All entries of one person with `at` (their own time) at or before an instant, in order. Memory grows with the
    /// person's history: a server reads [`JournalStore::entries`] instead.
    fn entries_until(&self, user: UserId, at: Millis) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// Entries of all people after a position, in commit order, at most `limit`.
    fn scan(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>>;

    /// Interactions of a person or with an item, newest (by commit order) first, at most `limit`. With `before` only those
    /// below this number: the sequence number for a person, the position for an item.
    fn newest(
        &self,
        slice: Slice,
        before: Option<u64>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>>;

    /// The stored ones among these events of one person, each once, in any order. One query, whatever their number.
    fn find_events(&self, user: UserId, ids: Vec<Key>) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// Numbers of a person's interactions with an item that stand, newest first, at most `limit`.
    fn standing_of_item(
        &self,
        user: UserId,
        standing: Standing,
        item: ItemId,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Seq>, StoreError>>;

    /// Items with which interactions of a person stand, each with the newest one, newest first: those before a number,
    /// at most `limit`.
    fn standing(
        &self,
        user: UserId,
        standing: Standing,
        before: Seq,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<StandingItem>, StoreError>>;

    /// The sequence number under which this event of this person is stored.
    fn find_event(&self, user: UserId, id: Key) -> BoxFuture<'_, Result<Option<Seq>, StoreError>> {
        Box::pin(async move { Ok(self.find_events(user, vec![id]).await?.first().map(|entry| entry.seq)) })
    }
}
