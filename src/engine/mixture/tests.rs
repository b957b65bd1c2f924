//! Tests of the clustering on synthetic data, and on shared data sets where they exist.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Mean and covariance (xx, xy, yy) of each cluster of the reference data; the first two cross.
const GROUPS: [([f64; 2], [f64; 3]); 4] = [
    ([20.0, 20.0], [2.0, 0.0, 0.1]),
    ([20.0, 20.0], [0.1, 0.0, 2.0]),
    ([25.0, 25.0], [2.0, -1.5, 2.0]),
    ([16.0, 16.0], [0.5, 0.0, 0.5]),
];

struct Data {
    columns: Vec<Vec<f64>>,
    /// -1 is an outlier.
    truth: Vec<i64>,
}

/// Rows of the four clusters in turn, and outliers spread evenly over ±100 around them.
fn reference(rows: usize, outliers: usize, seed: u64) -> Data {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut data = Data { columns: vec![Vec::new(); 2], truth: Vec::new() };
    for row in 0..rows {
        let (mean, [xx, xy, yy]) = GROUPS[row % 4];
        let (u, v) = (normal(&mut random), normal(&mut random));
        let (a, b) = (xx.sqrt(), xy / xx.sqrt());
        data.columns[0].push(mean[0] + a * u);
        data.columns[1].push(mean[1] + b * u + (yy - b * b).sqrt() * v);
        data.truth.push(row as i64 % 4);
    }
    for _ in 0..outliers {
        for column in &mut data.columns {
            column.push(20.0 + random.random_range(-100.0..100.0));
        }
        data.truth.push(-1);
    }
    data
}

impl Data {
    /// Agreement with the truth, without the outliers of the truth.
    fn agreement(&self, labels: impl Iterator<Item = i64>) -> f64 {
        let pairs: Vec<(i64, i64)> = labels.zip(self.truth.iter().copied()).filter(|pair| pair.1 >= 0).collect();
        let (found, truth): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
        adjusted_rand_index(&found, &truth).unwrap()
    }

    fn found(&self, fit: &Fit) -> f64 {
        self.agreement(fit.members.iter().map(|member| if member.outlier { -1 } else { i64::from(member.group) }))
    }

    /// Agreement of a classifier with the true densities.
    fn oracle(&self) -> f64 {
        let likeliest = |row: usize| {
            let log_density = |k: usize| {
                let (mean, [xx, xy, yy]) = GROUPS[k];
                let (x, y) = (self.columns[0][row] - mean[0], self.columns[1][row] - mean[1]);
                let determinant = xx * yy - xy * xy;
                -0.5 * (yy * x * x - 2.0 * xy * x * y + xx * y * y) / determinant - 0.5 * determinant.ln()
            };
            (0..4).max_by(|a, b| log_density(*a).total_cmp(&log_density(*b))).unwrap() as i64
        };
        self.agreement((0..self.truth.len()).map(likeliest))
    }

    fn fit(&self, settings: Settings) -> Fit {
        Problem::new(&self.columns, settings, None).unwrap().solve().unwrap()
    }
}

/// Fewer starts than by default: tests run unoptimised.
fn few() -> Settings {
    Settings { restarts: 5, ..Settings::default() }
}

#[test]
fn four_groups_are_found_about_as_well_as_by_who_knows_them() {
    for (rows, outliers, seed, margin) in [
        // With 50 rows per cluster, not even maximum likelihood from the truth reaches the oracle each time.
        (200, 0, 11, 0.06),
        (200, 10, 12, 0.06),
        (800, 0, 13, 0.03),
        (2_000, 0, 14, 0.02),
        (2_000, 100, 15, 0.03),
    ] {
        let data = reference(rows, outliers, seed);
        let fit = data.fit(few());
        let (found, oracle) = (data.found(&fit), data.oracle());
        assert_eq!(fit.groups.len(), 4, "{rows} rows, {outliers} outliers, seed {seed}");
        assert!(found > oracle - margin, "{rows} rows, {outliers} outliers, seed {seed}: {found}, oracle {oracle}");
        let called = fit.members.iter().filter(|member| member.outlier).count();
        assert!(called.abs_diff(outliers) <= 1 + outliers / 20, "{called} outliers of {outliers}");
        let sizes: u64 = fit.groups.iter().map(|group| group.size).sum();
        assert_eq!(sizes as usize + called, rows + outliers);
        let shares: f64 = fit.groups.iter().map(|group| group.weight).sum();
        assert!((shares + fit.noise_weight - 1.0).abs() < 1e-4, "{shares} and {}", fit.noise_weight);
    }
}

