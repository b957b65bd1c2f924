//! Immutable snapshot that all users share: items, embeddings, centres, the open set, aggregates. The coordinator
//! publishes it.
//!
//! Invariant: ids are dense and never reused. A published world never changes; the next one shares all blocks of
//! unchanged items, so adding an item copies one block and not the catalogue. Item embeddings are immutable per
//! revision, centres per epoch.
//! Deliberately absent: clocks (the caller passes `now`), locks, scores of users.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array2, ArrayView1};
use roaring::RoaringBitmap;
use rpds::HashTrieMapSync;

use crate::domain::ids::{Epoch, ItemId, Key, TopicId};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::engine::availability::survival::ExpectedEnds;
use crate::engine::availability::{self as avail, AvailabilityIndex};
use crate::engine::catalogue::centres::{AXES, Centre, Coordinates};
use crate::engine::learners::person::online::Example;
use crate::engine::learners::shared::blend::BlendWeights;
use crate::engine::learners::shared::cluster_popularity::ClusterPopularityTable;
use crate::engine::learners::shared::item_neighbours::ItemNeighbours;
use crate::engine::learners::shared::last_seen::Lately;
use crate::engine::learners::shared::opinions::OpinionWeights;
use crate::engine::learners::shared::popularity::{PopularityTable, Run};
use crate::engine::numeric::kernels::dot;
use crate::engine::population::refit::Clustering;
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::{ItemFacts, Tower, TwoTower};

/// Items per block: adding one item copies at most this many embeddings.
pub const BLOCK: usize = 256;

/// Changed items from which on the next open set is recomputed instead of patched.
const UNSETTLED_MAX: usize = 4_096;

/// Stands for "no author" in a block's columns.
pub const NOBODY: u32 = u32::MAX;

/// Embeddings and centres as a journal entry names them; learning reads nothing else of the world.
pub trait Vectors {
    /// The embedding `(dim,)` of an item in a revision; `None` if it is not available.
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]>;
    /// The centre of a topic in an epoch, with its axes; `None` in epoch 0.
    fn centre(&self, centre: CentreRef) -> Option<&Centre>;
}

/// A run of [`BLOCK`] items, stored as columns for ranking scans.
#[derive(Clone, Debug)]
pub struct Block {
    /// `(BLOCK, dim)`, rows beyond `items` are zeros.
    embeddings: Arc<Array2<f32>>,
    /// `(BLOCK, dim)`: embeddings as `code * scale`, for the scan of the whole catalogue.
    codes: Arc<Array2<i8>>,
    items: Vec<Arc<Item>>,
    columns: Arc<Columns>,
}

/// Columns that ranking reads of each item of a block, without following a pointer. One value per item.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Creation time of each item.
    pub created: Vec<Millis>,
    /// Main topic of each item.
    pub topic: Vec<TopicId>,
    /// Whether the item has windows; the item holds them.
    pub windowed: Vec<bool>,
    /// Whether the item has further topics; the item holds them.
    pub more_topics: Vec<bool>,
    /// Author ids, or [`NOBODY`].
    pub author: Vec<u32>,
    /// Centres that the embeddings are currently centred by.
    pub centre: Vec<CentreRef>,
    /// `1 / ||x - m||`, or 0 where an item coincides with its centre.
    pub inverse_norm: Vec<f32>,
    /// Coordinates along the axes of the centre; zeros without axes, or where an item coincides with its centre.
    pub coordinates: Vec<Coordinates>,
    /// `max |x_i| / 127`, the quantisation step of a code.
    pub scale: Vec<f32>,
}

impl Block {
    /// Columns of this block, one value per item.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Row-major `(BLOCK, dim)` codes; `x_i = code_i * scale` up to half a scale.
    #[must_use]
    pub fn codes(&self) -> &[i8] {
        self.codes.as_slice().unwrap_or(&[])
    }

    /// The embedding of one row, `(dim,)`; empty for a row outside of the block.
    #[must_use]
    pub fn embedding(&self, row: usize) -> &[f32] {
        let dim = self.embeddings.ncols();
        self.embeddings.as_slice().and_then(|all| all.get(row * dim..(row + 1) * dim)).unwrap_or(&[])
    }

