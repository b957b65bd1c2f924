//! Health, interrupted loads, file checks and closing of the embedded store.
//!
//! Implements `MaintenanceStore`. Invariant: the rules of `store::maintenance` hold.

use futures_util::future::BoxFuture;
use rusqlite::Connection;

use super::handle::Embedded;
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::maintenance::MaintenanceStore;

const LOADING_IS: &str = include_str!("../../../sql/queries/loading_is.sql");

/// Largest number of error lines from one check of the database file.
const CHECK_LINES: u32 = 20;

impl MaintenanceStore for Embedded {
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Health).await.map(drop) })
    }

    fn set_loading(&self, is_loading: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Loading(is_loading)).await.map(drop) })
    }

    fn is_loading(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| is_loading(connection)))
    }

    fn check_files(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| quick_check(connection)))
    }

    fn close(&self) {
        self.shut_down();
    }
}

fn is_loading(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(LOADING_IS)?.exists([])?)
}

/// Runs SQLite's own check of the file. Returns at most [`CHECK_LINES`] errors, none for a sound file.
fn quick_check(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(&format!("PRAGMA quick_check({CHECK_LINES})"))?;
    let lines = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}
