//! Activities: input is checked and normalised once, and rendered from the stored fields.
//!
//! Invariant: a stored activity has an id, an actor, a verb, an object and a time; all other fields are those of the client. `to`
//! is there only with a target. Deliberately absent: the store.

use serde_json::{Map, Value};

use crate::domain::activities::{FeedName, Micros, activity_id};
use crate::store::activities::ActivityRow;

use super::reply::{Fault, StreamError};

/// Bytes of an activity as JSON at most.
const ACTIVITY_BYTES_MAX: usize = 128 * 1024;
/// Targets of an activity at most.
pub(crate) const TARGETS_MAX: usize = 100;
/// Bytes of a foreign id at most.
const FOREIGN_ID_BYTES_MAX: usize = 512;

/// The fields of an activity.
pub(crate) type Fields = Map<String, Value>;

/// An activity that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The id, a function of time and identity.
    pub(crate) id: String,
    /// The foreign id; empty for none.
    pub(crate) foreign_id: String,
    /// The time, by which feeds are ordered.
    pub(crate) time: Micros,
    /// All fields as they are rendered.
    pub(crate) fields: Fields,
    /// The targets, each with the token that came with it.
    pub(crate) to: Vec<Target>,
}

/// A target of an activity.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The feed as the client wrote it.
    pub(crate) feed: Value,
    /// The token behind the feed.
    pub(crate) token: Option<String>,
}

/// A field as text; `None` for a missing or empty one.
pub(crate) fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Reads a time; `None` for a missing one.
pub(crate) fn time_of(value: Option<&Value>) -> Result<Option<Micros>, StreamError> {
    let wrong = || StreamError::field("time", "must be as in 2026-11-22T06:48:24.820100");
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Micros::parse(text).map(Some).ok_or_else(wrong),
        Some(_) => Err(wrong()),
    }
}

/// The id of an activity with these facts.
pub(crate) fn id_of(foreign_id: &str, time: Micros, facts: [&str; 4]) -> String {
    if foreign_id.is_empty() {
        let [actor, verb, object, target] = facts;
        return activity_id(time, &["a", actor, verb, object, target]);
    }
    activity_id(time, &["f", foreign_id])
}

impl Draft {
    /// Checks an activity. One without a time gets `now`.
    ///
    /// # Errors
    /// A field is missing or wrong.
    pub(crate) fn read(value: Value, now: Micros) -> Result<Draft, StreamError> {
        let Value::Object(mut fields) = value else {
            return Err(StreamError::new(Fault::Input, "an activity must be an object"));
        };
        let required =
            |name: &str| text_of(fields.get(name)).ok_or_else(|| StreamError::field(name, "this field is required"));
        let (actor, verb, object) = (required("actor")?, required("verb")?, required("object")?);
        let target = text_of(fields.get("target")).unwrap_or_default();
        let foreign_id = text_of(fields.get("foreign_id")).unwrap_or_default();
        if foreign_id.len() > FOREIGN_ID_BYTES_MAX || foreign_id.chars().any(char::is_control) {
            return Err(StreamError::field("foreign_id", "must have at most 512 bytes without control characters"));
        }
        let time = time_of(fields.get("time"))?.unwrap_or(now);
        let to = targets("to", fields.remove("to"))?;
        let id = id_of(&foreign_id, time, [&actor, &verb, &object, &target]);
        for (name, value) in [
            ("id", id.as_str()),
            ("actor", &actor),
            ("verb", &verb),
            ("object", &object),
            ("target", &target),
            ("foreign_id", &foreign_id),
        ] {
            fields.insert(name.to_owned(), value.into());
        }
        fields.insert("time".to_owned(), time.to_string().into());
        fields.insert("origin".to_owned(), Value::Null);
        Ok(Draft { id, foreign_id, time, fields, to })
    }

    /// The fields as they are stored, with the targets.
    ///
    /// # Errors
    /// The activity is too long.
    pub(crate) fn doc(&self, to: &[FeedName]) -> Result<String, StreamError> {
        let mut fields = self.fields.clone();
        put_targets(&mut fields, to);
        doc_of(&fields)
    }
}

