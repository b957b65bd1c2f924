//! Stored fits of clusters: how a fit is written and how the newest ones are loaded.
//!
//! Invariant: after a fit that cannot be read, clusters get new numbers.

use crate::domain::clusterings::DEFAULT;
use crate::domain::ids::UserId;
use crate::domain::time::Millis;
use crate::engine::coordinator::CoordinatorState;
use crate::engine::mixture::{Member, State};
use crate::engine::population::refit::{Clustering, RestoredFit, Summary};
use crate::store::{Store, StoreError, StoredFit};

/// A fit as it is stored; `None` if it cannot be serialised, which never happens to plain data.
pub(super) fn stored(clustering: &str, fit: &Clustering) -> Option<StoredFit> {
    let members: Vec<(UserId, Member)> = fit.users.iter().copied().zip(fit.members.iter().copied()).collect();
    Some(StoredFit {
        clustering: clustering.to_owned(),
        epoch: fit.summary.epoch,
        fitted_at: fit.summary.fitted_at,
        summary: serde_json::to_string(&fit.summary).ok()?,
        state: fit.state.to_bytes()?,
        members: Some(postcard::to_stdvec(&members).ok()?),
    })
}

/// The summary of a stored fit.
pub(crate) fn summary(fit: &StoredFit) -> Option<Summary> {
    serde_json::from_str(&fit.summary).ok()
}

fn kept(fits: &[StoredFit]) -> Option<RestoredFit> {
    let newest = fits.first()?;
    let members = newest.members.as_ref().map(|bytes| postcard::from_bytes(bytes)).transpose().ok()?;
    let state = State::from_bytes(&newest.state)?;
    Some(RestoredFit { summary: summary(newest)?, state, members, previous: fits.get(1).and_then(summary) })
}

/// Loads the newest stored fit of each clustering.
///
/// # Errors
/// The error of the store.
pub(crate) async fn restore(store: &dyn Store, state: &mut CoordinatorState, now: Millis) -> Result<(), StoreError> {
    let others: Vec<String> = state.world().settings().clusterings.keys().cloned().collect();
    for clustering in std::iter::once(DEFAULT.to_owned()).chain(others) {
        let fits = store.fits(&clustering, 2).await?;
        match (kept(&fits), fits.first()) {
            (Some(kept), _) => state.restore_fit(&clustering, kept, now),
            (None, Some(newest)) => {
                let epoch = newest.epoch;
                tracing::warn!(clustering, epoch, "the last fit of clusters cannot be read: clusters get new numbers");
                state.number_fits_after(&clustering, newest.epoch);
            }
            (None, None) => {}
        }
    }
    Ok(())
}
