//! The memory: what survives.
//!
//! Invariant: a batch is stored whole and in order, or not at all; when `append` has answered, its entries survive
//! `kill -9` and, as far as the disk keeps its word, a power cut. `(user, event id)` and `(user, seq)` are unique in
//! the database itself. Absent on purpose: learning; a store folds nothing (`recovery` folds what a store holds).

extern crate self as store;
use eddyline_core::{domain, engine};
use eddyline_process as process;

pub mod access;
pub mod codec;
pub mod embedded;
mod tail_cache;
mod group;
pub mod ndjson;
pub mod models;
pub mod postgres;
pub mod recovery;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::feeds::Slate;
use crate::domain::ids::{FeedVersion, ItemId, Key, ModelVersion, Position, Seq, TopicId, UserId};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::people::{Erasure, Person};
use crate::domain::text::{HasNul, json_must_be_storable, must_be_storable};
use crate::domain::time::Millis;

use access::{SigningKey, TokenRecord};
use models::{KeptModel, NewModel, Publication};

/// One thing to be stored. Within a batch the order is kept: an entry may name an item written before it.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A journal entry. Also keeps the graph: `Followed` and `Unfollowed` change `follows` in the same transaction.
    Entry(Entry),
    /// A person, new or changed (by id).
    Person(Person),
    /// A topic's name, new.
    Topic(TopicId, Key),
    /// An item, new or in a new revision (by id), with its windows. The embedding of earlier revisions is kept.
    Item(Arc<Item>),
    /// A centre, in a new epoch. `(dim,)`.
    Centre(CentreRef, Embedding),
    /// Since when something of the catalogue is as it is; written again, the newer instant counts.
    Since(Change, Millis),
    /// Forgets a person: their entries, their snapshot, their logged feeds, the graph both ways, the coordinator's snapshots (which counted
    /// them); their row and their items become tombstones (without a [`Write::Since`]). From then on their first entry is [`Outcome::Refused`] for
    /// ever, so nothing that was under way brings them back, and nobody can follow them.
    Erase(Erasure),
}

/// What became of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable; entries get their place in commit order.
    Stored(Position),
    /// `(user, event id)` was already there, under this number. Nothing was stored.
    Duplicate(Seq),
    /// Not stored, since an earlier entry of the same person in this batch was a duplicate: what was learned since then
    /// stands on a wrong state and must be learned again.
    Refused,
}

/// A person's learned state as far as it was saved, and all that came after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The newest readable snapshot.
    pub snapshot: Option<Snapshot>,
    /// Entries after it in order; all entries without one.
    pub tail: Vec<Entry>,
}

/// Learned state in a form of its own; whoever reads it checks format and checksum.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Last entry that it includes.
    pub seq: Seq,
    /// As written.
    pub bytes: Vec<u8>,
}

/// Fits of groups of people that are kept.
pub const FITS_KEPT: u32 = 100;

/// A fit of groups of people; whoever reads it knows the forms.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFit {
    /// Its number; rises from fit to fit.
    pub epoch: u64,
    /// When it was taken over.
    pub fitted_at: Millis,
    /// What is told of it: JSON.
    pub summary: String,
    /// What the next fit begins from.
    pub state: Vec<u8>,
    /// Everybody's place, of the newest fit until somebody is erased.
    pub members: Option<Vec<u8>>,
}

/// Where in the journal to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// A person's own entries.
    User(UserId),
    /// All interactions with an item.
    Item(ItemId),
}

