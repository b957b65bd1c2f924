//! One answer per part of a batch.
//!
//! Invariant: results stand in the order of what was sent, one each; a part that is refused says why and stops no
//! other. Absent on purpose: what the parts are.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::ids::{Key, Seq};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body;

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
        error: Why,
    },
}

/// Why a part was refused.
#[derive(Debug, Serialize)]
pub struct Why {
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
        let Refusal { code, field, message, retry_after_ms } = refusal;
        Outcome::Refused { id, error: Why { code, field, message, retry_after_ms } }
    }
}

/// The parts of a JSON array, each still to be read, so that a bad one stops no other.
///
/// # Errors
/// `bad_json` when it is no array of JSON.
pub fn parts(array: &[u8]) -> Result<Vec<&RawValue>, Refusal> {
    serde_json::from_slice(array).map_err(|error| Refusal::new(Code::BadJson, error.to_string()))
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
        let parts = parts(br#" [{"id":"a"}, 7, {"id":"b","x":1}] "#).unwrap();
        let ids: Vec<_> = parts.iter().map(|part| readable_id(part.get().as_bytes())).collect();
        assert_eq!(ids, [Key::new("a").ok(), None, Key::new("b").ok()]);
        assert_eq!(super::parts(b"[1,").err().map(|refusal| refusal.code), Some(Code::BadJson));
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
