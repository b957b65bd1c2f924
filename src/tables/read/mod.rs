//! Reads the tables from CSV or Parquet files, or from a Postgres database.
//!
//! Invariant: rows are streamed; memory holds only the tables built from them. The first error ends the reading with
//! its place, because a model of incomplete tables is worth nothing.

mod error;
mod options;
mod place;
mod columns;
mod record;
mod build;
mod text;
mod columnar;
mod database;
#[cfg(test)]
#[allow(clippy::type_complexity, reason = "columns in tests are tuples of vectors")]
mod tests;

use std::path::Path;

use super::rows::Tables;
use build::{Builder, FEED, PEOPLE, POSTS, Shape};
use record::Record;

pub use database::read_database;
pub use error::TablesError;
pub use options::{ROLES, TableOptions};
pub use place::Place;

/// Reads the tables from files. `watch` receives the number of rows so far, over all tables.
///
/// # Errors
/// [`TablesError`] names file, line or row, and column.
pub fn read(place: &Place, options: &TableOptions, watch: &mut dyn FnMut(u64)) -> Result<Tables, TablesError> {
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
    options: &TableOptions,
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