/// On few rows chance decides whether the clusters of a draw are hard to separate; on the mean of some draws the loss
/// is small.
#[test]
fn few_rows_lose_little_on_the_mean() {
    for (outliers, margin) in [(0, 0.007), (10, 0.007)] {
        let losses = (0..16).map(|draw| {
            let data = reference(200, outliers, 1_600 + draw);
            data.oracle() - data.found(&data.fit(few()))
        });
        let mean = losses.sum::<f64>() / 16.0;
        assert!(mean < margin, "{outliers} outliers: {mean}");
    }
}

/// Round clusters of one width around the centers, in turn.
fn rounds(centers: &[[f64; 2]], width: f64, rows: usize, seed: u64) -> Data {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut data = Data { columns: vec![Vec::new(); 2], truth: Vec::new() };
    for row in 0..rows {
        let group = row % centers.len();
        for (column, center) in data.columns.iter_mut().zip(centers[group]) {
            column.push(center + width * normal(&mut random));
        }
        data.truth.push(group as i64);
    }
    data
}

fn ring(groups: usize) -> Vec<[f64; 2]> {
    let angle = |group: usize| std::f64::consts::TAU * group as f64 / groups as f64;
    (0..groups).map(|group| [10.0 * angle(group).cos(), 10.0 * angle(group).sin()]).collect()
}

fn grid() -> Vec<[f64; 2]> {
    (0..20).map(|group| [(group % 5) as f64 * 6.0, (group / 5) as f64 * 6.0]).collect()
}

/// More clusters than a search begins with.
#[test]
fn twelve_on_a_ring_and_twenty_on_a_grid_are_found() {
    for seed in 0..4 {
        for (name, data, groups) in
            [("ring", rounds(&ring(12), 0.5, 480, seed), 12), ("grid", rounds(&grid(), 0.7, 800, seed), 20)]
        {
            let fit = data.fit(few());
            assert_eq!((fit.groups.len(), fit.maximum_binds), (groups, false), "{name}, seed {seed}");
            assert!(data.found(&fit) > 0.99, "{name}, seed {seed}: {}", data.found(&fit));
        }
    }
}

/// A maximum binds where there are more clusters, not where there are exactly as many.
#[test]
fn a_maximum_that_binds_is_said() {
    let (twelve, four) = (rounds(&ring(12), 0.5, 480, 5), reference(800, 0, 5));
    for (data, components, groups, binds) in [(&twelve, 8, 8, true), (&twelve, 12, 12, false), (&four, 4, 4, false)] {
        let fit = data.fit(Settings { components, ..few() });
        assert_eq!((fit.groups.len(), fit.maximum_binds), (groups, binds), "at most {components}");
    }
    // Two rows are at most two clusters, under any limit.
    assert!(!Problem::new(&[vec![1.0, 9.0]], few(), None).unwrap().solve().unwrap().maximum_binds);
}

/// Two interlocked crescents are wide and close: one Gaussian explains them, two do so better.
#[test]
fn two_crescents_are_not_one_group_and_one_group_is_not_two() {
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut data = Data { columns: vec![Vec::new(); 2], truth: Vec::new() };
        for row in 0..300 {
            let (sin, cos) = (std::f64::consts::PI * random.random::<f64>()).sin_cos();
            let [x, y] = if row % 2 == 0 { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
            data.columns[0].push(x + 0.25 * normal(&mut random));
            data.columns[1].push(y + 0.25 * normal(&mut random));
            data.truth.push(row % 2);
        }
        let fit = data.fit(few());
        assert!(fit.groups.len() >= 2 && data.found(&fit) > 0.3, "seed {seed}: {}", data.found(&fit));
        for rows in [100, 300, 1_000] {
            assert_eq!(rounds(&[[3.0, 4.0]], 2.0, rows, seed).fit(few()).groups.len(), 1, "{rows} rows, seed {seed}");
        }
    }
}

