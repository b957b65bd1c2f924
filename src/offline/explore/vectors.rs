//! Geometry of embeddings: near duplicates, a projection to two dimensions, and separability of labels.
//!
//! Invariant: figures depend only on the embeddings, their labels and their order; nothing is drawn at random.

use serde::Serialize;

use eddyline::engine::metrics::progressive::roc_auc;
use eddyline::engine::numeric::kernels::dot;
use eddyline_replay::classifiers::centred;

/// Embeddings that are compared each with each at most: 200 million pairs.
const COMPARED_MAX: usize = 20_000;
/// Steps of a power iteration at most, and the change of a unit vector at which it ends.
const POWER_STEPS: usize = 500;
const POWER_END: f64 = 1e-9;
/// Points of the projection that the report holds at most; of more rows only every n-th is there.
const POINTS_MAX: usize = 5_000;
/// Folds of the cross-validation.
const FOLDS: usize = 5;
/// Regularisation of the ridge regression on centred vectors of length 1.
const RIDGE: f64 = 1.0;
/// Steps of the conjugate gradients of a ridge regression at most.
const GRADIENTS: usize = 200;

/// Pairs of similar embeddings, most similar first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Similar {
    /// Cosine, and both rows in rising order.
    pub(super) pairs: Vec<(f32, usize, usize)>,
    /// Number of all pairs.
    pub(super) count: usize,
    /// Number of compared rows.
    pub(super) compared: usize,
}

impl Similar {
    /// Number of rows that are in a pair.
    pub(super) fn members(&self, rows: usize) -> usize {
        let mut is_in = vec![false; rows];
        self.pairs.iter().for_each(|(_, a, b)| (is_in[*a], is_in[*b]) = (true, true));
        is_in.into_iter().filter(|is_in| *is_in).count()
    }
}

/// Pairs of rows whose cosine is above `cosine`, of which the `most` similar are returned. `each` gets the number of rows
/// compared since the last call.
pub(super) fn similar(rows: &[&[f32]], cosine: f32, most: usize, mut each: impl FnMut(u64)) -> Similar {
    let rows = &rows[..rows.len().min(COMPARED_MAX)];
    let units: Vec<Vec<f32>> = rows.iter().map(|row| unit(row)).collect();
    let (mut pairs, mut count) = (Vec::new(), 0);
    let by_similarity = |a: &(f32, usize, usize), b: &(f32, usize, usize)| {
        b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
    };
    for (second, row) in units.iter().enumerate() {
        for (first, other) in units[..second].iter().enumerate() {
            let found = dot(row, other);
            if found > cosine {
                count += 1;
                pairs.push((found.min(1.0), first, second));
            }
        }
        if pairs.len() / 2 > most {
            pairs.sort_unstable_by(by_similarity);
            pairs.truncate(most);
        }
        each(1);
    }
    pairs.sort_unstable_by(by_similarity);
    pairs.truncate(most);
    Similar { pairs, count, compared: rows.len() }
}

fn unit(row: &[f32]) -> Vec<f32> {
    let norm = dot(row, row).sqrt();
    row.iter().map(|x| if norm > 0.0 { x / norm } else { 0.0 }).collect()
}

/// The embeddings on their first two principal axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Projection {
    /// Share of the variance on each axis; 0 without variance.
    pub(super) explained: [f64; 2],
    /// Every n-th row is among the points.
    pub(super) every: usize,
    /// Row from 0 over all files, label, and place.
    pub(super) points: Vec<Point>,
}

