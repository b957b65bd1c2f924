//! State that all users share: the catalogue, its availability, popularity and the other learners over the whole
//! journal.
//!
//! Invariant: popularity and scores are a fold over the whole journal in commit order. Worlds are published with rising
//! epochs. A rejected draft changes nothing. Numbers of items, topics and centres are assigned once and in order.
//! Deliberately absent: clocks, timers (an effect requests one), the store (effects name the rows to store).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::domain::ids::{Epoch, ItemId, Key, Position, TopicId, UserId};
use crate::domain::items::{Author, Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry, What};
use crate::domain::people::Erasure;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::engine::availability::survival::Survival;
use crate::engine::catalogue::centres::{AXES_ITEMS_MAX, Centre, principal, stored_len};
use crate::engine::learners::shared::blend::{BlendLearner, Leader};
use crate::engine::learners::shared::cluster_popularity::{ClusterPopularity, ClusterPopularityTable};
use crate::engine::learners::shared::drift::{self, PageHinkley};
use crate::engine::learners::shared::hedge::{Hedge, HedgeFigures};
use crate::engine::learners::shared::item_neighbours::CoOccurrence;
use crate::engine::learners::shared::last_seen::Lately;
use crate::engine::learners::shared::opinions::OpinionLearner;
use crate::engine::learners::shared::popularity::Popularity;
use crate::engine::metrics::progressive::{Progress, ScoreHistogram};
use crate::engine::population::Crowd;
use crate::engine::population::refit::{Clustering, Kept, Regrouping, Solve};
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::{Tower, TwoTower};
use crate::engine::user::SnapshotError;
use crate::engine::world::{Changes, World, centred};

/// Neighbour lists that one refresh rebuilds, at most; the others follow at the next tick.
const LISTS_PER_REFRESH: usize = 1_024;

/// Answers of each label, over all users, from which on a calibrated probability is published.
const CALIBRATED_FROM: u64 = 20;

/// Items of a topic from which on the topic gets a centre of its own.
pub const CENTRE_ITEMS_MIN: u64 = 20;

/// An upsert of an item. A field that is `None` keeps its value ([`ItemWrite::Change`]) or takes its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Key of the item, unique in the catalogue.
    pub key: Key,
    /// Author of the item.
    pub author: Option<Author>,
    /// Keys of the topics, the main topic first.
    pub topics: Option<Vec<Key>>,
    /// Text of the item.
    pub text: Option<Arc<str>>,
    /// `(dim,)`; required for a new item and wherever `text` is given.
    pub embedding: Option<Embedding>,
    /// Creation time; by default the time of arrival.
    pub created: Option<Millis>,
    /// Availability windows; by default the item is always available.
    pub windows: Option<Windows>,
}

/// How a draft meets an existing item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemWrite {
    /// Insert: the item must not exist.
    Create,
    /// Upsert: every field is written, whether or not the item exists.
    Replace,
    /// Patch: the item must exist, and only the given fields are written.
    Change,
    /// Insert if absent: an existing item stays unchanged, so that a draft can be resent.
    Ensure,
}

/// Result of an accepted draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Key of the item.
    pub key: Key,
    /// Dense index of the item.
    pub id: ItemId,
    /// Revision of the item after the write.
    pub revision: u32,
    /// Whether the item did not exist before, or was deleted.
    pub created: bool,
}

/// Reason why a draft was rejected and changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// [`ItemWrite::Create`] of an item that exists.
    #[error("an item with this key is there already")]
    Exists,
    /// [`ItemWrite::Change`] of an item that does not exist.
    #[error("no such item")]
    Unknown,
    /// A new item without text or embedding.
    #[error("a new item needs a text")]
    Incomplete,
    /// An embedding whose length differs from the catalogue's.
    #[error("its embedding must have {expected} numbers, has {found}")]
    Dimension {
        /// Embedding length of the catalogue.
        expected: usize,
        /// Embedding length of the draft.
        found: usize,
    },
    /// All `u32` item ids are used up.
    #[error("the catalogue is full")]
    Full,
    /// The author of the draft was erased.
    #[error("its author was erased")]
    Erased,
    /// The item has no windows, so it cannot go off air.
    #[error("it has no windows, so it is always available: give it windows, or take it on air first")]
    AlwaysOn,
    /// The item has as many windows as an item may have.
    #[error("it has as many windows as an item may have: remove those that are over")]
    TooManyWindows,
}

