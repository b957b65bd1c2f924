//! A log in memory: the actions of users on items, as compact rows in order of time.
//!
//! Invariant: rows are sorted by exact time, then by user, item and the rest of the row, and only then rounded down to
//! the unit. So the order of rows in files decides nothing. Users and items are numbered in the natural order of their
//! names, so ties between items do not depend on other items. A row takes 24 bytes, and nothing else grows with the
//! log.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::availability::{Availability, Presence};
use crate::domain::ids::Key;
use crate::domain::interactions::{Kind, Signal, Signals};
use crate::domain::items::Embedding;
use crate::domain::time::Millis;

/// Kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// An interaction of the user with an item.
    Interacted(Kind),
    /// A follow; `item` is the number of the followed user.
    Followed,
    /// Creation of an item by the user.
    Posted,
}

/// One row of a log. The order of the fields is the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogRow {
    /// Time of the row; in a [`Log`] a multiple of its unit.
    pub at: Millis,
    /// Index of the user in [`Log::users`].
    pub user: u32,
    /// Index of the item in [`Log::items`].
    pub item: u32,
    /// Dwell time in milliseconds; 0 where the log has none.
    pub stay_ms: u32,
    /// Kind of the action.
    pub act: Act,
    /// True where a labelled protocol predicts the row's label.
    pub is_judged: bool,
}

impl LogRow {
    /// Label and weight of the row; `None` without a label.
    #[must_use]
    pub fn signal(&self, signals: &Signals, stays_are_known: bool) -> Option<Signal> {
        match self.act {
            Act::Interacted(kind) => signals.of(kind, self.dwell_ms(stays_are_known)),
            Act::Followed | Act::Posted => None,
        }
    }

    /// Dwell time, where it was known at the time of the row.
    #[must_use]
    pub fn dwell_ms(&self, stays_are_known: bool) -> Option<u32> {
        (stays_are_known && self.stay_ms > 0).then_some(self.stay_ms)
    }
}

/// Features of an item, from the log or a file of items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Topics of the item, the main one first.
    pub topics: Vec<Key>,
    /// Index of the author in [`Log::users`].
    pub author: Option<u32>,
    /// Text of the item.
    pub text: Option<Arc<str>>,
    /// Attributes of the item that a two-tower model reads: a JSON object as text.
    pub attributes: Option<Arc<str>>,
    /// Embedding of the item.
    pub embedding: Option<Embedding>,
}

/// A log in memory: names, rows by time, and the availability of items.
#[derive(Clone, Debug)]
pub struct Log {
    /// Keys of users, by index.
    pub users: Vec<Key>,
    /// Keys of items, by index.
    pub items: Vec<Key>,
    /// Features by item; empty where none has any.
    pub about: Vec<About>,
    /// Rows by time; within one time unit by exact time, then user, item and the rest of the row.
    pub rows: Vec<LogRow>,
    /// Time unit, in milliseconds.
    pub unit_ms: i64,
    /// Availability of the items.
    pub availability: Availability,
    /// True for a log of presences, whose dwell times are known only afterwards.
    pub has_presence: bool,
    /// True for a log of views, whose rows are answers to shown items.
    pub has_views: bool,
    /// Number of distinct broadcasts; 0 where the log names none.
    pub streams: u64,
}

impl Log {
    /// Ranges of the rows of each time unit, in order.
    pub fn steps(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut start = 0;
        self.rows.chunk_by(|a, b| a.at == b.at).map(move |step| {
            let range = start..start + step.len();
            start = range.end;
            range
        })
    }

    /// First instant after the last row's time unit.
    #[must_use]
    pub fn end(&self) -> Millis {
        self.rows.last().map_or(Millis(0), |row| row.at.plus(self.unit_ms))
    }
}

/// Collects rows in any order, and builds a [`Log`] from them.
pub struct LogBuilder {
    users: Names,
    items: Names,
    about: HashMap<u32, About>,
    rows: Vec<LogRow>,
    unit_ms: i64,
    has_presence: bool,
    has_views: bool,
    /// Hashes of the names of broadcasts.
    streams: HashSet<u64>,
}

/// Origin of the availability windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowSource {
    /// Each item is available from its first row on.
    FirstRow,
    /// Windows from a file: item, start, stop; a missing stop is open-ended.
    Given(Vec<(Key, Millis, Option<Millis>)>),
    /// Windows inferred from rows: rows of an item that follow each other within `gap` units become one window
    /// `[first, last + tail)`.
    Inferred {
        /// Largest distance of rows within one window, in units.
        gap: i64,
        /// Duration of a window beyond its last row, in units.
        tail: i64,
    },
    /// Windows as the union of presences.
    Presence,
}

impl LogBuilder {
    /// An empty log whose times are rounded down to `unit_ms`.
    #[must_use]
    pub fn new(unit_ms: i64, has_presence: bool) -> LogBuilder {
        LogBuilder {
            users: Names::default(),
            items: Names::default(),
            about: HashMap::new(),
            rows: Vec::new(),
            unit_ms: unit_ms.max(1),
            has_presence,
            has_views: false,
            streams: HashSet::new(),
        }
    }