    /// Items of this block, at most [`BLOCK`], in the order of their ids.
    #[must_use]
    pub fn items(&self) -> &[Arc<Item>] {
        &self.items
    }
}

/// Immutable snapshot of everything that all users share, with a version number (its epoch).
#[derive(Clone, Debug)]
pub struct World {
    epoch: Epoch,
    as_of: Millis,
    dim: usize,
    len: u32,
    blocks: Vec<Arc<Block>>,
    keys: HashTrieMapSync<Key, ItemId>,
    topic_keys: Arc<Vec<Key>>,
    topics_by_key: HashTrieMapSync<Key, TopicId>,
    /// By topic, by epoch from 1.
    centres: Arc<Vec<Vec<Arc<Centre>>>>,
    availability: AvailabilityIndex,
    open: Arc<RoaringBitmap>,
    /// Items put since the open set was computed; `None` when there are too many to list.
    unsettled: Option<Vec<ItemId>>,
    next_edge: Option<Millis>,
    popularity: Arc<PopularityTable>,
    cluster_popularity: Arc<ClusterPopularityTable>,
    neighbours: Arc<ItemNeighbours>,
    lately: Lately,
    expected: Arc<ExpectedEnds>,
    blend: Arc<BlendWeights>,
    opinion: Arc<OpinionWeights>,
    clusters: Option<Arc<Clustering>>,
    tower: Option<Arc<Tower>>,
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
            len: 0,
            blocks: Vec::new(),
            keys: HashTrieMapSync::default(),
            topic_keys: Arc::new(Vec::new()),
            topics_by_key: HashTrieMapSync::default(),
            centres: Arc::new(vec![Vec::new()]),
            availability: AvailabilityIndex::default(),
            open: Arc::default(),
            unsettled: None,
            next_edge: None,
            popularity: Arc::default(),
            cluster_popularity: Arc::default(),
            neighbours: Arc::default(),
            lately: Lately::default(),
            expected: Arc::default(),
            blend: Arc::new(BlendWeights::start(&settings.blend)),
            opinion: Arc::new(OpinionWeights::start(&settings.blend)),
            clusters: None,
            tower: None,
            settings,
            history: Arc::default(),
        }
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
    pub fn shared_settings(&self) -> Arc<LearnSettings> {
        self.settings.clone()
    }

    /// Clusters of users; `None` before the first fit.
    #[must_use]
    pub fn clusters(&self) -> Option<&Arc<Clustering>> {
        self.clusters.as_ref()
    }

    pub(super) fn put_clusters(&mut self, clusters: Option<Arc<Clustering>>) {
        self.clusters = clusters;
    }

    /// The published two-tower model with the vectors of all items; `None` without one.
    #[must_use]
    pub fn tower(&self) -> Option<&Arc<Tower>> {
        self.tower.as_ref()
    }

    /// Inputs of a two-tower model for an item.
    #[must_use]
    pub fn facts<'a>(&'a self, item: &'a Item) -> ItemFacts<'a> {
        ItemFacts {
            embedding: &item.embedding,
            text: &item.text,
            topic: self.topic(item.main_topic()).map(Key::as_str),
            numbers: &[],
        }
    }

    /// Computes the vectors of all items by a model. Costs one inference per item, so it must not run on a serving
    /// thread.
    #[must_use]
    pub fn tower_by(&self, model: Arc<dyn TwoTower>) -> Tower {
        let mut tower = Tower::new(model);
        for item in self.blocks.iter().flat_map(|block| block.items()) {
            tower.put(item.id, &self.facts(item));
        }
        tower
    }

    /// A copy of this world with another two-tower model, whose vectors are those of [`World::tower_by`].
    #[must_use]
    pub fn with_tower(&self, tower: Option<Arc<Tower>>) -> World {
        World { tower, ..self.clone() }
    }

    /// Sets the two-tower model, whose vectors were computed for the world `of`. Vectors of items that are new or
    /// revised since then are computed here.
    pub(super) fn put_tower(&mut self, mut tower: Tower, of: &World) {
        for item in self.blocks.iter().flat_map(|block| block.items()) {
            if of.item(item.id).is_none_or(|then| then.revision != item.revision) {
                tower.put(item.id, &self.facts(item));
            }
        }
        self.tower = Some(Arc::new(tower));
    }

    /// Items ever created, deleted ones included: ids are below this.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no item was ever created.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
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
    pub fn find_any_item(&self, key: &str) -> Option<ItemId> {
        self.keys.get(key).copied()
    }

    /// An item by id, deleted or not; `None` for an id that this world does not have.
    #[must_use]
    pub fn item(&self, id: ItemId) -> Option<&Item> {
        self.shared_item(id).map(AsRef::as_ref)
    }

    /// Shared ownership of [`World::item`].
    #[must_use]
    pub fn shared_item(&self, id: ItemId) -> Option<&Arc<Item>> {
        let (block, row) = place(id);
        self.blocks.get(block)?.items.get(row)
    }

    /// Finds a topic by key.
    #[must_use]
    pub fn find_topic(&self, key: &str) -> Option<TopicId> {
        self.topics_by_key.get(key).copied()
    }

    /// The key of a topic; `None` for the catalogue and for unknown ids.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Key> {
        self.topic_keys.get((id.0 as usize).checked_sub(1)?)
    }

    /// Topic ids are below this; 0 is the catalogue.
    #[must_use]
    pub fn topics_len(&self) -> u32 {
        self.topic_keys.len() as u32 + 1
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
        &self.blocks
    }

    /// Popularity of the available items.
    #[must_use]
    pub fn popularity(&self) -> &PopularityTable {
        &self.popularity
    }

    /// Popularity within each cluster of users.
    #[must_use]
    pub fn cluster_popularity(&self) -> &ClusterPopularityTable {
        &self.cluster_popularity
    }

    /// Co-occurrence lists: items that share users with an item.
    #[must_use]
    pub fn neighbours(&self) -> &ItemNeighbours {
        &self.neighbours
    }

    /// The last seen item of each user.
    #[must_use]
    pub fn lately(&self) -> &Lately {
        &self.lately
    }

    /// Expected end times of open items without a scheduled end.
    #[must_use]
    pub fn expected_ends(&self) -> &ExpectedEnds {
        &self.expected
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
        for topic in [topic, TopicId::CATALOGUE] {
            let epochs = self.centres.get(topic.0 as usize).map_or(0, Vec::len);
            if epochs > 0 {
                return CentreRef { topic, epoch: epochs as u32 };
            }
        }
        CentreRef::NONE
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
        let columns = self.blocks.get(block)?.columns();
        let centre = *columns.centre.get(row)?;
        let axes = self.centre(centre).and_then(Centre::axes).filter(|_| columns.inverse_norm[row] > 0.0);
        Some(Example::measured(x, centre, axes.map(|axes| (axes, columns.coordinates[row]))))
    }
}

