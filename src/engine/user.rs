//! One person: a fold over their own slice of the journal.
//!
//! Invariant: [`UserState::fold`] is the only place where the state changes, and it reads nothing but the entry, the
//! vectors that the entry names, and the settings. So a live state equals the fold of its journal, bit by bit.
//! `(person, event id)` is learned at most once while it is among the last [`EVENTS_REMEMBERED`]; older resends are
//! caught by the store's unique key.
//! Absent on purpose: clocks, sockets, what was shown to whom (the actor knows).

use std::collections::VecDeque;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::feeds::{Cause, FeedItem, Ranking};
use crate::domain::ids::{ItemId, Key, Seq, TopicId, UserId};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::items::Item;
use crate::domain::journal::{CentreRef, Entry, Learned, Predicted, What};
use crate::domain::time::Millis;
use crate::engine::learn::axes::Centre;
use crate::engine::learn::online::{Judgement, OnlineModel, Point};
use crate::engine::learn::progressive::{Progress, RecentAuc};
use crate::engine::learn::quadratic::Form;
use crate::engine::learn::topics::TopicWeights;
use crate::engine::rank::{self, Ask, Taste};
use crate::engine::settings::LearnSettings;
use crate::engine::world::{Vectors, World, centred};

/// How many event ids a person's state remembers.
pub const EVENTS_REMEMBERED: usize = 256;

/// How many interactions a person's state remembers.
pub const HISTORY_LENGTH: usize = 256;

/// Something that a person did, checked at the door.
#[derive(Clone, Debug, PartialEq)]
pub enum UserEvent {
    /// Acted on an item.
    Interacted(Interaction),
    /// Follows somebody.
    Followed {
        /// Unique per person.
        id: Key,
        /// Whom.
        user: UserId,
        /// When.
        at: Millis,
    },
    /// Follows them no longer.
    Unfollowed {
        /// Unique per person.
        id: Key,
        /// Whom.
        user: UserId,
        /// When.
        at: Millis,
    },
    /// Made an item.
    Posted {
        /// Unique per person.
        id: Key,
        /// Which.
        item: ItemId,
        /// When.
        at: Millis,
    },
    /// Set topic weights, each in [0, 1].
    TopicsSet {
        /// Unique per person.
        id: Key,
        /// New weights; topics that are not named stay.
        weights: Vec<(TopicId, f32)>,
        /// When.
        at: Millis,
    },
}

impl UserEvent {
    /// The client's id.
    #[must_use]
    pub fn id(&self) -> &Key {
        match self {
            UserEvent::Interacted(interaction) => &interaction.id,
            UserEvent::Followed { id, .. }
            | UserEvent::Unfollowed { id, .. }
            | UserEvent::Posted { id, .. }
            | UserEvent::TopicsSet { id, .. } => id,
        }
    }

    fn at(&self) -> Millis {
        match self {
            UserEvent::Interacted(interaction) => interaction.at,
            UserEvent::Followed { at, .. }
            | UserEvent::Unfollowed { at, .. }
            | UserEvent::Posted { at, .. }
            | UserEvent::TopicsSet { at, .. } => *at,
        }
    }
}

/// What the shell does next, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store this; tell the client `accepted` with its number once it is durable.
    Journal(Entry),
    /// It was learned before, under this number: the same answer, nothing else.
    Known(Key, Seq),
    /// The feed is stale: rank again, once for the whole burst.
    Rank(Cause),
    /// It cannot be learned: no such item in this world.
    UnknownItem(Key, ItemId),
}

/// An entry names a vector that nobody has: the journal and the catalogue do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingVector {
    /// An item's embedding in a revision.
    #[error("item {} has no embedding in revision {revision}", item.0)]
    Embedding {
        /// Which item.
        item: ItemId,
        /// Which revision.
        revision: u32,
    },
    /// A topic's centre in an epoch.
    #[error("topic {} has no centre in epoch {}", .0.topic.0, .0.epoch)]
    Centre(CentreRef),
}

/// Why a saved state cannot be read: set it aside and fold the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Torn, or of another format version.
    #[error("torn or of another format")]
    Unreadable,
    /// Folded under other settings.
    #[error("folded under other settings")]
    OtherSettings,
}

/// One past interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// On what.
    pub item: ItemId,
    /// What they did.
    pub kind: Kind,
    /// When.
    pub at: Millis,
}

