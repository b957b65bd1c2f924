//! Reads items as CSV: `item,topic,text,author,at[,attributes][,embedding]`. Mandatory are `item`, and a text or an
//! embedding. `created` is the earlier name of `at`, until version 0.2.
//!
//! Invariant: all embeddings of one call have one dimension. Several topics are written `jazz|live`, the main one
//! first.
//! Absent on purpose: windows; they have a file of their own, since an item may have many.

use std::path::PathBuf;

use crate::domain::ids::Key;
use crate::domain::items::{Embedding, Item};
use crate::domain::text::{ATTRIBUTES_BYTES_MAX, json_must_be_storable};
use crate::domain::time::Millis;
use crate::files::cells::{self, Dims};
use crate::files::error::{FormatError, Wrong};
use crate::files::source::Watch;
use crate::files::table::{Column, Columns, Table, TableRow, needed, optional};
use crate::files::time::Times;

/// Roles of columns that `--columns` may map.
pub const ROLES: [&str; 8] = ["item", "topic", "text", "author", "at", "created", "attributes", "embedding"];

const COLUMNS: [Column; 8] = [
    needed("item"),
    optional("topic"),
    optional("text"),
    optional("author"),
    optional("at"),
    optional("created"),
    optional("attributes"),
    optional("embedding"),
];

/// An item with its features.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRow {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the item.
    pub item: Key,
    /// Topics of the item, the main one first.
    pub topics: Vec<Key>,
    /// Text of the item; may be empty beside an embedding.
    pub text: String,
    /// Key of the author.
    pub author: Option<Key>,
    /// Creation time of the item.
    pub created: Option<Millis>,
    /// Attributes of the item that a two-tower model reads: a JSON object as text.
    pub attributes: Option<String>,
    /// Embedding of the item; `None` where the text gives one later.
    pub embedding: Option<Embedding>,
}

/// An iterator over the items of several files.
pub struct Items {
    table: Table,
    times: Times,
    dims: Dims,
    bare: bool,
}

impl Items {
    /// Opens the files; `columns` maps [`ROLES`]. Without a `dim` the first embedding sets it.
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

    /// Opens files whose items may lack both text and embedding, such as items known by topic alone.
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

    /// Sets the dimension of embeddings computed from texts; given embeddings must match it.
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

/// A JSON object as text.
fn attributes(cell: &str) -> Result<String, Wrong> {
    let is_object = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(cell).is_ok();
    if cell.len() > ATTRIBUTES_BYTES_MAX || !is_object() {
        let expected = format!("a JSON object of at most {} bytes, as {{\"length\": 12}}", ATTRIBUTES_BYTES_MAX);
        return Err(cells::unexpected(cell, expected));
    }
    json_must_be_storable(cell).map_err(|why| cells::unexpected(cell, format!("a JSON object: it {why}")))?;
    Ok(cell.to_owned())
}

fn item(row: &TableRow<'_>, times: &Times, dims: &mut Dims, bare: bool) -> Result<ItemRow, FormatError> {
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
    let (at, created) = (row.maybe_time("at", times)?, row.maybe_time("created", times)?);
    if at.is_some() && created.is_some() && at != created {
        let expected = "equal to `created`, its earlier name: leave that column out";
        return Err(row.error("at", cells::unexpected(row.cell("at").unwrap_or_default(), expected)));
    }
    Ok(ItemRow {
        line: row.line,
        item: row.key("item")?,
        topics,
        text: text.to_owned(),
        author: row.maybe("author", cells::key)?,
        created: at.or(created),
        attributes: row.maybe("attributes", attributes)?,
        embedding,
    })
}