/// Input of [`CoordinatorState::apply`].
#[derive(Clone, Debug)]
pub enum CoordinatorEvent {
    /// Writes drafts, each in its own way.
    Items(Vec<(Draft, ItemWrite)>),
    /// Deletes an item: it becomes a tombstone, whose key only the item itself can take again.
    Deleted(ItemId),
    /// Sets the windows of these items, all at once.
    Windows(Vec<(ItemId, Windows)>),
    /// Switches an item on air or off air from now on; windows that begin later stay.
    Live(ItemId, bool),
    /// These entries are durable, in commit order.
    Journalled(Arc<[(Position, Entry)]>),
    /// The end of an import: recomputes the centres of all topics whose items changed in number.
    Recentre,
    /// Erases a user: the user's items become tombstones. Learned aggregates stay until [`CoordinatorState::refold`].
    Erase {
        /// The erased user.
        user: UserId,
        /// Key that replaces the user's key in the store.
        key: Key,
        /// Random and never stored: keys of the user's tombstones are derived from it, so that nothing links them.
        salt: u128,
    },
    /// Timer: the clock may have passed an edge of availability.
    Tick,
    /// Starts a fit of clusters if one is due. With `asked`, the counted points do not matter.
    Regroup {
        /// Whether a client or the schedule requests the fit.
        asked: bool,
    },
    /// A fit has finished.
    Regrouped {
        /// Number of the fit.
        epoch: u64,
        /// The clusters; `None` when the fit failed.
        fit: Option<Box<Clustering>>,
    },
    /// Publishes a two-tower model with the vectors of all items of a world; vectors of items changed since are
    /// completed.
    Tower(Box<Tower>, Arc<World>),
}

/// Action for the shell to perform; effects are performed in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Store a topic's key.
    KeepTopic(TopicId, Key),
    /// Store an item.
    KeepItem(Arc<Item>),
    /// Store a centre: its mean and, where there are any, its axes.
    KeepCentre(CentreRef, Embedding),
    /// Store the time of a change, for the time machine.
    KeepSince(Change, Millis),
    /// Erase a user in the store; the erasure contains the tombstones of the user's items.
    Erase(Erasure),
    /// Answer the drafts, in their order, once the effects before this one are durable.
    Written(Vec<Result<Written, DraftError>>),
    /// Replace the world and notify subscribers of the changes. Changes are empty when only learned aggregates are new.
    Publish(Arc<World>, Arc<Changes>),
    /// Solve this off the serving threads, then send a [`CoordinatorEvent::Regrouped`].
    Solve(Arc<Solve>),
    /// Store a fit.
    KeepFit(Arc<Clustering>),
    /// Send a [`CoordinatorEvent::Tick`] at that time; replaces the request before it. `None` requests none.
    WakeAt(Option<Millis>),
}

/// Everything folded over the journal, apart from the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Folded {
    covers: Position,
    popularity: Popularity,
    cluster_popularity: ClusterPopularity,
    neighbours: CoOccurrence,
    lately: Lately,
    blend: BlendLearner,
    hedge: Hedge,
    /// Drift detector of the blend's loss.
    drift: PageHinkley,
    opinion: OpinionLearner,
    /// Drift detector of the opinion model's loss.
    opinion_drift: PageHinkley,
    scores: GlobalScores,
    crowd: Crowd,
}

impl Folded {
    fn new(settings: &LearnSettings) -> Folded {
        Folded { crowd: Crowd::new(settings), ..Folded::default() }
    }

    /// Learns one entry, once. Returns whether any published aggregate changed.
    fn fold(&mut self, position: Position, entry: &Entry, settings: &LearnSettings) -> bool {
        if position <= self.covers {
            return false;
        }
        self.covers = position;
        self.crowd.fold(entry, settings);
        let What::Interacted(learned) = &entry.what else { return false };
        let Some(signal) = learned.signal else { return false };
        self.scores.online.record(learned.predicted.online, signal.positive);
        self.scores.topics.record(learned.predicted.topics, signal.positive);
        self.scores.model.record(learned.predicted.model, signal.positive);
        self.scores.progress.record(learned.predicted.online, signal.positive);
        let topic = learned.topics.first().copied().unwrap_or(TopicId::CATALOGUE);
        self.popularity.learn(learned.item, topic, signal, entry.at);
        if signal.positive {
            self.lately.learn(entry.user, learned.item, entry.at);
        }
        if let Some(example) = &learned.example {
            if let Some(group) = example.group.filter(|_| signal.positive) {
                self.cluster_popularity.learn(group, learned.item, signal.weight, entry.at);
            }
            self.blend.learn(example, signal.weight, settings.blend_step);
            self.hedge.learn(&example.losses, signal.weight);
            if let Some(loss) = example.losses.last()
                && self.drift.learn(*loss, drift::EVERYBODY)
            {
                self.blend.loosen();
            }
            if let Some(opinion) = &example.opinion {
                self.opinion.learn(opinion, &learned.features, signal.weight, settings.blend_step);
                if self.opinion_drift.learn(opinion.loss, drift::EVERYBODY) {
                    self.opinion.loosen();
                }
            }
            if let Some(visits) = example.visits {
                self.popularity.visited(learned.item, visits == 0.0, entry.at);
                let last = example.co_visited.first().map(|other| other.item);
                let came = last.zip(example.elapsed_ms);
                self.neighbours.learn(learned.item, visits, &example.co_visited, came, entry.at);
            }
        }
        true
    }
}

