//! Errors of JSON texts, worded for the author of the text.
//!
//! Invariant: a message holds no position and no type of this program. The caller adds file, line and field.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// Error of a JSON text: either not JSON, or JSON with another content than expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    message: String,
}

impl JsonError {
    /// Message of JSON that is nested more deeply than the parser allows.
    pub const TOO_DEEP: &'static str = "nested too deeply";

    /// Rewords an error of the parser.
    #[must_use]
    pub fn new(error: &serde_json::Error) -> JsonError {
        let text = error.to_string();
        // The parser appends ` at line 1 column 40`, unless it reads from a parsed value.
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        JsonError { message: if error.is_data() { reworded(text) } else { of_syntax(text) } }
    }

    /// The error of a text that is JSON although the parser of `T` blames its syntax, with the path of the wrong value. The
    /// parser does so where it finds another value than a name, or a list that is too long. `None` where the text is no JSON.
    #[must_use]
    pub fn of_value<'de, T: Deserialize<'de>>(text: &[u8]) -> Option<(String, JsonError)> {
        let whole: Value = serde_json::from_slice(text).ok()?;
        let error = misread::<T>(whole.clone())?;
        let mut named = whole;
        let found = value_at(&mut named, error.path()).filter(|value| !value.is_string()).map(|value| {
            let found = described(value);
            // No variant has an empty name, so the parser lists the names of all variants.
            *value = Value::String(String::new());
            found
        });
        let message = found.and_then(|found| {
            let refused = misread::<T>(named)?.into_inner().to_string();
            Some(format!("must be {}, is {found}", names(&refused)?.1))
        });
        let message = message.unwrap_or_else(|| JsonError::new(error.inner()).message);
        Some((error.path().to_string(), JsonError { message }))
    }
}

fn misread<'de, T: Deserialize<'de>>(value: Value) -> Option<serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize::<_, T>(value).err()
}

fn value_at<'a>(value: &'a mut Value, path: &Path) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Seq { index } => value.get_mut(index),
        Segment::Map { key } => value.get_mut(key.as_str()),
        Segment::Enum { variant } => value.get_mut(variant.as_str()),
        Segment::Unknown => None,
    })
}

/// A value in words, as the parser describes it.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => format!("string {value}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

fn of_syntax(text: &str) -> String {
    match text {
        "expected value" | "expected ident" => "not JSON".into(),
        "recursion limit exceeded" => JsonError::TOO_DEEP.into(),
        "trailing characters" => "not JSON: content after the end of the value".into(),
        "trailing comma" => "not JSON: a comma before the end of a list or an object".into(),
        "key must be a string" => "not JSON: a key must be a text in double quotes".into(),
        _ if text.starts_with("EOF while parsing") => "not JSON: the text ends too early".into(),
        _ => format!("not JSON: {text}"),
    }
}

/// Names of types in the parser's messages, and words for them.
const WORDS: [(&str, &str); 24] = [
    ("u8", "an integer from 0 to 255"),
    ("u16", "an integer from 0 to 65535"),
    ("u32", "an integer from 0 to 4294967295"),
    ("u64", "an integer of at least 0"),
    ("usize", "an integer of at least 0"),
    ("i8", "an integer from -128 to 127"),
    ("i16", "an integer from -32768 to 32767"),
    ("i32", "an integer from -2147483648 to 2147483647"),
    ("i64", "an integer"),
    ("isize", "an integer"),
    ("f32", "a number"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a string", "a text"),
    ("a borrowed string", "a text"),
    ("a character", "a text of one character"),
    ("string or map", "a text"),
    ("variant identifier", "a text"),
    ("field identifier", "a text"),
    ("a sequence", "a list"),
    ("sequence", "a list"),
    ("a map", "an object"),
    ("map", "an object"),
    ("unit", "null"),
];

/// Beginnings of the parser's names of types that hold a name of this program, and words for them.
const BEGINNINGS: [(&str, &str); 9] = [
    ("tuple struct ", "a list"),
    ("tuple variant ", "a list"),
    ("struct ", "an object"),
    ("internally tagged enum ", "an object"),
    ("adjacently tagged enum ", "an object"),
    ("unit struct ", "null"),
    ("enum ", "a text"),
    ("variant index ", "a text"),
    ("a nonzero ", "an integer other than 0"),
];

/// Replaces the parser's name of a type by words. All other expectations are words already.
#[must_use]
pub fn expectation(expected: &str) -> Cow<'_, str> {
    if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == expected) {
        return (*words).into();
    }
    if let Some(count) =
        expected.strip_prefix("a tuple of size ").or_else(|| expected.strip_prefix("an array of length "))
    {
        return format!("a list of {count} values").into();
    }
    BEGINNINGS.iter().find(|(start, _)| expected.starts_with(start)).map_or(expected, |(_, words)| words).into()
}

