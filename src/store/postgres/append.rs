//! Appends entries to the journal: by one statement, or by COPY for many rows.
//!
//! Invariant: both ways append in order or not at all, fail on a taken number or event id, and return the position of
//! every row. Absent on purpose: the reaction to a failure, and the writer lock.

use std::pin::pin;

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::rows::{self, Instant};
use crate::domain::ids::Position;
use crate::domain::time::Millis;
use crate::store::codec::JournalRow;
use crate::store::error::StoreError;

const JOURNAL_APPEND: &str = include_str!("../../../sql/queries/postgres/journal_append.sql");
const JOURNAL_COPY: &str = include_str!("../../../sql/queries/postgres/journal_copy.sql");
const JOURNAL_AFTER: &str = include_str!("../../../sql/queries/postgres/journal_after.sql");
const JOURNAL_HOLDS: &str = include_str!("../../../sql/queries/postgres/journal_holds.sql");

/// Rows from which COPY is faster, although its transaction takes more round trips. Measured in decision 10.
pub(super) const COPY_ROWS_MIN: usize = 1_000;

/// Types of the columns that `COPY` sends.
const TYPES: [Type; 22] = [
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::FLOAT4,
    Type::BOOL,
    Type::FLOAT4,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
    Type::TEXT,
    Type::INT8,
];

/// Entries that must be stored already, else nothing is appended: columns `user_id` and `seq`.
#[derive(Clone, Default)]
pub(super) struct Needed {
    pub(super) people: Vec<i64>,
    pub(super) seqs: Vec<i64>,
}

/// Positions of the appended rows, in order; `None` when a needed entry is missing, and nothing was appended.
pub(super) type Appended = Option<Vec<Position>>;

/// Appends rows by one statement, which is its own transaction unless `client` is one.
pub(super) async fn insert(
    client: &impl GenericClient,
    rows: &[JournalRow<'_>],
    needed: &Needed,
) -> Result<Appended, StoreError> {
    if rows.is_empty() {
        return Ok(Some(Vec::new()));
    }
    fn column<'r, T>(rows: &'r [JournalRow<'_>], of: impl Fn(&'r JournalRow<'_>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let instants = |what, of: fn(&JournalRow<'_>) -> i64| -> Result<Vec<Instant>, StoreError> {
        rows.iter().map(|row| Instant::of(what, Millis(of(row)))).collect()
    };
    let statement = client.prepare_cached(JOURNAL_APPEND).await?;
    let positions = client
        .query(
            &statement,
            &[
                &column(rows, |row| row.user_id),
                &column(rows, |row| row.seq),
                &column(rows, |row| &*row.event_id),
                &column(rows, |row| &*row.kind),
                &instants("at", |row| row.at)?,
                &instants("received", |row| row.received)?,
                &column(rows, |row| row.item_id),
                &column(rows, |row| row.revision),
                &column(rows, |row| row.dwell_ms),
                &column(rows, |row| row.shown_version),
                &column(rows, |row| row.shown_position),
                &column(rows, |row| row.shown_propensity),
                &column(rows, |row| row.positive),
                &column(rows, |row| row.weight),
                &column(rows, |row| row.topics.as_deref()),
                &column(rows, |row| row.centre_topic),
                &column(rows, |row| row.centre_epoch),
                &column(rows, |row| row.features.as_deref()),
                &column(rows, |row| row.predicted.as_deref()),
                &column(rows, |row| row.lesson.as_deref()),
                &column(rows, |row| row.payload.as_deref()),
                &column(rows, |row| row.cancelled_by),
                &needed.people,
                &needed.seqs,
            ],
        )
        .await?;
    if positions.is_empty() && !needed.people.is_empty() {
        return Ok(None);
    }
    let positions: Vec<Position> =
        positions.iter().map(|row| rows::position("journal", row, 0)).collect::<Result<_, _>>()?;
    if positions.len() != rows.len() || !positions.is_sorted() {
        return Err(rows_changed());
    }
    Ok(Some(positions))
}

/// Appends rows by COPY. `last` is the position of the last entry of the journal; the writer lock keeps others out.
pub(super) async fn copy(
    client: &Transaction<'_>,
    rows: &[JournalRow<'_>],
    needed: &Needed,
    last: Position,
) -> Result<Appended, StoreError> {
    if !needed.people.is_empty() {
        let statement = client.prepare_cached(JOURNAL_HOLDS).await?;
        let holds: bool = client.query_one(&statement, &[&needed.people, &needed.seqs]).await?.try_get(0)?;
        if !holds {
            return Ok(None);
        }
    }
    let statement = client.prepare_cached(JOURNAL_COPY).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(client.copy_in(&statement).await?, &TYPES));
    for row in rows {
        let (at, received) = (Instant::of("at", Millis(row.at))?, Instant::of("received", Millis(row.received))?);
        let fields: [&(dyn ToSql + Sync); 22] = [
            &row.user_id,
            &row.seq,
            &&*row.event_id,
            &&*row.kind,
            &at,
            &received,
            &row.item_id,
            &row.revision,
            &row.dwell_ms,
            &row.shown_version,
            &row.shown_position,
            &row.shown_propensity,
            &row.positive,
            &row.weight,
            &row.topics.as_deref(),
            &row.centre_topic,
            &row.centre_epoch,
            &row.features.as_deref(),
            &row.predicted.as_deref(),
            &row.lesson.as_deref(),
            &row.payload.as_deref(),
            &row.cancelled_by,
        ];
        writer.as_mut().write(&fields).await?;
    }
    let copied = writer.as_mut().finish().await?;
    // COPY does not return positions: they must be the next ones, without a gap.
    let statement = client.prepare_cached(JOURNAL_AFTER).await?;
    let after = client.query_one(&statement, &[&last.0.cast_signed()]).await?;
    let (count, first, end): (i64, Option<i64>, Option<i64>) =
        (after.try_get(0)?, after.try_get(1)?, after.try_get(2)?);
    match (first, end) {
        (Some(first), Some(end))
            if copied == rows.len() as u64 && count == rows.len() as i64 && end - first + 1 == count =>
        {
            Ok(Some((first..=end).map(|position| Position(position.cast_unsigned())).collect()))
        }
        _ => Err(rows_changed()),
    }
}

/// The error for a table with a trigger or a rule, which changes rows of any batch.
fn rows_changed() -> StoreError {
    rows::corrupt("journal", "the table changed appended rows: remove its trigger or rule".into())
}
