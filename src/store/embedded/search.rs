//! Text search in the embedded store.
//!
//! Implements `SearchStore`. Invariant: the rules of `store::search` hold. A search reads at most the newest matches that it
//! ranks, and the items between them that it may not return. Absent on purpose: bm25 of FTS5, which reads all matches of each
//! phrase to know how rare it is.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension as _};

use super::handle::Embedded;
use super::text_index::ITEM_WORDS_GET;
use crate::domain::ids::ItemId;
use crate::domain::search::{self, Matched, RANKED_MAX, SearchHit, TextQuery, TextSearch};
use crate::store::error::StoreError;
use crate::store::search::SearchStore;

const ITEM_SEARCH: &str = include_str!("../../../sql/queries/sqlite/item_search.sql");

/// Matches that FTS5 steps over in the time in which the words of one item are read and compared.
const STEPS_PER_TEXT: u64 = 8;

impl SearchStore for Embedded {
    fn search(&self, search: TextSearch) -> BoxFuture<'_, Result<Vec<SearchHit>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| find(connection, &search)))
    }
}

fn find(connection: &Connection, search: &TextSearch) -> Result<Vec<SearchHit>, StoreError> {
    let mut items = Vec::new();
    let mut matched = Vec::new();
    let mut words = connection.prepare_cached(ITEM_WORDS_GET)?;
    let mut compare = |id: u32| -> Result<bool, StoreError> {
        // Another connection may have deleted the words meanwhile.
        let text: Option<String> = words.query_row([id], |row| row.get(0)).optional()?;
        if let Some(found) = text.and_then(|text| search.query.matched(&text)) {
            items.push(ItemId(id));
            matched.push(found);
        }
        Ok(items.len() >= RANKED_MAX as usize)
    };
    let mut statement = connection.prepare_cached(ITEM_SEARCH)?;
    let mut rows = statement.query([expression(&search.query)])?;
    let mut steps_left = search.only.as_ref().map_or(u64::MAX, |only| only.len() * STEPS_PER_TEXT);
    while let Some(row) = rows.next()? {
        let id: u32 = row.get(0)?;
        if search.only.as_ref().is_none_or(|only| only.contains(id)) && compare(id)? {
            break;
        }
        if steps_left == 0 {
            // Few items may be returned, so reading their texts is cheaper than stepping over all other matches.
            for id in search.only.iter().flat_map(|only| only.range(..id).rev()) {
                if compare(id)? {
                    break;
                }
            }
            break;
        }
        steps_left -= 1;
    }
    let scored = items.into_iter().zip(Matched::relevance(&matched));
    let mut hits: Vec<SearchHit> = scored.map(|(item, score)| SearchHit { item, score }).collect();
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(b.item.cmp(&a.item)));
    Ok(hits.into_iter().skip(search.skip as usize).take(search.limit as usize).collect())
}

/// A query in the syntax of FTS5: quoted phrases, all of which must match. Words have no quotes.
fn expression(query: &TextQuery) -> String {
    let phrase = |phrase: &search::Phrase| {
        let words = phrase.words.join(" ");
        if phrase.is_prefix { format!("\"{words}\"*") } else { format!("\"{words}\"") }
    };
    query.phrases().iter().map(phrase).collect::<Vec<_>>().join(" ")
}
