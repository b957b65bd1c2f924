//! What a client says.
//!
//! Invariant: parsing is total: any bytes give a message or a [`BadMessage`] that names what is wrong and where.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::domain::feeds::Ranking;
use crate::domain::ids::{Epoch, FeedVersion, Key};
use crate::domain::interactions::Kind;
use crate::domain::time::Millis;
use crate::domain::windows::Window;

use super::problem::Code;

/// Everything a client may say: one JSON object per text frame, tagged by `type`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// First message of a session. Answered by `welcome`, then a `feed` (or a `patch` when resuming).
    Hello(Hello),
    /// The person acted. Answered by `accepted` once durable, and by a new `feed` or `patch` at once. A resend of the
    /// same `id` is answered the same way and learned once.
    Interact(Interact),
    /// The person made an item. Answered by `accepted` with the item's key; those it concerns get it pushed.
    Post(Post),
    /// An item of the person goes on air, or off. Answered by `accepted`; those whose feed it changes get it pushed.
    Live(GoLive),
    /// Follow a person. Answered by `accepted` and a new feed.
    Follow(Follow),
    /// Follow them no longer. Answered like `follow`.
    Unfollow(Follow),
    /// The client has drawn this feed version; no newer one is sent before this (or 5 s). No answer.
    Drawn(Drawn),
    /// Change the session's ranking, limit, explanation, timing; or the person's topic weights. Answered by a `feed`.
    Configure(Configure),
    /// The next items after those already there. Answered by `page`.
    More(More),
    /// Answered by `pong`.
    Ping(Ping),
}

/// See [`ClientMessage::Hello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// Who proves to be whom; may come as the second subprotocol entry instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whose feed.
    pub user: Key,
    /// How to rank; `model` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Ranking>,
    /// 1 to 100 items, 30 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// What the client still shows from before the line dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Explain every item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// Report how long each step took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<bool>,
}

/// Where a client was when its line dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Epoch of the last `welcome`, `feed` or `patch`.
    pub epoch: Epoch,
    /// Version last drawn.
    pub version: FeedVersion,
}

/// See [`ClientMessage::Interact`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interact {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// Made by the client, unique per person.
    pub id: Key,
    /// On what.
    pub item: Key,
    /// What they did.
    pub kind: Kind,
    /// For how long, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u32>,
    /// When, in milliseconds since the epoch; now by default, never in the future.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Millis>,
}

/// See [`ClientMessage::Post`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// Made by the client, unique per person.
    pub id: Key,
    /// What people read: 1 to 32,768 bytes.
    pub text: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Key>,
    /// `(dim,)`; made from the text when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
    /// When it is available; always when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<Window>>,
}

/// See [`ClientMessage::Live`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoLive {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// Made by the client, unique per person.
    pub id: Key,
    /// Which; one that the person made.
    pub item: Key,
    /// On air from now on, until the next window that was scheduled or further notice; or off.
    pub on: bool,
}

/// See [`ClientMessage::Follow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// Made by the client, unique per person.
    pub id: Key,
    /// Whom.
    pub user: Key,
}

/// See [`ClientMessage::Drawn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// What is on screen now.
    pub version: FeedVersion,
    /// Items within sight, from the top; for exposure and stability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible: Option<Vec<Key>>,
}

/// See [`ClientMessage::Configure`]. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// How to rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Ranking>,
    /// 1 to 100 items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Topic weights to set by hand, each in [0, 1]; remembered like any other event under `id`.
    #[serde(default, deserialize_with = "each_topic_once", skip_serializing_if = "Option::is_none")]
    pub topics: Option<std::collections::BTreeMap<Key, f32>>,
    /// Names the change of `topics`, so that a resend is harmless; made by the server when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Key>,
    /// Explain every item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
    /// Report how long each step took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<bool>,
}

/// A map in which no topic stands twice; serde's own would let the last one win.
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

/// See [`ClientMessage::More`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct More {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// How many items the client already has: the page starts at this position, at most 1,000.
    pub after: u32,
}

