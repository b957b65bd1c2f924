//! The text index of the Postgres store: a `tsvector` per item and a GIN index.
//!
//! Invariant: words are written in the transaction of their item. Absent on purpose: text search configurations; words arrive
//! folded and are cast, not parsed.

use std::fmt::Write as _;

use super::pool::Client;
use super::rows;
use crate::domain::search;
use crate::store::error::StoreError;

const ITEM_WORDS_MISSING: &str = include_str!("../../../sql/queries/postgres/item_words_missing.sql");
const ITEM_WORDS_FILL: &str = include_str!("../../../sql/queries/postgres/item_words_fill.sql");

/// Items per statement of [`fill`].
const CHUNK: usize = 5_000;

/// The words of a text in the syntax of `tsvector`.
pub(super) fn tsvector(text: &str) -> String {
    let mut vector = String::new();
    for (word, positions) in search::word_positions(text) {
        let positions: Vec<String> = positions.iter().map(u16::to_string).collect();
        let _ = write!(vector, "'{word}':{} ", positions.join(","));
    }
    vector
}

/// Adds the words of items that have none: those of a program without the index. Interrupted, it continues at the next start.
pub(super) async fn fill(client: &Client) -> Result<(), StoreError> {
    let (mut after, mut filled) = (-1_i64, 0);
    loop {
        let missing = client.query(ITEM_WORDS_MISSING, &[&after, &(CHUNK as i64)]).await?;
        let mut ids: Vec<i64> = Vec::with_capacity(missing.len());
        let mut words = Vec::with_capacity(missing.len());
        for row in &missing {
            ids.push(rows::get("items", row, 0)?);
            words.push(tsvector(rows::get("items", row, 1)?));
        }
        let Some(last) = ids.last() else { break };
        after = *last;
        client.execute(ITEM_WORDS_FILL, &[&ids, &words]).await?;
        filled += ids.len();
    }
    if filled > 0 {
        // Statistics decide between the index and the newest rows.
        client.batch_execute("ANALYZE item_words").await?;
        tracing::info!(items = filled, "filled the text index");
    }
    Ok(())
}
