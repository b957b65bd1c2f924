//! Fits of groups of people in their table.
//!
//! Invariant: the last [`FITS_KEPT`] are there, people's places of the newest only. Goes past the writer, so that no
//! entry waits for it; whoever saves one sees to it that no erasure is under way.

use deadpool_postgres::Pool;

use super::rows::{self, Instant};
use crate::store::codec::integer;
use crate::store::{FITS_KEPT, StoreError, StoredFit};

const FIT_SAVE: &str = include_str!("../../../sql/queries/cluster_fit_save.sql");
const FITS_TRIM: &str = include_str!("../../../sql/queries/cluster_fits_trim.sql");
const FITS_SETTLE: &str = include_str!("../../../sql/queries/cluster_fits_settle.sql");
const FITS_LIST: &str = include_str!("../../../sql/queries/cluster_fits_list.sql");

pub(super) async fn save(pool: Pool, fit: StoredFit) -> Result<(), StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    let epoch = integer("epoch", fit.epoch)?;
    let fitted_at = Instant::of("fitted_at", fit.fitted_at)?;
    let statement = transaction.prepare_cached(FIT_SAVE).await?;
    transaction.execute(&statement, &[&epoch, &fitted_at, &fit.summary, &fit.state, &fit.members]).await?;
    let statement = transaction.prepare_cached(FITS_SETTLE).await?;
    transaction.execute(&statement, &[&epoch]).await?;
    let statement = transaction.prepare_cached(FITS_TRIM).await?;
    transaction.execute(&statement, &[&epoch.saturating_sub(i64::from(FITS_KEPT))]).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn list(pool: Pool, limit: u32) -> Result<Vec<StoredFit>, StoreError> {
    const TABLE: &str = "cluster_fits";
    let client = pool.get().await?;
    let statement = client.prepare_cached(FITS_LIST).await?;
    let found = client.query(&statement, &[&i64::from(limit)]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(StoredFit {
            epoch: rows::number(TABLE, row, 0)?,
            fitted_at: rows::instant(TABLE, row, 1)?,
            summary: rows::get(TABLE, row, 2)?,
            state: rows::get(TABLE, row, 3)?,
            members: rows::get(TABLE, row, 4)?,
        })
    };
    found.iter().map(read).collect()
}
