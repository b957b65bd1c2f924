//! What everybody sees: an immutable snapshot of items, embeddings, what is open.
use crate::domain::ids::{Epoch, ItemId, Key, TopicId};
use crate::domain::items::Item;
use crate::domain::time::Millis;

/// Immutable; published by the coordinator.
pub struct World {}
#[allow(unused_variables, missing_docs, clippy::unimplemented)]
impl World {
    pub fn epoch(&self) -> Epoch {
        unimplemented!()
    }
    /// Items ever made, deleted ones too: ids are below this.
    pub fn len(&self) -> u32 {
        unimplemented!()
    }
    /// How many can be shown now.
    pub fn open_len(&self) -> u64 {
        unimplemented!()
    }
    /// By key; deleted items are not found.
    pub fn find_item(&self, key: &str) -> Option<ItemId> {
        unimplemented!()
    }
    /// Of any id this world knows, deleted or not.
    pub fn item(&self, id: ItemId) -> Option<&Item> {
        unimplemented!()
    }
    pub fn find_topic(&self, key: &str) -> Option<TopicId> {
        unimplemented!()
    }
    pub fn topic(&self, id: TopicId) -> Option<&Key> {
        unimplemented!()
    }
    /// Items that are available at an instant, by id.
    pub fn open_at(&self, at: Millis) -> Vec<ItemId> {
        unimplemented!()
    }
}