/// Of fifteen overlapping clusters nearly all are separated.
#[test]
fn fifteen_groups_that_overlap_are_told_apart() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut centers: Vec<[f64; 2]> = Vec::new();
    while centers.len() < 15 {
        let new = [random.random_range(0.0..8.0), random.random_range(0.0..8.0)];
        let far = |other: &[f64; 2]| (other[0] - new[0]).hypot(other[1] - new[1]) > 1.5;
        if centers.iter().all(far) {
            centers.push(new);
        }
    }
    let data = rounds(&centers, 0.5, 5_000, 7);
    let nearest = |row: usize| {
        let away = |center: &[f64; 2]| (center[0] - data.columns[0][row]).hypot(center[1] - data.columns[1][row]);
        (0..15).min_by(|a, b| away(&centers[*a]).total_cmp(&away(&centers[*b]))).unwrap_or(0) as i64
    };
    let oracle = data.agreement((0..5_000).map(nearest));
    let fit = data.fit(Settings { restarts: 2, ..Settings::default() });
    assert!((13..=15).contains(&fit.groups.len()), "{}", fit.groups.len());
    assert!(data.found(&fit) > oracle - 0.06, "{} of {oracle}", data.found(&fit));
}

/// If covariances were updated before means, every start would end with one component.
#[test]
fn no_start_collapses() {
    for (rows, restarts) in [(2_000, 15), (10_000, 5)] {
        let data = reference(rows, 0, 21);
        let settings = Settings { restarts, ..Settings::default() };
        let problem = Problem::new(&data.columns, settings, None).unwrap();
        let starts: Vec<Start> = (0..problem.starts()).map(|index| problem.start(index).unwrap()).collect();
        let found: Vec<usize> = starts.iter().map(Start::components).collect();
        assert!(found.iter().all(|count| (3..=6).contains(count)), "{rows} rows: {found:?}");
        assert!(found.iter().filter(|count| **count == 4).count() > found.len() / 2, "{rows} rows: {found:?}");
    }
}

#[test]
fn means_and_covariances_come_back_in_the_units_of_the_columns() {
    let mut data = reference(2_000, 0, 31);
    data.columns[1].iter_mut().for_each(|value| *value = 1e6 * *value - 7.0);
    let fit = data.fit(few());
    for (mean, [_, xy, yy]) in &GROUPS[2..] {
        let (x, y) = (mean[0], 1e6 * mean[1] - 7.0);
        let group = fit.groups.iter().min_by(|a, b| (a.mean[0] - x).abs().total_cmp(&(b.mean[0] - x).abs())).unwrap();
        assert!((group.mean[0] - x).abs() < 0.3 && (group.mean[1] - y).abs() < 3e5, "{:?}", group.mean);
        assert!((group.covariance[0][1] / 1e6 - xy).abs() < 0.4, "{:?}", group.covariance);
        assert!((group.covariance[1][1] / 1e12 - yy).abs() < 0.6, "{:?}", group.covariance);
        assert_eq!(group.covariance[0][1], group.covariance[1][0]);
    }
}

#[test]
fn students_t_finds_them_too_and_says_how_heavy_the_tails_are() {
    let mut data = reference(800, 0, 41);
    let settings = Settings { kind: Kind::StudentT, restarts: 3, ..Settings::default() };
    let fit = data.fit(settings);
    assert!(data.found(&fit) > data.oracle() - 0.06, "{} against {}", data.found(&fit), data.oracle());
    assert!(fit.groups.iter().all(|group| group.freedom.is_some_and(|freedom| freedom > 10.0)), "{:?}", fit.groups);
    // One cluster, Student's t with 3 degrees of freedom: a normal over the root of a chi-squared over its degrees.
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let mut heavy = || {
        let squares: f64 = (0..3).map(|_| normal(&mut random).powi(2)).sum();
        normal(&mut random) / (squares / 3.0).sqrt()
    };
    data.columns = vec![(0..2_000).map(|_| heavy()).collect()];
    let fit = data.fit(settings);
    let freedom = fit.groups[0].freedom.unwrap();
    assert!(fit.groups.len() == 1 && (2.0..5.0).contains(&freedom), "{:?}", fit.groups);
}

