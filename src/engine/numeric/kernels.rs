//! Kernels over f32 and f64, compiled once per instruction set and chosen at run time.
//!
//! Invariant: sums run over 32 fixed lanes and no multiply-add is contracted, so every instruction set gives equal
//! bits. Callers check shapes; a shorter second slice ends the sum early.

use multiversion::multiversion;

/// Lanes of a sum: numbers that are processed in parallel.
pub const LANES: usize = 32;

/// `ln 2` split in two; the first part has enough trailing zeros to be multiplied exactly.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Dot product of two `(n,)` vectors.
#[must_use]
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes(a, b)
}

/// `e^x` of each number, in place, with a relative error of at most 2e-7. Arguments are clamped to [-87, 88].
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn exp_each(numbers: &mut [f32]) {
    for x in numbers {
        *x = exp_of(*x);
    }
}

/// `e^x` as of [`exp_each`], to be inlined into other multiversioned loops.
///
/// `2^n e^r` with `|r| <= ln 2 / 2`, and the Taylor polynomial of degree 7 for the second factor, with a truncation
/// error below 1e-7. It has no branch, so that the compiler vectorises it.
#[must_use]
#[inline(always)]
pub(crate) fn exp_of(x: f32) -> f32 {
    let rounded = x.clamp(-87.0, 88.0) * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = x.clamp(-87.0, 88.0) - n * LN_2_HIGH - n * LN_2_LOW;
    let mut sum = 1.0 / 5_040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + term;
    }
    // Adding `ROUNDER` left the integer in the lowest bits; it is within -126..=127 by the bounds of x.
    sum * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// `e^x` of each number, in place, with a relative error of at most 1e-15. Arguments are clamped to [-708, 709].
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn exp_each_f64(numbers: &mut [f64]) {
    for x in numbers {
        *x = exp_of_f64(*x);
    }
}

/// `e^x` by range reduction and the polynomial of degree 13, like [`exp_of`]. Adding `ROUNDER` leaves the integer in
/// the lowest bits.
#[inline(always)]
fn exp_of_f64(x: f64) -> f64 {
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    /// Split in two; the first part has enough trailing zeros to be multiplied exactly.
    const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
    let x = x.clamp(-708.0, 709.0);
    let rounded = x * std::f64::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let mut sum = 1.0 / 6_227_020_800.0;
    for factorial in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0]
    {
        sum = sum * r + 1.0 / factorial;
    }
    // The two largest terms are added last and one at a time, to keep their digits.
    sum = 1.0 + (r + r * r * sum);
    sum * f64::from_bits(rounded.to_bits().wrapping_add(1_023) << 52)
}

/// Natural logarithm of each number, in place, with an error of at most 2e-7 (relative; absolute near 1). Numbers must
/// be at least the smallest normal one.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn ln_each(numbers: &mut [f32]) {
    for x in numbers {
        *x = ln_of(*x);
    }
}

/// The natural logarithm as of [`ln_each`], to be inlined into other multiversioned loops.
///
/// `e ln 2 + ln m` with `m` between the roots of 1/2 and 2, and `ln m = 2 artanh s`, `s = (m - 1) / (m + 1)`. Five
/// terms of its series leave an error below 1e-8. It has no branch, so that the compiler vectorises it.
#[must_use]
#[inline(always)]
pub(crate) fn ln_of(x: f32) -> f32 {
    let bits = x.to_bits();
    // The bits of the root of 1/2; mantissas above it belong to the next binade, as values below 1.
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let e = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 2.0 / 9.0;
    for term in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        series = series * z + term;
    }
    e * LN_2_HIGH + (s * series + e * LN_2_LOW)
}

/// Whether `numbers` contains `wanted`. Without an early exit, so that many are compared at once.
#[must_use]
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn is_among(numbers: &[u64], wanted: u64) -> bool {
    numbers.iter().fold(false, |found, number| found | (*number == wanted))
}

