//! How our words become columns and back, the same for every store.
//!
//! Invariant: decoding what was encoded gives the same value, bit by bit for everything that learning reads; whatever
//! does not parse is [`StoreError::Corrupt`], never a guess. Absent on purpose: SQL, connections.
//!
//! Numbers that may be anything (features, predictions, vectors) are little-endian f32 bytes, since a database may turn
//! `-0.0` into `0.0` and NaN into null. Weight and propensity are plain numbers, to be summed in SQL; neither is ever
//! `-0.0` or NaN, and encoding refuses such a one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::StoreError;
use crate::domain::ids::{FeedVersion, ItemId, Key, ModelVersion, Seq, TopicId, UserId};
use crate::domain::interactions::{Kind, Shown, Signal};
use crate::domain::items::{Change, Embedding};
use crate::domain::journal::{CentreRef, CoVisited, Entry, Learned, Opinion, Predicted, TrainingExample, What};
use crate::domain::time::Millis;

/// An entry as the columns of table `journal`. Borrows from the entry, or from the row that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalRow<'a> {
    /// Whose.
    pub user_id: i64,
    /// Number in their slice.
    pub seq: i64,
    /// The client's id.
    pub event_id: Cow<'a, str>,
    /// Name of the interaction's kind, or `followed`, `unfollowed`, `posted`, `topics_set`, `measured`.
    pub kind: Cow<'a, str>,
    /// When it happened, milliseconds.
    pub at: i64,
    /// When it was taken, milliseconds.
    pub received: i64,
    /// Set for interactions, and only for those, like all below but the payload.
    pub item_id: Option<i64>,
    /// Revision that was learned from.
    pub revision: Option<i64>,
    /// For how long.
    pub dwell_ms: Option<i64>,
    /// Feed version it was shown in; with position and propensity, or not at all.
    pub shown_version: Option<i64>,
    /// Where it stood.
    pub shown_position: Option<i64>,
    /// How likely it was put there.
    pub shown_propensity: Option<f32>,
    /// The label; with the weight, or not at all.
    pub positive: Option<bool>,
    /// The label's weight.
    pub weight: Option<f32>,
    /// JSON array of topic ids, see [`topics_to_text`].
    pub topics: Option<Cow<'a, str>>,
    /// The centre's topic.
    pub centre_topic: Option<i64>,
    /// The centre's epoch.
    pub centre_epoch: Option<i64>,
    /// See [`floats_to_bytes`].
    pub features: Option<Cow<'a, [u8]>>,
    /// See [`predicted_to_bytes`].
    pub predicted: Option<Cow<'a, [u8]>>,
    /// What it teaches the shared learners: postcard bytes; null where nothing follows from it.
    pub lesson: Option<Cow<'a, [u8]>>,
    /// JSON object, for entries that are no interactions.
    pub payload: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct UserPayload {
    user: u32,
}

#[derive(Serialize, Deserialize)]
struct ItemPayload {
    item: u32,
}

#[derive(Serialize, Deserialize)]
struct LivePayload {
    item: u32,
    on: bool,
}

/// Weights as f64, which holds every f32: a decimal f32 could be rounded twice on its way back.
#[derive(Serialize, Deserialize)]
struct TopicsPayload {
    weights: Vec<(u32, f64)>,
}

