//! Availability windows of items.
//!
//! Invariant: the windows of one item are sorted by start, half-open `[start, stop)`, not empty, and never overlap
//! (touching is allowed). Only the last may be open-ended. An item without windows is always available.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Millis;

/// Half-open interval `[start, stop)` of availability; without `stop` it is open-ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First instant of availability.
    pub start: Millis,
    /// First instant after the window; `None` is open-ended.
    pub stop: Option<Millis>,
}

impl Window {
    /// Whether the window is open at `now`.
    #[must_use]
    pub fn contains(&self, now: Millis) -> bool {
        self.start <= now && self.stop.is_none_or(|stop| now < stop)
    }

    /// Last instant at which availability changes: `stop`, or `start` of an open-ended window.
    #[must_use]
    pub fn last_edge(&self) -> Millis {
        self.stop.unwrap_or(self.start)
    }

    fn overlaps(&self, other: &Window) -> bool {
        self.stop.is_none_or(|stop| other.start < stop) && other.stop.is_none_or(|stop| self.start < stop)
    }
}

/// Reason why a list of windows is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// `stop` is not after `start`.
    #[error("window {index} stops at or before its start")]
    Empty {
        /// Position of the window in the list, from 0.
        index: usize,
    },
    /// Two windows share an instant.
    #[error("window from {} overlaps the window from {}", second.start.0, first.start.0)]
    Overlap {
        /// The window that starts first.
        first: Window,
        /// The window that starts later.
        second: Window,
    },
    /// The list has more than [`Windows::COUNT_MAX`] windows, namely this number.
    #[error("at most 100000 windows per item, got {0}")]
    TooMany(usize),
}

/// The sorted, disjoint windows of one item; empty means always available. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(List);

/// Storage without heap allocation for items of at most one window, which are most items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    None,
    One(Window),
    /// At least two windows, shared between clones.
    Many(Arc<[Window]>),
}

impl Windows {
    /// Largest number of windows of one item.
    pub const COUNT_MAX: usize = 100_000;

    /// Sorts windows and checks them.
    ///
    /// # Errors
    /// [`WindowError`] names the window that is empty, or the two that clash.
    pub fn new(mut windows: Vec<Window>) -> Result<Windows, WindowError> {
        if windows.len() > Self::COUNT_MAX {
            return Err(WindowError::TooMany(windows.len()));
        }
        if let Some(index) = windows.iter().position(|w| w.stop.is_some_and(|stop| stop <= w.start)) {
            return Err(WindowError::Empty { index });
        }
        windows.sort();
        for pair in windows.windows(2) {
            if pair[0].overlaps(&pair[1]) {
                return Err(WindowError::Overlap { first: pair[0], second: pair[1] });
            }
        }
        Ok(Windows::sorted(windows))
    }

    /// Stores windows that are already sorted and disjoint.
    fn sorted(windows: Vec<Window>) -> Windows {
        Windows(match windows[..] {
            [] => List::None,
            [window] => List::One(window),
            _ => List::Many(windows.into()),
        })
    }

    /// Windows, sorted by start.
    #[must_use]
    pub fn as_slice(&self) -> &[Window] {
        match &self.0 {
            List::None => &[],
            List::One(window) => std::slice::from_ref(window),
            List::Many(windows) => windows,
        }
    }

    /// Whether there are no windows, so that the item is always available.
    #[must_use]
    pub fn is_always(&self) -> bool {
        matches!(self.0, List::None)
    }

    /// The window that contains `now`, if any.
    #[must_use]
    pub fn at(&self, now: Millis) -> Option<&Window> {
        let windows = self.as_slice();
        // Fast path: most calls ask for the present, when all windows but the last are over.
        if let Some(last) = windows.last().filter(|last| last.start <= now) {
            return Some(last).filter(|last| last.contains(now));
        }
        let after = windows.partition_point(|w| w.start <= now);
        windows[..after].last().filter(|w| w.contains(now))
    }

    /// The last window that has ended at `now`.
    #[must_use]
    pub fn last_over(&self, now: Millis) -> Option<&Window> {
        let windows = self.as_slice();
        let begun = windows.partition_point(|window| window.start <= now);
        windows[..begun].iter().rev().find(|window| window.stop.is_some_and(|stop| stop <= now))
    }

