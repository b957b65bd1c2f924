//! External merge sort by time: sorts more rows than memory holds, and keeps the order of rows of one instant.
//!
//! Invariant: memory stays within twice the budget and one row, whatever the number of rows. Further rows are written as
//! sorted runs to one unnamed temporary file, and merged from there; the file disappears with the process.
//! Absent on purpose: a crate. Existing crates limit the number of rows, though one row may have a megabyte, and open a file
//! per run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::ops::Range;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

use eddyline::domain::time::Millis;

/// Bytes of rows in memory before a run is written.
pub const BUDGET: usize = 64 << 20;
/// Bytes before each row of a run: instant (i64) and length (u32), little-endian.
const HEAD: usize = 12;
/// Fewest bytes in one read of a run.
const PIECE_MIN: usize = 16 << 10;

/// Collects rows in any order.
pub struct ByTime<T> {
    budget: usize,
    marks: Vec<Mark>,
    bytes: Vec<u8>,
    file: Option<File>,
    runs: Vec<Range<u64>>,
    rows: u64,
    row: PhantomData<T>,
}

/// Instant of a row, and its place in memory.
struct Mark {
    at: Millis,
    place: Range<usize>,
}

/// Iterates over the rows in the order of time.
pub struct Sorted<T> {
    source: Source,
    rows: u64,
    row: PhantomData<T>,
}

enum Source {
    Memory { bytes: Vec<u8>, marks: std::vec::IntoIter<Mark> },
    File { file: File, runs: Vec<Run>, next: BinaryHeap<Reverse<(Millis, usize)>> },
}

/// A sorted run of the file, during the merge.
struct Run {
    left: Range<u64>,
    piece: Vec<u8>,
    /// Offset of the next row in `piece`.
    from: usize,
    piece_bytes: usize,
}

impl<T: Serialize + DeserializeOwned> ByTime<T> {
    /// An empty sorter that holds about `budget` bytes of rows in memory.
    #[must_use]
    pub fn new(budget: usize) -> ByTime<T> {
        let (marks, bytes, runs) = (Vec::new(), Vec::new(), Vec::new());
        ByTime { budget, marks, bytes, file: None, runs, rows: 0, row: PhantomData }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn push(&mut self, at: Millis, row: &T) -> anyhow::Result<()> {
        let start = self.bytes.len();
        postcard::to_io(row, &mut self.bytes).map_err(|_| anyhow!("a row cannot be encoded for the temporary file"))?;
        self.marks.push(Mark { at, place: start..self.bytes.len() });
        self.rows += 1;
        if self.bytes.len() + self.marks.len() * size_of::<Mark>() >= self.budget {
            self.spill().context("rows cannot be written to the folder for temporary files (TMPDIR)")?;
        }
        Ok(())
    }

    /// Ends the input and starts the merge.
    ///
    /// # Errors
    /// The temporary file cannot be written or read.
    pub fn sorted(mut self) -> anyhow::Result<Sorted<T>> {
        let rows = self.rows;
        if self.file.is_some() {
            self.spill()?;
        }
        let source = match self.file {
            None => {
                self.marks.sort_by_key(|mark| mark.at);
                Source::Memory { bytes: self.bytes, marks: self.marks.into_iter() }
            }
            Some(mut file) => {
                let piece_bytes = (self.budget / self.runs.len().max(1)).max(PIECE_MIN);
                let open = |left| Run { left, piece: Vec::new(), from: 0, piece_bytes };
                let mut runs: Vec<Run> = self.runs.into_iter().map(open).collect();
                let mut next = BinaryHeap::with_capacity(runs.len());
                for (place, run) in runs.iter_mut().enumerate() {
                    next.extend(run.peek(&mut file)?.map(|at| Reverse((at, place))));
                }
                Source::File { file, runs, next }
            }
        };
        Ok(Sorted { source, rows, row: PhantomData })
    }

    /// Writes the rows in memory as a sorted run.
    fn spill(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let file = self.file.insert(file);
        // A stable sort keeps the order of rows of one instant.
        self.marks.sort_by_key(|mark| mark.at);
        let start = self.runs.last().map_or(0, |run| run.end);
        let mut end = start;
        let mut out = BufWriter::with_capacity(256 << 10, file);
        for Mark { at, place } in self.marks.drain(..) {
            let row = &self.bytes[place];
            let length = u32::try_from(row.len()).map_err(io::Error::other)?;
            out.write_all(&at.0.to_le_bytes())?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(row)?;
            end += (HEAD + row.len()) as u64;
        }
        out.flush()?;
        drop(out);
        self.bytes.clear();
        self.runs.push(start..end);
        Ok(())
    }
}

impl<T> Sorted<T> {
    /// Number of rows, including those already returned.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows
    }
}