/// Progressive figures of one person: each score is taken before its label is learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Of the online model's log-odds.
    pub online: RecentAuc,
    /// Of the `topics` ranking's score.
    pub topics: RecentAuc,
    /// Of the `model` ranking's score.
    pub model: RecentAuc,
    /// Log loss and calibration of the online model.
    pub progress: Progress,
}

/// Everything learned about one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserState {
    user: UserId,
    seq: Seq,
    topics: TopicWeights,
    online: OnlineModel,
    /// Sorted.
    follows: Vec<UserId>,
    #[serde(with = "bitmap")]
    hidden: RoaringBitmap,
    /// Hash of the event id, and its number: oldest first.
    recent: VecDeque<(u64, Seq)>,
    history: VecDeque<Past>,
    scores: Scores,
}

impl UserState {
    /// Somebody of whom nothing is known.
    #[must_use]
    pub fn new(user: UserId) -> UserState {
        UserState {
            user,
            seq: Seq(0),
            topics: TopicWeights::default(),
            online: OnlineModel::default(),
            follows: Vec::new(),
            hidden: RoaringBitmap::new(),
            recent: VecDeque::new(),
            history: VecDeque::new(),
            scores: Scores::default(),
        }
    }

    /// The state after these entries, in order.
    ///
    /// # Errors
    /// [`MissingVector`] when an entry names a vector that `vectors` does not have.
    pub fn replay<'a>(
        user: UserId,
        entries: impl IntoIterator<Item = &'a Entry>,
        vectors: &dyn Vectors,
        settings: &LearnSettings,
    ) -> Result<UserState, MissingVector> {
        let mut state = UserState::new(user);
        for entry in entries {
            state.fold(entry, vectors, settings)?;
        }
        Ok(state)
    }

    /// Something happened: learn it, and say what is to be done. Learned one by one; ranked once per burst, by
    /// [`UserState::rank`], when the shell has carried out the effects of the whole burst.
    pub fn apply(&mut self, event: UserEvent, world: &World, now: Millis) -> Vec<Effect> {
        if let Some(seq) = self.number_of(event.id()) {
            return vec![Effect::Known(event.id().clone(), seq)];
        }
        let id = event.id().clone();
        let at = event.at().min(now);
        let what = match event {
            UserEvent::Interacted(interaction) => {
                let Some(item) = world.item(interaction.item) else {
                    return vec![Effect::UnknownItem(id, interaction.item)];
                };
                What::Interacted(self.observe(&interaction, item, world, at))
            }
            UserEvent::Followed { user, .. } => What::Followed(user),
            UserEvent::Unfollowed { user, .. } => What::Unfollowed(user),
            UserEvent::Posted { item, .. } => What::Posted(item),
            UserEvent::TopicsSet { weights, .. } => What::TopicsSet(weights),
        };
        let entry = Entry { user: self.user, seq: self.seq.next(), id: id.clone(), at, received: now, what };
        // The world has what the entry names: it was just taken from there.
        if let Err(MissingVector::Embedding { item, .. }) = self.fold(&entry, world, world.settings()) {
            return vec![Effect::UnknownItem(id, item)];
        }
        vec![Effect::Journal(entry), Effect::Rank(Cause::Event { id })]
    }

    /// Learns one entry. The only place where the state changes; on an error nothing has changed.
    ///
    /// # Errors
    /// [`MissingVector`] when the entry names a vector that `vectors` does not have.
    pub fn fold(
        &mut self,
        entry: &Entry,
        vectors: &dyn Vectors,
        settings: &LearnSettings,
    ) -> Result<(), MissingVector> {
        match &entry.what {
            What::Interacted(learned) => self.learn(learned, entry.at, vectors, settings)?,
            What::Followed(user) => {
                if let Err(index) = self.follows.binary_search(user) {
                    self.follows.insert(index, *user);
                }
            }
            What::Unfollowed(user) => {
                if let Ok(index) = self.follows.binary_search(user) {
                    self.follows.remove(index);
                }
            }
            What::Posted(_) => {}
            What::TopicsSet(weights) => self.topics.set(weights, entry.at, settings),
        }
        self.seq = entry.seq;
        if self.recent.len() == EVENTS_REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((event_hash(&entry.id), entry.seq));
        Ok(())
    }

    /// The best items for this person among `world.open_at(now)`. Changes nothing.
    #[must_use]
    pub fn rank(&self, world: &World, now: Millis, ask: Ask) -> Vec<FeedItem> {
        rank::rank(world, &world.open_at(now), &self.taste(world, now), now, ask)
    }

    /// Can this change of the world alter a feed of theirs, whose items are `shown` and whose lowest score is `lowest`
    /// (`None`: it has room)? `closed` and `updated` items matter when they are in it; `opened` ones when they enter it.
    #[must_use]
    pub fn is_concerned(
        &self,
        world: &World,
        changes: &crate::engine::world::Changes,
        shown: &[FeedItem],
        ranking: Ranking,
        full: bool,
        now: Millis,
    ) -> bool {
        let in_feed = |item: &ItemId| shown.iter().any(|one| one.item == *item);
        if changes.closed.iter().chain(&changes.updated).any(in_feed) {
            return true;
        }
        let taste = self.taste(world, now);
        let mut appeared = changes.opened.iter().chain(&changes.updated).filter(|item| !in_feed(item));
        match (ranking, full) {
            (Ranking::Model, true) => {
                let lowest = shown.last().map_or(f32::NEG_INFINITY, |one| one.score);
                appeared.any(|item| rank::enters(world, &taste, *item, now, lowest))
            }
            // Flat and topic feeds are ordered by time: what concerns them is who made it.
            (Ranking::Flat | Ranking::Topics, _) if !self.follows.is_empty() => appeared.any(|item| {
                world
                    .item(*item)
                    .and_then(|item| item.author.as_ref())
                    .is_some_and(|author| author.id == self.user || self.follows.binary_search(&author.id).is_ok())
            }),
            _ => appeared.any(|item| !self.hidden.contains(item.0)),
        }
    }

    /// What the online model says of an item now. Changes nothing.
    #[must_use]
    pub fn predict(&self, world: &World, item: ItemId) -> Option<Judgement> {
        let x = world.centred(item)?;
        Some(self.online.predict(&world.point(item, &x)?, world, world.settings()))
    }

    /// Number of the last entry.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Whose state.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Whom they follow, sorted.
    #[must_use]
    pub fn follows(&self) -> &[UserId] {
        &self.follows
    }

    /// Their online model.
    #[must_use]
    pub fn online(&self) -> &OnlineModel {
        &self.online
    }

    /// Their topic weights.
    #[must_use]
    pub fn topics(&self) -> &TopicWeights {
        &self.topics
    }

    /// Their progressive figures.
    #[must_use]
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// Items that are never shown to them again, by id.
    pub fn hidden(&self) -> impl Iterator<Item = ItemId> + '_ {
        self.hidden.iter().map(ItemId)
    }

    /// Their last interactions, oldest first.
    #[must_use]
    pub fn history(&self) -> &VecDeque<Past> {
        &self.history
    }

    /// The number of an event, while it is remembered.
    #[must_use]
    pub fn number_of(&self, id: &Key) -> Option<Seq> {
        let hash = event_hash(id);
        self.recent.iter().rev().find(|(known, _)| *known == hash).map(|(_, seq)| *seq)
    }

    /// What ranking reads of this person.
    fn taste(&self, world: &World, now: Millis) -> Taste<'_> {
        Taste {
            weights: self.online.weights(),
            forms: self.forms(world),
            topics: self.topics.all(now, world.settings()).map(|(topic, s)| (topic, s as f32)).collect(),
            follows: &self.follows,
            user: self.user,
            hidden: &self.hidden,
        }
    }

    /// What their online model learned of whole topics, by the centre that items of these have now.
    fn forms(&self, world: &World) -> Vec<(CentreRef, Form)> {
        let topics = self.online.quadratics().iter().map(|learned| learned.centre.topic);
        topics
            .map(|topic| (topic, world.centre_of(topic)))
            .filter(|(topic, centre)| centre.topic == *topic)
            .filter_map(|(_, centre)| Some((centre, self.online.form(centre, world)?)))
            .collect()
    }

    /// All that the entry must carry: label and weight, features and predictions as they are before learning.
    fn observe(&self, interaction: &Interaction, item: &Item, world: &World, at: Millis) -> Learned {
        let settings = world.settings();
        let centre = world.centre_of(item.main_topic());
        let features = rank::features(world, &self.taste(world, at), item.id, at);
        let x = centred(&item.embedding, world.centre(centre).map(Centre::mean));
        let judgement = world.point(item.id, &x).map(|point| self.online.predict(&point, world, settings));
        let judgement = judgement.unwrap_or_default();
        Learned {
            item: item.id,
            revision: item.revision,
            kind: interaction.kind,
            dwell_ms: interaction.dwell_ms,
            shown: interaction.shown,
            signal: settings.signals.of(interaction.kind, interaction.dwell_ms),
            topics: item.topics.to_vec(),
            centre,
            features: features.to_vec(),
            predicted: Predicted {
                online: judgement.log_odds,
                topics: rank::topics_score(&features),
                model: rank::blend_score(world, &features),
            },
        }
    }

    fn learn(
        &mut self,
        learned: &Learned,
        at: Millis,
        vectors: &dyn Vectors,
        settings: &LearnSettings,
    ) -> Result<(), MissingVector> {
        if let Some(signal) = learned.signal {
            let embedding = vectors
                .embedding(learned.item, learned.revision)
                .ok_or(MissingVector::Embedding { item: learned.item, revision: learned.revision })?;
            let centre = match learned.centre.epoch {
                0 => None,
                _ => Some(vectors.centre(learned.centre).ok_or(MissingVector::Centre(learned.centre))?),
            };
            // Score first, learn second: progressive validation.
            self.scores.online.record(learned.predicted.online, signal.positive);
            self.scores.topics.record(learned.predicted.topics, signal.positive);
            self.scores.model.record(learned.predicted.model, signal.positive);
            self.scores.progress.record(learned.predicted.online, signal.positive);
            let x = centred(embedding, centre.map(Centre::mean));
            let point = Point::new(&x, learned.centre, centre.and_then(Centre::axes));
            self.online.learn(&point, signal.positive, signal.weight, at, vectors, settings);
            if signal.positive {
                self.topics.learn(&learned.topics, at, settings);
            }
        }
        if learned.kind.removes() {
            self.hidden.insert(learned.item.0);
        } else if learned.signal.is_some_and(|signal| signal.positive) {
            // They came back to it by another way: hidden no longer.
            self.hidden.remove(learned.item.0);
        }
        if self.history.len() == HISTORY_LENGTH {
            self.history.pop_front();
        }
        self.history.push_back(Past { item: learned.item, kind: learned.kind, at });
        Ok(())
    }
}