#[test]
fn the_fit_does_not_depend_on_who_computed_what_when() {
    let data = reference(800, 40, 51);
    let problem = Problem::new(&data.columns, Settings::default(), None).unwrap();
    let expected = problem.solve().unwrap();
    let mut starts: Vec<(usize, Result<Start, Unsound>)> = std::thread::scope(|scope| {
        let problem = &problem;
        let work: Vec<_> =
            (0..problem.starts()).rev().map(|index| scope.spawn(move || (index, problem.start(index)))).collect();
        work.into_iter().map(|work| work.join().unwrap()).collect()
    });
    starts.sort_by_key(|start| start.0);
    assert_eq!(problem.finish(starts.into_iter().map(|start| start.1).collect()).unwrap(), expected);
}

#[test]
fn a_refit_of_unchanged_rows_moves_nobody() {
    for kind in [Kind::Gaussian, Kind::StudentT] {
        for (rows, outliers, rows_max) in [(200, 10, 100_000), (800, 0, 100_000), (3_000, 100, 800)] {
            let data = reference(rows, outliers, 61);
            let settings = Settings { kind, restarts: 3, rows_max, ..Settings::default() };
            let first = data.fit(settings);
            // The state survives a serialisation round trip.
            let state: State = postcard::from_bytes(&postcard::to_stdvec(&first.state).unwrap()).unwrap();
            let previous = Previous { state, group_of_row: first.group_of_row() };
            let again = Problem::new(&data.columns, settings, Some(previous)).unwrap();
            assert_eq!(again.starts(), 4);
            let again = again.solve().unwrap();
            assert_eq!(again.members, first.members, "{kind:?}, {rows} rows");
            assert_eq!(again.state, first.state, "{kind:?}, {rows} rows");
        }
    }
}

/// With 5 % new users, few of the others move, only near borders, and numbers stay.
#[test]
fn new_people_of_the_same_kind_move_hardly_anybody() {
    let all = reference(2_100, 0, 71);
    let before = Data {
        columns: all.columns.iter().map(|column| column[..2_000].to_vec()).collect(),
        truth: all.truth[..2_000].to_vec(),
    };
    let first = before.fit(few());
    let mut group_of_row = first.group_of_row();
    group_of_row.resize(2_100, None);
    let previous = Previous { state: first.state.clone(), group_of_row };
    let second = Problem::new(&all.columns, few(), Some(previous)).unwrap().solve().unwrap();
    assert_eq!(second.state.ids(), first.state.ids());
    let moved = first.members.iter().zip(&second.members).filter(|(a, b)| a.group != b.group).count();
    assert!(moved <= 40, "{moved} of 2,000 moved");
}

/// When clusters appear and disappear, the others keep their numbers, and no number is reused.
#[test]
fn a_number_is_never_used_for_another_group() {
    let mut random = ChaCha8Rng::seed_from_u64(81);
    let mut fitted: Option<(Fit, Vec<usize>)> = None;
    let mut number_of_place = std::collections::BTreeMap::<usize, u32>::new();
    let mut used = std::collections::BTreeSet::new();
    for places in [&[0, 1, 2][..], &[0, 1], &[0, 1, 3], &[1, 3, 4], &[0, 1, 3, 4]] {
        // Users of one place have fixed ids from fit to fit: 60 of them each.
        let people: Vec<usize> = places.iter().flat_map(|place| place * 60..place * 60 + 60).collect();
        let column: Vec<f64> = people.iter().map(|person| (person / 60) as f64 * 30.0 + normal(&mut random)).collect();
        let previous = fitted.take().map(|(fit, before): (Fit, Vec<usize>)| Previous {
            group_of_row: people
                .iter()
                .map(|person| before.binary_search(person).ok().map(|row| fit.members[row].group))
                .collect(),
            state: fit.state,
        });
        let fit = Problem::new(&[column], Settings::default(), previous).unwrap().solve().unwrap();
        assert_eq!(fit.groups.len(), places.len());
        number_of_place.retain(|place, _| places.contains(place));
        for place in places {
            let row = people.iter().position(|person| person / 60 == *place).unwrap();
            let number = fit.members[row].group;
            let known = number_of_place.get(place);
            assert!(known.is_none_or(|known| *known == number), "place {place} was {known:?} and is {number}");
            if known.is_none() {
                assert!(used.insert(number), "{number} was used before");
                number_of_place.insert(*place, number);
            }
        }
        fitted = Some((fit, people));
    }
}

