//! Single values of a CSV record or a JSON line, checked.
//!
//! Invariant: what comes out is a domain value; an error says what was expected.

use super::error::{Wrong, shortened};
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::items::Embedding;

pub(crate) fn unexpected(found: &str, expected: impl Into<String>) -> Wrong {
    Wrong::Value { found: shortened(found), expected: expected.into() }
}

pub(crate) fn key(text: &str) -> Result<Key, Wrong> {
    Key::new(text).map_err(Wrong::Key)
}

pub(crate) fn kind(text: &str) -> Result<Kind, Wrong> {
    Kind::from_name(text).ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(", ");
        unexpected(text, format!("a kind of interaction ({names})"))
    })
}

pub(crate) fn dwell_ms(text: &str) -> Result<u32, Wrong> {
    text.parse().map_err(|_| unexpected(text, "a duration in whole milliseconds"))
}

/// A JSON array, or numbers with blanks between them. Without a `dim` any length will do.
pub(crate) fn embedding(text: &str, dim: Option<usize>) -> Result<Embedding, Wrong> {
    let expected = "an embedding: a JSON array of numbers, or numbers with blanks between them";
    let numbers: Vec<f32> = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|_| unexpected(text, expected))?
    } else {
        let parsed: Result<_, _> = text.split_ascii_whitespace().map(str::parse::<f32>).collect();
        parsed.map_err(|_| unexpected(text, expected))?
    };
    let dim = dim.unwrap_or(numbers.len());
    Embedding::new(numbers, dim).map_err(Wrong::Embedding)
}

/// The `N` cells of a line, without surrounding blanks; or how many there are.
pub(crate) fn parted<const N: usize>(text: &str, by: char) -> Result<[&str; N], usize> {
    let mut cells = [""; N];
    let mut count = 0;
    for cell in text.split(by) {
        if let Some(place) = cells.get_mut(count) {
            *place = cell.trim();
        }
        count += 1;
    }
    if count == N { Ok(cells) } else { Err(count) }
}
