//! One answer per part of a batch.
//!
//! Invariant: results stand in the order of what was sent, one each; a part that is refused says why and stops no
//! other. A list of too many parts is refused as a whole, before any memory is spent on its parts.
//! Absent on purpose: the meaning of a part.

use std::fmt;

use actix_web::web::Bytes;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::ids::{Key, Seq};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, BODY_BYTES_MAX};

/// Parts of one JSON array at most; lines of NDJSON are bounded by their bytes alone.
pub const PARTS_MAX: usize = 10_000;

/// What became of one part.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// An event is durable.
    Accepted {
        /// The client's id.
        id: Key,
        /// Its number in the person's slice.
        seq: Seq,
    },
    /// An item is new and durable.
    Created {
        /// Its key.
        id: Key,
        /// Its revision.
        revision: u32,
    },
    /// An item has a new face and is durable.
    Changed {
        /// Its key.
        id: Key,
        /// Its revision.
        revision: u32,
    },
    /// Nothing was changed.
    Refused {
        /// The client's id, where it could be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Key>,
        /// Why.
        error: PartError,
    },
}

/// Why a part was refused.
#[derive(Debug, Serialize)]
pub struct PartError {
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
}

impl Outcome {
    /// It was refused.
    #[must_use]
    pub fn refused(id: Option<Key>, refusal: Refusal) -> Outcome {
        let Refusal { code, field, message, retry_after_ms } = refusal.bounded();
        Outcome::Refused { id, error: PartError { code, field, message, retry_after_ms } }
    }
}

/// The parts of a JSON array, at most [`PARTS_MAX`], each still to be read, so that a bad one stops no other.
///
/// # Errors
/// `bad_json` when it is no array of JSON, `too_large` when there are more.
pub fn parts(array: &Bytes) -> Result<Vec<Bytes>, Refusal> {
    let mut parts = Parts { found: Vec::new(), of: array, too_many: false };
    let mut reader = serde_json::Deserializer::from_slice(array);
    let read = reader.deserialize_seq(&mut parts).and_then(|()| reader.end());
    match read {
        // Where the one too many is the last, the list reads well up to it.
        _ if parts.too_many => {
            let message = format!("must have at most {PARTS_MAX} parts: send it in several lists");
            Err(Refusal::new(Code::TooLarge, message))
        }
        Ok(()) => Ok(parts.found),
        Err(error) => Err(Refusal::new(Code::BadJson, error.to_string()).bounded()),
    }
}

/// Takes parts out of a list as slices of its bytes, and stops at the first one too many.
struct Parts<'a> {
    found: Vec<Bytes>,
    of: &'a Bytes,
    too_many: bool,
}

impl<'de> Visitor<'de> for &mut Parts<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(part) = seq.next_element::<&'de RawValue>()? {
            if self.found.len() == PARTS_MAX {
                self.too_many = true;
                return Ok(());
            }
            self.found.push(self.of.slice_ref(part.get().as_bytes()));
        }
        Ok(())
    }
}

/// Reads a part, which is no longer than a body of one thing.
///
/// # Errors
/// `too_large`, `bad_json` or `bad_field`.
pub fn read<'a, T: Deserialize<'a>>(part: &'a [u8]) -> Result<T, Refusal> {
    if part.len() > BODY_BYTES_MAX {
        return Err(body::too_large(BODY_BYTES_MAX));
    }
    body::parse(part)
}

/// The `id` of a part that is refused for something else.
#[must_use]
pub fn readable_id(part: &[u8]) -> Option<Key> {
    #[derive(serde::Deserialize)]
    struct Head {
        id: Key,
    }
    body::parse::<Head>(part).ok().map(|head| head.id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bad_part_stops_no_other() {
        let parts = parts(&Bytes::from_static(br#" [{"id":"a"}, 7, {"id":"b","x":1}] "#)).unwrap();
        let ids: Vec<_> = parts.iter().map(|part| readable_id(part)).collect();
        assert_eq!(ids, [Key::new("a").ok(), None, Key::new("b").ok()]);
    }

    #[test]
    fn a_list_is_refused_for_too_many_parts_and_for_bad_json() {
        let ones = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        for (text, expected) in [
            (ones(0), Ok(0)),
            (ones(PARTS_MAX), Ok(PARTS_MAX)),
            (ones(PARTS_MAX + 1), Err(Code::TooLarge)),
            (ones(3_000_000), Err(Code::TooLarge)),
            ("[1,".into(), Err(Code::BadJson)),
            ("[1] 2".into(), Err(Code::BadJson)),
            ("{}".into(), Err(Code::BadJson)),
        ] {
            let found = parts(&Bytes::from(text.clone())).map(|parts| parts.len()).map_err(|refusal| refusal.code);
            assert_eq!(found, expected, "{text:.20}");
        }
        let long = format!("[{}]", " ".repeat(BODY_BYTES_MAX + 1));
        assert_eq!(read::<Vec<u8>>(long.as_bytes()).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn outcomes_have_their_form_on_the_wire() {
        let id = || Key::new("e1").unwrap();
        for (outcome, expected) in [
            (Outcome::Accepted { id: id(), seq: Seq(7) }, json!({"status": "accepted", "id": "e1", "seq": 7})),
            (Outcome::Created { id: id(), revision: 1 }, json!({"status": "created", "id": "e1", "revision": 1})),
            (
                Outcome::refused(Some(id()), Refusal::field(Code::UnknownItem, "item", "no")),
                json!({"status": "refused", "id": "e1",
                       "error": {"code": "unknown_item", "field": "item", "message": "no"}}),
            ),
        ] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), expected);
        }
    }
}
