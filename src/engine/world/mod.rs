//! Immutable snapshot that all users share: items, embeddings, centres, the open set, aggregates. The coordinator
//! publishes it.
//!
//! Invariant: ids are dense and never reused. A published world never changes; the next one shares all blocks of
//! unchanged items, so adding an item copies one block and not the catalogue. Item embeddings are immutable per
//! revision, centres per epoch.
//! Deliberately absent: clocks (the caller passes `now`), locks, scores of users.

mod build;
mod as_of;

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use rpds::HashTrieMapSync;

use crate::domain::ids::{Epoch, ItemId, Key, TopicId};
use crate::domain::items::Item;
use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::engine::availability::AvailabilityIndex;
use crate::engine::availability::survival::ExpectedEnds;
use crate::engine::blend::opinions::OpinionWeights;
use crate::engine::blend::weights::BlendWeights;
use crate::engine::catalogue::block::{BLOCK, Block, place};
use crate::engine::catalogue::centres::Centre;
use crate::engine::catalogue::vectors::{Vectors, centred};
use crate::engine::evidence::feature_store::FeatureStore;
use crate::engine::learners::person::online::Example;
use crate::engine::learners::shared::cluster_popularity::ClusterPopularityTable;
use crate::engine::learners::shared::item_neighbours::ItemNeighbours;
use crate::engine::learners::shared::last_seen::LastSeen;
use crate::engine::learners::shared::popularity::{PopularityTable, Run};
use crate::engine::population::clusterings::Published;
use crate::engine::population::refit::Clustering;
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::{ItemFacts, Tower, TwoTower};

/// Immutable snapshot of everything that all users share, with a version number (its epoch).
#[derive(Clone, Debug)]
pub struct World {
    epoch: Epoch,
    as_of: Millis,
    dim: usize,
    store: FeatureStore,
    keys: HashTrieMapSync<Key, ItemId>,
    topics_by_key: HashTrieMapSync<Key, TopicId>,
    availability: AvailabilityIndex,
    open: Arc<RoaringBitmap>,
    /// Items put since the open set was computed; `None` when there are too many to list.
    unsettled: Option<Vec<ItemId>>,
    next_edge: Option<Millis>,
    blend: Arc<BlendWeights>,
    opinion: Arc<OpinionWeights>,
    clusters: Option<Arc<Clustering>>,
    clusterings: Arc<BTreeMap<String, Published>>,
    settings: Arc<LearnSettings>,
    history: Arc<History>,
}

/// Times of changes; anything without an entry has always been so. Grows with revisions, deletions and epochs, not with
/// items.
#[derive(Clone, Debug, Default)]
struct History {
    centres: BTreeMap<CentreRef, Millis>,
    revisions: BTreeMap<(ItemId, u32), Millis>,
    deleted: BTreeMap<ItemId, Millis>,
}

impl World {
    /// An empty world, for embeddings `(dim,)`.
    #[must_use]
    pub fn new(dim: usize, settings: Arc<LearnSettings>) -> World {
        World {
            epoch: Epoch(0),
            as_of: Millis::MIN,
            dim,
            store: FeatureStore::new(settings.freshness_half_ms),
            keys: HashTrieMapSync::default(),
            topics_by_key: HashTrieMapSync::default(),
            availability: AvailabilityIndex::default(),
            open: Arc::default(),
            unsettled: None,
            next_edge: None,
            blend: Arc::new(BlendWeights::start(&settings.blend)),
            opinion: Arc::new(OpinionWeights::start(&settings.blend)),
            clusters: None,
            clusterings: Arc::default(),
            settings,
            history: Arc::default(),
        }
    }

    /// What experts compute features from.
    pub(crate) fn store(&self) -> &FeatureStore {
        &self.store
    }

    /// Version of this world; rises with every publication.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The instant that the open set was computed for.
    #[must_use]
    pub fn as_of(&self) -> Millis {
        self.as_of
    }

    /// Numbers in an embedding.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Settings of learning and ranking.
    #[must_use]
    pub fn settings(&self) -> &LearnSettings {
        &self.settings
    }

    /// Shared ownership of [`World::settings`].
    #[must_use]
    pub(crate) fn shared_settings(&self) -> Arc<LearnSettings> {
        self.settings.clone()
    }

