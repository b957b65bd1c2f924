//! Reads the documents of a social network, one JSON object per line, as `simulate` and a document database write them.
//!
//! An activity has `actor, verb (post|add|interact|follow), object, time, message, topic, to, kind?, dwell_ms?`. A person
//! has `name, friends`, and stands before or after the activities.
//!
//! Invariant: a post has a message or an embedding, and no user follows themselves. Unknown fields are ignored. `to`
//! is a list or a single text; ids may be integers, which stay exact. A post without `object` takes the key of its `_id`,
//! or else a hash of actor, time and message. A line that is neither an activity nor a person is refused.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::items::{Embedding, Item};
use crate::domain::json::JsonError;
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::files::cells::{self, Dims};
use crate::files::error::{FormatError, Wrong};
use crate::files::lines::TextLines;
use crate::files::source::Watch;
use crate::files::time::Times;

use super::extended_json;

/// Kind of an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Writes `object`, an item.
    #[serde(alias = "add")]
    Post,
    /// Reacts to `object`, an item.
    Interact,
    /// Follows `object`, a user.
    Follow,
}

/// One activity, parsed and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityRow {
    /// Line in its file, from 1.
    pub line: u64,
    /// Key of the acting user.
    pub actor: Key,
    /// Kind of the activity.
    pub verb: Verb,
    /// Key of the item or user that the activity is about.
    pub object: Key,
    /// Time of the activity.
    pub time: Millis,
    /// Text of a post; empty otherwise.
    pub message: String,
    /// Topic of a post.
    pub topic: Option<Key>,
    /// Further recipients, such as `topic:music`.
    pub to: Vec<String>,
    /// Kind of the interaction; `None` leaves the choice to the reader of the log.
    pub kind: Option<Kind>,
    /// Dwell time in milliseconds.
    pub dwell_ms: Option<u32>,
    /// Embedding of a post; `None` where the message gives one later.
    pub embedding: Option<Embedding>,
}

/// A person document, parsed and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// Key of the user: `user`, or else `_id` where friends are ids of documents, or else the name.
    pub user: Key,
    /// Full name as the document writes it.
    pub name: Option<String>,
    /// Keys of the friends, without the user and without repetition, in the order of the document.
    pub friends: Vec<Key>,
    /// Whether the document lists the user as a friend of their own, which is left out.
    pub lists_self: bool,
}

/// An iterator over the activities of several files, which sets the people of these files aside.
pub struct Activities {
    lines: TextLines,
    times: Times,
    dims: Dims,
    people: Vec<PersonRow>,
}

impl Activities {
    /// Opens the files. A folder stands for its `.jsonl`, `.ndjson` and `.json` files. Without a `dim` the first
    /// embedding sets it.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], dim: Option<usize>, watch: Option<Watch>) -> Result<Activities, FormatError> {
        let lines = TextLines::new(paths, &[".jsonl", ".ndjson", ".json"], watch)?;
        Ok(Activities { lines, times: Times::by_size(), dims: Dims::of(dim), people: Vec::new() })
    }

    /// Sets the unit of numeric times.
    #[must_use]
    pub fn with_times(self, times: Times) -> Activities {
        Activities { times, ..self }
    }

    /// Sets the dimension of embeddings computed from messages; given embeddings must match it.
    #[must_use]
    pub fn with_texts_of(self, dim: usize) -> Activities {
        Activities { dims: self.dims.with_texts_of(Some(dim)), ..self }
    }

    /// Returns the people read so far, in the order of the lines. Complete after the last activity.
    pub fn take_people(&mut self) -> Vec<PersonRow> {
        std::mem::take(&mut self.people)
    }
}