/// Words for a list of another length than expected.
#[must_use]
pub fn of_length(length: &str, expected: &str) -> String {
    if expected.starts_with("fewer elements") {
        return format!("must be a shorter list, has {length}");
    }
    match expectation(expected) {
        // The parser also reads an object from a list of its fields.
        object if object == "an object" => "must be an object, is a list".into(),
        words => format!("must be {words}, has {length}"),
    }
}

/// Words for the parser's description of a value.
fn found(text: &str) -> Cow<'_, str> {
    match text {
        "sequence" => "a list".into(),
        "map" | "enum" | "newtype variant" | "struct variant" => "an object".into(),
        "unit value" => "null".into(),
        "unit variant" => "a text".into(),
        "tuple variant" => "a list".into(),
        _ => match (text.strip_prefix("floating point "), text.strip_prefix("boolean ")) {
            (Some(number), _) => format!("number {number}").into(),
            (_, Some(flag)) => flag.trim_matches('`').to_owned().into(),
            _ => text.into(),
        },
    }
}

/// The unknown name in a message of the parser, and the known ones in words.
fn names(text: &str) -> Option<(&str, String)> {
    let (found, known) = text.strip_prefix("unknown variant `")?.rsplit_once("`, expected ")?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    Some((found, if known.len() == 1 { known.concat() } else { format!("one of {}", known.join(", ")) }))
}

