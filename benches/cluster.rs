//! What it costs to find groups of people: 15 starts on the four groups of the tests, and one start alone.
//! `cargo bench --bench cluster`
//!
//! Starts are shared by as many threads as there are cores, as the commands do it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use eddyline::actors::solving::solve;
use eddyline::engine::cluster::{Kind, Problem, Settings};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Four groups of people on two metrics, two of them crossing, and 5 % of outliers anywhere around them.
fn columns(rows: usize) -> Vec<Vec<f64>> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut columns = vec![Vec::new(), Vec::new()];
    for row in 0..rows + rows / 20 {
        let mut normal = || {
            let (radius, angle): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
            (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
        };
        let (u, v) = (normal(), normal());
        let (x, y) = match row % 4 {
            _ if row >= rows => (200.0 * (random.random::<f64>() - 0.5), 200.0 * (random.random::<f64>() - 0.5)),
            0 => (20.0 + 1.41 * u, 20.0 + 0.32 * v),
            1 => (20.0 + 0.32 * u, 20.0 + 1.41 * v),
            2 => (25.0 + 1.41 * u, 25.0 - 1.06 * u + 0.94 * v),
            _ => (16.0 + 0.71 * u, 16.0 + 0.71 * v),
        };
        columns[0].push(x);
        columns[1].push(y);
    }
    columns
}

fn cluster(criterion: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut group = criterion.benchmark_group("cluster, 15 starts");
    group.sample_size(10);
    for rows in [200, 2_000, 20_000, 100_000] {
        let columns = columns(rows);
        for kind in [Kind::Gaussian, Kind::StudentT] {
            if kind == Kind::StudentT && rows > 2_000 {
                continue;
            }
            let settings = Settings { kind, ..Settings::default() };
            let problem = Problem::new(&columns, settings, None).unwrap();
            group.bench_function(BenchmarkId::new(format!("{kind:?}"), rows), |bencher| {
                bencher.iter(|| black_box(solve(&problem, threads, || {}).unwrap()));
            });
        }
    }
    group.finish();
    let problem = Problem::new(&columns(20_000), Settings::default(), None).unwrap();
    criterion.bench_function("cluster, one start, 20000 rows", |bencher| {
        bencher.iter(|| black_box(problem.start(0).unwrap()));
    });
}

criterion_group!(benches, cluster);
criterion_main!(benches);
