//! Changes to two-tower models, inside the transaction of the caller.
//!
//! Invariant: the model that serves is never deleted. Absent on purpose: transactions.

use rusqlite::{Connection, params};

use super::super::rows;
use crate::domain::ids::{ModelVersion, Position};
use crate::domain::time::Millis;
use crate::store::codec::integer;
use crate::store::error::StoreError;
use crate::store::journal::Outcome;
use crate::store::models::{ModelChange, NewModel, PUBLISHED_KEPT, Publication, UNPUBLISHED_KEPT};

const MODEL_NEXT: &str = include_str!("../../../../sql/queries/model_next.sql");
const MODEL_SAVE: &str = include_str!("../../../../sql/queries/model_save.sql");
const MODELS_TRIM: &str = include_str!("../../../../sql/queries/models_trim.sql");
const MODEL_FIND: &str = include_str!("../../../../sql/queries/model_find.sql");
const MODEL_PUBLISH: &str = include_str!("../../../../sql/queries/model_publish.sql");
const PUBLICATIONS_LIST: &str = include_str!("../../../../sql/queries/model_publications_list.sql");

/// Carries out a change. The position of the outcome is the version of the model.
pub(super) fn apply(change: &ModelChange, connection: &Connection) -> Result<Outcome, StoreError> {
    match change {
        ModelChange::Save(NewModel { version, created, summary, checkpoint }) => {
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
        ModelChange::Publish(version, at) => {
            let number = integer("version", version.0)?;
            if !connection.prepare_cached(MODEL_FIND)?.exists([number])? {
                return Ok(Outcome::Refused);
            }
            if publications(connection)?.last().is_none_or(|last| last.version != *version) {
                connection.prepare_cached(MODEL_PUBLISH)?.execute([number, at.0])?;
            }
            Ok(Outcome::Stored(Position(version.0)))
        }
        ModelChange::Record(Publication { version, at }) => {
            let number = integer("version", version.0)?;
            connection.prepare_cached(MODEL_PUBLISH)?.execute([number, at.0])?;
            Ok(Outcome::Stored(Position(version.0)))
        }
    }
}

/// The history of publications, in order.
pub(crate) fn publications(connection: &Connection) -> Result<Vec<Publication>, StoreError> {
    let mut statement = connection.prepare_cached(PUBLICATIONS_LIST)?;
    let mut found = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        list.push(Publication { version: number("model_publications", row.get(0)?)?, at: Millis(row.get(1)?) });
    }
    Ok(list)
}

/// Decodes a version number.
pub(crate) fn number(table: &'static str, number: i64) -> Result<ModelVersion, StoreError> {
    let version = u64::try_from(number).map_err(|_| rows::corrupt(table, format!("version {number} is below 0")))?;
    Ok(ModelVersion(version))
}
