//! Fits of groups of people in their table.
//!
//! Invariant: the last [`FITS_KEPT`] are there, people's places of the newest only. Absent on purpose: transactions,
//! threads.

use rusqlite::{Connection, params};

use super::rows;
use crate::domain::time::Millis;
use crate::store::codec::integer;
use crate::store::{FITS_KEPT, StoreError, StoredFit};

const FIT_SAVE: &str = include_str!("../../../sql/queries/cluster_fit_save.sql");
const FITS_TRIM: &str = include_str!("../../../sql/queries/cluster_fits_trim.sql");
const FITS_SETTLE: &str = include_str!("../../../sql/queries/cluster_fits_settle.sql");
const FITS_LIST: &str = include_str!("../../../sql/queries/cluster_fits_list.sql");

pub(super) fn save(connection: &Connection, fit: &StoredFit) -> Result<(), StoreError> {
    let epoch = integer("epoch", fit.epoch)?;
    let StoredFit { fitted_at, summary, state, members, .. } = fit;
    connection.prepare_cached(FIT_SAVE)?.execute(params![epoch, fitted_at.0, summary, state, members])?;
    connection.prepare_cached(FITS_SETTLE)?.execute([epoch])?;
    connection.prepare_cached(FITS_TRIM)?.execute([epoch.saturating_sub(i64::from(FITS_KEPT))])?;
    Ok(())
}

pub(super) fn list(connection: &Connection, limit: u32) -> Result<Vec<StoredFit>, StoreError> {
    let mut statement = connection.prepare_cached(FITS_LIST)?;
    let mut found = statement.query([limit])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        let epoch: i64 = row.get(0)?;
        let epoch =
            u64::try_from(epoch).map_err(|_| rows::corrupt("cluster_fits", format!("epoch {epoch} is below 0")))?;
        list.push(StoredFit {
            epoch,
            fitted_at: Millis(row.get(1)?),
            summary: row.get(2)?,
            state: row.get(3)?,
            members: row.get(4)?,
        });
    }
    Ok(list)
}
