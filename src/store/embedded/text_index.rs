//! The text index of the embedded store: an FTS5 table.
//!
//! Invariant: words are written in the transaction of their item. `secure-delete` removes the words of a deleted item from the
//! pages of the index. Absent on purpose: tokenizers; words arrive folded.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::domain::ids::ItemId;
use crate::domain::search;
use crate::store::error::StoreError;

pub(super) const ITEM_WORDS_GET: &str = include_str!("../../../sql/queries/sqlite/item_words_get.sql");
const ITEM_WORDS_SAVE: &str = include_str!("../../../sql/queries/sqlite/item_words_save.sql");
const ITEM_WORDS_DELETE: &str = include_str!("../../../sql/queries/sqlite/item_words_delete.sql");
const ITEM_WORDS_MISSING: &str = include_str!("../../../sql/queries/sqlite/item_words_missing.sql");

/// Items per transaction of [`fill`].
const CHUNK: usize = 5_000;

/// Sets the words of an item inside the transaction of the caller; equal words are left as they are.
pub(super) fn set(connection: &Connection, item: ItemId, text: &str) -> Result<(), StoreError> {
    let words = search::words(text).join(" ");
    let stored: Option<String> =
        connection.prepare_cached(ITEM_WORDS_GET)?.query_row([item.0], |row| row.get(0)).optional()?;
    if stored.as_ref() != Some(&words) {
        connection.prepare_cached(ITEM_WORDS_SAVE)?.execute(params![item.0, words])?;
    }
    Ok(())
}

/// Deletes the words of an item inside the transaction of the caller.
pub(super) fn delete(connection: &Connection, item: ItemId) -> Result<(), StoreError> {
    connection.prepare_cached(ITEM_WORDS_DELETE)?.execute([item.0])?;
    Ok(())
}

/// Adds the words of items that have none: those of a program without the index. Interrupted, it continues at the next start.
pub(super) fn fill(connection: &mut Connection) -> Result<(), StoreError> {
    let (mut after, mut filled) = (-1_i64, 0);
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let missing: Vec<(u32, String)> = transaction
            .prepare_cached(ITEM_WORDS_MISSING)?
            .query_map(params![after, CHUNK as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (item, text) in &missing {
            transaction.prepare_cached(ITEM_WORDS_SAVE)?.execute(params![item, search::words(text).join(" ")])?;
        }
        transaction.commit()?;
        filled += missing.len();
        match missing.last() {
            Some((last, _)) if missing.len() == CHUNK => after = i64::from(*last),
            _ => break,
        }
    }
    if filled > 0 {
        tracing::info!(items = filled, "filled the text index");
    }
    Ok(())
}
