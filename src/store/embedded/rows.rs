//! Rows of SQLite as domain values.
//!
//! Invariant: every query over the journal selects `position` and then the columns of `journal_append.sql` in its
//! order, so that one function decodes them all. Absent on purpose: the queries.

use std::borrow::Cow;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement, params};

use crate::domain::clusterings::{ClusterName, Revision};
use crate::domain::ids::{ItemId, Key, Position, Seq, TopicId, UserId};
use crate::domain::interactions::Kind;
use crate::domain::items::{Author, Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::metrics::Declaration;
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::store::codec::{self, JournalRow};
use crate::store::error::StoreError;
use crate::store::journal::StandingItem;

/// Runs `journal_append.sql`; `false` when the sequence number or the event id is taken.
pub(super) fn append(statement: &mut Statement<'_>, row: &JournalRow<'_>) -> Result<bool, StoreError> {
    let changed = statement.execute(params![
        row.user_id,
        row.seq,
        row.event_id,
        row.kind,
        row.at,
        row.received,
        row.item_id,
        row.revision,
        row.dwell_ms,
        row.shown_version,
        row.shown_position,
        row.shown_propensity,
        row.positive,
        row.weight,
        row.topics,
        row.centre_topic,
        row.centre_epoch,
        row.features,
        row.predicted,
        row.lesson,
        row.payload,
        row.cancelled_by,
    ])?;
    Ok(changed == 1)
}

/// Decodes a row of a query over the journal.
pub(super) fn entry(row: &Row<'_>) -> Result<(Position, Entry), StoreError> {
    let position = Position(row.get::<_, i64>(0)?.cast_unsigned());
    let columns = JournalRow {
        user_id: row.get(1)?,
        seq: row.get(2)?,
        event_id: text(row, 3)?.unwrap_or_default(),
        kind: text(row, 4)?.unwrap_or_default(),
        at: row.get(5)?,
        received: row.get(6)?,
        item_id: row.get(7)?,
        revision: row.get(8)?,
        dwell_ms: row.get(9)?,
        shown_version: row.get(10)?,
        shown_position: row.get(11)?,
        shown_propensity: row.get(12)?,
        positive: row.get(13)?,
        weight: row.get(14)?,
        topics: text(row, 15)?,
        centre_topic: row.get(16)?,
        centre_epoch: row.get(17)?,
        features: bytes(row, 18)?,
        predicted: bytes(row, 19)?,
        lesson: bytes(row, 20)?,
        payload: text(row, 21)?,
        cancelled_by: row.get(22)?,
    };
    Ok((position, columns.decode()?))
}

/// Decodes a row of `journal_standing.sql`.
pub(super) fn standing(row: &Row<'_>) -> Result<StandingItem, StoreError> {
    let kind: String = row.get(2)?;
    let kind = Kind::from_name(&kind).ok_or_else(|| corrupt("journal", format!("column `kind` holds {kind:?}")))?;
    let (seq, item) = (Seq(row.get::<_, i64>(0)?.cast_unsigned()), ItemId(row.get(1)?));
    Ok(StandingItem { seq, item, kind, at: Millis(row.get(3)?) })
}

fn text<'r>(row: &'r Row<'_>, index: usize) -> Result<Option<Cow<'r, str>>, StoreError> {
    let value = row.get_ref(index)?;
    let text = value.as_str_or_null().map_err(|error| corrupt("journal", format!("column {index}: {error}")))?;
    Ok(text.map(Cow::Borrowed))
}

fn bytes<'r>(row: &'r Row<'_>, index: usize) -> Result<Option<Cow<'r, [u8]>>, StoreError> {
    let value = row.get_ref(index)?;
    let bytes = value.as_blob_or_null().map_err(|error| corrupt("journal", format!("column {index}: {error}")))?;
    Ok(bytes.map(Cow::Borrowed))
}

/// Decodes a row of `topics_list.sql`.
pub(super) fn topic(row: &Row<'_>) -> Result<(TopicId, Key), StoreError> {
    let id: u32 = row.get(0)?;
    Ok((TopicId(id), key("topics", row, 1)?))
}

/// Decodes a row of `metrics_list.sql`.
pub(super) fn metric(row: &Row<'_>) -> Result<(Key, Declaration), StoreError> {
    let name = key("metrics", row, 0)?;
    let declaration = codec::declaration_from_text(row.get_ref(1)?.as_str().unwrap_or_default());
    let declaration = declaration.ok_or_else(|| corrupt("metrics", format!("declaration of {name:?}")))?;
    Ok((name, declaration))
}

/// Decodes a row of `clusterings_list.sql`.
pub(super) fn clustering(row: &Row<'_>) -> Result<Revision, StoreError> {
    Ok(Revision {
        clustering: row.get(0)?,
        revision: row.get(1)?,
        changed_at: Millis(row.get(2)?),
        settings: row.get(3)?,
    })
}

/// Decodes a row of `cluster_names_list.sql`.
pub(super) fn cluster_name(row: &Row<'_>) -> Result<ClusterName, StoreError> {
    Ok(ClusterName { clustering: row.get(0)?, cluster: row.get(1)?, name: row.get(2)? })
}

/// Decodes a row of `centres_list.sql`.
pub(super) fn centre(row: &Row<'_>) -> Result<(CentreRef, Embedding), StoreError> {
    let name = CentreRef { topic: TopicId(row.get(0)?), epoch: row.get(1)? };
    let vector = vector(row.get_ref(2)?)
        .ok_or_else(|| corrupt("centres", format!("vector of topic_id {}, epoch {}", name.topic.0, name.epoch)))?;
    Ok((name, vector))
}

/// Decodes a row of `people_list.sql`.
pub(super) fn person(row: &Row<'_>) -> Result<Person, StoreError> {
    Ok(Person {
        id: UserId(row.get(0)?),
        key: key("users", row, 1)?,
        name: row.get(2)?,
        attributes: row.get(3)?,
        created: Millis(row.get(4)?),
        erased: row.get(5)?,
    })
}

/// Decodes a row of `items_list.sql` and adds the windows of the item.
pub(super) fn item(row: &Row<'_>, windows: Windows) -> Result<Item, StoreError> {
    let id: u32 = row.get(0)?;
    let unreadable = |column: &str| corrupt("items", format!("column `{column}` of id {id}"));
    let author = match (row.get::<_, Option<u32>>(3)?, row.get_ref(4)?) {
        (Some(author), ValueRef::Text(_)) => Some(Author { id: UserId(author), key: key("items", row, 4)? }),
        (None, ValueRef::Null) => None,
        _ => return Err(unreadable("author_key")),
    };
    let topics = row.get_ref(5)?.as_str().ok().and_then(codec::topics_from_text);
    Ok(Item {
        id: ItemId(id),
        key: key("items", row, 1)?,
        revision: row.get(2)?,
        author,
        topics: topics.ok_or_else(|| unreadable("topics"))?.into(),
        text: row.get::<_, String>(6)?.into(),
        created: Millis(row.get(7)?),
        deleted: row.get(8)?,
        embedding: vector(row.get_ref(9)?).ok_or_else(|| corrupt("embeddings", format!("bytes of item_id {id}")))?,
        windows,
        attributes: row.get::<_, Option<String>>(10)?.map(Into::into),
    })
}

/// Decodes a row of `changes_list.sql`.
pub(super) fn change(row: &Row<'_>) -> Result<(Change, Millis), StoreError> {
    let (kind, id, number): (String, u32, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let change = codec::change_from_row(&kind, id, number);
    let change = change.ok_or_else(|| corrupt("changes", format!("column `kind` of {kind:?}, {id}, {number}")))?;
    Ok((change, Millis(row.get(3)?)))
}

/// Decodes a column that holds a vector; `None` when it is no embedding.
pub(super) fn vector(value: ValueRef<'_>) -> Option<Embedding> {
    codec::embedding_from_bytes(value.as_blob().ok()?)
}

/// Decodes a column that holds a key.
pub(super) fn key(table: &'static str, row: &Row<'_>, index: usize) -> Result<Key, StoreError> {
    let text: String = row.get(index)?;
    Key::stored(&text).map_err(|error| corrupt(table, format!("key {text:?} {error}")))
}

/// The error for a row that does not parse.
pub(super) fn corrupt(table: &'static str, detail: String) -> StoreError {
    StoreError::Corrupt { table, detail }
}
