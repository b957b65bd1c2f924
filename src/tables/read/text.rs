//! Reads a table from CSV.
//!
//! Invariant: `files::table` gives each error its file, line and column.

use std::path::Path;

use super::build::Shape;
use super::error::TablesError;
use super::record::{Record, Value};
use crate::files::Wrong;
use crate::files::table::{Columns, Table, TableRow};

pub(super) fn each(
    path: &Path,
    columns: &Columns,
    shape: Shape,
    read: &mut dyn FnMut(&dyn Record) -> Result<(), TablesError>,
) -> Result<(), TablesError> {
    let mut table = Table::new(&[path.to_owned()], columns.clone(), shape.columns, None)?;
    while let Some(row) = table.next(|row| Ok(read(row))) {
        row??;
    }
    Ok(())
}

impl Record for TableRow<'_> {
    fn value(&self, role: &str) -> Value<'_> {
        self.cell(role).map_or(Value::Absent, Value::Text)
    }

    fn others(&self, each: &mut dyn FnMut(&str, Value<'_>)) {
        for (name, cell) in TableRow::others(self) {
            each(name, Value::Text(cell));
        }
    }

    fn wrong(&self, role: &str, wrong: Wrong) -> TablesError {
        TablesError::File(self.error(role, wrong))
    }
}
