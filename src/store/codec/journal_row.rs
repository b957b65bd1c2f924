//! Journal entries as columns of table `journal` and back, for both stores.
//!
//! Invariant: decoding an encoded entry gives an equal entry, bit by bit for all numbers that learning reads. A row
//! that does not parse is [`StoreError::Corrupt`]; decoding never guesses. Absent on purpose: SQL, connections.
//!
//! Features, predictions and vectors are little-endian f32 bytes, since a database may turn `-0.0` into `0.0` and NaN
//! into null. Weight and propensity are plain numbers, so that SQL can sum them; encoding refuses `-0.0` and NaN there.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::columns::{
    floats_from_bytes, floats_to_bytes, integer, narrow, plain, predicted_from_bytes, predicted_to_bytes,
    topics_from_text, topics_to_text,
};
use crate::domain::ids::{FeedVersion, ItemId, Key, Seq, TopicId, UserId};
use crate::domain::interactions::{Inverse, Kind, Shown, Signal};
use crate::domain::journal::{
    Cancelled, CentreRef, CoVisited, Entry, Learned, Opinion, TrainingExample, Undo, Undone, What,
};
use crate::domain::time::Millis;
use crate::store::error::StoreError;

/// The columns of table `journal` for one entry. Borrows from the entry, or from the row of the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalRow<'a> {
    /// Id of the person whose entry this is.
    pub user_id: i64,
    /// Sequence number among the entries of that person.
    pub seq: i64,
    /// Event id that the client chose, unique per person.
    pub event_id: Cow<'a, str>,
    /// Name of the interaction's kind, or `followed`, `unfollowed`, `posted`, `topics_set`, `measured`, `undone`.
    pub kind: Cow<'a, str>,
    /// When the event happened, Unix milliseconds.
    pub at: i64,
    /// When the server accepted the event, Unix milliseconds.
    pub received: i64,
    /// Item of the interaction. This and all later columns except the payload are null for other kinds.
    pub item_id: Option<i64>,
    /// Revision of the item that the learner saw.
    pub revision: Option<i64>,
    /// Dwell time in milliseconds.
    pub dwell_ms: Option<i64>,
    /// Version of the feed that showed the item; set together with position and propensity.
    pub shown_version: Option<i64>,
    /// Position in that feed, from 0.
    pub shown_position: Option<i64>,
    /// Probability with which the feed put the item at that position.
    pub shown_propensity: Option<f32>,
    /// Label of the training example; set together with its weight.
    pub positive: Option<bool>,
    /// Weight of the label.
    pub weight: Option<f32>,
    /// JSON array of topic ids, in the format of [`topics_to_text`].
    pub topics: Option<Cow<'a, str>>,
    /// Topic of the centre that the item was compared with.
    pub centre_topic: Option<i64>,
    /// Epoch of that centre.
    pub centre_epoch: Option<i64>,
    /// Feature vector, in the format of [`floats_to_bytes`].
    pub features: Option<Cow<'a, [u8]>>,
    /// Predictions, in the format of [`predicted_to_bytes`].
    pub predicted: Option<Cow<'a, [u8]>>,
    /// Training example for the shared learners: postcard bytes; null without one.
    pub lesson: Option<Cow<'a, [u8]>>,
    /// JSON object; null for interactions, except for a view that was liked later.
    pub payload: Option<Cow<'a, str>>,
    /// Number of the entry that cancelled this one; null while it stands.
    pub cancelled_by: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct UserPayload {
    user: u32,
}

#[derive(Serialize, Deserialize)]
struct ItemPayload {
    item: u32,
}

/// The like of an imported view: its instant, Unix milliseconds.
#[derive(Serialize, Deserialize)]
struct LikedPayload {
    liked_at: i64,
}

#[derive(Serialize, Deserialize)]
struct LivePayload {
    item: u32,
    on: bool,
}

/// Topic weights of a payload. f64 holds every f32, while a decimal f32 could be rounded twice.
#[derive(Serialize, Deserialize)]
struct TopicsPayload {
    weights: Vec<(u32, f64)>,
}

/// A cancellation: one of event, `unlike` and `unhide`, and the numbers of the cancelled entries.
#[derive(Serialize, Deserialize)]
struct UndonePayload<'p> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    event: Option<Cow<'p, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unlike: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unhide: Option<u32>,
    cancels: Vec<u64>,
}

