//! State of one user: a fold over the user's own entries of the journal.
//!
//! Invariant: [`UserState::fold`] is the only place where the state changes. It reads only the entry, the vectors that
//! the entry names, and the settings. So a live state equals the fold of its journal, bit by bit. `(user, event id)` is
//! learned at most once while it is among the last [`EVENTS_REMEMBERED`]; the store's unique key rejects older resends.
//! A cancelled entry trains nothing, so a state after an undo is the fold of the other entries.
//! Deliberately absent: clocks, sockets, and the feeds that were sent (the actor keeps them).

mod events;
mod example;
mod profile;
mod similar;
mod snapshot;

use std::collections::VecDeque;
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::feeds::Cause;
use crate::domain::ids::{ItemId, Key, Seq, TopicId, UserId};
use crate::domain::interactions::{Interaction, Kind, Signal};
use crate::domain::journal::{CentreRef, Entry, Learned, Undone, What};
use crate::domain::time::Millis;
use crate::engine::catalogue::centres::Centre;
use crate::engine::catalogue::vectors::{Vectors, centred};
use crate::engine::features::FEATURES;
use crate::engine::learners::clock::HALF_LIVES_MS;
use crate::engine::learners::person::history::{Past, SESSION_BREAK_MS, Sign};
use crate::engine::learners::person::offset::UserOffset;
use crate::engine::learners::person::online::{Example, OnlineModel};
use crate::engine::learners::person::topics::TopicWeights;
use crate::engine::learners::person::visits::Visits;
use crate::engine::learners::shared::drift::{self, PageHinkley};
use crate::engine::learners::shared::popularity::Opinions;
use crate::engine::metrics::measured::{Measurement, PersonMetrics};
use crate::engine::metrics::progressive::{Progress, RecentAuc, log_loss};
use crate::engine::numeric::bitmap;
use crate::engine::numeric::kernels::is_among;
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::user_vector::UserVectorCache;
use crate::engine::world::World;

pub use events::{Effect, UserEvent};
pub use similar::{Likeness, LikenessQuestion, Tastes};
pub use snapshot::SnapshotError;

/// Event ids that a user's state remembers for deduplication.
pub const EVENTS_REMEMBERED: usize = 256;

/// Interactions that a user's history keeps.
pub(crate) const HISTORY_LENGTH: usize = 256;

/// Authors and topics with a count per user; beyond that, the least recently used one is evicted.
const AUTHORS_MAX: usize = 64;
const TOPICS_MAX: usize = 64;

/// Most recent interactions that decide whether the user skipped an item.
const ACTED_LATELY: usize = 64;

/// An entry names a vector that is not available: the journal and the catalogue do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingVector {
    /// No embedding of this item in this revision.
    #[error("item {} has no embedding in revision {revision}", item.0)]
    Embedding {
        /// Item that the entry names.
        item: ItemId,
        /// Revision that the entry names.
        revision: u32,
    },
    /// No centre of this topic in this epoch.
    #[error("topic {} has no centre in epoch {}", .0.topic.0, .0.epoch)]
    Centre(CentreRef),
}

/// Prequential metrics of one user: each prediction is recorded before its label is learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// AUC of the online model's log-odds.
    pub online: RecentAuc,
    /// AUC of the `topics` ranking's score.
    pub topics: RecentAuc,
    /// AUC of the `model` ranking's score.
    pub model: RecentAuc,
    /// Log loss and calibration of the online model.
    pub progress: Progress,
}

/// Everything learned about one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserState {
    user: UserId,
    seq: Seq,
    topics: TopicWeights,
    online: OnlineModel,
    /// Followed users, sorted by id.
    follows: Vec<UserId>,
    #[serde(with = "bitmap")]
    hidden: RoaringBitmap,
    /// Hashes of the last event ids, oldest first; their numbers end with `seq`.
    recent: VecDeque<u64>,
    history: VecDeque<Past>,
    scores: Scores,
    visits: Visits,
    /// Author affinity: author, visit count decayed with a half-life of 28 days, time of the last visit. The most
    /// recent comes last.
    authors: Vec<(UserId, f32, Millis)>,
    /// Approval by topic, the most recently updated last.
    opinions: Vec<(TopicId, Opinions)>,
    /// Approval over all topics.
    approval: Opinions,
    /// Interactions in the current session, and the time of the last one.
    session: (u32, Millis),
    /// User-specific weights of the blend, learned from choices and answers.
    offset: UserOffset,
    /// User-specific weights of the opinion model, learned from answers.
    own_opinion: UserOffset,
    drift: PageHinkley,
    metrics: PersonMetrics,
    /// User vector cache. Not learned: it is derived from the rest of the state, the attributes and the world.
    #[serde(skip)]
    user_vector: UserVectorCache,
}

