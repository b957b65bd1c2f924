//! Stored cluster fits of each clustering.
//!
//! Invariant: per clustering the newest [`FITS_KEPT`] fits stay, cluster memberships only with the newest of them. Absent on purpose:
//! the format of the fitted state, which belongs to the engine.

use futures_util::future::BoxFuture;

use crate::domain::time::Millis;
use crate::store::error::StoreError;

/// Number of cluster fits of one clustering that stay stored; older fits are deleted.
pub const FITS_KEPT: u32 = 100;

/// One cluster fit of the population. State and members are in formats of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFit {
    /// Name of the clustering.
    pub clustering: String,
    /// Number of the fit; rises from fit to fit of its clustering.
    pub epoch: u64,
    /// When the server began to use the fit.
    pub fitted_at: Millis,
    /// Description of the clusters: JSON.
    pub summary: String,
    /// Parameters that the next refit starts from.
    pub state: Vec<u8>,
    /// Cluster of each person. Only the newest fit has it, and only until the next erasure.
    pub members: Option<Vec<u8>>,
}

/// Saves and reads cluster fits.
pub trait ClusterStore: Send + Sync + 'static {
    /// Saves a cluster fit, once per epoch. Deletes memberships of earlier fits of its clustering, and fits before the
    /// last [`FITS_KEPT`].
    fn save_fit(&self, fit: StoredFit) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The newest cluster fits of a clustering, newest first, at most `limit`.
    fn fits<'a>(&'a self, clustering: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<StoredFit>, StoreError>>;
}
