//! Availability of items: edges in order of time, and a walk along them.
//!
//! Invariant: the edges of an item alternate, opening first; at one instant it closes before it opens again. A walk
//! keeps the open items sorted and touches each edge once, so no step or row costs O(catalogue).

use crate::domain::time::Millis;

/// The opening or closing of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Time of the edge.
    pub at: Millis,
    /// True for opening, false for closing.
    pub opens: bool,
    /// Index of the item.
    pub item: u32,
}

/// Presence of a user at an item: `[start, stop)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Presence {
    /// Index of the item.
    pub item: u32,
    /// Start of the presence.
    pub start: Millis,
    /// End of the presence, exclusive.
    pub stop: Millis,
}

/// The edges of all items, sorted by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    edges: Vec<Edge>,
}

impl Availability {
    /// All edges in order of time.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Open-ended windows from each item's first row on.
    #[must_use]
    pub fn from_first_row(rows: impl Iterator<Item = Presence>, items: usize) -> Availability {
        let mut first: Vec<Option<Millis>> = vec![None; items];
        for row in rows {
            let first = &mut first[row.item as usize];
            *first = Some(first.map_or(row.start, |first| first.min(row.start)));
        }
        let windows = first.into_iter().zip(0..).filter_map(|(first, item)| Some((item, first?, None)));
        Availability::given(windows)
    }

    /// Windows inferred from starts: starts that follow each other within `gap_ms` become one window
    /// `[first, last + tail_ms)`.
    #[must_use]
    pub fn inferred(rows: impl Iterator<Item = Presence>, gap_ms: i64, tail_ms: i64) -> Availability {
        let starts = rows.map(|row| Presence { stop: row.start, ..row });
        Availability::merged(starts, gap_ms, tail_ms)
    }

    /// Windows as the union of all users' presences.
    #[must_use]
    pub fn union(rows: impl Iterator<Item = Presence>) -> Availability {
        Availability::merged(rows, 0, 0)
    }

    /// Given windows; those of one item that overlap or touch are merged.
    #[must_use]
    pub fn given(windows: impl Iterator<Item = (u32, Millis, Option<Millis>)>) -> Availability {
        let end = Millis(i64::MAX);
        let presences = windows.map(|(item, start, stop)| Presence { item, start, stop: stop.unwrap_or(end) });
        Availability::merged(presences, 0, 0)
    }

    /// Merges intervals of an item that begin at most `gap` after the latest stop before them, and extends each by
    /// `tail`.
    fn merged(rows: impl Iterator<Item = Presence>, gap: i64, tail: i64) -> Availability {
        let mut union = IntervalUnion::new(gap, tail);
        for row in rows {
            union.push(row);
        }
        let mut edges = Vec::new();
        for window in union.finish() {
            edges.push(Edge { at: window.start, opens: true, item: window.item });
            if window.stop.0 < i64::MAX {
                edges.push(Edge { at: window.stop, opens: false, item: window.item });
            }
        }
        edges.sort_unstable();
        Availability { edges }
    }

    /// Mean number of open items over the instants of `[from, to)`; `None` for an empty span.
    #[must_use]
    pub fn mean_open(&self, from: Millis, to: Millis) -> Option<f64> {
        let mut open_ms = 0.0;
        for edge in &self.edges {
            // An edge adds or removes its item for the rest of the span.
            let left = to.since(edge.at.max(from)) as f64;
            open_ms += if edge.opens { left } else { -left };
        }
        let span = to.since(from);
        (span > 0).then(|| open_ms / span as f64)
    }

    /// A walk that starts before the first edge.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk { edges: &self.edges, next: 0, open: Vec::new() }
    }
}

/// Collects intervals in any order and merges those of an item that lie near each other. Memory grows with the merged
/// intervals, not with the number of rows.
#[derive(Clone, Debug)]
pub struct IntervalUnion {
    gap: i64,
    tail: i64,
    /// By item: intervals, of which the first ones are merged and sorted.
    items: Vec<Spans>,
}

#[derive(Clone, Debug, Default)]
struct Spans {
    spans: Vec<(Millis, Millis)>,
    /// Number of intervals after the last merge.
    merged: usize,
}

/// Intervals that one item collects between two merges, at least.
const UNMERGED_MIN: usize = 32;

impl IntervalUnion {
    /// Merges intervals of an item that begin at most `gap` after the latest stop before them, and extends each by
    /// `tail`, in milliseconds. A tail beyond the gap would make windows overlap; these are merged, too.
    #[must_use]
    pub fn new(gap: i64, tail: i64) -> IntervalUnion {
        IntervalUnion { gap: gap.max(tail), tail, items: Vec::new() }
    }

    /// Adds an interval; it may be empty.
    pub fn push(&mut self, row: Presence) {
        let index = row.item as usize;
        if index >= self.items.len() {
            self.items.resize_with(index + 1, Spans::default);
        }
        let item = &mut self.items[index];
        item.spans.push((row.start, row.stop));
        if item.spans.len() >= 2 * item.merged + UNMERGED_MIN {
            item.merge(self.gap);
        }
    }

    /// The windows that are not empty, by item and start.
    pub fn finish(self) -> impl Iterator<Item = Presence> {
        let IntervalUnion { gap, tail, items } = self;
        items.into_iter().zip(0..).flat_map(move |(mut spans, item)| {
            spans.merge(gap);
            let window = move |(start, stop): (Millis, Millis)| Presence { item, start, stop: stop.plus(tail) };
            spans.spans.into_iter().map(window).filter(|window| window.stop > window.start)
        })
    }
}