    /// Marks the log as one of views: no row is a choice among all available items.
    #[must_use]
    pub fn of_views(self) -> LogBuilder {
        LogBuilder { has_views: true, ..self }
    }

    /// The number of a user, for [`LogBuilder::push`].
    pub fn user(&mut self, key: &Key) -> u32 {
        self.users.number(key)
    }

    /// The number of an item, for [`LogBuilder::push`].
    pub fn item(&mut self, key: &Key) -> u32 {
        self.items.number(key)
    }

    /// Counts a broadcast, by its name.
    pub fn count_stream(&mut self, key: &Key) {
        self.streams.insert(xxh3_64(key.as_str().as_bytes()));
    }

    /// The number of an item that some row names.
    #[must_use]
    pub fn find_item(&self, key: &Key) -> Option<u32> {
        self.items.numbers.get(key).copied()
    }

    /// Adds a row with numbers from [`LogBuilder::user`] and [`LogBuilder::item`].
    pub fn push(&mut self, row: LogRow) {
        self.rows.push(row);
    }

    /// Sets the features of an item.
    pub fn describe(&mut self, item: u32, about: About) {
        self.about.insert(item, about);
    }

    /// Merges each liked view with the later like row that repeats it.
    pub fn merge_repeated_likes(&mut self) {
        // At one instant the judged row comes first, so that the other one repeats it.
        self.rows.sort_by_key(|row| (row.at, !row.is_judged));
        let mut told: HashMap<(u32, u32), u32> = HashMap::new();
        self.rows.retain(|row| {
            if row.act != Act::Interacted(Kind::Like) {
                return true;
            }
            let pending = told.entry((row.user, row.item)).or_default();
            if row.is_judged {
                *pending += 1;
                return true;
            }
            let repeats = *pending > 0;
            *pending = pending.saturating_sub(1);
            !repeats
        });
    }

    /// Sorts rows, renumbers by name, and computes availability.
    #[must_use]
    pub fn finish(self, windows: WindowSource) -> Log {
        let LogBuilder { users, items, mut about, mut rows, unit_ms, has_presence, has_views, streams } = self;
        let streams = streams.len() as u64;
        let (users, user_numbers) = users.sorted();
        let (items, item_numbers) = items.sorted();
        for row in &mut rows {
            row.user = user_numbers[row.user as usize];
            let numbers = if row.act == Act::Followed { &user_numbers } else { &item_numbers };
            row.item = numbers[row.item as usize];
        }
        // At equal milliseconds an item is created before interactions with it. Rows that compare equal are
        // interchangeable, so the sort need not be stable.
        rows.sort_unstable_by_key(|row| (row.at, matches!(row.act, Act::Interacted(_)), *row));
        rows.iter_mut().for_each(|row| row.at = floor(row.at, unit_ms));
        rows.shrink_to_fit();
        let mut described = Vec::new();
        if !about.is_empty() {
            described.resize_with(items.len(), About::default);
            for (old, new) in item_numbers.iter().enumerate() {
                if let Some(mut about) = about.remove(&(old as u32)) {
                    about.author = about.author.map(|author| user_numbers[author as usize]);
                    described[*new as usize] = about;
                }
            }
        }
        let presences = || {
            rows.iter().filter(|row| row.act != Act::Followed).map(|row| Presence {
                item: row.item,
                start: row.at,
                stop: row.at.plus(ceil(Millis(i64::from(row.stay_ms)), unit_ms).0.max(unit_ms)),
            })
        };
        let availability = match windows {
            WindowSource::FirstRow => Availability::from_first_row(presences(), items.len()),
            WindowSource::Inferred { gap, tail } => {
                Availability::inferred(presences(), gap.saturating_mul(unit_ms), tail.saturating_mul(unit_ms))
            }
            WindowSource::Presence => Availability::union(presences()),
            WindowSource::Given(list) => {
                let numbers: HashMap<&Key, u32> = items.iter().zip(0..).collect();
                Availability::given(list.iter().filter_map(|(key, start, stop)| {
                    let stop = stop.map(|stop| ceil(stop, unit_ms));
                    // Windows of items without rows are dropped: such items could be shown, but nothing could be
                    // learned of them.
                    Some((*numbers.get(key)?, floor(*start, unit_ms), stop))
                }))
            }
        };
        Log { users, items, about: described, rows, unit_ms, availability, has_presence, has_views, streams }
    }
}

fn floor(at: Millis, unit_ms: i64) -> Millis {
    Millis(at.0.div_euclid(unit_ms) * unit_ms)
}

fn ceil(at: Millis, unit_ms: i64) -> Millis {
    Millis((at.0 + unit_ms - 1).div_euclid(unit_ms) * unit_ms)
}

