//! Serialises bitmaps in roaring's portable format.

use roaring::RoaringBitmap;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes a bitmap as bytes.
///
/// # Errors
/// The serialiser's.
pub fn serialize<S: Serializer>(bitmap: &RoaringBitmap, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut bytes).map_err(serde::ser::Error::custom)?;
    serializer.serialize_bytes(&bytes)
}

/// Reads a bitmap from bytes.
///
/// # Errors
/// The bytes hold no bitmap in this format.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoaringBitmap, D::Error> {
    let bytes = Vec::<u8>::deserialize(deserializer)?;
    RoaringBitmap::deserialize_from(&bytes[..]).map_err(serde::de::Error::custom)
}
