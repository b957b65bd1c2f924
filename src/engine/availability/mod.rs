//! Availability index: the items that are open at an instant.
//!
//! Invariant: at every instant the answers equal those of [`Windows::is_open`] for each item. An edge belongs to its
//! own instant: at `start` the item is open, at `stop` it is closed.
//! Deliberately absent: clocks (the caller passes `now`), locks, timers, scores, names of items.
//!
//! The index is a stack of immutable shared layers, biggest and oldest first; a newer layer hides its items in all
//! older ones. A change goes into a small map. A full map becomes a layer, and layers of similar size are merged, so a
//! change costs O(log² edges) on average. The biggest merge, once per some hundred thousand changes, costs as much as
//! building the index.

mod order;
mod segment;
pub(crate) mod survival;
mod timeline;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};

use timeline::{Timeline, edges_of};

/// Changes that the map holds before it becomes a layer.
const RECENT_MAX: usize = 64;
/// Minimum ratio between the weights of a layer and the next newer one.
const LAYER_RATIO: usize = 4;
/// With more edges than this between two instants, comparing two open sets is cheaper than visiting each edge.
const CHANGES_DIRECT_MAX: usize = 2_048;

/// Windows of all items, indexed by time. Cheap to clone; clones share all unchanged layers.
#[derive(Clone, Debug, Default)]
pub struct AvailabilityIndex {
    /// Oldest and biggest first.
    layers: Vec<Arc<Layer>>,
    /// Newer than all layers; `None` is a removed item.
    recent: Arc<BTreeMap<ItemId, Option<Windows>>>,
}

/// Difference between the open sets of two instants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Closed at the first instant, open at the second. Values are `ItemId.0`.
    pub opened: RoaringBitmap,
    /// Open at the first instant, closed at the second. Values are `ItemId.0`.
    pub closed: RoaringBitmap,
}

impl Changes {
    /// Whether both open sets are equal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty()
    }
}

impl AvailabilityIndex {
    /// Builds an index over these items. An item without windows is always open; of an item named twice, the last entry
    /// counts. O(edges) for items in the order of their ids; `benches/avail.rs` measures 3 million windows.
    pub fn build(items: impl Iterator<Item = (ItemId, Windows)>) -> Self {
        let mut entries: Vec<(ItemId, Option<Windows>)> = items.map(|(item, windows)| (item, Some(windows))).collect();
        entries.sort_by_key(|entry| entry.0);
        // The last of equal ids survives: `dedup_by` drops its first argument, so the later value moves into the
        // earlier.
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let mut index = AvailabilityIndex::default();
        if !entries.is_empty() {
            let layer = Layer::new(entries);
            layer.timeline();
            index.layers.push(Arc::new(layer));
        }
        index
    }

    /// Upserts an item's windows; `None` removes the item, which is then never open.
    pub fn set(&mut self, item: ItemId, windows: Option<&Windows>) {
        if self.windows(item) != windows {
            self.put(item, windows);
        }
    }

    /// Upserts windows that are known to differ from the current ones; skips the comparison of
    /// [`AvailabilityIndex::set`].
    pub fn put(&mut self, item: ItemId, windows: Option<&Windows>) {
        let recent = Arc::make_mut(&mut self.recent);
        recent.insert(item, windows.cloned());
        if recent.len() >= RECENT_MAX {
            let entries = std::mem::take(recent).into_iter().collect();
            self.push_layer(entries);
        }
    }

    /// Calls [`AvailabilityIndex::set`] on a copy.
    #[must_use]
    pub fn with(&self, item: ItemId, windows: Option<&Windows>) -> Self {
        let mut changed = self.clone();
        changed.set(item, windows);
        changed
    }

    /// The current windows of an item; `None` if it is unknown or removed.
    #[must_use]
    pub fn windows(&self, item: ItemId) -> Option<&Windows> {
        match self.recent.get(&item) {
            Some(entry) => entry.as_ref(),
            None => self.layers.iter().rev().find_map(|layer| layer.get(item)).and_then(Option::as_ref),
        }
    }

