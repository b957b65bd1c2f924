//! Text that every store can keep.
//!
//! Invariant: no text that was taken contains the character NUL, in itself or escaped in JSON: Postgres keeps neither, so
//! the embedded store does not either, and a store can always be moved.

/// A text has the character NUL in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must not contain the character NUL")]
pub struct HasNul;

/// Can every store keep this text?
///
/// # Errors
/// [`HasNul`].
pub fn must_be_storable(text: &str) -> Result<(), HasNul> {
    if text.contains('\0') { Err(HasNul) } else { Ok(()) }
}

/// Can every store keep this JSON, and whoever reads the texts in it?
///
/// # Errors
/// [`HasNul`].
pub fn json_must_be_storable(json: &str) -> Result<(), HasNul> {
    must_be_storable(json)?;
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        if escape.starts_with("u0000") {
            return Err(HasNul);
        }
        // What stands behind a backslash belongs to it: the second of two escapes nothing.
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
