//! Two-tower models of the embedded store.
//!
//! Implements `ModelStore`. Invariant: the rules of `store::models` hold.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension};

use super::handle::Embedded;
use super::writes;
use super::writes::models::number;
use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;
use crate::store::codec::integer;
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::journal::Outcome;
use crate::store::models::{KeptModel, ModelChange, ModelStore, NewModel, Publication};

const MODELS_LIST: &str = include_str!("../../../sql/queries/models_list.sql");
const MODEL_GET: &str = include_str!("../../../sql/queries/model_get.sql");

impl Embedded {
    async fn change_model(&self, change: ModelChange) -> Result<Outcome, StoreError> {
        let outcomes = self.writer.ask(Work::Model(change)).await?;
        Ok(outcomes.first().copied().unwrap_or(Outcome::Refused))
    }
}

impl ModelStore for Embedded {
    fn save_model(&self, model: NewModel) -> BoxFuture<'_, Result<ModelVersion, StoreError>> {
        Box::pin(async move {
            match self.change_model(ModelChange::Save(model)).await? {
                Outcome::Stored(number) => Ok(ModelVersion(number.0)),
                _ => Err(StoreError::Refused("a model was not stored".into())),
            }
        })
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<KeptModel>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| list(connection)))
    }

    fn checkpoint(&self, version: ModelVersion) -> BoxFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| checkpoint(connection, version)))
    }

    fn publish_model(&self, version: ModelVersion, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let outcome = self.change_model(ModelChange::Publish(version, at)).await?;
            Ok(matches!(outcome, Outcome::Stored(_)))
        })
    }

    fn record_publication(&self, publication: Publication) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.change_model(ModelChange::Record(publication)).await.map(drop) })
    }

    fn publications(&self) -> BoxFuture<'_, Result<Vec<Publication>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| writes::models::publications(connection)))
    }
}

fn list(connection: &Connection) -> Result<Vec<KeptModel>, StoreError> {
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

fn checkpoint(connection: &Connection, version: ModelVersion) -> Result<Option<Vec<u8>>, StoreError> {
    let number = integer("version", version.0)?;
    Ok(connection.prepare_cached(MODEL_GET)?.query_row([number], |row| row.get(0)).optional()?)
}
