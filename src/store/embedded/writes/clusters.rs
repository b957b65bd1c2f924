//! Clusterings and their fits in their tables, inside the transaction of the caller.
//!
//! Invariant: per clustering the last [`FITS_KEPT`] fits stay, memberships of the newest only, and the last
//! [`REVISIONS_KEPT`] revisions. Absent on purpose: transactions.

use rusqlite::{Connection, params};

use crate::domain::clusterings::{ClusterName, ClusteringChange, REVISIONS_KEPT, Revision};
use crate::store::clusters::{FITS_KEPT, StoredFit};
use crate::store::codec::integer;
use crate::store::error::StoreError;

const FIT_SAVE: &str = include_str!("../../../../sql/queries/clustering_fit_save.sql");
const FITS_TRIM: &str = include_str!("../../../../sql/queries/clustering_fits_trim.sql");
const FITS_SETTLE: &str = include_str!("../../../../sql/queries/clustering_fits_settle.sql");
const FITS_DELETE: &str = include_str!("../../../../sql/queries/clustering_fits_delete.sql");
const CLUSTERING_SAVE: &str = include_str!("../../../../sql/queries/clustering_save.sql");
const CLUSTERING_TRIM: &str = include_str!("../../../../sql/queries/clustering_trim.sql");
const CLUSTERING_DELETE: &str = include_str!("../../../../sql/queries/clustering_delete.sql");
const NAME_SAVE: &str = include_str!("../../../../sql/queries/cluster_name_save.sql");
const NAME_DELETE: &str = include_str!("../../../../sql/queries/cluster_name_delete.sql");
const NAMES_DELETE: &str = include_str!("../../../../sql/queries/cluster_names_delete.sql");

/// Carries out a change of a clustering.
pub(super) fn change(connection: &Connection, change: &ClusteringChange) -> Result<(), StoreError> {
    match change {
        ClusteringChange::Revise(Revision { clustering, revision, changed_at, settings }) => {
            let row = params![clustering, revision, changed_at.0, settings];
            connection.prepare_cached(CLUSTERING_SAVE)?.execute(row)?;
            let oldest = i64::from(*revision) - i64::from(REVISIONS_KEPT);
            connection.prepare_cached(CLUSTERING_TRIM)?.execute(params![clustering, oldest])?;
        }
        ClusteringChange::Reset(clustering) => {
            connection.prepare_cached(CLUSTERING_DELETE)?.execute([clustering])?;
        }
        ClusteringChange::Delete(clustering) => {
            for delete in [CLUSTERING_DELETE, NAMES_DELETE, FITS_DELETE] {
                connection.prepare_cached(delete)?.execute([clustering])?;
            }
        }
        ClusteringChange::Name(ClusterName { clustering, cluster, name }) => {
            connection.prepare_cached(NAME_SAVE)?.execute(params![clustering, cluster, name])?;
        }
        ClusteringChange::Unname(clustering, cluster) => {
            connection.prepare_cached(NAME_DELETE)?.execute(params![clustering, cluster])?;
        }
    }
    Ok(())
}

pub(super) fn save(connection: &Connection, fit: &StoredFit) -> Result<(), StoreError> {
    let epoch = integer("epoch", fit.epoch)?;
    let StoredFit { clustering, fitted_at, summary, state, members, .. } = fit;
    connection.prepare_cached(FIT_SAVE)?.execute(params![clustering, epoch, fitted_at.0, summary, state, members])?;
    connection.prepare_cached(FITS_SETTLE)?.execute(params![clustering, epoch])?;
    let oldest = epoch.saturating_sub(i64::from(FITS_KEPT));
    connection.prepare_cached(FITS_TRIM)?.execute(params![clustering, oldest])?;
    Ok(())
}