/// What the whole catalogue consists of, handed over row by row while it is read: topics first, then centres (by
/// topic, epoch), people (by id), items (by id; newest revision, windows, deleted ones too), since when what is so.
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogueRow {
    /// See [`Write::Topic`].
    Topic(TopicId, Key),
    /// See [`Write::Centre`].
    Centre(CentreRef, Embedding),
    /// See [`Write::Person`].
    Person(Person),
    /// See [`Write::Item`].
    Item(Item),
    /// See [`Write::Since`].
    Since(Change, Millis),
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may or may not have been written, since the answer was lost: the caller may try the very same again, and an
    /// entry that turns out to be there is told as `Stored`.
    #[error("the store cannot answer now: {0}")]
    Unavailable(String),
    /// Our own row does not parse: a bug, or a table edited by hand.
    #[error("table `{table}` holds something unreadable: {detail}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What.
        detail: String,
    },
    /// The database was written by a newer version of this program.
    #[error("the database has schema version {found}, this program knows up to {known}: use a newer program")]
    Newer {
        /// In the database.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// Another process has it open.
    #[error("{0} is in use by another process: stop it, or choose another store")]
    Locked(String),
    /// Another server writes to the database from now on. Whoever hears this can never store anything again.
    #[error(
        "another server took the database over while this one could not reach it ({0}): this one stores nothing more. \
         Stop one of the two; start this one again if it is the one that shall serve"
    )]
    Replaced(String),
    /// The files of a store are missing or empty: trying again does not help, a new store must not take their place.
    #[error("{0}")]
    Gone(String),
    /// A row can never be stored: a bug.
    #[error("refused by the database: {0}")]
    Refused(String),
}

/// Refuses a batch with a text that not every kind of store can keep, and names whose it is; the doors refuse such a text
/// before it comes here.
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
            Write::Item(item) => must_be_storable(&item.text).map_err(|why| refuse("the text", &item.key, why))?,
            // Keys have no control characters.
            Write::Entry(_) | Write::Topic(..) | Write::Centre(..) | Write::Since(..) | Write::Erase(_) => {}
        }
    }
    Ok(())
}

