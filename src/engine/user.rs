//! State of one user: a fold over the user's own entries of the journal.
//!
//! Invariant: [`UserState::fold`] is the only place where the state changes. It reads only the entry, the vectors that
//! the entry names, and the settings. So a live state equals the fold of its journal, bit by bit. `(user, event id)` is
//! learned at most once while it is among the last [`EVENTS_REMEMBERED`]; the store's unique key rejects older resends.
//! Deliberately absent: clocks, sockets, and the feeds that were sent (the actor keeps them).

use std::collections::VecDeque;
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::feeds::{Cause, FeedItem, Ranking};
use crate::domain::ids::{ItemId, Key, Seq, TopicId, UserId};
use crate::domain::interactions::{Interaction, Kind, Signal};
use crate::domain::items::Item;
use crate::domain::journal::{
    CentreRef, CoVisited, Contents, Entry, Learned, Measured, Predicted, TrainingExample, What,
};
use crate::domain::time::{MINUTE_MS, Millis};
use crate::engine::catalogue::centres::Centre;
use crate::engine::features::{HALF_LIVES_MS, Row};
use crate::engine::learners::person::online::{Example, OnlineModel, Prediction};
use crate::engine::learners::person::quadratic::Form;
use crate::engine::learners::person::topics::TopicWeights;
use crate::engine::learners::person::visits::Visits;
use crate::engine::learners::shared::blend::{self, StandsFor, UserOffset};
use crate::engine::learners::shared::drift::{self, PageHinkley};
use crate::engine::learners::shared::popularity::Opinions;
use crate::engine::metrics::measured::{Measurement, PersonMetrics};
use crate::engine::metrics::progressive::{Progress, RecentAuc, log_loss};
use crate::engine::numeric::kernels::is_among;
use crate::engine::rank::stage::topic_shares;
use crate::engine::rank::{self, RankRequest, Ranked, UserProfile, Viewport};
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::user_vector::Portrait;
use crate::engine::two_tower::{Sign, TowerVector};
use crate::engine::world::{Vectors, World, centred};

/// Event ids that a user's state remembers for deduplication.
pub const EVENTS_REMEMBERED: usize = 256;

/// Interactions that a user's history keeps.
pub const HISTORY_LENGTH: usize = 256;

/// Authors and topics with a count per user; beyond that, the least recently used one is evicted.
const AUTHORS_MAX: usize = 64;
const TOPICS_MAX: usize = 64;

/// Prior strength of approval rates, in pseudo-observations: a topic's rate shrinks towards the user's own rate, and
/// the user's own rate towards the global one.
const TOPIC_PRIOR: f64 = 4.0;
const APPROVAL_PRIOR: f64 = 5.0;

/// A pause of 30 minutes ends a session.
const SESSION_BREAK_MS: i64 = 30 * MINUTE_MS;

/// Co-visited items that an entry names, at most.
const COMPANIONS_MAX: usize = 16;

/// Most recent interactions that decide whether the user skipped an item.
const ACTED_LATELY: usize = 64;

/// Skipped items that serve as negatives of a click, at most; the ones nearest to the click are taken.
const PASSED_MAX: usize = 50;