impl<'p> UndonePayload<'p> {
    fn of(undone: &'p Undone) -> UndonePayload<'p> {
        let cancels = undone.cancels.iter().map(|seq| seq.0).collect();
        let none = UndonePayload { event: None, unlike: None, unhide: None, cancels };
        match &undone.of {
            Undo::Event(id) => UndonePayload { event: Some(id.as_str().into()), ..none },
            Undo::Item(item, Inverse::Unlike) => UndonePayload { unlike: Some(item.0), ..none },
            Undo::Item(item, Inverse::Unhide) => UndonePayload { unhide: Some(item.0), ..none },
        }
    }

    fn undone(self) -> Option<Undone> {
        let of = match (self.event, self.unlike, self.unhide) {
            (Some(id), None, None) => Undo::Event(Key::stored(&id).ok()?),
            (None, Some(item), None) => Undo::Item(ItemId(item), Inverse::Unlike),
            (None, None, Some(item)) => Undo::Item(ItemId(item), Inverse::Unhide),
            _ => return None,
        };
        Some(Undone { of, cancels: self.cancels.into_iter().map(Seq).collect() })
    }
}

impl<'a> JournalRow<'a> {
    /// Encodes an entry as columns.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a number does not fit its column; the engine makes no such entry.
    pub fn encode(entry: &'a Entry) -> Result<JournalRow<'a>, StoreError> {
        let mut row = JournalRow {
            user_id: i64::from(entry.user.0),
            seq: integer("seq", entry.seq.0)?,
            event_id: Cow::Borrowed(entry.id.as_str()),
            at: entry.at.0,
            received: entry.received.0,
            ..JournalRow::default()
        };
        row.fill_what(&entry.what)?;
        Ok(row)
    }

    fn fill_what(&mut self, what: &What) -> Result<(), StoreError> {
        let row = self;
        match what {
            What::Interacted(learned) => row.fill(learned)?,
            What::Followed(user) => row.other("followed", &UserPayload { user: user.0 })?,
            What::Unfollowed(user) => row.other("unfollowed", &UserPayload { user: user.0 })?,
            What::Posted(item) => row.other("posted", &ItemPayload { item: item.0 })?,
            What::WentLive(item, on) => row.other("went_live", &LivePayload { item: item.0, on: *on })?,
            What::Undone(undone) => row.other("undone", &UndonePayload::of(undone))?,
            What::Cancelled(cancelled) => {
                row.fill_what(&cancelled.what)?;
                row.cancelled_by = Some(integer("cancelled_by", cancelled.by.0)?);
            }
            What::TopicsSet(weights) => {
                let weights = weights
                    .iter()
                    .map(|(topic, weight)| Ok((topic.0, f64::from(plain("topic weight", *weight)?))))
                    .collect::<Result<_, StoreError>>()?;
                row.other("topics_set", &TopicsPayload { weights })?;
            }
            What::Measured(measured) => row.other("measured", measured)?,
        }
        Ok(())
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
            let refused = |error: postcard::Error| StoreError::Refused(error.to_string());
            let mut bytes = postcard::to_stdvec(lesson).map_err(refused)?;
            if !lesson.passed.is_empty() {
                bytes = postcard::to_extend(&lesson.passed, bytes).map_err(refused)?;
            }
            self.lesson = Some(Cow::Owned(bytes));
        }
        learned.liked_at.map_or(Ok(()), |at| self.set_payload(&LikedPayload { liked_at: at.0 }))
    }

    fn other(&mut self, kind: &'static str, payload: &impl Serialize) -> Result<(), StoreError> {
        self.kind = Cow::Borrowed(kind);
        self.set_payload(payload)
    }

    fn set_payload(&mut self, payload: &impl Serialize) -> Result<(), StoreError> {
        let text = serde_json::to_string(payload).map_err(|error| StoreError::Refused(error.to_string()))?;
        self.payload = Some(Cow::Owned(text));
        Ok(())
    }

    /// Decodes the entry of these columns.
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
            "undone" => What::Undone(self.payload::<UndonePayload<'_>>()?.undone().ok_or("payload")?),
            kind => What::Interacted(self.learned(Kind::from_name(kind).ok_or("kind")?)?),
        };
        let what = match self.cancelled_by {
            None => what,
            by => What::Cancelled(Box::new(Cancelled { by: Seq(narrow("cancelled_by", by)?), what })),
        };
        Ok(Entry {
            user: UserId(narrow("user_id", Some(self.user_id))?),
            seq: Seq(narrow("seq", Some(self.seq))?),
            id: Key::stored(&self.event_id).map_err(|_| "event_id")?,
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
        let liked_at =
            if self.payload.is_some() { Some(Millis(self.payload::<LikedPayload>()?.liked_at)) } else { None };
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
            liked_at,
        })
    }
}

