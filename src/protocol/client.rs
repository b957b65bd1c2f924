//! Messages of a client.
//!
//! Invariant: parsing is total: any bytes give a message, or a [`BadMessage`] that names the error and its field.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::domain::feeds::Ranking;
use crate::domain::ids::{Epoch, FeedVersion, Key};
use crate::domain::interactions::Act;
use crate::domain::stated_time::{self, StatedTime, StatedWindow};
use crate::domain::time::Millis;
use crate::domain::windows::Window;

use super::problem::Code;
use crate::domain::json::JsonError;

/// A message of a client: one JSON object per text frame, tagged by `type`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// First message of a session. Answered by `welcome`, then a `feed`, or a `patch` when resuming.
    Hello(Hello),
    /// The user acted on an item. Answered by `accepted` once durable, and by a new `feed` or `patch` at once. A resend with
    /// this `id` gets an equal answer, and the event is learned once.
    Interact(Interact),
    /// The user takes an interaction back. Answered by `accepted` once the cancellation is durable, and by a new `feed` or
    /// `patch` as if the interaction had never been.
    Undo(Undo),
    /// The user posted an item. Answered by `accepted` with the item's key; sessions whose feed changes get a push.
    Post(Post),
    /// An item of the user goes on or off air. Answered by `accepted`; sessions whose feed changes get a push.
    Live(GoLive),
    /// Follow a user. Answered by `accepted` and a new feed.
    Follow(Follow),
    /// Stop following a user. Answered by `accepted` and a new feed.
    Unfollow(Follow),
    /// Acknowledges that the client shows this feed version. The server sends no newer one before this, or 5 s. No answer.
    Drawn(Drawn),
    /// Change the session's ranking, limit, explanation or timing, or the user's topic weights. Answered by a `feed`.
    Configure(Configure),
    /// Ask for the items after those of the feed. Answered by `page`.
    More(More),
    /// Check the connection. Answered by `pong`.
    Ping(Ping),
}

/// Fields of `hello`, the first message of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Token of the client; the second subprotocol entry may hold it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Key of the user whose feed the session gets.
    pub user: Key,
    /// Ranking of the feed; `model` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Ranking>,
    /// Length of the feed: 1 to 100 items, 30 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Feed that the client still shows from before its connection broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Send the contributions of all experts with each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// Report the duration of each step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<bool>,
}

/// Last feed of a client before its connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Epoch of the last `welcome`, `feed` or `patch`.
    pub epoch: Epoch,
    /// Last version that the client showed.
    pub version: FeedVersion,
}

/// Fields of `interact`, an interaction with an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interact {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Id of the event, made by the client and unique per user.
    pub id: Key,
    /// Key of the item.
    pub item: Key,
    /// Kind of the interaction, or `unlike` or `unhide`, which cancel all such interactions with the item that stand.
    pub kind: Act,
    /// Dwell time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u32>,
    /// Time of the interaction; now by default, never in the future.
    #[serde(default, deserialize_with = "stated_time::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<StatedTime>")]
    pub at: Option<Millis>,
}

/// Fields of `undo`, which cancels one earlier interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Id of this event, made by the client and unique per user.
    pub id: Key,
    /// Id of the interaction to cancel.
    pub event: Key,
}

/// Fields of `post`, a new item by the user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Post {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Id of the event, made by the client and unique per user.
    pub id: Key,
    /// Text of the item: 1 to 32,768 bytes.
    pub text: String,
    /// Key of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Key>,
    /// Embedding `(dim,)`; computed from the text if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
    /// Availability windows; always available if absent.
    #[schemars(with = "Option<Vec<StatedWindow>>")]
    #[serde(default, deserialize_with = "stated_time::windows", skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<Window>>,
}

/// Fields of `live`, which switches an item on or off air.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoLive {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Id of the event, made by the client and unique per user.
    pub id: Key,
    /// Key of an item that the user posted.
    pub item: Key,
    /// `true`: on air from now on until the next scheduled window, or open-ended without one. `false`: off air.
    pub on: bool,
}

/// Fields of `follow` and `unfollow`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Id of the event, made by the client and unique per user.
    pub id: Key,
    /// Key of the other user.
    pub user: Key,
}