/// Numbers by name, in order of first occurrence.
#[derive(Clone, Debug, Default)]
pub struct Names {
    numbers: HashMap<Key, u32>,
    keys: Vec<Key>,
}

impl Names {
    /// The names, by number.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The names, by number; frees the index.
    #[must_use]
    pub fn into_keys(self) -> Vec<Key> {
        self.keys
    }

    /// The number of a name; a new name gets the next one.
    pub fn number(&mut self, key: &Key) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.keys.len() as u32;
        self.keys.push(key.clone());
        self.numbers.insert(key.clone(), number);
        number
    }

    /// Names in natural order, and the new number of each old one.
    fn sorted(self) -> (Vec<Key>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.keys.len() as u32).collect();
        order.sort_by(|a, b| natural(self.keys[*a as usize].as_str(), self.keys[*b as usize].as_str()));
        let mut numbers = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            numbers[*old as usize] = new as u32;
        }
        (order.iter().map(|old| self.keys[*old as usize].clone()).collect(), numbers)
    }
}

/// Natural order: integers by value before all other names; these byte by byte.
fn natural(a: &str, b: &str) -> Ordering {
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user: u32, item: u32, at: i64, kind: Kind, is_judged: bool) -> LogRow {
        LogRow { at: Millis(at), user, item, stay_ms: 0, act: Act::Interacted(kind), is_judged }
    }

    #[test]
    fn rows_are_sorted_and_numbered_by_name_whatever_their_order() {
        let mut log = LogBuilder::new(10, false);
        for (user, item, at) in [("b", "10", 25), ("a", "9", 14), ("b", "x", 14)] {
            let (user, item) = (log.user(&Key::new(user).unwrap()), log.item(&Key::new(item).unwrap()));
            log.push(row(user, item, at, Kind::Click, false));
        }
        let log = log.finish(WindowSource::FirstRow);
        assert_eq!(log.items.iter().map(Key::as_str).collect::<Vec<_>>(), ["9", "10", "x"]);
        let rows: Vec<(i64, u32, u32)> = log.rows.iter().map(|row| (row.at.0, row.user, row.item)).collect();
        assert_eq!(rows, [(10, 0, 0), (10, 1, 2), (20, 1, 1)], "rounded down to the unit");
        assert_eq!(log.steps().collect::<Vec<_>>(), [0..2, 2..3]);
        assert_eq!(log.end(), Millis(30));
        assert!(std::mem::size_of::<LogRow>() <= 24);
    }

    /// Within a time unit rows follow their exact times, at one instant user, item and kind.
    #[test]
    fn rows_of_one_instant_are_in_an_order_of_their_own() {
        let keys = ["a", "b", "9", "10"].map(|key| Key::new(key).unwrap());
        let rows = [("b", "9", 14), ("a", "10", 12), ("a", "9", 14), ("a", "9", 12), ("a", "10", 14)];
        let sorted = |order: &[usize]| -> Vec<(i64, u32, u32, Act)> {
            let mut log = LogBuilder::new(10, false);
            for (user, item, at) in order.iter().map(|row| rows[*row]) {
                let number = |name: &str| keys.iter().find(|key| key.as_str() == name).unwrap();
                let (user, item) = (log.user(number(user)), log.item(number(item)));
                for kind in if at == 12 { [Kind::Skip, Kind::Click] } else { [Kind::Click, Kind::Skip] } {
                    log.push(row(user, item, at, kind, false));
                }
            }
            let log = log.finish(WindowSource::FirstRow);
            log.rows.iter().map(|row| (row.at.0, row.user, row.item, row.act)).collect()
        };
        let expected = sorted(&[0, 1, 2, 3, 4]);
        let who: Vec<(u32, u32)> = expected.iter().step_by(2).map(|row| (row.1, row.2)).collect();
        assert_eq!(who, [(0, 0), (0, 1), (0, 0), (0, 1), (1, 0)]);
        assert!(expected.iter().all(|row| row.0 == 10));
        for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
            assert_eq!(sorted(&order), expected, "{order:?}");
        }
    }

    #[test]
    fn a_like_that_is_told_twice_counts_once() {
        let mut log = LogBuilder::new(1, false);
        let key = Key::new("k").unwrap();
        let (user, item) = (log.user(&key), log.item(&key));
        for (at, kind, is_judged) in [
            (5, Kind::Like, false),
            (1, Kind::Like, false),
            (2, Kind::Skip, true),
            (3, Kind::Like, true),
            (9, Kind::Like, false),
        ] {
            log.push(row(user, item, at, kind, is_judged));
        }
        log.merge_repeated_likes();
        let log = log.finish(WindowSource::FirstRow);
        // The like at 1 precedes any view; the one at 5 repeats the view at 3; the one at 9 stands alone.
        assert_eq!(log.rows.iter().map(|row| row.at.0).collect::<Vec<_>>(), [1, 2, 3, 9]);
    }
}