/// A recomputed fold over the whole journal: after an erasure, the aggregates no longer equal the fold of the journal.
#[derive(Clone, Debug)]
pub struct Refold {
    folded: Folded,
    settings: Arc<LearnSettings>,
}

impl Refold {
    /// Learns one entry; entries come in commit order.
    pub fn fold(&mut self, position: Position, entry: &Entry) {
        self.folded.fold(position, entry, &self.settings);
    }

    /// Position of the last folded entry.
    #[must_use]
    pub fn covers(&self) -> Position {
        self.folded.covers
    }
}

/// Prequential metrics over all users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GlobalScores {
    /// Histogram of the online models' log-odds.
    pub online: ScoreHistogram,
    /// Histogram of the `topics` ranking's score.
    pub topics: ScoreHistogram,
    /// Histogram of the `model` ranking's score.
    pub model: ScoreHistogram,
    /// Log loss and calibration of the online models.
    pub progress: Progress,
}

/// Sum of a topic's embeddings, maintained so that a new centre costs one division.
#[derive(Clone, Debug, Default)]
struct TopicSum {
    sum: Vec<f64>,
    count: u64,
    count_at_centre: u64,
}

/// Single-writer state of the coordinator.
#[derive(Clone, Debug)]
pub struct CoordinatorState {
    world: World,
    /// By topic id; 0 is the catalogue.
    sums: Vec<TopicSum>,
    folded: Folded,
    /// Distribution of window lengths. It is learned from windows that have ended, so each start recomputes it.
    survival: Survival,
    shared_is_stale: bool,
    groups: Regrouping,
    /// Users erased since the start; users erased in earlier runs occur in neither the journal nor the catalogue.
    erased: BTreeSet<UserId>,
}

/// A catalogue as it was stored.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Topics, by id from 1.
    pub topics: Vec<(TopicId, Key)>,
    /// Centres, by topic and by epoch from 1.
    pub centres: Vec<(CentreRef, Embedding)>,
    /// Items, by id from 0; deleted ones included.
    pub items: Vec<Item>,
    /// Times of revisions, deletions and new centres.
    pub changes: Vec<(Change, Millis)>,
}

/// Reason why a stored catalogue cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// The ids have a gap, so rows are missing.
    #[error("{what} are not numbered without gaps: expected {expected}, found {found}")]
    Gap {
        /// Kind of the ids, in plural.
        what: &'static str,
        /// The next number without a gap.
        expected: u32,
        /// The number in the store.
        found: u32,
    },
    /// Another embedder computed the stored embeddings.
    #[error("the stored embeddings have {found} numbers, the configuration says dim = {expected}: set it to {found}")]
    Dimension {
        /// Configured embedding length.
        expected: usize,
        /// Stored embedding length.
        found: usize,
    },
}

impl CoordinatorState {
    /// State of an empty catalogue, whose embeddings have `dim` numbers.
    #[must_use]
    pub fn new(dim: usize, settings: Arc<LearnSettings>) -> CoordinatorState {
        CoordinatorState {
            folded: Folded::new(&settings),
            world: World::new(dim, settings),
            sums: Vec::new(),
            survival: Survival::default(),
            shared_is_stale: true,
            groups: Regrouping::default(),
            erased: BTreeSet::new(),
        }
    }