#[test]
fn a_new_row_is_placed_as_the_fit_would() {
    let data = reference(800, 40, 91);
    let fit = data.fit(few());
    for row in 0..data.truth.len() {
        let placed = fit.state.place(&[data.columns[0][row], data.columns[1][row]]).unwrap();
        let member = fit.members[row];
        assert_eq!((placed.group, placed.outlier), (member.group, member.outlier));
        assert!((placed.probability - member.probability).abs() < 1e-12);
    }
    assert_eq!(fit.state.place(&[1.0]), None);
    assert_eq!(fit.state.place(&[1.0, f64::NAN]), None);
    // A row far outside of all clusters belongs to the nearest one, and is an outlier.
    let far = fit.state.place(&[1e300, -1e300]).unwrap();
    assert!(far.outlier && far.outlier_weight > 0.99 && far.probability > 0.0, "{far:?}");
}

#[test]
fn a_sample_is_fitted_and_everybody_is_placed() {
    let data = reference(6_000, 300, 101);
    let fit = data.fit(Settings { rows_max: 1_500, ..few() });
    assert_eq!((fit.rows_fitted, fit.members.len(), fit.groups.len()), (1_500, 6_300, 4));
    assert!(data.found(&fit) > data.oracle() - 0.03);
}

/// Degenerate rows: how many clusters they may give, and all values are finite.
#[test]
fn strange_rows_give_sane_groups() {
    let mut random = ChaCha8Rng::seed_from_u64(111);
    let mut draw = |rows: usize| -> Vec<f64> { (0..rows).map(|_| normal(&mut random)).collect() };
    let (x, y) = (draw(400), draw(400));
    let mut far = x.clone();
    (far[0], far[1]) = (1.7e308, -1.7e308);
    let twenty: Vec<Vec<f64>> = (0..20).map(|_| draw(400)).collect();
    for (name, columns, groups) in [
        ("one row", vec![vec![3.0], vec![4.0]], 1..=1),
        ("two rows", vec![vec![3.0, 5.0]], 1..=2),
        ("fewer rows than components, more columns", vec![draw(5), draw(5), draw(5), draw(5), draw(5), draw(5)], 1..=5),
        ("all the same", vec![vec![3.0; 50], vec![0.0; 50]], 1..=1),
        ("one column, one group", vec![x.clone()], 1..=1),
        ("a constant column", vec![x.clone(), vec![7.0; 400]], 1..=1),
        ("the same column twice", vec![x.clone(), x.clone()], 1..=1),
        ("two values", vec![(0..400).map(|row| f64::from(row % 2)).collect()], 2..=2),
        ("nearly all zero", vec![(0..400).map(|row| if row % 40 == 0 { 50.0 + x[row] } else { 0.0 }).collect()], 2..=2),
        ("at the ends of the numbers", vec![far, y.clone()], 1..=1),
        ("tiny", vec![x.iter().map(|x| x * 1e-290).collect(), y.iter().map(|y| y * 1e-290).collect()], 1..=1),
        ("all rows twenty times", vec![x[..20].repeat(20), y[..20].repeat(20)], 1..=20),
        ("twenty columns", twenty, 1..=1),
    ] {
        for kind in [Kind::Gaussian, Kind::StudentT] {
            let settings = Settings { kind, restarts: 3, ..Settings::default() };
            let fit = Problem::new(&columns, settings, None).unwrap().solve().unwrap();
            assert!(groups.contains(&fit.groups.len()), "{name}, {kind:?}: {} groups", fit.groups.len());
            assert_eq!(fit.members.len(), columns[0].len(), "{name}");
            for group in &fit.groups {
                assert!(group.mean.iter().chain(group.covariance.iter().flatten()).all(|v| v.is_finite()), "{name}");
            }
            assert!(fit.members.iter().all(|member| (0.0..=1.0 + 1e-9).contains(&member.probability)), "{name}");
        }
    }
}