/// A projected embedding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    pub(super) row: usize,
    pub(super) accepted: bool,
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Projects rows by principal component analysis, by power iteration with deflation; `each` runs after an axis.
pub(super) fn project(rows: &[&[f32]], labels: &[bool], mut each: impl FnMut(u64)) -> Projection {
    let dim = rows.first().map_or(0, |row| row.len());
    let mut mean = vec![0.0_f64; dim];
    for row in rows {
        mean.iter_mut().zip(*row).for_each(|(mean, x)| *mean += f64::from(*x) / rows.len() as f64);
    }
    let from_mean = |row: &[f32], axis: &[f64]| -> f64 {
        row.iter().zip(&mean).zip(axis).map(|((x, mean), axis)| (f64::from(*x) - mean) * axis).sum()
    };
    let total: f64 =
        rows.iter().flat_map(|row| row.iter().zip(&mean)).map(|(x, mean)| (f64::from(*x) - mean).powi(2)).sum();
    let mut axes: Vec<Vec<f64>> = Vec::new();
    for _ in 0..2 {
        let axis = principal_axis(rows, &mean, &axes, from_mean);
        axes.push(axis);
        each(1);
    }
    let places = |axis: &[f64]| -> Vec<f64> { rows.iter().map(|row| from_mean(row, axis)).collect() };
    let (x, y) = (places(&axes[0]), places(&axes[1]));
    let share = |places: &[f64]| {
        let variance: f64 = places.iter().map(|place| place * place).sum();
        if total > 0.0 { (variance / total).min(1.0) } else { 0.0 }
    };
    let every = rows.len().div_ceil(POINTS_MAX).max(1);
    let point = |row| Point { row, accepted: labels[row], x: x[row], y: y[row] };
    Projection { explained: [share(&x), share(&y)], every, points: (0..rows.len()).step_by(every).map(point).collect() }
}

/// The direction of the largest variance that is orthogonal to `before`; its largest coordinate is positive. Zero when no
/// variance is left.
fn principal_axis(
    rows: &[&[f32]],
    mean: &[f64],
    before: &[Vec<f64>],
    from_mean: impl Fn(&[f32], &[f64]) -> f64,
) -> Vec<f64> {
    let normalise = |axis: &mut Vec<f64>| {
        for other in before {
            let along: f64 = axis.iter().zip(other).map(|(a, b)| a * b).sum();
            axis.iter_mut().zip(other).for_each(|(axis, other)| *axis -= along * other);
        }
        let norm = axis.iter().map(|x| x * x).sum::<f64>().sqrt();
        axis.iter_mut().for_each(|x| *x = if norm > 1e-12 { *x / norm } else { 0.0 });
    };
    // Begins at the row that is farthest from the mean, off the axes before.
    let starts =
        rows.iter().map(|row| -> Vec<f64> { row.iter().zip(mean).map(|(x, mean)| f64::from(*x) - mean).collect() });
    let rest = |row: &Vec<f64>| -> f64 {
        let along = |axis: &Vec<f64>| row.iter().zip(axis).map(|(a, b)| a * b).sum::<f64>().powi(2);
        row.iter().map(|x| x * x).sum::<f64>() - before.iter().map(along).sum::<f64>()
    };
    let mut axis = starts.max_by(|a, b| rest(a).total_cmp(&rest(b))).unwrap_or_default();
    normalise(&mut axis);
    for _ in 0..POWER_STEPS {
        let mut next = vec![0.0; axis.len()];
        for row in rows {
            let along = from_mean(row, &axis);
            next.iter_mut()
                .zip(row.iter().zip(mean))
                .for_each(|(next, (x, mean))| *next += along * (f64::from(*x) - mean));
        }
        normalise(&mut next);
        let change: f64 = next.iter().zip(&axis).map(|(a, b)| (a - b).powi(2)).sum();
        axis = next;
        if change < POWER_END * POWER_END {
            break;
        }
    }
    let largest = axis.iter().copied().fold(0.0_f64, |found, x| if x.abs() > found.abs() { x } else { found });
    if largest < 0.0 {
        axis.iter_mut().for_each(|x| *x = -*x);
    }
    axis
}

/// Mean ROC AUC over the held-out folds of a cross-validation; `null` when no fold has both labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Separability {
    /// Cosine to the mean accepted minus the mean rejected embedding.
    pub(super) centroid: Option<f64>,
    /// Ridge regression of the label.
    pub(super) ridge: Option<f64>,
    /// Folds with both labels.
    pub(super) folds: usize,
}

