//! Centre of a topic and its principal axes: the directions in which the topic's items differ most.
//!
//! Invariant: a centre and its axes are computed once per epoch, stored, and never change, so a later fold reads the
//! coordinates of that time. They are computed from the catalogue, without labels.
//! Deliberately absent: preferences of users along these axes (`quadratic`).

use crate::domain::items::Embedding;
use crate::engine::numeric::kernels::{dot, dot_codes};

/// Axes per topic. A topic has a centre of its own from 20 items on, and these span at most 20 axes.
pub(crate) const AXES: usize = 20;

/// Axes are computed from at most this many items of a topic, evenly spaced over their ids.
pub(crate) const AXES_ITEMS_MAX: usize = 128;

/// Iterations of the power method; axes that are still mixed then have nearly equal spreads.
const ROUNDS: usize = 12;

/// Jacobi sweeps over all pairs of axes; they converge quadratically, so a few are enough.
const SWEEPS: usize = 8;

/// Spread below which an axis is dropped: squared length, relative to 1.
const SPREAD_MIN: f32 = 1e-6;

/// Coordinates `v_j . x~` along each axis, `(AXES,)`.
pub(crate) type Coordinates = [f32; AXES];

/// Centre of a topic in one epoch: the items' mean and principal axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Centre {
    mean: Embedding,
    axes: Option<Axes>,
}

/// Principal axes of a topic, in 8 bits: 8 KB per centre instead of 30.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes {
    /// `(AXES, dim)`, row-major: unit vectors as `code * scale`.
    codes: Vec<i8>,
    scales: [f32; AXES],
    /// Mean of `(v_j . x~)^2` over the topic; they sum to at most 1.
    spreads: [f32; AXES],
}

impl Centre {
    /// Parses a stored vector: the mean `(dim,)`, followed by the axes `(AXES, dim)` if there are any. Each axis is as
    /// long as the square root of its spread. `None` for another length.
    #[must_use]
    pub fn of(stored: &Embedding, dim: usize) -> Option<Centre> {
        if stored.len() == dim {
            return Some(Centre { mean: stored.clone(), axes: None });
        }
        if dim == 0 || stored.len() != stored_len(dim) {
            return None;
        }
        let (mean, rows) = stored.split_at(dim);
        Some(Centre { mean: Embedding::new(mean.to_vec(), dim).ok()?, axes: Some(Axes::of(rows, dim)) })
    }

    /// The mean of the topic's items, `(dim,)`.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Principal axes; `None` for a centre that was stored without them.
    #[must_use]
    pub fn axes(&self) -> Option<&Axes> {
        self.axes.as_ref()
    }
}

/// Length of a stored centre with its axes.
#[must_use]
pub(crate) fn stored_len(dim: usize) -> usize {
    (1 + AXES) * dim
}

impl Axes {
    /// Quantises `(AXES, dim)`, each row as long as the square root of its spread.
    fn of(rows: &[f32], dim: usize) -> Axes {
        let mut axes = Axes { codes: vec![0; AXES * dim], scales: [0.0; AXES], spreads: [0.0; AXES] };
        for (axis, (row, codes)) in rows.chunks_exact(dim).zip(axes.codes.chunks_exact_mut(dim)).enumerate() {
            let spread = dot(row, row);
            if spread < SPREAD_MIN {
                continue;
            }
            let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let step = largest / 127.0;
            for (code, x) in codes.iter_mut().zip(row) {
                // Within -127..=127 by the choice of the step.
                *code = (x / step).round() as i8;
            }
            axes.scales[axis] = step / spread.sqrt();
            axes.spreads[axis] = spread;
        }
        axes
    }

    /// Coordinates of a centred unit vector `(dim,)`; `None` for the zero vector.
    #[must_use]
    pub fn coordinates(&self, x: &[f32]) -> Option<Coordinates> {
        if x.is_empty() || x.iter().all(|x| *x == 0.0) {
            return None;
        }
        let mut coordinates: Coordinates = dot_codes(x, &self.codes);
        for (coordinate, scale) in coordinates.iter_mut().zip(&self.scales) {
            *coordinate *= scale;
        }
        Some(coordinates)
    }

    /// Mean squares of the coordinates over the topic.
    #[must_use]
    pub(crate) fn spreads(&self) -> &[f32; AXES] {
        &self.spreads
    }

