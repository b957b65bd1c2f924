//! The list of a client: a `feed` replaces it, a `patch` changes it.
//!
//! Invariant: each fault of the server is reported once. The list then continues as well as it can, so that one fault
//! does not hide the next. The load generator and the walks in `tests/` share this code, so that both give a patch one
//! meaning.

use std::collections::HashSet;
use std::fmt;

use eddyline::domain::ids::{FeedVersion, Key};
use eddyline::protocol::server::{FeedMessage, Op, Patch, WireItem};

/// A promise of the protocol that a `feed` or `patch` broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Versions of one session must rise.
    VersionNotRising { before: u64, after: u64 },
    /// A patch must start from the list that the client acknowledged last.
    WrongBase { drawn: u64, base: u64 },
    /// A list contains no item twice.
    ItemTwice { item: Key },
    /// A step names an item outside of the list.
    ItemMissing { item: Key },
    /// The stated position of an item differs from its place, or lies beyond the end.
    WrongPosition { item: Key, says: u32, stands: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::VersionNotRising { before, after } => write!(f, "version {after} came after version {before}"),
            Fault::WrongBase { drawn, base } => write!(f, "a patch of version {base} came, version {drawn} is drawn"),
            Fault::ItemTwice { item } => write!(f, "item {item} is in the list twice"),
            Fault::ItemMissing { item } => write!(f, "a step names item {item}, which is not in the list"),
            Fault::WrongPosition { item, says, stands } => {
                write!(f, "item {item} says position {says} and stands at {stands}")
            }
        }
    }
}

/// The list of one session.
#[derive(Clone, Debug, Default)]
pub struct FeedList {
    version: Option<FeedVersion>,
    items: Vec<WireItem>,
}

impl FeedList {
    /// The items, best first.
    pub fn items(&self) -> &[WireItem] {
        &self.items
    }

    /// The version of the list; `None` before the first feed.
    pub fn version(&self) -> Option<FeedVersion> {
        self.version
    }

