//! Extended JSON of a document database: wrappers such as `{"$oid": "…"}` become plain values.
//!
//! Source: *MongoDB Extended JSON (v2)*, canonical and relaxed, and the numeric dates of version 1. Invariant: `$date`
//! becomes RFC 3339 text, so that no reader takes its number for another unit. An unknown wrapper is refused.

use serde_json::{Number, Value};

use crate::domain::time::Millis;
use crate::domain::timestamps;

/// Deepest nesting that is unwrapped; the documents have at most three levels.
const DEPTH_MAX: usize = 16;

/// A wrapper that the reader cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{wrapper}` must be {expected}")]
pub(super) struct WrapperError {
    /// Dotted path of the field that has the wrapper; empty for the document itself.
    field: String,
    wrapper: String,
    expected: &'static str,
}

impl WrapperError {
    /// The field that has the wrapper, as in `time` or `friends`; `None` for the document itself.
    pub(super) fn field(&self) -> Option<&str> {
        (!self.field.is_empty()).then_some(self.field.as_str())
    }

    fn within(self, name: &str) -> WrapperError {
        let field = if self.field.is_empty() { name.to_owned() } else { format!("{name}.{}", self.field) };
        WrapperError { field, ..self }
    }
}

/// True where a line may contain a wrapper.
pub(super) fn may_be_in(text: &str) -> bool {
    text.contains("\"$")
}

/// True where a list of the document contains an object id.
pub(super) fn has_object_id(document: &Value, field: &str) -> bool {
    let list = document.get(field).and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(|value| value.get("$oid").is_some()))
}

/// Replaces all wrappers in a value.
pub(super) fn unwrap(value: &mut Value) -> Result<(), WrapperError> {
    unwrap_to(value, DEPTH_MAX)
}

fn unwrap_to(value: &mut Value, depth: usize) -> Result<(), WrapperError> {
    if depth == 0 {
        return Ok(());
    }
    match value {
        Value::Array(list) => list.iter_mut().try_for_each(|value| unwrap_to(value, depth - 1)),
        Value::Object(fields) => {
            let wrapper = fields.iter().next().filter(|(name, _)| fields.len() == 1 && name.starts_with('$'));
            if let Some((name, inner)) = wrapper {
                let plain = plain(name, inner)?;
                *value = plain;
                return Ok(());
            }
            fields
                .iter_mut()
                .try_for_each(|(name, value)| unwrap_to(value, depth - 1).map_err(|error| error.within(name)))
        }
        _ => Ok(()),
    }
}

fn plain(name: &str, inner: &Value) -> Result<Value, WrapperError> {
    let wrong = |wrapper: &str, expected| WrapperError { field: String::new(), wrapper: wrapper.into(), expected };
    match (name, inner) {
        ("$oid", Value::String(_)) => Ok(inner.clone()),
        ("$oid", _) => Err(wrong("$oid", "a text")),
        ("$date", Value::String(_)) => Ok(inner.clone()),
        ("$date", _) => {
            let long = inner.get("$numberLong").and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok());
            let at = inner.as_i64().or(long).map(Millis).filter(|at| (Millis::MIN..=Millis::MAX).contains(at));
            let at = at.ok_or_else(|| wrong("$date", "a text, or milliseconds since 1970 in the years 1 to 9999"))?;
            Ok(Value::String(timestamps::text(at)))
        }
        ("$numberLong" | "$numberInt", _) => {
            let number = inner.as_str().and_then(|text| text.parse::<i64>().ok());
            number.map(Value::from).ok_or_else(|| wrong(name, "a whole number of at most 64 bits, as text"))
        }
        ("$numberDouble", _) => {
            let number = inner.as_str().and_then(|text| text.parse::<f64>().ok()).and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(|| wrong("$numberDouble", "a finite number, as text"))
        }
        _ => Err(wrong(name, "one of $oid, $date, $numberLong, $numberInt and $numberDouble")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrappers_of_both_forms_become_plain_values() {
        for (given, expected) in [
            (json!({"_id": {"$oid": "65a1"}}), json!({"_id": "65a1"})),
            (json!({"$date": "2026-01-01T00:00:00Z"}), json!("2026-01-01T00:00:00Z")),
            (json!({"$date": {"$numberLong": "1767225600250"}}), json!("2026-01-01T00:00:00.25Z")),
            (json!({"$date": {"$numberLong": "-1"}}), json!("1969-12-31T23:59:59.999Z")),
            (json!({"$date": 0}), json!("1970-01-01T00:00:00Z")),
            (json!([{"$numberInt": "7"}, {"$numberLong": "9007199254740993"}]), json!([7, 9_007_199_254_740_993_i64])),
            (json!({"$numberDouble": "0.5"}), json!(0.5)),
            (
                json!({"message": "costs \"$5\"", "a": {"b": null}}),
                json!({"message": "costs \"$5\"", "a": {"b": null}}),
            ),
        ] {
            let mut value = given.clone();
            unwrap(&mut value).unwrap();
            assert_eq!(value, expected, "{given}");
        }
    }

    #[test]
    fn wrappers_of_other_types_are_refused_by_name() {
        for (given, part) in [
            (json!({"$oid": 5}), "`$oid` must be a text"),
            (json!({"$date": {"$numberLong": "x"}}), "`$date` must be a text, or milliseconds"),
            (json!({"$date": 9_000_000_000_000_000_i64}), "in the years 1 to 9999"),
            (json!({"$numberLong": 5}), "`$numberLong` must be a whole number"),
            (json!({"$numberDouble": "NaN"}), "`$numberDouble` must be a finite number"),
            (json!({"a": [{"$binary": {"base64": "", "subType": "04"}}]}), "`$binary` must be one of $oid, $date"),
            (json!({"$numberInt": "x"}), "`$numberInt` must be a whole number"),
        ] {
            let message = unwrap(&mut given.clone()).unwrap_err().to_string();
            assert!(message.contains(part), "{given}: {message}");
        }
        for (given, field) in [
            (json!({"time": {"$foo": 1}}), Some("time")),
            (json!({"a": {"b": [1, {"$oid": 5}]}}), Some("a.b")),
            (json!({"$foo": 1}), None),
        ] {
            assert_eq!(unwrap(&mut given.clone()).unwrap_err().field(), field, "{given}");
        }
    }
}
