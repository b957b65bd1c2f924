//! Errors in files, with their place.
//!
//! Invariant: the message names the file, and the line (from 1) and the column where they are known.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::ids::KeyError;
use crate::domain::items::{EmbeddingError, TopicsError};
use crate::domain::text::HasNul;
use crate::domain::windows::WindowError;

/// An error in a file, with its place.
#[derive(Debug)]
pub struct FormatError {
    /// Path of the file.
    pub file: PathBuf,
    /// Line number, from 1.
    pub line: Option<u64>,
    /// Name of a column, or character number in a JSON line.
    pub column: Option<String>,
    /// Cause of the error.
    pub wrong: Box<Wrong>,
}

/// Cause of an error in a file.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// The operating system refuses to read the file.
    #[error("cannot be read: check the path and the permissions")]
    Read(#[source] std::io::Error),
    /// The extension promises a compression that the bytes lack, or the file is cut off.
    #[error("is not a whole {0} file: rename it, or make it again")]
    Compression(&'static str, #[source] std::io::Error),
    /// The folder has no file of the wanted kind, or there is no path at all.
    #[error("no file to read: {0}")]
    NoFile(&'static str),
    /// The bytes are no UTF-8 text.
    #[error("is not UTF-8: convert it")]
    Encoding,
    /// A record exceeds the size limit.
    #[error("has more than {limit} bytes: is a line break or a closing quote missing?")]
    TooLong {
        /// Size limit in bytes.
        limit: usize,
    },
    /// The file exceeds the limit on rows.
    #[error("has more than {limit} rows: split it")]
    TooMany {
        /// Limit on rows.
        limit: usize,
    },
    /// The JSON is malformed, or has another structure.
    #[error("{0}")]
    Json(String),
    /// The CSV is malformed.
    #[error("{0}")]
    Csv(String),
    /// The header lacks a needed column.
    #[error("there is no column `{name}` in the header ({header}): rename it, or map it with --columns {role}=NAME")]
    Missing {
        /// Role of the column, for `--columns`.
        role: &'static str,
        /// Name that was looked for.
        name: String,
        /// The header as it is.
        header: String,
    },
    /// The header has a name twice.
    #[error("the column is in the header twice: remove one, or rename it")]
    Twice,
    /// A value has the wrong form.
    #[error("`{found}` is not {expected}")]
    Value {
        /// Start of the value.
        found: String,
        /// Expected form, for the message.
        expected: String,
    },
    /// The value is no valid key.
    #[error(transparent)]
    Key(KeyError),
    /// The value is no valid list of topics.
    #[error("{0}: remove the repetition, or the least important ones")]
    Topics(TopicsError),
    /// The text has a NUL character, which no store accepts.
    #[error("{0}: remove it")]
    Nul(HasNul),
    /// The value is no valid embedding.
    #[error(transparent)]
    Embedding(EmbeddingError),
    /// A text lacks an embedding, and given embeddings have another dimension than texts get.
    #[error(
        "is missing, where earlier items bring embeddings of {given} numbers and texts become {made} (`dim`): give every item \
         one, or set dim = {given}"
    )]
    Mixed {
        /// Dimension of the given embeddings.
        given: usize,
        /// Dimension of embeddings computed from texts.
        made: usize,
    },
    /// The windows of one item clash.
    #[error("item `{item}`: {clash}")]
    Windows {
        /// Key of the item.
        item: String,
        /// Kind of the clash.
        clash: WindowError,
    },
}

impl FormatError {
    /// An error that concerns a whole file.
    pub fn in_file(file: &Path, wrong: Wrong) -> FormatError {
        FormatError { file: file.into(), line: None, column: None, wrong: Box::new(wrong) }
    }

    /// An error at a line, counted from 1, and in a column where one is at fault.
    pub fn at(file: &Path, line: u64, column: Option<&str>, wrong: Wrong) -> FormatError {
        FormatError { file: file.into(), line: Some(line), column: column.map(Into::into), wrong: Box::new(wrong) }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.wrong)
    }
}

impl std::error::Error for FormatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.wrong)
    }
}

/// The start of a value, which keeps messages readable.
pub fn shortened(value: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut short: String = value.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if value.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
