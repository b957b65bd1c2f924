//! Inner loops over f32, compiled once per instruction set and chosen at run time.
//!
//! Invariant: sums run over 32 fixed lanes and no multiply-add is contracted, so every instruction set gives the same
//! bits. Shapes are checked by the caller in one place; a shorter second slice ends the sum early.

use multiversion::multiversion;

const LANES: usize = 32;

/// Dot product of two `(n,)` vectors.
#[must_use]
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes(a, b)
}

/// Dot product of a vector with 8-bit codes, both `(n,)`.
#[must_use]
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn dot_codes(x: &[f32], codes: &[i8]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (c_blocks, c_rest) = codes.as_chunks::<LANES>();
    for (x, c) in x_blocks.iter().zip(c_blocks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * f32::from(c[lane]);
        }
    }
    let rest: f32 = x_rest.iter().zip(c_rest).map(|(x, c)| x * f32::from(*c)).sum();
    fold_lanes(&sums) + rest
}

/// Dot products of quantised weights, `(dim,)`, with chosen rows of a row-major matrix of `dim` columns; appended to
/// `out` in the order of `rows`. Rows outside of the matrix give 0. The caller keeps `|w_i| <= weight_max(dim)`, so that
/// no sum overflows.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn dot_rows(w: &[i16], matrix: &[i8], rows: &[u32], out: &mut Vec<i32>) {
    let dim = w.len();
    out.reserve(rows.len());
    for &row in rows {
        let start = row as usize * dim;
        out.push(matrix.get(start..start + dim).map_or(0, |x| {
            let (w_blocks, w_rest) = w.as_chunks::<LANES>();
            let (x_blocks, x_rest) = x.as_chunks::<LANES>();
            let mut sum = 0_i32;
            for (w, x) in w_blocks.iter().zip(x_blocks) {
                for lane in 0..LANES {
                    sum += i32::from(w[lane]) * i32::from(x[lane]);
                }
            }
            sum + w_rest.iter().zip(x_rest).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>()
        }));
    }
}

/// The largest quantised weight with which [`dot_rows`] cannot overflow: `127 dim w < 2^31`.
#[must_use]
pub fn weight_max(dim: usize) -> i16 {
    i16::try_from(i32::MAX as usize / (127 * dim.max(1)) - 1).unwrap_or(i16::MAX)
}

/// `sum_i x_i^2 / q_i`, all `(n,)`.
#[must_use]
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn squares_over(x: &[f32], q: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (q_blocks, q_rest) = q.as_chunks::<LANES>();
    for (x, q) in x_blocks.iter().zip(q_blocks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * x[lane] / q[lane];
        }
    }
    let rest: f32 = x_rest.iter().zip(q_rest).map(|(x, q)| x * x / q).sum();
    fold_lanes(&sums) + rest
}

/// `mean_i += step * x_i / precision_i`, then `precision_i += gain * x_i^2`, all `(n,)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn gaussian_step(mean: &mut [f32], precision: &mut [f32], x: &[f32], step: f32, gain: f32) {
    for ((mean, precision), x) in mean.iter_mut().zip(precision).zip(x) {
        *mean += step * x / *precision;
        *precision += gain * x * x;
    }
}

#[inline(always)]
fn dot_lanes(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    fold_lanes(&sums) + rest
}

#[inline(always)]
fn fold_lanes(sums: &[f32; LANES]) -> f32 {
    let mut folded = *sums;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            folded[lane] += folded[lane + width];
        }
        width /= 2;
    }
    folded[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The lanes only change the order of the sum.
        #[test]
        fn a_dot_product_is_the_sum_of_products(pairs in prop::collection::vec((-10.0f32..10.0, -10.0f32..10.0), 0..500)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let size: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a * b).abs())).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact).abs() <= 1e-5 * size + 1e-6);
        }

        /// Integers are summed exactly, whatever the instruction set, also at the ends of their range.
        #[test]
        fn quantised_rows_are_summed_exactly(
            pairs in prop::collection::vec((prop_oneof![Just(i16::MIN), any::<i16>()], prop_oneof![Just(-127_i8), -127_i8..=127]), 1..600)
        ) {
            let max = weight_max(pairs.len());
            let (w, x): (Vec<i16>, Vec<i8>) = pairs.into_iter().map(|(w, x)| (w.clamp(-max, max), x)).unzip();
            let exact: i64 = w.iter().zip(&x).map(|(w, x)| i64::from(*w) * i64::from(*x)).sum();
            let mut out = Vec::new();
            dot_rows(&w, &x, &[0, 1], &mut out);
            prop_assert_eq!(out.iter().map(|sum| i64::from(*sum)).collect::<Vec<_>>(), vec![exact, 0]);
        }
    }
}
