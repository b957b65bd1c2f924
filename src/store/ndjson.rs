//! A dump of a whole store as newline-delimited JSON, for both kinds of store.
//!
//! Invariant: rows round-trip bit by bit: numbers that learning reads are base64 of little-endian f32. The first line
//! is the header. The last line is the end, whose checksum covers every byte before it. Absent on purpose: files,
//! compression, snapshots (a load folds the journal again), positions (each store assigns its own; lines are in commit
//! order).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::clusterings::{ClusterName, Revision};
use crate::domain::ids::{ItemId, Key, ModelVersion, TopicId, UserId};
use crate::domain::items::{Author, Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::metrics::Declaration;
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::store::clusters::StoredFit;
use crate::store::codec::{self, JournalRow};
use crate::store::error::StoreError;
use crate::store::models::{KeptModel, NewModel};

/// Version of the format; rises with each change of the meaning of lines.
pub const VERSION: u32 = 1;

/// Reason for which a line of a dump gives no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The bytes of a vector are no embedding.
    #[error("a vector is none: not finite, empty, or all zeros")]
    Vector,
    /// The current revision of an item has no embedding.
    #[error("its revision {0} has no embedding")]
    NoEmbedding(u32),
}

/// One line of a dump.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line: the format version and the number of lines per kind, in the order of the dump. Entries come
    /// last.
    EddylineDump(Header),
    /// A topic and its key.
    Topic(TopicLine),
    /// A centre in one epoch.
    Centre(CentreLine),
    /// A person, or the tombstone of an erased one.
    Person(PersonLine),
    /// An item with its windows, and its embedding in every revision.
    Item(Box<ItemLine>),
    /// The instant since which a part of the catalogue is in its current state.
    Since(Change, Millis),
    /// A metric that was declared at run time.
    Metric(Key, Declaration),
    /// A revision of the settings of a clustering.
    Clustering(Revision),
    /// The name of a cluster.
    ClusterName(ClusterName),
    /// The newest fit of a clustering, whose clusters the names belong to.
    Fit(Box<FitLine>),
    /// A two-tower model.
    Model(ModelLine),
    /// A publication: the model serves from this instant on.
    Published(ModelVersion, Millis),
    /// A journal entry.
    Entry(Box<EntryLine>),
    /// The last line: counts and checksum.
    End(End),
}

/// Header of a dump, in [`Line::EddylineDump`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Format version of the dump.
    pub version: u32,
    /// Number of lines `topic`.
    pub topics: u64,
    /// Number of lines `centre`.
    pub centres: u64,
    /// Number of lines `person`.
    pub people: u64,
    /// Number of lines `item`.
    pub items: u64,
    /// Number of lines `since`.
    pub changes: u64,
    /// Number of lines `metric`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub metrics: u64,
    /// Number of lines `clustering`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clusterings: u64,
    /// Number of lines `cluster_name`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cluster_names: u64,
    /// Number of lines `fit`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fits: u64,
    /// Number of lines `model`.
    #[serde(default)]
    pub models: u64,
    /// Number of lines `published`.
    #[serde(default)]
    pub publications: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// End of a dump, in [`Line::End`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Number of lines before this one.
    pub lines: u64,
    /// Number of lines `entry`.
    pub entries: u64,
    /// XXH3-128 of all bytes before this line, 32 hexadecimal digits.
    pub checksum: String,
}

/// A topic, in [`Line::Topic`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicLine {
    id: TopicId,
    key: Key,
}

/// A centre in one epoch, in [`Line::Centre`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentreLine {
    topic: TopicId,
    epoch: u32,
    vector: Base64,
}

/// A fit of clusters, in [`Line::Fit`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitLine {
    clustering: String,
    epoch: u64,
    fitted_at: Millis,
    summary: String,
    state: Base64,
    /// Absent after an erasure, which removes the assignments of all users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    members: Option<Base64>,
}

impl FitLine {
    /// Builds the line of a stored fit.
    #[must_use]
    pub fn of(fit: StoredFit) -> FitLine {
        let StoredFit { clustering, epoch, fitted_at, summary, state, members } = fit;
        FitLine { clustering, epoch, fitted_at, summary, state: Base64(state), members: members.map(Base64) }
    }

    /// The fit of this line.
    #[must_use]
    pub fn fit(self) -> StoredFit {
        let FitLine { clustering, epoch, fitted_at, summary, state, members } = self;
        StoredFit { clustering, epoch, fitted_at, summary, state: state.0, members: members.map(|bytes| bytes.0) }
    }
}

/// A two-tower model with its checkpoint, in [`Line::Model`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelLine {
    version: ModelVersion,
    created: Millis,
    summary: String,
    checkpoint: Base64,
}

