//! Feature store: the tables that all users share and that experts compute features from.
//!
//! Invariant: every table is as of one version of the world, which owns the store.
//! Deliberately absent: learned weights (`engine::blend`), the open set, clusters and keys of items (`engine::world`).

use std::sync::Arc;

use crate::domain::ids::{ItemId, Key, TopicId};
use crate::domain::items::Item;
use crate::domain::journal::CentreRef;
use crate::engine::availability::survival::ExpectedEnds;
use crate::engine::catalogue::block::{Block, place};
use crate::engine::catalogue::centres::Centre;
use crate::engine::catalogue::vectors::Vectors;
use crate::engine::learners::shared::cluster_popularity::ClusterPopularityTable;
use crate::engine::learners::shared::item_neighbours::ItemNeighbours;
use crate::engine::learners::shared::last_seen::LastSeen;
use crate::engine::learners::shared::popularity::PopularityTable;
use crate::engine::two_tower::Tower;

/// Items, centres, and tables that are learned from all users. A clone shares all tables.
#[derive(Clone, Debug)]
pub(crate) struct FeatureStore {
    /// Items ever created; ids are below this.
    pub(in crate::engine) len: u32,
    pub(in crate::engine) blocks: Vec<Arc<Block>>,
    pub(in crate::engine) topic_keys: Arc<Vec<Key>>,
    /// By topic, by epoch from 1.
    pub(in crate::engine) centres: Arc<Vec<Vec<Arc<Centre>>>>,
    pub(in crate::engine) popularity: Arc<PopularityTable>,
    pub(in crate::engine) cluster_popularity: Arc<ClusterPopularityTable>,
    pub(in crate::engine) neighbours: Arc<ItemNeighbours>,
    pub(in crate::engine) last_seen: LastSeen,
    pub(in crate::engine) expected: Arc<ExpectedEnds>,
    pub(in crate::engine) tower: Option<Arc<Tower>>,
    pub(in crate::engine) freshness_half_ms: i64,
}

impl FeatureStore {
    /// An empty store. Freshness is one half at the age `freshness_half_ms`, in milliseconds.
    #[must_use]
    pub fn new(freshness_half_ms: i64) -> FeatureStore {
        FeatureStore {
            len: 0,
            blocks: Vec::new(),
            topic_keys: Arc::new(Vec::new()),
            centres: Arc::new(vec![Vec::new()]),
            popularity: Arc::default(),
            cluster_popularity: Arc::default(),
            neighbours: Arc::default(),
            last_seen: LastSeen::default(),
            expected: Arc::default(),
            tower: None,
            freshness_half_ms,
        }
    }

    /// Items ever created, deleted ones included: ids are below this.
    #[must_use]
    pub(crate) fn items_len(&self) -> u32 {
        self.len
    }

    /// An item by id, deleted or not; `None` for an unknown id.
    #[must_use]
    pub fn item(&self, id: ItemId) -> Option<&Item> {
        self.shared_item(id).map(AsRef::as_ref)
    }

    /// Shared ownership of [`FeatureStore::item`].
    #[must_use]
    pub fn shared_item(&self, id: ItemId) -> Option<&Arc<Item>> {
        let (block, row) = place(id);
        self.blocks.get(block)?.items.get(row)
    }

    /// Topic ids are below this; 0 is the catalogue.
    #[must_use]
    pub fn topics_len(&self) -> u32 {
        self.topic_keys.len() as u32 + 1
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
    pub fn last_seen(&self) -> &LastSeen {
        &self.last_seen
    }

    /// Expected end times of open items without a scheduled end.
    #[must_use]
    pub fn expected_ends(&self) -> &ExpectedEnds {
        &self.expected
    }

    /// The published two-tower model with the vectors of all items; `None` without one.
    #[must_use]
    pub fn tower(&self) -> Option<&Arc<Tower>> {
        self.tower.as_ref()
    }

    /// Age at which freshness is one half, in milliseconds.
    #[must_use]
    pub fn freshness_half_ms(&self) -> i64 {
        self.freshness_half_ms
    }
}

impl Vectors for FeatureStore {
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]> {
        self.item(item).filter(|item| item.revision == revision).map(|item| &item.embedding[..])
    }

    fn centre(&self, centre: CentreRef) -> Option<&Centre> {
        self.centres.get(centre.topic.0 as usize)?.get((centre.epoch as usize).checked_sub(1)?).map(AsRef::as_ref)
    }
}