    /// Loads a stored catalogue as of `now`.
    ///
    /// # Errors
    /// [`CatalogueError`] when rows are missing, or embeddings have another dimension.
    pub fn load(
        dim: usize,
        settings: Arc<LearnSettings>,
        catalogue: Catalogue,
        now: Millis,
    ) -> Result<CoordinatorState, CatalogueError> {
        let mut state = CoordinatorState::new(dim, settings);
        let gap = |what, expected, found| Err(CatalogueError::Gap { what, expected, found });
        for (id, key) in catalogue.topics {
            let expected = state.world.topics_len();
            if id.0 != expected || state.world.put_topic(key) != id {
                return gap("topics", expected, id.0);
            }
        }
        for (centre, vector) in catalogue.centres {
            let Some(vector) = Centre::of(&vector, dim) else {
                return Err(CatalogueError::Dimension { expected: dim, found: vector.len() });
            };
            let put = state.world.put_centre(centre.topic, vector);
            if put != centre {
                return gap("epochs of a centre", put.epoch, centre.epoch);
            }
        }
        let mut items = Vec::with_capacity(catalogue.items.len());
        for (index, item) in catalogue.items.into_iter().enumerate() {
            if item.id.0 as usize != index {
                return gap("items", index as u32, item.id.0);
            }
            if item.embedding.len() != dim {
                return Err(CatalogueError::Dimension { expected: dim, found: item.embedding.len() });
            }
            if !item.deleted {
                state.count(&item, 1.0);
            }
            items.push(Arc::new(item));
        }
        state.world.load_items(items);
        for (change, since) in catalogue.changes {
            state.world.note(change, since);
        }
        for sum in &mut state.sums {
            sum.count_at_centre = sum.count;
        }
        // Above every epoch that a client may remember of an earlier run.
        state.world.start_epoch(Epoch(now.0.max(0) as u64));
        state.world.move_to(now);
        state.learn_survival();
        state.refresh_shared(now);
        Ok(state)
    }

    /// Applies an event and returns the effects to perform.
    pub fn apply(&mut self, event: CoordinatorEvent, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut updated = Vec::new();
        match event {
            CoordinatorEvent::Items(drafts) => {
                let mut touched = BTreeSet::new();
                let written = drafts
                    .into_iter()
                    .map(|(draft, how)| self.write(draft, how, now, &mut effects, &mut touched, &mut updated))
                    .collect();
                self.centre_anew(&touched, false, now, &mut effects);
                self.publish(now, updated, &mut effects);
                // After the effects that store rows, so that the answer waits for all of them.
                effects.push(Effect::Written(written));
            }
            CoordinatorEvent::Deleted(id) => {
                if let Some(old) = self.world.shared_item(id).filter(|item| !item.deleted) {
                    let item = Arc::new(Item { deleted: true, ..Item::clone(old) });
                    self.count(&item, -1.0);
                    self.world.put_item(item.clone());
                    effects.push(Effect::KeepItem(item));
                    self.keep_since(Change::Deleted(id), now, &mut effects);
                    self.publish(now, updated, &mut effects);
                }
            }
            CoordinatorEvent::Windows(items) => self.put_windows(items, now, &mut effects),
            CoordinatorEvent::Live(id, on) => {
                let written = self.switch(id, on, now).map(|windows| {
                    if let Some(windows) = windows {
                        self.put_windows(vec![(id, windows)], now, &mut effects);
                    }
                });
                let written = written.and_then(|()| self.written(id));
                effects.push(Effect::Written(vec![written]));
            }
            CoordinatorEvent::Journalled(entries) => {
                for (position, entry) in entries.iter() {
                    self.fold(*position, entry);
                }
            }
            CoordinatorEvent::Recentre => {
                let all = (0..self.sums.len() as u32).map(TopicId).collect();
                self.centre_anew(&all, true, now, &mut effects);
                self.publish(now, updated, &mut effects);
            }
            CoordinatorEvent::Erase { user, key, salt } => {
                let items = self.bury(user, salt);
                self.erased.insert(user);
                self.groups.forget(user);
                self.world.put_clusters(self.groups.current().cloned());
                effects.push(Effect::Erase(Erasure { user, key, at: now, items }));
                self.publish(now, updated, &mut effects);
            }
            CoordinatorEvent::Tick if now < self.world_time() => self.step_back(now, &mut effects),
            CoordinatorEvent::Tick => {
                let edge_passed = self.world.next_edge_after(self.world_time()).is_some_and(|edge| edge <= now);
                if edge_passed {
                    self.publish(now, updated, &mut effects);
                } else if self.shared_is_stale || self.world.expected_ends().is_old(now) {
                    self.refresh_shared(now);
                    effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
                }
            }
            CoordinatorEvent::Regroup { asked } => {
                if asked {
                    self.groups.ask();
                }
                let (world, settings) = (&self.world, self.world.shared_settings());
                let topic = |key: &Key| world.find_topic(key.as_str());
                effects.extend(self.groups.due(&mut self.folded.crowd, topic, now, &settings).map(Effect::Solve));
            }
            CoordinatorEvent::Regrouped { epoch, fit } => {
                if let Some(fit) = self.groups.done(epoch, fit.map(|fit| *fit), &self.erased, now) {
                    self.world.put_clusters(Some(fit.clone()));
                    self.refresh_shared(now);
                    effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
                    effects.push(Effect::KeepFit(fit));
                }
            }
            CoordinatorEvent::Tower(tower, of) => {
                self.world.put_tower(*tower, &of);
                self.world.next_epoch();
                effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
            }
        }
        effects
    }

