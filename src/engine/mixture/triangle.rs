//! Small symmetric matrices as lower triangles, row after row: `(i, j)` with `j <= i` is at `i (i + 1) / 2 + j`.
//!
//! Invariant: a returned factor has a positive, finite diagonal; otherwise the result is `None`.

/// Index of `(i, j)`, `j <= i`.
pub(super) const fn at(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

/// Cholesky factor `L` of a positive definite `A = L L^T`; `None` when `A` is not positive definite.
pub(super) fn cholesky(dim: usize, matrix: &[f64]) -> Option<Vec<f64>> {
    let mut lower = matrix.to_vec();
    for i in 0..dim {
        for j in 0..=i {
            let mut value = lower[at(i, j)];
            for k in 0..j {
                value -= lower[at(i, k)] * lower[at(j, k)];
            }
            if i == j {
                if !(value > 0.0 && value.is_finite()) {
                    return None;
                }
                lower[at(i, i)] = value.sqrt();
            } else {
                lower[at(i, j)] = value / lower[at(j, j)];
            }
        }
    }
    Some(lower)
}

/// The inverse of a lower factor, itself lower.
pub(super) fn inverse(dim: usize, lower: &[f64]) -> Vec<f64> {
    let mut inverse = vec![0.0; lower.len()];
    for j in 0..dim {
        inverse[at(j, j)] = 1.0 / lower[at(j, j)];
        for i in j + 1..dim {
            let sum: f64 = (j..i).map(|k| lower[at(i, k)] * inverse[at(k, j)]).sum();
            inverse[at(i, j)] = -sum / lower[at(i, i)];
        }
    }
    inverse
}

/// `ln det A` from its Cholesky factor.
pub(super) fn log_determinant(dim: usize, lower: &[f64]) -> f64 {
    2.0 * (0..dim).map(|i| lower[at(i, i)].ln()).sum::<f64>()
}

/// Squared length `|L x|^2` of a vector `(dim,)`.
pub(super) fn length_squared(dim: usize, lower: &[f64], x: &[f64]) -> f64 {
    (0..dim).map(|i| (0..=i).map(|j| lower[at(i, j)] * x[j]).sum::<f64>()).map(|y| y * y).sum()
}

/// Rank-one update `A += factor x x^T`.
pub(super) fn add_outer(dim: usize, matrix: &mut [f64], factor: f64, x: &[f64]) {
    for i in 0..dim {
        for j in 0..=i {
            matrix[at(i, j)] += factor * x[i] * x[j];
        }
    }
}

/// Principal axis of a covariance, `(dim,)` of length 1, and the variance along it. It uses power iteration, so it is
/// approximate when two axes are nearly equal.
pub(super) fn longest_axis(dim: usize, matrix: &[f64]) -> (Vec<f64>, f64) {
    const STEPS: usize = 50;
    // Starts from the column of the greatest variance, which is practically never orthogonal to the axis.
    let start = (0..dim).max_by(|a, b| matrix[at(*a, *a)].total_cmp(&matrix[at(*b, *b)])).unwrap_or(0);
    let mut axis: Vec<f64> = (0..dim).map(|i| matrix[at(i.max(start), i.min(start))]).collect();
    let mut variance = 0.0;
    for _ in 0..STEPS {
        let length = axis.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        axis.iter_mut().for_each(|x| *x /= length);
        let image: Vec<f64> =
            (0..dim).map(|i| (0..dim).map(|j| matrix[at(i.max(j), i.min(j))] * axis[j]).sum()).collect();
        variance = image.iter().zip(&axis).map(|(a, b)| a * b).sum();
        axis = image;
    }
    let length = axis.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    axis.iter_mut().for_each(|x| *x /= length);
    (axis, variance)
}

/// The full symmetric matrix, by rows.
pub(super) fn square(dim: usize, matrix: &[f64]) -> Vec<Vec<f64>> {
    (0..dim).map(|i| (0..dim).map(|j| matrix[at(i.max(j), i.min(j))]).collect()).collect()
}