    /// Clusters of users by the clustering `default`; `None` before its first fit.
    #[must_use]
    pub fn clusters(&self) -> Option<&Arc<Clustering>> {
        self.clusters.as_ref()
    }

    /// All clusterings by name.
    #[must_use]
    pub fn clusterings(&self) -> &BTreeMap<String, Published> {
        &self.clusterings
    }

    /// The published two-tower model with the vectors of all items; `None` without one.
    #[must_use]
    pub fn tower(&self) -> Option<&Arc<Tower>> {
        self.store.tower.as_ref()
    }

    /// Inputs of a two-tower model for an item.
    #[must_use]
    pub fn facts<'a>(&'a self, item: &'a Item) -> ItemFacts<'a> {
        ItemFacts {
            embedding: &item.embedding,
            text: &item.text,
            topic: self.topic(item.main_topic()).map(Key::as_str),
            attributes: item.attributes.as_deref(),
            numbers: &[],
        }
    }

    /// Computes the vectors of all items by a model. Costs one inference per item, so it must not run on a serving
    /// thread.
    #[must_use]
    pub fn tower_by(&self, model: Arc<dyn TwoTower>) -> Tower {
        let mut tower = Tower::new(model);
        for item in self.store.blocks.iter().flat_map(|block| block.items()) {
            tower.put(item.id, &self.facts(item));
        }
        tower
    }

    /// A copy of this world with another two-tower model, whose vectors are those of [`World::tower_by`].
    #[must_use]
    pub fn with_tower(&self, tower: Option<Arc<Tower>>) -> World {
        World { store: FeatureStore { tower, ..self.store.clone() }, ..self.clone() }
    }

    /// Items ever created, deleted ones included: ids are below this.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.store.len
    }

    /// Whether no item was ever created.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.store.len == 0
    }

    /// Number of available items, as of [`World::as_of`].
    #[must_use]
    pub fn open_len(&self) -> u64 {
        self.open.len()
    }

    /// Finds an item by key; deleted items are not found.
    #[must_use]
    pub fn find_item(&self, key: &str) -> Option<ItemId> {
        self.find_any_item(key).filter(|id| self.item(*id).is_some_and(|item| !item.deleted))
    }

    /// Finds an item by key, deleted or not.
    #[must_use]
    pub(crate) fn find_any_item(&self, key: &str) -> Option<ItemId> {
        self.keys.get(key).copied()
    }

    /// An item by id, deleted or not; `None` for an id that this world does not have.
    #[must_use]
    pub fn item(&self, id: ItemId) -> Option<&Item> {
        self.store.item(id)
    }

    /// Shared ownership of [`World::item`].
    #[must_use]
    pub fn shared_item(&self, id: ItemId) -> Option<&Arc<Item>> {
        self.store.shared_item(id)
    }

    /// Finds a topic by key.
    #[must_use]
    pub fn find_topic(&self, key: &str) -> Option<TopicId> {
        self.topics_by_key.get(key).copied()
    }

    /// The key of a topic; `None` for the catalogue and for unknown ids.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Key> {
        self.store.topic_keys.get((id.0 as usize).checked_sub(1)?)
    }

    /// Topic ids are below this; 0 is the catalogue.
    #[must_use]
    pub fn topics_len(&self) -> u32 {
        self.store.topics_len()
    }

    /// Items that are available at an instant, past or future.
    #[must_use]
    pub fn open_at(&self, at: Millis) -> Arc<RoaringBitmap> {
        // Fast path: most calls ask about now, and the open set is valid until the next edge.
        if at >= self.as_of && self.next_edge.is_none_or(|edge| at < edge) {
            return self.open.clone();
        }
        Arc::new(self.availability.open_at(at))
    }

    /// Whether an item is available at `at`.
    #[must_use]
    pub fn is_open(&self, item: ItemId, at: Millis) -> bool {
        self.item(item).is_some_and(|item| item.is_available(at))
    }

    /// The next instant after `at` at which an item opens or closes.
    #[must_use]
    pub fn next_edge_after(&self, at: Millis) -> Option<Millis> {
        self.availability.next_edge_after(at)
    }

    /// Blocks of items in the order of their ids.
    #[must_use]
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.store.blocks
    }

    /// Popularity of the available items.
    #[must_use]
    pub fn popularity(&self) -> &PopularityTable {
        &self.store.popularity
    }

    /// Popularity within each cluster of users.
    #[must_use]
    pub fn cluster_popularity(&self) -> &ClusterPopularityTable {
        &self.store.cluster_popularity
    }

    /// Co-occurrence lists: items that share users with an item.
    #[must_use]
    pub fn neighbours(&self) -> &ItemNeighbours {
        &self.store.neighbours
    }

    /// The last seen item of each user.
    #[must_use]
    pub fn last_seen(&self) -> &LastSeen {
        &self.store.last_seen
    }

    /// Expected end times of open items without a scheduled end.
    #[must_use]
    pub fn expected_ends(&self) -> &ExpectedEnds {
        &self.store.expected
    }

    /// Shared weights of the blend.
    #[must_use]
    pub fn blend(&self) -> &BlendWeights {
        &self.blend
    }

    /// Weights of the opinion model, which predicts the probability of a yes.
    #[must_use]
    pub fn opinion(&self) -> &OpinionWeights {
        &self.opinion
    }

    /// Current centre for items of a topic: the topic's own, else the catalogue's, else [`CentreRef::NONE`].
    #[must_use]
    pub fn centre_of(&self, topic: TopicId) -> CentreRef {
        self.store.centre_of(topic)
    }

    /// `x~ = (x - m) / ||x - m||` of an item in its newest revision, `(dim,)`; zeros where it coincides with its
    /// centre.
    #[must_use]
    pub fn centred(&self, id: ItemId) -> Option<Vec<f32>> {
        let item = self.item(id)?;
        let centre = self.centre_of(item.main_topic());
        Some(centred(&item.embedding, self.centre(centre).map(Centre::mean)))
    }

    /// Input of the online model for an item in its newest revision; `x` is [`World::centred`] of it.
    #[must_use]
    pub fn example<'a>(&'a self, id: ItemId, x: &'a [f32]) -> Option<Example<'a>> {
        let (block, row) = place(id);
        let columns = self.store.blocks.get(block)?.columns();
        let centre = *columns.centre.get(row)?;
        let axes = self.centre(centre).and_then(Centre::axes).filter(|_| columns.inverse_norm[row] > 0.0);
        Some(Example::measured(x, centre, axes.map(|axes| (axes, columns.coordinates[row]))))
    }
}

