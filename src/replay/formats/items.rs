//! Items as CSV: `item,topic,text,author,created[,embedding]`. Only `item` is needed, and a text or an embedding.
//!
//! Invariant: all embeddings of one call have one dimension. Several topics are written `jazz|live`, the main one first.
//! Absent on purpose: windows; they have a file of their own, since an item may have many.

use std::path::PathBuf;

use super::cells::{self, Dims};
use super::error::{FormatError, Wrong};
use super::source::Watch;
use super::table::{Column, Columns, Row, Table, needed, optional};
use super::time::Times;
use crate::domain::ids::Key;
use crate::domain::items::{Embedding, Item};
use crate::domain::time::Millis;

/// What `--columns` may map.
pub const ROLES: [&str; 6] = ["item", "topic", "text", "author", "created", "embedding"];

const COLUMNS: [Column; 6] = [
    needed("item"),
    optional("topic"),
    optional("text"),
    optional("author"),
    optional("created"),
    optional("embedding"),
];

/// An item as a file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRow {
    /// Where in its file, from 1.
    pub line: u64,
    /// Its key.
    pub item: Key,
    /// Its topics, the main one first.
    pub topics: Vec<Key>,
    /// What a person reads; may be empty when there is an embedding.
    pub text: String,
    /// Who made it.
    pub author: Option<Key>,
    /// When it came into being.
    pub created: Option<Millis>,
    /// Its vector, unless it is to be made from the text.
    pub embedding: Option<Embedding>,
}

/// The items of some files, one after the other.
pub struct Items {
    table: Table,
    times: Times,
    dims: Dims,
    bare: bool,
}

impl Items {
    /// Opens the files; `columns` of [`ROLES`]. Without a `dim` the first embedding sets it.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(
        paths: &[PathBuf],
        columns: Columns,
        times: impl Into<Times>,
        dim: Option<usize>,
        watch: Option<Watch>,
    ) -> Result<Items, FormatError> {
        let table = Table::new(paths, columns, &COLUMNS, watch)?;
        Ok(Items { table, times: times.into(), dims: Dims::of(dim), bare: false })
    }

    /// The same for items that may have neither a text nor an embedding: of some, only the topics are known.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open_bare(
        paths: &[PathBuf],
        columns: Columns,
        times: impl Into<Times>,
        dim: Option<usize>,
        watch: Option<Watch>,
    ) -> Result<Items, FormatError> {
        Ok(Items { bare: true, ..Items::open(paths, columns, times, dim, watch)? })
    }

    /// Items without an embedding get one of `dim` numbers, made from their text: no other may have another length.
    #[must_use]
    pub fn with_texts_of(self, dim: usize) -> Items {
        Items { dims: self.dims.with_texts_of(Some(dim)), ..self }
    }
}

impl Iterator for Items {
    type Item = Result<ItemRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (times, dims, bare) = (&self.times, &mut self.dims, self.bare);
        self.table.next(|row| item(row, times, dims, bare))
    }
}

fn item(row: &Row<'_>, times: &Times, dims: &mut Dims, bare: bool) -> Result<ItemRow, FormatError> {
    let topics = row.cell("topic").unwrap_or_default();
    let topics: Result<Vec<Key>, _> =
        topics.split('|').map(str::trim).filter(|t| !t.is_empty()).map(cells::key).collect();
    let topics = topics.map_err(|wrong| row.error("topic", wrong))?;
    Item::check_topics(&topics).map_err(|error| row.error("topic", Wrong::Topics(error)))?;
    let text = row.cell("text").unwrap_or_default();
    if text.len() > Item::TEXT_BYTES_MAX {
        let expected = format!("a text of at most {} bytes", Item::TEXT_BYTES_MAX);
        return Err(row.error("text", cells::unexpected(text, expected)));
    }
    cells::storable(text).map_err(|wrong| row.error("text", wrong))?;
    let embedding = row.maybe("embedding", |cell| cells::embedding(cell, dims))?;
    if !bare && text.is_empty() && embedding.is_none() {
        return Err(row.error("text", cells::unexpected("", "a text, which an item without an embedding needs")));
    }
    if !text.is_empty() && embedding.is_none() {
        dims.text().map_err(|wrong| row.error("embedding", wrong))?;
    }
    Ok(ItemRow {
        line: row.line,
        item: row.key("item")?,
        topics,
        text: text.to_owned(),
        author: row.maybe("author", cells::key)?,
        created: row.maybe_time("created", times)?,
        embedding,
    })
}
