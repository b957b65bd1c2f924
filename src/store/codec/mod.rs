//! Domain values as columns and back, for both stores.
//!
//! Invariant: decoding an encoded value gives an equal value; a column that does not parse is
//! [`StoreError::Corrupt`](crate::store::StoreError::Corrupt), never a guess.

mod columns;
mod journal_row;

pub use self::columns::{
    COORDINATOR, change_from_row, change_to_row, declaration_from_text, declaration_to_text, embedding_from_bytes,
    floats_from_bytes, floats_to_bytes, integer, narrow, places_from_bytes, places_to_bytes, predicted_from_bytes,
    predicted_to_bytes, snapshot_checksum, topics_from_text, topics_to_text, version_before_page,
};
pub use self::journal_row::JournalRow;