/// A validated action of the user, or a measurement of the user.
#[derive(Clone, Debug, PartialEq)]
pub enum UserEvent {
    /// Chose an item among all available ones.
    Interacted(Interaction),
    /// Judged one item that was put before the user, as in a log of views: an answer, not a choice among others.
    Answered(Interaction),
    /// Started to follow another user.
    Followed {
        /// Event id, unique per user.
        id: Key,
        /// The followed user.
        user: UserId,
        /// Time of the event.
        at: Millis,
    },
    /// Stopped following another user.
    Unfollowed {
        /// Event id, unique per user.
        id: Key,
        /// The user who is followed no longer.
        user: UserId,
        /// Time of the event.
        at: Millis,
    },
    /// Published an item.
    Posted {
        /// Event id, unique per user.
        id: Key,
        /// The published item.
        item: ItemId,
        /// Time of the event.
        at: Millis,
    },
    /// Switched an own item on air or off air.
    WentLive {
        /// Event id, unique per user.
        id: Key,
        /// The switched item.
        item: ItemId,
        /// `true` switches on, `false` switches off.
        on: bool,
        /// Time of the event.
        at: Millis,
    },
    /// Set topic weights, each in [0, 1].
    TopicsSet {
        /// Event id, unique per user.
        id: Key,
        /// New weights; topics that are not named keep theirs.
        weights: Vec<(TopicId, f32)>,
        /// Time of the event.
        at: Millis,
    },
    /// A metric of the user was measured. It is learned, but causes no new ranking.
    Measured {
        /// Event id, unique per user.
        id: Key,
        /// The value, with a declared metric and kind.
        measured: Measured,
        /// Time of the event.
        at: Millis,
    },
}

impl UserEvent {
    /// Event id that the client gave, unique per user.
    #[must_use]
    pub fn id(&self) -> &Key {
        match self {
            UserEvent::Interacted(interaction) | UserEvent::Answered(interaction) => &interaction.id,
            UserEvent::Followed { id, .. }
            | UserEvent::Unfollowed { id, .. }
            | UserEvent::Posted { id, .. }
            | UserEvent::WentLive { id, .. }
            | UserEvent::TopicsSet { id, .. }
            | UserEvent::Measured { id, .. } => id,
        }
    }

    /// Payload of the event, for detecting an event id that is reused with other contents.
    #[must_use]
    pub fn contents(&self) -> Contents {
        match self {
            UserEvent::Interacted(one) | UserEvent::Answered(one) => {
                Contents::Interacted(one.item, one.kind, one.dwell_ms)
            }
            UserEvent::Followed { user, .. } => Contents::Followed(*user),
            UserEvent::Unfollowed { user, .. } => Contents::Unfollowed(*user),
            UserEvent::Posted { item, .. } => Contents::Posted(*item),
            UserEvent::WentLive { item, on, .. } => Contents::WentLive(*item, *on),
            UserEvent::TopicsSet { weights, .. } => Contents::of_weights(weights),
            UserEvent::Measured { measured, .. } => Contents::Measured(measured.clone()),
        }
    }

    /// Time of the event; [`Millis::ON_ARRIVAL`], or any future time, means the time of arrival.
    #[must_use]
    pub fn at(&self) -> Millis {
        match self {
            UserEvent::Interacted(interaction) | UserEvent::Answered(interaction) => interaction.at,
            UserEvent::Followed { at, .. }
            | UserEvent::Unfollowed { at, .. }
            | UserEvent::Posted { at, .. }
            | UserEvent::WentLive { at, .. }
            | UserEvent::TopicsSet { at, .. }
            | UserEvent::Measured { at, .. } => *at,
        }
    }
}

/// Action for the shell to perform; effects are performed in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store the entry; once it is durable, send `accepted` with its number to the client.
    Journal(Entry),
    /// The event was learned before, under this number: answer with it, and do nothing else.
    Known(Key, Seq),
    /// The feed is stale: rank again, once per burst of events.
    Rank(Cause),
    /// The event cannot be learned: this world has no such item.
    UnknownItem(Key, ItemId),
}

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

/// Reason why a snapshot cannot be read; the caller discards it and folds the journal instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes are torn, or have another format version.
    #[error("torn or of another format")]
    Unreadable,
    /// The state was folded under other learning settings.
    #[error("folded under other settings")]
    OtherSettings,
}

/// One interaction of the user's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Item that the user acted on.
    pub item: ItemId,
    /// Kind of interaction.
    pub kind: Kind,
    /// Positive, negative or neutral, as the signal settings judged it.
    pub sign: Sign,
    /// Time of the interaction.
    pub at: Millis,
}