impl Vectors for World {
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]> {
        self.item(item).filter(|item| item.revision == revision).map(|item| &item.embedding[..])
    }

    fn centre(&self, centre: CentreRef) -> Option<&Centre> {
        self.centres.get(centre.topic.0 as usize)?.get((centre.epoch as usize).checked_sub(1)?).map(AsRef::as_ref)
    }
}

/// `(x - m) / ||x - m||`; without `m`, `x / ||x||`; zeros where the length vanishes. All are `(dim,)`.
#[must_use]
pub fn centred(x: &[f32], m: Option<&[f32]>) -> Vec<f32> {
    let mut out: Vec<f32> = match m {
        Some(m) => x.iter().zip(m).map(|(x, m)| x - m).collect(),
        None => x.to_vec(),
    };
    let inverse = inverse_length(dot(&out, &out), dot(x, x));
    for number in &mut out {
        *number *= inverse;
    }
    out
}

/// `1 / sqrt(squared)`, or 0 where that is only rounding error relative to `of`, the squared length before centring.
fn inverse_length(squared: f32, of: f32) -> f32 {
    if squared <= of * 1e-10 { 0.0 } else { 1.0 / squared.sqrt() }
}

fn place(id: ItemId) -> (usize, usize) {
    (id.0 as usize / BLOCK, id.0 as usize % BLOCK)
}