/// Cross-validates two classifiers. Near duplicates are in one fold, so that no classifier has seen a held-out text.
pub(super) fn separability(rows: &[&[f32]], labels: &[bool], similar: &Similar) -> Separability {
    let rows = centred(rows.iter().copied());
    let folds = folds(labels, similar);
    let (mut centroid, mut ridge) = (Vec::new(), Vec::new());
    for fold in 0..FOLDS {
        let held_out: Vec<usize> = (0..rows.len()).filter(|row| folds[*row] == fold).collect();
        let learned: Vec<usize> = (0..rows.len()).filter(|row| folds[*row] != fold).collect();
        let targets: Vec<bool> = held_out.iter().map(|row| labels[*row]).collect();
        let auc = |direction: &[f32]| {
            let scores: Vec<f32> = held_out.iter().map(|row| dot(&rows[*row], direction)).collect();
            roc_auc(&scores, &targets)
        };
        centroid.extend(auc(&difference_of_means(&rows, labels, &learned)));
        ridge.extend(auc(&ridge_weights(&rows, labels, &learned)));
    }
    let mean = |aucs: &[f64]| (!aucs.is_empty()).then(|| aucs.iter().sum::<f64>() / aucs.len() as f64);
    Separability { centroid: mean(&centroid), ridge: mean(&ridge), folds: centroid.len() }
}

/// The fold of each row. Groups of near duplicates go, in order of their first row, to the fold with the fewest rows of
/// that row's label.
fn folds(labels: &[bool], similar: &Similar) -> Vec<usize> {
    let mut group: Vec<usize> = (0..labels.len()).collect();
    fn first(group: &mut [usize], mut row: usize) -> usize {
        while group[row] != row {
            group[row] = group[group[row]];
            row = group[row];
        }
        row
    }
    for (_, a, b) in &similar.pairs {
        let (a, b) = (first(&mut group, *a), first(&mut group, *b));
        group[a.max(b)] = a.min(b);
    }
    let mut sizes = [[0_usize; FOLDS]; 2];
    let mut folds = vec![0; labels.len()];
    for row in 0..labels.len() {
        let head = first(&mut group, row);
        folds[row] = if head == row {
            let sizes = &sizes[usize::from(labels[row])];
            (0..FOLDS).min_by_key(|fold| sizes[*fold]).unwrap_or(0)
        } else {
            folds[head]
        };
        sizes[usize::from(labels[row])][folds[row]] += 1;
    }
    folds
}

fn difference_of_means(rows: &[Vec<f32>], labels: &[bool], learned: &[usize]) -> Vec<f32> {
    let mut direction = vec![0.0_f32; rows.first().map_or(0, Vec::len)];
    let accepted = learned.iter().filter(|row| labels[**row]).count();
    for &row in learned {
        let share = if labels[row] { 1.0 / accepted as f32 } else { -1.0 / (learned.len() - accepted) as f32 };
        direction.iter_mut().zip(&rows[row]).for_each(|(direction, x)| *direction += share * x);
    }
    direction
}

