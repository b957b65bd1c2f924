//! The effect of each write on the tables, inside the transaction of the caller.
//!
//! Invariant: an entry is stored only under the next sequence number of its person, so their numbers have no gaps.
//! Revisions, centres and keys never change: a write that would change one is refused, not ignored.
//! Absent on purpose: transactions, threads.

mod access;
mod clusters;
mod erasure;
pub(crate) mod models;
mod slates;

use std::collections::HashSet;

use rusqlite::{CachedStatement, Connection, params};

use super::{rows, statements, text_index};
use crate::domain::feeds::Slate;
use crate::domain::ids::{Position, Seq, UserId};
use crate::domain::items::Item;
use crate::domain::journal::{Entry, Undone, What};
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::store::access::AccessChange;
use crate::store::activities::Statement;
use crate::store::clusters::StoredFit;
use crate::store::codec::{self, COORDINATOR, JournalRow};
use crate::store::error::StoreError;
use crate::store::journal::{Outcome, Write};
use crate::store::models::ModelChange;
use crate::store::snapshots::Snapshot;
use crate::store::tail_cache::TailCache;

const JOURNAL_APPEND: &str = include_str!("../../../../sql/queries/journal_append.sql");
const JOURNAL_LAST_SEQ: &str = include_str!("../../../../sql/queries/journal_last_seq.sql");
const JOURNAL_LAST_POSITION: &str = include_str!("../../../../sql/queries/journal_last_position.sql");
const JOURNAL_CANCEL: &str = include_str!("../../../../sql/queries/journal_cancel.sql");
const SNAPSHOT_CANCEL: &str = include_str!("../../../../sql/queries/snapshot_cancel.sql");
const JOURNAL_FIND_ENTRY: &str = include_str!("../../../../sql/queries/journal_find_entry.sql");
const FOLLOW_INSERT: &str = include_str!("../../../../sql/queries/follow_insert.sql");
const FOLLOW_DELETE: &str = include_str!("../../../../sql/queries/follow_delete.sql");
const PERSON_SAVE: &str = include_str!("../../../../sql/queries/person_save.sql");
const METRIC_SAVE: &str = include_str!("../../../../sql/queries/metric_save.sql");
const METRIC_DELETE: &str = include_str!("../../../../sql/queries/metric_delete.sql");
const TOPIC_SAVE: &str = include_str!("../../../../sql/queries/topic_save.sql");
const CENTRE_SAVE: &str = include_str!("../../../../sql/queries/centre_save.sql");
const ITEM_SAVE: &str = include_str!("../../../../sql/queries/item_save.sql");
const EMBEDDING_SAVE: &str = include_str!("../../../../sql/queries/embedding_save.sql");
const WINDOWS_DELETE: &str = include_str!("../../../../sql/queries/windows_delete.sql");
const WINDOW_INSERT: &str = include_str!("../../../../sql/queries/window_insert.sql");
const CHANGE_SAVE: &str = include_str!("../../../../sql/queries/change_save.sql");
const SNAPSHOT_SAVE: &str = include_str!("../../../../sql/queries/snapshot_save.sql");
const COORDINATOR_SNAPSHOT_NEWEST: &str = include_str!("../../../../sql/queries/coordinator_snapshot_newest.sql");
const COORDINATOR_SNAPSHOT_SAVE: &str = include_str!("../../../../sql/queries/coordinator_snapshot_save.sql");
const COORDINATOR_SNAPSHOTS_TRIM: &str = include_str!("../../../../sql/queries/coordinator_snapshots_trim.sql");
const LOADING_BEGIN: &str = include_str!("../../../../sql/queries/loading_begin.sql");
const LOADING_END: &str = include_str!("../../../../sql/queries/loading_end.sql");
const HEALTH_TOUCH: &str = include_str!("../../../../sql/queries/health_touch.sql");

/// The writes of one transaction in progress.
pub(super) struct Writes<'c> {
    connection: &'c Connection,
    tails: &'c mut TailCache,
    append: CachedStatement<'c>,
}