/// Fields of `drawn`, the acknowledgement of a feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Version of the feed on screen.
    pub version: FeedVersion,
    /// Visible items from the top; they count as exposure, and the next feed keeps them stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible: Option<Vec<Key>>,
}

/// Fields of `configure`. Absent fields keep their value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Ranking of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Ranking>,
    /// Length of the feed: 1 to 100 items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Topic weights to set, each in [0, 1]; journalled as an event with this `id`.
    #[serde(default, deserialize_with = "each_topic_once", skip_serializing_if = "Option::is_none")]
    pub topics: Option<std::collections::BTreeMap<Key, f32>>,
    /// Id of the change of `topics`, which makes a resend idempotent; the server makes one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Key>,
    /// Send the contributions of all experts with each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// Report the duration of each step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<bool>,
}

/// Reads a map and refuses repeated topics, of which serde would take the last.
fn each_topic_once<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<std::collections::BTreeMap<Key, f32>>, D::Error> {
    struct Once(std::collections::BTreeMap<Key, f32>);
    struct Reader;
    impl<'de> serde::de::Visitor<'de> for Reader {
        type Value = Once;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of topics and weights")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
            let mut found = std::collections::BTreeMap::new();
            while let Some((topic, weight)) = map.next_entry::<Key, f32>()? {
                if found.contains_key(&topic) {
                    return Err(serde::de::Error::custom(format!("duplicate field `{topic}`")));
                }
                found.insert(topic, weight);
            }
            Ok(Once(found))
        }
    }
    impl<'de> Deserialize<'de> for Once {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
            deserializer.deserialize_map(Reader)
        }
    }
    Ok(Option::<Once>::deserialize(deserializer)?.map(|Once(found)| found))
}

/// Fields of `more`, a request for the next page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct More {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Number of items that the client has: the page starts at this position, at most 1,000.
    pub after: u32,
}

/// Fields of `ping`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ping {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    #[schemars(with = "String")]
    pub tag: Tag,
    /// Any number; `pong` repeats it.
    pub t: i64,
}

/// Placeholder for the `type` field, which the parser has already read.
#[doc(hidden)]
pub type Tag = IgnoredAny;

/// Reason why a frame is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMessage {
    /// Machine-readable kind of the error.
    pub code: Code,
    /// Dotted path of the wrong field, if the error is about one.
    pub field: Option<String>,
    /// Error text for people.
    pub message: String,
    /// The client's `id`, if the frame has a readable one.
    pub id: Option<String>,
}

impl ClientMessage {
    /// All `type` tags, in the order of the variants.
    pub const TYPES: [&'static str; 11] =
        ["hello", "interact", "undo", "post", "live", "follow", "unfollow", "drawn", "configure", "more", "ping"];

    /// Reads one text frame.
    ///
    /// # Errors
    /// [`BadMessage`] names the field that is unknown, missing, duplicate, or of the wrong type or form.
    pub fn parse(text: &str) -> Result<ClientMessage, BadMessage> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(rename = "type", borrow)]
            tag: std::borrow::Cow<'a, str>,
        }
        // serde also reads a struct from a list of its fields, but a message must be an object.
        if !text.trim_start().starts_with('{') {
            let IgnoredAny = parse_json(text.as_bytes())?;
            let message = "a message is a JSON object with a `type`".into();
            return Err(BadMessage { code: Code::BadField, field: None, message, id: None });
        }
        let head: Head<'_> = parse_json(text.as_bytes())?;
        match head.tag.as_ref() {
            "hello" => parse_json(text.as_bytes()).map(ClientMessage::Hello),
            "interact" => parse_json(text.as_bytes()).map(ClientMessage::Interact),
            "undo" => parse_json(text.as_bytes()).map(ClientMessage::Undo),
            "post" => parse_json(text.as_bytes()).map(ClientMessage::Post),
            "live" => parse_json(text.as_bytes()).map(ClientMessage::Live),
            "follow" => parse_json(text.as_bytes()).map(ClientMessage::Follow),
            "unfollow" => parse_json(text.as_bytes()).map(ClientMessage::Unfollow),
            "drawn" => parse_json(text.as_bytes()).map(ClientMessage::Drawn),
            "configure" => parse_json(text.as_bytes()).map(ClientMessage::Configure),
            "more" => parse_json(text.as_bytes()).map(ClientMessage::More),
            "ping" => parse_json(text.as_bytes()).map(ClientMessage::Ping),
            other => Err(BadMessage {
                code: Code::UnknownType,
                field: Some("type".into()),
                message: format!("unknown type {other:?}; known: {}", Self::TYPES.join(", ")),
                id: None,
            }),
        }
        .map_err(|bad| {
            // The whole text parsed as JSON before, so this error is about a field, unless the nesting is too deep.
            let is_deep = bad.message == JsonError::TOO_DEEP;
            let code = if bad.code == Code::BadJson && !is_deep { Code::BadField } else { bad.code };
            BadMessage { code, id: readable_id(text), ..bad }
        })
    }
}