/// Each setting of scaling, noise and priors on one set of rows with 40 outliers: the clear clusters are found under all.
#[test]
fn scaling_noise_and_priors_change_what_they_name() {
    let data = reference(800, 40, 17);
    let prior = |prior: PriorSettings| Settings { prior, ..few() };
    let default = PriorSettings::default();
    let fits = [
        ("defaults", few()),
        ("standard", Settings { scaling: Scaling::Standard, ..few() }),
        ("none", Settings { scaling: Scaling::None, ..few() }),
        ("concentration", prior(PriorSettings { concentration: Some(1.0), ..default })),
        ("noise_share", prior(PriorSettings { noise_share: Some(0.05), ..default })),
        ("mean and freedom", prior(PriorSettings { mean_strength: 0.1, freedom: 2.0, deviation: 0.2, ..default })),
    ]
    .map(|(name, settings)| (name, data.fit(settings)));
    for (name, fit) in &fits {
        assert_eq!(fit.groups.len(), 4, "{name}");
        assert!(data.found(fit) > data.oracle() - 0.05, "{name}: {}", data.found(fit));
        assert!(fit.noise_weight > 0.02, "{name}: {}", fit.noise_weight);
        // The state stays exact in its bytes, and assigns rows as the fit did.
        let state = State::from_bytes(&fit.state.to_bytes().unwrap()).unwrap();
        assert_eq!(state, fit.state, "{name}");
        let row: Vec<f64> = data.columns.iter().map(|column| column[3]).collect();
        let (placed, own) = (state.place(&row).unwrap(), fit.members[3]);
        assert_eq!(placed.group, own.group, "{name}");
        assert!((placed.probability - own.probability).abs() < 1e-9, "{name}");
    }
    assert_eq!(fits[0].1, data.fit(Settings { scaling: Scaling::Robust, noise: true, prior: default, ..few() }));
    let quiet = data.fit(Settings { noise: false, ..few() });
    assert_eq!(quiet.noise_weight, 0.0);
    assert!(quiet.members.iter().all(|member| !member.outlier), "Gaussians without noise have no outliers");
}

/// A strong prior of the noise's share pulls the share towards it.
#[test]
fn the_noise_follows_its_prior() {
    let data = reference(200, 10, 12);
    let noise = |share| {
        let prior = PriorSettings { noise_share: Some(share), ..PriorSettings::default() };
        data.fit(Settings { prior, ..few() }).state
    };
    let share = |state: &State, row: [f64; 2]| state.place(&row).unwrap().outlier_weight;
    let edge = [data.columns[0][0] + 1.5, data.columns[1][0] + 1.5];
    assert!(share(&noise(0.3), edge) > share(&noise(0.001), edge));
}

/// A fit of other columns begins without clusters, and never uses a number again.
#[test]
fn numbers_of_other_columns_are_not_used_again() {
    let data = reference(200, 0, 11);
    let first = data.fit(few());
    let last = first.groups.iter().map(|group| group.id).max().unwrap();
    let previous = Previous { state: first.state.without_clusters(), group_of_row: vec![None; 200] };
    let second = Problem::new(&data.columns, few(), Some(previous)).unwrap().solve().unwrap();
    assert!(second.groups.iter().all(|group| group.id > last), "{:?}", second.groups);
    assert_eq!(second.groups.len(), first.groups.len());
}

