//! Two-tower models in their tables.
//!
//! Invariant: as `store::models` says. Absent on purpose: transactions, threads.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows;
use crate::domain::ids::{ModelVersion, Position};
use crate::domain::time::Millis;
use crate::store::codec::integer;
use crate::store::models::{Change, KeptModel, NewModel, PUBLISHED_KEPT, Publication, UNPUBLISHED_KEPT};
use crate::store::{Outcome, StoreError};

const MODEL_NEXT: &str = include_str!("../../../sql/queries/model_next.sql");
const MODEL_SAVE: &str = include_str!("../../../sql/queries/model_save.sql");
const MODELS_TRIM: &str = include_str!("../../../sql/queries/models_trim.sql");
const MODELS_LIST: &str = include_str!("../../../sql/queries/models_list.sql");
const MODEL_GET: &str = include_str!("../../../sql/queries/model_get.sql");
const MODEL_FIND: &str = include_str!("../../../sql/queries/model_find.sql");
const MODEL_PUBLISH: &str = include_str!("../../../sql/queries/model_publish.sql");
const PUBLICATIONS_LIST: &str = include_str!("../../../sql/queries/model_publications_list.sql");

/// Carries a change out. A position stands for the model's number: there is nothing else to tell.
pub(super) fn apply(change: &Change, connection: &Connection) -> Result<Outcome, StoreError> {
    match change {
        Change::Save(NewModel { version, created, summary, checkpoint }) => {
            let number = match version {
                Some(version) => integer("version", version.0)?,
                None => connection.prepare_cached(MODEL_NEXT)?.query_row([], |row| row.get(0))?,
            };
            connection.prepare_cached(MODEL_SAVE)?.execute(params![number, created.0, summary, checkpoint])?;
            if version.is_none() {
                connection.prepare_cached(MODELS_TRIM)?.execute([PUBLISHED_KEPT, UNPUBLISHED_KEPT])?;
            }
            Ok(Outcome::Stored(Position(number.cast_unsigned())))
        }
        Change::Publish(version, at) => {
            let number = integer("version", version.0)?;
            if !connection.prepare_cached(MODEL_FIND)?.exists([number])? {
                return Ok(Outcome::Refused);
            }
            if publications(connection)?.last().is_none_or(|last| last.version != *version) {
                connection.prepare_cached(MODEL_PUBLISH)?.execute([number, at.0])?;
            }
            Ok(Outcome::Stored(Position(version.0)))
        }
        Change::Note(Publication { version, at }) => {
            let number = integer("version", version.0)?;
            connection.prepare_cached(MODEL_PUBLISH)?.execute([number, at.0])?;
            Ok(Outcome::Stored(Position(version.0)))
        }
    }
}

pub(super) fn list(connection: &Connection) -> Result<Vec<KeptModel>, StoreError> {
    let mut statement = connection.prepare_cached(MODELS_LIST)?;
    let mut found = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        let bytes: i64 = row.get(3)?;
        list.push(KeptModel {
            version: number("models", row.get(0)?)?,
            created: Millis(row.get(1)?),
            summary: row.get(2)?,
            bytes: bytes.cast_unsigned(),
        });
    }
    Ok(list)
}

pub(super) fn checkpoint(connection: &Connection, version: ModelVersion) -> Result<Option<Vec<u8>>, StoreError> {
    let number = integer("version", version.0)?;
    Ok(connection.prepare_cached(MODEL_GET)?.query_row([number], |row| row.get(0)).optional()?)
}

pub(super) fn publications(connection: &Connection) -> Result<Vec<Publication>, StoreError> {
    let mut statement = connection.prepare_cached(PUBLICATIONS_LIST)?;
    let mut found = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        list.push(Publication { version: number("model_publications", row.get(0)?)?, at: Millis(row.get(1)?) });
    }
    Ok(list)
}

fn number(table: &'static str, number: i64) -> Result<ModelVersion, StoreError> {
    let version = u64::try_from(number).map_err(|_| rows::corrupt(table, format!("version {number} is below 0")))?;
    Ok(ModelVersion(version))
}
