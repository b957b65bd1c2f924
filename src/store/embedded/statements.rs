//! Statements of the feeds API in SQLite.
//!
//! Invariant: columns are whole numbers, texts or null. Absent on purpose: transactions, threads.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::rows;
use crate::store::activities::{Row, Statement, Value};
use crate::store::error::StoreError;

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Int(number) => (*number).into(),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

/// Runs a statement within a transaction: once, or once per key.
pub(super) fn run(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, StoreError> {
    let mut prepared = connection.prepare_cached(statement.sqlite)?;
    let mut list = Vec::new();
    let once = [Vec::new()];
    for (key, parameters) in statement.keys.as_deref().unwrap_or(&once).iter().enumerate() {
        let columns = prepared.column_count();
        let mut found = prepared.query(params_from_iter(parameters.iter().chain(&statement.rest)))?;
        while let Some(row) = found.next()? {
            let values = (0..columns).map(|index| value(row.get_ref(index)?)).collect::<Result<_, StoreError>>()?;
            list.push(Row { key, values });
        }
    }
    Ok(list)
}

fn value(value: ValueRef<'_>) -> Result<Value, StoreError> {
    let unreadable = || rows::corrupt("activities", "a column is neither a number nor a text".into());
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).map_err(|_| unreadable())?),
        ValueRef::Real(_) | ValueRef::Blob(_) => return Err(unreadable()),
    })
}
