//! Reads interactions as CSV: `user,item,time[,kind,dwell]`, with names mapped by `--columns`.
//!
//! Invariant: events keep the order of the file, which need not be by time; `dwell` is in milliseconds.

use std::path::PathBuf;

use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::time::Millis;
use crate::files::cells;
use crate::files::error::FormatError;
use crate::files::source::Watch;
use crate::files::table::{Column, Columns, Table, needed, optional};
use crate::files::time::Times;

/// Roles of columns that `--columns` may map.
pub const ROLES: [&str; 5] = ["user", "item", "time", "kind", "dwell"];

const COLUMNS: [Column; 5] = [needed("user"), needed("item"), needed("time"), optional("kind"), optional("dwell")];

/// An interaction of a user with an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the user.
    pub user: Key,
    /// Key of the item.
    pub item: Key,
    /// Time of the interaction.
    pub time: Millis,
    /// Kind of the interaction; `None` in a log of one kind, which `log::read` sets.
    pub kind: Option<Kind>,
    /// Dwell time in milliseconds.
    pub dwell_ms: Option<u32>,
}

/// An iterator over the events of several files.
pub struct Events {
    table: Table,
    times: Times,
}

impl Events {
    /// Opens the files; `columns` maps [`ROLES`].
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(
        paths: &[PathBuf],
        columns: Columns,
        times: impl Into<Times>,
        watch: Option<Watch>,
    ) -> Result<Events, FormatError> {
        Ok(Events { table: Table::new(paths, columns, &COLUMNS, watch)?, times: times.into() })
    }
}

impl Iterator for Events {
    type Item = Result<Event, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let times = &self.times;
        self.table.next(|row| {
            Ok(Event {
                line: row.line,
                user: row.key("user")?,
                item: row.key("item")?,
                time: row.time("time", times)?,
                kind: row.maybe("kind", cells::kind)?,
                dwell_ms: row.maybe("dwell", cells::dwell_ms)?,
            })
        })
    }
}
