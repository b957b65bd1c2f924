//! Reads text files line by line.
//!
//! Invariant: a line comes without its line break (`\n` or `\r\n`), is at most [`LINE_BYTES_MAX`] long and, as text,
//! valid UTF-8. Blank lines are skipped.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::{FormatError, Wrong};
use super::source::{Files, Source, Watch};

/// Limit on the bytes of a line: room for an embedding of a few thousand numbers and a long text.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The lines of several files.
pub struct TextLines {
    files: Files,
    open: Option<(Source, u64)>,
    line: Vec<u8>,
    finished: bool,
}

impl TextLines {
    /// Opens files, or folders of files with these endings, in the order given.
    pub fn new(paths: &[PathBuf], endings: &[&str], watch: Option<Watch>) -> Result<TextLines, FormatError> {
        let files = Files::new(paths, endings, watch)?;
        Ok(TextLines { files, open: None, line: Vec::new(), finished: false })
    }

    /// Calls `read` with the next line, its file and its number from 1. `None` after the last line, or after an error.
    pub fn next<T>(
        &mut self,
        read: impl FnOnce(&Path, u64, &str) -> Result<T, FormatError>,
    ) -> Option<Result<T, FormatError>> {
        self.next_bytes(|path, number, line| {
            let text = std::str::from_utf8(line).map_err(|_| FormatError::at(path, number, None, Wrong::Encoding))?;
            read(path, number, text)
        })
    }

    /// Calls `read` with the next line as bytes, for formats that skip some cells: skipped cells need not be UTF-8.
    pub fn next_bytes<T>(
        &mut self,
        read: impl FnOnce(&Path, u64, &[u8]) -> Result<T, FormatError>,
    ) -> Option<Result<T, FormatError>> {
        if self.finished {
            return None;
        }
        let found = self.advance().and_then(|there| {
            let Some((source, number)) = self.open.as_ref().filter(|_| there) else { return Ok(None) };
            read(&source.path, *number, &self.line).map(Some)
        });
        let found = found.transpose();
        self.finished = !matches!(found, Some(Ok(_)));
        found
    }

    /// Moves to the next line that is not blank, in `self.line`; false at the end.
    fn advance(&mut self) -> Result<bool, FormatError> {
        loop {
            if self.open.is_none() {
                match self.files.open_next() {
                    None => return Ok(false),
                    Some(source) => self.open = Some((source?, 0)),
                }
            }
            let Some((source, number)) = &mut self.open else { continue };
            self.line.clear();
            let limited = &mut Read::take(&mut source.reader, LINE_BYTES_MAX as u64 + 2);
            match std::io::BufRead::read_until(limited, b'\n', &mut self.line) {
                Ok(0) => {
                    self.open = None;
                    self.files.tell(true);
                    continue;
                }
                Ok(_) => *number += 1,
                Err(error) => {
                    let wrong = source.broken(error);
                    return Err(FormatError::at(&source.path, *number + 1, None, wrong));
                }
            }
            self.files.tell(false);
            while self.line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                self.line.pop();
            }
            if self.line.len() > LINE_BYTES_MAX {
                let wrong = Wrong::TooLong { limit: LINE_BYTES_MAX };
                return Err(FormatError::at(&source.path, *number, None, wrong));
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }
}