/// Weights `w` that minimise `sum (x w - y)^2 + RIDGE |w|^2` with `y` = 1 or -1 minus its mean, by conjugate gradients.
fn ridge_weights(rows: &[Vec<f32>], labels: &[bool], learned: &[usize]) -> Vec<f32> {
    let dim = rows.first().map_or(0, Vec::len);
    let sign = |row: usize| if labels[row] { 1.0 } else { -1.0 };
    let mean = learned.iter().map(|row| sign(*row)).sum::<f64>() / learned.len().max(1) as f64;
    let along = |row: usize, w: &[f64]| rows[row].iter().zip(w).map(|(x, w)| f64::from(*x) * w).sum::<f64>();
    let add = |to: &mut [f64], by: f64, row: usize| {
        to.iter_mut().zip(&rows[row]).for_each(|(to, x)| *to += by * f64::from(*x));
    };
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut weights, mut rest) = (vec![0.0_f64; dim], vec![0.0_f64; dim]);
    learned.iter().for_each(|row| add(&mut rest, sign(*row) - mean, *row));
    let mut way = rest.clone();
    let start = product(&rest, &rest);
    let mut square = start;
    for _ in 0..GRADIENTS {
        if square <= 1e-16 * start {
            break;
        }
        let mut image: Vec<f64> = way.iter().map(|way| RIDGE * way).collect();
        learned.iter().for_each(|row| add(&mut image, along(*row, &way), *row));
        let step = square / product(&way, &image);
        weights.iter_mut().zip(&way).for_each(|(weight, way)| *weight += step * way);
        rest.iter_mut().zip(&image).for_each(|(rest, image)| *rest -= step * image);
        let next = product(&rest, &rest);
        way.iter_mut().zip(&rest).for_each(|(way, rest)| *way = rest + next / square * *way);
        square = next;
    }
    weights.into_iter().map(|weight| weight as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(rows: &[Vec<f32>]) -> Vec<&[f32]> {
        rows.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn near_duplicates_are_found_most_similar_first() {
        let rows = [vec![1.0, 0.0], vec![0.0, 1.0], vec![2.0, 0.1], vec![3.0, 0.0], vec![0.0, 0.0]];
        let found = similar(&slices(&rows), 0.98, 9, |_| {});
        let places: Vec<_> = found.pairs.iter().map(|(_, a, b)| (*a, *b)).collect();
        assert_eq!((places, found.count, found.compared), (vec![(0, 3), (0, 2), (2, 3)], 3, 5));
        assert_eq!(found.members(5), 3);
        assert_eq!(similar(&slices(&rows), 0.98, 1, |_| {}).pairs.len(), 1);
    }

    #[test]
    fn the_axes_are_those_of_the_largest_variance() {
        // Variances 8, 2 and 0.5 along the coordinates 1, 0 and 2.
        let mut rows = Vec::new();
        for (at, size) in [(1, 2.0), (0, 1.0), (2, 0.5)] {
            for sign in [-1.0, 1.0] {
                let mut row = vec![5.0; 3];
                row[at] += sign * size;
                rows.push(row);
            }
        }
        let found = project(&slices(&rows), &[true; 6], |_| {});
        let total = 4.0 + 1.0 + 0.25;
        assert!((found.explained[0] - 4.0 / total).abs() < 1e-9, "{:?}", found.explained);
        assert!((found.explained[1] - 1.0 / total).abs() < 1e-9, "{:?}", found.explained);
        assert!((found.points[1].x - 2.0).abs() < 1e-6 && found.points[1].y.abs() < 1e-6);
        assert!((found.points[3].y - 1.0).abs() < 1e-6 && found.points[3].x.abs() < 1e-6);
    }

    #[test]
    fn equal_embeddings_have_no_variance_and_no_separability() {
        let rows = vec![vec![1.0, 2.0]; 10];
        let found = project(&slices(&rows), &[true; 10], |_| {});
        assert_eq!(found.explained, [0.0, 0.0]);
        assert!(found.points.iter().all(|point| (point.x, point.y) == (0.0, 0.0)));
        let labels: Vec<bool> = (0..10).map(|row| row % 2 == 0).collect();
        let found = separability(&slices(&rows), &labels, &Similar::default());
        assert_eq!((found.centroid, found.ridge), (Some(0.5), Some(0.5)));
        assert_eq!(separability(&slices(&rows), &[true; 10], &Similar::default()).centroid, None);
    }

    #[test]
    fn separated_labels_have_an_auc_of_one_and_duplicates_stay_in_one_fold() {
        let rows: Vec<Vec<f32>> =
            (0..30).map(|row| vec![if row % 2 == 0 { 1.0 } else { -1.0 }, row as f32 / 30.0]).collect();
        let labels: Vec<bool> = (0..30).map(|row| row % 2 == 0).collect();
        let found = separability(&slices(&rows), &labels, &Similar::default());
        assert_eq!((found.centroid, found.ridge, found.folds), (Some(1.0), Some(1.0), 5));
        let similar = Similar { pairs: vec![(0.99, 3, 7), (0.99, 7, 20)], count: 2, compared: 30 };
        let folds = folds(&labels, &similar);
        assert!(folds[3] == folds[7] && folds[7] == folds[20], "{folds:?}");
    }
}
