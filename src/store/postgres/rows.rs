//! Rows of Postgres as domain values, and instants as `timestamptz`.
//!
//! Invariant: each millisecond round-trips. An instant that is infinite or not a whole millisecond is
//! [`StoreError::Corrupt`], since this program never writes one. Every query over the journal selects `position` and
//! then the columns of `journal_append.sql` in its order. Absent on purpose: the queries.

use std::borrow::Cow;
use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::domain::clusterings::{ClusterName, Revision};
use crate::domain::ids::{ItemId, Key, Position, Seq, TopicId, UserId};
use crate::domain::interactions::Kind;
use crate::domain::items::{Author, Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::metrics::Declaration;
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};
use crate::store::codec::{self, JournalRow, narrow};
use crate::store::error::StoreError;
use crate::store::journal::StandingItem;

/// A `timestamptz`: microseconds since the year 2000, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant(i64);

impl Instant {
    /// Start of the year 2000 in Unix milliseconds.
    const ORIGIN_MS: i64 = 946_684_800_000;
    /// Range of a `timestamptz`: 4714 BC to 294276 AD.
    const FIRST: Millis = Millis(-210_866_803_200_000);
    const LAST: Millis = Millis(9_224_318_015_999_999);

    /// Converts an instant to a column; `what` names it in the error.
    pub(super) fn of(what: &'static str, at: Millis) -> Result<Instant, StoreError> {
        if (Self::FIRST..=Self::LAST).contains(&at) {
            Ok(Instant((at.0 - Self::ORIGIN_MS) * 1_000))
        } else {
            Err(StoreError::Refused(format!("{what} {} is beyond what the database can hold", at.0)))
        }
    }

    /// Clamps an instant to the range of a column, for comparisons.
    pub(super) fn nearest(at: Millis) -> Instant {
        Instant((at.clamp(Self::FIRST, Self::LAST).0 - Self::ORIGIN_MS) * 1_000)
    }

    fn millis(self) -> Option<Millis> {
        // `i64::MIN` and `i64::MAX` are the infinities of Postgres; neither is a whole number of milliseconds.
        (self.0 % 1_000 == 0).then(|| Millis(self.0 / 1_000 + Self::ORIGIN_MS))
    }
}

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Instant {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Instant(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}

/// Reads a column; another type than the expected one is [`StoreError::Corrupt`].
pub(super) fn get<'r, T: FromSql<'r>>(table: &'static str, row: &'r Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|error| corrupt(table, format!("column {index}: {error}")))
}

pub(super) fn instant(table: &'static str, row: &Row, index: usize) -> Result<Millis, StoreError> {
    let found: Instant = get(table, row, index)?;
    found.millis().ok_or_else(|| corrupt(table, format!("column {index}: an instant between two milliseconds")))
}

/// Reads a number and converts it to the type of the domain.
pub(super) fn number<T: TryFrom<i64>>(table: &'static str, row: &Row, index: usize) -> Result<T, StoreError> {
    let found: i64 = get(table, row, index)?;
    narrow("", Some(found)).map_err(|_| corrupt(table, format!("column {index} holds {found}")))
}

/// Decodes a row of a query over the journal.
pub(super) fn entry(row: &Row) -> Result<(Position, Entry), StoreError> {
    const TABLE: &str = "journal";
    let text = |index| Ok::<_, StoreError>(get::<Option<&str>>(TABLE, row, index)?.map(Cow::Borrowed));
    let bytes = |index| Ok::<_, StoreError>(get::<Option<&[u8]>>(TABLE, row, index)?.map(Cow::Borrowed));
    let columns = JournalRow {
        user_id: get(TABLE, row, 1)?,
        seq: get(TABLE, row, 2)?,
        event_id: text(3)?.unwrap_or_default(),
        kind: text(4)?.unwrap_or_default(),
        at: instant(TABLE, row, 5)?.0,
        received: instant(TABLE, row, 6)?.0,
        item_id: get(TABLE, row, 7)?,
        revision: get(TABLE, row, 8)?,
        dwell_ms: get(TABLE, row, 9)?,
        shown_version: get(TABLE, row, 10)?,
        shown_position: get(TABLE, row, 11)?,
        shown_propensity: get(TABLE, row, 12)?,
        positive: get(TABLE, row, 13)?,
        weight: get(TABLE, row, 14)?,
        topics: text(15)?,
        centre_topic: get(TABLE, row, 16)?,
        centre_epoch: get(TABLE, row, 17)?,
        features: bytes(18)?,
        predicted: bytes(19)?,
        lesson: bytes(20)?,
        payload: text(21)?,
        cancelled_by: get(TABLE, row, 22)?,
    };
    Ok((position(TABLE, row, 0)?, columns.decode()?))
}