/// Reads JSON into `T`; an error names the wrong field.
///
/// # Errors
/// [`BadMessage`] with code `bad_json` when it is not JSON at all, else `bad_field`.
pub fn parse_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadMessage> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let of_value = if error.inner().is_data() { None } else { JsonError::of_value::<T>(bytes) };
        match of_value {
            Some((path, why)) => {
                BadMessage { code: Code::BadField, field: blamed(&path), message: why.to_string(), id: None }
            }
            None => bad(error.inner(), blamed(&error.path().to_string())),
        }
    })?;
    reader.end().map_err(|error| bad(&error, None))?;
    Ok(value)
}

// Where serde does not know the field, the path ends in `?`.
fn blamed(path: &str) -> Option<String> {
    let path = path.trim_end_matches('?').trim_end_matches('.');
    (!path.is_empty()).then(|| path.to_owned())
}

fn bad(error: &serde_json::Error, path: Option<String>) -> BadMessage {
    let raw = error.to_string();
    let code = if error.is_data() { Code::BadField } else { Code::BadJson };
    // For "missing field `x`" serde names the path of the object; the client needs the path of `x`.
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| raw.strip_prefix(start).and_then(|rest| rest.split_once('`')))
        .map(|(name, _)| name.to_owned());
    let field = match (path, named) {
        (Some(path), Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
            Some(format!("{path}.{name}"))
        }
        (Some(path), _) => Some(path),
        (None, named) => named,
    };
    BadMessage { code, field, message: JsonError::new(error).to_string(), id: None }
}

fn readable_id(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        id: String,
    }
    serde_json::from_str::<Head>(text).ok().map(|head| head.id).filter(|id| id.len() <= Key::BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (name, text, code, field) in [
            ("no JSON", "{", Code::BadJson, None),
            ("a list of fields", r#"["configure"]"#, Code::BadField, None),
            ("a list that is no JSON", "[", Code::BadJson, None),
            ("no type", "{}", Code::BadField, Some("type")),
            ("an unknown type", r#"{"type":"x"}"#, Code::UnknownType, Some("type")),
            ("a missing field", r#"{"type":"ping"}"#, Code::BadField, Some("t")),
            (
                "a field within",
                r#"{"type":"hello","user":"a","resume":{"epoch":1}}"#,
                Code::BadField,
                Some("resume.version"),
            ),
            ("a number for a word", r#"{"type":"configure","ranking":1}"#, Code::BadField, Some("ranking")),
            ("null for a word", r#"{"type":"configure","ranking":[]}"#, Code::BadField, Some("ranking")),
            ("null for a kind", r#"{"type":"interact","id":"a","item":"b","kind":null}"#, Code::BadField, Some("kind")),
            ("a number beyond f64", r#"{"type":"ping","t":1e999}"#, Code::BadField, Some("t")),
        ] {
            let found = ClientMessage::parse(text).map_err(|bad| (bad.code, bad.field));
            assert_eq!(found, Err((code, field.map(str::to_owned))), "{name}");
        }
    }

    #[test]
    fn a_value_that_is_no_name_is_answered_by_the_names() {
        for (text, expected) in [
            (r#"{"type":"configure","ranking":{}}"#, "must be one of "),
            (r#"{"type":"interact","id":"a","item":"b","kind":null}"#, "must be one of like, share, "),
            (r#"{"type":"interact","id":"a","item":"b","kind":"love"}"#, "must be one of like, share, "),
        ] {
            let message = ClientMessage::parse(text).unwrap_err().message;
            assert!(message.starts_with(expected) && message.contains(", is "), "{text}: {message}");
        }
    }
}