    /// Whether this item is open at `now`; `false` for unknown and removed items.
    #[must_use]
    pub fn is_open(&self, item: ItemId, now: Millis) -> bool {
        self.windows(item).is_some_and(|windows| windows.is_open(now))
    }

    /// All items that are open at `now`, as `ItemId.0`.
    #[must_use]
    pub fn open_at(&self, now: Millis) -> RoaringBitmap {
        let is_open = |windows: &Option<Windows>| windows.as_ref().is_some_and(|windows| windows.is_open(now));
        let open = self.recent.iter().filter(|(_, windows)| is_open(windows)).map(|(item, _)| item.0);
        let mut open: RoaringBitmap = open.collect();
        // Newest first: the items of newer layers are few, and are subtracted from each older one in one operation.
        let mut hidden: RoaringBitmap = self.recent.keys().map(|item| item.0).collect();
        for (depth, layer) in self.layers.iter().enumerate().rev() {
            let mut own = layer.timeline().open_at(now);
            own |= &layer.always;
            own -= &hidden;
            open |= own;
            if depth > 0 {
                hidden |= &layer.items;
            }
        }
        open
    }

    /// The next instant after `now` at which any item opens or closes.
    #[must_use]
    pub fn next_edge_after(&self, now: Millis) -> Option<Millis> {
        let recent = self.recent.values().flatten().filter_map(|windows| next_edge(windows, now)).min();
        // Newest first: small layers answer at once and bound the search for unhidden edges in big ones.
        self.layers.iter().enumerate().rev().fold(recent, |soonest, (depth, layer)| {
            if layer.last_edge <= now {
                return soonest;
            }
            let sooner = layer
                .timeline()
                .after(now)
                .take_while(|(instant, _)| soonest.is_none_or(|soonest| *instant < soonest))
                .find(|(_, flips)| flips.iter().any(|item| !self.is_hidden(*item, depth)));
            sooner.map_or(soonest, |(instant, _)| Some(instant))
        })
    }

    /// The net difference between the open sets of two instants; `t2` may be before `t1`. The cost is proportional to
    /// the edges in between, and bounded by that of two [`AvailabilityIndex::open_at`].
    #[must_use]
    pub fn changes(&self, t1: Millis, t2: Millis) -> Changes {
        let (early, late) = (t1.min(t2), t1.max(t2));
        let moving = |layer: &&Arc<Layer>| layer.last_edge > early;
        let edges: usize =
            self.layers.iter().filter(moving).map(|layer| layer.timeline().count_between(early, late)).sum();
        if edges > CHANGES_DIRECT_MAX {
            let (first, second) = (self.open_at(t1), self.open_at(t2));
            return Changes { opened: &second - &first, closed: &first - &second };
        }
        let mut changes = Changes::default();
        for (depth, layer) in self.layers.iter().enumerate().filter(|(_, layer)| moving(layer)) {
            for flip in layer.timeline().flipped_between(early, late) {
                if !self.is_hidden(flip.item, depth) {
                    changes.record(flip.item, flip.open == (t1 <= t2));
                }
            }
        }
        for (item, windows) in self.recent.iter() {
            let Some(windows) = windows else { continue };
            let open = windows.is_open(t2);
            if windows.is_open(t1) != open {
                changes.record(item.0, open);
            }
        }
        changes
    }

    /// Whether anything newer than the layer at `depth` overrides this item.
    fn is_hidden(&self, item: u32, depth: usize) -> bool {
        self.recent.contains_key(&ItemId(item))
            || self.layers[depth + 1..].iter().any(|layer| layer.items.contains(item))
    }

