//! What is known of everybody together: the catalogue, what is available when, what is popular.
//!
//! Invariant: popularity and scores are a fold over the whole journal in commit order; worlds are published with rising
//! epochs; a draft that is refused changes nothing. Item, topic and centre numbers are given once and in order.
//! Absent on purpose: clocks, timers (an effect asks for one), the store (effects say what to keep).

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
use crate::engine::avail::survival::Survival;
use crate::engine::clustering::{Clustering, Kept, Regrouping, Solve};
use crate::engine::crowd::Crowd;
use crate::engine::learn::axes::{AXES_ITEMS_MAX, Centre, principal, stored_len};
use crate::engine::learn::blend::{BlendLearner, Leader};
use crate::engine::learn::cluster_popularity::{ClusterPopularity, ClusterPopularityTable};
use crate::engine::learn::drift::{self, PageHinkley};
use crate::engine::learn::hedge::{Hedge, HedgeFigures};
use crate::engine::learn::item_neighbours::CoOccurrence;
use crate::engine::learn::lately::Lately;
use crate::engine::learn::opinion::OpinionLearner;
use crate::engine::learn::popularity::Popularity;
use crate::engine::learn::progressive::{Progress, ScoreHistogram};
use crate::engine::settings::LearnSettings;
use crate::engine::tower::{Tower, TwoTower};
use crate::engine::user::SnapshotError;
use crate::engine::world::{Changes, World, centred};

/// Lists of companions that are made anew at once, at most; the others follow at the next tick.
const LISTS_PER_REFRESH: usize = 1_024;

/// Answers of each kind, of all people together, from which on a calibrated probability is published.
const CALIBRATED_FROM: u64 = 20;

/// A topic gets a centre of its own from this many items on.
pub const CENTRE_ITEMS_MIN: u64 = 20;

/// A new item, or a new face for one. What is `None` is left as it is ([`ItemWrite::Change`]) or takes its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its key.
    pub key: Key,
    /// Who made it.
    pub author: Option<Author>,
    /// What it is about, the main topic first.
    pub topics: Option<Vec<Key>>,
    /// What to read.
    pub text: Option<Arc<str>>,
    /// `(dim,)`; must be there for a new item and wherever `text` is.
    pub embedding: Option<Embedding>,
    /// When it was made; now by default.
    pub created: Option<Millis>,
    /// When it is available; always by default.
    pub windows: Option<Windows>,
}

/// How a draft meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemWrite {
    /// It must be new.
    Create,
    /// All of it, whether or not it is there.
    Replace,
    /// What is given, of one that is there.
    Change,
    /// It is new, or it is left as it is: the draft is sent again.
    Ensure,
}

/// What became of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its key.
    pub key: Key,
    /// Its dense index.
    pub id: ItemId,
    /// Its revision now.
    pub revision: u32,
    /// It was not there before.
    pub created: bool,
}

/// Why a draft changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// [`ItemWrite::Create`] of one that is there.
    #[error("an item with this key is there already")]
    Exists,
    /// [`ItemWrite::Change`] of one that is not.
    #[error("no such item")]
    Unknown,
    /// A new item without text or embedding.
    #[error("a new item needs a text")]
    Incomplete,
    /// An embedding of another length than the catalogue's.
    #[error("its embedding must have {expected} numbers, has {found}")]
    Dimension {
        /// Of the catalogue.
        expected: usize,
        /// Of the draft.
        found: usize,
    },
    /// More items than ids.
    #[error("the catalogue is full")]
    Full,
    /// Its author was erased.
    #[error("its author was erased")]
    Erased,
    /// It has no windows, so it cannot go off air.
    #[error("it has no windows, so it is always available: give it windows, or take it on air first")]
    AlwaysOn,
    /// It has as many windows as an item may have.
    #[error("it has as many windows as an item may have: remove those that are over")]
    TooManyWindows,
}