/// Mutation, for the coordinator's working copy alone.
impl World {
    /// Upserts an item: its id is new (it must be `len`), or it has a new revision.
    pub(super) fn put_item(&mut self, item: Arc<Item>) {
        let (block, row) = place(item.id);
        if block == self.blocks.len() {
            self.blocks.push(Arc::new(Block {
                embeddings: Arc::new(Array2::zeros((BLOCK, self.dim))),
                codes: Arc::new(Array2::zeros((BLOCK, self.dim))),
                items: Vec::new(),
                columns: Arc::default(),
            }));
        }
        let centre = self.centre_of(item.main_topic());
        let (inverse_norm, coordinates) = self.measure(&item.embedding, centre);
        let windows = (!item.deleted).then_some(&item.windows);
        self.availability.set(item.id, windows);
        self.unsettle(item.id);
        if let Some(old) = self.item(item.id).map(|old| old.key.clone()).filter(|old| *old != item.key) {
            self.keys.remove_mut(&old);
        }
        self.keys.insert_mut(item.key.clone(), item.id);
        self.len = self.len.max(item.id.0 + 1);
        let is_revised = self.item(item.id).is_none_or(|old| old.revision != item.revision);
        if let Some(mut tower) = self.tower.take_if(|_| is_revised) {
            Arc::make_mut(&mut tower).put(item.id, &self.facts(&item));
            self.tower = Some(tower);
        }
        let Some(block) = self.blocks.get_mut(block) else { return };
        let block = Arc::make_mut(block);
        let columns = Arc::make_mut(&mut block.columns);
        let author = item.author.as_ref().map_or(NOBODY, |author| author.id.0);
        let same_embedding = block.items.get(row).is_some_and(|old| old.embedding == item.embedding);
        let largest = item.embedding.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = largest / 127.0;
        if !same_embedding {
            let x = ArrayView1::from(&item.embedding[..]);
            Arc::make_mut(&mut block.embeddings).row_mut(row).assign(&x);
            // Within -127..=127 by the choice of the scale.
            let codes = x.mapv(|x| (x / scale).round() as i8);
            Arc::make_mut(&mut block.codes).row_mut(row).assign(&codes);
        }
        put(&mut columns.scale, row, scale);
        put(&mut columns.created, row, item.created);
        put(&mut columns.topic, row, item.main_topic());
        put(&mut columns.windowed, row, !item.windows.is_always());
        put(&mut columns.more_topics, row, item.topics.len() > 1);
        put(&mut columns.author, row, author);
        put(&mut columns.centre, row, centre);
        put(&mut columns.inverse_norm, row, inverse_norm);
        put(&mut columns.coordinates, row, coordinates);
        put(&mut block.items, row, item);
    }

    fn unsettle(&mut self, item: ItemId) {
        match &mut self.unsettled {
            Some(unsettled) if unsettled.len() < UNSETTLED_MAX => unsettled.push(item),
            unsettled => *unsettled = None,
        }
    }

    /// Replaces an item by one that differs in its windows alone.
    pub(super) fn put_windows(&mut self, item: Arc<Item>) {
        let (block, row) = place(item.id);
        self.availability.put(item.id, (!item.deleted).then_some(&item.windows));
        self.unsettle(item.id);
        let Some(block) = self.blocks.get_mut(block) else { return };
        let block = Arc::make_mut(block);
        put(&mut Arc::make_mut(&mut block.columns).windowed, row, !item.windows.is_always());
        put(&mut block.items, row, item);
    }

    /// Inserts many items into an empty world, and builds the availability index in one pass.
    pub(super) fn load_items(&mut self, items: Vec<Arc<Item>>) {
        let windows: Vec<(ItemId, Windows)> =
            items.iter().filter(|item| !item.deleted).map(|item| (item.id, item.windows.clone())).collect();
        for item in items {
            self.put_item(item);
        }
        self.availability = AvailabilityIndex::build(windows.into_iter());
        self.unsettled = None;
    }

    /// Adds a topic, or finds it if it exists; ids are assigned in order.
    pub(super) fn put_topic(&mut self, key: Key) -> TopicId {
        if let Some(id) = self.find_topic(key.as_str()) {
            return id;
        }
        let id = TopicId(self.topics_len());
        Arc::make_mut(&mut self.topic_keys).push(key.clone());
        self.topics_by_key.insert_mut(key, id);
        id
    }

