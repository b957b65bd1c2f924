//! Health, replacement by another server, and interrupted loads of the Postgres store.
//!
//! Implements `MaintenanceStore`. Invariant: the rules of `store::maintenance` hold. Absent on purpose: checks of
//! files, which belong to the database server.

use futures_util::future::BoxFuture;

use super::handle::Postgres;
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::maintenance::MaintenanceStore;

const LOADING_BEGIN: &str = include_str!("../../../sql/queries/loading_begin.sql");
const LOADING_END: &str = include_str!("../../../sql/queries/loading_end.sql");
const LOADING_IS: &str = include_str!("../../../sql/queries/loading_is.sql");

impl MaintenanceStore for Postgres {
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(Work::Health).await.map(drop) })
    }

    fn replaced(&self) -> BoxFuture<'_, StoreError> {
        let replaced = self.replaced.clone();
        Box::pin(async move {
            if let Some(mut replaced) = replaced
                && let Ok(by) = replaced.wait_for(Option::is_some).await
            {
                return StoreError::Replaced(by.clone().unwrap_or_default());
            }
            std::future::pending().await
        })
    }

    fn set_loading(&self, is_loading: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        let (pool, statement) = (self.reads.pool.clone(), if is_loading { LOADING_BEGIN } else { LOADING_END });
        Box::pin(self.read(async move {
            pool.get().await?.execute(statement, &[]).await?;
            Ok(())
        }))
    }

    fn is_loading(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        let pool = self.reads.pool.clone();
        Box::pin(self.read(async move { Ok(pool.get().await?.query_opt(LOADING_IS, &[]).await?.is_some()) }))
    }
}
