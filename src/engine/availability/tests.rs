//! Compares the index with a naive reference: the windows of each item, checked one by one.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Reference implementation: items and their windows, without an index.
type Naive = BTreeMap<ItemId, Windows>;

fn naive_open(naive: &Naive, now: Millis) -> RoaringBitmap {
    naive.iter().filter(|(_, windows)| windows.is_open(now)).map(|(item, _)| item.0).collect()
}

fn naive_next_edge(naive: &Naive, now: Millis) -> Option<Millis> {
    let edges = naive.values().flat_map(Windows::as_slice).flat_map(|window| [Some(window.start), window.stop]);
    let mut candidates: Vec<Millis> = edges.flatten().filter(|edge| *edge > now).collect();
    candidates.sort();
    candidates
        .into_iter()
        .find(|edge| naive.values().any(|windows| windows.is_open(*edge) != windows.is_open(edge.plus(-1))))
}

fn window(start: i64, stop: i64) -> Window {
    Window { start: Millis(start), stop: Some(Millis(stop)) }
}

fn windows(list: &[(i64, i64)]) -> Windows {
    Windows::new(list.iter().map(|(start, stop)| window(*start, *stop)).collect()).unwrap()
}

fn bitmap(items: &[u32]) -> RoaringBitmap {
    items.iter().copied().collect()
}

/// Disjoint windows from gaps and lengths, often adjacent; sometimes the last one has no end.
fn any_windows() -> impl Strategy<Value = Windows> {
    (-20..60_i64, vec((0..6_i64, 1..8_i64), 0..6), any::<bool>()).prop_map(|(first, lengths, open_ended)| {
        let mut at = first;
        let mut list: Vec<Window> = lengths
            .into_iter()
            .map(|(gap, length)| {
                let start = at + gap;
                at = start + length;
                window(start, at)
            })
            .collect();
        if let Some(last) = list.last_mut().filter(|_| open_ended) {
            last.stop = None;
        }
        Windows::new(list).unwrap()
    })
}

/// Mostly few close ids, so that changes hit existing items, and some distant ids, so that bitmaps have several
/// containers.
fn any_item() -> impl Strategy<Value = ItemId> {
    prop_oneof![4 => 0..40_u32, 1 => 65_530..65_545_u32, 1 => Just(u32::MAX)].prop_map(ItemId)
}

fn any_change() -> impl Strategy<Value = (ItemId, Option<Windows>)> {
    (any_item(), prop_oneof![3 => any_windows().prop_map(Some), 1 => Just(None)])
}

fn check(index: &AvailabilityIndex, naive: &Naive, pairs: &[(i64, i64)]) -> Result<(), TestCaseError> {
    for now in (-25..110).map(Millis) {
        let open = naive_open(naive, now);
        prop_assert_eq!(&index.open_at(now), &open);
        prop_assert_eq!(index.next_edge_after(now), naive_next_edge(naive, now));
    }
    for (item, windows) in naive {
        prop_assert_eq!(index.windows(*item), Some(windows));
        for now in [-30, 0, 10, 35, 200].map(Millis) {
            prop_assert_eq!(index.is_open(*item, now), windows.is_open(now));
            prop_assert_eq!(
                index.windows(*item).and_then(|windows| windows.at(now)).copied(),
                windows.at(now).copied()
            );
        }
    }
    for (t1, t2) in pairs {
        let (first, second) = (naive_open(naive, Millis(*t1)), naive_open(naive, Millis(*t2)));
        let expected = Changes { opened: &second - &first, closed: &first - &second };
        prop_assert_eq!(index.changes(Millis(*t1), Millis(*t2)), expected, "from {} to {}", t1, t2);
    }
    Ok(())
}

