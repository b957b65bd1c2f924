//! Simulated tables follow their law, and bounds rise with the data that an oracle knows.

use std::collections::BTreeMap;

use super::bounds::{Bounds, Truth};
use super::*;
use crate::domain::time::{DAY_MS, Millis, SECOND_MS};
use crate::engine::metrics::progressive::roc_auc;

const START: Millis = Millis(1_767_571_200_000);
const SIZE: TablesSize = TablesSize { people: 600, posts: 400, views: 45_000, days: 14 };

fn rows(size: TablesSize, seed: u64) -> Vec<SimulatedRow> {
    Tables::new(size, seed, START).unwrap().collect()
}

fn truth(size: TablesSize, seed: u64) -> Truth {
    let mut tables = Tables::new(size, seed, START).unwrap();
    let mut bounds = Bounds::new(&tables);
    while let Some(row) = tables.next() {
        bounds.note(&tables, &row);
    }
    bounds.truth()
}

#[test]
fn a_seed_is_a_set_of_tables() {
    let small = TablesSize { people: 30, posts: 20, views: 500, days: 2 };
    let texts = |seed| -> Vec<String> {
        Tables::new(small, seed, START).unwrap().posts().iter().map(|post| post.text.clone()).collect()
    };
    assert_eq!(rows(small, 1), rows(small, 1));
    assert_eq!(texts(1), texts(1));
    assert_ne!(rows(small, 1), rows(small, 2));
    assert_ne!(texts(1), texts(2));
    assert_eq!(truth(small, 1), truth(small, 1));
}

#[test]
fn rows_come_in_order_and_every_like_follows_its_view() {
    let tables = Tables::new(SIZE, 3, START).unwrap();
    let published: Vec<Millis> = tables.posts().iter().map(|post| post.published).collect();
    let (mut now, mut views, mut owed) = (START, 0, BTreeMap::new());
    for row in tables {
        assert!(row.at >= now && row.at.0 % SECOND_MS == 0);
        now = row.at;
        match row.act {
            Act::View { liked, .. } => {
                views += 1;
                assert!(published[row.post as usize] <= row.at, "seen before it was there");
                if liked {
                    *owed.entry((row.person, row.post)).or_insert(0) += 1;
                }
            }
            Act::Like => {
                let open = owed.get_mut(&(row.person, row.post)).expect("a like of nothing");
                *open -= 1;
                assert!(*open >= 0, "more likes than views tell of");
            }
        }
    }
    assert_eq!(views, SIZE.views);
    assert!(owed.values().all(|open| *open == 0), "every like that a view tells of is there");
    assert!(now < START.plus(i64::from(SIZE.days + 1) * DAY_MS));
    assert!(published.is_sorted() && published.last() > published.first());
}

#[test]
fn likes_come_as_often_as_the_law_says() {
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for row in rows(SIZE, 4) {
        let Act::View { liked, probability } = row.act else { continue };
        let bin = &mut bins[(probability * 10.0) as usize];
        bin.0 += probability;
        bin.1 += f64::from(u8::from(liked));
        bin.2 += probability * (1.0 - probability);
    }
    for (tenth, (expected, found, variance)) in bins.into_iter().enumerate() {
        assert!((expected - found).abs() < 4.5 * variance.sqrt(), "tenth {tenth}: {expected} expected, {found} found");
    }
}

#[test]
fn who_knows_more_can_tell_more_and_nobody_more_than_the_law() {
    let found = truth(SIZE, 5);
    let auc = found.auc;
    let [features, recent, history, others, latent] =
        [auc.features, auc.history_recent, auc.history, auc.history_and_others, auc.latent].map(Option::unwrap);
    assert!(features + 0.03 < recent, "the past is worth something: {auc:?}");
    assert!(recent < history + 0.002, "all of it is worth no less than a part: {auc:?}");
    assert!(history < others + 0.002 && others < latent, "{auc:?}");
    // The expected figures, computed from the rows directly.
    let tables = Tables::new(SIZE, 5, START).unwrap();
    let from = tables.last_fifth();
    let (mut scores, mut labels, mut likes) = (Vec::new(), Vec::new(), 0);
    for row in tables {
        let Act::View { liked, probability } = row.act else { continue };
        likes += u64::from(liked);
        if row.at >= from {
            scores.push(probability as f32);
            labels.push(liked);
        }
    }
    assert!((roc_auc(&scores, &labels).unwrap() - latent).abs() < 1e-6);
    assert_eq!((found.likes, found.views, found.test_views), (likes, SIZE.views, labels.len() as u64));
}

/// A row counts for later rows only: without the labels of the test, scores before it stay equal.
#[test]
fn bounds_see_nothing_of_the_future() {
    let all = rows(SIZE, 6);
    let tables = Tables::new(SIZE, 6, START).unwrap();
    let from = tables.last_fifth();
    let last = all.iter().rposition(|row| row.at >= from && matches!(row.act, Act::View { .. })).unwrap();
    let scores = |flip: bool| {
        let mut bounds = Bounds::new(&tables);
        for (index, row) in all.iter().enumerate() {
            let mut row = *row;
            if let Act::View { liked, .. } = &mut row.act {
                *liked ^= flip && index == last;
            }
            bounds.note(&tables, &row);
        }
        bounds.scores_of_history().to_vec()
    };
    assert_eq!(scores(false), scores(true));
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    for (name, size, start) in [
        ("nobody", TablesSize { people: 0, ..SIZE }, START),
        ("nothing", TablesSize { posts: 0, ..SIZE }, START),
        ("no time", TablesSize { days: 0, ..SIZE }, START),
        ("beyond 9999", SIZE, Millis(Millis::MAX.0 - 5)),
    ] {
        assert!(Tables::new(size, 1, start).is_err(), "{name}");
    }
    assert_eq!(rows(TablesSize { people: 1, posts: 1, views: 0, days: 1 }, 1), [], "no views at all are fine");
    let one = rows(TablesSize { people: 1, posts: 1, views: 1, days: 1 }, 1);
    assert!(matches!(one[0].act, Act::View { .. }) && one.len() <= 2);
}
