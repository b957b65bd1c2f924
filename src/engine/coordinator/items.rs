//! Writes of items: upserts, availability windows, and the tombstones of an erased author.
//!
//! Invariant: a rejected draft changes nothing. An item keeps its id for good; only text, topics, attributes and embedding make a
//! new revision.

use std::collections::BTreeSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::{CoordinatorState, Draft, DraftError, Effect, ItemWrite, Written};
use crate::domain::ids::{ItemId, Key, TopicId, UserId};
use crate::domain::items::{Change, Item};
use crate::domain::time::Millis;
use crate::domain::windows::Windows;

impl CoordinatorState {
    pub(super) fn write(
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
            attributes: draft.attributes.or_else(|| kept.and_then(|item| item.attributes.clone())),
            embedding,
            created: draft.created.or_else(|| old.as_ref().map(|item| item.created)).unwrap_or(now),
            windows: draft.windows.or_else(|| kept.map(|item| item.windows.clone())).unwrap_or_default(),
            deleted: false,
        };
        // Only these are inputs of learning, so only these make a new revision.
        let revision = match &old {
            None => 1,
            Some(old)
                if (&old.text, &old.topics, &old.attributes) == (&item.text, &item.topics, &item.attributes)
                    && old.embedding == item.embedding =>
            {
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
        self.world.upsert_item(item.clone());
        effects.push(Effect::KeepItem(item));
        if is_revised {
            self.keep_since(Change::Revision(id, revision), now, effects);
        }
        Ok(written)
    }

    pub(super) fn set_windows(&mut self, items: Vec<(ItemId, Windows)>, now: Millis, effects: &mut Vec<Effect>) {
        let mut updated = Vec::with_capacity(items.len());
        for (id, windows) in items {
            if let Some(old) = self.world.shared_item(id).filter(|item| item.windows != windows) {
                let item = Arc::new(Item { windows, ..Item::clone(old) });
                self.world.set_windows(item.clone());
                effects.push(Effect::KeepItem(item));
                updated.push(id);
            }
        }
        if !updated.is_empty() {
            self.publish(now, updated, effects);
        }
    }

    /// Windows of an item after it is switched on or off air; `None` when it already is.
    pub(super) fn switch(&self, id: ItemId, on: bool, now: Millis) -> Result<Option<Windows>, DraftError> {
        let item = self.world.item(id).filter(|item| !item.deleted).ok_or(DraftError::Unknown)?;
        match on {
            true => item.windows.switched_on(now).map_err(|_| DraftError::TooManyWindows),
            false if item.windows.is_always() => Err(DraftError::AlwaysOn),
            false => Ok(item.windows.switched_off(now)),
        }
    }

    pub(super) fn written(&self, id: ItemId) -> Result<Written, DraftError> {
        let item = self.world.item(id).ok_or(DraftError::Unknown)?;
        Ok(Written { key: item.key.clone(), id, revision: item.revision, created: false })
    }

    /// Turns every item of an author into a tombstone, and returns the new keys.
    pub(super) fn tombstone(&mut self, author: UserId, salt: u128) -> Vec<(ItemId, Key)> {
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
                self.world.upsert_item(Arc::new(Item {
                    key: key.clone(),
                    author: None,
                    topics: Arc::default(),
                    text: Arc::from(""),
                    attributes: None,
                    windows: Windows::default(),
                    deleted: true,
                    ..Item::clone(&old)
                }));
                (old.id, key)
            })
            .collect()
    }

    pub(super) fn topic(&mut self, key: Key, effects: &mut Vec<Effect>) -> TopicId {
        if let Some(id) = self.world.find_topic(key.as_str()) {
            return id;
        }
        let id = self.world.intern_topic(key.clone());
        effects.push(Effect::KeepTopic(id, key));
        id
    }
}

/// Key of a tombstone; without the salt it reveals nothing.
fn tombstone(salt: u128, item: ItemId) -> Key {
    let mut bytes = salt.to_le_bytes().to_vec();
    bytes.extend(item.0.to_le_bytes());
    Key::of_hash("erased", xxh3_128(&bytes))
}