impl Vectors for World {
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]> {
        self.store.embedding(item, revision)
    }

    fn centre(&self, centre: CentreRef) -> Option<&Centre> {
        self.store.centre(centre)
    }
}

/// Mutation, for the coordinator's working copy alone.
impl World {
    /// Items that are available as of [`World::as_of`].
    pub fn open(&self) -> &RoaringBitmap {
        &self.open
    }

    /// Open items as runs; each run lies within one block.
    pub(super) fn open_runs(&self) -> impl Iterator<Item = Run<'_>> {
        let mut ids = self.open.iter();
        let mut rest = 0..0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                let run = ids.next_range()?;
                rest = *run.start() as usize..*run.end() as usize + 1;
            }
            let (index, end) = (rest.start / BLOCK, rest.end.min((rest.start / BLOCK + 1) * BLOCK));
            let (first, rows) = (rest.start, rest.start % BLOCK..end - index * BLOCK);
            rest.start = end;
            let block = self.store.blocks.get(index)?;
            let columns = block.columns();
            Some(Run {
                first: ItemId(first as u32),
                created: columns.created.get(rows.clone())?,
                windowed: columns.windowed.get(rows.clone())?,
                items: block.items.get(rows)?,
            })
        })
    }
}

/// Difference between two worlds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Items that became available.
    pub opened: Vec<ItemId>,
    /// Items that stopped being available.
    pub closed: Vec<ItemId>,
    /// Items that were available before and after, with new contents.
    pub updated: Vec<ItemId>,
}

impl Changes {
    /// Whether this item changed.
    #[must_use]
    pub fn names(&self, item: ItemId) -> bool {
        [&self.opened, &self.closed, &self.updated].into_iter().any(|list| list.contains(&item))
    }

    /// Whether no item changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty() && self.updated.is_empty()
    }
}
