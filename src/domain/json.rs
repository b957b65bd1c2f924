//! Errors of JSON texts, worded for the author of the text.
//!
//! Invariant: a message holds no position and no type of this program. The caller adds file, line and field.

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
        JsonError { message: if error.is_data() { of_content(text) } else { of_syntax(text) } }
    }
}

fn of_syntax(text: &str) -> String {
    match text {
        "expected value" => "not JSON".into(),
        "recursion limit exceeded" => JsonError::TOO_DEEP.into(),
        "trailing characters" => "not JSON: content after the end of the value".into(),
        _ if text.starts_with("EOF while parsing") => "not JSON: the text ends too early".into(),
        _ => format!("not JSON: {text}"),
    }
}

/// Names of types in the parser's messages, and words for them.
const WORDS: [(&str, &str); 13] = [
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
    ("a sequence", "a list"),
];

/// Replaces the parser's name of a type by words. All other expectations are words already.
#[must_use]
pub fn expectation(expected: &str) -> &str {
    WORDS.iter().find(|(name, _)| *name == expected).map_or(expected, |(_, words)| words)
}

fn of_content(text: &str) -> String {
    let name = |start: &str| text.strip_prefix(start)?.split('`').next();
    if let Some(field) = name("missing field `") {
        return format!("the field `{field}` is missing");
    }
    if let Some(field) = name("duplicate field `") {
        return format!("the field `{field}` is given twice");
    }
    let found = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    match found.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("must be {}, is {found}", expectation(expected)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Point {
        #[serde(rename = "x")]
        _x: u8,
    }

    #[test]
    fn no_message_holds_words_of_the_parser() {
        for (text, expected) in [
            ("hello", "not JSON"),
            ("{", "not JSON: the text ends too early"),
            ("{\"x\":1} 2", "not JSON: content after the end of the value"),
            ("{\"x\" 1}", "not JSON: expected `:`"),
            ("{}", "the field `x` is missing"),
            ("{\"x\":1,\"x\":2}", "the field `x` is given twice"),
            ("{\"y\":1}", "unknown field `y`, expected `x`"),
            ("{\"x\":\"a\"}", "must be an integer from 0 to 255, is string \"a\""),
            ("{\"x\":300}", "must be an integer from 0 to 255, is integer `300`"),
        ] {
            let error = serde_json::from_str::<Point>(text).unwrap_err();
            assert_eq!(JsonError::new(&error).to_string(), expected, "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let error = serde_json::from_str::<serde_json::Value>(&deep).unwrap_err();
        assert_eq!(JsonError::new(&error).to_string(), JsonError::TOO_DEEP);
    }
}
