//! Numbers, vectors and lists as columns and back, for both stores.
//!
//! Invariant: decoding an encoded value gives an equal value, bit by bit. Absent on purpose: SQL, whole rows.

use xxhash_rust::xxh3::Xxh3;

use crate::domain::ids::{FeedVersion, ItemId, ModelVersion, TopicId};
use crate::domain::items::{Change, Embedding};
use crate::domain::journal::{CentreRef, Predicted};
use crate::domain::metrics::Declaration;
use crate::store::error::StoreError;

/// Owner of the coordinator's snapshots in their checksum; no person has this id.
pub const COORDINATOR: u64 = u64::MAX;

/// Encodes a change as the columns `kind`, `id` and `number` of table `changes`.
#[must_use]
pub fn change_to_row(change: Change) -> (&'static str, u32, u32) {
    match change {
        Change::Centre(centre) => ("centre", centre.topic.0, centre.epoch),
        Change::Revision(item, revision) => ("revision", item.0, revision),
        Change::Deleted(item) => ("deleted", item.0, 0),
    }
}

/// Decodes the columns of [`change_to_row`]; `None` for an unknown kind.
#[must_use]
pub fn change_from_row(kind: &str, id: u32, number: u32) -> Option<Change> {
    match kind {
        "centre" => Some(Change::Centre(CentreRef { topic: TopicId(id), epoch: number })),
        "revision" => Some(Change::Revision(ItemId(id), number)),
        "deleted" => Some(Change::Deleted(ItemId(id))),
        _ => None,
    }
}

/// Encodes `(n,)` numbers as `4 n` bytes, little-endian.
#[must_use]
pub fn floats_to_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Decodes the bytes of [`floats_to_bytes`]; `None` when their length is not a multiple of 4.
#[must_use]
pub fn floats_from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

/// Encodes predictions as 12 bytes (online, topics, model), then the version of the two-tower model as 8 bytes, if one
/// took part. All little-endian.
#[must_use]
pub fn predicted_to_bytes(predicted: &Predicted) -> Vec<u8> {
    let Predicted { online, topics, model, model_version } = predicted;
    let mut bytes = floats_to_bytes(&[*online, *topics, *model]);
    bytes.extend(model_version.iter().flat_map(|version| version.0.to_le_bytes()));
    bytes
}

/// Decodes the bytes of [`predicted_to_bytes`]; `None` when their length is neither 12 nor 20.
#[must_use]
pub fn predicted_from_bytes(bytes: &[u8]) -> Option<Predicted> {
    let (numbers, rest) = bytes.split_at_checked(12)?;
    let model_version = match rest {
        [] => None,
        rest => Some(ModelVersion(u64::from_le_bytes(rest.try_into().ok()?))),
    };
    let numbers = floats_from_bytes(numbers)?;
    let &[online, topics, model] = &numbers[..] else { return None };
    Some(Predicted { online, topics, model, model_version })
}

/// Encodes the places of a drawn feed as `8 n` bytes: id and propensity of each item, little-endian.
#[must_use]
pub fn places_to_bytes(places: &[(ItemId, f32)]) -> Vec<u8> {
    places.iter().flat_map(|(item, propensity)| [item.0.to_le_bytes(), propensity.to_le_bytes()]).flatten().collect()
}

/// The feed version that a page of logged feeds starts after, as a column; -1 for the first page.
#[must_use]
pub fn version_before_page(after: Option<FeedVersion>) -> i64 {
    after.map_or(-1, |after| i64::try_from(after.0).unwrap_or(i64::MAX))
}

/// Decodes the bytes of [`places_to_bytes`]; `None` when their length is not a multiple of 8.
#[must_use]
pub fn places_from_bytes(bytes: &[u8]) -> Option<Vec<(ItemId, f32)>> {
    let (places, rest) = bytes.as_chunks::<8>();
    let place = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (ItemId(u32::from_le_bytes([*a, *b, *c, *d])), f32::from_le_bytes([*e, *f, *g, *h]))
    };
    rest.is_empty().then(|| places.iter().map(place).collect())
}

/// Decodes an embedding from the bytes of [`floats_to_bytes`]; `None` unless it is finite and not all zeros.
#[must_use]
pub fn embedding_from_bytes(bytes: &[u8]) -> Option<Embedding> {
    let numbers = floats_from_bytes(bytes)?;
    let dim = numbers.len();
    Embedding::new(numbers, dim).ok()
}

/// Encodes the declaration of a metric as JSON.
///
/// # Errors
/// [`StoreError::Refused`] when it cannot be serialised.
pub fn declaration_to_text(declaration: &Declaration) -> Result<String, StoreError> {
    serde_json::to_string(declaration).map_err(|error| StoreError::Refused(error.to_string()))
}

/// Decodes the text of [`declaration_to_text`]; `None` unless it is a declaration.
#[must_use]
pub fn declaration_from_text(text: &str) -> Option<Declaration> {
    serde_json::from_str(text).ok()
}

/// Encodes topics as a JSON array of their ids.
#[must_use]
pub fn topics_to_text(topics: &[TopicId]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 + 4 * topics.len());
    for (index, topic) in topics.iter().enumerate() {
        text.push(if index == 0 { '[' } else { ',' });
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{}", topic.0);
    }
    text.push_str(if topics.is_empty() { "[]" } else { "]" });
    text
}

/// Decodes the text of [`topics_to_text`]; `None` unless it is a JSON array of ids.
#[must_use]
pub fn topics_from_text(text: &str) -> Option<Vec<TopicId>> {
    serde_json::from_str(text).ok()
}

/// Checksum of a snapshot, which detects torn and misplaced rows. It covers `owner` and `covers`, too.
#[must_use]
pub fn snapshot_checksum(owner: u64, covers: u64, bytes: &[u8]) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(&owner.to_le_bytes());
    hash.update(&covers.to_le_bytes());
    hash.update(bytes);
    hash.digest().cast_signed()
}

/// Converts a number to a signed column.
///
/// # Errors
/// [`StoreError::Refused`] above `i64::MAX`.
pub fn integer(what: &'static str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Refused(format!("{what} {number} is too large to be stored")))
}

/// Converts a signed column to the number type of the domain.
///
/// # Errors
/// The name of the column when its value is null or out of range.
pub fn narrow<T: TryFrom<i64>>(column: &'static str, value: Option<i64>) -> Result<T, &'static str> {
    value.and_then(|value| T::try_from(value).ok()).ok_or(column)
}

/// Passes a finite number through.
///
/// # Errors
/// [`StoreError::Refused`] for NaN, infinities and `-0.0`, which a database may change.
pub(super) fn plain(what: &'static str, number: f32) -> Result<f32, StoreError> {
    if number.is_finite() && number.to_bits() != (-0.0_f32).to_bits() {
        Ok(number)
    } else {
        Err(StoreError::Refused(format!("{what} {number:?} cannot be stored exactly")))
    }
}
