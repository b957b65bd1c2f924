//! Splits a JSON array into at most [`PARTS_MAX`] unparsed parts, so that a bad part stops no other.
//!
//! Invariant: each part has one result, in the order of the parts. A refused part has a reason and stops no other part.
//! A list of too many parts is refused as a whole, before its parts take memory. Deliberately absent: the meaning of a
//! part.

use std::fmt;

use actix_web::web::Bytes;
use schemars::JsonSchema;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::ids::{Key, Seq};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, BODY_BYTES_MAX};

/// Largest number of parts of one JSON array. The number of lines of NDJSON is bounded only by the size of the body.
pub const PARTS_MAX: usize = 10_000;

/// The result of one part.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schemars(rename = "PartResult")]
pub enum Outcome {
    /// The event is durable.
    Accepted {
        /// The client's id of the event.
        id: Key,
        /// The sequence number of the event in the user's journal, from 1.
        seq: Seq,
        /// Doubts of the server about a part that it carried out; absent without any.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// The item or user is new and durable.
    Created {
        /// The key of the item or user.
        id: Key,
        /// The revision of the item; users have none.
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<u32>,
        /// Doubts of the server about a part that it carried out; absent without any.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// The item or user was replaced or changed, and is durable.
    Changed {
        /// The key of the item or user.
        id: Key,
        /// The revision of the item; users have none.
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<u32>,
        /// Doubts of the server about a part that it carried out; absent without any.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// The item is deleted, or the user erased.
    Deleted {
        /// The key of the item or user.
        id: Key,
    },
    /// The part was refused and changed no state.
    Refused {
        /// The client's id, if it was readable.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Key>,
        /// The reason for the refusal.
        error: PartError,
    },
}

/// The reason for which a part was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartError {
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
}

impl Outcome {
    /// The result of a refused part.
    #[must_use]
    pub fn refused(id: Option<Key>, refusal: Refusal) -> Outcome {
        let Refusal { code, field, message, retry_after_ms } = refusal.bounded();
        Outcome::Refused { id, error: PartError { code, field, message, retry_after_ms } }
    }
}

/// Splits a JSON array into at most [`PARTS_MAX`] unparsed parts, so that a bad part stops no other.
///
/// # Errors
/// `bad_json` when `array` is no JSON array, `too_large` when it has more than [`PARTS_MAX`] parts.
pub fn parts(array: &Bytes) -> Result<Vec<Bytes>, Refusal> {
    let mut parts = Parts { found: Vec::new(), of: array, too_many: false };
    let mut reader = serde_json::Deserializer::from_slice(array);
    let read = reader.deserialize_seq(&mut parts).and_then(|()| reader.end());
    match read {
        // If the surplus part is the last one, the list parses without an error up to it.
        _ if parts.too_many => {
            let message = format!("must have at most {PARTS_MAX} parts: send it in several lists");
            Err(Refusal::new(Code::TooLarge, message))
        }
        Ok(()) => Ok(parts.found),
        Err(error) => Err(Refusal::new(Code::BadJson, error.to_string()).bounded()),
    }
}

/// Collects parts of a list as slices of its bytes, and stops at the first surplus part.
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

/// Parses a part, which may be as long as the body of one object.
///
/// # Errors
/// `too_large`, `bad_json` or `bad_field`.
pub fn read<'a, T: Deserialize<'a>>(part: &'a [u8]) -> Result<T, Refusal> {
    if part.len() > BODY_BYTES_MAX {
        return Err(body::too_large(BODY_BYTES_MAX));
    }
    body::parse_object(part)
}

/// The `id` of an event that is refused for another reason.
#[must_use]
pub fn readable_id(part: &[u8]) -> Option<Key> {
    #[derive(Deserialize)]
    struct Head {
        id: Key,
    }
    body::parse::<Head>(part).ok().map(|head| head.id)
}

/// The key of an item or of a user that is refused for another reason.
#[must_use]
pub fn readable_key(part: &[u8]) -> Option<Key> {
    // One reader per name: a fault in one field hides no other, and a long part takes no memory.
    #[derive(Deserialize)]
    struct ItemHead {
        item: Key,
    }
    #[derive(Deserialize)]
    struct UserHead {
        user: Key,
    }
    let item = || body::parse::<ItemHead>(part).ok().map(|head| head.item);
    let user = || body::parse::<UserHead>(part).ok().map(|head| head.user);
    item().or_else(user).or_else(|| readable_id(part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bad_part_stops_no_other() {
        let parts = parts(&Bytes::from_static(br#" [{"id":"a"}, 7, {"id":"b","x":1}] "#)).unwrap();
        let ids: Vec<_> = parts.iter().map(|part| readable_id(part)).collect();
        assert_eq!(ids, [Key::new("a").ok(), None, Key::new("b").ok()]);
        for (part, key) in [
            (r#"{"item":"a","id":"b","x":1}"#, Some("a")),
            (r#"{"user":"c","item":""}"#, Some("c")),
            (r#"{"id":"d","user":7}"#, Some("d")),
            (r#"{"text":"e"}"#, None),
        ] {
            assert_eq!(readable_key(part.as_bytes()).as_ref().map(Key::as_str), key, "{part}");
        }
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
            (
                Outcome::Accepted { id: id(), seq: Seq(7), warnings: Vec::new() },
                json!({"status": "accepted", "id": "e1", "seq": 7}),
            ),
            (
                Outcome::Created { id: id(), revision: Some(1), warnings: vec!["at: doubtful".into()] },
                json!({"status": "created", "id": "e1", "revision": 1, "warnings": ["at: doubtful"]}),
            ),
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