    /// `v_j . u_l` for these axes `v` and others `u` of equal dimension: the change of basis from the others to these.
    #[must_use]
    pub fn overlap(&self, others: &Axes) -> [[f32; AXES]; AXES] {
        let dim = self.codes.len() / AXES;
        std::array::from_fn(|j| {
            std::array::from_fn(|l| {
                let (a, b) =
                    (&self.codes[j * dim..(j + 1) * dim], others.codes.get(l * dim..(l + 1) * dim).unwrap_or(&[]));
                let sum: i32 = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                sum as f32 * self.scales[j] * others.scales[l]
            })
        })
    }
}

/// Principal axes of centred unit vectors `(n, dim)`: the strongest eigenvectors of their mean outer product, `(AXES,
/// dim)`, row-major. Each is as long as the square root of its eigenvalue; missing axes are zeros.
///
/// Block power method (Golub and Van Loan, *Matrix Computations*, 8.2.4) on the Gram matrix `(n, n)`, which has equal
/// eigenvalues. It uses f64 in a fixed order, so every machine computes equal bits.
#[must_use]
pub fn principal(rows: &[Vec<f32>]) -> Vec<f32> {
    let (n, dim) = (rows.len(), rows.first().map_or(0, Vec::len));
    let mut out = vec![0.0; AXES * dim];
    let gram: Vec<Vec<f64>> =
        rows.iter().map(|a| rows.iter().map(|b| f64::from(dot(a, b)) / n as f64).collect()).collect();
    let wanted = AXES.min(n);
    let mut block: Vec<Vec<f64>> = (0..wanted as u64).map(|j| (0..n as u64).map(|i| start(i, j)).collect()).collect();
    for _ in 0..ROUNDS {
        for vector in &mut block {
            *vector = gram.iter().map(|row| product(row, vector)).collect();
        }
        make_orthonormal(&mut block);
    }
    make_diagonal(&gram, &mut block);
    for (vector, out) in block.iter().zip(out.chunks_exact_mut(dim.max(1))) {
        // For a unit vector `u` in the space of items, the squared length of `X^T u / sqrt(n)` is the eigenvalue.
        for (index, total) in out.iter_mut().enumerate() {
            let sum: f64 = rows.iter().zip(vector).map(|(row, u)| f64::from(row[index]) * u).sum();
            *total = (sum / (n as f64).sqrt()) as f32;
        }
    }
    out
}

/// Gram-Schmidt, twice per vector since once is not enough in floating point; linearly dependent vectors become 0.
fn make_orthonormal(block: &mut [Vec<f64>]) {
    for index in 0..block.len() {
        let (done, rest) = block.split_at_mut(index);
        let vector = &mut rest[0];
        let before = product(vector, vector).sqrt();
        for earlier in done.iter().chain(done.iter()) {
            let along = product(earlier, vector);
            for (x, e) in vector.iter_mut().zip(earlier) {
                *x -= along * e;
            }
        }
        let length = product(vector, vector).sqrt();
        let inverse = if length > 1e-9 * before && length > 1e-12 { 1.0 / length } else { 0.0 };
        for x in vector.iter_mut() {
            *x *= inverse;
        }
    }
}