impl<'a> JournalRow<'a> {
    /// The columns of an entry.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a number does not fit its column; no entry that the engine makes holds such a one.
    pub fn encode(entry: &'a Entry) -> Result<JournalRow<'a>, StoreError> {
        let mut row = JournalRow {
            user_id: i64::from(entry.user.0),
            seq: integer("seq", entry.seq.0)?,
            event_id: Cow::Borrowed(entry.id.as_str()),
            at: entry.at.0,
            received: entry.received.0,
            ..JournalRow::default()
        };
        match &entry.what {
            What::Interacted(learned) => row.fill(learned)?,
            What::Followed(user) => row.other("followed", &UserPayload { user: user.0 })?,
            What::Unfollowed(user) => row.other("unfollowed", &UserPayload { user: user.0 })?,
            What::Posted(item) => row.other("posted", &ItemPayload { item: item.0 })?,
            What::WentLive(item, on) => row.other("went_live", &LivePayload { item: item.0, on: *on })?,
            What::TopicsSet(weights) => {
                let weights = weights
                    .iter()
                    .map(|(topic, weight)| Ok((topic.0, f64::from(plain("topic weight", *weight)?))))
                    .collect::<Result<_, StoreError>>()?;
                row.other("topics_set", &TopicsPayload { weights })?;
            }
            What::Measured(measured) => row.other("measured", measured)?,
        }
        Ok(row)
    }

    fn fill(&mut self, learned: &Learned) -> Result<(), StoreError> {
        self.kind = Cow::Borrowed(learned.kind.name());
        self.item_id = Some(i64::from(learned.item.0));
        self.revision = Some(i64::from(learned.revision));
        self.dwell_ms = learned.dwell_ms.map(i64::from);
        if let Some(shown) = learned.shown {
            self.shown_version = Some(integer("feed version", shown.version.0)?);
            self.shown_position = Some(i64::from(shown.position));
            self.shown_propensity = Some(plain("propensity", shown.propensity)?);
        }
        if let Some(signal) = learned.signal {
            self.positive = Some(signal.positive);
            self.weight = Some(plain("weight", signal.weight)?);
        }
        self.topics = Some(Cow::Owned(topics_to_text(&learned.topics)));
        self.centre_topic = Some(i64::from(learned.centre.topic.0));
        self.centre_epoch = Some(i64::from(learned.centre.epoch));
        self.features = Some(Cow::Owned(floats_to_bytes(&learned.features)));
        self.predicted = Some(Cow::Owned(predicted_to_bytes(&learned.predicted)));
        if let Some(lesson) = &learned.example {
            let bytes = postcard::to_stdvec(lesson).map_err(|error| StoreError::Refused(error.to_string()))?;
            self.lesson = Some(Cow::Owned(bytes));
        }
        Ok(())
    }

    fn other(&mut self, kind: &'static str, payload: &impl Serialize) -> Result<(), StoreError> {
        self.kind = Cow::Borrowed(kind);
        let text = serde_json::to_string(payload).map_err(|error| StoreError::Refused(error.to_string()))?;
        self.payload = Some(Cow::Owned(text));
        Ok(())
    }

    /// The entry of these columns.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the person, the number and the column that does not parse.
    pub fn decode(&self) -> Result<Entry, StoreError> {
        self.try_decode().map_err(|column| StoreError::Corrupt {
            table: "journal",
            detail: format!("column `{column}` of user_id {}, seq {}", self.user_id, self.seq),
        })
    }

    fn try_decode(&self) -> Result<Entry, &'static str> {
        let what = match &*self.kind {
            "followed" => What::Followed(UserId(self.payload::<UserPayload>()?.user)),
            "unfollowed" => What::Unfollowed(UserId(self.payload::<UserPayload>()?.user)),
            "posted" => What::Posted(ItemId(self.payload::<ItemPayload>()?.item)),
            "went_live" => {
                let LivePayload { item, on } = self.payload()?;
                What::WentLive(ItemId(item), on)
            }
            "topics_set" => {
                let TopicsPayload { weights } = self.payload()?;
                What::TopicsSet(weights.into_iter().map(|(topic, weight)| (TopicId(topic), weight as f32)).collect())
            }
            "measured" => What::Measured(self.payload()?),
            kind => What::Interacted(self.learned(Kind::from_name(kind).ok_or("kind")?)?),
        };
        Ok(Entry {
            user: UserId(narrow("user_id", Some(self.user_id))?),
            seq: Seq(narrow("seq", Some(self.seq))?),
            id: Key::new(&self.event_id).map_err(|_| "event_id")?,
            at: Millis(self.at),
            received: Millis(self.received),
            what,
        })
    }

