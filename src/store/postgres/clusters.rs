//! Cluster fits of the Postgres store.
//!
//! Implements `ClusterStore`. Invariant: the rules of `store::clusters` hold. Writes bypass the writer task, so no
//! entry waits for them; the caller lets no erasure run meanwhile.

use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;

use super::handle::Postgres;
use super::rows::{self, Instant};
use crate::store::clusters::{ClusterStore, FITS_KEPT, StoredFit};
use crate::store::codec::integer;
use crate::store::error::StoreError;

const FIT_SAVE: &str = include_str!("../../../sql/queries/clustering_fit_save.sql");
const FITS_TRIM: &str = include_str!("../../../sql/queries/clustering_fits_trim.sql");
const FITS_SETTLE: &str = include_str!("../../../sql/queries/clustering_fits_settle.sql");
const FITS_LIST: &str = include_str!("../../../sql/queries/clustering_fits_list.sql");

impl ClusterStore for Postgres {
    fn save_fit(&self, fit: StoredFit) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.read(save(self.reads.pool.clone(), fit)))
    }

    fn fits<'a>(&'a self, clustering: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<StoredFit>, StoreError>> {
        Box::pin(self.read(list(self.reads.pool.clone(), clustering.to_owned(), limit)))
    }
}

async fn save(pool: Pool, fit: StoredFit) -> Result<(), StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    let epoch = integer("epoch", fit.epoch)?;
    let fitted_at = Instant::of("fitted_at", fit.fitted_at)?;
    let statement = transaction.prepare_cached(FIT_SAVE).await?;
    transaction
        .execute(&statement, &[&fit.clustering, &epoch, &fitted_at, &fit.summary, &fit.state, &fit.members])
        .await?;
    let statement = transaction.prepare_cached(FITS_SETTLE).await?;
    transaction.execute(&statement, &[&fit.clustering, &epoch]).await?;
    let statement = transaction.prepare_cached(FITS_TRIM).await?;
    let oldest = epoch.saturating_sub(i64::from(FITS_KEPT));
    transaction.execute(&statement, &[&fit.clustering, &oldest]).await?;
    transaction.commit().await?;
    Ok(())
}

async fn list(pool: Pool, clustering: String, limit: u32) -> Result<Vec<StoredFit>, StoreError> {
    const TABLE: &str = "clustering_fits";
    let client = pool.get().await?;
    let statement = client.prepare_cached(FITS_LIST).await?;
    let found = client.query(&statement, &[&clustering, &i64::from(limit)]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(StoredFit {
            clustering: clustering.clone(),
            epoch: rows::number(TABLE, row, 0)?,
            fitted_at: rows::instant(TABLE, row, 1)?,
            summary: rows::get(TABLE, row, 2)?,
            state: rows::get(TABLE, row, 3)?,
            members: rows::get(TABLE, row, 4)?,
        })
    };
    found.iter().map(read).collect()
}
