//! Reads the tables from a Postgres database.
//!
//! Invariant: one snapshot covers all three tables. Rows are streamed by COPY, so memory holds only the tables built
//! from them. Absent on purpose: connecting (`store::postgres` knows how to do it safely) and writing.

use postgres::{Client, IsolationLevel, Transaction};

use super::build::{Builder, FEED, PEOPLE, POSTS, Shape};
use super::columns::places;
use super::error::TablesError;
use super::options::TableOptions;
use super::record::{Record, Value};
use crate::files::Wrong;
use crate::files::table::{Bounded, Column, Columns, csv_wrong};
use crate::tables::rows::Tables;

const COLUMNS: &str = include_str!("../../../sql/queries/postgres/table_columns.sql");

/// Reads `user_data` (if it exists), `post_text_df` and `feed_data`, found on the search path.
///
/// # Errors
/// [`TablesError`] names table, row and column.
pub fn read_database(
    client: &mut Client,
    options: &TableOptions,
    watch: &mut dyn FnMut(u64),
) -> Result<Tables, TablesError> {
    let failed = |error| TablesError::database("the database", error);
    let begun = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start();
    let mut snapshot = begun.map_err(failed)?;
    let zone = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL extra_float_digits = 1";
    snapshot.batch_execute(zone).map_err(failed)?;
    let mut builder = Builder::new(options, watch);
    each(&mut snapshot, "user_data", true, options, PEOPLE, &mut |row| builder.person(row))?;
    each(&mut snapshot, "post_text_df", false, options, POSTS, &mut |row| builder.post(row))?;
    each(&mut snapshot, "feed_data", false, options, FEED, &mut |row| builder.row(row))?;
    Ok(builder.finish())
}

fn each(
    snapshot: &mut Transaction<'_>,
    table: &'static str,
    may_miss: bool,
    options: &TableOptions,
    shape: Shape,
    read: &mut dyn FnMut(&dyn Record) -> Result<(), TablesError>,
) -> Result<(), TablesError> {
    let failed = |error| TablesError::database(table, error);
    let found = snapshot.query(COLUMNS, &[&table]).map_err(failed)?;
    let names = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>().map_err(failed)?;
    if names.is_empty() {
        return if may_miss { Ok(()) } else { Err(TablesError::NoTable { table }) };
    }
    let places = places(&format!("table {table}"), &names, &options.columns, shape.columns)?;
    let sent: Vec<usize> = (0..names.len()).filter(|at| shape.keeps_others || places.contains(&Some(*at))).collect();
    let list: Vec<String> = sent.iter().map(|at| quoted(&names[*at])).collect();
    let statement = format!("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv)", list.join(", "), quoted(table));
    let out = snapshot.copy_out(&statement).map_err(failed)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(Bounded::new(out));
    let mut row = CopiedRow {
        table,
        columns: &options.columns,
        wanted: shape.columns,
        names: sent.iter().map(|at| names[*at].clone()).collect(),
        places: places.iter().map(|place| place.and_then(|place| sent.iter().position(|at| *at == place))).collect(),
        record: csv::StringRecord::new(),
        number: 0,
    };
    loop {
        reader.get_mut().begin_record();
        match reader.read_record(&mut row.record) {
            Ok(false) => return Ok(()),
            Ok(true) => row.number += 1,
            Err(error) => {
                let place = format!("table {table}, after row {}", row.number);
                return Err(TablesError::Broken { place, why: csv_wrong(None, error).to_string() });
            }
        }
        read(&row)?;
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct CopiedRow<'a> {
    table: &'static str,
    columns: &'a Columns,
    wanted: &'static [Column],
    names: Vec<String>,
    places: Vec<Option<usize>>,
    record: csv::StringRecord,
    number: u64,
}

fn cell(text: &str) -> Value<'_> {
    let text = text.trim();
    if text.is_empty() { Value::Absent } else { Value::Text(text) }
}

impl Record for CopiedRow<'_> {
    fn value(&self, role: &str) -> Value<'_> {
        let column = self.wanted.iter().position(|column| column.role == role);
        let place = column.and_then(|column| self.places[column]);
        place.and_then(|place| self.record.get(place)).map_or(Value::Absent, cell)
    }

    fn others(&self, each: &mut dyn FnMut(&str, Value<'_>)) {
        for (at, (name, text)) in self.names.iter().zip(&self.record).enumerate() {
            if !self.places.contains(&Some(at)) {
                each(name, cell(text));
            }
        }
    }

    fn wrong(&self, role: &str, wrong: Wrong) -> TablesError {
        TablesError::Row {
            place: format!("table {}", self.table),
            row: self.number,
            column: self.columns.name(role).to_owned(),
            wrong: Box::new(wrong),
        }
    }
}
