//! Reads views and likes of posts, as feeds log them: `timestamp,user_id,post_id,action,target`.
//!
//! Invariant: only views have a `target`, where 1 means that a like followed. Rows keep the order of the file. Absent
//! on purpose: merging a liked view with the like row that repeats it; the log does that.

use std::path::PathBuf;

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::files::cells;
use crate::files::error::FormatError;
use crate::files::source::Watch;
use crate::files::table::{Column, Columns, Table, needed, optional};
use crate::files::time::Times;

/// Roles of columns that `--columns` may map.
pub const ROLES: [&str; 5] = ["timestamp", "user_id", "post_id", "action", "target"];

const COLUMNS: [Column; 5] =
    [needed("timestamp"), needed("user_id"), needed("post_id"), needed("action"), optional("target")];

/// Kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A view of the post, with its label.
    View {
        /// True where a like followed.
        liked: bool,
    },
    /// A like of the post.
    Like,
}

/// One row of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// Line in its file, from 1.
    pub line: u64,
    /// Time of the row.
    pub time: Millis,
    /// Key of the user.
    pub user: Key,
    /// Key of the post.
    pub post: Key,
    /// View or like.
    pub action: Action,
}

/// An iterator over the rows of several files.
pub struct Feed {
    table: Table,
    times: Times,
}

impl Feed {
    /// Opens the files; `columns` maps [`ROLES`].
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
