//! Statements with their parameters, in a form that both stores run.
//!
//! Invariant: columns and parameters are whole numbers and texts. A statement over keys has one row of parameters per key:
//! SQLite runs it once per row, Postgres once with an array per column.

use futures_util::future::BoxFuture;

use crate::store::error::StoreError;

/// One parameter, or one column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A column without a value.
    Null,
    /// A whole number, `bigint` in Postgres.
    Int(i64),
    /// A text without NUL.
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

/// A row that a statement returned. In a statement over keys, `key` is the place of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Place of the key, from 0.
    pub key: usize,
    /// The columns, in the order of the statement.
    pub values: Vec<Value>,
}

impl Row {
    /// A column that must be a number.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        match self.values.get(index) {
            Some(Value::Int(number)) => Ok(*number),
            other => Err(self.corrupt(index, other)),
        }
    }

    /// A column that must be a text.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn text(&self, index: usize) -> Result<&str, StoreError> {
        match self.values.get(index) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(self.corrupt(index, other)),
        }
    }

    fn corrupt(&self, index: usize, found: Option<&Value>) -> StoreError {
        let kind = match found {
            None => "nothing",
            Some(Value::Null) => "null",
            Some(Value::Int(_)) => "a number",
            Some(Value::Text(_)) => "a text",
        };
        StoreError::Corrupt { table: "activities", detail: format!("column {index} holds {kind}") }
    }
}

/// A statement with its parameters.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text for SQLite.
    pub(in crate::store) sqlite: &'static str,
    /// The text for Postgres.
    pub(in crate::store) postgres: &'static str,
    /// Parameters per key; `None` for a statement without keys.
    pub(in crate::store) keys: Option<Vec<Vec<Value>>>,
    /// Parameters behind those of the keys.
    pub(in crate::store) rest: Vec<Value>,
}

impl Statement {
    /// A statement whose text works in both stores.
    pub(super) fn new(text: &'static str, parameters: Vec<Value>) -> Statement {
        Statement { sqlite: text, postgres: text, keys: None, rest: parameters }
    }

    /// A statement over keys.
    pub(super) fn over(
        sqlite: &'static str,
        postgres: &'static str,
        keys: Vec<Vec<Value>>,
        rest: Vec<Value>,
    ) -> Statement {
        Statement { sqlite, postgres, keys: Some(keys), rest }
    }
}

/// Runs the statements of the feeds API.
pub trait ActivityStore: Send + Sync + 'static {
    /// Runs reads one after the other; returns the rows of each.
    fn read_activities(&self, statements: Vec<Statement>) -> BoxFuture<'_, Result<Vec<Vec<Row>>, StoreError>>;

    /// Runs writes in one transaction.
    fn change_activities(&self, statements: Vec<Statement>) -> BoxFuture<'_, Result<(), StoreError>>;
}