impl Iterator for Activities {
    type Item = Result<ActivityRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (times, dims) = (&self.times, &mut self.dims);
            match self.lines.next(|path, line, text| document(path, line, text, times, dims))? {
                Ok(Document::Activity(row)) => return Some(Ok(*row)),
                Ok(Document::Person(row)) => self.people.push(row),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A line: one of the two documents.
enum Document {
    Activity(Box<ActivityRow>),
    Person(PersonRow),
}

/// A line as parsed. Of the fields of a person only their presence counts here.
#[derive(Deserialize)]
struct Raw {
    #[serde(default, rename = "_id")]
    id: Option<DocumentId>,
    #[serde(default)]
    actor: Option<Id>,
    #[serde(default)]
    verb: Option<Verb>,
    #[serde(default)]
    object: Option<Id>,
    #[serde(default)]
    time: Option<Time>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    to: Option<To>,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    dwell_ms: Option<u32>,
    #[serde(default)]
    embedding: Option<Vec<f32>>,
    #[serde(default)]
    user: Option<IgnoredAny>,
    #[serde(default)]
    name: Option<IgnoredAny>,
}

/// A line without actor and verb.
#[derive(Deserialize)]
struct RawPerson {
    #[serde(default, rename = "_id")]
    id: Option<DocumentId>,
    #[serde(default)]
    user: Option<Id>,
    #[serde(default)]
    name: Option<String>,
    friends: Vec<Id>,
}

/// The id of a document. Only a post without `object` needs one that is a key.
#[derive(Deserialize)]
#[serde(untagged)]
enum DocumentId {
    Key(Id),
    Other(IgnoredAny),
}

/// A line, plain or with the wrappers of extended JSON removed.
enum Line<'a> {
    Plain(&'a str),
    Unwrapped(serde_json::Value),
}

impl Line<'_> {
    fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        match self {
            Line::Plain(text) => serde_json::from_str(text),
            Line::Unwrapped(value) => T::deserialize(value),
        }
    }
}

/// An id: a text, or an integer that JSON keeps exactly.
struct Id(Key);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl IdVisitor {
    fn key<E: serde::de::Error>(text: &str) -> Result<Id, E> {
        cells::key(text).map(Id).map_err(E::custom)
    }
}

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: a text or a whole number of at most 64 bits (write longer ones as text)")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
        IdVisitor::key(text)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Id, E> {
        IdVisitor::key(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Id, E> {
        IdVisitor::key(&number.to_string())
    }
}

/// A time: a text or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Whole(i64),
    Real(f64),
}