    /// Publishes a two-tower model and computes all vectors at once, for starts and replays. A running server computes
    /// the vectors on another thread, see [`CoordinatorEvent::Tower`].
    pub fn put_tower(&mut self, model: Arc<dyn TwoTower>) {
        let tower = self.world.tower_by(model);
        let of = self.world.clone();
        self.world.put_tower(tower, &of);
    }

    /// Learns one durable entry. Idempotent: entries up to [`CoordinatorState::covers`] are skipped.
    pub fn fold(&mut self, position: Position, entry: &Entry) {
        // Entries in flight when their user was erased are not in the journal.
        if !self.erased.contains(&entry.user) {
            self.shared_is_stale |= self.folded.fold(position, entry, self.world.settings());
        }
    }

    /// Starts a new fold next to the served one: fold the whole journal into it, then call
    /// [`CoordinatorState::take_over`].
    #[must_use]
    pub fn refold(&self) -> Refold {
        let settings = self.world.shared_settings();
        Refold { folded: Folded::new(&settings), settings }
    }

    /// Replaces the aggregates by the recomputed ones. Entries that arrived meanwhile must be folded after this call.
    pub fn take_over(&mut self, refold: Refold) {
        self.folded = refold.folded;
        self.groups.counted_afresh();
        self.folded.neighbours.publish_all();
        self.learn_survival();
        self.shared_is_stale = true;
    }

    /// The current world.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Prequential metrics over all users.
    #[must_use]
    pub fn scores(&self) -> &GlobalScores {
        &self.folded.scores
    }

    /// Cumulative losses of each expert alone, of the blend and of the served ranking.
    #[must_use]
    pub fn hedge(&self) -> HedgeFigures {
        self.folded.hedge.figures()
    }

    /// The population: metrics of all users.
    #[must_use]
    pub fn crowd(&self) -> &Crowd {
        &self.folded.crowd
    }

    /// Restores the clusters of an earlier run. The caller publishes the world afterwards.
    pub fn take_up(&mut self, kept: Kept, now: Millis) {
        let (world, settings) = (&self.world, self.world.settings());
        let topic = |key: &Key| world.find_topic(key.as_str());
        self.groups.take_up(kept, &self.folded.crowd, topic, now, settings);
        self.world.put_clusters(self.groups.current().cloned());
        self.refresh_shared(now);
    }

    /// Raises the number after which new fits are numbered.
    pub fn begin_fits_after(&mut self, epoch: u64) {
        self.groups.begin_after(epoch);
    }

    /// Number of detected drifts in the losses of the blend and of the opinion model; each makes that model learn
    /// faster.
    #[must_use]
    pub fn drifts(&self) -> u32 {
        self.folded.drift.alarms() + self.folded.opinion_drift.alarms()
    }

    /// Position of the last folded entry.
    #[must_use]
    pub fn covers(&self) -> Position {
        self.folded.covers
    }

