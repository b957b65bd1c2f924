//! Views and likes of posts as a feed logs them: `timestamp,user_id,post_id,action,target`.
//!
//! Invariant: `target` is read of views only, where 1 says that a like followed at once; rows come in the order of the
//! file. Absent on purpose: making one like of the view that tells it and the row that repeats it; the log does that.

use std::path::PathBuf;

use super::cells;
use super::error::FormatError;
use super::source::Watch;
use super::table::{Column, Columns, Table, needed, optional};
use super::time::Times;
use crate::domain::ids::Key;
use crate::domain::time::Millis;

/// What `--columns` may map.
pub const ROLES: [&str; 5] = ["timestamp", "user_id", "post_id", "action", "target"];

const COLUMNS: [Column; 5] =
    [needed("timestamp"), needed("user_id"), needed("post_id"), needed("action"), optional("target")];

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Saw it, and liked it at once or not.
    View {
        /// A like followed.
        liked: bool,
    },
    /// Liked it.
    Like,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// Where in its file, from 1.
    pub line: u64,
    /// When.
    pub time: Millis,
    /// Who.
    pub user: Key,
    /// Which post.
    pub post: Key,
    /// What they did.
    pub action: Action,
}

/// The rows of some files, one after the other.
pub struct Feed {
    table: Table,
    times: Times,
}

impl Feed {
    /// Opens the files; `columns` of [`ROLES`].
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(
        paths: &[PathBuf],
        columns: Columns,
        times: impl Into<Times>,
        watch: Option<Watch>,
    ) -> Result<Feed, FormatError> {
        Ok(Feed { table: Table::new(paths, columns, &COLUMNS, watch)?, times: times.into() })
    }
}

impl Iterator for Feed {
    type Item = Result<FeedRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let times = &self.times;
        self.table.next(|row| {
            let action = match row.cell("action").unwrap_or_default() {
                "like" => Action::Like,
                "view" => {
                    let liked = cells::flag(row.cell("target").unwrap_or_default());
                    Action::View { liked: liked.map_err(|wrong| row.error("target", wrong))? }
                }
                other => return Err(row.error("action", cells::unexpected(other, "view or like"))),
            };
            let (time, user, post) = (row.time("timestamp", times)?, row.key("user_id")?, row.key("post_id")?);
            Ok(FeedRow { line: row.line, time, user, post, action })
        })
    }
}
