//! Cluster fits in their table, inside the transaction of the caller.
//!
//! Invariant: the last [`FITS_KEPT`] fits stay, memberships of the newest only. Absent on purpose: transactions.

use rusqlite::{Connection, params};

use crate::store::clusters::{FITS_KEPT, StoredFit};
use crate::store::codec::integer;
use crate::store::error::StoreError;

const FIT_SAVE: &str = include_str!("../../../../sql/queries/cluster_fit_save.sql");
const FITS_TRIM: &str = include_str!("../../../../sql/queries/cluster_fits_trim.sql");
const FITS_SETTLE: &str = include_str!("../../../../sql/queries/cluster_fits_settle.sql");

pub(super) fn save(connection: &Connection, fit: &StoredFit) -> Result<(), StoreError> {
    let epoch = integer("epoch", fit.epoch)?;
    let StoredFit { fitted_at, summary, state, members, .. } = fit;
    connection.prepare_cached(FIT_SAVE)?.execute(params![epoch, fitted_at.0, summary, state, members])?;
    connection.prepare_cached(FITS_SETTLE)?.execute([epoch])?;
    connection.prepare_cached(FITS_TRIM)?.execute([epoch.saturating_sub(i64::from(FITS_KEPT))])?;
    Ok(())
}