impl<T: DeserializeOwned> Iterator for Sorted<T> {
    type Item = anyhow::Result<(Millis, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Memory { bytes, marks } => marks.next().map(|mark| read(mark.at, &bytes[mark.place])),
            Source::File { file, runs, next } => {
                let Reverse((at, place)) = next.pop()?;
                let run = &mut runs[place];
                let row = run.take(file).map_err(anyhow::Error::from).and_then(|row| read(at, row));
                match run.peek(file) {
                    Ok(found) => next.extend(found.map(|at| Reverse((at, place)))),
                    Err(error) => return Some(Err(error.into())),
                }
                Some(row)
            }
        }
    }
}

fn read<T: DeserializeOwned>(at: Millis, row: &[u8]) -> anyhow::Result<(Millis, T)> {
    Ok((at, postcard::from_bytes(row).map_err(|_| anyhow!("a row of the temporary file is damaged"))?))
}

impl Run {
    /// Instant of the next row; `None` at the end of the run.
    fn peek(&mut self, file: &mut File) -> io::Result<Option<Millis>> {
        if self.from == self.piece.len() && self.left.is_empty() {
            return Ok(None);
        }
        self.fill(file, HEAD)?;
        Ok(Some(Millis(i64::from_le_bytes(self.bytes(0)?))))
    }

    /// Bytes of the next row.
    fn take(&mut self, file: &mut File) -> io::Result<&[u8]> {
        self.fill(file, HEAD)?;
        let length = u32::from_le_bytes(self.bytes(8)?) as usize;
        self.fill(file, HEAD + length)?;
        let start = self.from + HEAD;
        self.from = start + length;
        Ok(&self.piece[start..self.from])
    }

    /// `N` bytes of the next row's head.
    fn bytes<const N: usize>(&self, offset: usize) -> io::Result<[u8; N]> {
        let found = self.piece.get(self.from + offset..self.from + offset + N).and_then(|found| found.try_into().ok());
        found.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads on until `piece` holds at least `wanted` bytes from the next row on.
    fn fill(&mut self, file: &mut File, wanted: usize) -> io::Result<()> {
        let held = self.piece.len() - self.from;
        if held >= wanted {
            return Ok(());
        }
        self.piece.drain(..self.from);
        self.from = 0;
        let there = self.left.end - self.left.start;
        let more = (wanted.max(self.piece_bytes) - held).min(usize::try_from(there).unwrap_or(usize::MAX));
        self.piece.resize(held + more, 0);
        file.seek(SeekFrom::Start(self.left.start))?;
        file.read_exact(&mut self.piece[held..])?;
        self.left.start += more as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Agrees with a stable sort in memory for any budget: with no run, one, or hundreds.
        #[test]
        fn rows_come_back_by_time_and_within_an_instant_as_they_came(
            times in proptest::collection::vec(-3_i64..3, 0..400),
            budget in 1_usize..20_000,
            length in 0_usize..60,
        ) {
            let mut rows = ByTime::new(budget);
            let mut expected: Vec<(Millis, String)> = Vec::new();
            for (number, at) in times.into_iter().enumerate() {
                let row = format!("{number}{}", "x".repeat(length));
                rows.push(Millis(at), &row).unwrap();
                expected.push((Millis(at), row));
            }
            expected.sort_by_key(|(at, _)| *at);
            let sorted = rows.sorted().unwrap();
            prop_assert_eq!(sorted.len(), expected.len() as u64);
            let found: Vec<(Millis, String)> = sorted.map(Result::unwrap).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_row_may_be_longer_than_the_budget() {
        let mut rows = ByTime::new(1_000);
        for at in [3, 1, 2] {
            rows.push(Millis(at), &"y".repeat(100_000 + at as usize)).unwrap();
        }
        let found: Vec<(i64, usize)> =
            rows.sorted().unwrap().map(|row| row.map(|(at, text)| (at.0, text.len())).unwrap()).collect();
        assert_eq!(found, [(1, 100_001), (2, 100_002), (3, 100_003)]);
    }
}
