//! The wanted columns among the names of a file or a database table.
//!
//! Invariant: a name that occurs twice is an error.

use super::error::TablesError;
use crate::files::error::shortened;
use crate::files::table::{Column, Columns, named_twice};

/// Index of each wanted column among `names`; `None` for an optional one that is missing.
pub(super) fn places(
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