impl Time {
    fn text(self) -> String {
        match self {
            Time::Text(text) => text,
            Time::Whole(number) => number.to_string(),
            Time::Real(number) => number.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    Many(Vec<String>),
    One(String),
}

fn document(path: &Path, line: u64, text: &str, times: &Times, dims: &mut Dims) -> Result<Document, FormatError> {
    let broken = |error: serde_json::Error| {
        if !error.is_data()
            && let Some((field, wrong)) = JsonError::of_value::<Raw>(text.as_bytes())
        {
            return FormatError::at(path, line, Some(&field), Wrong::Json(shortened(&wrong.to_string())));
        }
        // An error in a value without a text has no column.
        let column = (error.column() > 0).then(|| error.column().to_string());
        FormatError::at(path, line, column.as_deref(), Wrong::Json(plain_message(&error)))
    };
    let (mut document, mut friends_are_ids) = (Line::Plain(text), false);
    if extended_json::may_be_in(text) {
        let mut value = serde_json::from_str(text).map_err(broken)?;
        friends_are_ids = extended_json::has_object_id(&value, "friends");
        extended_json::unwrap(&mut value)
            .map_err(|error| FormatError::at(path, line, error.field(), Wrong::Json(error.to_string())))?;
        document = Line::Unwrapped(value);
    }
    let raw: Raw = document.read().map_err(broken)?;
    if raw.actor.is_none() && raw.verb.is_none() && (raw.name.is_some() || raw.user.is_some()) {
        let raw = document.read().map_err(broken)?;
        return person(path, line, raw, friends_are_ids).map(Document::Person);
    }
    activity(path, line, raw, times, dims).map(|row| Document::Activity(Box::new(row)))
}

fn person(path: &Path, line: u64, raw: RawPerson, friends_are_ids: bool) -> Result<PersonRow, FormatError> {
    let wrong = |field: &str, wrong: Wrong| FormatError::at(path, line, Some(field), wrong);
    let name = raw.name.filter(|name| !name.trim().is_empty());
    if let Some(name) = &name
        && (name.len() > Person::NAME_BYTES_MAX || name.chars().any(char::is_control))
    {
        let expected = format!("a name of at most {} bytes without control characters", Person::NAME_BYTES_MAX);
        return Err(wrong("name", cells::unexpected(name, expected)));
    }
    let user = match (raw.user, raw.id, &name) {
        (Some(Id(key)), _, _) => key,
        (None, Some(DocumentId::Key(Id(key))), _) if friends_are_ids => key,
        (None, _, Some(name)) => cells::key(name).map_err(|error| wrong("name", error))?,
        (None, _, None) => return Err(wrong("name", Wrong::Json("the field `name` is missing".to_owned()))),
    };
    let lists_self = raw.friends.iter().any(|Id(friend)| *friend == user);
    let mut seen = BTreeSet::from([user.clone()]);
    let friends =
        raw.friends.into_iter().map(|Id(friend)| friend).filter(|friend| seen.insert(friend.clone())).collect();
    Ok(PersonRow { user, name, friends, lists_self })
}

fn activity(path: &Path, line: u64, raw: Raw, times: &Times, dims: &mut Dims) -> Result<ActivityRow, FormatError> {
    let wrong = |field: &str, wrong: Wrong| FormatError::at(path, line, Some(field), wrong);
    let missing = |field| {
        let message = format!(
            "the field `{field}` is missing: an activity has actor, verb and time, a person has name and friends"
        );
        wrong(field, Wrong::Json(message))
    };
    let actor = raw.actor.ok_or_else(|| missing("actor"))?.0;
    let verb = raw.verb.ok_or_else(|| missing("verb"))?;
    let said = raw.time.ok_or_else(|| missing("time"))?.text();
    let time = times.parse(&said).map_err(|expected| wrong("time", cells::unexpected(&said, expected)))?;
    let topic = raw.topic.filter(|topic| !topic.is_empty()).map(|topic| cells::key(&topic)).transpose();
    let made = raw.embedding.map(|numbers| dims.given(numbers).map_err(|error| wrong("embedding", error)));
    let message = raw.message.unwrap_or_default();
    let object = match (raw.object, verb) {
        (Some(Id(object)), _) => object,
        (None, Verb::Post) => match raw.id {
            Some(DocumentId::Key(Id(id))) => id,
            Some(DocumentId::Other(_)) => {
                return Err(wrong(
                    "_id",
                    Wrong::Json("must be an id: a text or a whole number of at most 64 bits".into()),
                ));
            }
            None => post_key(&actor, time, &message).map_err(|error| wrong("object", error))?,
        },
        (None, Verb::Interact | Verb::Follow) => return Err(missing("object")),
    };
    let row = ActivityRow {
        line,
        actor,
        verb,
        object,
        time,
        message,
        topic: topic.map_err(|error| wrong("topic", error))?,
        to: match raw.to {
            None => Vec::new(),
            Some(To::Many(list)) => list,
            Some(To::One(one)) => vec![one],
        },
        kind: raw.kind,
        dwell_ms: raw.dwell_ms,
        embedding: made.transpose()?,
    };
    if row.verb == Verb::Post && row.embedding.is_none() && row.message.is_empty() {
        return Err(wrong("message", cells::unexpected("", "a message, which a post without an embedding needs")));
    }
    if row.verb == Verb::Post && row.embedding.is_none() {
        dims.text().map_err(|error| wrong("embedding", error))?;
    }
    if row.message.len() > Item::TEXT_BYTES_MAX {
        let expected = format!("a message of at most {} bytes", Item::TEXT_BYTES_MAX);
        return Err(wrong("message", cells::unexpected(&row.message, expected)));
    }
    cells::storable(&row.message).map_err(|error| wrong("message", error))?;
    if row.verb == Verb::Follow && row.actor == row.object {
        let expected = "another user than the actor: remove the line";
        return Err(wrong("object", cells::unexpected(row.object.as_str(), expected)));
    }
    Ok(row)
}

/// Key of a post without an id: a hash of its contents, so equal lines name one post.
fn post_key(actor: &Key, time: Millis, message: &str) -> Result<Key, Wrong> {
    let parts = [actor.as_str(), &time.0.to_string(), message].join("\0");
    cells::key(&format!("post-{:032x}", xxhash_rust::xxh3::xxh3_128(parts.as_bytes())))
}

/// The parser's message in words of the author; at most 200 characters.
pub(super) fn plain_message(error: &serde_json::Error) -> String {
    let message = JsonError::new(error).to_string();
    // Python writes NaN and Infinity, which JSON lacks.
    if error.to_string().starts_with("expected value") {
        return format!("{message} (JSON has no NaN and no Infinity: write null, or leave the row out)");
    }
    shortened(&message)
}

fn shortened(message: &str) -> String {
    const CHARS_MAX: usize = 200;
    message.chars().take(CHARS_MAX).collect()
}
