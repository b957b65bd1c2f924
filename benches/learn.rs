//! What one event costs: the online model alone, and all of `UserState::apply`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use eddyline::domain::ids::{ItemId, Key, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::time::Millis;
use eddyline::engine::learn::online::OnlineModel;
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::{UserEvent, UserState};

#[path = "support/catalogue.rs"]
mod catalogue;

fn learn(criterion: &mut Criterion) {
    let settings = LearnSettings::default();
    let coordinator = catalogue::coordinator(1_000);
    let world = Arc::new(coordinator.world().clone());
    let vectors: Vec<Vec<f32>> = (0..1_000).map(|item| world.centred(ItemId(item)).unwrap()).collect();

    let mut group = criterion.benchmark_group("learn one event, dim 384");
    group.bench_function("online model: predict and learn", |bencher| {
        let mut model = OnlineModel::default();
        let mut turn = 0_usize;
        bencher.iter(|| {
            turn += 1;
            let x = &vectors[turn % 1_000];
            black_box(model.predict(x, &settings));
            model.learn(x, turn.is_multiple_of(3), 1.0, Millis(turn as i64 * 1_000), &settings);
        });
    });
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