/// What the coordinator is told.
#[derive(Clone, Debug)]
pub enum CoordinatorEvent {
    /// New items, or new faces.
    Items(Vec<(Draft, ItemWrite)>),
    /// Never shown again; its key becomes free only for the same item.
    Deleted(ItemId),
    /// Available then; all of these at once.
    Windows(Vec<(ItemId, Windows)>),
    /// On air from now on, or off; what is scheduled later stays.
    Live(ItemId, bool),
    /// These entries are durable, in commit order.
    Journalled(Arc<[(Position, Entry)]>),
    /// All items of an import are in: centres are computed afresh wherever a topic grew.
    Recentre,
    /// A person is forgotten: what they made becomes tombstones. What was counted stays until [`CoordinatorState::refold`].
    Erase {
        /// Whose.
        user: UserId,
        /// What their row is called from now on.
        key: Key,
        /// Random, and kept nowhere: names their items, so that nothing tells that they belonged together.
        salt: u128,
    },
    /// Time passed.
    Tick,
    /// Is a fit of groups due? When `asked`, one is wanted whatever was counted.
    Regroup {
        /// By somebody, or by the schedule.
        asked: bool,
    },
    /// A fit came back; `None` when it failed.
    Regrouped {
        /// Which.
        epoch: u64,
        /// What it says.
        fit: Option<Box<Clustering>>,
    },
    /// From now on a two-tower model with the vectors of all items of a world; what changed since is completed.
    Tower(Box<Tower>, Arc<World>),
}

/// What the shell does next, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Store a topic's name.
    KeepTopic(TopicId, Key),
    /// Store an item.
    KeepItem(Arc<Item>),
    /// Store a centre.
    KeepCentre(CentreRef, Embedding),
    /// Store since when something is so, for the time machine.
    KeepSince(Change, Millis),
    /// Forget a person in the store; what was to be kept of their items is in it.
    Erase(Erasure),
    /// Answer the drafts, in their order, once what was to be kept is durable.
    Written(Vec<Result<Written, DraftError>>),
    /// Swap the world, and tell those who watch what changed (nothing may have: new popularity alone).
    Publish(Arc<World>, Arc<Changes>),
    /// Solve this away from all who serve, and send a [`CoordinatorEvent::Regrouped`].
    Solve(Arc<Solve>),
    /// Store a fit.
    KeepFit(Arc<Clustering>),
    /// Send a [`CoordinatorEvent::Tick`] then; replaces an earlier wish.
    WakeAt(Option<Millis>),
}

/// What is folded over the journal, apart from the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Folded {
    covers: Position,
    popularity: Popularity,
    cluster_popularity: ClusterPopularity,
    neighbours: CoOccurrence,
    lately: Lately,
    blend: BlendLearner,
    hedge: Hedge,
    /// Of the blend's loss.
    drift: PageHinkley,
    opinion: OpinionLearner,
    /// Of the opinion's loss.
    opinion_drift: PageHinkley,
    scores: GlobalScores,
    crowd: Crowd,
}

impl Folded {
    fn new(settings: &LearnSettings) -> Folded {
        Folded { crowd: Crowd::new(settings), ..Folded::default() }
    }

    /// Learns one entry, once. Says whether anything that is published changed.
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

/// The fold over the whole journal, done afresh: somebody was erased, so what was counted no longer equals it.
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

    /// Last entry that was folded.
    #[must_use]
    pub fn covers(&self) -> Position {
        self.folded.covers
    }
}

/// Progressive figures over everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GlobalScores {
    /// Of the online models' log-odds.
    pub online: ScoreHistogram,
    /// Of the `topics` ranking's score.
    pub topics: ScoreHistogram,
    /// Of the `model` ranking's score.
    pub model: ScoreHistogram,
    /// Log loss and calibration of the online models.
    pub progress: Progress,
}

/// Sum of a topic's embeddings, kept up to date so that a new centre costs one division.
#[derive(Clone, Debug, Default)]
struct TopicSum {
    sum: Vec<f64>,
    count: u64,
    count_at_centre: u64,
}

