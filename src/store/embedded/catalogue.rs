//! The catalogue and the follow graph of the embedded store.
//!
//! Implements `CatalogueStore`. Invariant: the rules of `store::catalogue` hold.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, params};

use super::handle::Embedded;
use super::rows;
use crate::domain::ids::{ItemId, UserId};
use crate::domain::items::Embedding;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};
use crate::store::catalogue::{CatalogueRow, CatalogueStore};
use crate::store::error::StoreError;

const TOPICS_LIST: &str = include_str!("../../../sql/queries/topics_list.sql");
const CENTRES_LIST: &str = include_str!("../../../sql/queries/centres_list.sql");
const PEOPLE_LIST: &str = include_str!("../../../sql/queries/people_list.sql");
const ITEMS_LIST: &str = include_str!("../../../sql/queries/items_list.sql");
const WINDOWS_LIST: &str = include_str!("../../../sql/queries/windows_list.sql");
const EMBEDDING_GET: &str = include_str!("../../../sql/queries/embedding_get.sql");
const FOLLOWS_LIST: &str = include_str!("../../../sql/queries/follows_list.sql");
const FOLLOWERS_LIST: &str = include_str!("../../../sql/queries/followers_list.sql");
const METRICS_LIST: &str = include_str!("../../../sql/queries/metrics_list.sql");
const CLUSTERINGS_LIST: &str = include_str!("../../../sql/queries/clusterings_list.sql");
const CLUSTER_NAMES_LIST: &str = include_str!("../../../sql/queries/cluster_names_list.sql");
const CHANGES_LIST: &str = include_str!("../../../sql/queries/changes_list.sql");

impl CatalogueStore for Embedded {
    fn catalogue(&self, mut each: Box<dyn FnMut(CatalogueRow) + Send>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.readers.ask(move |connection, wanted| list(connection, &mut each, wanted)))
    }

    fn embedding(&self, item: ItemId, revision: u32) -> BoxFuture<'_, Result<Option<Embedding>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| embedding(connection, item, revision)))
    }

    fn follows(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| follows(connection, user)))
    }

    fn followers(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| followers(connection, user)))
    }
}

/// Delivers the whole catalogue in the order that [`CatalogueRow`] states, as long as the caller waits for it.
fn list(
    connection: &Connection,
    each: &mut dyn FnMut(CatalogueRow),
    wanted: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let mut deliver = |sql: &str, read: &dyn Fn(&rusqlite::Row<'_>) -> Result<CatalogueRow, StoreError>| {
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()?
            && wanted()
        {
            each(read(row)?);
        }
        Ok::<(), StoreError>(())
    };
    deliver(TOPICS_LIST, &|row| rows::topic(row).map(|(id, key)| CatalogueRow::Topic(id, key)))?;
    deliver(CENTRES_LIST, &|row| rows::centre(row).map(|(name, vector)| CatalogueRow::Centre(name, vector)))?;
    deliver(PEOPLE_LIST, &|row| rows::person(row).map(CatalogueRow::Person))?;
    items(connection, each, wanted)?;
    let mut statement = connection.prepare_cached(CHANGES_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()?
        && wanted()
    {
        let (change, since) = rows::change(row)?;
        each(CatalogueRow::Since(change, since));
    }
    let mut statement = connection.prepare_cached(METRICS_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()?
        && wanted()
    {
        let (name, declaration) = rows::metric(row)?;
        each(CatalogueRow::Metric(name, declaration));
    }
    let mut statement = connection.prepare_cached(CLUSTERINGS_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()?
        && wanted()
    {
        each(CatalogueRow::Clustering(rows::clustering(row)?));
    }
    let mut statement = connection.prepare_cached(CLUSTER_NAMES_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()?
        && wanted()
    {
        each(CatalogueRow::ClusterName(rows::cluster_name(row)?));
    }
    Ok(())
}

/// Delivers items with their windows: a merge join of two queries that are both in order of the item.
fn items(
    connection: &Connection,
    each: &mut dyn FnMut(CatalogueRow),
    wanted: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(WINDOWS_LIST)?;
    let mut windows = statement
        .query_map([], |row| {
            let window = Window { start: Millis(row.get(1)?), stop: row.get::<_, Option<i64>>(2)?.map(Millis) };
            Ok((row.get::<_, u32>(0)?, window))
        })?
        .peekable();
    let mut statement = connection.prepare_cached(ITEMS_LIST)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()?
        && wanted()
    {
        let id: u32 = row.get(0)?;
        let mut own = Vec::new();
        // Takes an error, too, so that `?` returns it.
        while let Some(next) = windows.next_if(|next| next.as_ref().map_or(true, |(item, _)| *item == id)) {
            own.push(next?.1);
        }
        let own = Windows::new(own).map_err(|error| rows::corrupt("windows", format!("item_id {id}: {error}")))?;
        each(CatalogueRow::Item(rows::item(row, own)?));
    }
    Ok(())
}

fn embedding(connection: &Connection, item: ItemId, revision: u32) -> Result<Option<Embedding>, StoreError> {
    let mut statement = connection.prepare_cached(EMBEDDING_GET)?;
    let mut found = statement.query(params![item.0, revision])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let unreadable = || rows::corrupt("embeddings", format!("bytes of item_id {}, revision {revision}", item.0));
    rows::vector(row.get_ref(0)?).map(Some).ok_or_else(unreadable)
}

fn follows(connection: &Connection, user: UserId) -> Result<Vec<UserId>, StoreError> {
    let mut statement = connection.prepare_cached(FOLLOWS_LIST)?;
    let found = statement.query_map([user.0], |row| Ok(UserId(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn followers(connection: &Connection, user: UserId) -> Result<Vec<UserId>, StoreError> {
    let mut statement = connection.prepare_cached(FOLLOWERS_LIST)?;
    let found = statement.query_map([user.0], |row| Ok(UserId(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}
