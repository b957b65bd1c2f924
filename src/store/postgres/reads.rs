//! Helpers for reads on pooled connections.
//!
//! Invariant: a read sees all writes acknowledged before its call. A read of several statements sees one state of the
//! database (repeatable read, read only); one statement does so by itself (read committed). Every read has a timeout.
//! Absent on purpose: queries, writes.

use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use futures_util::TryStreamExt as _;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use super::failures::late;
use super::pool::Client;
use super::rows;
use crate::domain::journal::Entry;
use crate::store::error::StoreError;

/// Parameters of a statement.
type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// The pool for reads and the timeout of a whole read.
#[derive(Clone)]
pub(super) struct Reads {
    pub(super) pool: Pool,
    pub(super) patience: Duration,
}

impl Reads {
    /// Delivers the rows of a query one by one, with a timeout for each.
    pub(super) async fn list(
        &self,
        transaction: &Transaction<'_>,
        sql: &str,
        each: &mut (dyn FnMut(&Row) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        let statement = transaction.prepare_cached(sql).await?;
        let none: [&(dyn ToSql + Sync); 0] = [];
        let found = timeout(self.patience, transaction.query_raw(&statement, none)).await.map_err(|_| late())??;
        let mut found = std::pin::pin!(found);
        while let Some(row) = timeout(self.patience, found.try_next()).await.map_err(|_| late())?? {
            each(&row)?;
        }
        Ok(())
    }

    /// All rows of one statement.
    pub(super) async fn rows(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let read = async {
            let client = self.pool.get().await?;
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, parameters).await?)
        };
        timeout(self.patience, read).await.unwrap_or_else(|_| Err(late()))
    }

    /// Runs a read of several statements within the timeout.
    pub(super) async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let read = async {
            let mut client = self.pool.get().await?;
            work(&mut client).await
        };
        timeout(self.patience, read).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Starts a read-only transaction that sees one state of the database.
pub(super) async fn one_state(client: &mut Client) -> Result<Transaction<'_>, StoreError> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    Ok(transaction.start().await?)
}

/// Decodes rows of a query over the journal and drops their positions.
pub(super) fn without_positions(found: &[Row]) -> Result<Vec<Entry>, StoreError> {
    found.iter().map(|row| rows::entry(row).map(|(_, entry)| entry)).collect()
}

/// Clamps a number to a signed column: no stored number is above `i64::MAX`.
pub(super) fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
