//! Reads follows as CSV: `source,target`.
//!
//! Invariant: no user follows themselves.

use std::path::PathBuf;

use crate::domain::ids::Key;
use crate::files::cells;
use crate::files::error::FormatError;
use crate::files::source::Watch;
use crate::files::table::{Column, Columns, Table, needed};

/// Roles of columns that `--columns` may map.
pub const ROLES: [&str; 2] = ["source", "target"];

const COLUMNS: [Column; 2] = [needed("source"), needed("target")];

/// A follow: `source` follows `target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the follower.
    pub source: Key,
    /// Key of the followed user.
    pub target: Key,
}

/// An iterator over the follows of several files.
pub struct Follows {
    table: Table,
}

impl Follows {
    /// Opens the files; `columns` maps [`ROLES`].
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
                let wrong = cells::unexpected(follow.target.as_str(), "another user than the source: remove the line");
                return Err(row.error("target", wrong));
            }
            Ok(follow)
        })
    }
}
