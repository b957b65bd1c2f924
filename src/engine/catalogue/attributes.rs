//! Index of the attributes of one block of items: from a name and a value to rows.
//!
//! Invariant: a text, number or boolean is found under its name alone and as an element of a list; 1 equals 1.0. A pair takes
//! nine bytes, and an item adds at most [`PAIRS_MAX`] pairs. Pairs are compared by 64-bit hashes: two of a million different
//! pairs share one with a probability of 3 in 100 million.
//! Deliberately absent: objects and nested lists as values.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Items per block: adding one item copies at most this many embeddings.
pub(crate) const BLOCK: usize = 256;

/// One mark per item of a block.
pub(crate) type Marks = [bool; BLOCK];

/// Pairs of one item at most. An item with more is parsed by each query.
pub(in crate::engine) const PAIRS_MAX: usize = 64;

/// Rows of a block by the hashes of their attributes.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct AttributeIndex {
    /// Hashes of name and value, in ascending order.
    hashes: Vec<u64>,
    /// The row of each hash, ascending among equal hashes.
    rows: Vec<u8>,
    /// Rows with more than [`PAIRS_MAX`] pairs, ascending.
    apart: Vec<u8>,
}

impl AttributeIndex {
    /// Replaces the attributes of a row: a JSON object as text. A row beyond the block is ignored.
    pub fn set(&mut self, row: usize, before: Option<&str>, after: Option<&str>) {
        let Some(row) = u8::try_from(row).ok().filter(|_| before != after) else { return };
        if before.is_some() {
            let keeps: Vec<bool> = self.rows.iter().map(|one| *one != row).collect();
            let mut keep = keeps.iter();
            self.hashes.retain(|_| keep.next().copied().unwrap_or(true));
            self.rows.retain(|one| *one != row);
            self.apart.retain(|one| *one != row);
        }
        let Some(text) = after else { return };
        let pairs = pairs(text);
        if pairs.len() > PAIRS_MAX {
            self.apart.insert(self.apart.partition_point(|one| *one < row), row);
            return;
        }
        for pair in pairs {
            let begin = self.hashes.partition_point(|one| *one < pair);
            let equal = self.hashes[begin..].partition_point(|one| *one == pair);
            let place = begin + self.rows[begin..begin + equal].partition_point(|one| *one < row);
            self.hashes.insert(place, pair);
            self.rows.insert(place, row);
        }
    }

    /// Marks the rows that have this value under this name, or a list with it. `text` returns the attributes of a row.
    pub fn mark<'t>(&self, name: &str, value: &Value, text: impl Fn(usize) -> Option<&'t str>, marks: &mut Marks) {
        let Some(pair) = pair(name, value) else { return };
        let begin = self.hashes.partition_point(|one| *one < pair);
        let equal = self.hashes[begin..].iter().take_while(|one| **one == pair).count();
        for row in &self.rows[begin..begin + equal] {
            marks[usize::from(*row) % BLOCK] = true;
        }
        for row in self.apart.iter().map(|row| usize::from(*row)) {
            marks[row % BLOCK] |= text(row).is_some_and(|text| pairs(text).contains(&pair));
        }
    }
}

/// The hashes of all pairs of a JSON object, each once; none for a text that is no object.
fn pairs(text: &str) -> Vec<u64> {
    let mut pairs = Vec::new();
    for (name, value) in &serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default() {
        match value {
            Value::Array(list) => pairs.extend(list.iter().filter_map(|value| pair(name, value))),
            value => pairs.extend(pair(name, value)),
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The hash of a name and a value; `None` for a value that no query has.
fn pair(name: &str, value: &Value) -> Option<u64> {
    let seeded = |bytes: &[u8], kind: u64| xxh3_64_with_seed(bytes, xxh3_64_with_seed(name.as_bytes(), kind));
    match value {
        Value::String(text) => Some(seeded(text.as_bytes(), 1)),
        // Adding 0 turns -0 into 0.
        Value::Number(number) => Some(seeded(&(number.as_f64()? + 0.0).to_bits().to_le_bytes(), 2)),
        Value::Bool(truth) => Some(seeded(&[u8::from(*truth)], 3)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(index: &AttributeIndex, texts: &[Option<&str>], name: &str, value: &Value) -> Vec<usize> {
        let mut marks = [false; BLOCK];
        index.mark(name, value, |row| texts.get(row).copied().flatten(), &mut marks);
        (0..BLOCK).filter(|row| marks[*row]).collect()
    }

    #[test]
    fn attributes_are_found_by_value_and_within_lists() {
        let text = r#"{"genre": "jazz", "length": 12, "tags": ["a", 2], "live": true, "caf\u00e9": 1, "none": null}"#;
        let mut index = AttributeIndex::default();
        index.set(3, None, Some(text));
        for (name, value, expected) in [
            ("genre", Value::from("jazz"), true),
            ("genre", Value::from("jaz"), false),
            ("jazz", Value::from("genre"), false),
            ("length", Value::from(12.0), true),
            ("length", Value::from("12"), false),
            ("tags", Value::from("a"), true),
            ("tags", Value::from(2), true),
            ("tags", Value::from(3), false),
            ("live", Value::from(true), true),
            ("live", Value::from(1), false),
            ("café", Value::from(1), true),
            ("none", Value::from(0), false),
        ] {
            let found = marked(&index, &[], name, &value);
            assert_eq!(found, if expected { vec![3] } else { vec![] }, "{name} {value}");
        }
    }

    #[test]
    fn a_replaced_row_is_found_by_its_new_attributes_alone() {
        let many = format!(r#"{{"tags": {:?}}}"#, (0..=PAIRS_MAX).collect::<Vec<_>>());
        let steps = [
            (0, Some(r#"{"genre": "jazz"}"#)),
            (1, Some(many.as_str())),
            (2, Some(r#"{"genre": "jazz", "tags": [7, 7]}"#)),
            (0, Some(r#"{"tags": 7}"#)),
            (1, Some(r#"{"genre": ["jazz", "rock"]}"#)),
            (2, None),
            (0, Some("not an object")),
            (1, Some(many.as_str())),
        ];
        let (mut index, mut texts) = (AttributeIndex::default(), [None; 3]);
        for (row, text) in steps {
            index.set(row, texts[row], text);
            texts[row] = text;
            for (name, value) in [("genre", Value::from("jazz")), ("tags", Value::from(7))] {
                let mut anew = AttributeIndex::default();
                texts.iter().enumerate().for_each(|(row, text)| anew.set(row, None, *text));
                let has = |text: &&str| pairs(text).contains(&pair(name, &value).unwrap_or_default());
                let expected: Vec<usize> = (0..3).filter(|row| texts[*row].as_ref().is_some_and(has)).collect();
                assert_eq!(marked(&index, &texts, name, &value), expected, "{name} {value} {texts:?}");
                assert_eq!(marked(&anew, &texts, name, &value), expected, "built anew");
            }
        }
    }
}