/// Adds the product of a vector `(inputs,)` and a row-major matrix `(inputs, outputs)` to `out`, `(outputs,)`. Each sum
/// runs from the first input to the last. Whole blocks of 96 outputs skip zero inputs, without reading their rows.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn add_product(x: &[f32], matrix: &[f32], out: &mut [f32]) {
    let outputs = out.len();
    // Three accumulators of lanes, so that additions do not wait for one another.
    let (groups, rest) = out.as_chunks_mut::<{ 3 * LANES }>();
    let first_rest = outputs - rest.len();
    for (index, group) in groups.iter_mut().enumerate() {
        let mut sums = [[0.0; LANES]; 3];
        for (sums, group) in sums.iter_mut().zip(group.as_chunks::<LANES>().0) {
            *sums = *group;
        }
        let [mut a, mut b, mut c] = sums;
        for (x, row) in x.iter().zip(matrix.chunks_exact(outputs)).filter(|(x, _)| **x != 0.0) {
            let (parts, _) = row[index * 3 * LANES..(index + 1) * 3 * LANES].as_chunks::<LANES>();
            if let [of_a, of_b, of_c] = parts {
                for lane in 0..LANES {
                    a[lane] += x * of_a[lane];
                    b[lane] += x * of_b[lane];
                    c[lane] += x * of_c[lane];
                }
            }
        }
        for (group, sums) in group.as_chunks_mut::<LANES>().0.iter_mut().zip([a, b, c]) {
            *group = sums;
        }
    }
    let (blocks, rest) = rest.as_chunks_mut::<LANES>();
    for (index, block) in blocks.iter_mut().enumerate() {
        let (mut sums, from) = (*block, first_rest + index * LANES);
        for (x, row) in x.iter().zip(matrix.chunks_exact(outputs)) {
            for (sum, weight) in sums.iter_mut().zip(&row[from..from + LANES]) {
                *sum += x * weight;
            }
        }
        *block = sums;
    }
    let first_rest = outputs - rest.len();
    if !rest.is_empty() {
        for (x, row) in x.iter().zip(matrix.chunks_exact(outputs)) {
            for (sum, weight) in rest.iter_mut().zip(&row[first_rest..]) {
                *sum += x * weight;
            }
        }
    }
}

/// Subtracts the outer product of a vector `(n,)` with itself from a row-major matrix `(n, n)`. A symmetric matrix
/// stays symmetric, bit by bit.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn subtract_outer(x: &[f32], matrix: &mut [f32]) {
    for (row, of_row) in matrix.chunks_exact_mut(x.len().max(1)).zip(x).filter(|(_, of_row)| **of_row != 0.0) {
        for (entry, of_column) in row.iter_mut().zip(x) {
            *entry -= of_row * of_column;
        }
    }
}

/// Dot products of a vector `(dim,)` within [-1, 1] with all rows of a row-major matrix of codes `(rows, dim)`; the
/// result is `(rows,)`. The vector is quantised to 16 bits, so each term is off by at most 64 parts in [`weight_max`].
#[must_use]
pub(crate) fn dot_codes<const ROWS: usize>(x: &[f32], codes: &[i8]) -> [f32; ROWS] {
    let steps = f32::from(weight_max(x.len()));
    let (mut out, mut part) = ([0.0; ROWS], [0_i16; PART]);
    for (index, x_part) in x.chunks(PART).enumerate() {
        quantise(x_part, steps, &mut part);
        add_products(&part[..x_part.len()], codes, (index * PART, x.len()), 1.0 / steps, &mut out);
    }
    out
}

/// Numbers that [`dot_codes`] quantises at a time, on the stack.
const PART: usize = 512;

/// Adding it to a number below 2^22 in magnitude leaves that number, rounded to an integer, in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn quantise(x: &[f32], steps: f32, out: &mut [i16; PART]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = (x * steps + ROUNDER).to_bits() as i16;
    }
}

/// Rows are `dim` codes apart; the part of `x` begins `from` codes into each row.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_products(x: &[i16], codes: &[i8], (from, dim): (usize, usize), scale: f32, out: &mut [f32]) {
    for (row, out) in out.iter_mut().enumerate() {
        let start = row * dim + from;
        *out += codes.get(start..start + x.len()).map_or(0, |codes| dot_integers(x, codes)) as f32 * scale;
    }
}