impl UserState {
    /// A cold-start state: all learners are at their priors.
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
            visits: Visits::default(),
            authors: Vec::new(),
            opinions: Vec::new(),
            approval: Opinions::default(),
            session: (0, Millis::MIN),
            offset: UserOffset::default(),
            own_opinion: UserOffset::default(),
            drift: PageHinkley::default(),
            metrics: PersonMetrics::default(),
            user_vector: UserVectorCache::default(),
        }
    }

    /// Learns interactions as [`UserState::apply`] does, in the order of their time, and drops the entries: nothing is stored, and
    /// no shared state learns. Interactions with items that this world does not have are left out.
    #[must_use]
    pub fn with_unstored(mut self, mut interactions: Vec<Interaction>, world: &World, now: Millis) -> UserState {
        interactions.sort_by_key(|one| one.at.min(now));
        for interaction in interactions {
            self.apply(UserEvent::Interacted(interaction), world, now);
        }
        self
    }

    /// Folds these entries, in order, into a new state.
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

    /// Learns an event and returns the effects to perform. Events are learned one by one. The feed is ranked once per
    /// burst, by [`UserState::rank`], after the shell performed the effects of the whole burst.
    pub fn apply(&mut self, event: UserEvent, world: &World, now: Millis) -> Vec<Effect> {
        if let Some(seq) = self.number_of(event.id()) {
            return vec![Effect::Known(event.id().clone(), seq)];
        }
        let id = event.id().clone();
        let at = event.at().min(now);
        let is_choice = matches!(event, UserEvent::Interacted(_));
        if is_choice || matches!(event, UserEvent::Answered(_)) {
            self.look(world, at);
        }
        let what = match event {
            UserEvent::Interacted(interaction) | UserEvent::Answered(interaction) => {
                let Some(item) = world.item(interaction.item) else {
                    return vec![Effect::UnknownItem(id, interaction.item)];
                };
                What::Interacted(self.observe(&interaction, is_choice, item, world, at))
            }
            UserEvent::Followed { user, .. } => What::Followed(user),
            UserEvent::Unfollowed { user, .. } => What::Unfollowed(user),
            UserEvent::Posted { item, .. } => What::Posted(item),
            UserEvent::WentLive { item, on, .. } => What::WentLive(item, on),
            UserEvent::TopicsSet { weights, .. } => What::TopicsSet(weights),
            UserEvent::Measured { measured, .. } => What::Measured(measured),
            UserEvent::Undone { of, cancels, .. } => What::Undone(Undone { of, cancels }),
        };
        let entry = Entry { user: self.user, seq: self.seq.next(), id: id.clone(), at, received: now, what };
        // Cannot fail for an item of this world: the embedding was just read from it.
        if let Err(MissingVector::Embedding { item, .. }) = self.fold(&entry, world, world.settings()) {
            return vec![Effect::UnknownItem(id, item)];
        }
        let moves_the_feed = !matches!(entry.what, What::Measured(_));
        let mut effects = vec![Effect::Journal(entry)];
        effects.extend(moves_the_feed.then_some(Effect::Rank(Cause::Event { id })));
        effects
    }

    /// Learns one entry. This is the only place where the state changes; on an error nothing has changed.
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
            What::Posted(_) | What::WentLive(..) => {}
            What::TopicsSet(weights) => self.topics.set(weights, entry.at, settings.topic_decay()),
            What::Measured(measured) => self.metrics.add(Measurement::of(measured)),
            // A fold reads the cancelled entries as `Cancelled`, so neither entry trains anything.
            What::Undone(_) | What::Cancelled(_) => {}
        }
        self.seq = entry.seq;
        if self.recent.len() == EVENTS_REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(event_hash(&entry.id));
        Ok(())
    }

    /// Whether both states learned equally, whatever the numbers and ids of their entries.
    #[must_use]
    pub fn has_learned_as(&self, other: &UserState) -> bool {
        let learned = |state: &UserState| UserState { seq: Seq(0), recent: VecDeque::new(), ..state.clone() };
        learned(self) == learned(other)
    }

    /// Did the user hide this item for good?
    #[must_use]
    pub fn has_hidden(&self, item: ItemId) -> bool {
        self.hidden.contains(item.0)
    }

    /// Sequence number of the last folded entry.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Id of the user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Followed users, sorted by id.
    #[must_use]
    pub fn follows(&self) -> &[UserId] {
        &self.follows
    }

    /// The user's online model.
    #[must_use]
    pub fn online(&self) -> &OnlineModel {
        &self.online
    }

    /// The user's topic weights.
    #[must_use]
    pub fn topics(&self) -> &TopicWeights {
        &self.topics
    }

    /// The user's prequential metrics.
    #[must_use]
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// Latest event time in the history; `None` for an empty history.
    #[must_use]
    pub fn newest_interaction(&self) -> Option<Millis> {
        self.history.iter().map(|past| past.at).max()
    }

    /// Did the user act on this item among the last interactions? Then it does not count as skipped.
    #[must_use]
    pub fn acted_lately(&self, item: ItemId) -> bool {
        self.history.iter().rev().take(ACTED_LATELY).any(|past| past.item == item && past.kind != Kind::View)
    }

    /// The user's own weights in the blend.
    #[must_use]
    pub fn offset(&self) -> &UserOffset {
        &self.offset
    }

    /// Running means and counts of the user's metrics.
    #[must_use]
    pub fn metrics(&self) -> &PersonMetrics {
        &self.metrics
    }

    /// Number of detected drifts of the user's interests; each makes the online model forget faster.
    #[must_use]
    pub fn drifts(&self) -> u32 {
        self.drift.alarms()
    }

    /// Hidden items, in the order of their ids.
    pub fn hidden(&self) -> impl Iterator<Item = ItemId> + '_ {
        self.hidden.iter().map(ItemId)
    }

    /// The last interactions, at most [`HISTORY_LENGTH`], oldest first.
    #[must_use]
    pub fn history(&self) -> &VecDeque<Past> {
        &self.history
    }

    /// Sequence number of an event; `None` for an event that is new or no longer remembered.
    #[must_use]
    pub fn number_of(&self, id: &Key) -> Option<Seq> {
        let hash = event_hash(id);
        let (older, newer) = self.recent.as_slices();
        // Fast path: nearly every event is new.
        if !(is_among(older, hash) | is_among(newer, hash)) {
            return None;
        }
        let since = self.recent.iter().rev().position(|known| *known == hash)?;
        Some(Seq(self.seq.0.saturating_sub(since as u64)))
    }

    /// Sets the user's attributes, a JSON object as text; the two-tower model reads them.
    pub fn set_attributes(&mut self, attributes: Option<Arc<str>>) {
        self.user_vector.set_attributes(attributes);
    }

    /// The user's attributes, a JSON object as text.
    #[must_use]
    pub fn attributes(&self) -> Option<&Arc<str>> {
        self.user_vector.attributes()
    }

    fn learn(
        &mut self,
        learned: &Learned,
        at: Millis,
        vectors: &dyn Vectors,
        settings: &LearnSettings,
    ) -> Result<(), MissingVector> {
        if let Some(signal) = learned.signal {
            let (embedding, centre) = named_vectors((learned.item, learned.revision), learned.centre, vectors)?;
            let passed = learned.example.as_ref().map_or(&[][..], |example| &example.passed);
            // All vectors are looked up before anything changes.
            let passed = passed
                .iter()
                .map(|one| Ok((one, named_vectors((one.item, one.revision), one.centre, vectors)?)))
                .collect::<Result<Vec<_>, MissingVector>>()?;
            // Progressive validation: score first, then learn.
            self.scores.online.record(learned.predicted.online, signal.positive);
            self.scores.topics.record(learned.predicted.topics, signal.positive);
            self.scores.model.record(learned.predicted.model, signal.positive);
            self.scores.progress.record(learned.predicted.online, signal.positive);
            let x = centred(embedding, centre.map(Centre::mean));
            let example = Example::new(&x, learned.centre, centre.and_then(Centre::axes));
            self.online.learn(&example, signal.positive, signal.weight, at, vectors, settings.online());
            for (negative, (embedding, centre)) in passed {
                let x = centred(embedding, centre.map(Centre::mean));
                let example = Example::new(&x, negative.centre, centre.and_then(Centre::axes));
                self.online.learn(&example, false, negative.weight, at, vectors, settings.online());
            }
            let loss = log_loss(f64::from(learned.predicted.online), signal.positive) as f32;
            if self.drift.learn(loss, drift::ONE_USER) {
                // Drift: widen the posterior, so that the next answers count more.
                self.online.loosen(settings.online());
            }
            if signal.positive {
                self.topics.learn(&learned.topics, at, settings.topic_decay());
            }
            // Entries from before training examples existed count as visits wherever they are positive.
            if learned.example.as_ref().map_or(signal.positive, |example| example.visits.is_some()) {
                self.visits.learn(learned.item, at);
                if let Some(author) = learned.example.as_ref().and_then(|example| example.author) {
                    self.visit_author(author, at);
                }
            }
            self.approval.learn(signal, at);
            if let Some(topic) = learned.topics.first() {
                self.note_opinion(*topic, signal, at);
            }
            if let Some(example) = &learned.example {
                self.offset.learn_choice::<FEATURES>(example, signal.weight);
                if let Some(opinion) = &example.opinion {
                    self.own_opinion.learn_opinion::<FEATURES>(opinion, &learned.features, signal.weight);
                    self.offset.learn_opinion::<FEATURES>(opinion, &learned.features, signal.weight);
                }
            }
        }
        if learned.kind.removes() {
            self.hidden.insert(learned.item.0);
        } else if learned.signal.is_some_and(|signal| signal.positive) {
            // A positive interaction with a hidden item unhides it.
            self.hidden.remove(learned.item.0);
        }
        let goes_on = at.since(self.session.1) < SESSION_BREAK_MS;
        self.session = (if goes_on { self.session.0.saturating_add(1) } else { 1 }, self.session.1.max(at));
        if self.history.len() == HISTORY_LENGTH {
            self.history.pop_front();
        }
        let sign = match learned.signal {
            Some(signal) if signal.positive => Sign::Positive,
            Some(_) => Sign::Negative,
            None if learned.kind.removes() => Sign::Negative,
            None => Sign::Neutral,
        };
        self.history.push_back(Past { item: learned.item, kind: learned.kind, sign, at });
        Ok(())
    }
}