    /// Pushes entries, sorted by item, and merges downwards until the layers shrink fast enough again.
    fn push_layer(&mut self, entries: Vec<(ItemId, Option<Windows>)>) {
        let mut weight = weigh(&entries);
        let mut entries = entries;
        while let Some(below) = self.layers.pop_if(|below| below.weight < weight.saturating_mul(LAYER_RATIO)) {
            entries = merge(&below.entries, entries);
            weight = weigh(&entries);
        }
        if self.layers.is_empty() {
            // No layer below has anything to hide.
            entries.retain(|entry| entry.1.is_some());
        }
        if !entries.is_empty() {
            self.layers.push(Arc::new(Layer::new(entries)));
        }
    }
}

impl Changes {
    fn record(&mut self, item: u32, open: bool) {
        let set = if open { &mut self.opened } else { &mut self.closed };
        set.insert(item);
    }
}

/// An immutable index over some items.
#[derive(Debug)]
struct Layer {
    /// By item, each once; `None` is a removed item.
    entries: Vec<(ItemId, Option<Windows>)>,
    /// All items of this layer, removed ones included.
    items: RoaringBitmap,
    /// Items without windows: always open.
    always: RoaringBitmap,
    /// Built on first use: a layer whose edges are all over may be merged away before any call needs it.
    timeline: OnceLock<Timeline>,
    /// The last edge of all windows; [`Millis::MIN`] without any.
    last_edge: Millis,
    /// Cost of merging this layer: entries plus windows.
    weight: usize,
}

impl Layer {
    fn new(entries: Vec<(ItemId, Option<Windows>)>) -> Layer {
        let items = entries.iter().map(|entry| entry.0.0).collect();
        let always = present(&entries).filter(|(_, windows)| windows.is_always()).map(|(item, _)| item.0).collect();
        let last_edge = present(&entries).filter_map(|(_, windows)| windows.as_slice().last()).map(Window::last_edge);
        let last_edge = last_edge.max().unwrap_or(Millis::MIN);
        let weight = weigh(&entries);
        Layer { items, always, timeline: OnceLock::new(), last_edge, weight, entries }
    }

    fn timeline(&self) -> &Timeline {
        self.timeline.get_or_init(|| Timeline::build(present(&self.entries)))
    }

    fn get(&self, item: ItemId) -> Option<&Option<Windows>> {
        let index = self.entries.binary_search_by_key(&item, |entry| entry.0).ok()?;
        Some(&self.entries[index].1)
    }
}

/// Entries that are not removals.
fn present(entries: &[(ItemId, Option<Windows>)]) -> impl Iterator<Item = (ItemId, &Windows)> + Clone {
    entries.iter().filter_map(|(item, windows)| Some((*item, windows.as_ref()?)))
}

/// Weight of entries: their number plus the number of their windows.
fn weigh(entries: &[(ItemId, Option<Windows>)]) -> usize {
    entries.iter().map(|(_, windows)| 1 + windows.as_ref().map_or(0, |windows| windows.as_slice().len())).sum()
}

/// The first edge after `now`.
fn next_edge(windows: &Windows, now: Millis) -> Option<Millis> {
    let windows = windows.as_slice();
    if windows.last().is_none_or(|last| last.stop.is_some_and(|stop| stop <= now)) {
        return None;
    }
    let over = windows.partition_point(|window| window.stop.is_some_and(|stop| stop <= now));
    edges_of(&windows[over..]).map(|edge| edge.0).find(|instant| *instant > now)
}

/// Merges both lists by item; where both name an item, the newer entry counts.
fn merge(older: &[(ItemId, Option<Windows>)], newer: Vec<(ItemId, Option<Windows>)>) -> Vec<(ItemId, Option<Windows>)> {
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    let mut older = older.iter().peekable();
    for entry in newer {
        while let Some(old) = older.next_if(|old| old.0.cmp(&entry.0) == Ordering::Less) {
            merged.push(old.clone());
        }
        older.next_if(|old| old.0 == entry.0);
        merged.push(entry);
    }
    merged.extend(older.cloned());
    merged
}

#[cfg(test)]
mod tests;
