//! Which items are open at an instant: the edges of all windows in time order, with a bitmap every now and then.
//!
//! Invariant: the windows of an item are disjoint, so every edge flips its item between open and closed, and the open
//! set is the exclusive or of all flips up to the instant. Where two windows of an item touch nothing flips.
//! Absent on purpose: updates (a new timeline is built instead), items that are always open.

use roaring::RoaringBitmap;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};

/// A checkpoint is worth it after this many flips.
const SPACING_MIN: usize = 512;
/// A checkpoint may take this many bytes per flip since the last one.
const CHECKPOINT_BYTES_PER_FLIP: usize = 16;
/// Applying flips one by one beats one exclusive or while there is less than one flip per this many open items.
const OPEN_PER_FLIP: u64 = 32;

/// The flips of many items in time order. At most about 36 bytes per edge: flip 4, instant 16 unless it is shared,
/// checkpoints 16.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Strictly rising.
    instants: Vec<Millis>,
    /// Where the flips of each instant end; they start where those of the instant before end.
    ends: Vec<usize>,
    /// Items, sorted within an instant.
    flips: Vec<u32>,
    /// By `state`, rising; the first is the empty set at state 0. None when there are no flips.
    checkpoints: Vec<Checkpoint>,
}

/// The open set once `state` instants have passed.
#[derive(Debug)]
struct Checkpoint {
    state: usize,
    open: RoaringBitmap,
}

impl Timeline {
    /// From the windows of items, each named once; items without windows leave no trace. O(edges log edges).
    pub(super) fn build<'a>(items: impl Iterator<Item = (ItemId, &'a Windows)>) -> Timeline {
        let mut edges: Vec<(Millis, u32)> = Vec::new();
        for (item, windows) in items {
            edges.extend(edges_of(windows.as_slice()).map(|instant| (instant, item.0)));
        }
        edges.sort_unstable();

        let mut timeline = Timeline { flips: Vec::with_capacity(edges.len()), ..Timeline::default() };
        let mut open = RoaringBitmap::new();
        let mut checkpointed = 0;
        for run in edges.chunk_by(|a, b| a.0 == b.0) {
            if timeline.checkpoints.is_empty() {
                timeline.checkpoints.push(Checkpoint { state: 0, open: RoaringBitmap::new() });
            }
            let start = timeline.flips.len();
            timeline.flips.extend(run.iter().map(|edge| edge.1));
            timeline.instants.push(run[0].0);
            timeline.ends.push(timeline.flips.len());
            flip_sorted(&mut open, &timeline.flips[start..]);

            let since = timeline.flips.len() - checkpointed;
            if since >= SPACING_MIN && since * CHECKPOINT_BYTES_PER_FLIP >= open.serialized_size() {
                timeline.checkpoints.push(Checkpoint { state: timeline.instants.len(), open: open.clone() });
                checkpointed = timeline.flips.len();
            }
        }
        timeline.checkpoints.shrink_to_fit();
        timeline.instants.shrink_to_fit();
        timeline.ends.shrink_to_fit();
        timeline
    }

    /// How many edges it holds.
    pub(super) fn len(&self) -> usize {
        self.flips.len()
    }

    /// The open set at `now`: the nearest checkpoint, before or after, and the flips in between.
    pub(super) fn open_at(&self, now: Millis) -> RoaringBitmap {
        let state = self.state_at(now);
        let position = self.offset(state);
        let after = self.checkpoints.partition_point(|checkpoint| checkpoint.state <= state);
        let nearest = self.checkpoints[after.saturating_sub(1)..]
            .iter()
            .take(2)
            .min_by_key(|checkpoint| self.offset(checkpoint.state).abs_diff(position));
        let Some(nearest) = nearest else { return RoaringBitmap::new() };
        let from = self.offset(nearest.state);
        let mut open = nearest.open.clone();
        flip(&mut open, &self.flips[from.min(position)..from.max(position)]);
        open
    }

    /// The flips after `from` up to and including `to`, in time order; empty when `to <= from`.
    pub(super) fn flips_between(&self, from: Millis, to: Millis) -> &[u32] {
        let (start, end) = (self.offset(self.state_at(from)), self.offset(self.state_at(to)));
        self.flips.get(start..end).unwrap_or_default()
    }

    /// Instants after `now` with the items that flip then, soonest first.
    pub(super) fn after(&self, now: Millis) -> impl Iterator<Item = (Millis, &[u32])> {
        (self.state_at(now)..self.instants.len())
            .map(|state| (self.instants[state], &self.flips[self.offset(state)..self.ends[state]]))
    }

    /// How many instants have passed at `now`: an edge counts from its own instant on.
    fn state_at(&self, now: Millis) -> usize {
        self.instants.partition_point(|instant| *instant <= now)
    }

    /// How many flips `state` instants have.
    fn offset(&self, state: usize) -> usize {
        state.checked_sub(1).map_or(0, |last| self.ends[last])
    }
}

/// The instants at which an item with these windows opens or closes, rising; none where two windows touch.
pub(super) fn edges_of(windows: &[Window]) -> impl Iterator<Item = Millis> {
    windows.iter().enumerate().flat_map(move |(index, window)| {
        let continues = index > 0 && windows[index - 1].stop == Some(window.start);
        let continued = windows.get(index + 1).is_some_and(|next| window.stop == Some(next.start));
        let start = (!continues).then_some(window.start);
        start.into_iter().chain(window.stop.filter(|_| !continued))
    })
}

/// The items with an odd number of flips, sorted.
pub(super) fn flipped(flips: &[u32]) -> Vec<u32> {
    let mut sorted = flips.to_vec();
    // Stable on purpose: each instant is a sorted run already, and this sort merges runs.
    sorted.sort();
    let mut odd = 0;
    for index in 0..sorted.len() {
        let item = sorted[index];
        if odd > 0 && sorted[odd - 1] == item {
            odd -= 1;
        } else {
            sorted[odd] = item;
            odd += 1;
        }
    }
    sorted.truncate(odd);
    sorted
}

/// Flips items in any order, possibly several times.
fn flip(open: &mut RoaringBitmap, flips: &[u32]) {
    if one_by_one(open, flips) {
        flip_each(open, flips);
    } else {
        flip_sorted(open, &flipped(flips));
    }
}

/// Flips sorted items, each named once.
fn flip_sorted(open: &mut RoaringBitmap, flips: &[u32]) {
    if one_by_one(open, flips) {
        flip_each(open, flips);
    } else {
        *open ^= flips.iter().copied().collect::<RoaringBitmap>();
    }
}

fn one_by_one(open: &RoaringBitmap, flips: &[u32]) -> bool {
    flips.len() as u64 * OPEN_PER_FLIP <= open.len()
}

fn flip_each(open: &mut RoaringBitmap, flips: &[u32]) {
    for item in flips {
        if !open.remove(*item) {
            open.insert(*item);
        }
    }
}