    /// Serialises the fold, with a checksum.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match postcard::to_extend(&self.folded, vec![Self::FORMAT]) {
            Ok(mut bytes) => {
                let checksum = xxh3_64(&bytes);
                bytes.extend(checksum.to_le_bytes());
                bytes
            }
            Err(_) => Vec::new(),
        }
    }

    /// Restores the fold from the bytes of [`CoordinatorState::to_bytes`]; the catalogue stays.
    ///
    /// # Errors
    /// [`SnapshotError`] when the bytes are torn, of another format, or were folded under other settings. Nothing has
    /// changed then, and the caller folds the whole journal.
    pub fn restore(&mut self, bytes: &[u8], now: Millis) -> Result<(), SnapshotError> {
        let (body, checksum) = bytes.split_last_chunk::<8>().ok_or(SnapshotError::Unreadable)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) || body.first() != Some(&Self::FORMAT) {
            return Err(SnapshotError::Unreadable);
        }
        let folded: Folded = postcard::from_bytes(&body[1..]).map_err(|_| SnapshotError::Unreadable)?;
        if !folded.crowd.fits(self.world.settings()) {
            return Err(SnapshotError::OtherSettings);
        }
        self.folded = folded;
        self.folded.neighbours.publish_all();
        self.refresh_shared(now);
        Ok(())
    }

    const FORMAT: u8 = 12;

    fn world_time(&self) -> Millis {
        self.world.as_of()
    }

    fn write(
        &mut self,
        draft: Draft,
        how: ItemWrite,
        now: Millis,
        effects: &mut Vec<Effect>,
        touched: &mut BTreeSet<TopicId>,
        updated: &mut Vec<ItemId>,
    ) -> Result<Written, DraftError> {
        if draft.author.as_ref().is_some_and(|author| self.erased.contains(&author.id)) {
            return Err(DraftError::Erased);
        }
        let old = self.world.find_any_item(draft.key.as_str()).and_then(|id| self.world.shared_item(id).cloned());
        let alive = old.as_ref().is_some_and(|item| !item.deleted);
        match (how, alive, &old) {
            (ItemWrite::Create, true, _) => return Err(DraftError::Exists),
            (ItemWrite::Change, false, _) => return Err(DraftError::Unknown),
            (ItemWrite::Ensure, true, Some(item)) => {
                return Ok(Written { key: item.key.clone(), id: item.id, revision: item.revision, created: false });
            }
            _ => {}
        }
        let kept = old.as_deref().filter(|_| how == ItemWrite::Change);
        let text = draft.text.or_else(|| kept.map(|item| item.text.clone())).ok_or(DraftError::Incomplete)?;
        let embedding =
            draft.embedding.or_else(|| kept.map(|item| item.embedding.clone())).ok_or(DraftError::Incomplete)?;
        let (expected, found) = (self.world.dim(), embedding.len());
        if expected != found {
            return Err(DraftError::Dimension { expected, found });
        }
        let id = match &old {
            Some(item) => item.id,
            None if self.world.len() == u32::MAX => return Err(DraftError::Full),
            None => ItemId(self.world.len()),
        };
        let topics = match draft.topics {
            Some(keys) => keys.into_iter().map(|key| self.topic(key, effects)).collect(),
            None => kept.map(|item| item.topics.clone()).unwrap_or_default(),
        };
        let item = Item {
            id,
            key: draft.key,
            revision: 0,
            author: draft.author.or_else(|| kept.and_then(|item| item.author.clone())),
            topics,
            text,
            embedding,
            created: draft.created.or_else(|| old.as_ref().map(|item| item.created)).unwrap_or(now),
            windows: draft.windows.or_else(|| kept.map(|item| item.windows.clone())).unwrap_or_default(),
            deleted: false,
        };
        // Only text, topics and embedding teach, so only these make a new revision.
        let revision = match &old {
            None => 1,
            Some(old) if old.text == item.text && old.topics == item.topics && old.embedding == item.embedding => {
                old.revision
            }
            Some(old) => old.revision + 1,
        };
        let item = Item { revision, ..item };
        let is_revised = old.as_ref().is_some_and(|old| old.revision != revision);
        let written = Written { key: item.key.clone(), id, revision, created: !alive };
        if old.as_deref() == Some(&item) {
            return Ok(written);
        }
        if let Some(old) = old.filter(|old| !old.deleted) {
            self.count(&old, -1.0);
            updated.push(id);
        }
        self.count(&item, 1.0);
        touched.extend([TopicId::CATALOGUE, item.main_topic()]);
        let item = Arc::new(item);
        self.world.put_item(item.clone());
        effects.push(Effect::KeepItem(item));
        if is_revised {
            self.keep_since(Change::Revision(id, revision), now, effects);
        }
        Ok(written)
    }

    fn put_windows(&mut self, items: Vec<(ItemId, Windows)>, now: Millis, effects: &mut Vec<Effect>) {
        let mut updated = Vec::with_capacity(items.len());
        for (id, windows) in items {
            if let Some(old) = self.world.shared_item(id).filter(|item| item.windows != windows) {
                let item = Arc::new(Item { windows, ..Item::clone(old) });
                self.world.put_windows(item.clone());
                effects.push(Effect::KeepItem(item));
                updated.push(id);
            }
        }
        if !updated.is_empty() {
            self.publish(now, updated, effects);
        }
    }

    /// Windows of an item after it is switched on or off air; `None` when it already is.
    fn switch(&self, id: ItemId, on: bool, now: Millis) -> Result<Option<Windows>, DraftError> {
        let item = self.world.item(id).filter(|item| !item.deleted).ok_or(DraftError::Unknown)?;
        match on {
            true => item.windows.switched_on(now).map_err(|_| DraftError::TooManyWindows),
            false if item.windows.is_always() => Err(DraftError::AlwaysOn),
            false => Ok(item.windows.switched_off(now)),
        }
    }

    fn written(&self, id: ItemId) -> Result<Written, DraftError> {
        let item = self.world.item(id).ok_or(DraftError::Unknown)?;
        Ok(Written { key: item.key.clone(), id, revision: item.revision, created: false })
    }

    /// Turns every item of an author into a tombstone, and returns the new keys.
    fn bury(&mut self, author: UserId, salt: u128) -> Vec<(ItemId, Key)> {
        let theirs = |item: &&Arc<Item>| item.author.as_ref().is_some_and(|one| one.id == author);
        let items: Vec<Arc<Item>> =
            self.world.blocks().iter().flat_map(|block| block.items()).filter(theirs).cloned().collect();
        items
            .into_iter()
            .map(|old| {
                if !old.deleted {
                    self.count(&old, -1.0);
                }
                self.world.forget(old.id);
                let key = tombstone(salt, old.id);
                self.world.put_item(Arc::new(Item {
                    key: key.clone(),
                    author: None,
                    topics: Arc::default(),
                    text: Arc::from(""),
                    windows: Windows::default(),
                    deleted: true,
                    ..Item::clone(&old)
                }));
                (old.id, key)
            })
            .collect()
    }

    fn topic(&mut self, key: Key, effects: &mut Vec<Effect>) -> TopicId {
        if let Some(id) = self.world.find_topic(key.as_str()) {
            return id;
        }
        let id = self.world.put_topic(key.clone());
        effects.push(Effect::KeepTopic(id, key));
        id
    }

    /// Adds an item to the sums of the catalogue and of its main topic, or subtracts it.
    fn count(&mut self, item: &Item, sign: f64) {
        let mut topics = vec![TopicId::CATALOGUE];
        if item.main_topic() != TopicId::CATALOGUE {
            topics.push(item.main_topic());
        }
        for topic in topics {
            let index = topic.0 as usize;
            if self.sums.len() <= index {
                self.sums.resize_with(index + 1, TopicSum::default);
            }
            let sum = &mut self.sums[index];
            sum.sum.resize(self.world.dim(), 0.0);
            for (total, x) in sum.sum.iter_mut().zip(item.embedding.iter()) {
                *total += sign * f64::from(*x);
            }
            sum.count = if sign > 0.0 { sum.count + 1 } else { sum.count.saturating_sub(1) };
        }
    }

    fn keep_since(&mut self, change: Change, now: Millis, effects: &mut Vec<Effect>) {
        self.world.note(change, now);
        effects.push(Effect::KeepSince(change, now));
    }

    /// Computes new centres for topics that have doubled since their last one (or, after an import, changed in number).
    fn centre_anew(
        &mut self,
        touched: &BTreeSet<TopicId>,
        changed_is_enough: bool,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let due: Vec<TopicId> = touched
            .iter()
            .copied()
            .filter(|topic| {
                self.sums.get(topic.0 as usize).is_some_and(|sum| {
                    let doubled = sum.count >= 2 * sum.count_at_centre;
                    let changed = changed_is_enough && sum.count != sum.count_at_centre;
                    sum.count >= CENTRE_ITEMS_MIN && (doubled || changed)
                })
            })
            .collect();
        if due.is_empty() {
            return;
        }
        let mut any = false;
        for (topic, items) in self.items_of(&due) {
            let Some(sum) = self.sums.get_mut(topic.0 as usize) else { continue };
            let mean = sum.sum.iter().map(|total| (total / sum.count as f64) as f32).collect();
            let dim = self.world.dim();
            // A mean of exactly zero has no direction: the topic stays without a centre of its own.
            let Ok(mean) = Embedding::new(mean, dim) else { continue };
            sum.count_at_centre = sum.count;
            let rows: Vec<Vec<f32>> = spread_evenly(&items)
                .filter_map(|id| Some(centred(&self.world.item(id)?.embedding, Some(&mean))))
                .collect();
            let mut stored = mean.to_vec();
            stored.extend(principal(&rows));
            // Axes of unit vectors are finite and have the expected length.
            let Ok(stored) = Embedding::new(stored, stored_len(dim)) else { continue };
            let Some(centre) = Centre::of(&stored, dim) else { continue };
            let named = self.world.put_centre(topic, centre);
            effects.push(Effect::KeepCentre(named, stored));
            self.keep_since(Change::Centre(named), now, effects);
            any = true;
        }
        if any {
            self.world.recentre();
        }
    }

    /// Items that are not deleted, by main topic; the catalogue's list has all of them.
    fn items_of(&self, topics: &[TopicId]) -> BTreeMap<TopicId, Vec<ItemId>> {
        let mut items: BTreeMap<TopicId, Vec<ItemId>> = topics.iter().map(|topic| (*topic, Vec::new())).collect();
        for item in self.world.blocks().iter().flat_map(|block| block.items()).filter(|item| !item.deleted) {
            let main = item.main_topic();
            if let Some(of_topic) = items.get_mut(&main) {
                of_topic.push(item.id);
            }
            if main != TopicId::CATALOGUE
                && let Some(of_all) = items.get_mut(&TopicId::CATALOGUE)
            {
                of_all.push(item.id);
            }
        }
        items
    }

    fn publish(&mut self, now: Millis, updated: Vec<ItemId>, effects: &mut Vec<Effect>) {
        let mut changes = self.world.move_to(now);
        changes.updated = updated.into_iter().filter(|id| self.world.open().contains(id.0)).collect();
        changes.updated.retain(|id| !changes.opened.contains(id));
        for id in &changes.closed {
            let item = self.world.item(*id).filter(|item| !item.deleted);
            if let Some((start, stop)) =
                item.and_then(|item| item.windows.last_over(now)).map(|one| (one.start, one.stop))
            {
                self.survival.learn(*id, stop.unwrap_or(now).since(start));
            }
        }
        self.world.next_epoch();
        if changes.opened.is_empty() {
            self.shared_is_stale = true;
        } else {
            // New items are ranked at once, so they need their popularity among the items that are open now.
            self.refresh_shared(now);
        }
        effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::new(changes)));
        effects.push(Effect::WakeAt(self.world.next_edge_after(self.world_time())));
    }

    /// The clock was set back: recomputes the open set for the earlier time. Window lengths are learned again, since
    /// some windows that had ended are open again.
    fn step_back(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let changes = self.world.move_back_to(now);
        self.world.next_epoch();
        self.learn_survival();
        self.refresh_shared(now);
        effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::new(changes)));
        effects.push(Effect::WakeAt(self.world.next_edge_after(self.world_time())));
    }

    /// Recomputes the distribution of window lengths from all windows that have ended.
    fn learn_survival(&mut self) {
        let (mut survival, now) = (Survival::default(), self.world.as_of());
        for item in self.world.blocks().iter().flat_map(|block| block.items()).filter(|item| !item.deleted) {
            survival.learn_all(item.id, &item.windows, now);
        }
        self.survival = survival;
    }

    /// Publishes the current aggregates of all users into the world.
    fn refresh_shared(&mut self, now: Millis) {
        let (popularity, neighbours, _) = self.world.shared_mut();
        let (mut popularity, mut neighbours) = (std::mem::take(popularity), std::mem::take(neighbours));
        let mut expected = self.world.take_expected();
        let world = &self.world;
        // Most of a catalogue is always available, so the scan reads only items with windows.
        let mut live = Vec::new();
        let open = world.open_runs().inspect(|run| {
            let id = |place: usize| ItemId(run.first.0 + place as u32);
            live.extend(run.windows().map(|(place, windows)| (id(place), windows)));
        });
        self.folded.popularity.refresh(&mut popularity, open, now);
        self.folded.neighbours.refresh(&mut neighbours, LISTS_PER_REFRESH);
        self.survival.expect(&mut expected, live.into_iter(), now);
        let cluster_popularity = world.clusters().map_or_else(ClusterPopularityTable::default, |clusters| {
            let groups = clusters.summary.clusters.iter().map(|group| group.id);
            let is_open = |item: ItemId| world.open().contains(item.0);
            self.folded.cluster_popularity.table(groups, &popularity, (world.len(), world.open().len()), is_open, now)
        });
        self.world.put_cluster_popularity(cluster_popularity);
        self.world.put_expected(expected);
        let start = &self.world.settings().blend;
        let leader = self.folded.hedge.leader();
        let mut opinion = self.folded.opinion.weights(start, leader == Some(Leader::WithoutTower));
        let (positive, negative) = self.folded.scores.model.labels();
        opinion.is_calibrated = positive.min(negative) >= CALIBRATED_FROM;
        let weights = self.folded.blend.weights(&opinion.weights, leader);
        let lately = self.folded.lately.clone();
        let places = self.world.shared_mut();
        (*places.0, *places.1, *places.2) = (popularity, neighbours, lately);
        self.world.put_blend(weights, opinion);
        self.shared_is_stale = self.folded.neighbours.is_due();
    }
}

/// At most [`AXES_ITEMS_MAX`] of them, evenly spaced, so that the axes do not describe the newest items alone.
fn spread_evenly(items: &[ItemId]) -> impl Iterator<Item = ItemId> + '_ {
    let wanted = items.len().min(AXES_ITEMS_MAX);
    (0..wanted).filter_map(move |index| items.get(index * items.len() / wanted).copied())
}

/// Key of a tombstone; without the salt it reveals nothing.
fn tombstone(salt: u128, item: ItemId) -> Key {
    let mut bytes = salt.to_le_bytes().to_vec();
    bytes.extend(item.0.to_le_bytes());
    Key::of_hash("erased", xxh3_128(&bytes))
}
