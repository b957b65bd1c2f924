//! The log of drawn feeds in its table.
//!
//! Invariant: a feed is logged once, and never for somebody who was erased. Absent on purpose: transactions, threads.

use rusqlite::{Connection, params};

use super::rows;
use crate::domain::feeds::{Ranking, Slate};
use crate::domain::ids::{Epoch, FeedVersion, UserId};
use crate::domain::time::Millis;
use crate::store::StoreError;
use crate::store::codec::{self, integer};

const SLATE_INSERT: &str = include_str!("../../../sql/queries/slate_insert.sql");
const SLATES_FORGET: &str = include_str!("../../../sql/queries/slates_forget.sql");
const SLATES_LIST: &str = include_str!("../../../sql/queries/slates_list.sql");

/// Logs these, and forgets those from before an instant.
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

/// One page of a person's logged feeds, by version.
pub(super) fn list(
    connection: &Connection,
    user: UserId,
    after: Option<FeedVersion>,
    limit: u32,
) -> Result<Vec<Slate>, StoreError> {
    let mut statement = connection.prepare_cached(SLATES_LIST)?;
    let mut found = statement.query(params![user.0, codec::version_before_page(after), limit])?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        let (version, at, epoch): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let (ranking, items): (String, Vec<u8>) = (row.get(4)?, row.get(5)?);
        let unreadable = || rows::corrupt("slates", format!("version {version} of person {}", user.0));
        list.push(Slate {
            user,
            version: FeedVersion(version.cast_unsigned()),
            at: Millis(at),
            epoch: Epoch(epoch.cast_unsigned()),
            ranking: Ranking::from_name(&ranking).ok_or_else(unreadable)?,
            items: codec::places_from_bytes(&items).ok_or_else(unreadable)?,
        });
    }
    Ok(list)
}
