//! Reading the tables as they exist in the field: files of CSV or Parquet, or a Postgres database.
//!
//! Invariant: rows are streamed; memory holds what becomes of them. Whatever is wrong is reported with its place and ends
//! the reading, since tables that were read in part give a model of nothing.

mod build;
mod columnar;
mod database;
mod record;
mod text;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::type_complexity)]
mod tests;

use std::path::{Path, PathBuf};

use super::Tables;
use crate::files::error::shortened;
use crate::files::table::{Column, Columns, named_twice};
use crate::files::time::{TimeUnit, Times};
use crate::files::{FormatError, Wrong};
use build::{Builder, FEED, PEOPLE, POSTS, Shape};
use record::Record;

pub use database::read_database;

/// What `columns` may map: names of columns in the three tables.
pub const ROLES: [&str; 8] = ["timestamp", "user_id", "post_id", "action", "target", "text", "topic", "embedding"];

/// How they are read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of [`ROLES`].
    pub columns: Columns,
    /// What times that are numbers count.
    pub times: Times,
    /// Numbers in a given embedding; the first one sets it where this does not.
    pub dim: Option<usize>,
    /// Numbers in an embedding that will be made from a text; given ones must have as many where there are such texts.
    pub dim_of_texts: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        let times = Times::by_size().or_own(TimeUnit::SECONDS);
        Options { columns: Columns::default(), times, dim: None, dim_of_texts: None }
    }
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `user_data`, if there is one.
    pub people: Option<PathBuf>,
    /// `post_text_df`.
    pub posts: PathBuf,
    /// `feed_data`.
    pub feed: PathBuf,
}

/// What is wrong with tables.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// In a CSV file.
    #[error(transparent)]
    File(#[from] FormatError),
    /// A value of another kind of table.
    #[error("{place}, row {row}, column {column}: {wrong}")]
    Row {
        /// File or table.
        place: String,
        /// From 1.
        row: u64,
        /// Its name there.
        column: String,
        /// What is wrong.
        wrong: Box<Wrong>,
    },
    /// A name of a column is there twice.
    #[error("{place}, column {column}: the column is there twice: remove one, or rename it")]
    Twice {
        /// File.
        place: String,
        /// The name.
        column: String,
    },
    /// A column that is needed is not there.
    #[error("{place}: there is no column `{name}` ({there}): rename it, or map it with --columns {role}=NAME")]
    Column {
        /// File or table.
        place: String,
        /// The name that was looked for.
        name: String,
        /// What there is.
        there: String,
        /// What it is for.
        role: &'static str,
    },
    /// A file or a table is not there, or there are two.
    #[error("{0}")]
    Place(String),
    /// It cannot be read any further.
    #[error("{place}: cannot be read: {why}")]
    Broken {
        /// File or table.
        place: String,
        /// What the library says.
        why: String,
    },
    /// What the database says.
    #[error("{place}: {what}")]
    Database {
        /// Table, or the whole.
        place: String,
        /// In its words.
        what: String,
        /// The cause.
        #[source]
        source: Box<postgres::Error>,
    },
}

impl TablesError {
    fn database(place: &str, error: postgres::Error) -> TablesError {
        let what = error.as_db_error().map_or_else(|| error.to_string(), |inner| inner.message().to_owned());
        let place = if place == "the database" { place.to_owned() } else { format!("table {place}") };
        TablesError::Database { place, what, source: Box::new(error) }
    }
}

/// Names of the files, the ones of the field first.
const PEOPLE_NAMES: [&str; 2] = ["user_data", "users"];
const POSTS_NAMES: [&str; 3] = ["post_text_df", "posts", "post_features"];
const FEED_NAMES: [&str; 2] = ["feed_data", "feed"];
const ENDINGS: [&str; 4] = [".csv", ".csv.gz", ".csv.zst", ".parquet"];

