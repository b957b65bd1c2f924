//! Errors of reading tables.
//!
//! Invariant: each error names the file or table, and the row and column where they are known.

use std::path::PathBuf;

use crate::files::{FormatError, Wrong};

/// Reason why tables cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// A CSV file cannot be opened or has a wrong cell.
    #[error(transparent)]
    File(#[from] FormatError),
    /// A Parquet file or database table has a wrong value.
    #[error("{place}, row {row}, column {column}: {wrong}")]
    Row {
        /// Path of the file, or name of the table.
        place: String,
        /// Number of the row, from 1.
        row: u64,
        /// Name of the column in the file or table.
        column: String,
        /// The rule that the value breaks.
        wrong: Box<Wrong>,
    },
    /// Two columns share a name.
    #[error("{place}, column {column}: the column is there twice: remove one, or rename it")]
    Twice {
        /// Path of the file, or name of the table.
        place: String,
        /// Name that occurs twice.
        column: String,
    },
    /// A needed column is missing.
    #[error("{place}: there is no column `{name}` ({there}): rename it, or map it with --columns {role}=NAME")]
    Column {
        /// Path of the file, or name of the table.
        place: String,
        /// Name that was looked for.
        name: String,
        /// Names of the columns that exist.
        there: String,
        /// Role of the column, for `--columns`.
        role: &'static str,
    },
    /// The path is no folder.
    #[error(
        "{}: is no folder: give one with user_data, post_text_df and feed_data, or people=FILE,posts=FILE,feed=FILE, or postgres://…",
        folder.display()
    )]
    NoFolder {
        /// The path that was given.
        folder: PathBuf,
    },
    /// The folder lacks a needed file.
    #[error("{}: has no {name}.csv (or .csv.gz, .csv.zst, .parquet)", folder.display())]
    NoFile {
        /// Path of the folder.
        folder: PathBuf,
        /// Standard name of the table.
        name: &'static str,
    },
    /// Two files of a folder could serve as one table.
    #[error("{} and {} are both there: remove one, or name all files as people=FILE,posts=FILE,feed=FILE", first.display(), second.display())]
    TwoFiles {
        /// Path of one file.
        first: PathBuf,
        /// Path of the other file.
        second: PathBuf,
    },
    /// The list of files has the wrong form.
    #[error("`{text}` is not of the form posts=FILE,feed=FILE[,people=FILE]")]
    Form {
        /// The text that was given.
        text: String,
    },
    /// The database lacks a needed table.
    #[error("table {table}: is not on the search path: create it, or a view of that name")]
    NoTable {
        /// Name of the table.
        table: &'static str,
    },
    /// The file or stream breaks off.
    #[error("{place}: cannot be read: {why}")]
    Broken {
        /// Path of the file, or name of the table.
        place: String,
        /// Message of the library.
        why: String,
    },
    /// The database reports an error.
    #[error("{place}: {what}")]
    Database {
        /// Name of the table, or the database as a whole.
        place: String,
        /// Message of the database.
        what: String,
        /// Error of the Postgres client.
        #[source]
        source: Box<postgres::Error>,
    },
}

impl TablesError {
    pub(super) fn database(place: &str, error: postgres::Error) -> TablesError {
        let what = error.as_db_error().map_or_else(|| error.to_string(), |inner| inner.message().to_owned());
        let place = if place == "the database" { place.to_owned() } else { format!("table {place}") };
        TablesError::Database { place, what, source: Box::new(error) }
    }
}
