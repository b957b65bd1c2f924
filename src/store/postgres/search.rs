//! Text search in the Postgres store.
//!
//! Implements `SearchStore`. Invariant: the rules of `store::search` hold. Absent on purpose: text search configurations; a
//! query arrives folded and is cast, not parsed.

use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};

use super::failures::late;
use super::handle::Postgres;
use super::reads::Reads;
use super::rows::{self, Instant};
use crate::domain::ids::ItemId;
use crate::domain::search::{self, RANKED_MAX, SearchHit, TextQuery, TextSearch};
use crate::store::error::StoreError;
use crate::store::search::SearchStore;

const ITEM_SEARCH: &str = include_str!("../../../sql/queries/postgres/item_search.sql");

impl SearchStore for Postgres {
    fn search(&self, search: TextSearch) -> BoxFuture<'_, Result<Vec<SearchHit>, StoreError>> {
        Box::pin(self.read(self.reads.clone().search(search)))
    }
}

impl Reads {
    async fn search(self, search: TextSearch) -> Result<Vec<SearchHit>, StoreError> {
        let query = tsquery(&search.query);
        let author = search.author.map(|author| i64::from(author.0));
        let topic = search.topic.map(|topic| i64::from(topic.0));
        let at = search.available_at.map(Instant::nearest);
        let [ranked, limit, skip] = [RANKED_MAX, search.limit, search.skip].map(i64::from);
        // Typed, not prepared: a plan for the words of this query. A generic one cannot know a frequent word.
        let parameters: [(&(dyn ToSql + Sync), Type); 7] = [
            (&query, Type::TEXT),
            (&author, Type::INT8),
            (&topic, Type::INT8),
            (&at, Type::TIMESTAMPTZ),
            (&ranked, Type::INT8),
            (&limit, Type::INT8),
            (&skip, Type::INT8),
        ];
        let read = async {
            let client = self.pool.get().await?;
            Ok(client.query_typed(ITEM_SEARCH, &parameters).await?)
        };
        let found = timeout(self.patience, read).await.unwrap_or_else(|_| Err(late()))?;
        let hit = |row: &tokio_postgres::Row| {
            let (item, score) = (rows::number("item_words", row, 0)?, rows::get("item_words", row, 1)?);
            Ok(SearchHit { item: ItemId(item), score })
        };
        found.iter().map(hit).collect()
    }
}

/// A query in the syntax of `tsquery`: quoted words, all of which must match. Words have neither quotes nor backslashes.
fn tsquery(query: &TextQuery) -> String {
    let phrase = |phrase: &search::Phrase| {
        let words: Vec<String> = phrase.words.iter().map(|word| format!("'{word}'")).collect();
        format!("({}{})", words.join("<->"), if phrase.is_prefix { ":*" } else { "" })
    };
    query.phrases().iter().map(phrase).collect::<Vec<_>>().join("&")
}
