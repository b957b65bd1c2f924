//! A whole store as lines of JSON: how each row is written down, whatever kind of store it comes from.
//!
//! Invariant: a line read again is the row that was written, bit by bit: numbers that learning reads are the base64 of
//! little-endian f32. The first line is the header, the last one the end, whose checksum covers every byte before it.
//! Absent on purpose: files, compression, snapshots (they are folded again), positions (each store gives its own; lines
//! stand in commit order).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::StoreError;
use super::codec::{self, JournalRow};
use super::models::{KeptModel, NewModel};
use crate::domain::ids::{ItemId, Key, ModelVersion, TopicId, UserId};
use crate::domain::items::{Author, Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;

/// Rises whenever lines change their meaning.
pub const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first: what this is, and how many of each follow, in this order; then entries.
    EddylineDump(Header),
    /// A topic's name.
    Topic(TopicLine),
    /// A centre in one epoch.
    Centre(CentreLine),
    /// A person, or what is left of one.
    Person(PersonLine),
    /// An item with its windows, and its embedding in every revision.
    Item(Box<ItemLine>),
    /// Since when something of the catalogue is so.
    Since(Change, Millis),
    /// A two-tower model.
    Model(ModelLine),
    /// From then on this model served.
    Published(ModelVersion, Millis),
    /// A journal entry.
    Entry(Box<EntryLine>),
    /// The last.
    End(End),
}

/// See [`Line::EddylineDump`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Of this form.
    pub version: u32,
    /// How many.
    pub topics: u64,
    /// How many.
    pub centres: u64,
    /// How many.
    pub people: u64,
    /// How many.
    pub items: u64,
    /// How many lines `since`.
    pub changes: u64,
    /// How many.
    #[serde(default)]
    pub models: u64,
    /// How many lines `published`.
    #[serde(default)]
    pub publications: u64,
}

/// See [`Line::End`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Lines before this one.
    pub lines: u64,
    /// Entries among them.
    pub entries: u64,
    /// XXH3-128 of all bytes before this line, 32 hexadecimal digits.
    pub checksum: String,
}

/// See [`Line::Topic`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicLine {
    id: TopicId,
    key: Key,
}

/// See [`Line::Centre`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentreLine {
    topic: TopicId,
    epoch: u32,
    vector: Base64,
}

/// See [`Line::Model`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelLine {
    version: ModelVersion,
    created: Millis,
    summary: String,
    checkpoint: Base64,
}

impl ModelLine {
    /// Of a model and what it consists of.
    #[must_use]
    pub fn of(model: KeptModel, checkpoint: Vec<u8>) -> ModelLine {
        let KeptModel { version, created, summary, .. } = model;
        ModelLine { version, created, summary, checkpoint: Base64(checkpoint) }
    }

    /// The model, to be kept under the number that it had.
    #[must_use]
    pub fn model(self) -> NewModel {
        let ModelLine { version, created, summary, checkpoint } = self;
        NewModel { version: Some(version), created, summary, checkpoint: checkpoint.0 }
    }
}

/// See [`Line::Person`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonLine {
    id: UserId,
    key: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<String>,
    created: Millis,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
}

/// See [`Line::Item`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemLine {
    id: ItemId,
    key: Key,
    revision: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<(UserId, Key)>,
    topics: Vec<TopicId>,
    text: String,
    created: Millis,
    #[serde(default, skip_serializing_if = "Windows::is_always")]
    windows: Windows,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// Revision and vector, rising.
    embeddings: Vec<(u32, Base64)>,
}

/// See [`Line::Entry`]: the columns of table `journal`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryLine {
    user: i64,
    seq: i64,
    id: String,
    kind: String,
    at: i64,
    received: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dwell_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown_position: Option<i64>,
    // As f64, which holds every f32: a decimal f32 could be rounded twice on its way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown_propensity: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positive: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topics: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    centre_topic: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    centre_epoch: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    features: Option<Base64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    predicted: Option<Base64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lesson: Option<Base64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// Bytes as text.
#[derive(Debug)]
struct Base64(Vec<u8>);

impl Base64 {
    fn of(vector: &[f32]) -> Base64 {
        Base64(codec::floats_to_bytes(vector))
    }

    fn vector(&self) -> Result<Embedding, String> {
        codec::embedding_from_bytes(&self.0).ok_or_else(|| "a vector is none: not finite, empty, or all zeros".into())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Base64).map_err(serde::de::Error::custom)
    }
}

impl TopicLine {
    /// Of a topic.
    #[must_use]
    pub fn of(id: TopicId, key: Key) -> TopicLine {
        TopicLine { id, key }
    }

    /// The topic.
    #[must_use]
    pub fn topic(self) -> (TopicId, Key) {
        (self.id, self.key)
    }
}

