//! Reads judged sentences: each file a JSON list of `{text, label: "accepted"|"rejected", embedding}`, one user per
//! file.
//!
//! Invariant: all embeddings of one call have one dimension. Memory holds one file at a time, with limits on rows and
//! bytes. Absent on purpose: shuffling, which the protocol does; rows keep the order of the list.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::activities::plain_message;
use crate::domain::items::Embedding;
use crate::files::cells;
use crate::files::error::{FormatError, Wrong};
use crate::files::source::{Files, Source, Watch, plain_name};

/// Limit on the rows of one file.
pub const ROWS_MAX: usize = 1_000_000;
/// Limit on the bytes of one file, decompressed.
const FILE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// A sentence with its label and embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledRow {
    /// Text of the sentence.
    pub text: String,
    /// Label: true for `accepted`.
    pub accepted: bool,
    /// Embedding of the sentence.
    pub embedding: Embedding,
}

/// All sentences that one user judged.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledFile {
    /// File name without folder, `.json`, `.gz` and `.zst`.
    pub name: String,
    /// Path of the file.
    pub path: PathBuf,
    /// Sentences in the order of the file.
    pub rows: Vec<LabelledRow>,
}

/// An iterator over files of judged sentences.
pub struct LabelledFiles {
    files: Files,
    dim: Option<usize>,
    finished: bool,
}

impl LabelledFiles {
    /// Opens files, and folders of `.json` files. Without a `dim` the first embedding sets it.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], dim: Option<usize>, watch: Option<Watch>) -> Result<LabelledFiles, FormatError> {
        Ok(LabelledFiles { files: Files::new(paths, &[".json"], watch)?, dim, finished: false })
    }

    fn read(&mut self, source: Source) -> Result<LabelledFile, FormatError> {
        let (path, compression) = (source.path.clone(), source.compression());
        let limited = Limited { inner: source.reader, left: FILE_BYTES_MAX };
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(limited));
        let (mut rows, mut wrong) = (Vec::new(), None);
        let list = List { rows: &mut rows, dim: &mut self.dim, wrong: &mut wrong };
        let read = list.deserialize(&mut json).and_then(|()| json.end());
        if let Err(error) = read {
            let (line, column) = (error.line() as u64, error.column().to_string());
            if error.is_io() {
                let error = io::Error::from(error);
                let long = error.get_ref().is_some_and(|inner| inner.is::<FileTooLong>());
                let limit = Wrong::TooLong { limit: FILE_BYTES_MAX };
                let wrong = if long { limit } else { crate::files::source::broken(compression, error) };
                return Err(FormatError::at(&path, line, None, wrong));
            }
            let wrong = wrong.unwrap_or_else(|| Wrong::Json(plain_message(&error)));
            return Err(FormatError::at(&path, line, Some(&column), wrong));
        }
        self.files.tell(true);
        let name = plain_name(&path).unwrap_or("(unnamed)");
        let name = name.strip_suffix(".json").unwrap_or(name).to_owned();
        Ok(LabelledFile { name, path, rows })
    }
}

impl Iterator for LabelledFiles {
    type Item = Result<LabelledFile, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let source = self.files.open_next()?;
        let found = source.and_then(|source| self.read(source));
        self.finished = found.is_err();
        Some(found)
    }
}

/// A row as parsed; unknown fields are ignored.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    text: String,
    label: Label,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Label {
    Accepted,
    Rejected,
}

/// Deserialises the list row by row, so that an error names its row.
struct List<'a> {
    rows: &'a mut Vec<LabelledRow>,
    dim: &'a mut Option<usize>,
    /// The rule that a row breaks beyond JSON syntax.
    wrong: &'a mut Option<Wrong>,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of {\"text\", \"label\": \"accepted\" or \"rejected\", \"embedding\"}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(raw) = list.next_element::<Raw>()? {
            if self.rows.len() == ROWS_MAX {
                *self.wrong = Some(Wrong::TooMany { limit: ROWS_MAX });
                return Err(serde::de::Error::custom("too many rows"));
            }
            if let Err(wrong) = cells::storable(&raw.text) {
                let message = format!("row {}: {wrong}", self.rows.len() + 1);
                *self.wrong = Some(wrong);
                return Err(serde::de::Error::custom(message));
            }
            let dim = *self.dim.get_or_insert(raw.embedding.len());
            match Embedding::new(raw.embedding, dim) {
                Ok(embedding) => {
                    let accepted = matches!(raw.label, Label::Accepted);
                    self.rows.push(LabelledRow { text: raw.text, accepted, embedding });
                }
                Err(error) => {
                    let message = format!("row {}: {error}", self.rows.len() + 1);
                    *self.wrong = Some(Wrong::Embedding(error));
                    return Err(serde::de::Error::custom(message));
                }
            }
        }
        Ok(())
    }
}

/// Bounds the decompressed size of a file, against compression bombs.
struct Limited {
    inner: Box<dyn BufRead + Send>,
    left: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("file too long")]
struct FileTooLong;

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count).ok_or_else(|| io::Error::other(FileTooLong))?;
        Ok(count)
    }
}