    /// Adds the next epoch of a topic's centre. [`World::recentre`] recomputes the items' columns.
    pub(super) fn put_centre(&mut self, topic: TopicId, centre: Centre) -> CentreRef {
        let centres = Arc::make_mut(&mut self.centres);
        let index = topic.0 as usize;
        if centres.len() <= index {
            centres.resize_with(index + 1, Vec::new);
        }
        centres[index].push(Arc::new(centre));
        CentreRef { topic, epoch: centres[index].len() as u32 }
    }

    /// Recomputes the columns of all items whose centre has a newer epoch.
    pub(super) fn recentre(&mut self) {
        for index in 0..self.blocks.len() {
            let block = &self.blocks[index];
            let wanted: Vec<CentreRef> = block.columns.topic.iter().map(|topic| self.centre_of(*topic)).collect();
            if wanted == block.columns.centre {
                continue;
            }
            let mut columns = Columns::clone(&block.columns);
            for (row, centre) in wanted.into_iter().enumerate() {
                if columns.centre[row] != centre {
                    let embedding = &block.items[row].embedding;
                    (columns.inverse_norm[row], columns.coordinates[row]) = self.measure(embedding, centre);
                    columns.centre[row] = centre;
                }
            }
            Arc::make_mut(&mut self.blocks[index]).columns = Arc::new(columns);
        }
    }

    /// Moves the open set to `now` and returns the changes. An instant before the current one counts as the current
    /// one.
    pub(super) fn move_to(&mut self, now: Millis) -> Changes {
        self.move_anywhere(self.as_of.max(now))
    }

    /// Moves the open set to an earlier instant, since the clock was set back. Returns the changes.
    pub(super) fn move_back_to(&mut self, now: Millis) -> Changes {
        // Recomputed from the windows: edges are not counted backwards.
        self.unsettled = None;
        self.move_anywhere(now)
    }

    fn move_anywhere(&mut self, now: Millis) -> Changes {
        let before = self.open.clone();
        match self.unsettled.take() {
            // Usual case: few changes, so the open set is patched.
            Some(unsettled) => {
                // Items that were not put since flip only at edges that existed before.
                let flips = match self.next_edge {
                    Some(edge) if edge <= now => self.availability.changes(self.as_of, now),
                    _ => avail::Changes::default(),
                };
                if !(flips.is_empty() && unsettled.is_empty()) {
                    let open = Arc::make_mut(&mut self.open);
                    *open |= flips.opened;
                    *open -= flips.closed;
                    for item in unsettled {
                        match self.availability.is_open(item, now) {
                            true => open.insert(item.0),
                            false => open.remove(item.0),
                        };
                    }
                }
            }
            None => self.open = Arc::new(self.availability.open_at(now)),
        }
        debug_assert_eq!(*self.open, self.availability.open_at(now), "the open set is that of its instant");
        self.unsettled = Some(Vec::new());
        self.as_of = now;
        self.next_edge = self.availability.next_edge_after(now);
        let ids = |set: RoaringBitmap| set.into_iter().map(ItemId).collect();
        Changes { opened: ids(&*self.open - &*before), closed: ids(&*before - &*self.open), updated: Vec::new() }
    }

    /// The tables that all users share, for an update in place.
    pub(super) fn shared_mut(&mut self) -> (&mut PopularityTable, &mut ItemNeighbours, &mut Lately) {
        (Arc::make_mut(&mut self.popularity), Arc::make_mut(&mut self.neighbours), &mut self.lately)
    }

    /// Takes the expected end times out for an update; [`World::put_expected`] puts them back.
    pub(super) fn take_expected(&mut self) -> ExpectedEnds {
        std::mem::take(Arc::make_mut(&mut self.expected))
    }

    /// Sets the expected end times of open items.
    pub(super) fn put_expected(&mut self, expected: ExpectedEnds) {
        self.expected = Arc::new(expected);
    }

    /// What groups go to, from now on.
    pub(super) fn put_cluster_popularity(&mut self, cluster_popularity: ClusterPopularityTable) {
        self.cluster_popularity = Arc::new(cluster_popularity);
    }

    /// Sets the weights of the blend and of the opinion model.
    pub(super) fn put_blend(&mut self, weights: BlendWeights, opinion: OpinionWeights) {
        self.blend = Arc::new(weights);
        self.opinion = Arc::new(opinion);
    }

