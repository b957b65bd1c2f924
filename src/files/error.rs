//! What is wrong with a file, and where.
//!
//! Invariant: the message names the file, and as far as there is one the line (from 1) and the column.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::ids::KeyError;
use crate::domain::items::{EmbeddingError, TopicsError};
use crate::domain::text::HasNul;
use crate::domain::windows::WindowError;

/// A place in a file and what is wrong there.
#[derive(Debug)]
pub struct FormatError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<u64>,
    /// A column's name, or the number of the character in a JSON line.
    pub column: Option<String>,
    /// What is wrong.
    pub wrong: Box<Wrong>,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// The operating system says so.
    #[error("cannot be read: check the path and the permissions")]
    Read(#[source] std::io::Error),
    /// Its ending promises a compression that its bytes do not have, or it is cut off.
    #[error("is not a whole {0} file: rename it, or make it again")]
    Compression(&'static str, #[source] std::io::Error),
    /// A folder without a file of the wanted kind, or no path at all.
    #[error("no file to read: {0}")]
    NoFile(&'static str),
    /// Not text.
    #[error("is not UTF-8: convert it")]
    Encoding,
    /// A record that does not end.
    #[error("has more than {limit} bytes: is a line break or a closing quote missing?")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More rows than one file may have.
    #[error("has more than {limit} rows: split it")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Not the JSON that was expected.
    #[error("{0}")]
    Json(String),
    /// Not the CSV that was expected.
    #[error("{0}")]
    Csv(String),
    /// A column that is needed is not in the header.
    #[error("there is no column `{name}` in the header ({header}): rename it, or map it with --columns {role}=NAME")]
    Missing {
        /// What it is for.
        role: &'static str,
        /// The name that was looked for.
        name: String,
        /// What there is.
        header: String,
    },
    /// The header has a name twice.
    #[error("the column is in the header twice: remove one, or rename it")]
    Twice,
    /// A value that cannot be understood.
    #[error("`{found}` is not {expected}")]
    Value {
        /// The start of the value.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Not a key.
    #[error(transparent)]
    Key(KeyError),
    /// Not what an item may be about.
    #[error("{0}: remove the repetition, or the least important ones")]
    Topics(TopicsError),
    /// Text that no store keeps.
    #[error("{0}: remove it")]
    Nul(HasNul),
    /// Not an embedding.
    #[error(transparent)]
    Embedding(EmbeddingError),
    /// A text without an embedding, beside embeddings of another length than texts get.
    #[error(
        "is missing, where earlier items bring embeddings of {given} numbers and texts become {made} (`dim`): give every item \
         one, or set dim = {given}"
    )]
    Mixed {
        /// How many numbers the given ones have.
        given: usize,
        /// How many the made ones would have.
        made: usize,
    },
    /// The windows of one item do not fit together.
    #[error("item `{item}`: {clash}")]
    Windows {
        /// Which item.
        item: String,
        /// What is wrong with them.
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

/// The start of a value, so that a message stays readable.
pub fn shortened(value: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut short: String = value.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if value.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