/// The durable state. Object-safe: the server holds an `Arc<dyn Store>`.
pub trait Store: Send + Sync + 'static {
    /// Stores a batch in one transaction; answers when it is durable, with one outcome per write, in order.
    fn append(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>>;

    /// Reads the whole catalogue, row by row, in the order that [`CatalogueRow`] states..
    fn catalogue(&self, each: Box<dyn FnMut(CatalogueRow) + Send>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Snapshot and tail of one person.
    fn recover(&self, user: UserId) -> BoxFuture<'_, Result<Recovered, StoreError>>;

    /// The newest snapshot of one person that can be read.
    fn snapshot(&self, user: UserId) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>>;

    /// One page of a person's entries: those after a number whose `at` (the person's own time) is at or before an
    /// instant, in order, at most `limit`.
    fn entries(
        &self,
        user: UserId,
        after: Seq,
        until: Millis,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// All entries of one person with `at` (their own time) at or before an instant, in order. Memory grows with the
    /// person's past: a server reads [`Store::entries`] instead.
    fn entries_until(&self, user: UserId, at: Millis) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// Saves a snapshot, unless a newer one is there.
    fn save_snapshot(&self, user: UserId, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The coordinator's newest snapshot and the position that it covers.
    #[allow(clippy::type_complexity)] // Named, it would be one more word to look up.
    fn coordinator_snapshot(&self) -> BoxFuture<'_, Result<Option<(Position, Vec<u8>)>, StoreError>>;

    /// Saves the coordinator's snapshot, unless a newer one is there.
    fn save_coordinator_snapshot(&self, covers: Position, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Entries of everybody after a position, in commit order, at most `limit`.
    fn scan(&self, after: Position, limit: u32) -> BoxFuture<'_, Result<Vec<(Position, Entry)>, StoreError>>;

    /// Interactions of a person or with an item, newest (by commit order) first, at most `limit`.
    fn newest(&self, slice: Slice, limit: u32) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// Those of these events of one person that are stored, each once, in any order. One query, whatever their number.
    fn find_events(&self, user: UserId, ids: Vec<Key>) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// The number under which this event of this person is stored.
    fn find_event(&self, user: UserId, id: Key) -> BoxFuture<'_, Result<Option<Seq>, StoreError>> {
        Box::pin(async move { Ok(self.find_events(user, vec![id]).await?.first().map(|entry| entry.seq)) })
    }

    /// The embedding of an item in a revision, current or earlier.
    fn embedding(&self, item: ItemId, revision: u32) -> BoxFuture<'_, Result<Option<Embedding>, StoreError>>;

    /// Whom a person follows, by id.
    fn follows(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>>;

    /// Who follows a person, by id.
    fn followers(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>>;

    /// Comes when another server has replaced this one in the store, with the reason to end: a [`StoreError::Replaced`].
    /// Where that cannot happen it never comes.
    fn replaced(&self) -> BoxFuture<'_, StoreError> {
        Box::pin(std::future::pending())
    }

    /// Logs drawn feeds, each once and none of somebody who was erased, and forgets those that were drawn before an instant.
    fn log_slates(&self, slates: Vec<Slate>, before: Option<Millis>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// One page of a person's logged feeds: those after a version (`None`: from the first), by version, at most `limit`.
    fn slates(
        &self,
        user: UserId,
        after: Option<FeedVersion>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Slate>, StoreError>>;

    /// Keeps a fit of groups of people, once; forgets people's places in those before it, and fits before the last
    /// [`FITS_KEPT`].
    fn save_fit(&self, fit: StoredFit) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The newest fits, newest first.
    fn fits(&self, limit: u32) -> BoxFuture<'_, Result<Vec<StoredFit>, StoreError>>;

    /// Keeps a model and gives it the next number, unless it brings one; forgets those that [`models`] says.
    fn save_model(&self, model: NewModel) -> BoxFuture<'_, Result<ModelVersion, StoreError>>;

    /// All models that are kept, oldest first.
    fn models(&self) -> BoxFuture<'_, Result<Vec<KeptModel>, StoreError>>;

    /// What a model consists of; `None` for one that is not kept.
    fn checkpoint(&self, version: ModelVersion) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>>;

    /// This model serves from then on, unless it does already; `false` when it is not kept, and nothing has changed.
    fn publish_model(&self, version: ModelVersion, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Adds to the list of publications, whether or not the model is kept: for loading a dump.
    fn note_publication(&self, publication: Publication) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Which model served from when on, in order; the last one serves now.
    fn publications(&self) -> BoxFuture<'_, Result<Vec<Publication>, StoreError>>;

    /// Finishes what was asked and gives everything back, for good: whoever asks later hears [`StoreError::Unavailable`].
    /// Blocks for a commit or two. Dropping the store does it, too; a server calls it since its actors hold the store
    /// until the process ends. Where the end of the process gives everything back by itself, it does nothing.
    fn close(&self) {}

    /// Keeps, durably, that the store holds a part of a dump only, or that it is whole again.
    fn set_loading(&self, is_loading: bool) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Does the store hold a part of a dump only, since a load of it was interrupted?
    fn is_loading(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// What is wrong with the files themselves, in words, below all tables; nothing where they are somebody else's.
    fn check_files(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Can it write now?
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// All keys that sign tokens, retired ones too, by creation and then id.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, StoreError>>;

    /// Keeps a new key; `false` when its id is taken. Forgets retired keys but for the last [`access::RETIRED_KEPT`].
    fn put_key(&self, key: SigningKey) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Retires a key and forgets its secret; `false` when no key of this id is in use.
    fn retire_key(&self, kid: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Tokens that expire after `live_at`, by id, after the id `after` (empty: from the first), at most `limit`.
    fn tokens(&self, live_at: Millis, after: String, limit: u32)
    -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>>;

    /// Keeps a new token's record; `false` when its id is taken, and nothing has changed. Forgets records of tokens that
    /// expired [`access::KEPT_AFTER_EXPIRY_MS`] before this one was made.
    fn put_token(&self, record: TokenRecord) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Revokes a token; the first instant stays. `false` when no such id is kept.
    fn revoke_token(&self, jti: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Ids of all revoked tokens that expire after `live_at`, in any order.
    fn revoked_tokens(&self, live_at: Millis) -> BoxFuture<'_, Result<Vec<Key>, StoreError>>;
}
