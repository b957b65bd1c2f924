//! The interface of one row, for every source of tables, and the checks of its values.
//!
//! Invariant: an error names file, line or row, and column. Absent on purpose: which tables exist.

use std::fmt::Write as _;

use super::error::TablesError;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::files::Wrong;
use crate::files::cells::{self, Dims, unexpected};
use crate::files::time::Times;

/// A value in the type that its source gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// An empty cell, null, or a missing column.
    Absent,
    Text(&'a str),
    /// A decimal number with all its digits.
    Decimal(&'a str),
    Integer(i64),
    Unsigned(u64),
    /// Integers beyond `exact` may have been rounded.
    Real {
        number: f64,
        exact: f64,
    },
    Flag(bool),
    Time(Millis),
    List(&'a [f32]),
    /// A list that is no vector.
    Array(&'a serde_json::Value),
}

/// One row of a table.
pub(super) trait Record {
    /// The value of a wanted column.
    fn value(&self, role: &str) -> Value<'_>;

    /// Calls `each` with name and value of all other columns; absent values may be left out.
    fn others(&self, each: &mut dyn FnMut(&str, Value<'_>));

    /// The error for a wrong value of this row.
    fn wrong(&self, role: &str, wrong: Wrong) -> TablesError;
}

impl Value<'_> {
    /// Appends the value as text.
    pub(super) fn write(&self, text: &mut String) {
        // Writing to a string never fails.
        let _ = match self {
            Value::Absent | Value::List(_) | Value::Array(_) => Ok(()),
            Value::Text(found) | Value::Decimal(found) => text.write_str(found),
            Value::Integer(number) => write!(text, "{number}"),
            Value::Unsigned(number) => write!(text, "{number}"),
            // Some programs write a column of integers with gaps as reals, where NaN marks a gap.
            Value::Real { number, .. } if number.is_nan() => Ok(()),
            Value::Real { number, .. } => write!(text, "{number}"),
            Value::Flag(flag) => write!(text, "{flag}"),
            Value::Time(at) => write!(text, "{}", at.0),
        };
    }

    pub(super) fn written(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// The value as a finite number, if it is one.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self {
            Value::Text(text) | Value::Decimal(text) => text.parse().ok()?,
            Value::Integer(number) => *number as f64,
            Value::Unsigned(number) => *number as f64,
            Value::Real { number, .. } => *number,
            Value::Flag(flag) => f64::from(u8::from(*flag)),
            Value::Absent | Value::Time(_) | Value::List(_) | Value::Array(_) => return None,
        };
        number.is_finite().then_some(number)
    }

    /// The value for an object of attributes. Numbers stay numbers, also as text; an integer that JSON would round
    /// stays text.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Value::Absent => return None,
            Value::Text(text) | Value::Decimal(text) => match serde_json::from_str::<serde_json::Number>(text) {
                Ok(number) if number.is_f64() && text.bytes().all(|b| b == b'-' || b.is_ascii_digit()) => {
                    (*text).into()
                }
                Ok(number) => number.into(),
                Err(_) => (*text).into(),
            },
            Value::Integer(number) => (*number).into(),
            Value::Unsigned(number) => (*number).into(),
            Value::Real { number, .. } => serde_json::Number::from_f64(*number)?.into(),
            Value::Flag(flag) => (*flag).into(),
            Value::Time(at) => at.0.into(),
            Value::List(list) => list.iter().map(|number| serde_json::Value::from(*number)).collect(),
            Value::Array(list) => (*list).clone(),
        })
    }
}

/// Expectation shown for a real that is too large for an exact id.
const ROUNDED: &str = "an id: the column holds reals, which round such numbers; store it as integers or as text";

impl dyn Record + '_ {
    /// A mandatory key as text; `text` is cleared and holds it.
    pub(super) fn key_text<'a>(&self, role: &str, text: &'a mut String) -> Result<&'a str, TablesError> {
        text.clear();
        let value = self.value(role);
        value.write(text);
        if let Value::Real { number, exact } = value
            && number.abs() > exact
        {
            return Err(self.wrong(role, unexpected(text, ROUNDED)));
        }
        if text.is_empty() { Err(self.wrong(role, unexpected("", "an id: fill it in"))) } else { Ok(text) }
    }

    /// The key of a text, checked for length and characters.
    pub(super) fn key(&self, role: &str, text: &str) -> Result<Key, TablesError> {
        cells::key(text).map_err(|wrong| self.wrong(role, wrong))
    }

    /// A mandatory instant.
    pub(super) fn time(&self, role: &str, times: &Times) -> Result<Millis, TablesError> {
        let value = self.value(role);
        let read = |text: &str| times.parse(text).map_err(|expected| expected.to_string());
        let found = match value {
            Value::Time(at) if (Millis::MIN..=Millis::MAX).contains(&at) => Ok(at),
            Value::Text(text) | Value::Decimal(text) => read(text),
            Value::Integer(number) => read(&number.to_string()),
            Value::Unsigned(number) => read(&number.to_string()),
            Value::Real { number, exact } if number.abs() <= exact => read(&number.to_string()),
            Value::Real { .. } => Err("exact: store times as integers, as text or as timestamps".into()),
            _ => Err("an instant between the years 1 and 9999".into()),
        };
        found.map_err(|expected| self.wrong(role, unexpected(&value.written(), expected)))
    }

    /// A mandatory flag, 0 or 1.
    pub(super) fn flag(&self, role: &str) -> Result<bool, TablesError> {
        match self.value(role) {
            Value::Flag(flag) => Ok(flag),
            Value::Text(text) => cells::flag(text).map_err(|wrong| self.wrong(role, wrong)),
            other => match other.number() {
                Some(0.0) => Ok(false),
                Some(1.0) => Ok(true),
                _ => Err(self.wrong(role, unexpected(&other.written(), "0 or 1"))),
            },
        }
    }

    /// An optional vector.
    pub(super) fn vector(&self, role: &str, dims: &mut Dims) -> Result<Option<Vec<f32>>, TablesError> {
        let found = match self.value(role) {
            Value::Absent => return Ok(None),
            Value::List(list) => dims.given(list.to_vec()),
            Value::Text(text) => cells::embedding(text, dims),
            other => Err(unexpected(&other.written(), "a vector: a list of numbers")),
        };
        match found {
            Ok(embedding) => Ok(Some(embedding.to_vec())),
            Err(wrong) => Err(self.wrong(role, wrong)),
        }
    }
}