/// Sets the targets of an activity; without any the field is left out.
pub(crate) fn put_targets(fields: &mut Fields, to: &[FeedName]) {
    fields.remove("to");
    if !to.is_empty() {
        fields.insert("to".into(), to.iter().map(FeedName::as_str).collect());
    }
}

/// The targets that an activity is stored with.
pub(crate) fn targets_of(fields: &Fields) -> Vec<FeedName> {
    let list = fields.get("to").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|one| FeedName::parse(one.as_str()?).ok()).collect()
}

/// Fields as text for the store.
///
/// # Errors
/// The activity is too long.
pub(crate) fn doc_of(fields: &Fields) -> Result<String, StreamError> {
    let text = Value::Object(fields.clone()).to_string();
    if text.len() > ACTIVITY_BYTES_MAX {
        return Err(StreamError::new(
            Fault::Input,
            format!("an activity must have at most {ACTIVITY_BYTES_MAX} bytes"),
        ));
    }
    Ok(text)
}

/// Reads a list of targets; clients write a token behind each.
pub(crate) fn targets(field: &str, value: Option<Value>) -> Result<Vec<Target>, StreamError> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(StreamError::field(field, "must be a list of feeds")),
    };
    if list.len() > TARGETS_MAX {
        return Err(StreamError::field(field, format!("must have at most {TARGETS_MAX} feeds")));
    }
    let target = |one: Value| match one {
        Value::String(text) => Ok(match text.split_once(' ') {
            Some((feed, token)) => Target { feed: feed.into(), token: Some(token.to_owned()) },
            None => Target { feed: text.into(), token: None },
        }),
        _ => Err(StreamError::field(field, "must be a list of texts")),
    };
    list.into_iter().map(target).collect()
}

/// The fields of a stored activity.
pub(crate) fn fields_of(row: &ActivityRow) -> Fields {
    match serde_json::from_str(&row.doc) {
        Ok(Value::Object(fields)) => fields,
        _ => Fields::new(),
    }
}

/// Whether an actor is this user.
pub(crate) fn is_self(actor: &str, user: &str) -> bool {
    actor == user || actor.strip_prefix("SU:") == Some(user)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Draft, StreamError> {
        Draft::read(value, Micros(1_000_000))
    }

    #[test]
    fn an_activity_needs_actor_verb_and_object() {
        for missing in [
            json!({"verb": "v", "object": "o"}),
            json!({"actor": "a", "object": "o"}),
            json!({"actor": "a", "verb": "", "object": "o"}),
            json!({"actor": null, "verb": "v", "object": "o"}),
            json!([]),
            json!({"actor": "a", "verb": "v", "object": "o", "time": "soon"}),
            json!({"actor": "a", "verb": "v", "object": "o", "to": "user:1"}),
            json!({"actor": "a", "verb": "v", "object": "o", "foreign_id": "a\u{0}"}),
        ] {
            assert!(read(missing.clone()).is_err(), "{missing}");
        }
    }

    #[test]
    fn an_activity_is_rendered_with_all_its_fields_and_without_empty_targets() {
        let draft = read(json!({"actor": 1, "verb": "tweet", "object": 3, "date": "2026-01-01", "to": []})).unwrap();
        let stored: Value = serde_json::from_str(&draft.doc(&[]).unwrap()).unwrap();
        assert_eq!(
            stored,
            json!({
                "id": draft.id, "actor": "1", "verb": "tweet", "object": "3", "target": "", "foreign_id": "",
                "time": "1970-01-01T00:00:01.000000", "origin": null, "date": "2026-01-01",
            })
        );
    }

    #[test]
    fn equal_identity_is_an_equal_id() {
        let id = |value: Value| read(value).unwrap().id;
        let plain = json!({"actor": "a", "verb": "v", "object": "o", "time": "2026-01-01T00:00:00"});
        let with = |name: &str, value: &str| {
            let mut changed = plain.clone();
            changed[name] = value.into();
            changed
        };
        assert_eq!(id(plain.clone()), id(with("custom", "x")));
        assert_ne!(id(plain.clone()), id(with("target", "x")));
        let mut foreign = with("foreign_id", "f:1");
        let first = id(foreign.clone());
        foreign["actor"] = "b".into();
        assert_eq!(id(foreign), first, "the foreign id and the time alone count");
    }
}