#[test]
fn what_cannot_be_grouped_is_named() {
    let fine = Settings::default();
    for (columns, settings, expected) in [
        (vec![], fine, "there are no columns"),
        (vec![vec![]], fine, "there are no rows"),
        (vec![vec![1.0, 2.0], vec![1.0]], fine, "column 1 has 1 rows where the first has 2"),
        (vec![vec![1.0, f64::NAN]], fine, "row 1, column 0: NaN is not a finite number"),
        (vec![vec![1.0], vec![f64::INFINITY]], fine, "row 0, column 1: inf is not a finite number"),
        (vec![vec![1.0]; 65], fine, "65 columns are more than 64"),
        (vec![vec![1.0]], Settings { components: 0, ..fine }, "components: 0 is not in 1..=100"),
        (vec![vec![1.0]], Settings { restarts: 0, ..fine }, "restarts: 0 is not in"),
        (vec![vec![1.0]], Settings { rows_max: 5, ..fine }, "rows_max: 5 is not in"),
    ] {
        let error = Problem::new(&columns, settings, None).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for (prior, expected) in [
        (PriorSettings { concentration: Some(0.0), ..PriorSettings::default() }, "prior.concentration"),
        (PriorSettings { noise_share: Some(0.5), ..PriorSettings::default() }, "prior.noise_share"),
        (PriorSettings { mean_strength: f64::NAN, ..PriorSettings::default() }, "prior.mean_strength"),
        (PriorSettings { freedom: -1.0, ..PriorSettings::default() }, "prior.freedom"),
        (PriorSettings { deviation: 0.0, ..PriorSettings::default() }, "prior.deviation"),
    ] {
        let error = Problem::new(&[vec![1.0]], Settings { prior, ..fine }, None).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let fit = Problem::new(&[vec![1.0, 2.0]], fine, None).unwrap().solve().unwrap();
    let previous = Previous { state: fit.state, group_of_row: vec![None] };
    let error = Problem::new(&[vec![1.0, 2.0]], fine, Some(previous)).unwrap_err();
    assert_eq!(error, ProblemError::Previous { found: 1, expected: 2 });
}

// ---- on the shared data ----

/// Named columns of a shared data file; prints a note and returns `None` where the file is absent.
fn shared(file: &str, columns: &[&str]) -> Option<Vec<Vec<String>>> {
    let folder = std::env::var("EDDYLINE_DATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").into());
    let path = std::path::Path::new(&folder).join("groups").join(file);
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: no data: {}", path.display());
        return None;
    };
    let mut text = String::new();
    if file.ends_with(".gz") {
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let places: Vec<usize> = columns.iter().map(|name| header.iter().position(|h| h == name).unwrap()).collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    Some(places.iter().map(|place| rows.iter().map(|row| row[*place].to_owned()).collect()).collect())
}

fn numbers(column: &[String]) -> Vec<f64> {
    column.iter().map(|cell| cell.parse().unwrap()).collect()
}

#[test]
fn the_shared_groups_are_found() {
    for (file, margin) in [
        ("users_800_clean.csv", 0.02),
        ("users_800_gross.csv", 0.03),
        ("users_2000_clean.csv.gz", 0.02),
        ("users_2000_gross.csv.gz", 0.03),
        ("users_200_clean.csv", 0.03),
        ("users_200_gross.csv", 0.03),
    ] {
        let Some(columns) = shared(file, &["avg_time_pages", "avg_time_pages_a", "cluster"]) else { return };
        let truth = numbers(&columns[2]).into_iter().map(|value| value as i64).collect();
        let data = Data { columns: vec![numbers(&columns[0]), numbers(&columns[1])], truth };
        let fit = data.fit(few());
        assert_eq!(fit.groups.len(), 4, "{file}");
        assert!(data.found(&fit) > data.oracle() - margin, "{file}: {} of {}", data.found(&fit), data.oracle());
    }
}

#[test]
fn the_classics_are_found() {
    if let Some(columns) = shared("faithful.csv", &["eruptions", "waiting"]) {
        let columns: Vec<Vec<f64>> = columns.iter().map(|column| numbers(column)).collect();
        let fit = Problem::new(&columns, Settings::default(), None).unwrap().solve().unwrap();
        assert_eq!(fit.groups.len(), 2, "short and long eruptions");
    }
    let names = ["Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width", "Species"];
    if let Some(columns) = shared("iris.csv", &names) {
        let values: Vec<Vec<f64>> = columns[..4].iter().map(|column| numbers(column)).collect();
        let fit = Problem::new(&values, Settings::default(), None).unwrap().solve().unwrap();
        let found: Vec<u32> = fit.members.iter().map(|member| member.group).collect();
        assert!(fit.groups.len() >= 2 && adjusted_rand_index(&found, &columns[4]).unwrap() > 0.55, "{:?}", fit.groups);
    }
}