/// Pseudo-random numbers below a bound.
fn drawing(seed: u64) -> impl FnMut(i64) -> i64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64 % below
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After enough changes for many layers to appear and merge, the index agrees with the windows. A clone from before
    /// the changes keeps its answers.
    #[test]
    fn the_index_agrees_with_the_windows(
        initial in vec((any_item(), any_windows()), 0..60),
        changes in vec(any_change(), 0..400),
        pairs in vec((-25..110_i64, -25..110_i64), 10),
    ) {
        let mut naive: Naive = initial.iter().cloned().collect();
        let before = naive.clone();
        let mut index = AvailabilityIndex::build(initial.into_iter());
        let clone = index.clone();
        check(&index, &naive, &pairs)?;
        for (item, windows) in changes {
            index.set(item, windows.as_ref());
            match windows {
                Some(windows) => naive.insert(item, windows),
                None => naive.remove(&item),
            };
        }
        check(&index, &naive, &pairs)?;
        check(&clone, &before, &pairs)?;
    }

    /// With enough edges for many segments, the answers are right before, at and after every edge.
    #[test]
    fn stretches_change_no_answer(seed in any::<u64>(), steps in 1..400_i64, count in 1_000..4_000_u32) {
        let mut draw = drawing(seed);
        let naive: Naive = (0..count)
            .map(|item| {
                let first = draw(steps);
                let second = first + 2 + draw(5);
                (ItemId(item * 37), windows(&[(first, first + 1 + draw(2)), (second, second + 1 + draw(9))]))
            })
            .collect();
        let index = AvailabilityIndex::build(naive.clone().into_iter());
        for _ in 0..40 {
            let (t1, t2) = (Millis(draw(steps + 20) - 2), Millis(draw(steps + 20) - 2));
            let (first, second) = (naive_open(&naive, t1), naive_open(&naive, t2));
            prop_assert_eq!(&index.open_at(t1), &first);
            let expected = Changes { opened: &second - &first, closed: &first - &second };
            prop_assert_eq!(index.changes(t1, t2), expected);
        }
    }

    /// The open set agrees with the windows whether few or many items of a container are open, or alternately more and
    /// fewer. It equals a set that was built item by item.
    #[test]
    fn crowded_containers_are_right_too(
        seed in any::<u64>(),
        steps in prop_oneof![Just(2..5_i64), Just(20..60)].prop_flat_map(|steps| steps),
        count in 3_000..9_000_u32,
        longest in 1..60_i64,
    ) {
        let mut draw = drawing(seed);
        let naive: Naive = (0..count)
            .map(|item| {
                let first = draw(steps);
                let second = first + 1 + draw(longest) + draw(3);
                let stop = (draw(9) > 0).then(|| Millis(second + 1 + draw(longest)));
                let list = vec![window(first, second.min(first + 1 + draw(longest))), Window { start: Millis(second), stop }];
                (ItemId(62_000 + item), Windows::new(list).unwrap())
            })
            .collect();
        let index = AvailabilityIndex::build(naive.clone().into_iter());
        for now in (-1..steps + 3 * longest + 3).step_by(1 + (steps / 20) as usize).map(Millis) {
            prop_assert_eq!(index.open_at(now), naive_open(&naive, now), "at {}", now.0);
        }
    }

    /// The weights of layers shrink by a factor, so their number stays small after any number of changes.
    #[test]
    fn layers_stay_few(items in vec(0..10_000_u32, 0..3_000)) {
        let mut index = AvailabilityIndex::default();
        for item in items {
            index.set(ItemId(item), Some(&windows(&[(0, i64::from(item) + 1)])));
        }
        prop_assert!(index.recent.len() < RECENT_MAX);
        for pair in index.layers.windows(2) {
            prop_assert!(pair[0].weight >= LAYER_RATIO * pair[1].weight);
        }
    }
}

