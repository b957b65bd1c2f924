//! Reads visits to live streams: `user,stream,streamer,start,stop` without a header, times in whole steps.
//!
//! Invariant: a presence is half-open, `[start, stop)`, and lasts at least one step. A row with equal start and stop
//! counts as present in that step. Rows keep the order of the file.

use std::path::{Path, PathBuf};

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::files::cells::{self, Between};
use crate::files::error::{FormatError, Wrong};
use crate::files::lines::TextLines;
use crate::files::source::Watch;
use crate::files::time::Times;

/// Roles of the columns, in order.
const COLUMNS: [&str; 5] = ["user", "stream", "streamer", "start", "stop"];

/// Presence of a user at a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the user.
    pub user: Key,
    /// Key of the broadcast.
    pub stream: Key,
    /// Key of the streamer: the item that is recommended.
    pub streamer: Key,
    /// Start of the presence.
    pub start: Millis,
    /// End of the presence, exclusive; later than `start`.
    pub stop: Millis,
}

/// An iterator over the rows of several files.
pub struct LiveIntervals {
    lines: TextLines,
    times: Times,
}

impl LiveIntervals {
    /// Opens the files. A folder stands for its `.csv` files.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(
        paths: &[PathBuf],
        times: impl Into<Times>,
        watch: Option<Watch>,
    ) -> Result<LiveIntervals, FormatError> {
        Ok(LiveIntervals { lines: TextLines::new(paths, &[".csv"], watch)?, times: times.into() })
    }
}

impl Iterator for LiveIntervals {
    type Item = Result<Presence, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let times = &self.times;
        self.lines.next(|path, line, text| presence(path, line, text, times))
    }
}

fn presence(path: &Path, line: u64, text: &str, times: &Times) -> Result<Presence, FormatError> {
    let bytes = text.as_bytes();
    let cells = cells::parted::<5>(bytes, Between::Commas).map_err(|found| {
        let said = format!("has {found} cells where there must be 5: {}", COLUMNS.join(","));
        FormatError::at(path, line, None, Wrong::Csv(said))
    })?;
    let wrong = |column: usize, wrong: Wrong| FormatError::at(path, line, Some(COLUMNS[column]), wrong);
    let key = |column: usize| cells[column].key(bytes).map_err(|error| wrong(column, error));
    let time = |column: usize| {
        let cell = cells[column].text(bytes).map_err(|error| wrong(column, error))?;
        times.parse(&cell).map_err(|expected| wrong(column, cells::unexpected(&cell, expected)))
    };
    let (start, stop) = (time(3)?, time(4)?);
    if stop < start {
        let cell = cells[4].text(bytes).unwrap_or_default();
        return Err(wrong(4, cells::unexpected(&cell, "at or after the start: swap or remove it")));
    }
    let stop = stop.max(start.plus(times.step_ms()));
    Ok(Presence { line, user: key(0)?, stream: key(1)?, streamer: key(2)?, start, stop })
}
