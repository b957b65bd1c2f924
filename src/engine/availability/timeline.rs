//! Open items at an instant: the edges of all windows in time order, in segments with precomputed open sets.
//!
//! Invariant: the windows of an item are disjoint, so every edge flips its item between open and closed. The open set
//! is the exclusive or of all flips up to the instant. Where two windows of an item touch, nothing flips.
//! Deliberately absent: updates (a new timeline is built instead), items that are always open.

use std::ops::Range;

use roaring::RoaringBitmap;

use crate::domain::ids::ItemId;
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};

use super::order::sorted_by_number;
use super::segment::{Flip, INSTANTS_MAX, Segment, SegmentBuilder};

/// Minimum flips of a segment, except for the last one.
const FLIPS_MIN: usize = 512;
/// Bytes per flip that a segment's steady open set may take.
const BYTES_PER_FLIP: usize = 32;

/// The flips of many items in time order. At most about 60 bytes per edge: flip 4, instant 12 unless it is shared,
/// segments 8 and, where many items are open for long, up to 32.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Times of edges, strictly rising.
    instants: Vec<Millis>,
    /// End index of each instant's flips; they start where those of the instant before end.
    ends: Vec<u32>,
    /// Items, sorted within an instant, each once.
    flips: Vec<u32>,
    /// One bit per flip: 1 opens the item, 0 closes it.
    opens: Vec<u64>,
    /// At least one, once built.
    segments: Vec<Segment>,
    /// Number of instants that have passed when each segment begins; the first begins at 0.
    begins: Vec<usize>,
}

/// An item whose state differs between two instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flipped {
    pub(super) item: u32,
    /// `true`: closed before, open after. `false`: open before, closed after.
    pub(super) open: bool,
}

impl Timeline {
    /// Builds a timeline from the windows of items by id, each named once; items without windows have no edges.
    /// O(edges).
    pub(super) fn build<'a>(items: impl Iterator<Item = (ItemId, &'a Windows)> + Clone) -> Timeline {
        let edges = items.flat_map(|(item, windows)| {
            edges_of(windows.as_slice()).map(move |(instant, opens)| (instant, item.0, opens))
        });
        // Stable, so that items stay sorted within an instant.
        let edges = sorted_by_number(edges, |edge| edge.0.0.abs_diff(i64::MIN));

        let mut timeline = Timeline {
            flips: edges.iter().map(|edge| edge.1).collect(),
            opens: vec![0; edges.len().div_ceil(64)],
            ..Timeline::default()
        };
        for run in edges.chunk_by(|a, b| a.0 == b.0) {
            let start = timeline.offset(timeline.instants.len());
            for (index, edge) in (start..).zip(run) {
                timeline.opens[index / 64] |= u64::from(edge.2) << (index % 64);
            }
            timeline.instants.push(run[0].0);
            timeline.ends.push((start + run.len()) as u32);
        }
        timeline.instants.shrink_to_fit();
        timeline.ends.shrink_to_fit();
        timeline.part();
        timeline
    }

    /// Cuts time into segments that cover all states, from none to all of the instants having passed.
    fn part(&mut self) {
        let (mut builder, mut begin, mut flips) = (SegmentBuilder::default(), 0, Vec::new());
        while begin <= self.instants.len() {
            // A flip counts from the state after its instant on.
            let first = begin.saturating_sub(1);
            let wanted = self.offset(first) + FLIPS_MIN.max(builder.size() / BYTES_PER_FLIP);
            let last = first + self.ends[first..].partition_point(|end| (*end as usize) < wanted);
            let end = (last + 2).min(begin + INSTANTS_MAX).min(self.instants.len() + 1);
            flips.clear();
            for index in first..end - 1 {
                let from = (index + 1 - begin) as u16;
                let range = self.offset(index)..self.offset(index + 1);
                flips.extend(range.map(|index| Flip { item: self.flips[index], from, opens: self.opens(index) }));
            }
            self.segments.push(builder.pass(&mut flips));
            self.begins.push(begin);
            begin = end;
        }
        self.segments.shrink_to_fit();
        self.begins.shrink_to_fit();
    }

    /// Number of edges after `from`, up to and including `to`.
    pub(super) fn count_between(&self, from: Millis, to: Millis) -> usize {
        self.between(from, to).len()
    }

    /// The open set at `now`.
    pub(super) fn open_at(&self, now: Millis) -> RoaringBitmap {
        let state = self.state_at(now);
        let index = self.begins.partition_point(|begin| *begin <= state).saturating_sub(1);
        self.segments[index].open_at((state - self.begins[index]) as u16)
    }

    /// Items whose state at `to` differs from that at `from`, sorted; empty if `to <= from`.
    pub(super) fn flipped_between(&self, from: Millis, to: Millis) -> Vec<Flipped> {
        self.flipped(self.between(from, to))
    }

    /// Instants after `now` with the items that flip then, soonest first.
    pub(super) fn after(&self, now: Millis) -> impl Iterator<Item = (Millis, &[u32])> {
        (self.state_at(now)..self.instants.len())
            .map(|state| (self.instants[state], &self.flips[self.offset(state)..self.offset(state + 1)]))
    }

    /// Number of instants that have passed at `now`: an edge counts from its own instant on.
    fn state_at(&self, now: Millis) -> usize {
        self.instants.partition_point(|instant| *instant <= now)
    }

    /// Number of flips in the first `state` instants.
    fn offset(&self, state: usize) -> usize {
        state.checked_sub(1).map_or(0, |last| self.ends[last] as usize)
    }

    fn between(&self, from: Millis, to: Millis) -> Range<usize> {
        let start = self.offset(self.state_at(from));
        start..self.offset(self.state_at(to)).max(start)
    }

    fn opens(&self, index: usize) -> bool {
        self.opens[index / 64] >> (index % 64) & 1 == 1
    }

    /// Net effect of these flips by item: pairs of opposite flips cancel.
    fn flipped(&self, range: Range<usize>) -> Vec<Flipped> {
        let mut sorted: Vec<u64> =
            range.map(|index| u64::from(self.flips[index]) << 1 | u64::from(self.opens(index))).collect();
        // Stable on purpose: each instant is a sorted run already, and this sort merges runs.
        sorted.sort();
        sorted
            .chunk_by(|a, b| a >> 1 == b >> 1)
            // Flips alternate, so an even number of them cancels, and the odd one out is the majority.
            .filter(|run| run.len() % 2 == 1)
            .map(|run| Flipped { item: (run[0] >> 1) as u32, open: run[run.len() / 2] & 1 == 1 })
            .collect()
    }
}

/// Instants at which an item with these windows opens (`true`) or closes, rising; none where two windows touch.
pub(super) fn edges_of(windows: &[Window]) -> impl Iterator<Item = (Millis, bool)> + Clone {
    windows.iter().enumerate().flat_map(move |(index, window)| {
        let continues = index > 0 && windows[index - 1].stop == Some(window.start);
        let continued = windows.get(index + 1).is_some_and(|next| window.stop == Some(next.start));
        let opening = (!continues).then_some((window.start, true));
        let closing = window.stop.filter(|_| !continued).map(|stop| (stop, false));
        opening.into_iter().chain(closing)
    })
}
