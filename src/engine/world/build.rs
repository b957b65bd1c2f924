//! Construction of the next world from the coordinator's working copy.
//!
//! Invariant: only the coordinator changes a world, and only before it is published. A change copies the blocks of the
//! changed items, and no others.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array2, ArrayView1};
use roaring::RoaringBitmap;

use super::{Changes, World};
use crate::domain::ids::{Epoch, ItemId, Key, TopicId};
use crate::domain::items::Item;
use crate::domain::journal::CentreRef;
use crate::domain::metrics::Declaration;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::engine::availability::survival::ExpectedEnds;
use crate::engine::availability::{self as avail, AvailabilityIndex};
use crate::engine::blend::opinions::OpinionWeights;
use crate::engine::blend::weights::BlendWeights;
use crate::engine::catalogue::block::{BLOCK, Block, Columns, FURTHER, NO_TOPIC, NOBODY, place};
use crate::engine::catalogue::centres::{AXES, Centre, Coordinates};
use crate::engine::catalogue::vectors::{Vectors, inverse_length};
use crate::engine::learners::shared::cluster_popularity::ClusterPopularityTable;
use crate::engine::learners::shared::item_neighbours::ItemNeighbours;
use crate::engine::learners::shared::last_seen::LastSeen;
use crate::engine::learners::shared::popularity::PopularityTable;
use crate::engine::numeric::kernels::dot;
use crate::engine::population::clusterings::Published;
use crate::engine::population::refit::Clustering;
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::Tower;

/// Changed items from which on the next open set is recomputed instead of patched.
const UNSETTLED_MAX: usize = 4_096;

impl World {
    /// Declares a metric, or replaces its declaration; `None` removes a declaration that was made at run time.
    pub(in crate::engine) fn declare(&mut self, name: &Key, declaration: Option<Declaration>) {
        let metrics = &mut Arc::make_mut(&mut self.settings).metrics;
        match declaration {
            Some(declaration) => metrics.declare(name.as_str(), declaration),
            None => metrics.undeclare(name.as_str()),
        }
    }

    /// Settings, for a change of the clusterings.
    pub(in crate::engine) fn settings_mut(&mut self) -> &mut LearnSettings {
        Arc::make_mut(&mut self.settings)
    }

    /// Sets the published clusterings, and the fit of `default`.
    pub(in crate::engine) fn set_clusterings(
        &mut self,
        default: Option<Arc<Clustering>>,
        all: BTreeMap<String, Published>,
    ) {
        (self.clusters, self.clusterings) = (default, Arc::new(all));
    }

    /// Sets the two-tower model, whose vectors were computed for the world `of`. Vectors of items that are new or
    /// revised since then are computed here.
    pub(in crate::engine) fn set_tower(&mut self, mut tower: Tower, of: &World) {
        for item in self.store.blocks.iter().flat_map(|block| block.items()) {
            if of.item(item.id).is_none_or(|then| then.revision != item.revision) {
                tower.put(item.id, &self.facts(item));
            }
        }
        self.store.tower = Some(Arc::new(tower));
    }