    fn payload<'p, T: Deserialize<'p>>(&'p self) -> Result<T, &'static str> {
        self.payload.as_deref().and_then(|text| serde_json::from_str(text).ok()).ok_or("payload")
    }

    fn learned(&self, kind: Kind) -> Result<Learned, &'static str> {
        let shown = match (self.shown_version, self.shown_position, self.shown_propensity) {
            (None, None, None) => None,
            (version, position, Some(propensity)) => Some(Shown {
                version: FeedVersion(narrow("shown_version", version)?),
                position: narrow("shown_position", position)?,
                propensity,
            }),
            _ => return Err("shown_propensity"),
        };
        let signal = match (self.positive, self.weight) {
            (None, None) => None,
            (Some(positive), Some(weight)) => Some(Signal { positive, weight }),
            _ => return Err("weight"),
        };
        let predicted = self.predicted.as_deref().and_then(predicted_from_bytes).ok_or("predicted")?;
        Ok(Learned {
            item: ItemId(narrow("item_id", self.item_id)?),
            revision: narrow("revision", self.revision)?,
            kind,
            dwell_ms: self.dwell_ms.map(|dwell| narrow("dwell_ms", Some(dwell))).transpose()?,
            shown,
            signal,
            topics: self.topics.as_deref().and_then(topics_from_text).ok_or("topics")?,
            centre: CentreRef {
                topic: TopicId(narrow("centre_topic", self.centre_topic)?),
                epoch: narrow("centre_epoch", self.centre_epoch)?,
            },
            features: self.features.as_deref().and_then(floats_from_bytes).ok_or("features")?,
            predicted,
            example: self.lesson.as_deref().map(example_from_bytes).transpose()?.map(Box::new),
        })
    }
}

/// A lesson as it was written before choices and opinions were learned apart: one gradient for both, with bias, slope and
/// intercept at its end, which are 0 for a choice.
#[derive(Serialize, Deserialize)]
struct JoinedExample {
    gradient: Vec<f32>,
    losses: Vec<f32>,
    author: Option<UserId>,
    group: Option<u32>,
    visits: Option<f32>,
    co_visited: Vec<CoVisited>,
    elapsed_ms: Option<i64>,
}

impl From<JoinedExample> for TrainingExample {
    fn from(joined: JoinedExample) -> TrainingExample {
        let JoinedExample { gradient, losses, author, group, visits, co_visited, elapsed_ms } = joined;
        let apart = TrainingExample { author, group, visits, co_visited, elapsed_ms, ..TrainingExample::default() };
        match gradient.split_last_chunk() {
            Some((weights, [0.0, 0.0, 0.0])) => TrainingExample { gradient: weights.to_vec(), losses, ..apart },
            Some((weights, [error, slope, intercept])) => {
                let opinion = Opinion {
                    error: *error,
                    seen: weights[weights.len() / 2..].iter().any(|of_seen| *of_seen != 0.0),
                    calibration: [*slope, *intercept],
                    loss: losses.last().copied().unwrap_or_default(),
                };
                TrainingExample { opinion: Some(opinion), ..apart }
            }
            None => apart,
        }
    }
}

/// The lesson of its postcard bytes. Those of a [`JoinedExample`] end one field earlier.
fn example_from_bytes(bytes: &[u8]) -> Result<TrainingExample, &'static str> {
    postcard::from_bytes::<TrainingExample>(bytes)
        .or_else(|_| postcard::from_bytes::<JoinedExample>(bytes).map(TrainingExample::from))
        .map_err(|_| "lesson")
}

/// A change as the columns `kind`, `id` and `number` of table `changes`.
#[must_use]
pub fn change_to_row(change: Change) -> (&'static str, u32, u32) {
    match change {
        Change::Centre(centre) => ("centre", centre.topic.0, centre.epoch),
        Change::Revision(item, revision) => ("revision", item.0, revision),
        Change::Deleted(item) => ("deleted", item.0, 0),
    }
}

/// The change of [`change_to_row`].
#[must_use]
pub fn change_from_row(kind: &str, id: u32, number: u32) -> Option<Change> {
    match kind {
        "centre" => Some(Change::Centre(CentreRef { topic: TopicId(id), epoch: number })),
        "revision" => Some(Change::Revision(ItemId(id), number)),
        "deleted" => Some(Change::Deleted(ItemId(id))),
        _ => None,
    }
}

/// `(n,)` numbers as `4 n` bytes, little-endian.
#[must_use]
pub fn floats_to_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The numbers of [`floats_to_bytes`]; `None` when the length is not a multiple of 4.
#[must_use]
pub fn floats_from_bytes(bytes: &[u8]) -> Option<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

/// Three numbers, online, topics, model, as 12 bytes; then the two-tower model's version as 8, where one had a say. All
/// little-endian.
#[must_use]
pub fn predicted_to_bytes(predicted: &Predicted) -> Vec<u8> {
    let Predicted { online, topics, model, model_version } = predicted;
    let mut bytes = floats_to_bytes(&[*online, *topics, *model]);
    bytes.extend(model_version.iter().flat_map(|version| version.0.to_le_bytes()));
    bytes
}

