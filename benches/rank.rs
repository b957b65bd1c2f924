//! Benchmark of one feed: candidates, scores and selection over the whole open catalogue, next to a bare scan in
//! ndarray. Also a log of places that are always open: scores of all items, and recomputing popularity.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark ends by a panic, prints its figures and has no callers"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use eddyline::domain::feeds::Ranking;
use eddyline::domain::ids::{ItemId, Key, Position, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::time::Millis;
use eddyline::engine::coordinator::CoordinatorEvent;
use eddyline::engine::rank::RankRequest;
use eddyline::engine::user::{UserEvent, UserState};
use ndarray::{Array1, Array2};

#[path = "support/catalogue.rs"]
mod catalogue;
#[path = "../tests/support/little_tower.rs"]
mod little_tower;

fn rank(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rank, dim 384, best 30");
    for items in [1_000_u32, 10_000, 100_000] {
        let coordinator = catalogue::coordinator(items);
        let world = coordinator.world();
        let now = Millis(1_000_000);
        let mut person = UserState::new(UserId(0));
        for turn in 0..200_u32 {
            let id = Key::new(&format!("event-{turn}")).unwrap();
            let kind = if turn.is_multiple_of(3) { Kind::Like } else { Kind::Skip };
            let item = ItemId(turn * 7 % items);
            let interaction = Interaction { id, item, kind, dwell_ms: None, at: now, shown: None, passed: Vec::new() };
            person.apply(UserEvent::Interacted(interaction), world, now);
        }
        for ranking in Ranking::ALL {
            let ask = RankRequest { ranking, limit: 30, explain: false };
            let name = BenchmarkId::new(format!("ranking {}", ranking.name()), items);
            group.bench_function(name, |bencher| bencher.iter(|| black_box(person.rank(world, now, ask))));
        }
        // With vectors of a two-tower model: one more dot product per item.
        let with_a_tower = world.with_tower(Some(Arc::new(world.tower_by(Arc::new(little_tower::Little::new(1))))));
        person.look(&with_a_tower, now);
        for ranking in [Ranking::Model, Ranking::Tower] {
            let ask = RankRequest { ranking, limit: 30, explain: false };
            let name = BenchmarkId::new(format!("ranking {}, with a two-tower model", ranking.name()), items);
            group.bench_function(name, |bencher| bencher.iter(|| black_box(person.rank(&with_a_tower, now, ask))));
        }
        // Baseline: only the dot products, as a matrix-vector product.
        let matrix = Array2::from_shape_fn((items as usize, catalogue::DIM), |(row, column)| {
            world.item(ItemId(row as u32)).unwrap().embedding[column]
        });
        let weights = Array1::from_iter(person.online().weights().unwrap().iter().copied());
        group.bench_function(BenchmarkId::new("baseline: ndarray dot alone", items), |bencher| {
            bencher.iter(|| black_box(matrix.dot(&weights)));
        });
    }
    group.finish();
}

fn places(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("places always open, a person with 40 visits");
    for items in [10_000_u32, 40_000] {
        let (mut coordinator, person, entry, now) = catalogue::places(items);
        let (all, mut scores): (Vec<ItemId>, _) = ((0..items).map(ItemId).collect(), Vec::new());
        group.bench_function(BenchmarkId::new("scores of all", items), |bencher| {
            bencher.iter(|| {
                person.score_items(coordinator.world(), &all, now, &mut scores);
                black_box(&scores);
            });
        });
        let ask = RankRequest { ranking: Ranking::Model, limit: 30, explain: false };
        group.bench_function(BenchmarkId::new("the best 30", items), |bencher| {
            bencher.iter(|| black_box(person.rank(coordinator.world(), now, ask)));
        });
        // One entry, and a world with the popularity recomputed.
        let mut now = now;
        group.bench_function(BenchmarkId::new("an entry, counted afresh", items), |bencher| {
            bencher.iter(|| {
                now = now.plus(60_000);
                coordinator.fold(Position(coordinator.covers().0 + 1), &entry);
                black_box(coordinator.apply(CoordinatorEvent::Tick, now));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rank, places);
criterion_main!(benches);
