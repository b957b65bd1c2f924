//! State that all users share: the catalogue, its availability, popularity and the other learners over the whole
//! journal.
//!
//! Invariant: popularity and scores are a fold over the whole journal in commit order. Worlds are published with rising
//! epochs. A rejected draft changes nothing. Numbers of items, topics and centres are assigned once and in order.
//! Deliberately absent: clocks, timers (an effect requests one), the store (effects name the rows to store).

mod aggregates;
mod items;
mod centres;
mod publish;
mod clusterings;
mod load;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::clusterings::ClusteringChange;
use crate::domain::ids::{ItemId, Key, Position, TopicId, UserId};
use crate::domain::items::{Author, Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::metrics::Declaration;
use crate::domain::people::Erasure;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::engine::availability::survival::Survival;
use crate::engine::blend::hedge::HedgeFigures;
use crate::engine::population::Population;
use crate::engine::population::clusterings::{ClusteringEdit, Clusterings};
use crate::engine::population::refit::{Clustering, RefitTask, Refused};
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::{Tower, TwoTower};
use crate::engine::world::{Changes, World};
use aggregates::Folded;

pub use aggregates::{GlobalScores, Refold};
pub use load::{Catalogue, CatalogueError};

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
    /// Facts that a two-tower model reads: a JSON object as text.
    pub attributes: Option<Arc<str>>,
    /// `(dim,)`; required for a new item and wherever `text` is given.
    pub embedding: Option<Embedding>,
    /// Creation time; by default the time of arrival.
    pub created: Option<Millis>,
    /// Availability windows; by default the item is always available.
    pub windows: Option<Windows>,
}

/// The effect of a draft on an existing item with its key.
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
    /// Declares a metric or replaces its declaration, which the caller has checked. `None` removes the declaration that
    /// was made at run time.
    Declare(Key, Option<Declaration>),
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
    /// Changes a clustering. The caller has checked settings and names.
    Clustering(ClusteringEdit),
    /// Starts a fit of clusters if one is due.
    Refit {
        /// Clustering of the request, for which the counted points do not matter; `None` requests no fit.
        asked: Option<String>,
    },
    /// The schedule of a clustering requests a fit; the settings may require some counted points.
    RefitScheduled(String),
    /// A fit has finished.
    RefitDone {
        /// Name of the clustering.
        clustering: String,
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
    /// Store a change of a clustering.
    KeepClustering(ClusteringChange),
    /// Store the declaration of a metric; `None` deletes the stored one.
    KeepMetric(Key, Option<Declaration>),
    /// Erase a user in the store; the erasure contains the tombstones of the user's items.
    Erase(Erasure),
    /// Answer the drafts, in their order, once the effects before this one are durable.
    Written(Vec<Result<Written, DraftError>>),
    /// Replace the world and notify subscribers of the changes. Changes are empty when only learned aggregates are new.
    Publish(Arc<World>, Arc<Changes>),
    /// Fit this off the serving threads, then send a [`CoordinatorEvent::RefitDone`].
    RefitTask(Arc<RefitTask>),
    /// Store a fit of the named clustering.
    KeepFit(String, Arc<Clustering>),
    /// Report that a due fit of the named clustering is not possible.
    RefitRefused(String, Refused),
    /// Send a [`CoordinatorEvent::Tick`] at that time; replaces the request before it. `None` requests none.
    WakeAt(Option<Millis>),
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
    clusterings: Clusterings,
    /// Users erased since the start; users erased in earlier runs occur in neither the journal nor the catalogue.
    erased: BTreeSet<UserId>,
}