    /// Windows with a new one from `now` to the next scheduled window; `None` if a window is already open.
    ///
    /// # Errors
    /// [`WindowError::TooMany`] if the item has the most windows already.
    pub fn switched_on(&self, now: Millis) -> Result<Option<Windows>, WindowError> {
        if self.at(now).is_some() {
            return Ok(None);
        }
        let mut windows = self.as_slice().to_vec();
        let next = windows.partition_point(|window| window.start <= now);
        windows.push(Window { start: now, stop: windows.get(next).map(|window| window.start) });
        Windows::new(windows).map(Some)
    }

    /// Windows in which the open one ends at `now`; `None` if no window is open. A window that opens at `now` lasts for one
    /// millisecond, since an item without windows would always be available.
    #[must_use]
    pub fn switched_off(&self, now: Millis) -> Option<Windows> {
        let open = *self.at(now)?;
        let stop = Some(now.max(open.start.plus(1)));
        let closed = |window: &Window| if *window == open { Window { stop, ..open } } else { *window };
        Some(Windows::sorted(self.as_slice().iter().map(closed).collect()))
    }

    /// Whether the item is available at `now`.
    #[must_use]
    pub fn is_open(&self, now: Millis) -> bool {
        self.is_always() || self.at(now).is_some()
    }
}

impl Serialize for Windows {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Windows {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Windows::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, stop: i64) -> Window {
        Window { start: Millis(start), stop: Some(Millis(stop)) }
    }

    #[test]
    fn a_window_is_half_open() {
        let window = window(100, 200);
        for (name, now, open) in [
            ("just before", 99, false),
            ("opening instant", 100, true),
            ("last instant", 199, true),
            ("closing instant", 200, false),
        ] {
            assert_eq!(window.contains(Millis(now)), open, "{name}");
        }
    }

    #[test]
    fn windows_are_sorted_and_never_overlap() {
        let open_end = Window { start: Millis(300), stop: None };
        for (name, list, good) in [
            ("none", vec![], true),
            ("touching", vec![window(1, 2), window(2, 3)], true),
            ("given in reverse", vec![window(5, 6), window(1, 2)], true),
            ("open end last", vec![open_end, window(1, 2)], true),
            ("open end before another", vec![open_end, window(400, 500)], false),
            ("overlap by one", vec![window(1, 3), window(2, 4)], false),
            ("same twice", vec![window(1, 3), window(1, 3)], false),
            ("one inside the other", vec![window(1, 9), window(2, 3)], false),
            ("empty", vec![window(1, 1)], false),
            ("backwards", vec![window(2, 1)], false),
        ] {
            assert_eq!(Windows::new(list).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn on_and_off_air_leave_the_schedule_as_it_is() {
        let later = window(500, 600);
        let on = |windows: &Windows, now| windows.switched_on(Millis(now)).unwrap();
        let scheduled = Windows::new(vec![later]).unwrap();
        // The new window ends at the next scheduled one.
        let live = on(&scheduled, 100).unwrap();
        assert_eq!(live.as_slice(), [window(100, 500), later]);
        assert_eq!(on(&live, 200), None, "on already");
        let off = live.switched_off(Millis(300)).unwrap();
        assert_eq!(off.as_slice(), [window(100, 300), later]);
        assert_eq!(off.switched_off(Millis(400)), None, "off already");
        assert_eq!(on(&off, 300).unwrap().as_slice(), [window(100, 300), window(300, 500), later]);
        // Without a schedule the window is open-ended; switched off at once, it still lasts one millisecond.
        let open = on(&Windows::default(), 100).unwrap();
        assert_eq!(open.as_slice(), [Window { start: Millis(100), stop: None }]);
        let closed = open.switched_off(Millis(100)).unwrap();
        assert_eq!(closed.as_slice(), [window(100, 101)]);
        assert!(!closed.is_open(Millis(101)));
        let full = Windows::new((0..Windows::COUNT_MAX as i64).map(|n| window(2 * n, 2 * n + 1)).collect()).unwrap();
        assert_eq!(full.switched_on(Millis(1 << 40)), Err(WindowError::TooMany(Windows::COUNT_MAX + 1)));
    }

    #[test]
    fn no_windows_means_always() {
        assert!(Windows::default().is_open(Millis(0)));
        let some = Windows::new(vec![window(5, 6), window(1, 2)]).unwrap();
        assert!(
            some.is_open(Millis(1)) && !some.is_open(Millis(2)) && some.is_open(Millis(5)) && !some.is_open(Millis(0))
        );
    }
}