    /// Records the time of a change, for the time machine.
    pub(super) fn note(&mut self, change: Change, since: Millis) {
        let history = Arc::make_mut(&mut self.history);
        match change {
            Change::Centre(centre) => history.centres.insert(centre, since),
            Change::Revision(item, revision) => history.revisions.insert((item, revision), since),
            Change::Deleted(item) => history.deleted.insert(item, since),
        };
    }

    /// Removes an item's revisions and deletion from the history, for an erasure.
    pub(super) fn forget(&mut self, item: ItemId) {
        let history = Arc::make_mut(&mut self.history);
        history.revisions.retain(|(revised, _), _| *revised != item);
        history.deleted.remove(&item);
    }

    /// Items that were revised after an instant, each with its revision at that instant.
    #[must_use]
    pub fn revised_after(&self, at: Millis) -> Vec<(ItemId, u32)> {
        let mut revised: BTreeMap<ItemId, u32> = BTreeMap::new();
        for ((item, revision), since) in &self.history.revisions {
            if *since > at {
                // Revisions are in order: the first one after `at` replaced the one that was valid.
                revised.entry(*item).or_insert(revision.saturating_sub(1));
            }
        }
        revised.into_iter().collect()
    }

    /// The world as of an instant, for ranking: epochs of centres, deletions, and revisions as of then. Vectors of
    /// `earlier` revisions come from the caller; texts, topics and windows are the current ones. Learned aggregates
    /// (popularity, co-occurrence, the blend) are left out, since they contain later events.
    #[must_use]
    pub fn back_to(&self, at: Millis, earlier: Vec<(ItemId, u32, Embedding)>) -> World {
        let mut world = World {
            popularity: Arc::default(),
            cluster_popularity: Arc::default(),
            neighbours: Arc::default(),
            lately: Lately::default(),
            expected: Arc::default(),
            blend: Arc::new(BlendWeights::start(&self.settings.blend)),
            opinion: Arc::new(OpinionWeights::start(&self.settings.blend)),
            ..self.clone()
        };
        for (item, revision, embedding) in earlier {
            if let Some(now) = self.item(item) {
                world.put_item(Arc::new(Item { revision, embedding, ..now.clone() }));
            }
        }
        for (item, since) in &self.history.deleted {
            if let Some(now) = world.item(*item).filter(|now| now.deleted && *since > at).cloned() {
                world.put_item(Arc::new(Item { deleted: false, ..now }));
            }
        }
        let later = |centre: &CentreRef| self.history.centres.get(centre).is_some_and(|since| *since > at);
        if self.history.centres.keys().any(later) {
            let then = |(topic, epochs): (u32, &Vec<Arc<Centre>>)| {
                let named = (1..).map(|epoch| CentreRef { topic: TopicId(topic), epoch });
                epochs.iter().zip(named).take_while(|(_, centre)| !later(centre)).map(|(m, _)| m.clone()).collect()
            };
            world.centres = Arc::new((0..).zip(self.centres.iter()).map(then).collect());
            world.recentre();
        }
        world
    }

    /// Raises the version by one.
    pub(super) fn next_epoch(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
    }

    /// Raises the version to at least `epoch`, above every version that clients may remember of an earlier run.
    pub(super) fn start_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
    }

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
            let block = self.blocks.get(index)?;
            let columns = block.columns();
            Some(Run {
                first: ItemId(first as u32),
                created: columns.created.get(rows.clone())?,
                windowed: columns.windowed.get(rows.clone())?,
                items: block.items.get(rows)?,
            })
        })
    }

    /// `1 / ||x - m||`, and the coordinates along the centre's axes.
    fn measure(&self, x: &[f32], centre: CentreRef) -> (f32, Coordinates) {
        let length = dot(x, x);
        let Some(centre) = self.centre(centre) else { return (inverse_length(length, length), [0.0; AXES]) };
        let mut difference: Vec<f32> = x.iter().zip(centre.mean()).map(|(x, m)| x - m).collect();
        let inverse = inverse_length(dot(&difference, &difference), length);
        for number in &mut difference {
            *number *= inverse;
        }
        let coordinates = centre.axes().and_then(|axes| axes.coordinates(&difference));
        (inverse, coordinates.unwrap_or([0.0; AXES]))
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

fn put<T>(column: &mut Vec<T>, row: usize, value: T) {
    match column.get_mut(row) {
        Some(cell) => *cell = value,
        None => column.push(value),
    }
}