/// Rotates an orthonormal block within its span until `U^T G U` is diagonal (cyclic Jacobi rotations, Golub and Van
/// Loan 8.5), and sorts the vectors by strength. This separates axes that the iterations left mixed.
fn make_diagonal(gram: &[Vec<f64>], block: &mut [Vec<f64>]) {
    let images: Vec<Vec<f64>> =
        block.iter().map(|vector| gram.iter().map(|row| product(row, vector)).collect()).collect();
    let mut inner: Vec<Vec<f64>> =
        block.iter().map(|a| images.iter().map(|image| product(a, image)).collect()).collect();
    for _ in 0..SWEEPS {
        for p in 0..block.len() {
            for q in p + 1..block.len() {
                if inner[p][q].abs() < 1e-15 {
                    continue;
                }
                let tau = (inner[q][q] - inner[p][p]) / (2.0 * inner[p][q]);
                let tangent = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                let sine = tangent * cosine;
                for row in &mut inner {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
                rotate(&mut inner, p, q, cosine, sine);
                rotate(block, p, q, cosine, sine);
            }
        }
    }
    let mut order: Vec<usize> = (0..block.len()).collect();
    order.sort_by(|a, b| inner[*b][*b].total_cmp(&inner[*a][*a]));
    let sorted: Vec<Vec<f64>> = order.into_iter().map(|index| std::mem::take(&mut block[index])).collect();
    for (place, vector) in block.iter_mut().zip(sorted) {
        *place = vector;
    }
}

/// Givens rotation of two rows, `p < q`.
fn rotate(rows: &mut [Vec<f64>], p: usize, q: usize, cosine: f64, sine: f64) {
    let (before, from_q) = rows.split_at_mut(q);
    for (a, b) in before[p].iter_mut().zip(&mut from_q[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

/// Dot product with four accumulators, so that additions do not wait for one another.
fn product(a: &[f64], b: &[f64]) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<4>();
    let (b_blocks, b_rest) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums[0] + sums[1] + (sums[2] + sums[3]) + rest
}

/// A pseudo-random number in [-1, 1), good enough for a start vector (the finaliser of SplitMix64).
fn start(i: u64, j: u64) -> f64 {
    let mut z = (i << 32 | j).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(numbers: &[f32]) -> Vec<f32> {
        let length = dot(numbers, numbers).sqrt().max(1e-6);
        numbers.iter().map(|x| x / length).collect()
    }

    fn centre(rows: &[Vec<f32>]) -> Centre {
        let dim = rows[0].len();
        let mut stored = vec![1.0; dim];
        stored.extend(principal(rows));
        Centre::of(&Embedding::new(stored, stored_len(dim)).unwrap(), dim).unwrap()
    }

    proptest! {
        /// For any items, axes are orthogonal and sorted by strength, and spreads are the mean squares of the
        /// coordinates. In few dimensions coordinates keep all of a vector's length.
        #[test]
        fn axes_are_axes(rows in prop::collection::vec(prop::collection::vec(-1.0f32..1.0, 10), 1..50)) {
            let rows: Vec<Vec<f32>> = rows.iter().filter(|row| dot(row, row) > 0.0).map(|row| unit(row)).collect();
            prop_assume!(!rows.is_empty());
            let centre = centre(&rows);
            let axes = centre.axes().unwrap();
            for (j, row) in axes.overlap(axes).iter().enumerate() {
                for (l, overlap) in row.iter().enumerate() {
                    let one = j == l && axes.spreads()[j] > 0.0;
                    prop_assert!((overlap - f32::from(u8::from(one))).abs() < 0.03, "{j} {l} {overlap}");
                }
            }
            let placed: Vec<Coordinates> = rows.iter().filter_map(|row| axes.coordinates(row)).collect();
            for (axis, spread) in axes.spreads().iter().enumerate() {
                let mean = placed.iter().map(|p| p[axis] * p[axis]).sum::<f32>() / rows.len() as f32;
                prop_assert!((mean - spread).abs() < 0.01 + 0.02 * spread, "{axis}: {mean} {spread}");
            }
            for p in &placed {
                prop_assert!((p.iter().map(|p| p * p).sum::<f32>() - 1.0).abs() < 0.05);
            }
        }
    }

    #[test]
    fn the_axes_are_those_of_the_spread() {
        // Along the coordinate axes, with spreads 4 : 2 : 1 of 7.
        let rows: Vec<Vec<f32>> = [(0, 4), (1, 2), (2, 1)]
            .into_iter()
            .flat_map(|(axis, times)| (0..2 * times).map(move |turn| (axis, if turn % 2 == 0 { 1.0 } else { -1.0 })))
            .map(|(axis, sign)| (0..5).map(|index| if index == axis { sign } else { 0.0 }).collect())
            .collect();
        let centre = centre(&rows);
        let axes = centre.axes().unwrap();
        for (axis, spread) in [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0, 0.0, 0.0].into_iter().enumerate() {
            assert!((axes.spreads()[axis] - spread).abs() < 1e-4, "{axis}: {:?}", axes.spreads());
        }
        let p = axes.coordinates(&[0.6, 0.0, -0.8, 0.0, 0.0]).unwrap();
        assert!((p[0].abs() - 0.6).abs() < 0.01 && p[1].abs() < 0.01 && (p[2].abs() - 0.8).abs() < 0.01, "{p:?}");
        assert_eq!(axes.coordinates(&[0.0; 5]), None, "what is its own centre lies nowhere");
    }

    #[test]
    fn a_stored_centre_has_one_of_two_lengths() {
        for (name, numbers, read, with_axes) in [
            ("a mean alone", 4, true, false),
            ("with axes", stored_len(4), true, true),
            ("too short", 3, false, false),
            ("cut off", stored_len(4) - 1, false, false),
        ] {
            let centre = Centre::of(&Embedding::new(vec![0.5; numbers], numbers).unwrap(), 4);
            assert_eq!(centre.is_some(), read, "{name}");
            assert_eq!(centre.is_some_and(|centre| centre.axes().is_some()), with_axes, "{name}");
        }
    }
}
