//! Which items are open at an instant: the edges of all windows in time order, with a bitmap every now and then.
//!
//! Invariant: the windows of an item are disjoint, so every edge flips its item between open and closed, and the open
//! set is the exclusive or of all flips up to the instant. Where two windows of an item touch nothing flips.
//! Absent on purpose: updates (a new timeline is built instead), items that are always open.

use std::ops::Range;

use roaring::RoaringBitmap;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};

/// A checkpoint is worth it after this many flips.
const SPACING_MIN: usize = 512;
/// A checkpoint may take this many bytes per flip since the last one.
const CHECKPOINT_BYTES_PER_FLIP: usize = 16;
/// Applying flips one by one beats one exclusive or while there is less than one flip per this many open items.
const OPEN_PER_FLIP: u64 = 16;

/// The flips of many items in time order. At most about 36 bytes per edge: flip 4, instant 16 unless it is shared,
/// checkpoints 16.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Strictly rising.
    instants: Vec<Millis>,
    /// Where the flips of each instant end; they start where those of the instant before end.
    ends: Vec<usize>,
    /// Items, sorted within an instant, each once.
    flips: Vec<u32>,
    /// One bit per flip: does it open?
    opens: Vec<u64>,
    /// By `state`, rising; the first is the empty set at state 0. None when there are no flips.
    checkpoints: Vec<Checkpoint>,
}

/// The open set once `state` instants have passed.
#[derive(Debug)]
struct Checkpoint {
    state: usize,
    open: RoaringBitmap,
}

/// An item that is not as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flipped {
    pub(super) item: u32,
    /// Open now, closed before; or the other way round.
    pub(super) open: bool,
}

impl Timeline {
    /// From the windows of items, each named once; items without windows leave no trace. O(edges log edges).
    pub(super) fn build<'a>(items: impl Iterator<Item = (ItemId, &'a Windows)>) -> Timeline {
        let items: Vec<(ItemId, &Windows)> = items.collect();
        let windows = items.iter().map(|(_, windows)| windows.as_slice().len()).sum::<usize>();
        let mut edges: Vec<(Millis, u32, bool)> = Vec::with_capacity(2 * windows);
        for (item, windows) in items {
            edges.extend(edges_of(windows.as_slice()).map(|(instant, open)| (instant, item.0, open)));
        }
        edges.sort_unstable();

        let mut timeline = Timeline {
            flips: Vec::with_capacity(edges.len()),
            opens: vec![0; edges.len().div_ceil(64)],
            ..Timeline::default()
        };
        let mut open = RoaringBitmap::new();
        let mut checkpointed = 0;
        for run in edges.chunk_by(|a, b| a.0 == b.0) {
            if timeline.checkpoints.is_empty() {
                timeline.checkpoints.push(Checkpoint { state: 0, open: RoaringBitmap::new() });
            }
            let start = timeline.flips.len();
            for edge in run {
                let index = timeline.flips.len();
                timeline.opens[index / 64] |= u64::from(edge.2) << (index % 64);
                timeline.flips.push(edge.1);
            }
            timeline.instants.push(run[0].0);
            timeline.ends.push(timeline.flips.len());
            if run.len() as u64 * OPEN_PER_FLIP > open.len() {
                // Within an instant the items are sorted, each once.
                open ^= timeline.flips[start..].iter().copied().collect::<RoaringBitmap>();
            } else {
                timeline.advance(&mut open, start..timeline.flips.len());
            }

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

    /// How many edges it holds after `from`, up to and including `to`.
    pub(super) fn count_between(&self, from: Millis, to: Millis) -> usize {
        self.between(from, to).len()
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
        if from <= position {
            self.advance(&mut open, from..position);
        } else {
            self.rewind(&mut open, position..from);
        }
        open
    }

    /// The items that are not at `to` as they were at `from`, sorted; none when `to <= from`.
    pub(super) fn flipped_between(&self, from: Millis, to: Millis) -> Vec<Flipped> {
        self.flipped(self.between(from, to))
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

    fn between(&self, from: Millis, to: Millis) -> Range<usize> {
        let start = self.offset(self.state_at(from));
        start..self.offset(self.state_at(to)).max(start)
    }

    fn opens(&self, index: usize) -> bool {
        self.opens[index / 64] >> (index % 64) & 1 == 1
    }

    /// From the open set before these flips to the one after.
    fn advance(&self, open: &mut RoaringBitmap, range: Range<usize>) {
        if range.len() as u64 * OPEN_PER_FLIP > open.len() {
            *open ^= self.flipped(range).iter().map(|flip| flip.item).collect::<RoaringBitmap>();
            return;
        }
        for index in range {
            put(open, self.flips[index], self.opens(index));
        }
    }

    /// From the open set after these flips to the one before.
    fn rewind(&self, open: &mut RoaringBitmap, range: Range<usize>) {
        if range.len() as u64 * OPEN_PER_FLIP > open.len() {
            self.advance(open, range); // an exclusive or undoes itself
            return;
        }
        for index in range.rev() {
            put(open, self.flips[index], !self.opens(index));
        }
    }

    /// What is left of these flips once those that undo each other are gone, by item.
    fn flipped(&self, range: Range<usize>) -> Vec<Flipped> {
        let mut sorted: Vec<u64> =
            range.map(|index| u64::from(self.flips[index]) << 1 | u64::from(self.opens(index))).collect();
        // Stable on purpose: each instant is a sorted run already, and this sort merges runs.
        sorted.sort();
        sorted
            .chunk_by(|a, b| a >> 1 == b >> 1)
            // Flips alternate, so an even number of them undo each other, and the odd one out is the majority.
            .filter(|run| run.len() % 2 == 1)
            .map(|run| Flipped { item: (run[0] >> 1) as u32, open: run[run.len() / 2] & 1 == 1 })
            .collect()
    }
}

fn put(open: &mut RoaringBitmap, item: u32, is_open: bool) {
    if is_open {
        open.insert(item);
    } else {
        open.remove(item);
    }
}

/// The instants at which an item with these windows opens (true) or closes, rising; none where two windows touch.
pub(super) fn edges_of(windows: &[Window]) -> impl Iterator<Item = (Millis, bool)> {
    windows.iter().enumerate().flat_map(move |(index, window)| {
        let continues = index > 0 && windows[index - 1].stop == Some(window.start);
        let continued = windows.get(index + 1).is_some_and(|next| window.stop == Some(next.start));
        let opening = (!continues).then_some((window.start, true));
        let closing = window.stop.filter(|_| !continued).map(|stop| (stop, false));
        opening.into_iter().chain(closing)
    })
}
