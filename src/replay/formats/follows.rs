//! Who follows whom as CSV: `source,target`.
//!
//! Invariant: nobody follows themselves.

use std::path::PathBuf;

use super::cells;
use super::error::FormatError;
use super::source::Watch;
use super::table::{Column, Columns, Table, needed};
use crate::domain::ids::Key;

/// What `--columns` may map.
pub const ROLES: [&str; 2] = ["source", "target"];

const COLUMNS: [Column; 2] = [needed("source"), needed("target")];

/// `source` follows `target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Where in its file, from 1.
    pub line: u64,
    /// Who follows.
    pub source: Key,
    /// Whom.
    pub target: Key,
}

/// The follows of some files, one after the other.
pub struct Follows {
    table: Table,
}

impl Follows {
    /// Opens the files; `columns` of [`ROLES`].
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], columns: Columns, watch: Option<Watch>) -> Result<Follows, FormatError> {
        Ok(Follows { table: Table::new(paths, columns, &COLUMNS, watch)? })
    }
}

impl Iterator for Follows {
    type Item = Result<Follow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.table.next(|row| {
            let follow = Follow { line: row.line, source: row.key("source")?, target: row.key("target")? };
            if follow.source == follow.target {
                let wrong = cells::unexpected(follow.target.as_str(), "somebody else than the source: remove the line");
                return Err(row.error("target", wrong));
            }
            Ok(follow)
        })
    }
}