/// What [`predicted_to_bytes`] wrote; `None` when the length is another.
#[must_use]
pub fn predicted_from_bytes(bytes: &[u8]) -> Option<Predicted> {
    let (numbers, rest) = bytes.split_at_checked(12)?;
    let model_version = match rest {
        [] => None,
        rest => Some(ModelVersion(u64::from_le_bytes(rest.try_into().ok()?))),
    };
    let numbers = floats_from_bytes(numbers)?;
    let &[online, topics, model] = &numbers[..] else { return None };
    Some(Predicted { online, topics, model, model_version })
}

/// Places of a drawn feed as `8 n` bytes: the item's id and its propensity, little-endian.
#[must_use]
pub fn places_to_bytes(places: &[(ItemId, f32)]) -> Vec<u8> {
    places.iter().flat_map(|(item, propensity)| [item.0.to_le_bytes(), propensity.to_le_bytes()]).flatten().collect()
}

/// The version that a page of logged feeds begins after, as a column: before all versions for the first page.
#[must_use]
pub fn version_before_page(after: Option<FeedVersion>) -> i64 {
    after.map_or(-1, |after| i64::try_from(after.0).unwrap_or(i64::MAX))
}

/// The places of [`places_to_bytes`]; `None` when the length is not a multiple of 8.
#[must_use]
pub fn places_from_bytes(bytes: &[u8]) -> Option<Vec<(ItemId, f32)>> {
    let (places, rest) = bytes.as_chunks::<8>();
    let place = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (ItemId(u32::from_le_bytes([*a, *b, *c, *d])), f32::from_le_bytes([*e, *f, *g, *h]))
    };
    rest.is_empty().then(|| places.iter().map(place).collect())
}

/// The vector of [`floats_to_bytes`], if it is one.
#[must_use]
pub fn embedding_from_bytes(bytes: &[u8]) -> Option<Embedding> {
    let numbers = floats_from_bytes(bytes)?;
    let dim = numbers.len();
    Embedding::new(numbers, dim).ok()
}

/// Topics as a JSON array of their ids.
#[must_use]
pub fn topics_to_text(topics: &[TopicId]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 + 4 * topics.len());
    for (index, topic) in topics.iter().enumerate() {
        text.push(if index == 0 { '[' } else { ',' });
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{}", topic.0);
    }
    text.push_str(if topics.is_empty() { "[]" } else { "]" });
    text
}

/// The topics of [`topics_to_text`].
#[must_use]
pub fn topics_from_text(text: &str) -> Option<Vec<TopicId>> {
    serde_json::from_str(text).ok()
}

/// What a snapshot's row must say, so that a torn or misplaced one is noticed. `owner` and `covers` are part of it.
#[must_use]
pub fn snapshot_checksum(owner: u64, covers: u64, bytes: &[u8]) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(&owner.to_le_bytes());
    hash.update(&covers.to_le_bytes());
    hash.update(bytes);
    hash.digest().cast_signed()
}

/// A number as a signed column.
///
/// # Errors
/// [`StoreError::Refused`] above `i64::MAX`.
pub fn integer(what: &'static str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Refused(format!("{what} {number} is too large to be stored")))
}

