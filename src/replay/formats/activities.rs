//! Activities, one JSON object a line: `actor, verb (post|interact|follow), object, time, message, topic, to, kind?,
//! dwell_ms?`, as `simulate` writes them.
//!
//! Invariant: a post has a message or an embedding, and nobody follows themselves. Further fields are somebody else's and
//! are passed over. `to` is a list or a single text.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cells;
use super::error::{FormatError, Wrong};
use super::lines::Lines;
use super::source::Watch;
use super::time::parse_rfc3339;
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
    dim: Option<usize>,
}

impl Activities {
    /// Opens the files. A folder stands for its `.jsonl`, `.ndjson` and `.json` files. Without a `dim` the first embedding
    /// sets it.
    ///
    /// # Errors
    /// [`FormatError`] when a path cannot be read.
    pub fn open(paths: &[PathBuf], dim: Option<usize>, watch: Option<Watch>) -> Result<Activities, FormatError> {
        Ok(Activities { lines: Lines::new(paths, &[".jsonl", ".ndjson", ".json"], watch)?, dim })
    }
}

impl Iterator for Activities {
    type Item = Result<ActivityRow, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let dim = self.dim;
        let found = self.lines.next(|path, line, text| activity(path, line, text, dim));
        if let Some(Ok(ActivityRow { embedding: Some(embedding), .. })) = &found {
            self.dim = Some(embedding.len());
        }
        found
    }
}

/// A line as it stands there.
#[derive(Deserialize)]
struct Raw {
    actor: Key,
    verb: Verb,
    object: Key,
    time: String,
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

#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    Many(Vec<String>),
    One(String),
}

fn activity(path: &Path, line: u64, text: &str, dim: Option<usize>) -> Result<ActivityRow, FormatError> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| {
        let column = error.column().to_string();
        FormatError::at(path, line, Some(&column), Wrong::Json(plain_message(&error)))
    })?;
    let wrong = |field: &str, wrong: Wrong| FormatError::at(path, line, Some(field), wrong);
    let time = parse_rfc3339(&raw.time)
        .ok_or_else(|| wrong("time", cells::unexpected(&raw.time, "a time such as 2026-03-01T12:00:00Z")))?;
    let topic = raw.topic.filter(|topic| !topic.is_empty()).map(|topic| cells::key(&topic)).transpose();
    let made = raw.embedding.map(|numbers| {
        let dim = dim.unwrap_or(numbers.len());
        Embedding::new(numbers, dim).map_err(|error| wrong("embedding", Wrong::Embedding(error)))
    });
    let row = ActivityRow {
        line,
        actor: raw.actor,
        verb: raw.verb,
        object: raw.object,
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
    if row.message.len() > Item::TEXT_BYTES_MAX {
        let expected = format!("a message of at most {} bytes", Item::TEXT_BYTES_MAX);
        return Err(wrong("message", cells::unexpected(&row.message, expected)));
    }
    if row.verb == Verb::Follow && row.actor == row.object {
        let expected = "somebody else than the actor: remove the line";
        return Err(wrong("object", cells::unexpected(row.object.as_str(), expected)));
    }
    Ok(row)
}

/// The message without serde_json's own line and column, which count within one line of ours.
pub(super) fn plain_message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}