    /// Upserts an item: its id is new (it must be `len`), or it has a new revision.
    pub(in crate::engine) fn upsert_item(&mut self, item: Arc<Item>) {
        let (block, row) = place(item.id);
        if block == self.store.blocks.len() {
            self.store.blocks.push(Arc::new(Block {
                embeddings: Arc::new(Array2::zeros((BLOCK, self.dim))),
                codes: Arc::new(Array2::zeros((BLOCK, self.dim))),
                items: Vec::new(),
                columns: Arc::default(),
                attributes: Arc::default(),
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
        self.store.len = self.store.len.max(item.id.0 + 1);
        let is_revised = self.item(item.id).is_none_or(|old| old.revision != item.revision);
        if let Some(mut tower) = self.store.tower.take_if(|_| is_revised) {
            Arc::make_mut(&mut tower).put(item.id, &self.facts(&item));
            self.store.tower = Some(tower);
        }
        let Some(block) = self.store.blocks.get_mut(block) else { return };
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
        let squares = dot(&item.embedding, &item.embedding);
        put(&mut columns.scale, row, scale);
        put(&mut columns.inverse_length, row, inverse_length(squares, squares));
        put(&mut columns.created, row, item.created);
        put(&mut columns.topic, row, item.main_topic());
        put(&mut columns.windowed, row, !item.windows.is_always());
        put(&mut columns.further, row, further(&item));
        put(&mut columns.more_topics, row, item.topics.len() > 1 + FURTHER);
        put(&mut columns.author, row, author);
        put(&mut columns.centre, row, centre);
        put(&mut columns.inverse_norm, row, inverse_norm);
        put(&mut columns.coordinates, row, coordinates);
        let before = block.items.get(row).and_then(|old| old.attributes.as_deref());
        if before != item.attributes.as_deref() {
            Arc::make_mut(&mut block.attributes).set(row, before, item.attributes.as_deref());
        }
        put(&mut block.items, row, item);
    }

    fn unsettle(&mut self, item: ItemId) {
        match &mut self.unsettled {
            Some(unsettled) if unsettled.len() < UNSETTLED_MAX => unsettled.push(item),
            unsettled => *unsettled = None,
        }
    }

    /// Replaces an item by one that differs in its windows alone.
    pub(in crate::engine) fn set_windows(&mut self, item: Arc<Item>) {
        let (block, row) = place(item.id);
        self.availability.put(item.id, (!item.deleted).then_some(&item.windows));
        self.unsettle(item.id);
        let Some(block) = self.store.blocks.get_mut(block) else { return };
        let block = Arc::make_mut(block);
        put(&mut Arc::make_mut(&mut block.columns).windowed, row, !item.windows.is_always());
        put(&mut block.items, row, item);
    }

    /// Inserts many items into an empty world, and builds the availability index in one pass.
    pub(in crate::engine) fn load_items(&mut self, items: Vec<Arc<Item>>) {
        let windows: Vec<(ItemId, Windows)> =
            items.iter().filter(|item| !item.deleted).map(|item| (item.id, item.windows.clone())).collect();
        for item in items {
            self.upsert_item(item);
        }
        self.availability = AvailabilityIndex::build(windows.into_iter());
        self.unsettled = None;
    }

    /// Adds a topic, or finds it if it exists; ids are assigned in order.
    pub(in crate::engine) fn intern_topic(&mut self, key: Key) -> TopicId {
        if let Some(id) = self.find_topic(key.as_str()) {
            return id;
        }
        let id = TopicId(self.topics_len());
        Arc::make_mut(&mut self.store.topic_keys).push(key.clone());
        self.topics_by_key.insert_mut(key, id);
        id
    }

    /// Adds the next epoch of a topic's centre. [`World::recentre`] recomputes the items' columns.
    pub(in crate::engine) fn set_centre(&mut self, topic: TopicId, centre: Centre) -> CentreRef {
        let centres = Arc::make_mut(&mut self.store.centres);
        let index = topic.0 as usize;
        if centres.len() <= index {
            centres.resize_with(index + 1, Vec::new);
        }
        centres[index].push(Arc::new(centre));
        CentreRef { topic, epoch: centres[index].len() as u32 }
    }

    /// Recomputes the columns of all items whose centre has a newer epoch.
    pub(in crate::engine) fn recentre(&mut self) {
        for index in 0..self.store.blocks.len() {
            let block = &self.store.blocks[index];
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
            Arc::make_mut(&mut self.store.blocks[index]).columns = Arc::new(columns);
        }
    }

    /// Moves the open set to `now` and returns the changes. An instant before the current one counts as the current
    /// one.
    pub(in crate::engine) fn move_to(&mut self, now: Millis) -> Changes {
        self.move_anywhere(self.as_of.max(now))
    }

    /// Moves the open set to an earlier instant, since the clock was set back. Returns the changes.
    pub(in crate::engine) fn move_back_to(&mut self, now: Millis) -> Changes {
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
    pub(in crate::engine) fn shared_mut(&mut self) -> (&mut PopularityTable, &mut ItemNeighbours, &mut LastSeen) {
        (
            Arc::make_mut(&mut self.store.popularity),
            Arc::make_mut(&mut self.store.neighbours),
            &mut self.store.last_seen,
        )
    }

    /// Takes the expected end times out for an update; [`World::set_expected`] puts them back.
    pub(in crate::engine) fn take_expected(&mut self) -> ExpectedEnds {
        std::mem::take(Arc::make_mut(&mut self.store.expected))
    }

    /// Sets the expected end times of open items.
    pub(in crate::engine) fn set_expected(&mut self, expected: ExpectedEnds) {
        self.store.expected = Arc::new(expected);
    }

    /// Sets the published popularity within clusters.
    pub(in crate::engine) fn set_cluster_popularity(&mut self, cluster_popularity: ClusterPopularityTable) {
        self.store.cluster_popularity = Arc::new(cluster_popularity);
    }

    /// Sets the weights of the blend and of the opinion model.
    pub(in crate::engine) fn set_blend(&mut self, weights: BlendWeights, opinion: OpinionWeights) {
        self.blend = Arc::new(weights);
        self.opinion = Arc::new(opinion);
    }

    /// Raises the version by one.
    pub(in crate::engine) fn next_epoch(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
    }

    /// Raises the version to at least `epoch`, above every version that clients may remember of an earlier run.
    pub(in crate::engine) fn start_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
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

/// The first topics of an item after the main one.
fn further(item: &Item) -> [TopicId; FURTHER] {
    let mut further = [NO_TOPIC; FURTHER];
    for (place, topic) in further.iter_mut().zip(item.topics.iter().skip(1)) {
        *place = *topic;
    }
    further
}

fn put<T>(column: &mut Vec<T>, row: usize, value: T) {
    match column.get_mut(row) {
        Some(cell) => *cell = value,
        None => column.push(value),
    }
}
