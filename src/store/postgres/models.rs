//! Two-tower models of the Postgres store.
//!
//! Implements `ModelStore`. Invariant: the rules of `store::models` hold. Writes bypass the writer task, so no entry
//! waits for a checkpoint. A change locks both tables until its commit.

use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;

use super::handle::Postgres;
use super::rows::{self, Instant};
use crate::domain::ids::{ModelVersion, Position};
use crate::domain::time::Millis;
use crate::store::codec::integer;
use crate::store::error::StoreError;
use crate::store::journal::Outcome;
use crate::store::models::{
    KeptModel, ModelChange, ModelStore, NewModel, PUBLISHED_KEPT, Publication, UNPUBLISHED_KEPT,
};

const MODELS_LOCK: &str = include_str!("../../../sql/queries/postgres/models_lock.sql");
const MODEL_NEXT: &str = include_str!("../../../sql/queries/model_next.sql");
const MODEL_SAVE: &str = include_str!("../../../sql/queries/model_save.sql");
const MODELS_TRIM: &str = include_str!("../../../sql/queries/models_trim.sql");
const MODELS_LIST: &str = include_str!("../../../sql/queries/models_list.sql");
const MODEL_GET: &str = include_str!("../../../sql/queries/model_get.sql");
const MODEL_FIND: &str = include_str!("../../../sql/queries/model_find.sql");
const MODEL_PUBLISH: &str = include_str!("../../../sql/queries/model_publish.sql");
const PUBLICATIONS_LIST: &str = include_str!("../../../sql/queries/model_publications_list.sql");

/// Table of the models, for errors.
const MODELS: &str = "models";
/// Table of the publications, for errors.
const PUBLICATIONS: &str = "model_publications";

impl ModelStore for Postgres {
    fn save_model(&self, model: NewModel) -> BoxFuture<'_, Result<ModelVersion, StoreError>> {
        Box::pin(async move {
            match self.read(apply(self.reads.pool.clone(), ModelChange::Save(model))).await? {
                Outcome::Stored(number) => Ok(ModelVersion(number.0)),
                _ => Err(StoreError::Refused("a model was not stored".into())),
            }
        })
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<KeptModel>, StoreError>> {
        Box::pin(self.read(list(self.reads.pool.clone())))
    }

    fn checkpoint(&self, version: ModelVersion) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.read(checkpoint(self.reads.pool.clone(), version)))
    }

    fn publish_model(&self, version: ModelVersion, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let outcome = self.read(apply(self.reads.pool.clone(), ModelChange::Publish(version, at))).await?;
            Ok(matches!(outcome, Outcome::Stored(_)))
        })
    }

    fn record_publication(&self, publication: Publication) -> BoxFuture<'_, Result<(), StoreError>> {
        let record = apply(self.reads.pool.clone(), ModelChange::Record(publication));
        Box::pin(async move { self.read(record).await.map(drop) })
    }

    fn publications(&self) -> BoxFuture<'_, Result<Vec<Publication>, StoreError>> {
        Box::pin(self.read(publications(self.reads.pool.clone())))
    }
}

/// Carries out a change. The position of the outcome is the version of the model.
async fn apply(pool: Pool, change: ModelChange) -> Result<Outcome, StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    transaction.batch_execute(MODELS_LOCK).await?;
    let outcome = match change {
        ModelChange::Save(NewModel { version, created, summary, checkpoint }) => {
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
        ModelChange::Publish(version, at) => {
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
        ModelChange::Record(Publication { version, at }) => {
            let (number, at) = (integer("version", version.0)?, Instant::of("at", at)?);
            let statement = transaction.prepare_cached(MODEL_PUBLISH).await?;
            transaction.execute(&statement, &[&number, &at]).await?;
            Outcome::Stored(Position(version.0))
        }
    };
    transaction.commit().await?;
    Ok(outcome)
}

async fn list(pool: Pool) -> Result<Vec<KeptModel>, StoreError> {
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

async fn checkpoint(pool: Pool, version: ModelVersion) -> Result<Option<Vec<u8>>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(MODEL_GET).await?;
    let found = client.query_opt(&statement, &[&integer("version", version.0)?]).await?;
    found.map(|row| rows::get(MODELS, &row, 0)).transpose()
}

async fn publications(pool: Pool) -> Result<Vec<Publication>, StoreError> {
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
