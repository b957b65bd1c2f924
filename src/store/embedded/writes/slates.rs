//! Drawn feeds in their table, inside the transaction of the caller.
//!
//! Invariant: each feed is logged once, and no feed of an erased person. Absent on purpose: transactions.

use rusqlite::{Connection, params};

use crate::domain::feeds::Slate;
use crate::domain::time::Millis;
use crate::store::codec::{self, integer};
use crate::store::error::StoreError;

const SLATE_INSERT: &str = include_str!("../../../../sql/queries/slate_insert.sql");
const SLATES_FORGET: &str = include_str!("../../../../sql/queries/slates_forget.sql");

/// Logs drawn feeds and deletes those from before an instant.
pub(super) fn log(connection: &Connection, slates: &[Slate], before: Option<Millis>) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(SLATE_INSERT)?;
    for slate in slates {
        statement.execute(params![
            slate.user.0,
            integer("version", slate.version.0)?,
            slate.at.0,
            integer("epoch", slate.epoch.0)?,
            slate.ranking.name(),
            codec::places_to_bytes(&slate.items),
        ])?;
    }
    if let Some(before) = before {
        connection.prepare_cached(SLATES_FORGET)?.execute([before.0])?;
    }
    Ok(())
}
