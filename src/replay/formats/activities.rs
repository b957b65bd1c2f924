//! Reads activities, one JSON object per line: `actor, verb (post|interact|follow), object, time, message, topic, to,
//! kind?, dwell_ms?`, as `simulate` writes them.
//!
//! Invariant: a post has a message or an embedding, and no user follows themselves. Unknown fields are ignored. `to`
//! is a list or a single text; ids may be integers, which stay exact.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::items::{Embedding, Item};
use crate::domain::time::Millis;
use crate::files::cells::{self, Dims};
use crate::files::error::{FormatError, Wrong};
use crate::files::lines::TextLines;
use crate::files::source::Watch;
use crate::files::time::Times;

/// Kind of an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Writes `object`, an item.
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

/// An iterator over the activities of several files.
pub struct Activities {
    lines: TextLines,
    times: Times,
    dims: Dims,
}

impl Activities {
    /// Opens the files. A folder stands for its `.jsonl`, `.ndjson` and `.json` files. Without a `dim` the first
    /// embedding sets it.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], dim: Option<usize>, watch: Option<Watch>) -> Result<Activities, FormatError> {
        let lines = TextLines::new(paths, &[".jsonl", ".ndjson", ".json"], watch)?;
        Ok(Activities { lines, times: Times::by_size(), dims: Dims::of(dim) })
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
}

impl Iterator for Activities {
    type Item = Result<ActivityRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (times, dims) = (&self.times, &mut self.dims);
        self.lines.next(|path, line, text| activity(path, line, text, times, dims))
    }
}

/// A line as parsed.
#[derive(Deserialize)]
struct Raw {
    actor: Id,
    verb: Verb,
    object: Id,
    time: Time,
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

fn activity(path: &Path, line: u64, text: &str, times: &Times, dims: &mut Dims) -> Result<ActivityRow, FormatError> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| {
        let column = error.column().to_string();
        FormatError::at(path, line, Some(&column), Wrong::Json(plain_message(&error)))
    })?;
    let wrong = |field: &str, wrong: Wrong| FormatError::at(path, line, Some(field), wrong);
    let said = raw.time.text();
    let time = times.parse(&said).map_err(|expected| wrong("time", cells::unexpected(&said, expected)))?;
    let topic = raw.topic.filter(|topic| !topic.is_empty()).map(|topic| cells::key(&topic)).transpose();
    let made = raw.embedding.map(|numbers| dims.given(numbers).map_err(|error| wrong("embedding", error)));
    let row = ActivityRow {
        line,
        actor: raw.actor.0,
        verb: raw.verb,
        object: raw.object.0,
        time,
        message: raw.message.unwrap_or_default(),
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

/// The message of serde_json without its line and column, which count within one line of the file; at most 200
/// characters.
pub(super) fn plain_message(error: &serde_json::Error) -> String {
    const CHARS_MAX: usize = 200;
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    // Python writes NaN and Infinity, which JSON lacks.
    if message == "expected value" {
        return format!("{message} (JSON has no NaN and no Infinity: write null, or leave the row out)");
    }
    message.chars().take(CHARS_MAX).collect()
}