impl CoordinatorState {
    /// State of an empty catalogue, whose embeddings have `dim` numbers.
    #[must_use]
    pub fn new(dim: usize, settings: Arc<LearnSettings>) -> CoordinatorState {
        CoordinatorState {
            folded: Folded::new(&settings),
            clusterings: Clusterings::new(&settings),
            world: World::new(dim, settings),
            sums: Vec::new(),
            survival: Survival::default(),
            shared_is_stale: true,
            erased: BTreeSet::new(),
        }
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
                    self.world.upsert_item(item.clone());
                    effects.push(Effect::KeepItem(item));
                    self.keep_since(Change::Deleted(id), now, &mut effects);
                    self.publish(now, updated, &mut effects);
                }
            }
            CoordinatorEvent::Windows(items) => self.set_windows(items, now, &mut effects),
            CoordinatorEvent::Live(id, on) => {
                let written = self.switch(id, on, now).map(|windows| {
                    if let Some(windows) = windows {
                        self.set_windows(vec![(id, windows)], now, &mut effects);
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
            CoordinatorEvent::Declare(name, declaration) => {
                self.world.declare(&name, declaration.clone());
                effects.push(Effect::KeepMetric(name, declaration));
                self.world.next_epoch();
                effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
            }
            CoordinatorEvent::Recentre => {
                let all = (0..self.sums.len() as u32).map(TopicId).collect();
                self.centre_anew(&all, true, now, &mut effects);
                self.publish(now, updated, &mut effects);
            }
            CoordinatorEvent::Erase { user, key, salt } => {
                let items = self.tombstone(user, salt);
                self.erased.insert(user);
                self.clusterings.forget(user);
                self.publish_clusterings();
                effects.push(Effect::Erase(Erasure { user, key, at: now, items }));
                self.publish(now, updated, &mut effects);
            }
            CoordinatorEvent::Tick if now < self.world_time() => self.lower_priority(now, &mut effects),
            CoordinatorEvent::Tick => {
                let edge_passed = self.world.next_edge_after(self.world_time()).is_some_and(|edge| edge <= now);
                if edge_passed {
                    self.publish(now, updated, &mut effects);
                } else if self.shared_is_stale || self.world.expected_ends().is_old(now) {
                    self.refresh_shared(now);
                    effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
                }
            }
            CoordinatorEvent::Clustering(edit) => {
                if let Some(change) = self.clusterings.edit(edit, now, self.world.settings_mut()) {
                    effects.push(Effect::KeepClustering(change));
                    self.publish_clusterings();
                    self.world.next_epoch();
                    effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
                }
            }
            CoordinatorEvent::Refit { asked } => {
                if let Some(name) = asked {
                    self.clusterings.ask(&name);
                }
                self.refit(now, &mut effects);
            }
            CoordinatorEvent::RefitScheduled(name) => {
                let settings = self.world.shared_settings();
                self.clusterings.ask_scheduled(&name, &self.folded.population, &settings);
                self.refit(now, &mut effects);
            }
            CoordinatorEvent::RefitDone { clustering, epoch, fit } => {
                let fit = fit.map(|fit| *fit);
                if let Some(fit) = self.clusterings.done(&clustering, epoch, fit, &self.erased, now) {
                    self.publish_clusterings();
                    self.refresh_shared(now);
                    effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
                    effects.push(Effect::KeepFit(clustering, fit));
                }
            }
            CoordinatorEvent::Tower(tower, of) => {
                self.world.set_tower(*tower, &of);
                self.world.next_epoch();
                effects.push(Effect::Publish(Arc::new(self.world.clone()), Arc::default()));
            }
        }
        effects
    }

    /// Publishes a two-tower model and computes all vectors at once, for starts and replays. A running server computes
    /// the vectors on another thread, see [`CoordinatorEvent::Tower`].
    pub fn set_tower(&mut self, model: Arc<dyn TwoTower>) {
        let tower = self.world.tower_by(model);
        let of = self.world.clone();
        self.world.set_tower(tower, &of);
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
        Refold { folded: Folded::new(&settings), settings, begun_at: self.folded.covers }
    }

    /// Replaces the aggregates by the recomputed ones. Entries that arrived meanwhile must be folded after this call.
    pub fn take_over(&mut self, refold: Refold) {
        self.folded = refold.folded;
        self.clusterings.counted_afresh();
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
    pub fn population(&self) -> &Population {
        &self.folded.population
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

    /// Arrival of the first cancellation that the aggregates do not reflect: they include entries that it cancelled.
    #[must_use]
    pub fn undone_since(&self) -> Option<Millis> {
        self.folded.undone_since
    }

    /// Records that the whole journal was folded after its last cancellation, so no cancelled entry was learned.
    pub fn reflects_all_undone(&mut self) {
        self.folded.undone_since = None;
    }

    fn world_time(&self) -> Millis {
        self.world.as_of()
    }

    fn keep_since(&mut self, change: Change, now: Millis, effects: &mut Vec<Effect>) {
        self.world.record(change, now);
        effects.push(Effect::KeepSince(change, now));
    }
}
