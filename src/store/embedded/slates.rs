//! The log of drawn feeds of the embedded store.
//!
//! Implements `SlateStore`. Invariant: the rules of `store::slates` hold.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, params};

use super::handle::Embedded;
use super::rows;
use crate::domain::feeds::{Ranking, Slate};
use crate::domain::ids::{Epoch, FeedVersion, UserId};
use crate::domain::time::Millis;
use crate::store::codec;
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::slates::SlateStore;

const SLATES_LIST: &str = include_str!("../../../sql/queries/slates_list.sql");

impl SlateStore for Embedded {
    fn log_slates(&self, slates: Vec<Slate>, before: Option<Millis>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.ask(Work::Slates(slates, before)).await.map(drop) })
    }

    fn slates(
        &self,
        user: UserId,
        after: Option<FeedVersion>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Slate>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| list(connection, user, after, limit)))
    }
}

/// One page of a person's logged feeds, by version.
fn list(
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
