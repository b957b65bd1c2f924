//! Reads interactions without a header: `user item time` by position.
//!
//! Invariant: the first line of a file decides its separator: tabs, else commas, else blanks. Other columns are
//! skipped unread, whatever their bytes. Absent on purpose: quotes and kinds of interactions; a log with those needs a
//! header and is read as `events`.

use std::path::{Path, PathBuf};

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::files::cells::{self, Between, Span};
use crate::files::error::{FormatError, Wrong};
use crate::files::lines::TextLines;
use crate::files::source::Watch;
use crate::files::time::Times;
use crate::files::{Columns, ColumnsError};

/// Roles that `--columns` may map, to positions from 1.
pub const ROLES: [&str; 3] = ["user", "item", "time"];

/// Smallest number of cells in a line.
const CELLS_MIN: usize = 3;

/// Position of each of [`ROLES`], from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places([usize; 3]);

impl Default for Places {
    fn default() -> Places {
        Places([0, 1, 2])
    }
}

impl Places {
    /// Parses `user=1,item=2,time=3`; roles that are not mentioned keep their defaults.
    ///
    /// # Errors
    /// [`ColumnsError`] names the wrong part.
    pub fn parse(text: &str) -> Result<Places, ColumnsError> {
        let columns = Columns::parse(text, &ROLES)?;
        let mut places = Places::default();
        for (role, place) in ROLES.into_iter().zip(&mut places.0).filter(|(role, _)| columns.is_mapped(role)) {
            let number = columns.name(role).parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            *place = number.ok_or_else(|| ColumnsError::Position(columns.name(role).into()))?;
        }
        Ok(places)
    }

    fn cells_needed(self) -> usize {
        self.0.into_iter().fold(CELLS_MIN, |most, place| most.max(place + 1))
    }
}

/// An interaction of a user with an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainRow {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the user.
    pub user: Key,
    /// Key of the item.
    pub item: Key,
    /// Time of the interaction.
    pub time: Millis,
}

/// An iterator over the rows of several files.
pub struct Plain {
    lines: TextLines,
    places: Places,
    times: Times,
    /// Path and separator of the current file.
    between: Option<(PathBuf, Between)>,
    cells: Vec<Span>,
}

impl Plain {
    /// Opens the files. A folder stands for its `.txt`, `.tsv`, `.csv`, `.dat` and `.data` files.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(
        paths: &[PathBuf],
        places: Places,
        times: impl Into<Times>,
        watch: Option<Watch>,
    ) -> Result<Plain, FormatError> {
        let lines = TextLines::new(paths, &[".txt", ".tsv", ".csv", ".dat", ".data"], watch)?;
        Ok(Plain { lines, places, times: times.into(), between: None, cells: Vec::new() })
    }
}

impl Iterator for Plain {
    type Item = Result<PlainRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Plain { lines, places, times, between, cells } = self;
        lines.next_bytes(|path, number, bytes| {
            let between = match between {
                Some((known, between)) if known.as_path() == path => *between,
                _ => between.insert((path.into(), Between::of(bytes))).1,
            };
            between.split(bytes, cells);
            Line { path, number, bytes, between, cells, places: *places }.row(times)
        })
    }
}

/// One line, split into cells.
struct Line<'a> {
    path: &'a Path,
    number: u64,
    bytes: &'a [u8],
    between: Between,
    cells: &'a [Span],
    places: Places,
}

impl Line<'_> {
    fn row(&self, times: &Times) -> Result<PlainRow, FormatError> {
        let needed = self.places.cells_needed();
        if self.cells.len() < needed {
            let said = format!(
                "has {} cells with {} between them where there must be at least {needed} (see --columns)",
                self.cells.len(),
                self.between.name()
            );
            return Err(FormatError::at(self.path, self.number, None, Wrong::Csv(said)));
        }
        let key = |role: usize| {
            let cell = self.cells.get(self.places.0[role]).copied().unwrap_or_default();
            cell.key(self.bytes).map_err(|wrong| self.wrong(role, wrong))
        };
        Ok(PlainRow { line: self.number, user: key(0)?, item: key(1)?, time: self.time(times)? })
    }

    /// The instant of the line. Between blanks it may be a date, then a time of day, then a zone.
    fn time(&self, times: &Times) -> Result<Millis, FormatError> {
        let text = self.joined(1)?;
        times.parse(&text).or_else(|expected| {
            let longer: &[usize] = if self.between == Between::Blanks { &[2, 3] } else { &[] };
            let mut found = longer.iter().filter_map(|count| times.parse(&self.joined(*count).ok()?).ok());
            found.next().ok_or_else(|| {
                let hint = if self.number == 1 { "; a log with a header is read by --format events" } else { "" };
                self.wrong(2, cells::unexpected(&text, format!("{expected}{hint}")))
            })
        })
    }

    /// Text of the time cell and the cells after it, at most `count` in all.
    fn joined(&self, count: usize) -> Result<String, FormatError> {
        let mut joined = String::new();
        for cell in self.cells.iter().skip(self.places.0[2]).take(count) {
            let text = cell.text(self.bytes).map_err(|wrong| self.wrong(2, wrong))?;
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(&text);
        }
        Ok(joined)
    }

    fn wrong(&self, role: usize, wrong: Wrong) -> FormatError {
        let column = format!("{} ({})", self.places.0[role] + 1, ROLES[role]);
        FormatError::at(self.path, self.number, Some(&column), wrong)
    }
}