/// See [`ClientMessage::Ping`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ping {
    #[doc(hidden)]
    #[serde(rename = "type", default, skip_serializing)]
    pub tag: Tag,
    /// Comes back as it is.
    pub t: i64,
}

/// Takes the place of the `type` field when a message is read; it was looked at before.
#[doc(hidden)]
pub type Tag = IgnoredAny;

/// Why a frame is not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMessage {
    /// Machine-readable.
    pub code: Code,
    /// Dotted path of the field, when one is to blame.
    pub field: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// The client's `id`, when the frame has a readable one.
    pub id: Option<String>,
}

impl ClientMessage {
    /// All `type` tags.
    pub const TYPES: [&'static str; 10] =
        ["hello", "interact", "post", "live", "follow", "unfollow", "drawn", "configure", "more", "ping"];

    /// Reads one text frame.
    ///
    /// # Errors
    /// [`BadMessage`] names the field where one is to blame: unknown, missing, duplicate, of the wrong type or form.
    pub fn parse(text: &str) -> Result<ClientMessage, BadMessage> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(rename = "type", borrow)]
            tag: std::borrow::Cow<'a, str>,
        }
        // serde also reads a struct from a list of its fields; a message is an object and nothing else.
        if !text.trim_start().starts_with('{') {
            let IgnoredAny = parse_json(text.as_bytes())?;
            let message = "a message is a JSON object with a `type`".into();
            return Err(BadMessage { code: Code::BadField, field: None, message, id: None });
        }
        let head: Head<'_> = parse_json(text.as_bytes())?;
        match head.tag.as_ref() {
            "hello" => parse_json(text.as_bytes()).map(ClientMessage::Hello),
            "interact" => parse_json(text.as_bytes()).map(ClientMessage::Interact),
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
            // The head was read to the end, so this is JSON: what does not fit now is a field, unless it is too deep.
            let is_deep = bad.message.starts_with("recursion limit exceeded");
            let code = if bad.code == Code::BadJson && !is_deep { Code::BadField } else { bad.code };
            BadMessage { code, id: readable_id(text), ..bad }
        })
    }
}

/// Reads JSON into `T`, naming the field that is to blame.
///
/// # Errors
/// [`BadMessage`] with code `bad_json` when it is not JSON at all, else `bad_field`.
pub fn parse_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadMessage> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        serde_path_to_error::deserialize(&mut reader).map_err(|error| bad(error.inner(), blamed(error.path())))?;
    reader.end().map_err(|error| bad(&error, None))?;
    Ok(value)
}

/// Reads a value that was already parsed.
///
/// # Errors
/// As [`parse_json`].
pub fn parse_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, BadMessage> {
    serde_path_to_error::deserialize(value).map_err(|error| bad(error.inner(), blamed(error.path())))
}

// Where serde does not know the place, the path ends in `?`.
fn blamed(path: &serde_path_to_error::Path) -> Option<String> {
    let path = path.to_string();
    let path = path.trim_end_matches('?').trim_end_matches('.');
    (!path.is_empty()).then(|| path.to_owned())
}

fn bad(error: &serde_json::Error, path: Option<String>) -> BadMessage {
    let message = error.to_string();
    let code = if error.is_data() { Code::BadField } else { Code::BadJson };
    // serde says "missing field `x`" of the object around it; the reader wants to know about `x`.
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start).and_then(|rest| rest.split_once('`')))
        .map(|(name, _)| name.to_owned());
    let field = match (path, named) {
        (Some(path), Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
            Some(format!("{path}.{name}"))
        }
        (Some(path), _) => Some(path),
        (None, named) => named,
    };
    BadMessage { code, field, message, id: None }
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
            ("a number beyond f64", r#"{"type":"ping","t":1e999}"#, Code::BadField, Some("t")),
        ] {
            let found = ClientMessage::parse(text).map_err(|bad| (bad.code, bad.field));
            assert_eq!(found, Err((code, field.map(str::to_owned))), "{name}");
        }
    }
}
