//! The log of drawn feeds of the Postgres store.
//!
//! Implements `SlateStore`. Invariant: the rules of `store::slates` hold. Writes bypass the writer task, so no entry
//! waits for them. The lock on the row of the person orders a log and a concurrent erasure.

use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;

use super::handle::Postgres;
use super::rows::{self, Instant};
use crate::domain::feeds::{Ranking, Slate};
use crate::domain::ids::{Epoch, FeedVersion, UserId};
use crate::domain::time::Millis;
use crate::store::codec::{self, integer};
use crate::store::error::StoreError;
use crate::store::slates::SlateStore;

const SLATES_INSERT: &str = include_str!("../../../sql/queries/postgres/slates_insert.sql");
const SLATES_FORGET: &str = include_str!("../../../sql/queries/slates_forget.sql");
const SLATES_LIST: &str = include_str!("../../../sql/queries/slates_list.sql");

impl SlateStore for Postgres {
    fn log_slates(&self, slates: Vec<Slate>, before: Option<Millis>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.read(log(self.reads.pool.clone(), slates, before)))
    }

    fn slates(
        &self,
        user: UserId,
        after: Option<FeedVersion>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Slate>, StoreError>> {
        Box::pin(self.read(list(self.reads.pool.clone(), user, after, limit)))
    }
}

/// Logs drawn feeds and deletes those from before an instant.
async fn log(pool: Pool, slates: Vec<Slate>, before: Option<Millis>) -> Result<(), StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    if !slates.is_empty() {
        let users: Vec<i64> = slates.iter().map(|slate| i64::from(slate.user.0)).collect();
        let versions: Vec<i64> =
            slates.iter().map(|slate| integer("version", slate.version.0)).collect::<Result<_, _>>()?;
        let at: Vec<Instant> = slates.iter().map(|slate| Instant::of("at", slate.at)).collect::<Result<_, _>>()?;
        let epochs: Vec<i64> = slates.iter().map(|slate| integer("epoch", slate.epoch.0)).collect::<Result<_, _>>()?;
        let rankings: Vec<&str> = slates.iter().map(|slate| slate.ranking.name()).collect();
        let items: Vec<Vec<u8>> = slates.iter().map(|slate| codec::places_to_bytes(&slate.items)).collect();
        let statement = transaction.prepare_cached(SLATES_INSERT).await?;
        transaction.execute(&statement, &[&users, &versions, &at, &epochs, &rankings, &items]).await?;
    }
    if let Some(before) = before {
        let statement = transaction.prepare_cached(SLATES_FORGET).await?;
        transaction.execute(&statement, &[&Instant::nearest(before)]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// One page of a person's logged feeds, by version.
async fn list(pool: Pool, user: UserId, after: Option<FeedVersion>, limit: u32) -> Result<Vec<Slate>, StoreError> {
    const TABLE: &str = "slates";
    let client = pool.get().await?;
    let statement = client.prepare_cached(SLATES_LIST).await?;
    let found =
        client.query(&statement, &[&i64::from(user.0), &codec::version_before_page(after), &i64::from(limit)]).await?;
    let read = |row: &tokio_postgres::Row| {
        let unreadable = || rows::corrupt(TABLE, format!("a feed of person {}", user.0));
        let (ranking, items): (&str, &[u8]) = (rows::get(TABLE, row, 4)?, rows::get(TABLE, row, 5)?);
        Ok(Slate {
            user,
            version: FeedVersion(rows::get::<i64>(TABLE, row, 1)?.cast_unsigned()),
            at: rows::instant(TABLE, row, 2)?,
            epoch: Epoch(rows::get::<i64>(TABLE, row, 3)?.cast_unsigned()),
            ranking: Ranking::from_name(ranking).ok_or_else(unreadable)?,
            items: codec::places_from_bytes(items).ok_or_else(unreadable)?,
        })
    };
    found.iter().map(read).collect()
}