/// Saved states: a format number, the settings' fingerprint, the state, and a checksum over all of it.
impl UserState {
    /// Rises whenever the bytes change their meaning.
    const FORMAT: u16 = 2;

    /// The state as bytes.
    #[must_use]
    pub fn to_bytes(&self, settings: &LearnSettings) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend(Self::FORMAT.to_le_bytes());
        bytes.extend(settings.fingerprint().to_le_bytes());
        // Writing plain data into memory has no way to fail; if it had, the missing checksum would be noticed on reading.
        if let Ok(mut bytes) = postcard::to_extend(self, bytes) {
            let checksum = xxh3_64(&bytes);
            bytes.extend(checksum.to_le_bytes());
            return bytes;
        }
        Vec::new()
    }

    /// Reads [`UserState::to_bytes`].
    ///
    /// # Errors
    /// [`SnapshotError`] when the bytes are torn, of another format, or were folded under other settings.
    pub fn from_bytes(bytes: &[u8], settings: &LearnSettings) -> Result<UserState, SnapshotError> {
        let (body, checksum) = bytes.split_last_chunk::<8>().ok_or(SnapshotError::Unreadable)?;
        let (format, rest) = body.split_first_chunk::<2>().ok_or(SnapshotError::Unreadable)?;
        let (fingerprint, state) = rest.split_first_chunk::<8>().ok_or(SnapshotError::Unreadable)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) || u16::from_le_bytes(*format) != Self::FORMAT {
            return Err(SnapshotError::Unreadable);
        }
        if u64::from_le_bytes(*fingerprint) != settings.fingerprint() {
            return Err(SnapshotError::OtherSettings);
        }
        postcard::from_bytes(state).map_err(|_| SnapshotError::Unreadable)
    }
}

fn event_hash(id: &Key) -> u64 {
    xxh3_64(id.as_str().as_bytes())
}

/// Bitmaps in snapshots: roaring's own portable format.
mod bitmap {
    use super::RoaringBitmap;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bitmap: &RoaringBitmap, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        bitmap.serialize_into(&mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoaringBitmap, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        RoaringBitmap::deserialize_from(&bytes[..]).map_err(serde::de::Error::custom)
    }
}