/// The coordinator's mind.
#[derive(Clone, Debug)]
pub struct CoordinatorState {
    world: World,
    /// By topic id; 0 is the catalogue.
    sums: Vec<TopicSum>,
    folded: Folded,
    /// How long windows last: from those that are over, so it is built again at every start.
    survival: Survival,
    shared_is_stale: bool,
    groups: Regrouping,
    /// Erased since the start; those of earlier runs are known to nobody.
    erased: BTreeSet<UserId>,
}

/// What a catalogue consists of, as it was stored.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By id from 1.
    pub topics: Vec<(TopicId, Key)>,
    /// By topic, by epoch from 1.
    pub centres: Vec<(CentreRef, Embedding)>,
    /// By id from 0.
    pub items: Vec<Item>,
    /// Since when what is so.
    pub changes: Vec<(Change, Millis)>,
}

/// A stored catalogue that this program cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// Ids have a gap, so rows are missing.
    #[error("{what} are not numbered without gaps: expected {expected}, found {found}")]
    Gap {
        /// Which ids.
        what: &'static str,
        /// The next number.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// Another embedder was at work.
    #[error("the stored embeddings have {found} numbers, the configuration says dim = {expected}: set it to {found}")]
    Dimension {
        /// Configured.
        expected: usize,
        /// Stored.
        found: usize,
    },
}

impl CoordinatorState {
    /// An empty catalogue.
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

    /// Takes over a stored catalogue as of `now`.
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

    /// Something happened: what is to be done.
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
                // After what is to be kept, so that the answer waits for all of it.
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

    /// From now on this two-tower model, at once: for a start, and for replay. A server that serves has the vectors
    /// computed elsewhere, see [`CoordinatorEvent::Tower`].
    pub fn put_tower(&mut self, model: Arc<dyn TwoTower>) {
        let tower = self.world.tower_by(model);
        let of = self.world.clone();
        self.world.put_tower(tower, &of);
    }

    /// Learns one durable entry. Entries at or before what is covered are passed over: they were folded before.
    pub fn fold(&mut self, position: Position, entry: &Entry) {
        // What was under way when its person was erased is in no journal.
        if !self.erased.contains(&entry.user) {
            self.shared_is_stale |= self.folded.fold(position, entry, self.world.settings());
        }
    }

    /// Starts counting afresh, beside what is served meanwhile: fold the whole journal into it, then
    /// [`CoordinatorState::take_over`].
    #[must_use]
    pub fn refold(&self) -> Refold {
        let settings = self.world.shared_settings();
        Refold { folded: Folded::new(&settings), settings }
    }

    /// What was counted afresh is what counts from now on; entries that came meanwhile are to be folded after.
    pub fn take_over(&mut self, refold: Refold) {
        self.folded = refold.folded;
        self.groups.counted_afresh();
        self.folded.neighbours.publish_all();
        self.learn_survival();
        self.shared_is_stale = true;
    }

    /// The world as it stands.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Figures over everybody.
    #[must_use]
    pub fn scores(&self) -> &GlobalScores {
        &self.folded.scores
    }

    /// Who predicts best: cumulative losses of the experts alone, of the blend, of what was served.
    #[must_use]
    pub fn hedge(&self) -> HedgeFigures {
        self.folded.hedge.figures()
    }

    /// What was measured of people.
    #[must_use]
    pub fn crowd(&self) -> &Crowd {
        &self.folded.crowd
    }

    /// Takes over the groups of an earlier run; publish the world after.
    pub fn take_up(&mut self, kept: Kept, now: Millis) {
        let (world, settings) = (&self.world, self.world.settings());
        let topic = |key: &Key| world.find_topic(key.as_str());
        self.groups.take_up(kept, &self.folded.crowd, topic, now, settings);
        self.world.put_clusters(self.groups.current().cloned());
        self.refresh_shared(now);
    }

