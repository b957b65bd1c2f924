//! Activities, one JSON object a line: `actor, verb (post|interact|follow), object, time, message, topic, to, kind?,
//! dwell_ms?`, as `simulate` writes them.
//!
//! Invariant: a post has a message or an embedding, and nobody follows themselves. Further fields are somebody else's and
//! are passed over. `to` is a list or a single text; ids may be whole numbers, which stay exact.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use super::cells::{self, Dims};
use super::error::{FormatError, Wrong};
use super::lines::Lines;
use super::source::Watch;
use super::time::Times;
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::items::{Embedding, Item};
use crate::domain::time::Millis;

/// What the actor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Wrote `object`, an item.
    Post,
    /// Reacted to `object`, an item.
    Interact,
    /// Follows `object`, a person.
    Follow,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityRow {
    /// Where in its file, from 1.
    pub line: u64,
    /// Who.
    pub actor: Key,
    /// Did what.
    pub verb: Verb,
    /// To whom or what.
    pub object: Key,
    /// When.
    pub time: Millis,
    /// What a post says; empty otherwise.
    pub message: String,
    /// What it is about.
    pub topic: Option<Key>,
    /// Whom else it reaches.
    pub to: Vec<String>,
    /// How they reacted; without one the reader of the log decides.
    pub kind: Option<Kind>,
    /// For how long.
    pub dwell_ms: Option<u32>,
    /// A post's vector, unless it is to be made from the message.
    pub embedding: Option<Embedding>,
}

/// The activities of some files, one after the other.
pub struct Activities {
    lines: Lines,
    times: Times,
    dims: Dims,
}

impl Activities {
    /// Opens the files. A folder stands for its `.jsonl`, `.ndjson` and `.json` files. Without a `dim` the first embedding
    /// sets it.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], dim: Option<usize>, watch: Option<Watch>) -> Result<Activities, FormatError> {
        let lines = Lines::new(paths, &[".jsonl", ".ndjson", ".json"], watch)?;
        Ok(Activities { lines, times: Times::by_size(), dims: Dims::of(dim) })
    }

    /// What times that are numbers count.
    #[must_use]
    pub fn with_times(self, times: Times) -> Activities {
        Activities { times, ..self }
    }

    /// Posts without an embedding get one of `dim` numbers, made from their message: no other may have another length.
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

/// A line as it stands there.
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

/// An id: a text, or a whole number that JSON keeps exactly.
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

/// A time: a text, or a number.
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
        let expected = "somebody else than the actor: remove the line";
        return Err(wrong("object", cells::unexpected(row.object.as_str(), expected)));
    }
    Ok(row)
}

/// The message without serde_json's own line and column, which count within one line of ours; at most 200 characters.
pub(super) fn plain_message(error: &serde_json::Error) -> String {
    const CHARS_MAX: usize = 200;
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    // Python writes NaN and Infinity, which no JSON has.
    if message == "expected value" {
        return format!("{message} (JSON has no NaN and no Infinity: write null, or leave the row out)");
    }
    message.chars().take(CHARS_MAX).collect()
}