/// A column as a number of ours.
///
/// # Errors
/// The column's name when it is null or out of range.
pub fn narrow<T: TryFrom<i64>>(column: &'static str, value: Option<i64>) -> Result<T, &'static str> {
    value.and_then(|value| T::try_from(value).ok()).ok_or(column)
}

fn plain(what: &'static str, number: f32) -> Result<f32, StoreError> {
    if number.is_finite() && number.to_bits() != (-0.0_f32).to_bits() {
        Ok(number)
    } else {
        Err(StoreError::Refused(format!("{what} {number:?} cannot be stored exactly")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::journal::Measured;

    fn any_float() -> impl Strategy<Value = f32> {
        prop_oneof![any::<u32>().prop_map(f32::from_bits), Just(-0.0), Just(f32::NAN), -10.0..10.0_f32]
    }

    fn plain_float() -> impl Strategy<Value = f32> {
        any::<f32>().prop_map(|x| if x.is_finite() { x.abs() } else { 1.0 })
    }

    fn any_key() -> impl Strategy<Value = Key> {
        "\\PC{1,40}".prop_map(|text| Key::new(&text).unwrap_or_else(|_| Key::new("x").unwrap()))
    }

    fn any_topics() -> impl Strategy<Value = Vec<TopicId>> {
        vec(any::<u32>().prop_map(TopicId), 0..20)
    }

    fn any_example() -> impl Strategy<Value = TrainingExample> {
        let other = (any::<u32>(), plain_float()).prop_map(|(item, count)| CoVisited { item: ItemId(item), count });
        let who = (
            option::of(any::<u32>().prop_map(UserId)),
            option::of(any::<u32>()),
            option::of(plain_float()),
            option::of(any::<i64>()),
        );
        let numbers = [(); 4].map(|()| plain_float());
        let opinion = (any::<bool>(), numbers).prop_map(|(seen, [error, slope, intercept, loss])| Opinion {
            error,
            seen,
            calibration: [slope, intercept],
            loss,
        });
        (vec(plain_float(), 0..70), vec(plain_float(), 0..12), vec(other, 0..40), who, option::of(opinion)).prop_map(
            |(gradient, losses, co_visited, (author, group, visits, elapsed_ms), opinion)| TrainingExample {
                gradient,
                losses,
                author,
                group,
                visits,
                co_visited,
                elapsed_ms,
                opinion,
            },
        )
    }

    fn any_learned() -> impl Strategy<Value = Learned> {
        let shown = (0..=i64::MAX as u64, any::<u16>(), plain_float())
            .prop_map(|(version, position, propensity)| Shown { version: FeedVersion(version), position, propensity });
        let signal = (any::<bool>(), plain_float()).prop_map(|(positive, weight)| Signal { positive, weight });
        let version = option::of(any::<u64>().prop_map(ModelVersion));
        let predicted = (any_float(), any_float(), any_float(), version)
            .prop_map(|(online, topics, model, model_version)| Predicted { online, topics, model, model_version });
        (
            (any::<u32>(), any::<u32>(), prop::sample::select(Kind::ALL.to_vec()), option::of(any::<u32>())),
            (option::of(shown), option::of(signal), any_topics(), any::<u32>(), any::<u32>()),
            (vec(any_float(), 0..12), predicted, option::of(any_example().prop_map(Box::new))),
        )
            .prop_map(
                |(
                    (item, revision, kind, dwell_ms),
                    (shown, signal, topics, topic, epoch),
                    (features, predicted, example),
                )| {
                    Learned {
                        item: ItemId(item),
                        revision,
                        kind,
                        dwell_ms,
                        shown,
                        signal,
                        topics,
                        centre: CentreRef { topic: TopicId(topic), epoch },
                        features,
                        predicted,
                        example,
                    }
                },
            )
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let what = prop_oneof![
            4 => any_learned().prop_map(What::Interacted),
            1 => any::<u32>().prop_map(|user| What::Followed(UserId(user))),
            1 => any::<u32>().prop_map(|user| What::Unfollowed(UserId(user))),
            1 => any::<u32>().prop_map(|item| What::Posted(ItemId(item))),
            1 => (any_key(), any_key(), any::<i64>()).prop_map(|(metric, kind, millionths)| {
                What::Measured(Measured { metric, kind, millionths })
            }),
            1 => any::<(u32, bool)>().prop_map(|(item, on)| What::WentLive(ItemId(item), on)),
            1 => vec((any::<u32>().prop_map(TopicId), plain_float()), 0..20).prop_map(What::TopicsSet),
        ];
        (any::<u32>(), 0..=i64::MAX as u64, any_key(), any::<i64>(), any::<i64>(), what).prop_map(
            |(user, seq, id, at, received, what)| Entry {
                user: UserId(user),
                seq: Seq(seq),
                id,
                at: Millis(at),
                received: Millis(received),
                what,
            },
        )
    }

    /// All bits of all numbers that learning reads, since NaN equals nothing.
    fn bits(entry: &mut Entry) -> Vec<u32> {
        let What::Interacted(learned) = &mut entry.what else { return Vec::new() };
        // The version stays, to be compared as it is.
        let Predicted { online, topics, model, model_version } = learned.predicted;
        learned.predicted = Predicted { online: 0.0, topics: 0.0, model: 0.0, model_version };
        let features = std::mem::take(&mut learned.features);
        features.into_iter().chain([online, topics, model]).map(f32::to_bits).collect()
    }

    /// Journals from before choices and opinions were learned apart go on teaching what they taught.
    #[test]
    fn joined_lessons_of_old_journals_are_taken_apart() {
        let joined = |gradient: Vec<f32>| JoinedExample {
            gradient,
            losses: vec![2.0, 1.5],
            author: Some(UserId(3)),
            group: None,
            visits: Some(0.5),
            co_visited: vec![CoVisited { item: ItemId(9), count: 1.0 }],
            elapsed_ms: Some(60_000),
        };
        let read = |joined: &JoinedExample| example_from_bytes(&postcard::to_stdvec(joined).unwrap()).unwrap();
        let choice = read(&joined(vec![0.25, -0.5, 0.0, 0.0, 0.0]));
        assert_eq!(
            (&choice.gradient[..], &choice.losses[..], &choice.opinion),
            (&[0.25, -0.5][..], &[2.0, 1.5][..], &None)
        );
        assert_eq!((choice.author, choice.visits, choice.elapsed_ms), (Some(UserId(3)), Some(0.5), Some(60_000)));
        let opinion = read(&joined(vec![0.0, 0.3, -0.6, 0.1, 0.2]));
        let taught = Opinion { error: -0.6, seen: true, calibration: [0.1, 0.2], loss: 1.5 };
        assert_eq!((&opinion.gradient[..], &opinion.losses[..], &opinion.opinion), (&[][..], &[][..], &Some(taught)));
        assert_eq!(opinion.co_visited.len(), 1);
        let alone = read(&joined(Vec::new()));
        assert!(alone.gradient.is_empty() && alone.opinion.is_none() && alone.visits == Some(0.5));
        assert_eq!(example_from_bytes(&[7]), Err("lesson"));
    }

    proptest! {
        /// From entry to row and back nothing changes, not a bit.
        #[test]
        fn entry_to_row_to_entry_is_identity(entry in any_entry()) {
            let mut found = JournalRow::encode(&entry).unwrap().decode().unwrap();
            let mut expected = entry;
            prop_assert_eq!(bits(&mut found), bits(&mut expected));
            prop_assert_eq!(found, expected);
        }

        /// Topics survive as text, and the text is JSON.
        #[test]
        fn topics_to_text_to_topics_is_identity(topics in any_topics()) {
            let text = topics_to_text(&topics);
            prop_assert_eq!(&text, &serde_json::to_string(&topics).unwrap());
            prop_assert_eq!(topics_from_text(&text).unwrap(), topics);
        }
    }

    #[test]
    fn what_cannot_be_stored_exactly_is_refused() {
        for (name, weight, seq, good) in [
            ("plain", 0.5, 1, true),
            ("not a number", f32::NAN, 1, false),
            ("infinite", f32::INFINITY, 1, false),
            ("minus zero", -0.0, 1, false),
            ("seq above i64", 0.5, u64::MAX, false),
        ] {
            let entry = Entry {
                user: UserId(1),
                seq: Seq(seq),
                id: Key::new("a").unwrap(),
                at: Millis(0),
                received: Millis(0),
                what: What::TopicsSet(vec![(TopicId(1), weight)]),
            };
            assert_eq!(JournalRow::encode(&entry).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn a_row_that_does_not_parse_names_its_column() {
        let good = JournalRow {
            user_id: 7,
            seq: 3,
            event_id: "e".into(),
            kind: "followed".into(),
            payload: Some("{\"user\":1}".into()),
            ..JournalRow::default()
        };
        assert!(good.decode().is_ok());
        for (column, row) in [
            ("kind", JournalRow { kind: "dance".into(), ..good.clone() }),
            ("payload", JournalRow { payload: None, ..good.clone() }),
            ("payload", JournalRow { payload: Some("{".into()), ..good.clone() }),
            ("user_id", JournalRow { user_id: -1, ..good.clone() }),
            ("event_id", JournalRow { event_id: "".into(), ..good.clone() }),
            ("predicted", JournalRow { kind: "like".into(), ..good.clone() }),
        ] {
            let error = row.decode().unwrap_err().to_string();
            assert!(error.contains(&format!("`{column}`")), "{column}: {error}");
        }
    }
}