/// Counts that are kept beside the learners.
impl UserState {
    fn visit_author(&mut self, author: UserId, at: Millis) {
        let known = self.authors.iter().position(|(known, ..)| *known == author);
        let count = match known {
            Some(index) => {
                let (_, count, last) = self.authors.remove(index);
                count * author_fade(at, last)
            }
            None => {
                if self.authors.len() == AUTHORS_MAX {
                    self.authors.remove(0);
                }
                0.0
            }
        };
        self.authors.push((author, count + 1.0, at));
    }

    fn note_opinion(&mut self, topic: TopicId, signal: Signal, at: Millis) {
        let known = self.opinions.iter().position(|(known, _)| *known == topic);
        let mut opinions = match known {
            Some(index) => self.opinions.remove(index).1,
            None => {
                if self.opinions.len() == TOPICS_MAX {
                    self.opinions.remove(0);
                }
                Opinions::default()
            }
        };
        opinions.learn(signal, at);
        self.opinions.push((topic, opinions));
    }
}

/// Embedding of an item's revision, and the centre that is subtracted from it; `None` before the first fit.
fn named_vectors(
    (item, revision): (ItemId, u32),
    centre: CentreRef,
    vectors: &dyn Vectors,
) -> Result<(&[f32], Option<&Centre>), MissingVector> {
    let embedding = vectors.embedding(item, revision).ok_or(MissingVector::Embedding { item, revision })?;
    let centre = match centre.epoch {
        0 => None,
        _ => Some(vectors.centre(centre).ok_or(MissingVector::Centre(centre))?),
    };
    Ok((embedding, centre))
}

/// Decay factor of author counts: half-life 28 days.
fn author_fade(now: Millis, last: Millis) -> f32 {
    (-(now.since(last) as f32) / HALF_LIVES_MS[4] as f32).exp2()
}

fn event_hash(id: &Key) -> u64 {
    xxh3_64(id.as_str().as_bytes())
}