impl CentreLine {
    /// Of a centre.
    #[must_use]
    pub fn of(centre: CentreRef, vector: &Embedding) -> CentreLine {
        CentreLine { topic: centre.topic, epoch: centre.epoch, vector: Base64::of(vector) }
    }

    /// The centre.
    ///
    /// # Errors
    /// What does not parse.
    pub fn centre(self) -> Result<(CentreRef, Embedding), String> {
        Ok((CentreRef { topic: self.topic, epoch: self.epoch }, self.vector.vector()?))
    }
}

impl PersonLine {
    /// Of a person.
    #[must_use]
    pub fn of(person: Person) -> PersonLine {
        let Person { id, key, name, attributes, created, erased } = person;
        PersonLine { id, key, name, attributes, created, erased }
    }

    /// The person.
    #[must_use]
    pub fn person(self) -> Person {
        let PersonLine { id, key, name, attributes, created, erased } = self;
        Person { id, key, name, attributes, created, erased }
    }
}

impl ItemLine {
    /// Of an item, with the embeddings of all its revisions, the current one last.
    #[must_use]
    pub fn of(item: Item, embeddings: &[(u32, Embedding)]) -> ItemLine {
        ItemLine {
            id: item.id,
            key: item.key,
            revision: item.revision,
            author: item.author.map(|author| (author.id, author.key)),
            topics: item.topics.to_vec(),
            text: item.text.to_string(),
            created: item.created,
            windows: item.windows,
            deleted: item.deleted,
            embeddings: embeddings.iter().map(|(revision, vector)| (*revision, Base64::of(vector))).collect(),
        }
    }

    /// The item, once per revision: written in this order, all embeddings are there and the item stands in its last.
    ///
    /// # Errors
    /// What does not parse.
    pub fn revisions(self) -> Result<Vec<Item>, String> {
        if self.embeddings.last().map(|(revision, _)| *revision) != Some(self.revision) {
            return Err(format!("its revision {} has no embedding", self.revision));
        }
        let (topics, text) = (self.topics.into(), self.text.into());
        let make = |(revision, bytes): (u32, Base64)| {
            Ok(Item {
                id: self.id,
                key: self.key.clone(),
                revision,
                author: self.author.clone().map(|(id, key)| Author { id, key }),
                topics: std::sync::Arc::clone(&topics),
                text: std::sync::Arc::clone(&text),
                embedding: bytes.vector()?,
                created: self.created,
                windows: self.windows.clone(),
                deleted: self.deleted,
            })
        };
        self.embeddings.into_iter().map(make).collect()
    }
}

impl EntryLine {
    /// Of an entry.
    ///
    /// # Errors
    /// When a number does not fit its column, as in [`JournalRow::encode`].
    pub fn of(entry: &Entry) -> Result<EntryLine, StoreError> {
        let row = JournalRow::encode(entry)?;
        let text = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
        let bytes = |bytes: Option<std::borrow::Cow<'_, [u8]>>| bytes.map(|bytes| Base64(bytes.into_owned()));
        Ok(EntryLine {
            user: row.user_id,
            seq: row.seq,
            id: row.event_id.into_owned(),
            kind: row.kind.into_owned(),
            at: row.at,
            received: row.received,
            item: row.item_id,
            revision: row.revision,
            dwell_ms: row.dwell_ms,
            shown_version: row.shown_version,
            shown_position: row.shown_position,
            shown_propensity: row.shown_propensity.map(f64::from),
            positive: row.positive,
            weight: row.weight.map(f64::from),
            topics: text(row.topics),
            centre_topic: row.centre_topic,
            centre_epoch: row.centre_epoch,
            features: bytes(row.features),
            predicted: bytes(row.predicted),
            lesson: bytes(row.lesson),
            payload: text(row.payload),
        })
    }

    /// The entry.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the person, the number and the column that does not parse.
    pub fn entry(self) -> Result<Entry, StoreError> {
        let row = JournalRow {
            user_id: self.user,
            seq: self.seq,
            event_id: self.id.into(),
            kind: self.kind.into(),
            at: self.at,
            received: self.received,
            item_id: self.item,
            revision: self.revision,
            dwell_ms: self.dwell_ms,
            shown_version: self.shown_version,
            shown_position: self.shown_position,
            shown_propensity: self.shown_propensity.map(|number| number as f32),
            positive: self.positive,
            weight: self.weight.map(|number| number as f32),
            topics: self.topics.map(Into::into),
            centre_topic: self.centre_topic,
            centre_epoch: self.centre_epoch,
            features: self.features.map(|bytes| bytes.0.into()),
            predicted: self.predicted.map(|bytes| bytes.0.into()),
            lesson: self.lesson.map(|bytes| bytes.0.into()),
            payload: self.payload.map(Into::into),
        };
        row.decode()
    }
}