    /// Replaces the list by a whole feed.
    pub fn replace(&mut self, feed: FeedMessage) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.rise(feed.version, &mut faults);
        self.items = feed.items;
        for (index, item) in self.items.iter().enumerate() {
            if item.position as usize != index {
                faults.push(Fault::WrongPosition { item: item.item.clone(), says: item.position, stands: index });
            }
        }
        self.find_twins(&mut faults);
        faults
    }

    /// Applies the steps of a patch, one after the other.
    pub fn apply(&mut self, patch: Patch) -> Vec<Fault> {
        let mut faults = Vec::new();
        let drawn = self.version.unwrap_or_default();
        if self.version != Some(patch.base) {
            faults.push(Fault::WrongBase { drawn: drawn.0, base: patch.base.0 });
        }
        self.rise(patch.version, &mut faults);
        for op in patch.ops {
            self.step(op, &mut faults);
        }
        self.find_twins(&mut faults);
        faults
    }

    fn rise(&mut self, version: FeedVersion, faults: &mut Vec<Fault>) {
        if let Some(before) = self.version
            && version <= before
        {
            faults.push(Fault::VersionNotRising { before: before.0, after: version.0 });
        }
        self.version = Some(version);
    }

    fn step(&mut self, op: Op, faults: &mut Vec<Fault>) {
        match op {
            Op::Remove { item } => match self.place(&item) {
                Some(index) => drop(self.items.remove(index)),
                None => faults.push(Fault::ItemMissing { item }),
            },
            Op::Move { item, position } => match self.place(&item) {
                Some(index) => {
                    let moved = self.items.remove(index);
                    self.put(moved, position, faults);
                }
                None => faults.push(Fault::ItemMissing { item }),
            },
            Op::Insert { item } => {
                let position = item.position;
                self.put(item, position, faults);
            }
            Op::Update { item } => match self.place(&item.item) {
                Some(index) => {
                    if item.position as usize != index {
                        let says = item.position;
                        faults.push(Fault::WrongPosition { item: item.item.clone(), says, stands: index });
                    }
                    self.items[index] = item;
                }
                None => faults.push(Fault::ItemMissing { item: item.item }),
            },
        }
    }

    fn put(&mut self, item: WireItem, position: u32, faults: &mut Vec<Fault>) {
        let stands = (position as usize).min(self.items.len());
        if stands != position as usize {
            faults.push(Fault::WrongPosition { item: item.item.clone(), says: position, stands });
        }
        self.items.insert(stands, item);
    }

    fn place(&self, item: &Key) -> Option<usize> {
        self.items.iter().position(|there| there.item == *item)
    }

    fn find_twins(&self, faults: &mut Vec<Fault>) {
        let mut seen = HashSet::with_capacity(self.items.len());
        let twins = self.items.iter().filter(|item| !seen.insert(&item.item));
        faults.extend(twins.map(|item| Fault::ItemTwice { item: item.item.clone() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline::domain::feeds::Ranking;
    use eddyline::domain::ids::Epoch;
    use eddyline::domain::time::Millis;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn item(name: &str, position: u32) -> WireItem {
        WireItem {
            item: key(name),
            author: None,
            topic: None,
            text: name.into(),
            at: Millis(1),
            available_until: None,
            expected_until: None,
            live: false,
            score: 0.0,
            likely: None,
            position,
            why: Vec::new(),
        }
    }

    fn feed(version: u64, names: &[&str]) -> FeedMessage {
        FeedMessage {
            model_version: None,
            version: FeedVersion(version),
            epoch: Epoch(1),
            ranking: Ranking::Model,
            cause: None,
            timing: None,
            items: names.iter().zip(0..).map(|(name, position)| item(name, position)).collect(),
        }
    }

    fn patch(version: u64, base: u64, ops: Vec<Op>) -> Patch {
        Patch {
            model_version: None,
            version: FeedVersion(version),
            base: FeedVersion(base),
            epoch: Epoch(1),
            cause: None,
            timing: None,
            ops,
        }
    }

    #[test]
    fn steps_change_the_list_as_the_protocol_says() {
        for (name, op, expected, faults) in [
            ("remove", Op::Remove { item: key("b") }, "acd", vec![]),
            ("move down", Op::Move { item: key("a"), position: 2 }, "bcad", vec![]),
            ("move up", Op::Move { item: key("d"), position: 0 }, "dabc", vec![]),
            ("insert first", Op::Insert { item: item("x", 0) }, "xabcd", vec![]),
            ("insert last", Op::Insert { item: item("x", 4) }, "abcdx", vec![]),
            ("update", Op::Update { item: item("c", 2) }, "abcd", vec![]),
            ("remove a stranger", Op::Remove { item: key("x") }, "abcd", vec![Fault::ItemMissing { item: key("x") }]),
            ("insert a twin", Op::Insert { item: item("a", 4) }, "abcda", vec![Fault::ItemTwice { item: key("a") }]),
            (
                "insert beyond the end",
                Op::Insert { item: item("x", 9) },
                "abcdx",
                vec![Fault::WrongPosition { item: key("x"), says: 9, stands: 4 }],
            ),
            (
                "update elsewhere",
                Op::Update { item: item("c", 0) },
                "abcd",
                vec![Fault::WrongPosition { item: key("c"), says: 0, stands: 2 }],
            ),
        ] {
            let mut list = FeedList::default();
            assert_eq!(list.replace(feed(1, &["a", "b", "c", "d"])), [], "{name}");
            assert_eq!(list.apply(patch(2, 1, vec![op])), faults, "{name}");
            let found: String = list.items().iter().map(|item| item.item.as_str()).collect();
            assert_eq!(found, expected, "{name}");
            assert_eq!(list.version(), Some(FeedVersion(2)), "{name}");
        }
    }

    #[test]
    fn versions_rise_and_patches_start_from_what_is_drawn() {
        let mut list = FeedList::default();
        assert_eq!(list.apply(patch(2, 1, vec![])), [Fault::WrongBase { drawn: 0, base: 1 }], "before any feed");
        assert_eq!(list.replace(feed(2, &["a"])), [Fault::VersionNotRising { before: 2, after: 2 }]);
        assert_eq!(list.apply(patch(3, 1, vec![])), [Fault::WrongBase { drawn: 2, base: 1 }]);
        let twice = list.replace(feed(4, &["a", "a"]));
        assert_eq!(twice, [Fault::ItemTwice { item: key("a") }]);
    }
}
