//! Benchmark of clustering: time, and agreement with the truth. `cargo bench --bench cluster`
//!
//! First a table with the mean loss of the adjusted Rand index against an oracle that has the true densities. It covers
//! many draws of the tests' four clusters (figures in decision 12). Then criterion: 15 starts, and one start alone.
//! Starts run in as many threads as there are cores, as in the commands.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark ends by a panic, prints its figures and has no callers"
)]

use std::f64::consts::TAU;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use eddyline::actors::fitting::fit;
use eddyline::engine::mixture::{Kind, Problem, Settings, adjusted_rand_index};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A share of all rows, and a Gaussian: mean and covariance (xx, xy, yy).
#[derive(Clone, Copy, Debug)]
struct Group {
    share: f64,
    mean: [f64; 2],
    covariance: [f64; 3],
}

/// Reference clusters; the first two cross.
const GROUPS: [Group; 4] = [
    Group { share: 0.25, mean: [20.0, 20.0], covariance: [2.0, 0.0, 0.1] },
    Group { share: 0.25, mean: [20.0, 20.0], covariance: [0.1, 0.0, 2.0] },
    Group { share: 0.25, mean: [25.0, 25.0], covariance: [2.0, -1.5, 2.0] },
    Group { share: 0.25, mean: [16.0, 16.0], covariance: [0.5, 0.0, 0.5] },
];
/// Shares of clusters of clearly unequal sizes.
const UNEVEN: [f64; 4] = [0.45, 0.25, 0.2, 0.1];

struct Rows {
    points: Vec<[f64; 2]>,
    /// True cluster of each row; `None` for an outlier.
    truth: Vec<Option<usize>>,
}

impl Rows {
    /// Draws rows of the clusters by their shares, and optionally 5 % of outliers anywhere around them.
    fn draw(groups: &[Group], rows: usize, outliers: bool, seed: u64) -> Rows {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn = Rows { points: Vec::new(), truth: Vec::new() };
        for (k, group) in groups.iter().enumerate() {
            for _ in 0..(group.share * rows as f64).round() as usize {
                let (radius, angle): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
                let length = (-2.0 * radius.ln()).sqrt();
                let (u, v) = (length * (TAU * angle).cos(), length * (TAU * angle).sin());
                let [xx, xy, yy] = group.covariance;
                let (a, b) = (xx.sqrt(), xy / xx.sqrt());
                drawn.points.push([group.mean[0] + a * u, group.mean[1] + b * u + (yy - b * b).sqrt() * v]);
                drawn.truth.push(Some(k));
            }
        }
        for _ in 0..if outliers { rows / 20 } else { 0 } {
            drawn.points.push([0, 1].map(|_| 20.0 + random.random_range(-100.0..100.0)));
            drawn.truth.push(None);
        }
        drawn
    }

    fn columns(&self) -> Vec<Vec<f64>> {
        (0..2).map(|j| self.points.iter().map(|point| point[j]).collect()).collect()
    }

    /// Agreement with the truth, without the outliers of the truth.
    fn agreement(&self, label: impl Fn(usize) -> Option<usize>) -> f64 {
        let kept = (0..self.truth.len()).filter(|row| self.truth[*row].is_some());
        let (found, truth): (Vec<_>, Vec<_>) = kept.map(|row| (label(row), self.truth[row])).unzip();
        adjusted_rand_index(&found, &truth).unwrap_or(f64::NAN)
    }

    fn likeliest(&self, groups: &[Group], row: usize) -> Option<usize> {
        let shares = groups.iter().map(|group| group.log_density(&self.points[row]));
        shares.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|best| best.0)
    }

    /// Estimates the clusters from rows with weights `weight(row, cluster)`.
    fn estimated(&self, weight: impl Fn(usize, usize) -> f64) -> Vec<Group> {
        let estimate = |k: usize| {
            let sum = |value: &dyn Fn(&[f64; 2]) -> f64| -> f64 {
                self.points.iter().enumerate().map(|(row, point)| weight(row, k) * value(point)).sum()
            };
            let count = sum(&|_| 1.0);
            let mean = [sum(&|p| p[0]) / count, sum(&|p| p[1]) / count];
            let product = |i: usize, j: usize| sum(&|p| (p[i] - mean[i]) * (p[j] - mean[j])) / count;
            let covariance = [product(0, 0), product(0, 1), product(1, 1)];
            Group { share: count / self.points.len() as f64, mean, covariance }
        };
        (0..GROUPS.len()).map(estimate).collect()
    }

    /// Maximum likelihood, by ascent from the truth; for rows without outliers only.
    fn likelihood(&self, groups: &[Group]) -> Vec<Group> {
        let mut groups = groups.to_vec();
        for _ in 0..300 {
            let shares: Vec<Vec<f64>> = self
                .points
                .iter()
                .map(|point| {
                    let densities: Vec<f64> = groups.iter().map(|group| group.log_density(point).exp()).collect();
                    densities.iter().map(|density| density / densities.iter().sum::<f64>()).collect()
                })
                .collect();
            groups = self.estimated(|row, k| shares[row][k]);
        }
        groups
    }
}

