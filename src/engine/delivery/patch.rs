//! The patch between two lists: steps with as few moves as possible.
//!
//! Invariant: applying the steps to the old list gives the new one. Items are compared by identity, and a list holds each item
//! at most once. Steps come as removals, moves, insertions, updates. Insertions go from top to bottom once the kept items are
//! in order, so the position of an insertion is the item's final one.
//! Deliberately absent: the wire (`protocol::server::Op` has these steps with keys and content), scores, versions.

use std::collections::BTreeMap;

/// One step of a diff. Positions count from 0 in the list as it is at that step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Removes the item.
    Remove {
        /// The item that leaves the list.
        item: T,
    },
    /// Removes the item and inserts it again at `position`.
    Move {
        /// The item that changes its place.
        item: T,
        /// Position after this step.
        position: u32,
    },
    /// Inserts a new item at `position`.
    Insert {
        /// The item that is new in the list.
        item: T,
        /// Position after this step, and after all steps.
        position: u32,
    },
    /// Replace the content of an item in its place. An inserted item is never updated; a moved one may be.
    Update {
        /// The item whose content changed.
        item: T,
    },
}

/// The steps from `old` to `new` with the fewest moves: all kept items move that are not on a longest run in order. `changed`
/// is called once for each kept item and says whether its content is new.
///
/// Neither list may hold an item twice; otherwise the steps can be applied but may lead to another list.
/// Takes O(n log n + moves * n); lists are feeds of at most some hundred items.
pub(crate) fn diff<T: Clone + Ord>(old: &[T], new: &[T], changed: impl Fn(&T) -> bool) -> Vec<Step<T>> {
    let place_in_new: BTreeMap<&T, usize> = new.iter().enumerate().map(|(place, item)| (item, place)).collect();
    let mut steps = Vec::new();

    // Kept items, as places in `new`, in the order of `old`.
    let mut current: Vec<usize> = Vec::with_capacity(old.len());
    for item in old {
        match place_in_new.get(item) {
            Some(place) => current.push(*place),
            None => steps.push(Step::Remove { item: item.clone() }),
        }
    }

    let mut in_order = vec![false; new.len()];
    for index in longest_rising(&current) {
        in_order[current[index]] = true;
    }
    let mut kept = current.clone();
    kept.sort_unstable();

    // From top to bottom, each moving item goes right below the item that precedes it in `new`.
    let mut above: Option<usize> = None;
    for place in &kept {
        if !in_order[*place] {
            current.retain(|other| other != place);
            let position =
                above.and_then(|above| current.iter().position(|other| *other == above)).map_or(0, |at| at + 1);
            current.insert(position, *place);
            steps.push(Step::Move { item: new[*place].clone(), position: position as u32 });
        }
        above = Some(*place);
    }

    let mut is_kept = in_order;
    for place in &kept {
        is_kept[*place] = true;
    }
    for (place, item) in new.iter().enumerate().filter(|(place, _)| !is_kept[*place]) {
        steps.push(Step::Insert { item: item.clone(), position: place as u32 });
    }
    for place in kept {
        if changed(&new[place]) {
            steps.push(Step::Update { item: new[place].clone() });
        }
    }
    steps
}

/// Applies the steps as a client does. A step that names an absent item, or a position behind the end, has as much effect as
/// possible; the page behaves alike.
pub fn apply<T: Clone + PartialEq>(list: &[T], steps: &[Step<T>]) -> Vec<T> {
    let mut list = list.to_vec();
    for step in steps {
        match step {
            Step::Remove { item } => list.retain(|other| other != item),
            Step::Move { item, position } | Step::Insert { item, position } => {
                list.retain(|other| other != item);
                list.insert((*position as usize).min(list.len()), item.clone());
            }
            Step::Update { .. } => {}
        }
    }
    list
}