impl Past {
    /// Does another interaction belong to the visit that this one began? One visit often sends two interactions: a
    /// click, then the like of the opened item. An interaction of another kind with this item within a session break
    /// continues the visit. Two interactions of one kind are two visits.
    #[must_use]
    pub fn is_visit_of(&self, item: ItemId, kind: Kind, at: Millis) -> bool {
        self.item == item && self.kind != kind && at.since(self.at).abs() < SESSION_BREAK_MS
    }
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
    portrait: Portrait,
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
            portrait: Portrait::default(),
        }
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
            What::TopicsSet(weights) => self.topics.set(weights, entry.at, settings),
            // A metric that is no longer declared is ignored.
            What::Measured(measured) => {
                if let Ok(measurement) = Measurement::of(&settings.metrics, measured) {
                    self.metrics.add(measurement);
                }
            }
        }
        self.seq = entry.seq;
        if self.recent.len() == EVENTS_REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(event_hash(&entry.id));
        Ok(())
    }

    /// The top items of `world.open_at(now)` for this user, with an empty screen. Changes nothing.
    #[must_use]
    pub fn rank(&self, world: &World, now: Millis, request: RankRequest) -> Vec<FeedItem> {
        self.rank_on(world, now, request, Viewport::default()).items
    }

    /// The feed of this version for a screen with known contents. Changes nothing.
    #[must_use]
    pub fn rank_on(&self, world: &World, now: Millis, request: RankRequest, viewport: Viewport<'_>) -> Ranked {
        rank::rank(world, &world.open_at(now), &self.profile(world, now, request.ranking), now, request, viewport)
    }

    /// Can this change of the world alter the user's feed? `shown` are the feed's items, `floor` is its
    /// [`Ranked::floor`]. `closed` and `updated` items matter when the feed contains them; `opened` and `updated` ones
    /// when they could enter it.
    #[must_use]
    pub fn is_concerned(
        &self,
        world: &World,
        changes: &crate::engine::world::Changes,
        shown: &[FeedItem],
        ranking: Ranking,
        entry_threshold: f32,
        now: Millis,
    ) -> bool {
        let in_feed = |item: &ItemId| shown.iter().any(|one| one.item == *item);
        if changes.closed.iter().chain(&changes.updated).any(in_feed) {
            return true;
        }
        let mut appeared = changes.opened.iter().chain(&changes.updated).filter(|item| !in_feed(item));
        match ranking {
            // The check runs for thousands of users at once, and few are affected: it scores only the new items.
            Ranking::Model | Ranking::Tower => appeared.any(|item| {
                !self.hidden.contains(item.0)
                    && world.is_open(*item, now)
                    && self.score_of(world, *item, now, ranking).is_some_and(|score| score >= entry_threshold)
            }),
            // Flat and topic feeds are ordered by time, so only an item's author decides whether it enters.
            Ranking::Flat | Ranking::Topics if !self.follows.is_empty() => appeared.any(|item| {
                world
                    .item(*item)
                    .and_then(|item| item.author.as_ref())
                    .is_some_and(|author| author.id == self.user || self.follows.binary_search(&author.id).is_ok())
            }),
            Ranking::Flat | Ranking::Topics => appeared.any(|item| !self.hidden.contains(item.0)),
        }
    }

    /// Did the user hide this item for good?
    #[must_use]
    pub fn has_hidden(&self, item: ItemId) -> bool {
        self.hidden.contains(item.0)
    }

    /// Writes the log-odds of the `model` ranking for these items into `out`, in their order. Changes nothing.
    pub fn score_items(&self, world: &World, items: &[ItemId], now: Millis, out: &mut Vec<f32>) {
        rank::scores(world, &self.profile(world, now, Ranking::Model), items, now, out);
    }

    /// Log-odds of one item by the `model` or `tower` ranking; `None` for an item that this world does not have. Equals
    /// the score in a feed bit by bit, at a fraction of the cost. Changes nothing.
    #[must_use]
    pub fn score_of(&self, world: &World, item: ItemId, now: Millis, ranking: Ranking) -> Option<f32> {
        let profile = self.profile_for_item(world, world.item(item)?, now, ranking);
        Some(rank::score_of(world, &profile, item, now, ranking))
    }

    /// Calibrated log-odds that the user approves of this item; `None` for an item that this world does not have.
    #[must_use]
    pub fn approval_of(&self, world: &World, item: ItemId, now: Millis) -> Option<f32> {
        world.item(item)?;
        let profile = self.profile(world, now, Ranking::Model);
        let rows = rank::rows(world, &profile, &[item], now);
        Some(world.opinion().log_odds(rows.first()?, &self.own_opinion))
    }

    /// Approval probabilities in (0, 1) of these items, in their order. Empty for rankings other than `model`, and
    /// before enough positive and negative answers calibrated the opinion model.
    #[must_use]
    pub fn likely(&self, world: &World, ranking: Ranking, items: &[FeedItem], now: Millis) -> Vec<f32> {
        let opinion = world.opinion();
        if ranking != Ranking::Model || !opinion.is_calibrated || items.is_empty() {
            return Vec::new();
        }
        let ids: Vec<ItemId> = items.iter().map(|one| one.item).collect();
        let rows = rank::rows(world, &self.profile(world, now, Ranking::Model), &ids, now);
        rows.iter().map(|row| opinion.probability(row, &self.own_opinion)).collect()
    }

    /// The online model's prediction for an item; `None` for an item that this world does not have. Changes nothing.
    #[must_use]
    pub fn predict(&self, world: &World, item: ItemId) -> Option<Prediction> {
        let x = world.centred(item)?;
        Some(self.online.predict(&world.example(item, &x)?, world, world.settings()))
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

    /// Topic shares of the positive interactions in the history; they sum to 1.
    fn topic_shares(&self, world: &World) -> Vec<(u32, f64)> {
        let liked = |past: &&Past| past.sign == Sign::Positive;
        topic_shares(self.history.iter().filter(liked).filter_map(|past| Some(&world.item(past.item)?.topics[..])))
    }

    /// Sets the user's attributes, a JSON object as text; the two-tower model reads them.
    pub fn set_attributes(&mut self, attributes: Option<Arc<str>>) {
        self.portrait.set_attributes(attributes);
    }

    /// The user's attributes, a JSON object as text.
    #[must_use]
    pub fn attributes(&self) -> Option<&Arc<str>> {
        self.portrait.attributes()
    }

    /// Refreshes the user vector cache with the world's two-tower model, so that later reads at `now` need no
    /// inference. Reads without this call give equal results, but each one runs its own inference.
    pub fn look(&mut self, world: &World, now: Millis) {
        let Some(tower) = world.tower() else { return };
        self.portrait.look(tower, self.seq, self.history.iter(), now);
    }

    /// Calls [`UserState::look`] if this ranking uses the two-tower model.
    pub fn look_for(&mut self, ranking: Ranking, world: &World, now: Millis) {
        if ranking.asks_the_tower() {
            self.look(world, now);
        }
    }

    /// The user vector by the world's two-tower model; `None` without a model.
    #[must_use]
    pub fn tower_vector(&self, world: &World, now: Millis) -> Option<TowerVector> {
        Some(self.portrait.vector(world.tower()?, self.seq, self.history.iter(), now))
    }

    /// The user profile that a ranking reads.
    pub(crate) fn profile(&self, world: &World, now: Millis, ranking: Ranking) -> UserProfile<'_> {
        UserProfile {
            tower: if ranking.asks_the_tower() { self.tower_vector(world, now) } else { None },
            weights: self.online.weights(),
            precision: self.online.precision(),
            shares: if world.settings().rank.calibration > 0.0 { self.topic_shares(world) } else { Vec::new() },
            forms: self.forms(world),
            topics: self.topics.all(now, world.settings()).map(|(topic, s)| (topic, s as f32)).collect(),
            follows: &self.follows,
            user: self.user,
            hidden: &self.hidden,
            visits: &self.visits,
            history: &self.history,
            authors: self.author_weights(now),
            opinions: self.topic_opinions(now),
            approval: self.approval.log_odds(now, world.popularity().approval(), APPROVAL_PRIOR),
            session: if now.since(self.session.1) < SESSION_BREAK_MS { self.session.0 } else { 0 },
            offset: &self.offset,
            group: self.group(world),
        }
    }

    /// The user's cluster; `None` for outliers and for users that the last fit did not contain.
    fn group(&self, world: &World) -> Option<u32> {
        world.clusters()?.member(self.user).filter(|member| !member.outlier).map(|member| member.group)
    }

    /// The user profile for scoring one item; it contains only the entries that the item needs.
    fn profile_for_item(&self, world: &World, item: &Item, now: Millis, ranking: Ranking) -> UserProfile<'_> {
        let settings = world.settings();
        let centre = world.centre_of(item.main_topic());
        let author = item.author.as_ref().map(|author| author.id);
        let authors = self.authors.iter().filter(|(known, ..)| Some(*known) == author);
        let rate = self.approval.rate();
        let opinions = self.opinions.iter().filter(|(topic, _)| *topic == item.main_topic());
        let mut topics: Vec<TopicId> = item.topics.iter().copied().chain([item.main_topic()]).collect();
        topics.sort_unstable();
        topics.dedup();
        UserProfile {
            tower: if ranking.asks_the_tower() { self.tower_vector(world, now) } else { None },
            weights: self.online.weights(),
            precision: self.online.precision(),
            shares: Vec::new(),
            forms: self.online.form(centre, world).map(|form| (centre, form)).into_iter().collect(),
            topics: topics.iter().map(|topic| (*topic, self.topics.at(*topic, now, settings) as f32)).collect(),
            follows: &self.follows,
            user: self.user,
            hidden: &self.hidden,
            visits: &self.visits,
            history: &self.history,
            authors: authors.map(|(author, count, last)| (*author, count * author_fade(now, *last))).collect(),
            opinions: opinions.map(|(topic, of)| (*topic, of.log_odds(now, rate, TOPIC_PRIOR))).collect(),
            approval: self.approval.log_odds(now, world.popularity().approval(), APPROVAL_PRIOR),
            session: if now.since(self.session.1) < SESSION_BREAK_MS { self.session.0 } else { 0 },
            offset: &self.offset,
            group: self.group(world),
        }
    }

    /// Quadratic forms that the online model learned of whole topics, by the current centre of each topic.
    fn forms(&self, world: &World) -> Vec<(CentreRef, Form)> {
        let topics = self.online.quadratics().iter().map(|learned| learned.centre.topic);
        topics
            .map(|topic| (topic, world.centre_of(topic)))
            .filter(|(topic, centre)| centre.topic == *topic)
            .filter_map(|(_, centre)| Some((centre, self.online.form(centre, world)?)))
            .collect()
    }

    fn author_weights(&self, now: Millis) -> Vec<(UserId, f32)> {
        let mut weights: Vec<(UserId, f32)> =
            self.authors.iter().map(|(author, count, last)| (*author, count * author_fade(now, *last))).collect();
        weights.sort_unstable_by_key(|(author, _)| *author);
        weights
    }

    fn topic_opinions(&self, now: Millis) -> Vec<(TopicId, f32)> {
        let rate = self.approval.rate();
        let of = |(topic, opinions): &(TopicId, Opinions)| (*topic, opinions.log_odds(now, rate, TOPIC_PRIOR));
        let mut all: Vec<(TopicId, f32)> = self.opinions.iter().map(of).collect();
        all.sort_unstable_by_key(|(topic, _)| *topic);
        all
    }

    /// Builds the entry's payload from the state before learning: label and weight, features, predictions and the
    /// training example.
    fn observe(&self, interaction: &Interaction, is_choice: bool, item: &Item, world: &World, at: Millis) -> Learned {
        let settings = world.settings();
        let centre = world.centre_of(item.main_topic());
        let signal = settings.signals.of(interaction.kind, interaction.dwell_ms);
        let profile = self.profile(world, at, Ranking::Model);
        let is_visit = signal.is_some_and(|signal| signal.positive) && !self.is_there(interaction, at);
        let compared = (is_visit && is_choice).then(|| self.sample_negatives(interaction, world, at));
        let (compared, many) = compared.unwrap_or_default();
        let all: Vec<ItemId> = std::iter::once(item.id).chain(compared).collect();
        let rows = rank::rows(world, &profile, &all, at);
        let x = centred(&item.embedding, world.centre(centre).map(Centre::mean));
        let prediction = world.example(item.id, &x).map(|example| self.online.predict(&example, world, settings));
        let prediction = prediction.unwrap_or_default();
        let predicted = Predicted {
            online: prediction.log_odds,
            topics: rank::topics_score(&rows[0].features),
            model: world.opinion().log_odds(&rows[0], &self.own_opinion),
            model_version: world.tower().map(|tower| tower.version()),
        };
        Learned {
            item: item.id,
            revision: item.revision,
            kind: interaction.kind,
            dwell_ms: interaction.dwell_ms,
            shown: interaction.shown,
            signal,
            topics: item.topics.to_vec(),
            centre,
            features: rows[0].features.to_vec(),
            predicted,
            example: signal.map(|signal| {
                let author = item.author.as_ref().map(|author| author.id);
                Box::new(TrainingExample {
                    author,
                    group: profile.group,
                    opinion: world.opinion().example(&rows[0], signal.positive, &self.own_opinion),
                    ..if is_visit {
                        self.visit(interaction.item, (&rows, many), world, at)
                    } else {
                        TrainingExample::default()
                    }
                })
            }),
        }
    }

    /// Does the interaction continue the visit that the last positive interaction began?
    fn is_there(&self, interaction: &Interaction, at: Millis) -> bool {
        let last = self.history.iter().rev().find(|past| past.sign == Sign::Positive);
        last.is_some_and(|last| last.is_visit_of(interaction.item, interaction.kind, at))
    }

    /// Negatives for a click, with log importance weights. Where the client said which items it showed, these are the
    /// skipped items. Otherwise they are a sample of the available items. A third of the sample comes from the user's
    /// own visited items: they are few among thousands, and the hardest negatives.
    fn sample_negatives(&self, interaction: &Interaction, world: &World, at: Millis) -> (Vec<ItemId>, StandsFor) {
        let all = [0.0; 2];
        if interaction.shown.is_some() {
            let passed = interaction.passed.iter().rev().take(PASSED_MAX).copied();
            return (passed.filter(|item| *item != interaction.item && world.item(*item).is_some()).collect(), all);
        }
        let open = world.open_at(at);
        let most = u64::from(world.settings().negatives);
        let others = |item: &ItemId| *item != interaction.item && !self.hidden.contains(item.0);
        if open.len() <= most + 1 {
            return (open.iter().map(ItemId).filter(others).collect(), all);
        }
        let wanted = blend::sample_size(open.len(), most);
        // Seeded by the user and the sequence number: deterministic.
        let mut seed = xxh3_64(&((u64::from(self.user.0) << 32) ^ self.seq.0).to_le_bytes());
        let mut draw = |count: u64, below: u64| {
            let mut drawn: Vec<u32> = (0..count)
                .map(|_| {
                    // Knuth's linear congruential generator; only its high bits are used, since the low ones are poor.
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    ((u128::from(seed) * u128::from(below)) >> 64) as u32
                })
                .collect();
            drawn.sort_unstable();
            drawn.dedup();
            drawn
        };
        let visits = self.visits.recent();
        let own = (wanted / 3).min(visits.len() as u64);
        let from_all = draw(wanted - own, open.len());
        let from_own = draw(own, visits.len() as u64);
        let share = |drawn: &[u32], of: u64| drawn.len() as f32 / of.max(1) as f32;
        let (any, theirs) = (share(&from_all, open.len()), share(&from_own, visits.len() as u64));
        let from_own = from_own.into_iter().map(|rank| visits[rank as usize].item);
        let mut items: Vec<ItemId> = from_own.filter(|item| others(item) && open.contains(item.0)).collect();
        let more = from_all.into_iter().filter_map(|place| open.select(place)).map(ItemId).filter(others);
        for item in more {
            // An item that both draws contain is added once.
            if !items[..(own as usize).min(items.len())].contains(&item) {
                items.push(item);
            }
        }
        // An item of the user's own visits can come from either draw: inclusion probability `a + b - a b`.
        (items, [-any.ln(), -(any + theirs - any * theirs).ln()])
    }

    /// The training example of a visit: the choice against its negatives, and the co-visited items.
    fn visit(&self, item: ItemId, (rows, many): (&[Row], StandsFor), world: &World, at: Millis) -> TrainingExample {
        let choice = match rows.len() {
            0..=1 => TrainingExample::default(),
            _ => blend::choice(rows, 0, many, world.blend(), &self.offset),
        };
        let recent = self.visits.recent();
        let mut counts = [0.0; COMPANIONS_MAX];
        let counts = self.visits.weights(at, &mut counts);
        TrainingExample {
            visits: Some(self.visits.weight_of(item, at)),
            co_visited: recent.iter().zip(counts).map(|(v, count)| CoVisited { item: v.item, count: *count }).collect(),
            elapsed_ms: recent.first().map(|visit| at.since(visit.last)),
            ..choice
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
            // Progressive validation: score first, then learn.
            self.scores.online.record(learned.predicted.online, signal.positive);
            self.scores.topics.record(learned.predicted.topics, signal.positive);
            self.scores.model.record(learned.predicted.model, signal.positive);
            self.scores.progress.record(learned.predicted.online, signal.positive);
            let x = centred(embedding, centre.map(Centre::mean));
            let example = Example::new(&x, learned.centre, centre.and_then(Centre::axes));
            self.online.learn(&example, signal.positive, signal.weight, at, vectors, settings);
            let loss = log_loss(f64::from(learned.predicted.online), signal.positive) as f32;
            if self.drift.learn(loss, drift::PERSON) {
                // Drift: widen the posterior, so that the next answers count more.
                self.online.loosen(settings);
            }
            if signal.positive {
                self.topics.learn(&learned.topics, at, settings);
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
                self.offset.learn_choice(example, signal.weight);
                if let Some(opinion) = &example.opinion {
                    self.own_opinion.learn_opinion(opinion, &learned.features, signal.weight);
                    self.offset.learn_opinion(opinion, &learned.features, signal.weight);
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

/// Decay factor of author counts: half-life 28 days.
fn author_fade(now: Millis, last: Millis) -> f32 {
    (-(now.since(last) as f32) / HALF_LIVES_MS[4] as f32).exp2()
}

/// Snapshots: a format number, the fingerprint of the settings, the state, and a checksum over all of these.
impl UserState {
    /// Format version; raise it whenever the meaning of the bytes changes.
    const FORMAT: u16 = 9;

    /// Serialises the state, with a checksum.
    #[must_use]
    pub fn to_bytes(&self, settings: &LearnSettings) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend(Self::FORMAT.to_le_bytes());
        bytes.extend(settings.fingerprint().to_le_bytes());
        // Serialisation of plain data into memory cannot fail; if it did, reading would detect the missing checksum.
        if let Ok(mut bytes) = postcard::to_extend(self, bytes) {
            let checksum = xxh3_64(&bytes);
            bytes.extend(checksum.to_le_bytes());
            return bytes;
        }
        Vec::new()
    }

    /// Reads the bytes of [`UserState::to_bytes`].
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

/// Serialises bitmaps in roaring's portable format.
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
