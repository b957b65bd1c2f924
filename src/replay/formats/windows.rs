//! When items are available, as CSV: `item,start,stop`; an empty `stop` is open-ended.
//!
//! Invariant: what [`read_windows`] gives is sorted and free of overlaps per item. Absent on purpose: inferring windows
//! from events.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::cells;
use super::error::{FormatError, Wrong};
use super::source::Watch;
use super::table::{Column, Columns, Table, needed, optional};
use super::time::Times;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};

/// What `--columns` may map.
pub const ROLES: [&str; 3] = ["item", "start", "stop"];

const COLUMNS: [Column; 3] = [needed("item"), needed("start"), optional("stop")];

/// One window of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Where in its file, from 1.
    pub line: u64,
    /// Whose.
    pub item: Key,
    /// From when to when.
    pub window: Window,
}

/// The windows of some files, one after the other.
pub struct WindowRows {
    table: Table,
    times: Times,
}

impl WindowRows {
    /// Opens the files; `columns` of [`ROLES`].
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(
        paths: &[PathBuf],
        columns: Columns,
        times: impl Into<Times>,
        watch: Option<Watch>,
    ) -> Result<WindowRows, FormatError> {
        Ok(WindowRows { table: Table::new(paths, columns, &COLUMNS, watch)?, times: times.into() })
    }
}

impl Iterator for WindowRows {
    type Item = Result<WindowRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let times = &self.times;
        self.table.next(|row| {
            let item = row.key("item")?;
            let start: Millis = row.time("start", times)?;
            let stop = row.maybe_time("stop", times)?;
            if stop.is_some_and(|stop| stop <= start) {
                let wrong =
                    cells::unexpected(row.cell("stop").unwrap_or_default(), "after the start: swap or remove it");
                return Err(row.error("stop", wrong));
            }
            Ok(WindowRow { line: row.line, item, window: Window { start, stop } })
        })
    }
}

/// All windows of some files, by item.
///
/// # Errors
/// [`FormatError`] at the first line that is wrong, or naming the item whose windows overlap.
pub fn read_windows(
    paths: &[PathBuf],
    columns: Columns,
    times: impl Into<Times>,
    watch: Option<Watch>,
) -> Result<BTreeMap<Key, Windows>, FormatError> {
    let mut lists: BTreeMap<Key, Vec<Window>> = BTreeMap::new();
    for row in WindowRows::open(paths, columns, times, watch)? {
        let row = row?;
        lists.entry(row.item).or_default().push(row.window);
    }
    let checked = |(item, list): (Key, Vec<Window>)| match Windows::new(list) {
        Ok(windows) => Ok((item, windows)),
        Err(clash) => {
            // The clash may be between files, so the first one stands for all.
            let file = paths.first().cloned().unwrap_or_default();
            Err(FormatError::in_file(&file, Wrong::Windows { item: item.to_string(), clash }))
        }
    };
    lists.into_iter().map(checked).collect()
}
