//! Write throughput of the embedded store, on the disk of the temporary directory (`TMPDIR`).
//!
//! Invariant: every measured entry is durable when it is counted. `producers`: each waits for its own acknowledgement
//! before it sends the next entry, like users. `bulk`: one caller with big batches, like an import.
//! Deliberately absent: the actors, the engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark ends by a panic, prints its figures and has no callers"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eddyline::domain::ids::{FeedVersion, ItemId, Key, Seq, TopicId, UserId};
use eddyline::domain::interactions::{Kind, Shown, Signal};
use eddyline::domain::journal::{CentreRef, Entry, Learned, Predicted, What};
use eddyline::domain::time::Millis;
use eddyline::store::embedded::Embedded;
use eddyline::store::{Outcome, Store, Write};
use tokio::runtime::Runtime;

fn entry(user: u32, seq: u64) -> Write {
    let learned = Learned {
        item: ItemId((seq.wrapping_mul(2_654_435_761) % 100_000) as u32),
        revision: 1,
        kind: Kind::Like,
        dwell_ms: None,
        shown: Some(Shown { version: FeedVersion(seq), position: 3, propensity: 1.0 }),
        signal: Some(Signal { positive: true, weight: 1.0 }),
        topics: vec![TopicId(7), TopicId(12)],
        centre: CentreRef { topic: TopicId(7), epoch: 1 },
        features: vec![0.5; 5],
        predicted: Predicted { online: 0.1, topics: 0.2, model: 0.3, model_version: None },
        example: None,
        liked_at: None,
    };
    let id = Key::new(&format!("{:016x}", seq.wrapping_mul(0x9e37_79b9_7f4a_7c15))).unwrap();
    let at = Millis(1_700_000_000_000 + seq.cast_signed());
    Write::Entry(Entry { user: UserId(user), seq: Seq(seq), id, at, received: at, what: What::Interacted(learned) })
}

fn all_stored(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_)))
}

/// `count` entries by `producers` tasks, one at a time each, spread over `people` users.
fn produce(runtime: &Runtime, producers: u32, people: u32, count: u64) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(directory.path()).unwrap());
    let each = count.div_ceil(u64::from(producers));
    let own = people / producers;
    runtime.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..producers)
            .map(|producer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for number in 0..each {
                        let person = producer * own + (number % u64::from(own)) as u32;
                        let write = entry(person, number / u64::from(own) + 1);
                        assert!(all_stored(&store.append(vec![write]).await.unwrap()));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        start.elapsed().mul_f64(count as f64 / (each * u64::from(producers)) as f64)
    })
}

/// `count` entries by one caller in batches of `batch`, spread over 1,000 users.
fn bulk(runtime: &Runtime, batch: u64, count: u64) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let store: Box<dyn Store> = Box::new(Embedded::open(directory.path()).unwrap());
    let batches: Vec<Vec<Write>> = (0..count.div_ceil(batch))
        .map(|number| {
            (number * batch..(number + 1) * batch).map(|n| entry((n % 1_000) as u32, n / 1_000 + 1)).collect()
        })
        .collect();
    let written = batches.len() as u64 * batch;
    runtime.block_on(async {
        let start = Instant::now();
        for batch in batches {
            assert!(all_stored(&store.append(batch).await.unwrap()));
        }
        start.elapsed().mul_f64(count as f64 / written as f64)
    })
}

fn store(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("store");
    // One iteration is this many entries, so that few iterations open a store.
    const PRODUCED: u64 = 20_000;
    const BULK: u64 = 100_000;
    group.sample_size(10).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(PRODUCED));
    for (producers, people) in [(1, 64), (64, 64), (64, 6_400), (512, 51_200)] {
        let id = BenchmarkId::new("producers", format!("{producers}, people {people}"));
        let count = if producers == 1 { PRODUCED / 20 } else { PRODUCED };
        group.throughput(Throughput::Elements(count));
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|times| produce(&runtime, producers, people, times * count));
        });
    }
    group.throughput(Throughput::Elements(BULK));
    for batch in [1_000, 4_096] {
        group.bench_function(BenchmarkId::new("bulk", batch), |bencher| {
            bencher.iter_custom(|times| bulk(&runtime, batch, times * BULK));
        });
    }
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