impl Group {
    /// Log-density of a row in this cluster, times its share, up to a constant.
    fn log_density(&self, point: &[f64; 2]) -> f64 {
        let [xx, xy, yy] = self.covariance;
        let (x, y) = (point[0] - self.mean[0], point[1] - self.mean[1]);
        let determinant = xx * yy - xy * xy;
        let distance = (yy * x * x - 2.0 * xy * x * y + xx * y * y) / determinant;
        self.share.ln() - 0.5 * distance - 0.5 * determinant.ln()
    }
}

/// Mean loss of agreement against the oracle, and the share of draws that lose at most the margin.
fn report(threads: usize) {
    eprintln!("loss of agreement against who knows the densities: mean, and share of draws within the margin");
    let uneven: Vec<Group> = GROUPS.iter().zip(UNEVEN).map(|(group, share)| Group { share, ..*group }).collect();
    for (name, groups, rows, draws, outliers) in [
        ("200 rows", &GROUPS[..], 200, 300, false),
        ("200 rows, 5 % outliers", &GROUPS, 200, 300, true),
        ("200 rows, shares 9:5:4:2", &uneven, 200, 300, false),
        ("800 rows", &GROUPS, 800, 200, false),
        ("800 rows, 5 % outliers", &GROUPS, 800, 200, true),
        ("2,000 rows", &GROUPS, 2_000, 100, false),
        ("2,000 rows, 5 % outliers", &GROUPS, 2_000, 100, true),
    ] {
        let margin = if outliers { 0.03 } else { 0.02 };
        let mut losses = vec![Vec::new(); 3];
        let mut four = 0;
        for draw in 0..draws {
            let drawn = Rows::draw(groups, rows, outliers, 1_000 + draw);
            let oracle = drawn.agreement(|row| drawn.likeliest(groups, row));
            let fit = fit(&Problem::new(&drawn.columns(), Settings::default(), None).unwrap(), threads, || {}).unwrap();
            four += usize::from(fit.groups.len() == GROUPS.len());
            let member = |row: usize| (!fit.members[row].outlier).then(|| fit.members[row].group as usize);
            losses[0].push(oracle - drawn.agreement(member));
            if !outliers {
                let climbed = drawn.likelihood(groups);
                losses[1].push(oracle - drawn.agreement(|row| drawn.likeliest(&climbed, row)));
            }
            let told = drawn.estimated(|row, k| f64::from(u8::from(drawn.truth[row] == Some(k))));
            losses[2].push(oracle - drawn.agreement(|row| drawn.likeliest(&told, row)));
        }
        eprintln!("{name}, {draws} draws, four groups in {four}:");
        for (who, losses) in
            ["ours", "maximum likelihood from the truth", "told the truth of each row"].iter().zip(losses)
        {
            if !losses.is_empty() {
                let count = losses.len() as f64;
                let mean = losses.iter().sum::<f64>() / count;
                let within = losses.iter().filter(|loss| **loss <= margin).count() as f64 / count;
                eprintln!("  {who:<34} {mean:>7.4} {:>5.1} %", 100.0 * within);
            }
        }
    }
}

fn cluster(criterion: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    report(threads);
    let mut group = criterion.benchmark_group("cluster, 15 starts");
    group.sample_size(10);
    for rows in [200, 2_000, 20_000, 100_000] {
        let columns = Rows::draw(&GROUPS, rows, true, 7).columns();
        for kind in [Kind::Gaussian, Kind::StudentT] {
            if kind == Kind::StudentT && rows > 2_000 {
                continue;
            }
            let settings = Settings { kind, ..Settings::default() };
            let problem = Problem::new(&columns, settings, None).unwrap();
            group.bench_function(BenchmarkId::new(format!("{kind:?}"), rows), |bencher| {
                bencher.iter(|| black_box(fit(&problem, threads, || {}).unwrap()));
            });
        }
    }
    group.finish();
    let columns = Rows::draw(&GROUPS, 20_000, true, 7).columns();
    let problem = Problem::new(&columns, Settings::default(), None).unwrap();
    criterion.bench_function("cluster, one start, 20000 rows", |bencher| {
        bencher.iter(|| black_box(problem.start(0).unwrap()));
    });
}

criterion_group!(benches, cluster);
criterion_main!(benches);
