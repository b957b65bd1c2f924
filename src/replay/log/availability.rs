//! What is open when, as edges in the order of time, and a walk along them.
//!
//! Invariant: an item's edges alternate, opening first; at one instant it closes before it opens again. A walk holds the
//! open items sorted, and touches each edge once: nothing is computed afresh per step or per row.

use crate::domain::time::Millis;

/// An item opens or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// When.
    pub at: Millis,
    /// It opens; otherwise it closes.
    pub opens: bool,
    /// Which.
    pub item: u32,
}

/// Somebody was at an item: `[start, stop)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Presence {
    /// Which.
    pub item: u32,
    /// From when on.
    pub start: Millis,
    /// Until when.
    pub stop: Millis,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    edges: Vec<Edge>,
}

impl Availability {
    /// All edges in order.
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

    /// Starts of an item that follow each other within `gap_ms` are one window `[first, last + tail_ms)`.
    #[must_use]
    pub fn inferred(rows: impl Iterator<Item = Presence>, gap_ms: i64, tail_ms: i64) -> Availability {
        let starts = rows.map(|row| Presence { stop: row.start, ..row });
        Availability::merged(starts, gap_ms, tail_ms)
    }

    /// Windows are the union of presences, whoever was present.
    #[must_use]
    pub fn union(rows: impl Iterator<Item = Presence>) -> Availability {
        Availability::merged(rows, 0, 0)
    }

    /// Any windows; those of one item that overlap or touch are one.
    #[must_use]
    pub fn given(windows: impl Iterator<Item = (u32, Millis, Option<Millis>)>) -> Availability {
        let end = Millis(i64::MAX);
        let presences = windows.map(|(item, start, stop)| Presence { item, start, stop: stop.unwrap_or(end) });
        Availability::merged(presences, 0, 0)
    }

    /// Stretches of an item that begin at most `gap` after the latest stop before them are one, longer by `tail`. With a
    /// tail beyond the gap two windows would overlap: these are one, too.
    fn merged(rows: impl Iterator<Item = Presence>, gap: i64, tail: i64) -> Availability {
        let gap = gap.max(tail);
        let mut rows: Vec<Presence> = rows.collect();
        rows.sort_unstable();
        let mut edges = Vec::new();
        let mut windows: Option<Presence> = None;
        let mut put = |window: Presence| {
            let stop = window.stop.plus(tail);
            if stop > window.start {
                edges.push(Edge { at: window.start, opens: true, item: window.item });
                if stop.0 < i64::MAX {
                    edges.push(Edge { at: stop, opens: false, item: window.item });
                }
            }
        };
        for row in rows {
            match &mut windows {
                Some(window) if window.item == row.item && row.start <= window.stop.plus(gap) => {
                    window.stop = window.stop.max(row.stop);
                }
                window => {
                    if let Some(done) = window.replace(row) {
                        put(done);
                    }
                }
            }
        }
        if let Some(done) = windows {
            put(done);
        }
        edges.sort_unstable();
        Availability { edges }
    }

    /// How many items are open, mean over the instants of `[from, to)`.
    #[must_use]
    pub fn mean_open(&self, from: Millis, to: Millis) -> f64 {
        let mut open_ms = 0.0;
        for edge in &self.edges {
            // An edge adds, or takes away, all that is left of the span after it.
            let left = to.since(edge.at.max(from)) as f64;
            open_ms += if edge.opens { left } else { -left };
        }
        open_ms / to.since(from).max(1) as f64
    }

    /// A walk from before the first edge.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk { edges: &self.edges, next: 0, open: Vec::new() }
    }
}

/// Moves forward along the edges.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    edges: &'a [Edge],
    next: usize,
    open: Vec<u32>,
}

impl<'a> Walk<'a> {
    /// Moves to an instant; gives the edges that were passed, in order.
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

    /// What is open, sorted.
    #[must_use]
    pub fn open(&self) -> &[u32] {
        &self.open
    }
}