/// A training example in the format from before choices and opinions were learned separately. It has one gradient for
/// both, with bias, slope and intercept at its end, which are 0 for a choice.
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

/// Decodes a training example from postcard bytes. The bytes of a [`JoinedExample`] end one field earlier. Weak negatives
/// follow the example where it has any, so that examples without them keep their bytes.
fn example_from_bytes(bytes: &[u8]) -> Result<TrainingExample, &'static str> {
    let Ok((mut example, rest)) = postcard::take_from_bytes::<TrainingExample>(bytes) else {
        return postcard::from_bytes::<JoinedExample>(bytes).map(TrainingExample::from).map_err(|_| "lesson");
    };
    if !rest.is_empty() {
        example.passed = postcard::from_bytes(rest).map_err(|_| "lesson")?;
    }
    Ok(example)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::ModelVersion;
    use crate::domain::journal::{Measured, Predicted, WeakNegative};

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
                passed: Vec::new(),
            },
        )
    }

    fn any_weak_negative() -> impl Strategy<Value = WeakNegative> {
        (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), plain_float()).prop_map(
            |(item, revision, topic, epoch, weight)| WeakNegative {
                item: ItemId(item),
                revision,
                centre: CentreRef { topic: TopicId(topic), epoch },
                weight,
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
            (
                vec(any_float(), 0..12),
                (predicted, option::of(any::<i64>().prop_map(Millis))),
                (option::of(any_example()), vec(any_weak_negative(), 0..20)).prop_map(|(example, passed)| {
                    example.map(|example| Box::new(TrainingExample { passed, ..example }))
                }),
            ),
        )
            .prop_map(
                |(
                    (item, revision, kind, dwell_ms),
                    (shown, signal, topics, topic, epoch),
                    (features, (predicted, liked_at), example),
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
                        liked_at,
                    }
                },
            )
    }

    fn any_undone() -> impl Strategy<Value = Undone> {
        let inverse = prop::sample::select(Inverse::ALL.to_vec());
        let of = prop_oneof![
            any_key().prop_map(Undo::Event),
            (any::<u32>(), inverse).prop_map(|(item, inverse)| Undo::Item(ItemId(item), inverse)),
        ];
        (of, vec(any::<u64>().prop_map(Seq), 0..9)).prop_map(|(of, cancels)| Undone { of, cancels })
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let what = prop_oneof![
            4 => any_learned().prop_map(What::Interacted),
            1 => any::<u32>().prop_map(|user| What::Followed(UserId(user))),
            1 => any::<u32>().prop_map(|user| What::Unfollowed(UserId(user))),
            1 => any::<u32>().prop_map(|item| What::Posted(ItemId(item))),
            1 => (any_key(), option::of(any_key()), any::<i64>(), any::<bool>()).prop_map(|(metric, kind, millionths, replaces)| {
                What::Measured(Measured { metric, kind, millionths, replaces })
            }),
            1 => any::<(u32, bool)>().prop_map(|(item, on)| What::WentLive(ItemId(item), on)),
            1 => vec((any::<u32>().prop_map(TopicId), plain_float()), 0..20).prop_map(What::TopicsSet),
            1 => any_undone().prop_map(What::Undone),
            1 => (any_learned(), 0..=i64::MAX as u64).prop_map(|(learned, by)| {
                What::Cancelled(Box::new(Cancelled { by: Seq(by), what: What::Interacted(learned) }))
            }),
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

    /// The bits of all numbers that learning reads, since NaN does not equal itself.
    fn bits(entry: &mut Entry) -> Vec<u32> {
        let what = match &mut entry.what {
            What::Cancelled(cancelled) => &mut cancelled.what,
            what => what,
        };
        let What::Interacted(learned) = what else { return Vec::new() };
        // The version stays in the entry: it compares exactly.
        let Predicted { online, topics, model, model_version } = learned.predicted;
        learned.predicted = Predicted { online: 0.0, topics: 0.0, model: 0.0, model_version };
        let features = std::mem::take(&mut learned.features);
        features.into_iter().chain([online, topics, model]).map(f32::to_bits).collect()
    }

    /// Journals from before choices and opinions were learned separately give the gradients that they gave then.
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
        /// Encoding and decoding an entry changes no bit.
        #[test]
        fn entry_to_row_to_entry_is_identity(entry in any_entry()) {
            let mut found = JournalRow::encode(&entry).unwrap().decode().unwrap();
            let mut expected = entry;
            prop_assert_eq!(bits(&mut found), bits(&mut expected));
            prop_assert_eq!(found, expected);
        }

        /// Topics round-trip through text, and the text is JSON.
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