#[test]
fn an_edge_belongs_to_its_own_instant() {
    let open_end = Windows::new(vec![Window { start: Millis(300), stop: None }]).unwrap();
    let index = AvailabilityIndex::build(
        [
            (ItemId(0), Windows::default()),
            (ItemId(1), windows(&[(100, 200)])),
            (ItemId(2), windows(&[(150, 200), (200, 250)])),
            (ItemId(3), open_end),
        ]
        .into_iter(),
    );
    for (name, now, open, next) in [
        ("long before", i64::MIN, &[0][..], Some(100)),
        ("just before", 99, &[0], Some(100)),
        ("opening instant", 100, &[0, 1], Some(150)),
        ("last instant before the next edge", 149, &[0, 1], Some(150)),
        ("two open", 150, &[0, 1, 2], Some(200)),
        ("closing instant; where windows touch nothing happens", 200, &[0, 2], Some(250)),
        ("last close", 250, &[0], Some(300)),
        ("open end", 300, &[0, 3], None),
        ("long after", i64::MAX, &[0, 3], None),
    ] {
        assert_eq!(index.open_at(Millis(now)), bitmap(open), "{name}");
        assert_eq!(index.next_edge_after(Millis(now)), next.map(Millis), "{name}");
    }
    for (name, t1, t2, opened, closed) in [
        ("nothing", 100, 100, &[][..], &[][..]),
        ("no edge between", 100, 149, &[], &[]),
        ("one opens", 99, 100, &[1], &[]),
        ("one closes, the touching one stays", 199, 200, &[], &[1]),
        ("opened and closed in between is no change", 0, 260, &[], &[]),
        ("one each", 100, 200, &[2], &[1]),
        ("backwards", 200, 100, &[1], &[2]),
        ("all of time", i64::MIN, i64::MAX, &[3], &[]),
    ] {
        let expected = Changes { opened: bitmap(opened), closed: bitmap(closed) };
        assert_eq!(index.changes(Millis(t1), Millis(t2)), expected, "{name}");
        assert_eq!(expected.is_empty(), opened.is_empty() && closed.is_empty(), "{name}");
    }
    let window_at = |item| index.windows(item).and_then(|windows| windows.at(Millis(200))).copied();
    assert_eq!(window_at(ItemId(2)), Some(window(200, 250)));
    assert_eq!(window_at(ItemId(0)), None, "always open, but in no window");
}

#[test]
fn changes_count_at_once_and_only_for_their_item() {
    let base = AvailabilityIndex::build([(ItemId(1), windows(&[(100, 200)]))].into_iter());
    for (name, index, open_at_150, next_edge_after_0) in [
        ("as built", base.clone(), &[1][..], Some(100)),
        ("moved", base.with(ItemId(1), Some(&windows(&[(50, 60)]))), &[], Some(50)),
        ("removed", base.with(ItemId(1), None), &[], None),
        (
            "removed and back",
            base.with(ItemId(1), None).with(ItemId(1), Some(&windows(&[(120, 160)]))),
            &[1],
            Some(120),
        ),
        ("always", base.with(ItemId(1), Some(&Windows::default())), &[1], None),
        ("a new one", base.with(ItemId(7), Some(&windows(&[(150, 151)]))), &[1, 7], Some(100)),
        ("an unknown one removed", base.with(ItemId(9), None), &[1], Some(100)),
        ("nothing known", AvailabilityIndex::default(), &[], None),
    ] {
        assert_eq!(index.open_at(Millis(150)), bitmap(open_at_150), "{name}");
        assert_eq!(index.next_edge_after(Millis(0)), next_edge_after_0.map(Millis), "{name}");
    }
}

#[test]
fn of_an_item_named_twice_the_last_counts() {
    let index = AvailabilityIndex::build(
        [(ItemId(1), windows(&[(0, 10)])), (ItemId(2), windows(&[(0, 10)])), (ItemId(1), windows(&[(20, 30)]))]
            .into_iter(),
    );
    assert_eq!(index.open_at(Millis(5)), bitmap(&[2]));
    assert_eq!(index.open_at(Millis(25)), bitmap(&[1]));
}

#[test]
fn removing_everything_leaves_nothing_behind() {
    let mut index = AvailabilityIndex::default();
    for item in 0..1_000 {
        index.set(ItemId(item), Some(&windows(&[(0, 10)])));
    }
    for item in 0..1_000 {
        index.set(ItemId(item), None);
    }
    assert!(index.open_at(Millis(5)).is_empty());
    assert_eq!(index.next_edge_after(Millis(-1)), None);
}
