//! Reads availability windows as CSV: `item,start,stop`; an empty `stop` is open-ended.
//!
//! Invariant: the result of [`read_windows`] is sorted and free of overlaps per item. Absent on purpose: inferring
//! windows from events.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};
use crate::files::cells;
use crate::files::error::{FormatError, Wrong};
use crate::files::source::Watch;
use crate::files::table::{Column, Columns, Table, needed, optional};
use crate::files::time::Times;

/// Roles of columns that `--columns` may map.
pub const ROLES: [&str; 3] = ["item", "start", "stop"];

const COLUMNS: [Column; 3] = [needed("item"), needed("start"), optional("stop")];

/// One window of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the item.
    pub item: Key,
    /// The window, half-open.
    pub window: Window,
}

/// An iterator over the windows of several files.
pub struct WindowRows {
    table: Table,
    times: Times,
}

impl WindowRows {
    /// Opens the files; `columns` maps [`ROLES`].
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

/// Reads all windows of several files, by item.
///
/// # Errors
/// [`FormatError`] at the first wrong line, or naming the item whose windows overlap.
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
            // Overlapping windows may come from two files, so the error names the first file.
            let file = paths.first().cloned().unwrap_or_default();
            Err(FormatError::in_file(&file, Wrong::Windows { item: item.to_string(), clash }))
        }
    };
    lists.into_iter().map(checked).collect()
}
