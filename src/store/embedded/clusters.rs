//! Cluster fits of the embedded store.
//!
//! Implements `ClusterStore`. Invariant: the rules of `store::clusters` hold.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, params};

use super::handle::Embedded;
use super::rows;
use crate::domain::time::Millis;
use crate::store::clusters::{ClusterStore, StoredFit};
use crate::store::error::StoreError;
use crate::store::group::Work;

const FITS_LIST: &str = include_str!("../../../sql/queries/clustering_fits_list.sql");

impl ClusterStore for Embedded {
    fn save_fit(&self, fit: StoredFit) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Fit(fit)).await.map(drop) })
    }

    fn fits<'a>(&'a self, clustering: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<StoredFit>, StoreError>> {
        let clustering = clustering.to_owned();
        Box::pin(self.readers.ask(move |connection, _| list(connection, &clustering, limit)))
    }
}

fn list(connection: &Connection, clustering: &str, limit: u32) -> Result<Vec<StoredFit>, StoreError> {
    let mut statement = connection.prepare_cached(FITS_LIST)?;
    let mut found = statement.query(params![clustering, limit])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        let epoch: i64 = row.get(0)?;
        let epoch =
            u64::try_from(epoch).map_err(|_| rows::corrupt("clustering_fits", format!("epoch {epoch} is below 0")))?;
        list.push(StoredFit {
            clustering: clustering.to_owned(),
            epoch,
            fitted_at: Millis(row.get(1)?),
            summary: row.get(2)?,
            state: row.get(3)?,
            members: row.get(4)?,
        });
    }
    Ok(list)
}
