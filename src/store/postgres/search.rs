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
use super::rows;
use crate::domain::ids::ItemId;
use crate::domain::search::{self, RANKED_MAX, SearchHit, TextQuery, TextSearch};
use crate::store::error::StoreError;
use crate::store::search::SearchStore;

const ITEM_SEARCH: &str = include_str!("../../../sql/queries/postgres/item_search.sql");

/// Items that a search looks up by id at most: a tenth of a catalogue of 100,000.
const IDS_MAX: u64 = 10_000;

impl SearchStore for Postgres {
    fn search(&self, search: TextSearch) -> BoxFuture<'_, Result<Vec<SearchHit>, StoreError>> {
        Box::pin(self.read(self.reads.clone().search(search)))
    }
}

impl Reads {
    async fn search(self, search: TextSearch) -> Result<Vec<SearchHit>, StoreError> {
        let query = tsquery(&search.query);
        // A few items are looked up by id. Of many, the newest matches are tested by a bit each.
        let (mut only, mut ids) = (None, None);
        if let Some(admitted) = search.only.as_deref() {
            match admitted.len() <= IDS_MAX {
                true => ids = Some(admitted.iter().map(i64::from).collect::<Vec<i64>>()),
                false => only = search.only_bits(),
            }
        }
        let [ranked, limit, skip] = [RANKED_MAX, search.limit, search.skip].map(i64::from);
        // Typed, not prepared: a plan for the words of this query. A generic one cannot know a frequent word.
        let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
            (&query, Type::TEXT),
            (&only, Type::BYTEA),
            (&ids, Type::INT8_ARRAY),
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