impl Spans {
    /// Joins intervals within `gap`. Joining is associative, so the moments of merging do not matter.
    fn merge(&mut self, gap: i64) {
        self.spans.sort_unstable();
        self.spans.dedup_by(|next, last| {
            let joins = next.0 <= last.1.plus(gap);
            if joins {
                last.1 = last.1.max(next.1);
            }
            joins
        });
        self.merged = self.spans.len();
    }
}

/// A cursor over the edges with the set of open items.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    edges: &'a [Edge],
    next: usize,
    open: Vec<u32>,
}

impl<'a> Walk<'a> {
    /// Moves to an instant and returns the passed edges, in order.
    pub fn move_to(&mut self, now: Millis) -> &'a [Edge] {
        let start = self.next;
        while let Some(edge) = self.edges.get(self.next).filter(|edge| edge.at <= now) {
            match (self.open.binary_search(&edge.item), edge.opens) {
                (Err(place), true) => self.open.insert(place, edge.item),
                (Ok(place), false) => {
                    self.open.remove(place);
                }
                (Ok(_), true) | (Err(_), false) => {}
            }
            self.next += 1;
        }
        &self.edges[start..self.next]
    }

    /// Open items, sorted.
    #[must_use]
    pub fn open(&self) -> &[u32] {
        &self.open
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Open items by the definition, item by item: some start lies back by less than the tail, or two starts around
    /// the instant follow each other within the gap.
    fn naive(starts: &[(u32, i64)], gap: i64, tail: i64, item: u32, now: i64) -> bool {
        let mut own: Vec<i64> = starts.iter().filter(|start| start.0 == item).map(|start| start.1).collect();
        own.sort_unstable();
        own.iter().any(|start| (*start..*start + tail).contains(&now))
            || own.windows(2).any(|pair| pair[1] - pair[0] <= gap && pair[0] <= now && now < pair[1])
    }

    fn presence(item: u32, start: i64, stop: i64) -> Presence {
        Presence { item, start: Millis(start), stop: Millis(stop) }
    }

    proptest! {
        /// Inferred windows equal the definition at every instant, and edges alternate per item.
        #[test]
        fn inferred_windows_are_those_of_the_definition(
            starts in vec((0..3_u32, 0..60_i64), 0..25), gap in 0..9_i64, tail in 1..9_i64,
        ) {
            let rows = starts.iter().map(|(item, start)| presence(*item, *start, start + 1));
            let found = Availability::inferred(rows, gap, tail);
            let mut walk = found.walk();
            let mut open_sum = 0;
            for now in -1..80 {
                walk.move_to(Millis(now));
                let expected: Vec<u32> = (0..3).filter(|item| naive(&starts, gap, tail, *item, now)).collect();
                prop_assert_eq!(walk.open(), &expected[..], "at {}", now);
                open_sum += expected.len();
            }
            let mean = found.mean_open(Millis(-1), Millis(80)).unwrap();
            prop_assert_eq!(found.mean_open(Millis(80), Millis(80)), None);
            prop_assert!((mean - open_sum as f64 / 81.0).abs() < 1e-9);
            for item in 0..3 {
                let own: Vec<bool> = found.edges().iter().filter(|e| e.item == item).map(|e| e.opens).collect();
                prop_assert!(own.chunks(2).all(|pair| pair == [true, false]), "{:?}", own);
            }
        }

        /// The union covers an instant exactly when some user was present.
        #[test]
        fn the_union_is_where_anybody_was(rows in vec((0..3_u32, 0..40_i64, 1..8_i64), 0..25)) {
            let found = Availability::union(rows.iter().map(|(item, start, stay)| presence(*item, *start, start + stay)));
            let mut walk = found.walk();
            for now in 0..50 {
                walk.move_to(Millis(now));
                let there = |item: &u32| rows.iter().any(|(at, from, stay)| at == item && (*from..from + stay).contains(&now));
                prop_assert_eq!(walk.open(), &(0..3).filter(there).collect::<Vec<u32>>()[..]);
            }
        }
    }

    proptest! {
        /// Merging on the way gives the windows of one merge at the end, for more rows than are held unmerged.
        #[test]
        fn merging_on_the_way_changes_no_window(
            rows in vec((0..2_u32, 0..4_000_i64, 0..9_i64), 0..400), gap in 0..9_i64, tail in 0..9_i64,
        ) {
            let mut union = IntervalUnion::new(gap, tail);
            let mut once = IntervalUnion::new(gap, tail);
            once.items.resize_with(2, || Spans { spans: Vec::new(), merged: usize::MAX / 4 });
            for (item, start, stay) in rows {
                union.push(presence(item, start, start + stay));
                once.push(presence(item, start, start + stay));
            }
            prop_assert_eq!(union.finish().collect::<Vec<_>>(), once.finish().collect::<Vec<_>>());
        }
    }

    #[test]
    fn without_windows_an_item_opens_with_its_first_row_and_stays() {
        let found = Availability::from_first_row([presence(1, 9, 10), presence(1, 4, 5)].into_iter(), 3);
        assert_eq!(found.edges(), [Edge { at: Millis(4), opens: true, item: 1 }]);
    }

    #[test]
    fn given_windows_may_be_open_ended_and_overlap() {
        let list = [(0, Millis(5), None), (1, Millis(1), Some(Millis(4))), (1, Millis(3), Some(Millis(6)))];
        let found = Availability::given(list.into_iter());
        let edges: Vec<(i64, bool, u32)> = found.edges().iter().map(|e| (e.at.0, e.opens, e.item)).collect();
        assert_eq!(edges, [(1, true, 1), (5, true, 0), (6, false, 1)]);
    }
}
