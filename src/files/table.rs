//! Reads CSV files with a header, whose column names may be mapped.
//!
//! Invariant: every file of one call has the needed columns, and no column name twice. A record has as many cells as
//! its header and at most [`RECORD_BYTES_MAX`] bytes. Absent on purpose: the meaning of columns, which each format
//! defines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use super::cells;
use super::error::{FormatError, Wrong, shortened};
use super::source::{Files, Source, Watch, broken};
use super::time::Times;
use crate::domain::ids::Key;
use crate::domain::time::Millis;

/// Limit on the bytes of a record.
const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Column names by role, such as `user=user_id,item=streamer_name,time=start_time`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(BTreeMap<String, String>);

/// Reason why a text is no column mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// A part lacks the form `role=NAME`.
    #[error("`{0}` is not of the form user=NAME,item=NAME,…")]
    Form(String),
    /// The format has no such role.
    #[error("`{found}` is no column of this format: it has {known}")]
    Unknown {
        /// Role that was given.
        found: String,
        /// Roles of the format.
        known: String,
    },
    /// A role occurs twice.
    #[error("`{0}` is mapped twice")]
    Twice(String),
    /// The position is invalid, for a format without column names.
    #[error("`{0}` is not the position of a column, from 1")]
    Position(String),
}

impl Columns {
    /// Parses a mapping for a format with these `roles`.
    ///
    /// # Errors
    /// [`ColumnsError`] names the wrong part.
    pub fn parse(text: &str, roles: &[&str]) -> Result<Columns, ColumnsError> {
        let mut columns = BTreeMap::new();
        for part in text.split(',') {
            let pair = part.split_once('=').filter(|(_, name)| !name.is_empty());
            let (role, name) = pair.ok_or_else(|| ColumnsError::Form(part.into()))?;
            if !roles.contains(&role) {
                return Err(ColumnsError::Unknown { found: role.into(), known: roles.join(", ") });
            }
            if columns.insert(role.into(), name.into()).is_some() {
                return Err(ColumnsError::Twice(role.into()));
            }
        }
        Ok(Columns(columns))
    }

    /// True for a role with an explicit mapping, whose column is then mandatory.
    pub fn is_mapped(&self, role: &str) -> bool {
        self.0.contains_key(role)
    }

    /// Column name of a role.
    pub fn name<'a>(&'a self, role: &'a str) -> &'a str {
        self.0.get(role).map_or(role, String::as_str)
    }
}

/// A column that a format reads, by role.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name of the field that the column fills, such as `item`.
    pub role: &'static str,
    /// Whether a file without the column is refused.
    pub needed: bool,
}

/// A column without which a file is refused.
pub const fn needed(role: &'static str) -> Column {
    Column { role, needed: true }
}

/// A column that a file may leave out.
pub const fn optional(role: &'static str) -> Column {
    Column { role, needed: false }
}

/// The records of several files.
pub struct Table {
    files: Files,
    columns: Columns,
    wanted: &'static [Column],
    open: Option<Open>,
    record: csv::StringRecord,
    finished: bool,
}

struct Open {
    path: PathBuf,
    compression: Option<&'static str>,
    reader: csv::Reader<Guarded>,
    /// Line on which the last record ended.
    line: u64,
    header: csv::StringRecord,
    /// Index of each wanted column in the record.
    places: Vec<Option<usize>>,
}

impl Table {
    /// Opens files, or folders of files, and checks each header against the wanted columns.
    pub fn new(
        paths: &[PathBuf],
        columns: Columns,
        wanted: &'static [Column],
        watch: Option<Watch>,
    ) -> Result<Table, FormatError> {
        let files = Files::new(paths, &[".csv"], watch)?;
        Ok(Table { files, columns, wanted, open: None, record: csv::StringRecord::new(), finished: false })
    }

