//! Benchmark of one event: the online model alone, and `UserState::apply` as a whole.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark ends by a panic, prints its figures and has no callers"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use eddyline::domain::ids::{ItemId, Key, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::journal::CentreRef;
use eddyline::domain::time::Millis;
use eddyline::engine::catalogue::centres::Centre;
use eddyline::engine::catalogue::vectors::Vectors;
use eddyline::engine::learners::person::online::{Example, OnlineModel};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::{UserEvent, UserState};

#[path = "support/catalogue.rs"]
mod catalogue;

fn learn(criterion: &mut Criterion) {
    let settings = LearnSettings::default();
    let coordinator = catalogue::coordinator(1_000);
    let world = Arc::new(coordinator.world().clone());
    let vectors: Vec<(ItemId, Vec<f32>, CentreRef)> = (0..1_000)
        .map(|item| {
            let item = world.item(ItemId(item)).unwrap();
            (item.id, world.centred(item.id).unwrap(), world.centre_of(item.main_topic()))
        })
        .collect();

    let mut group = criterion.benchmark_group("learn one event, dim 384");
    // As in `UserState`: a prediction reads the coordinates from the world, the fold computes them.
    for (name, topics) in [("one topic", 1), ("two topics in turn", 2), ("twenty topics in turn", 20)] {
        let vectors: Vec<_> = (0..1_000).filter(|item| item % 20 < topics).map(|item| &vectors[item]).collect();
        let mut model = OnlineModel::default();
        group.bench_function(format!("online model: predict and learn, {name}"), |bencher| {
            let mut turn = 0_usize;
            bencher.iter(|| {
                turn += 1;
                let (item, x, centre) = vectors[turn % vectors.len()];
                black_box(model.predict(&world.example(*item, x).unwrap(), &*world, settings.online()));
                let accepted = turn.is_multiple_of(3);
                let axes = world.centre(*centre).and_then(Centre::axes);
                model.learn(
                    &Example::new(x, *centre, axes),
                    accepted,
                    1.0,
                    Millis(turn as i64 * 1_000),
                    &*world,
                    settings.online(),
                );
            });
        });
        let stored = postcard::to_allocvec(&model).unwrap().len();
        println!("online model, {name}: {} bytes per person in memory, {stored} stored", model.memory_bytes());
    }
    group.bench_function("all of apply: observe, predict, fold, entry", |bencher| {
        let mut person = UserState::new(UserId(0));
        let mut turn = 0_u32;
        bencher.iter_batched(
            || {
                turn += 1;
                let id = Key::new(&format!("event-{turn}")).unwrap();
                let kind = if turn.is_multiple_of(3) { Kind::Like } else { Kind::Skip };
                let at = Millis(i64::from(turn) * 1_000);
                let item = ItemId(turn % 1_000);
                (
                    UserEvent::Interacted(Interaction {
                        id,
                        item,
                        kind,
                        dwell_ms: None,
                        at,
                        shown: None,
                        passed: Vec::new(),
                    }),
                    at,
                )
            },
            |(event, at)| black_box(person.apply(event, &world, at)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, learn);
criterion_main!(benches);