    /// Fits are numbered above this.
    pub fn begin_fits_after(&mut self, epoch: u64) {
        self.groups.begin_after(epoch);
    }

    /// How often the loss of the blend, or of the opinion, drifted so far that it was made to learn faster.
    #[must_use]
    pub fn drifts(&self) -> u32 {
        self.folded.drift.alarms() + self.folded.opinion_drift.alarms()
    }

    /// Last entry that was folded.
    #[must_use]
    pub fn covers(&self) -> Position {
        self.folded.covers
    }

    /// What was folded, as bytes with a checksum.
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

    /// Takes over what [`CoordinatorState::to_bytes`] saved; the catalogue stays.
    ///
    /// # Errors
    /// [`SnapshotError`] when the bytes are torn or of another format: nothing has changed, fold the whole journal.
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
        // What learning reads decides about a new revision.
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

    /// The windows of an item that goes on air, or off; `None` when it is so already.
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

    /// Turns everything that a person made into tombstones, and says what they are called now.
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

    /// Adds an item to the sums of the catalogue and its main topic, or takes it out.
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

    /// New centres for topics that have doubled since their last one (or, after an import, changed at all).
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
            // A mean of exactly zero says nothing: the topic stays without a centre of its own.
            let Ok(mean) = Embedding::new(mean, dim) else { continue };
            sum.count_at_centre = sum.count;
            let rows: Vec<Vec<f32>> = spread_evenly(&items)
                .filter_map(|id| Some(centred(&self.world.item(id)?.embedding, Some(&mean))))
                .collect();
            let mut stored = mean.to_vec();
            stored.extend(principal(&rows));
            // Axes of unit vectors are finite, and of the right number.
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

    /// Items that are not deleted, by main topic; the catalogue has them all.
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
            // What opens is ranked at once: with how popular it is among what is open by now.
            self.refresh_shared(now);
        }
        effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::new(changes)));
        effects.push(Effect::WakeAt(self.world.next_edge_after(self.world_time())));
    }

    /// The clock was set back: windows are as of the clock again. How long windows last is learned anew, since windows that
    /// were over are not any more.
    fn step_back(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let changes = self.world.move_back_to(now);
        self.world.next_epoch();
        self.learn_survival();
        self.refresh_shared(now);
        effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::new(changes)));
        effects.push(Effect::WakeAt(self.world.next_edge_after(self.world_time())));
    }

    /// Learns afresh how long windows last, from all that are over.
    fn learn_survival(&mut self) {
        let (mut survival, now) = (Survival::default(), self.world.as_of());
        for item in self.world.blocks().iter().flat_map(|block| block.items()).filter(|item| !item.deleted) {
            survival.learn_all(item.id, &item.windows, now);
        }
        self.survival = survival;
    }

    /// Brings what is learned from everybody up to date in the world.
    fn refresh_shared(&mut self, now: Millis) {
        let (popularity, neighbours, _) = self.world.shared_mut();
        let (mut popularity, mut neighbours) = (std::mem::take(popularity), std::mem::take(neighbours));
        let mut expected = self.world.take_expected();
        let world = &self.world;
        // Most of a catalogue is always available: what has windows is looked at, and nothing else of the others.
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

/// At most [`AXES_ITEMS_MAX`] of them, at even distances, so that an axis is not that of the newest items alone.
fn spread_evenly(items: &[ItemId]) -> impl Iterator<Item = ItemId> + '_ {
    let wanted = items.len().min(AXES_ITEMS_MAX);
    (0..wanted).filter_map(move |index| items.get(index * items.len() / wanted).copied())
}

/// What an item of somebody who was erased is called: without the salt, nothing follows from it.
fn tombstone(salt: u128, item: ItemId) -> Key {
    let mut bytes = salt.to_le_bytes().to_vec();
    bytes.extend(item.0.to_le_bytes());
    Key::of_hash("erased", xxh3_128(&bytes))
}