/// Decodes a row of `journal_standing.sql`.
pub(super) fn standing(row: &Row) -> Result<StandingItem, StoreError> {
    const TABLE: &str = "journal";
    let kind: &str = get(TABLE, row, 2)?;
    let kind = Kind::from_name(kind).ok_or_else(|| corrupt(TABLE, format!("column `kind` holds {kind:?}")))?;
    let (seq, item) = (Seq(position(TABLE, row, 0)?.0), ItemId(number(TABLE, row, 1)?));
    Ok(StandingItem { seq, item, kind, at: instant(TABLE, row, 3)? })
}

/// Reads a position or a sequence number.
pub(super) fn position(table: &'static str, row: &Row, index: usize) -> Result<Position, StoreError> {
    Ok(Position(get::<i64>(table, row, index)?.cast_unsigned()))
}

/// Decodes a row of `topics_list.sql`.
pub(super) fn topic(row: &Row) -> Result<(TopicId, Key), StoreError> {
    Ok((TopicId(number("topics", row, 0)?), key("topics", row, 1)?))
}

/// Decodes a row of `metrics_list.sql`.
pub(super) fn metric(row: &Row) -> Result<(Key, Declaration), StoreError> {
    let name = key("metrics", row, 0)?;
    let declaration = codec::declaration_from_text(get("metrics", row, 1)?);
    let declaration = declaration.ok_or_else(|| corrupt("metrics", format!("declaration of {name:?}")))?;
    Ok((name, declaration))
}

/// Decodes a row of `clusterings_list.sql`.
pub(super) fn clustering(row: &Row) -> Result<Revision, StoreError> {
    const TABLE: &str = "clusterings";
    Ok(Revision {
        clustering: get(TABLE, row, 0)?,
        revision: number(TABLE, row, 1)?,
        changed_at: instant(TABLE, row, 2)?,
        settings: get(TABLE, row, 3)?,
    })
}

/// Decodes a row of `cluster_names_list.sql`.
pub(super) fn cluster_name(row: &Row) -> Result<ClusterName, StoreError> {
    const TABLE: &str = "cluster_names";
    Ok(ClusterName { clustering: get(TABLE, row, 0)?, cluster: number(TABLE, row, 1)?, name: get(TABLE, row, 2)? })
}

/// Decodes a row of `centres_list.sql`.
pub(super) fn centre(row: &Row) -> Result<(CentreRef, Embedding), StoreError> {
    let name = CentreRef { topic: TopicId(number("centres", row, 0)?), epoch: number("centres", row, 1)? };
    let vector = codec::embedding_from_bytes(get("centres", row, 2)?)
        .ok_or_else(|| corrupt("centres", format!("vector of topic_id {}, epoch {}", name.topic.0, name.epoch)))?;
    Ok((name, vector))
}

/// Decodes a row of `people_list.sql`.
pub(super) fn person(row: &Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: UserId(number("users", row, 0)?),
        key: key("users", row, 1)?,
        name: get("users", row, 2)?,
        attributes: get("users", row, 3)?,
        created: instant("users", row, 4)?,
        erased: get("users", row, 5)?,
    })
}