    /// Calls `read` with the next record. `None` after the last one, or after an error.
    pub fn next<T>(
        &mut self,
        read: impl FnOnce(&TableRow<'_>) -> Result<T, FormatError>,
    ) -> Option<Result<T, FormatError>> {
        if self.finished {
            return None;
        }
        let found = self.advance().and_then(|there| {
            let Some(open) = self.open.as_ref().filter(|_| there) else { return Ok(None) };
            // First line of the record: the CSV reader's own count misses the line breaks before a record.
            let line = open.line.saturating_sub(line_breaks(self.record.as_slice().as_bytes()));
            read(&TableRow { open, record: &self.record, wanted: self.wanted, columns: &self.columns, line }).map(Some)
        });
        let found = found.transpose();
        self.finished = !matches!(found, Some(Ok(_)));
        found
    }

    fn advance(&mut self) -> Result<bool, FormatError> {
        loop {
            if self.open.is_none() {
                match self.files.open_next() {
                    None => return Ok(false),
                    Some(source) => self.open = Some(Open::new(source?, &self.columns, self.wanted)?),
                }
            }
            let Some(open) = &mut self.open else { continue };
            open.reader.get_mut().inner.begin_record();
            let read = open.reader.read_record(&mut self.record);
            open.line +=
                open.reader.position().byte().checked_sub(1).map_or(0, |end| open.reader.get_mut().breaks_before(end));
            match read {
                Ok(true) => {
                    self.files.tell(false);
                    return Ok(true);
                }
                Ok(false) => {
                    self.open = None;
                    self.files.tell(true);
                }
                Err(error) => return Err(open.failed(error)),
            }
        }
    }
}

impl Open {
    fn new(source: Source, columns: &Columns, wanted: &'static [Column]) -> Result<Open, FormatError> {
        let compression = source.compression();
        let guarded = Guarded { inner: Bounded::new(source.reader), offset: 0, breaks: VecDeque::new() };
        let mut open = Open {
            path: source.path,
            compression,
            reader: csv::Reader::from_reader(guarded),
            line: 1,
            header: csv::StringRecord::new(),
            places: Vec::new(),
        };
        let header = match open.reader.headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(open.failed(error)),
        };
        if let Some(name) = named_twice(header.iter()) {
            return Err(FormatError::at(&open.path, 1, Some(&shortened(name)), Wrong::Twice));
        }
        for column in wanted {
            let name = columns.name(column.role);
            let place = header.iter().position(|found| found.trim() == name);
            if place.is_none() && (column.needed || columns.is_mapped(column.role)) {
                let header = header.iter().map(|name| name.trim()).collect::<Vec<_>>().join(",");
                let header = shortened(&header);
                let wrong = Wrong::Missing { role: column.role, name: name.into(), header };
                return Err(FormatError::at(&open.path, 1, None, wrong));
            }
            open.places.push(place);
        }
        open.header = header;
        Ok(open)
    }

    fn failed(&self, error: csv::Error) -> FormatError {
        FormatError::at(&self.path, self.line, None, csv_wrong(self.compression, error))
    }
}

/// One record with its line.
pub struct TableRow<'a> {
    open: &'a Open,
    record: &'a csv::StringRecord,
    wanted: &'static [Column],
    columns: &'a Columns,
    /// Line on which the record ends, counted from 1.
    pub line: u64,
}