/// Rewords the parser's message about a value.
#[must_use]
pub fn reworded(text: &str) -> String {
    let name = |start: &str| text.strip_prefix(start)?.split('`').next();
    if let Some(field) = name("missing field `") {
        return format!("the field `{field}` is missing");
    }
    if let Some(field) = name("duplicate field `") {
        return format!("the field `{field}` is given twice");
    }
    if let Some((found, known)) = names(text) {
        return format!("must be {known}, is {found:?}");
    }
    if text.starts_with("data did not match any variant") {
        return "has none of the possible forms".into();
    }
    if let Some((length, expected)) =
        text.strip_prefix("invalid length ").and_then(|rest| rest.split_once(", expected "))
    {
        return of_length(length, expected);
    }
    let wrong = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    match wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((wrong, expected)) => format!("must be {}, is {}", expectation(expected), found(wrong)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Point {
        #[serde(rename = "x")]
        _x: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Shape {
        Round,
        Square,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "only the errors of reading count")]
    enum Either {
        Number(f64),
        Text(String),
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code, reason = "only the errors of reading count")]
    struct Form {
        point: Option<Point>,
        shape: Option<Shape>,
        shapes: Vec<Shape>,
        range: Option<(f64, f64)>,
        three: [u8; 3],
        text: String,
        flag: bool,
        number: f32,
        map: BTreeMap<String, u32>,
        either: Option<Either>,
        letter: char,
        unit: (),
    }

    fn refused<'a, T: Deserialize<'a>>(text: &'a str) -> Option<String> {
        let error = serde_json::from_str::<T>(text).err()?;
        let other = if error.is_data() { None } else { JsonError::of_value::<T>(text.as_bytes()) };
        Some(other.map_or_else(|| JsonError::new(&error).to_string(), |(path, error)| format!("{path}: {error}")))
    }

    #[test]
    fn no_message_holds_words_of_the_parser() {
        for (text, expected) in [
            ("hello", "not JSON"),
            ("nul", "not JSON: the text ends too early"),
            ("nuts", "not JSON"),
            ("{", "not JSON: the text ends too early"),
            ("{\"x\":1} 2", "not JSON: content after the end of the value"),
            ("{\"x\":1,}", "not JSON: a comma before the end of a list or an object"),
            ("{x:1}", "not JSON: a key must be a text in double quotes"),
            ("{\"x\" 1}", "not JSON: expected `:`"),
            ("{}", "the field `x` is missing"),
            ("{\"x\":1,\"x\":2}", "the field `x` is given twice"),
            ("{\"y\":1}", "unknown field `y`, expected `x`"),
            ("{\"x\":\"a\"}", "must be an integer from 0 to 255, is string \"a\""),
            ("{\"x\":300}", "must be an integer from 0 to 255, is integer `300`"),
            ("{\"x\":1.5}", "must be an integer from 0 to 255, is number `1.5`"),
            ("null", "must be an object, is null"),
            ("[]", "must be an object, is a list"),
        ] {
            assert_eq!(refused::<Point>(text).as_deref(), Some(expected), "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let error = serde_json::from_str::<serde_json::Value>(&deep).unwrap_err();
        assert_eq!(JsonError::new(&error).to_string(), JsonError::TOO_DEEP);
    }

    #[test]
    fn a_value_that_is_no_name_is_answered_by_the_names() {
        for (text, expected) in [
            (r#"{"shapes":[null]}"#, "shapes[0]: must be one of round, square, is null"),
            (r#"{"shapes":["round",5]}"#, "shapes[1]: must be one of round, square, is 5"),
            (r#"{"shape":[]}"#, "shape: must be one of round, square, is a list"),
            (r#"{"shape":{}}"#, "shape: must be one of round, square, is an object"),
            (r#"{"shape":"flat"}"#, "must be one of round, square, is \"flat\""),
            (r#"{"range":[1,2,3]}"#, "range: must be a shorter list, has 3"),
            (r#"{"range":[1]}"#, "must be a list of 2 values, has 1"),
            (r#"{"range":7}"#, "must be a list of 2 values, is integer `7`"),
        ] {
            assert_eq!(refused::<Form>(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(JsonError::of_value::<Form>(b"{\"shape\":nul}"), None, "that is no JSON");
    }

    #[test]
    fn no_wrong_value_in_any_field_is_answered_in_words_of_the_program() {
        const FIELDS: [&str; 12] =
            ["point", "shape", "shapes", "range", "three", "text", "flag", "number", "map", "either", "letter", "unit"];
        const VALUES: [&str; 16] = [
            "null",
            "true",
            "-1",
            "7",
            "1.5",
            "1e40",
            "\"\"",
            "\"ab\"",
            "[]",
            "[1]",
            "[[]]",
            "[1,2,3,4]",
            "{}",
            "{\"a\":null}",
            "{\"a\":1,\"b\":{}}",
            "[{\"a\":1}]",
        ];
        const FORBIDDEN: [&str; 14] = [
            "struct",
            "sequence",
            "ident",
            "variant",
            "tuple",
            "enum",
            "unit",
            "map",
            "Component",
            "invalid",
            "array",
            "boolean",
            "u32",
            "f32",
        ];
        let mut count = 0;
        for (field, value) in FIELDS.iter().flat_map(|field| VALUES.map(|value| (field, value))) {
            let Some(message) = refused::<Form>(&format!("{{\"{field}\":{value}}}")) else { continue };
            count += 1;
            // The path before the colon, and the quoted value, are those of the author.
            let said = message.rsplit_once(": ").map_or(message.as_str(), |(_, said)| said);
            for word in FORBIDDEN {
                assert!(!said.contains(word), "{field}: {value}: {message}");
            }
        }
        assert!(count > 120, "{count}");
    }
}