impl ModelLine {
    /// Builds the line of a stored model.
    #[must_use]
    pub fn of(model: KeptModel, checkpoint: Vec<u8>) -> ModelLine {
        let KeptModel { version, created, summary, .. } = model;
        ModelLine { version, created, summary, checkpoint: Base64(checkpoint) }
    }

    /// The model of this line, with its version.
    #[must_use]
    pub fn model(self) -> NewModel {
        let ModelLine { version, created, summary, checkpoint } = self;
        NewModel { version: Some(version), created, summary, checkpoint: checkpoint.0 }
    }
}

/// A person, in [`Line::Person`].
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

/// An item with its embeddings, in [`Line::Item`].
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<String>,
    created: Millis,
    #[serde(default, skip_serializing_if = "Windows::is_always")]
    windows: Windows,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// Revision and vector, by revision.
    embeddings: Vec<(u32, Base64)>,
}

/// The columns of table `journal` for one entry, in [`Line::Entry`].
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
    // f64 holds every f32, while a decimal f32 could be rounded twice.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<i64>,
}

/// Bytes that serialise as base64 text.
#[derive(Debug)]
struct Base64(Vec<u8>);

impl Base64 {
    fn of(vector: &[f32]) -> Base64 {
        Base64(codec::floats_to_bytes(vector))
    }

    fn vector(&self) -> Result<Embedding, LineError> {
        codec::embedding_from_bytes(&self.0).ok_or(LineError::Vector)
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
    /// Builds the line of a topic.
    #[must_use]
    pub fn of(id: TopicId, key: Key) -> TopicLine {
        TopicLine { id, key }
    }

    /// Id and key of the topic of this line.
    #[must_use]
    pub fn topic(self) -> (TopicId, Key) {
        (self.id, self.key)
    }
}

impl CentreLine {
    /// Builds the line of a centre.
    #[must_use]
    pub fn of(centre: CentreRef, vector: &Embedding) -> CentreLine {
        CentreLine { topic: centre.topic, epoch: centre.epoch, vector: Base64::of(vector) }
    }

    /// The centre of this line.
    ///
    /// # Errors
    /// [`LineError::Vector`] when its vector is no embedding.
    pub fn centre(self) -> Result<(CentreRef, Embedding), LineError> {
        Ok((CentreRef { topic: self.topic, epoch: self.epoch }, self.vector.vector()?))
    }
}

impl PersonLine {
    /// Builds the line of a person.
    #[must_use]
    pub fn of(person: Person) -> PersonLine {
        let Person { id, key, name, attributes, created, erased } = person;
        PersonLine { id, key, name, attributes, created, erased }
    }

    /// The person of this line.
    #[must_use]
    pub fn person(self) -> Person {
        let PersonLine { id, key, name, attributes, created, erased } = self;
        Person { id, key, name, attributes, created, erased }
    }
}

impl ItemLine {
    /// Builds the line of an item, with the embeddings of all its revisions, the current one last.
    #[must_use]
    pub fn of(item: Item, embeddings: &[(u32, Embedding)]) -> ItemLine {
        ItemLine {
            id: item.id,
            key: item.key,
            revision: item.revision,
            author: item.author.map(|author| (author.id, author.key)),
            topics: item.topics.to_vec(),
            text: item.text.to_string(),
            attributes: item.attributes.as_deref().map(str::to_owned),
            created: item.created,
            windows: item.windows,
            deleted: item.deleted,
            embeddings: embeddings.iter().map(|(revision, vector)| (*revision, Base64::of(vector))).collect(),
        }
    }

    /// The item, once per revision. Writing them in order stores all embeddings and leaves the item in its last
    /// revision.
    ///
    /// # Errors
    /// [`LineError`] when a vector is no embedding, or the current revision has none.
    pub fn revisions(self) -> Result<Vec<Item>, LineError> {
        if self.embeddings.last().map(|(revision, _)| *revision) != Some(self.revision) {
            return Err(LineError::NoEmbedding(self.revision));
        }
        let (topics, text) = (self.topics.into(), self.text.into());
        let attributes: Option<std::sync::Arc<str>> = self.attributes.map(Into::into);
        let make = |(revision, bytes): (u32, Base64)| {
            Ok(Item {
                id: self.id,
                key: self.key.clone(),
                revision,
                author: self.author.clone().map(|(id, key)| Author { id, key }),
                topics: std::sync::Arc::clone(&topics),
                text: std::sync::Arc::clone(&text),
                attributes: attributes.clone(),
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
    /// Builds the line of an entry.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a number does not fit its column.
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
            cancelled_by: row.cancelled_by,
        })
    }

    /// The entry of this line.
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
            cancelled_by: self.cancelled_by,
        };
        row.decode()
    }
}