/// Dot products of quantised weights, `(dim,)`, with selected rows of a row-major matrix of `dim` columns. They are
/// appended to `out` in the order of `rows`; rows outside of the matrix give 0. The caller keeps `|w_i| <=
/// weight_max(dim)`, so that no sum overflows.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn dot_rows(w: &[i16], matrix: &[i8], rows: &[u32], out: &mut Vec<i32>) {
    let dim = w.len();
    out.reserve(rows.len());
    for &row in rows {
        let start = row as usize * dim;
        out.push(matrix.get(start..start + dim).map_or(0, |x| dot_integers(w, x)));
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
pub(crate) fn squares_over(x: &[f32], q: &[f32]) -> f32 {
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
pub(crate) fn gaussian_step(mean: &mut [f32], precision: &mut [f32], x: &[f32], step: f32, gain: f32) {
    for ((mean, precision), x) in mean.iter_mut().zip(precision).zip(x) {
        *mean += step * x / *precision;
        *precision += gain * x * x;
    }
}

/// The order of integer sums does not matter, so this is one plain loop, reduced once at the end of a row.
#[inline(always)]
fn dot_integers(a: &[i16], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[inline(always)]
fn dot_lanes(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    if a_blocks.is_empty() {
        // The lanes would sum to zero.
        return 0.0 + rest;
    }
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    fold_lanes(&sums) + rest
}

/// Sum of all lanes by pairwise reduction: the upper half is added to the lower half.
#[must_use]
#[inline(always)]
pub(crate) fn fold_lanes(sums: &[f32; LANES]) -> f32 {
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

/// The smallest nonzero magnitude of the 16-bit format, `2^-20`, in units of the last of 10 bits of a fraction.
const HALF_BASE: u32 = (127 - 20) << 10;

/// Encodes a number in 16 bits: sign, 5 bits of exponent from -20 to 11, 10 of fraction. Magnitudes below `2^-20`
/// become 0, those above 4,094 become 4,094. Rounds to nearest, with a relative error of at most 1/2048.
#[must_use]
#[inline(always)]
pub(crate) fn to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = ((bits & 0x7fff_ffff) + (1 << 12)) >> 13;
    // Code 0 is zero itself, so the first exponent lacks its first fraction.
    let code = magnitude.saturating_sub(HALF_BASE).min(0x7fff);
    (code | (bits >> 16 & 0x8000)) as u16
}

/// Decodes the 16 bits of [`to_half`].
#[must_use]
#[inline(always)]
pub(crate) fn from_half(code: u16) -> f32 {
    let magnitude = u32::from(code & 0x7fff);
    let bits = if magnitude == 0 { 0 } else { (magnitude + HALF_BASE) << 13 };
    f32::from_bits(bits | u32::from(code & 0x8000) << 16)
}

/// Dot product of 16-bit weights (see [`to_half`]) with a vector, both `(n,)`.
#[must_use]
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn dot_halves(w: &[u16], x: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (w_blocks, w_rest) = w.as_chunks::<LANES>();
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    for (w, x) in w_blocks.iter().zip(x_blocks) {
        for lane in 0..LANES {
            sums[lane] += from_half(w[lane]) * x[lane];
        }
    }
    let rest: f32 = w_rest.iter().zip(x_rest).map(|(w, x)| from_half(*w) * x).sum();
    fold_lanes(&sums) + rest
}

/// `w_i += step * x_i` for 16-bit weights, both `(n,)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
pub(crate) fn step_halves(w: &mut [u16], x: &[f32], step: f32) {
    for (w, x) in w.iter_mut().zip(x) {
        *w = to_half(from_half(*w) + step * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Lanes change only the order of the sum.
        #[test]
        fn a_dot_product_is_the_sum_of_products(pairs in prop::collection::vec((-10.0f32..10.0, -10.0f32..10.0), 0..500)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let size: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a * b).abs())).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact).abs() <= 1e-5 * size + 1e-6);
        }

        /// The error is within 2e-7, and arguments beyond the range give the values at its ends.
        #[test]
        fn exponentials_are_those_of_the_library(numbers in prop::collection::vec(-120.0f32..120.0, 1..70)) {
            let mut ours = numbers.clone();
            exp_each(&mut ours);
            for (x, ours) in numbers.into_iter().zip(ours) {
                let exact = f64::from(x.clamp(-87.0, 88.0)).exp();
                prop_assert!((f64::from(ours) - exact).abs() <= 2.5e-7 * exact, "{x}: {ours} {exact}");
            }
        }

        /// The error is within 1e-15, and `e^0` is exactly 1.
        #[test]
        fn exponentials_in_f64_are_those_of_the_library(numbers in prop::collection::vec(prop_oneof![-800.0f64..800.0, -1.0f64..1.0], 1..70)) {
            let mut ours = numbers.clone();
            exp_each_f64(&mut ours);
            for (x, ours) in numbers.into_iter().zip(ours) {
                let exact = x.clamp(-708.0, 709.0).exp();
                prop_assert!((ours - exact).abs() <= 1e-15 * exact, "{x}: {ours} {exact}");
            }
            let mut zero = [0.0];
            exp_each_f64(&mut zero);
            prop_assert_eq!(zero, [1.0]);
        }

        /// The error is within 2e-7 of the library's value, plus the absolute error of f32 near 1.
        #[test]
        fn logarithms_are_those_of_the_library(exponents in prop::collection::vec(-80.0f32..80.0, 1..70)) {
            for numbers in [exponents.iter().map(|x| x.exp()).collect::<Vec<f32>>(), exponents.iter().map(|x| 1.0 + x / 100.0).collect()] {
                let numbers: Vec<f32> = numbers.into_iter().filter(|x| *x > 1e-30).collect();
                let mut ours = numbers.clone();
                ln_each(&mut ours);
                for (x, ours) in numbers.into_iter().zip(ours) {
                    let exact = f64::from(x).ln();
                    prop_assert!((f64::from(ours) - exact).abs() <= 2.5e-7 * exact.abs() + 1e-9, "{x}: {ours} {exact}");
                }
            }
        }

        /// Each output is its initial value plus the products from the first input to the last.
        #[test]
        fn a_product_with_a_matrix_is_added_in_order(x in prop::collection::vec(-10.0f32..10.0, 0..40), outputs in 1_usize..100) {
            let matrix: Vec<f32> = (0..x.len() * outputs).map(|n| ((n * 37) % 255) as f32 / 64.0 - 2.0).collect();
            let mut out: Vec<f32> = (0..outputs).map(|output| output as f32).collect();
            add_product(&x, &matrix, &mut out);
            for (output, found) in out.into_iter().enumerate() {
                let terms = x.iter().enumerate().map(|(input, x)| x * matrix[input * outputs + output]);
                prop_assert_eq!(found, terms.fold(output as f32, |sum, term| sum + term));
            }
        }

        /// Every entry is reduced by its product.
        #[test]
        fn outer_products_are_subtracted(x in prop::collection::vec(-10.0f32..10.0, 0..50)) {
            let mut matrix: Vec<f32> = (0..x.len() * x.len()).map(|n| n as f32).collect();
            subtract_outer(&x, &mut matrix);
            for (n, found) in matrix.into_iter().enumerate() {
                prop_assert_eq!(found, n as f32 - x[n / x.len()] * x[n % x.len()]);
            }
        }

        /// A number is found at any position, and an absent number is not found.
        #[test]
        fn what_is_among_numbers_is_found(numbers in prop::collection::vec(0_u64..50, 0..300), wanted in 0_u64..50) {
            prop_assert_eq!(is_among(&numbers, wanted), numbers.contains(&wanted));
        }

        /// Quantisation to 16 bits keeps dot products within the documented bound.
        #[test]
        fn codes_are_multiplied_with_all_rows(
            x in prop::collection::vec(-1.0f32..1.0, 1..1200), seed in any::<u8>()
        ) {
            let codes: Vec<i8> = (0..3 * x.len()).map(|n| ((n * 37 + usize::from(seed)) % 255) as i8).collect();
            for (row, found) in dot_codes::<3>(&x, &codes).into_iter().enumerate() {
                let codes = &codes[row * x.len()..(row + 1) * x.len()];
                let terms = x.iter().zip(codes).map(|(x, c)| f64::from(*x) * f64::from(*c));
                let exact: f64 = terms.sum();
                let bound = 64.0 * x.len() as f64 / f64::from(weight_max(x.len())) + 1e-3 * (1.0 + exact.abs());
                prop_assert!((f64::from(found) - exact).abs() <= bound, "{found} {exact}");
            }
            prop_assert_eq!(dot_codes::<3>(&[0.0; 40], &[1; 120]), [0.0; 3]);
        }

        /// Integer sums are exact on every instruction set, also at the ends of the range.
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

    proptest! {
        /// The 16-bit format keeps the sign and the magnitude within 1/2048, and keeps zero.
        #[test]
        fn weights_survive_sixteen_bits(x in prop_oneof![-4000.0f32..4000.0, -1.0f32..1.0, -1e-3f32..1e-3, Just(0.0)]) {
            let back = from_half(to_half(x));
            let off = (back - x).abs();
            prop_assert!(off <= x.abs() / 2048.0 || x.abs() < 1.1 / f32::from(1u16 << 10).powi(2) && back == 0.0, "{x} {back}");
            prop_assert_eq!(to_half(back), to_half(x), "twice is once");
        }
    }

    #[test]
    fn the_ends_of_sixteen_bits() {
        for (name, x, back) in [
            ("zero", 0.0, 0.0),
            ("one", 1.0, 1.0),
            ("minus a half", -0.5, -0.5),
            ("too small to tell", 1e-7, 0.0),
            ("too large", 1e9, 4094.0),
            ("too large, below", -1e9, -4094.0),
        ] {
            assert_eq!(from_half(to_half(x)), back, "{name}");
        }
    }
}
