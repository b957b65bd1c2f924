//! Reads ratings in the form of `u.data`: `user item rating timestamp`, tab-separated, without a header, times in
//! seconds.
//!
//! Invariant: a rating is finite. Rows keep the order of the file, which is not by time. Absent on purpose: the meaning
//! of a rating, which `log::read` sets.

use std::path::{Path, PathBuf};

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::files::cells::{self, Between};
use crate::files::error::{FormatError, Wrong};
use crate::files::lines::TextLines;
use crate::files::source::Watch;
use crate::files::time::Times;

/// Roles of the columns, in order.
const COLUMNS: [&str; 4] = ["user", "item", "rating", "timestamp"];

/// A rating of an item by a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Rating {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the user.
    pub user: Key,
    /// Key of the item.
    pub item: Key,
    /// Rating as the file gives it.
    pub rating: f32,
    /// Time of the rating.
    pub time: Millis,
}

/// An iterator over the ratings of several files.
pub struct Ratings {
    lines: TextLines,
    times: Times,
}

impl Ratings {
    /// Opens the files. A folder stands for its `.data` files.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], times: impl Into<Times>, watch: Option<Watch>) -> Result<Ratings, FormatError> {
        Ok(Ratings { lines: TextLines::new(paths, &[".data"], watch)?, times: times.into() })
    }
}

impl Iterator for Ratings {
    type Item = Result<Rating, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let times = &self.times;
        self.lines.next(|path, line, text| rating(path, line, text, times))
    }
}

fn rating(path: &Path, line: u64, text: &str, times: &Times) -> Result<Rating, FormatError> {
    let bytes = text.as_bytes();
    let cells = cells::parted::<4>(bytes, Between::Tabs).map_err(|found| {
        let said = format!("has {found} cells with tabs between them where there must be 4: {}", COLUMNS.join(" "));
        FormatError::at(path, line, None, Wrong::Csv(said))
    })?;
    let wrong = |column: usize, wrong: Wrong| FormatError::at(path, line, Some(COLUMNS[column]), wrong);
    let key = |column: usize| cells[column].key(bytes).map_err(|error| wrong(column, error));
    let cell = |column: usize| cells[column].text(bytes).map_err(|error| wrong(column, error));
    let (rated, time) = (cell(2)?, cell(3)?);
    let rating = rated.parse::<f32>().ok().filter(|rating| rating.is_finite());
    Ok(Rating {
        line,
        user: key(0)?,
        item: key(1)?,
        rating: rating.ok_or_else(|| wrong(2, cells::unexpected(&rated, "a rating: a number")))?,
        time: times.parse(&time).map_err(|expected| wrong(3, cells::unexpected(&time, expected)))?,
    })
}