impl TableRow<'_> {
    /// The cell of a wanted column without surrounding blanks; `None` for a missing column or an empty cell.
    pub fn cell(&self, role: &str) -> Option<&str> {
        let column = self.wanted.iter().position(|column| column.role == role)?;
        let place = self.open.places.get(column).copied().flatten()?;
        self.record.get(place).map(str::trim).filter(|cell| !cell.is_empty())
    }

    /// Name and cell of every unwanted column, without surrounding blanks; empty cells are left out.
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        let header = &self.open.header;
        let places =
            header.iter().zip(self.record).enumerate().filter(|(at, _)| !self.open.places.contains(&Some(*at)));
        places.map(|(_, (name, cell))| (name.trim(), cell.trim())).filter(|(_, cell)| !cell.is_empty())
    }

    /// An optional cell, parsed by `parse`.
    pub fn maybe<T>(&self, role: &str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Result<Option<T>, FormatError> {
        self.cell(role).map(|cell| parse(cell).map_err(|wrong| self.error(role, wrong))).transpose()
    }

    /// A mandatory key.
    pub fn key(&self, role: &str) -> Result<Key, FormatError> {
        cells::key(self.cell(role).unwrap_or_default()).map_err(|wrong| self.error(role, wrong))
    }

    /// A mandatory instant.
    pub fn time(&self, role: &str, times: &Times) -> Result<Millis, FormatError> {
        self.read_time(self.cell(role).unwrap_or_default(), role, times)
    }

    /// An optional instant.
    pub fn maybe_time(&self, role: &str, times: &Times) -> Result<Option<Millis>, FormatError> {
        self.cell(role).map(|cell| self.read_time(cell, role, times)).transpose()
    }

    fn read_time(&self, cell: &str, role: &str, times: &Times) -> Result<Millis, FormatError> {
        times.parse(cell).map_err(|expected| self.error(role, cells::unexpected(cell, expected)))
    }

    /// An error at the cell of a column in this record.
    pub fn error(&self, role: &str, wrong: Wrong) -> FormatError {
        FormatError::at(&self.open.path, self.line, Some(self.columns.name(role)), wrong)
    }
}

/// Classifies a failed read of CSV.
pub fn csv_wrong(compression: Option<&'static str>, error: csv::Error) -> Wrong {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<RecordTooLong>()) => {
            Wrong::TooLong { limit: RECORD_BYTES_MAX }
        }
        csv::ErrorKind::Io(error) => broken(compression, error),
        csv::ErrorKind::Utf8 { .. } => Wrong::Encoding,
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Wrong::Csv(format!("has {len} cells where the header has {expected_len}: is a quote or a comma missing?"))
        }
        _ => Wrong::Csv("is not CSV".into()),
    }
}

/// The first name that occurs twice in a header. Columns without a name count rows, and may be several.
pub fn named_twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.map(str::trim).filter(|name| !name.is_empty()).find(|name| !seen.insert(*name))
}

/// Ends a record beyond the size limit, such as one with an unbalanced quote.
pub struct Bounded<R> {
    inner: R,
    /// Bytes handed out since the last record.
    pulled: usize,
}

impl<R: Read> Bounded<R> {
    /// Limits the length of one record of `inner`.
    pub fn new(inner: R) -> Bounded<R> {
        Bounded { inner, pulled: 0 }
    }

    /// Starts the count of the next record.
    pub fn begin_record(&mut self) {
        self.pulled = 0;
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.pulled += count;
        if self.pulled > RECORD_BYTES_MAX {
            return Err(io::Error::other(RecordTooLong));
        }
        Ok(count)
    }
}

/// Counts line breaks, and bounds records.
struct Guarded {
    inner: Bounded<Box<dyn BufRead + Send>>,
    /// Bytes handed out in all.
    offset: u64,
    /// Offsets of the line breaks that are not counted yet.
    breaks: VecDeque<u64>,
}

impl Guarded {
    /// Counts the line breaks before an offset, each of them once.
    fn breaks_before(&mut self, end: u64) -> u64 {
        let count = self.breaks.partition_point(|offset| *offset < end);
        self.breaks.drain(..count);
        count as u64
    }
}

#[derive(Debug, thiserror::Error)]
#[error("record too long")]
struct RecordTooLong;

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = &buffer[..count];
        self.breaks.extend((self.offset..).zip(read).filter(|(_, byte)| **byte == b'\n').map(|(offset, _)| offset));
        self.offset += count as u64;
        Ok(count)
    }
}

fn line_breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