/// Decodes a row of `changes_list.sql`.
pub(super) fn change(row: &Row) -> Result<(Change, Millis), StoreError> {
    let (kind, id, number): (String, u32, u32) =
        (get("changes", row, 0)?, self::number("changes", row, 1)?, self::number("changes", row, 2)?);
    let change = codec::change_from_row(&kind, id, number);
    let change = change.ok_or_else(|| corrupt("changes", format!("column `kind` of {kind:?}, {id}, {number}")))?;
    Ok((change, instant("changes", row, 3)?))
}

/// Decodes a row of `windows_list.sql`: id of the item, and one window.
pub(super) fn window(row: &Row) -> Result<(u32, Window), StoreError> {
    let stop = match get::<Option<Instant>>("windows", row, 2)? {
        Some(_) => Some(instant("windows", row, 2)?),
        None => None,
    };
    Ok((number("windows", row, 0)?, Window { start: instant("windows", row, 1)?, stop }))
}

/// Reads the id in a row of `items_list.sql`.
pub(super) fn item_id(row: &Row) -> Result<u32, StoreError> {
    number("items", row, 0)
}

/// Decodes a row of `items_list.sql` and adds the windows of the item.
pub(super) fn item(row: &Row, windows: Vec<Window>) -> Result<Item, StoreError> {
    const TABLE: &str = "items";
    let id: u32 = item_id(row)?;
    let unreadable = |column: &str| corrupt(TABLE, format!("column `{column}` of id {id}"));
    let author = match (get::<Option<i64>>(TABLE, row, 3)?, get::<Option<&str>>(TABLE, row, 4)?) {
        (Some(_), Some(_)) => Some(Author { id: UserId(number(TABLE, row, 3)?), key: key(TABLE, row, 4)? }),
        (None, None) => None,
        _ => return Err(unreadable("author_key")),
    };
    let embedding = get::<Option<&[u8]>>(TABLE, row, 9)?.and_then(codec::embedding_from_bytes);
    Ok(Item {
        id: ItemId(id),
        key: key(TABLE, row, 1)?,
        revision: number(TABLE, row, 2)?,
        author,
        topics: codec::topics_from_text(get(TABLE, row, 5)?).ok_or_else(|| unreadable("topics"))?.into(),
        text: get::<&str>(TABLE, row, 6)?.into(),
        created: instant(TABLE, row, 7)?,
        deleted: get(TABLE, row, 8)?,
        embedding: embedding.ok_or_else(|| corrupt("embeddings", format!("bytes of item_id {id}")))?,
        attributes: get::<Option<&str>>(TABLE, row, 10)?.map(Into::into),
        windows: Windows::new(windows).map_err(|error| corrupt("windows", format!("item_id {id}: {error}")))?,
    })
}

pub(super) fn key(table: &'static str, row: &Row, index: usize) -> Result<Key, StoreError> {
    let text: &str = get(table, row, index)?;
    Key::stored(text).map_err(|error| corrupt(table, format!("key {text:?} {error}")))
}

/// The error for a row that does not parse.
pub(super) fn corrupt(table: &'static str, detail: String) -> StoreError {
    StoreError::Corrupt { table, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_millisecond_that_fits_comes_back() {
        for at in [Millis(0), Millis(-1), Millis(1), Millis::MIN, Millis::MAX, Instant::FIRST, Instant::LAST] {
            assert_eq!(Instant::of("at", at).unwrap().millis(), Some(at));
        }
        for at in [Millis(Instant::FIRST.0 - 1), Millis(Instant::LAST.0 + 1), Millis(i64::MIN), Millis(i64::MAX)] {
            assert!(matches!(Instant::of("at", at), Err(StoreError::Refused(_))), "{at:?}");
        }
        for strange in [1, -999, i64::MIN, i64::MAX] {
            assert_eq!(Instant(strange).millis(), None);
        }
        assert_eq!(Instant::nearest(Millis(i64::MAX)).millis(), Some(Instant::LAST));
    }
}
