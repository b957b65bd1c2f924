//! A log in memory: who did what with which item when, as compact rows in the order of time.
//!
//! Invariant: rows are sorted by their exact time, then by person, item and the rest of the row; only then are times
//! rounded down to the unit: the order of rows in the files decides nothing. People and items are numbered in the natural
//! order of their names, so ties between items do not depend on the other items. A row is 24 bytes; nothing else grows with
//! the log.

pub mod availability;
pub mod read;
pub mod tables;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::domain::ids::Key;
use crate::domain::interactions::{Kind, Signal, Signals};
use crate::domain::items::Embedding;
use crate::domain::time::Millis;
use availability::{Availability, Presence};

/// What a row tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Somebody did something with an item.
    Interacted(Kind),
    /// Somebody follows somebody: `item` is the number of a person.
    Followed,
    /// Somebody made an item.
    Posted,
}

/// One row of a log. The order of the fields is the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// When; in a [`Log`] a multiple of its unit.
    pub at: Millis,
    /// Who, into [`Log::users`].
    pub user: u32,
    /// With what, into [`Log::items`].
    pub item: u32,
    /// How long they stayed in milliseconds; 0 where the log does not tell.
    pub stay_ms: u32,
    /// What they did.
    pub act: Act,
    /// Its label is what a labelled protocol asks for.
    pub is_judged: bool,
}

impl Row {
    /// Label and weight of this row; `None` when it has none.
    #[must_use]
    pub fn signal(&self, signals: &Signals, stays_are_known: bool) -> Option<Signal> {
        match self.act {
            Act::Interacted(kind) => signals.of(kind, self.dwell_ms(stays_are_known)),
            Act::Followed | Act::Posted => None,
        }
    }

    /// How long they stayed, when that was known at the time of the row.
    #[must_use]
    pub fn dwell_ms(&self, stays_are_known: bool) -> Option<u32> {
        (stays_are_known && self.stay_ms > 0).then_some(self.stay_ms)
    }
}

/// What a log, or a file beside it, says of an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Its topics, the main one first.
    pub topics: Vec<Key>,
    /// Who made it, into [`Log::users`].
    pub author: Option<u32>,
    /// What a person reads.
    pub text: Option<Arc<str>>,
    /// Its vector.
    pub embedding: Option<Embedding>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Log {
    /// By number.
    pub users: Vec<Key>,
    /// By number.
    pub items: Vec<Key>,
    /// By item; empty when nothing is known of any.
    pub about: Vec<About>,
    /// By time; rows of one time unit by their exact times, then by person, item and the rest of the row.
    pub rows: Vec<Row>,
    /// One time unit.
    pub unit_ms: i64,
    /// What is open when.
    pub availability: Availability,
    /// Rows tell from when to when somebody was there, which is known only afterwards.
    pub has_presence: bool,
    /// Rows are answers to what was shown to people.
    pub has_views: bool,
}

impl Log {
    /// Ranges of rows of one time unit each, in order.
    pub fn steps(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut start = 0;
        self.rows.chunk_by(|a, b| a.at == b.at).map(move |step| {
            let range = start..start + step.len();
            start = range.end;
            range
        })
    }

    /// The first instant after the last row's time unit.
    #[must_use]
    pub fn end(&self) -> Millis {
        self.rows.last().map_or(Millis(0), |row| row.at.plus(self.unit_ms))
    }
}

/// Takes rows as they come.
pub struct LogBuilder {
    users: Names,
    items: Names,
    about: HashMap<u32, About>,
    rows: Vec<Row>,
    unit_ms: i64,
    has_presence: bool,
    has_views: bool,
}

/// Where windows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowSource {
    /// Each item is available from its first row on.
    FirstRow,
    /// `item,start,stop`; a missing stop is open-ended.
    Given(Vec<(Key, Millis, Option<Millis>)>),
    /// From the rows: those of an item that follow each other within `gap` units are one window `[first, last + tail)`.
    Inferred {
        /// In units.
        gap: i64,
        /// In units.
        tail: i64,
    },
    /// The union of presences.
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
        }
    }

    /// Rows are answers to what was shown to people: none of them is a choice among all that was available.
    #[must_use]
    pub fn of_views(self) -> LogBuilder {
        LogBuilder { has_views: true, ..self }
    }

    /// The number of a person, for [`LogBuilder::push`].
    pub fn user(&mut self, key: &Key) -> u32 {
        self.users.number(key)
    }

    /// The number of an item, for [`LogBuilder::push`].
    pub fn item(&mut self, key: &Key) -> u32 {
        self.items.number(key)
    }

    /// The number of an item that a row names already.
    #[must_use]
    pub fn find_item(&self, key: &Key) -> Option<u32> {
        self.items.numbers.get(key).copied()
    }

    /// One more row; numbers are those that [`LogBuilder::user`] and [`LogBuilder::item`] gave.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// What is known of an item.
    pub fn describe(&mut self, item: u32, about: About) {
        self.about.insert(item, about);
    }

    /// Makes one like of a judged row that tells of a like and the later row that repeats it.
    pub fn merge_repeated_likes(&mut self) {
        // At one instant the judged row comes first: the other one repeats it.
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

    /// Sorts, numbers by name, and finds out what is open when.
    #[must_use]
    pub fn finish(self, windows: WindowSource) -> Log {
        let LogBuilder { users, items, mut about, mut rows, unit_ms, has_presence, has_views } = self;
        let (users, user_numbers) = users.sorted();
        let (items, item_numbers) = items.sorted();
        for row in &mut rows {
            row.user = user_numbers[row.user as usize];
            let numbers = if row.act == Act::Followed { &user_numbers } else { &item_numbers };
            row.item = numbers[row.item as usize];
        }
        // An item is made before others act on it at the same millisecond. Rows that compare equal are interchangeable, so the
        // sort need not be stable.
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
                    // Windows of items that nobody touched could be shown, but nothing could be learned of them.
                    Some((*numbers.get(key)?, floor(*start, unit_ms), stop))
                }))
            }
        };
        Log { users, items, about: described, rows, unit_ms, availability, has_presence, has_views }
    }
}

fn floor(at: Millis, unit_ms: i64) -> Millis {
    Millis(at.0.div_euclid(unit_ms) * unit_ms)
}

fn ceil(at: Millis, unit_ms: i64) -> Millis {
    Millis((at.0 + unit_ms - 1).div_euclid(unit_ms) * unit_ms)
}

/// Numbers by name, in the order of arrival.
#[derive(Default)]
struct Names {
    numbers: HashMap<Key, u32>,
    keys: Vec<Key>,
}

impl Names {
    fn number(&mut self, key: &Key) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.keys.len() as u32;
        self.keys.push(key.clone());
        self.numbers.insert(key.clone(), number);
        number
    }

    /// In natural order, and by old number the new one.
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

/// Whole numbers by value and before all other names; these byte by byte.
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(user: u32, item: u32, at: i64, kind: Kind, is_judged: bool) -> Row {
        Row { at: Millis(at), user, item, stay_ms: 0, act: Act::Interacted(kind), is_judged }
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
        assert!(std::mem::size_of::<Row>() <= 24);
    }

    /// Within a time unit rows are in the order of their exact times, at one instant by person, item and kind.
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
        // That at 1 came before any view told of it; that at 5 repeats the view at 3; that at 9 is one of its own.
        assert_eq!(log.rows.iter().map(|row| row.at.0).collect::<Vec<_>>(), [1, 2, 3, 9]);
    }
}
