//! Text search in the embedded store.
//!
//! Implements `SearchStore`. Invariant: the rules of `store::search` hold.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, params};

use super::handle::Embedded;
use crate::domain::ids::ItemId;
use crate::domain::search::{self, RANKED_MAX, SearchHit, TextQuery, TextSearch};
use crate::store::error::StoreError;
use crate::store::search::SearchStore;

const ITEM_SEARCH: &str = include_str!("../../../sql/queries/sqlite/item_search.sql");

impl SearchStore for Embedded {
    fn search(&self, search: TextSearch) -> BoxFuture<'_, Result<Vec<SearchHit>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| find(connection, &search)))
    }
}

fn find(connection: &Connection, search: &TextSearch) -> Result<Vec<SearchHit>, StoreError> {
    let mut statement = connection.prepare_cached(ITEM_SEARCH)?;
    let parameters = params![
        expression(&search.query),
        search.author.map(|author| author.0),
        search.topic.map(|topic| topic.0),
        search.available_at.map(|at| at.0),
        RANKED_MAX,
        search.limit,
        search.skip
    ];
    let found =
        statement.query_map(parameters, |row| Ok(SearchHit { item: ItemId(row.get(0)?), score: row.get(1)? }))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// A query in the syntax of FTS5: quoted phrases, all of which must match. Words have no quotes.
fn expression(query: &TextQuery) -> String {
    let phrase = |phrase: &search::Phrase| {
        let words = phrase.words.join(" ");
        if phrase.is_prefix { format!("\"{words}\"*") } else { format!("\"{words}\"") }
    };
    query.phrases().iter().map(phrase).collect::<Vec<_>>().join(" ")
}
