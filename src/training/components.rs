//! Principal components of item embeddings, which shrink an item's input from thousands of numbers to 128.
//!
//! Invariant: equal embeddings give equal components, bit by bit: the start has a fixed seed, and sums are
//! single-threaded.
//! Absent on purpose: labels.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tower::schema::Components;

/// Limit on the embeddings that enter the covariance, sampled at even distances.
const ROWS_MAX: usize = 10_000;
/// Extra directions beside the wanted ones; they speed up convergence of the last ones.
const SPARE: usize = 16;
const ROUNDS: usize = 24;

/// The leading `to` components of embeddings `(rows, from)`, by subspace iteration on the covariance. One common scale
/// gives the kept coordinates a mean square of 1.
///
/// Source: Halko, Martinsson and Tropp, *Finding Structure with Randomness*, SIAM Review 2011, algorithm 4.4.
#[must_use]
pub fn components(embeddings: &[&[f32]], from: usize, to: usize) -> Components {
    let every = embeddings.len().div_ceil(ROWS_MAX).max(1);
    let rows: Vec<f32> = embeddings.iter().step_by(every).flat_map(|row| row.iter().copied()).collect();
    let count = rows.len() / from;
    let Ok(mut x) = Array2::from_shape_vec((count, from), rows) else {
        return Components { mean: vec![0.0; from], rows: vec![0.0; from * to] };
    };
    let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(from));
    x -= &mean;
    let covariance = x.t().dot(&x) / count.max(1) as f32;
    let wide = (to + SPARE).min(from);
    let mut chance = ChaCha8Rng::seed_from_u64(0);
    let mut basis = Array2::from_shape_simple_fn((wide, from), || chance.random::<f32>() - 0.5);
    orthonormal(&mut basis);
    for _ in 0..ROUNDS {
        basis = basis.dot(&covariance);
        orthonormal(&mut basis);
    }
    // Orders directions of the subspace by variance: Jacobi rotations of the small covariance.
    let small = basis.dot(&covariance).dot(&basis.t());
    let (values, turns) = eigen(small);
    let mut order: Vec<usize> = (0..wide).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    let kept: f32 = order[..to].iter().map(|place| values[*place].max(0.0)).sum();
    let by = if kept > 0.0 { (to as f32 / kept).sqrt() } else { 0.0 };
    let mut out = Vec::with_capacity(to * from);
    for place in &order[..to] {
        let row = turns.row(*place).dot(&basis);
        out.extend(row.iter().map(|x| x * by));
    }
    Components { mean: mean.to_vec(), rows: out }
}

/// Makes rows orthonormal by modified Gram-Schmidt, applied twice for precision; rows that vanish become zero.
fn orthonormal(rows: &mut Array2<f32>) {
    for index in 0..rows.nrows() {
        for _ in 0..2 {
            let (before, mut rest) = rows.view_mut().split_at(Axis(0), index);
            let mut row = rest.row_mut(0);
            let shares = before.dot(&row);
            row -= &before.t().dot(&shares);
        }
        let mut row = rows.row_mut(index);
        let length = row.dot(&row).sqrt();
        let by = if length > 1e-20 { 1.0 / length } else { 0.0 };
        row *= by;
    }
}

/// Eigenvalues and eigenvectors (rows) of a symmetric matrix, by cyclic Jacobi rotations.
fn eigen(matrix: Array2<f32>) -> (Vec<f32>, Array2<f32>) {
    let n = matrix.nrows();
    let mut a = matrix.mapv(f64::from);
    let mut turns = Array2::<f64>::eye(n);
    let off = |a: ArrayView2<'_, f64>| {
        let diagonal: f64 = a.diag().iter().map(|x| x * x).sum();
        (a.iter().map(|x| x * x).sum::<f64>() - diagonal, diagonal)
    };
    for _ in 0..30 {
        let (rest, diagonal) = off(a.view());
        if rest <= 1e-12 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut turns, p, q);
            }
        }
    }
    (a.diag().iter().map(|x| *x as f32).collect(), turns.mapv(|x| x as f32))
}

fn rotate(a: &mut Array2<f64>, turns: &mut Array2<f64>, p: usize, q: usize) {
    if a[[p, q]].abs() < 1e-300 {
        return;
    }
    let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cos = 1.0 / (t * t + 1.0).sqrt();
    let sin = t * cos;
    let turned = |x: &mut f64, y: &mut f64| (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    let turn = |rows: &mut Array2<f64>| {
        let (above, below) = rows.multi_slice_mut((s![p, ..], s![q, ..]));
        Zip::from(above).and(below).for_each(turned);
    };
    turn(a);
    turn(turns);
    let (left, right) = a.multi_slice_mut((s![.., p], s![.., q]));
    Zip::from(left).and(right).for_each(turned);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leading_components_are_the_directions_in_which_embeddings_differ() {
        // Two directions matter: (1, 1, 0, 0) with variance 8, (0, 0, 1, -1) with variance 2.
        let rows: Vec<Vec<f32>> = (0..400)
            .map(|i| {
                let (a, b) = (if i % 2 == 0 { 2.0 } else { -2.0 }, if i % 4 < 2 { 1.0 } else { -1.0 });
                vec![5.0 + a, a, b, -b]
            })
            .collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let found = components(&rows, 4, 2);
        assert_eq!(found.mean, [5.0, 0.0, 0.0, 0.0]);
        let (first, second) = found.rows.split_at(4);
        let close = |x: f32, y: f32| (x - y).abs() < 1e-4;
        assert!(close(first[0], first[1]) && close(first[2], 0.0) && close(first[3], 0.0), "{first:?}");
        assert!(close(second[2], -second[3]) && close(second[0], 0.0) && close(second[1], 0.0), "{second:?}");
        let square: f32 = rows
            .iter()
            .flat_map(|row| {
                found
                    .rows
                    .chunks(4)
                    .map(|c| c.iter().zip(*row).zip(&found.mean).map(|((c, x), m)| c * (x - m)).sum::<f32>())
            })
            .map(|z| z * z)
            .sum();
        assert!(close(square / 800.0, 1.0), "{square}");
        assert_eq!(found, components(&rows, 4, 2));
    }
}