impl<'c> Writes<'c> {
    pub(super) fn new(connection: &'c Connection, tails: &'c mut TailCache) -> Result<Writes<'c>, StoreError> {
        // Prepared once per transaction: a lookup by its text for each entry costs as much as the insert.
        let append = connection.prepare_cached(JOURNAL_APPEND)?;
        Ok(Writes { connection, tails, append })
    }

    /// Writes one batch. After a duplicate of a person, their later entries in this batch are refused.
    pub(super) fn batch(&mut self, batch: &[Write]) -> Result<Vec<Outcome>, StoreError> {
        let mut stale: HashSet<UserId> = HashSet::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for write in batch {
            let outcome = match write {
                Write::Entry(entry) if stale.contains(&entry.user) => Outcome::Refused,
                Write::Entry(entry) => {
                    let outcome = self.entry(entry)?;
                    if !matches!(outcome, Outcome::Stored(_)) {
                        stale.insert(entry.user);
                    }
                    outcome
                }
                Write::Erase(erasure) => {
                    erasure::erase(self.connection, erasure)?;
                    self.tails.clear();
                    Outcome::Stored(self.last_position()?)
                }
                other => {
                    self.other(other)?;
                    Outcome::Stored(self.last_position()?)
                }
            };
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn entry(&mut self, entry: &Entry) -> Result<Outcome, StoreError> {
        // An erased person has no numbers any more, so only a first entry could bring them back.
        if entry.seq == Seq(1) && erasure::is_erased(self.connection, entry.user)? {
            return Ok(Outcome::Refused);
        }
        if entry.seq == self.last_seq(entry.user)?.next()
            && rows::append(&mut self.append, &JournalRow::encode(entry)?)?
        {
            let position = Position(self.connection.last_insert_rowid().cast_unsigned());
            self.tails.set(entry.user, entry.seq);
            self.tails.last = Some(position);
            self.follow(entry)?;
            self.cancel(entry)?;
            return Ok(Outcome::Stored(position));
        }
        // The number is not the next one, or the event is stored: the caller learned from another state.
        let Some((position, stored)) = find_entry(self.connection, entry)? else { return Ok(Outcome::Refused) };
        if self.tails.was_in_doubt(entry, &stored)? {
            return Ok(Outcome::Stored(position));
        }
        Ok(Outcome::Duplicate(stored.seq))
    }

    fn last_position(&mut self) -> Result<Position, StoreError> {
        if let Some(last) = self.tails.last {
            return Ok(last);
        }
        let found: Option<i64> = self.connection.query_row(JOURNAL_LAST_POSITION, [], |row| row.get(0))?;
        let last = Position(found.unwrap_or(0).cast_unsigned());
        self.tails.last = Some(last);
        Ok(last)
    }

    fn last_seq(&mut self, user: UserId) -> Result<Seq, StoreError> {
        if let Some(seq) = self.tails.seq(user) {
            return Ok(seq);
        }
        let mut statement = self.connection.prepare_cached(JOURNAL_LAST_SEQ)?;
        let found: Option<i64> = statement.query_row([user.0], |row| row.get(0))?;
        let seq = Seq(found.unwrap_or(0).cast_unsigned());
        self.tails.set(user, seq);
        Ok(seq)
    }

    fn follow(&self, entry: &Entry) -> Result<(), StoreError> {
        match entry.what {
            What::Followed(target) if erasure::is_erased(self.connection, target)? => {}
            What::Followed(target) => {
                let mut statement = self.connection.prepare_cached(FOLLOW_INSERT)?;
                statement.execute(params![entry.user.0, target.0, entry.at.0])?;
            }
            What::Unfollowed(target) => {
                let mut statement = self.connection.prepare_cached(FOLLOW_DELETE)?;
                statement.execute(params![entry.user.0, target.0])?;
            }
            What::Interacted(_) | What::Posted(_) | What::WentLive(..) | What::TopicsSet(_) | What::Measured(_) => {}
            What::Undone(_) | What::Cancelled(_) => {}
        }
        Ok(())
    }

    /// Marks the entries that this one cancels, and deletes a snapshot that includes any of them.
    fn cancel(&self, entry: &Entry) -> Result<(), StoreError> {
        let What::Undone(Undone { cancels, .. }) = &entry.what else { return Ok(()) };
        let Some(first) = cancels.first() else { return Ok(()) };
        let by = codec::integer("seq", entry.seq.0)?;
        let mut statement = self.connection.prepare_cached(JOURNAL_CANCEL)?;
        for seq in cancels {
            statement.execute(params![by, entry.user.0, codec::integer("seq", seq.0)?])?;
        }
        let mut statement = self.connection.prepare_cached(SNAPSHOT_CANCEL)?;
        statement.execute(params![entry.user.0, codec::integer("seq", first.0)?])?;
        Ok(())
    }

    fn other(&self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Entry(_) | Write::Erase(_) => Ok(()),
            Write::Person(person) => self.person(person),
            Write::Topic(id, key) => {
                let mut statement = self.connection.prepare_cached(TOPIC_SAVE)?;
                unchanged(statement.exists(params![id.0, key.as_str()])?, || format!("the key of topic {}", id.0))
            }
            Write::Centre(name, vector) => {
                let mut statement = self.connection.prepare_cached(CENTRE_SAVE)?;
                let row = params![name.topic.0, name.epoch, codec::floats_to_bytes(vector)];
                unchanged(statement.exists(row)?, || {
                    format!("epoch {} of the centre of topic {}", name.epoch, name.topic.0)
                })
            }
            Write::Item(item) => self.item(item),
            Write::Since(change, since) => {
                let (kind, id, number) = codec::change_to_row(*change);
                self.connection.prepare_cached(CHANGE_SAVE)?.execute(params![kind, id, number, since.0])?;
                Ok(())
            }
            Write::Metric(name, None) => {
                self.connection.prepare_cached(METRIC_DELETE)?.execute([name.as_str()])?;
                Ok(())
            }
            Write::Metric(name, Some(declaration)) => {
                let text = codec::declaration_to_text(declaration)?;
                self.connection.prepare_cached(METRIC_SAVE)?.execute(params![name.as_str(), text])?;
                Ok(())
            }
            Write::Clustering(change) => clusters::change(self.connection, change),
        }
    }

    fn person(&self, person: &Person) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(PERSON_SAVE)?;
        let row = params![
            person.id.0,
            person.key.as_str(),
            person.partition().0,
            person.name,
            person.attributes,
            person.created.0
        ];
        unchanged(statement.exists(row)?, || format!("the key of person {}", person.id.0))
    }

    fn item(&self, item: &Item) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(ITEM_SAVE)?;
        let row = params![
            item.id.0,
            item.key.as_str(),
            item.revision,
            item.author.as_ref().map(|author| author.id.0),
            item.author.as_ref().map(|author| author.key.as_str()),
            codec::topics_to_text(&item.topics),
            &*item.text,
            item.created.0,
            item.deleted,
            item.attributes.as_deref(),
        ];
        unchanged(statement.exists(row)?, || format!("the key of item {}", item.id.0))?;
        let mut statement = self.connection.prepare_cached(EMBEDDING_SAVE)?;
        let row = params![item.id.0, item.revision, codec::floats_to_bytes(&item.embedding)];
        unchanged(statement.exists(row)?, || {
            format!("the embedding of item {} in revision {}", item.id.0, item.revision)
        })?;
        match item.deleted {
            true => text_index::delete(self.connection, item.id)?,
            false => text_index::set(self.connection, item.id, &item.text)?,
        }
        self.connection.prepare_cached(WINDOWS_DELETE)?.execute([item.id.0])?;
        if !item.windows.is_always() {
            let mut statement = self.connection.prepare_cached(WINDOW_INSERT)?;
            for window in item.windows.as_slice() {
                statement.execute(params![item.id.0, window.start.0, window.stop.map(|stop| stop.0)])?;
            }
        }
        Ok(())
    }

    pub(super) fn snapshot(&mut self, user: UserId, snapshot: &Snapshot) -> Result<(), StoreError> {
        let last = self.last_seq(user)?;
        if snapshot.seq > last {
            let text =
                format!("a snapshot of person {} up to seq {}: the journal ends at {}", user.0, snapshot.seq.0, last.0);
            return Err(StoreError::Refused(text));
        }
        let checksum = codec::snapshot_checksum(u64::from(user.0), snapshot.seq.0, &snapshot.bytes);
        let mut statement = self.connection.prepare_cached(SNAPSHOT_SAVE)?;
        statement.execute(params![user.0, codec::integer("seq", snapshot.seq.0)?, checksum, snapshot.bytes])?;
        Ok(())
    }

    pub(super) fn coordinator_snapshot(&mut self, covers: Position, bytes: &[u8]) -> Result<(), StoreError> {
        let last = self.last_position()?;
        if covers > last {
            let text = format!("a coordinator snapshot up to position {}: the journal ends at {}", covers.0, last.0);
            return Err(StoreError::Refused(text));
        }
        let covers = codec::integer("position", covers.0)?;
        let newest: Option<i64> =
            self.connection.prepare_cached(COORDINATOR_SNAPSHOT_NEWEST)?.query_row([], |row| row.get(0))?;
        if newest.is_some_and(|newest| newest > covers) {
            return Ok(());
        }
        let checksum = codec::snapshot_checksum(COORDINATOR, covers.cast_unsigned(), bytes);
        self.connection.prepare_cached(COORDINATOR_SNAPSHOT_SAVE)?.execute(params![covers, checksum, bytes])?;
        self.connection.prepare_cached(COORDINATOR_SNAPSHOTS_TRIM)?.execute([])?;
        Ok(())
    }

    /// Changes keys or tokens; `Stored` when a row changed.
    pub(super) fn access(&mut self, change: &AccessChange) -> Result<Outcome, StoreError> {
        let changed = access::apply(change, self.connection)?;
        Ok(if changed { Outcome::Stored(self.last_position()?) } else { Outcome::Refused })
    }

    pub(super) fn model(&self, change: &ModelChange) -> Result<Outcome, StoreError> {
        models::apply(change, self.connection)
    }

    pub(super) fn fit(&self, fit: &StoredFit) -> Result<(), StoreError> {
        clusters::save(self.connection, fit)
    }

    pub(super) fn slates(&self, slates: &[Slate], before: Option<Millis>) -> Result<(), StoreError> {
        slates::log(self.connection, slates, before)
    }

    /// Runs statements of the feeds API.
    pub(super) fn activities(&self, list: &[Statement]) -> Result<(), StoreError> {
        list.iter().try_for_each(|statement| statements::run(self.connection, statement).map(drop))
    }

    /// Records whether the store holds only a part of a dump.
    pub(super) fn loading(&mut self, is_loading: bool) -> Result<(), StoreError> {
        let statement = if is_loading { LOADING_BEGIN } else { LOADING_END };
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    pub(super) fn health(&self) -> Result<(), StoreError> {
        self.connection.prepare_cached(HEALTH_TOUCH)?.execute([])?;
        Ok(())
    }
}

fn find_entry(connection: &Connection, entry: &Entry) -> Result<Option<(Position, Entry)>, StoreError> {
    let mut statement = connection.prepare_cached(JOURNAL_FIND_ENTRY)?;
    let mut found = statement.query(params![entry.user.0, entry.id.as_str()])?;
    found.next()?.map(rows::entry).transpose()
}

fn unchanged(held: bool, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if held { Ok(()) } else { Err(StoreError::Refused(format!("{} can never change", what()))) }
}