/// Indices of a longest strictly rising subsequence, rising. O(n log n).
///
/// Source: Fredman, *On computing the length of longest increasing subsequences*, 1975 (patience sorting).
fn longest_rising(values: &[usize]) -> Vec<usize> {
    // `tails[k]`: index of the smallest value that ends a rising subsequence of length k + 1.
    let mut tails: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let length = tails.partition_point(|tail| values[*tail] < *value);
        previous.push(length.checked_sub(1).map(|shorter| tails[shorter]));
        if length == tails.len() {
            tails.push(index);
        } else {
            tails[length] = index;
        }
    }
    let mut chain: Vec<usize> = std::iter::successors(tails.last().copied(), |index| previous[*index]).collect();
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Two lists over a few items, each item at most once per list.
    fn two_lists() -> impl Strategy<Value = (Vec<u32>, Vec<u32>)> {
        let shuffled = || Just((0..24_u32).collect::<Vec<u32>>()).prop_shuffle();
        (shuffled(), 0..=24_usize, shuffled(), 0..=24_usize).prop_map(|(mut old, a, mut new, b)| {
            old.truncate(a);
            new.truncate(b);
            (old, new)
        })
    }

    /// The length of a longest rising subsequence, by dynamic programming in O(n²).
    fn longest_naive(values: &[usize]) -> usize {
        let mut best = vec![1; values.len()];
        for end in 0..values.len() {
            for start in 0..end {
                if values[start] < values[end] {
                    best[end] = best[end].max(best[start] + 1);
                }
            }
        }
        best.into_iter().max().unwrap_or(0)
    }

    proptest! {
        /// The steps lead from old to new with the fewest moves, and each kind of step touches only its items.
        #[test]
        fn the_steps_lead_to_the_new_list((old, new) in two_lists(), faces in vec(any::<bool>(), 24)) {
            let steps = diff(&old, &new, |item| faces[*item as usize]);
            prop_assert_eq!(&apply(&old, &steps), &new);

            let kept: Vec<usize> = old.iter().filter_map(|item| new.iter().position(|other| other == item)).collect();
            let moves = steps.iter().filter(|step| matches!(step, Step::Move { .. })).count();
            prop_assert_eq!(moves, kept.len() - longest_naive(&kept));

            for step in &steps {
                match step {
                    Step::Remove { item } => prop_assert!(old.contains(item) && !new.contains(item)),
                    Step::Move { item, .. } => prop_assert!(old.contains(item) && new.contains(item)),
                    Step::Insert { item, position } => {
                        prop_assert!(!old.contains(item));
                        prop_assert_eq!(new.get(*position as usize), Some(item));
                    }
                    Step::Update { item } => prop_assert!(old.contains(item) && faces[*item as usize]),
                }
            }
            let updates = steps.iter().filter(|step| matches!(step, Step::Update { .. })).count();
            let faces_new = new.iter().filter(|item| old.contains(item) && faces[**item as usize]).count();
            prop_assert_eq!(updates, faces_new);

            let rank = |step: &Step<u32>| match step {
                Step::Remove { .. } => 0,
                Step::Move { .. } => 1,
                Step::Insert { .. } => 2,
                Step::Update { .. } => 3,
            };
            prop_assert!(steps.is_sorted_by_key(rank));
        }

        /// Each position counts in the list as of its step, so no position lies behind the end.
        #[test]
        fn no_position_lies_behind_the_end((old, new) in two_lists()) {
            let mut list = old.clone();
            for step in diff(&old, &new, |_| false) {
                if let Step::Move { item, position } | Step::Insert { item, position } = &step {
                    let room = list.iter().filter(|other| *other != item).count();
                    prop_assert!(*position as usize <= room);
                }
                list = apply(&list, std::slice::from_ref(&step));
            }
        }

        /// Lists with duplicates never cause a panic.
        #[test]
        fn doubles_do_no_harm(old in vec(0..6_u32, 0..12), new in vec(0..6_u32, 0..12)) {
            let _ = apply(&old, &diff(&old, &new, |_| true));
        }
    }

    #[test]
    fn edges() {
        let all = |_: &char| true;
        let none = |_: &char| false;
        for (name, old, new, changed, steps) in [
            ("nothing to nothing", "", "", &all as &dyn Fn(&char) -> bool, vec![]),
            ("no change", "abc", "abc", &none, vec![]),
            (
                "all new",
                "",
                "ab",
                &all,
                vec![Step::Insert { item: 'a', position: 0 }, Step::Insert { item: 'b', position: 1 }],
            ),
            ("all gone", "ab", "", &all, vec![Step::Remove { item: 'a' }, Step::Remove { item: 'b' }]),
            ("first to last is one move", "abcd", "bcda", &none, vec![Step::Move { item: 'a', position: 3 }]),
            ("last to first is one move", "abcd", "dabc", &none, vec![Step::Move { item: 'd', position: 0 }]),
            ("one falls out at the top", "abc", "bc", &none, vec![Step::Remove { item: 'a' }]),
            ("one comes in between", "ac", "abc", &none, vec![Step::Insert { item: 'b', position: 1 }]),
            ("a new face", "ab", "ab", &|item| *item == 'b', vec![Step::Update { item: 'b' }]),
            (
                "moved, with a new face",
                "abc",
                "bca",
                &|item| *item == 'a',
                vec![Step::Move { item: 'a', position: 2 }, Step::Update { item: 'a' }],
            ),
            ("an inserted one has its face already", "", "a", &all, vec![Step::Insert { item: 'a', position: 0 }]),
        ] {
            let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
            assert_eq!(diff(&old, &new, changed), steps, "{name}");
            assert_eq!(apply(&old, &steps), new, "{name}");
        }
    }
}
