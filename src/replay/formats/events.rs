//! Interactions as CSV: `user,item,time[,kind,dwell]`, the names mapped with `--columns`.
//!
//! Invariant: events come in the order of the file, which need not be that of time; `dwell` is in milliseconds.

use std::path::PathBuf;

use super::cells;
use super::error::FormatError;
use super::source::Watch;
use super::table::{Column, Columns, Table, needed, optional};
use super::time::Times;
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::time::Millis;

/// What `--columns` may map.
pub const ROLES: [&str; 5] = ["user", "item", "time", "kind", "dwell"];

const COLUMNS: [Column; 5] = [needed("user"), needed("item"), needed("time"), optional("kind"), optional("dwell")];

/// Somebody did something with an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where in its file, from 1.
    pub line: u64,
    /// Who.
    pub user: Key,
    /// With what.
    pub item: Key,
    /// When.
    pub time: Millis,
    /// What; without one the log has a single kind, and the reader of it knows which.
    pub kind: Option<Kind>,
    /// For how long.
    pub dwell_ms: Option<u32>,
}

/// The events of some files, one after the other.
pub struct Events {
    table: Table,
    times: Times,
}

impl Events {
    /// Opens the files; `columns` of [`ROLES`].
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
