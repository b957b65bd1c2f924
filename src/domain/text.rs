//! Text that every store can hold.
//!
//! Invariant: accepted text does not contain the character NUL, neither directly nor escaped in JSON. Postgres holds neither,
//! so the embedded store refuses both, and a dump can always be loaded into another kind of store.

/// Size limit of the attributes of a user or an item, in bytes of JSON.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;

/// A text contains the character NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must not contain the character NUL")]
pub struct HasNul;

/// Checks that every store can hold this text.
///
/// # Errors
/// [`HasNul`] if the text contains NUL.
pub fn must_be_storable(text: &str) -> Result<(), HasNul> {
    if text.contains('\0') { Err(HasNul) } else { Ok(()) }
}

/// Checks that every store can hold this JSON, and the texts in it.
///
/// # Errors
/// [`HasNul`] if the JSON contains NUL, directly or escaped.
pub fn json_must_be_storable(json: &str) -> Result<(), HasNul> {
    must_be_storable(json)?;
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        if escape.starts_with("u0000") {
            return Err(HasNul);
        }
        // The character after a backslash belongs to its escape, so the second of two backslashes starts none.
        let mut behind = escape.chars();
        behind.next();
        rest = behind.as_str();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_found_however_it_is_written() {
        for (json, good) in [
            (r#"{"a": "b"}"#, true),
            (r#"{"a": "\u0001"}"#, true),
            (r#"{"a": "\\u0000"}"#, true),
            (r#"{"a": "\"}"#, true),
            (r#"{"a": "é\n🌊"}"#, true),
            (r#"{"a": "\u0000"}"#, false),
            (r#"{"a": "\\\u0000"}"#, false),
            (r#"{"a": {"b": ["c", {"d\u0000": 1}]}}"#, false),
            ("{\"a\": \"\0\"}", false),
        ] {
            assert_eq!(json_must_be_storable(json).is_ok(), good, "{json:?}");
        }
        assert!(must_be_storable("a\\u0000").is_ok() && must_be_storable("a\0").is_err());
    }
}
