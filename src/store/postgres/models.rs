//! Two-tower models in their tables.
//!
//! Invariant: as `store::models` says. Goes past the writer, so that no entry waits for a checkpoint; whoever numbers or
//! publishes one has both tables until it is done.

use deadpool_postgres::Pool;

use super::rows::{self, Instant};
use crate::domain::ids::{ModelVersion, Position};
use crate::store::codec::integer;
use crate::store::models::{Change, KeptModel, NewModel, PUBLISHED_KEPT, Publication, UNPUBLISHED_KEPT};
use crate::store::{Outcome, StoreError};

const MODELS_LOCK: &str = include_str!("../../../sql/queries/postgres/models_lock.sql");
const MODEL_NEXT: &str = include_str!("../../../sql/queries/model_next.sql");
const MODEL_SAVE: &str = include_str!("../../../sql/queries/model_save.sql");
const MODELS_TRIM: &str = include_str!("../../../sql/queries/models_trim.sql");
const MODELS_LIST: &str = include_str!("../../../sql/queries/models_list.sql");
const MODEL_GET: &str = include_str!("../../../sql/queries/model_get.sql");
const MODEL_FIND: &str = include_str!("../../../sql/queries/model_find.sql");
const MODEL_PUBLISH: &str = include_str!("../../../sql/queries/model_publish.sql");
const PUBLICATIONS_LIST: &str = include_str!("../../../sql/queries/model_publications_list.sql");

const MODELS: &str = "models";
const PUBLICATIONS: &str = "model_publications";

/// Carries a change out. A position stands for the model's number: there is nothing else to tell.
pub(super) async fn apply(pool: Pool, change: Change) -> Result<Outcome, StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    transaction.batch_execute(MODELS_LOCK).await?;
    let outcome = match change {
        Change::Save(NewModel { version, created, summary, checkpoint }) => {
            let number = match version {
                Some(version) => integer("version", version.0)?,
                None => {
                    let statement = transaction.prepare_cached(MODEL_NEXT).await?;
                    rows::get(MODELS, &transaction.query_one(&statement, &[]).await?, 0)?
                }
            };
            let created = Instant::of("created", created)?;
            let statement = transaction.prepare_cached(MODEL_SAVE).await?;
            transaction.execute(&statement, &[&number, &created, &summary, &checkpoint]).await?;
            if version.is_none() {
                let statement = transaction.prepare_cached(MODELS_TRIM).await?;
                let kept = (i64::from(PUBLISHED_KEPT), i64::from(UNPUBLISHED_KEPT));
                transaction.execute(&statement, &[&kept.0, &kept.1]).await?;
            }
            Outcome::Stored(Position(number.cast_unsigned()))
        }
        Change::Publish(version, at) => {
            let (number, at) = (integer("version", version.0)?, Instant::of("at", at)?);
            let statement = transaction.prepare_cached(MODEL_FIND).await?;
            if transaction.query_opt(&statement, &[&number]).await?.is_none() {
                return Ok(Outcome::Refused);
            }
            let statement = transaction.prepare_cached(PUBLICATIONS_LIST).await?;
            let last = transaction.query(&statement, &[]).await?;
            let last = last.last().map(|row| rows::get::<i64>(PUBLICATIONS, row, 0)).transpose()?;
            if last != Some(number) {
                let statement = transaction.prepare_cached(MODEL_PUBLISH).await?;
                transaction.execute(&statement, &[&number, &at]).await?;
            }
            Outcome::Stored(Position(version.0))
        }
        Change::Note(Publication { version, at }) => {
            let (number, at) = (integer("version", version.0)?, Instant::of("at", at)?);
            let statement = transaction.prepare_cached(MODEL_PUBLISH).await?;
            transaction.execute(&statement, &[&number, &at]).await?;
            Outcome::Stored(Position(version.0))
        }
    };
    transaction.commit().await?;
    Ok(outcome)
}

pub(super) async fn list(pool: Pool) -> Result<Vec<KeptModel>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(MODELS_LIST).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(KeptModel {
            version: ModelVersion(rows::number(MODELS, row, 0)?),
            created: rows::instant(MODELS, row, 1)?,
            summary: rows::get(MODELS, row, 2)?,
            bytes: u64::from(rows::get::<i32>(MODELS, row, 3)?.unsigned_abs()),
        })
    };
    client.query(&statement, &[]).await?.iter().map(read).collect()
}

pub(super) async fn checkpoint(pool: Pool, version: ModelVersion) -> Result<Option<Vec<u8>>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(MODEL_GET).await?;
    let found = client.query_opt(&statement, &[&integer("version", version.0)?]).await?;
    found.map(|row| rows::get(MODELS, &row, 0)).transpose()
}

pub(super) async fn publications(pool: Pool) -> Result<Vec<Publication>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(PUBLICATIONS_LIST).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Publication {
            version: ModelVersion(rows::number(PUBLICATIONS, row, 0)?),
            at: rows::instant(PUBLICATIONS, row, 1)?,
        })
    };
    client.query(&statement, &[]).await?.iter().map(read).collect()
}
