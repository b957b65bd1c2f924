//! The catalogue and the follow graph of the Postgres store.
//!
//! Implements `CatalogueStore`. Invariant: the rules of `store::catalogue` hold.

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::failures::late;
use super::handle::Postgres;
use super::reads::{Reads, one_state};
use super::rows;
use crate::domain::ids::{ItemId, UserId};
use crate::domain::items::Embedding;
use crate::domain::windows::Window;
use crate::store::catalogue::{CatalogueRow, CatalogueStore};
use crate::store::codec;
use crate::store::error::StoreError;

const TOPICS_LIST: &str = include_str!("../../../sql/queries/topics_list.sql");
const CENTRES_LIST: &str = include_str!("../../../sql/queries/centres_list.sql");
const METRICS_LIST: &str = include_str!("../../../sql/queries/metrics_list.sql");
const CLUSTERINGS_LIST: &str = include_str!("../../../sql/queries/clusterings_list.sql");
const CLUSTER_NAMES_LIST: &str = include_str!("../../../sql/queries/cluster_names_list.sql");
const CHANGES_LIST: &str = include_str!("../../../sql/queries/changes_list.sql");
const FOLLOWERS_LIST: &str = include_str!("../../../sql/queries/followers_list.sql");
const PEOPLE_LIST: &str = include_str!("../../../sql/queries/people_list.sql");
const ITEMS_LIST: &str = include_str!("../../../sql/queries/items_list.sql");
const WINDOWS_LIST: &str = include_str!("../../../sql/queries/windows_list.sql");
const EMBEDDING_GET: &str = include_str!("../../../sql/queries/embedding_get.sql");
const FOLLOWS_LIST: &str = include_str!("../../../sql/queries/follows_list.sql");

impl CatalogueStore for Postgres {
    fn catalogue(&self, each: Box<dyn FnMut(CatalogueRow) + Send>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.read(self.reads.clone().catalogue(each)))
    }

    fn embedding(&self, item: ItemId, revision: u32) -> BoxFuture<'_, Result<Option<Embedding>, StoreError>> {
        Box::pin(self.read(self.reads.clone().embedding(item, revision)))
    }

    fn follows(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.read(self.reads.clone().follows(user)))
    }

    fn followers(&self, user: UserId) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        Box::pin(self.read(self.reads.clone().followers(user)))
    }
}

impl Reads {
    /// Delivers the whole catalogue in the order that [`CatalogueRow`] states.
    async fn catalogue(self, mut each: Box<dyn FnMut(CatalogueRow) + Send>) -> Result<(), StoreError> {
        let mut client = timeout(self.patience, self.pool.get()).await.map_err(|_| late())??;
        let transaction = one_state(&mut client).await?;
        // The whole read may take long; `list` has a timeout for each row.
        transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
        let mut windows: Vec<(u32, Window)> = Vec::new();
        let each = &mut each;
        self.list(&transaction, TOPICS_LIST, &mut |row| {
            rows::topic(row).map(|(id, key)| each(CatalogueRow::Topic(id, key)))
        })
        .await?;
        self.list(&transaction, CENTRES_LIST, &mut |row| {
            rows::centre(row).map(|(name, vector)| each(CatalogueRow::Centre(name, vector)))
        })
        .await?;
        self.list(&transaction, PEOPLE_LIST, &mut |row| {
            rows::person(row).map(|person| each(CatalogueRow::Person(person)))
        })
        .await?;
        self.list(&transaction, WINDOWS_LIST, &mut |row| rows::window(row).map(|window| windows.push(window))).await?;
        // A merge join: both queries are in order of the item.
        let mut windows = windows.into_iter().peekable();
        self.list(&transaction, ITEMS_LIST, &mut |row| {
            let id = rows::item_id(row)?;
            let mut own = Vec::new();
            while let Some((_, window)) = windows.next_if(|(item, _)| *item == id) {
                own.push(window);
            }
            each(CatalogueRow::Item(rows::item(row, own)?));
            Ok(())
        })
        .await?;
        self.list(&transaction, CHANGES_LIST, &mut |row| {
            rows::change(row).map(|(change, since)| each(CatalogueRow::Since(change, since)))
        })
        .await?;
        self.list(&transaction, METRICS_LIST, &mut |row| {
            rows::metric(row).map(|(name, declaration)| each(CatalogueRow::Metric(name, declaration)))
        })
        .await?;
        self.list(&transaction, CLUSTERINGS_LIST, &mut |row| {
            rows::clustering(row).map(|revision| each(CatalogueRow::Clustering(revision)))
        })
        .await?;
        self.list(&transaction, CLUSTER_NAMES_LIST, &mut |row| {
            rows::cluster_name(row).map(|name| each(CatalogueRow::ClusterName(name)))
        })
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn embedding(self, item: ItemId, revision: u32) -> Result<Option<Embedding>, StoreError> {
        let found = self.rows(EMBEDDING_GET, &[&i64::from(item.0), &i64::from(revision)]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let unreadable = || rows::corrupt("embeddings", format!("bytes of item_id {}, revision {revision}", item.0));
        codec::embedding_from_bytes(rows::get("embeddings", row, 0)?).map(Some).ok_or_else(unreadable)
    }

    async fn follows(self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        let found = self.rows(FOLLOWS_LIST, &[&i64::from(user.0)]).await?;
        found.iter().map(|row| Ok(UserId(rows::number("follows", row, 0)?))).collect()
    }

    async fn followers(self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        let found = self.rows(FOLLOWERS_LIST, &[&i64::from(user.0)]).await?;
        found.iter().map(|row| Ok(UserId(rows::number("follows", row, 0)?))).collect()
    }
}