impl Place {
    /// Finds `user_data`, `post_text_df` and `feed_data` in a folder, as `.csv`, `.csv.gz`, `.csv.zst` or `.parquet`;
    /// `users`, `posts`, `post_features` and `feed` will do as well.
    ///
    /// # Errors
    /// [`TablesError::Place`] when one that is needed is missing, or there are two of one kind.
    pub fn in_folder(folder: &Path) -> Result<Place, TablesError> {
        if !folder.is_dir() {
            return Err(TablesError::Place(format!(
                "{}: is no folder: give one with user_data, post_text_df and feed_data, or \
                 people=FILE,posts=FILE,feed=FILE, or postgres://…",
                folder.display()
            )));
        }
        let find = |names: &[&str]| {
            let mut found: Vec<PathBuf> = Vec::new();
            for name in names {
                found.extend(
                    ENDINGS.iter().map(|end| folder.join(format!("{name}{end}"))).filter(|path| path.is_file()),
                );
            }
            match &found[..] {
                [first, second, ..] => Err(TablesError::Place(format!(
                    "{} and {} are both there: which is it? Name all as people=FILE,posts=FILE,feed=FILE",
                    first.display(),
                    second.display()
                ))),
                _ => Ok(found.pop()),
            }
        };
        let needed = |names: &[&str]| {
            let missing = || {
                TablesError::Place(format!(
                    "{}: has no {}.csv (or .csv.gz, .csv.zst, .parquet)",
                    folder.display(),
                    names[0]
                ))
            };
            find(names)?.ok_or_else(missing)
        };
        Ok(Place { people: find(&PEOPLE_NAMES)?, posts: needed(&POSTS_NAMES)?, feed: needed(&FEED_NAMES)? })
    }

    /// A folder, or `posts=FILE,feed=FILE[,people=FILE]`.
    ///
    /// # Errors
    /// [`TablesError::Place`].
    pub fn parse(text: &str) -> Result<Place, TablesError> {
        let is_list = ["people=", "posts=", "feed="].iter().any(|start| text.starts_with(start));
        if !is_list {
            return Place::in_folder(Path::new(text));
        }
        let form = || TablesError::Place(format!("`{text}` is not of the form posts=FILE,feed=FILE[,people=FILE]"));
        let (mut people, mut posts, mut feed) = (None, None, None);
        for part in text.split(',') {
            let (name, file) = part.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(form)?;
            let place = match name {
                "people" => &mut people,
                "posts" => &mut posts,
                "feed" => &mut feed,
                _ => return Err(form()),
            };
            if place.replace(PathBuf::from(file)).is_some() {
                return Err(form());
            }
        }
        Ok(Place { people, posts: posts.ok_or_else(form)?, feed: feed.ok_or_else(form)? })
    }
}

/// Reads files. `watch` is told how many rows have been read, of all tables together.
///
/// # Errors
/// [`TablesError`] names file, line or row, and column.
pub fn read(place: &Place, options: &Options, watch: &mut dyn FnMut(u64)) -> Result<Tables, TablesError> {
    let mut builder = Builder::new(options, watch);
    if let Some(path) = &place.people {
        each(path, options, PEOPLE, &mut |row| builder.person(row))?;
    }
    each(&place.posts, options, POSTS, &mut |row| builder.post(row))?;
    each(&place.feed, options, FEED, &mut |row| builder.row(row))?;
    Ok(builder.finish())
}

fn each(
    path: &Path,
    options: &Options,
    shape: Shape,
    read: &mut dyn FnMut(&dyn Record) -> Result<(), TablesError>,
) -> Result<(), TablesError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if ending.eq_ignore_ascii_case("parquet") {
        columnar::each(path, &options.columns, shape, read)
    } else {
        text::each(path, &options.columns, shape, read)
    }
}

/// Where each wanted column is among `names`.
fn places(
    place: &str,
    names: &[String],
    columns: &Columns,
    wanted: &'static [Column],
) -> Result<Vec<Option<usize>>, TablesError> {
    if let Some(column) = named_twice(names.iter().map(String::as_str)) {
        return Err(TablesError::Twice { place: place.into(), column: shortened(column) });
    }
    let places = wanted.iter().map(|column| {
        let name = columns.name(column.role);
        let found = names.iter().position(|found| found == name);
        if found.is_none() && (column.needed || columns.is_mapped(column.role)) {
            let there = shortened(&names.join(","));
            return Err(TablesError::Column { place: place.into(), name: name.into(), there, role: column.role });
        }
        Ok(found)
    });
    places.collect()
}
