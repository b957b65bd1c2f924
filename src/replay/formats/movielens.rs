//! Ratings as `u.data` has them: `user item rating timestamp`, tab-separated, without a header, times in seconds.
//!
//! Invariant: a rating is finite. Rows come in the order of the file, which is not that of time. Absent on purpose:
//! what a rating means; the reader of the log decides.

use std::path::{Path, PathBuf};

use super::cells::{self, Between};
use super::error::{FormatError, Wrong};
use super::lines::Lines;
use super::source::Watch;
use super::time::Times;
use crate::domain::ids::Key;
use crate::domain::time::Millis;

/// The columns, in order.
const COLUMNS: [&str; 4] = ["user", "item", "rating", "timestamp"];

/// Somebody rated something.
#[derive(Clone, Debug, PartialEq)]
pub struct Rating {
    /// Where in its file, from 1.
    pub line: u64,
    /// Who.
    pub user: Key,
    /// What.
    pub item: Key,
    /// How they liked it.
    pub rating: f32,
    /// When.
    pub time: Millis,
}

/// The ratings of some files, one after the other.
pub struct Ratings {
    lines: Lines,
    times: Times,
}

impl Ratings {
    /// Opens the files. A folder stands for its `.data` files.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], times: impl Into<Times>, watch: Option<Watch>) -> Result<Ratings, FormatError> {
        Ok(Ratings { lines: Lines::new(paths, &[".data"], watch)?, times: times.into() })
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
