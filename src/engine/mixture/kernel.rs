//! Inner loop of variational inference: one pass over all rows that computes responsibilities and their sums.
//!
//! Invariant: at most one block of responsibilities exists at a time. Sums run over fixed lanes and no multiply-add is
//! contracted, so every instruction set gives equal bits. Padding rows have responsibility 0.

use multiversion::multiversion;

/// Rows of one block: its columns and responsibilities stay in the L1 cache.
pub(super) const BLOCK: usize = 128;
const LANES: usize = 8;

/// Scaled rows, `(rows, dim)`, in blocks of [`BLOCK`] rows, column after column within a block, padded with zeros.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: usize,
    dim: usize,
    blocks: Vec<f64>,
}

impl Table {
    /// Builds a table from columns of equal length.
    pub(super) fn new(columns: &[Vec<f64>]) -> Table {
        let (dim, rows) = (columns.len(), columns.first().map_or(0, Vec::len));
        let mut blocks = vec![0.0; rows.div_ceil(BLOCK) * BLOCK * dim];
        for (j, column) in columns.iter().enumerate() {
            for (row, value) in column.iter().enumerate() {
                blocks[(row / BLOCK * dim + j) * BLOCK + row % BLOCK] = *value;
            }
        }
        Table { rows, dim, blocks }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    pub(super) fn value(&self, row: usize, column: usize) -> f64 {
        self.blocks[(row / BLOCK * self.dim + column) * BLOCK + row % BLOCK]
    }

    /// A table of these rows, in this order.
    pub(super) fn pick(&self, rows: &[usize]) -> Table {
        let columns: Vec<Vec<f64>> =
            (0..self.dim).map(|j| rows.iter().map(|row| self.value(*row, j)).collect()).collect();
        Table { dim: self.dim, ..Table::new(&columns) }
    }

    fn block(&self, index: usize) -> (&[f64], usize) {
        let size = BLOCK * self.dim;
        (&self.blocks[index * size..(index + 1) * size], (self.rows - index * BLOCK).min(BLOCK))
    }
}

/// Expected log-density of one component, in the form that the pass evaluates.
///
/// With `d = x - center` and `y = lower d`, `q = |y|^2 + spread`: Gaussian `constant - q/2`; Student's t `constant -
/// (freedom + dim)/2 ln((freedom + q)/2)`.
#[derive(Clone, Debug)]
pub(super) struct Density {
    pub(super) constant: f64,
    /// Posterior mean of the component, `(dim,)`.
    pub(super) center: Vec<f64>,
    /// Lower triangle, row after row: `lower^T lower` is the expected precision.
    pub(super) lower: Vec<f64>,
    /// `dim / beta`: contribution of the center's uncertainty to every distance.
    pub(super) spread: f64,
    /// Degrees of freedom of Student's t.
    pub(super) freedom: Option<f64>,
}

/// Sums over the rows for one component; differences `d` are from the center of the pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// Sum of responsibilities, `sum r`.
    pub(super) count: f64,
    /// `sum r u`; `u` is 1 for a Gaussian.
    pub(super) weight: f64,
    /// `sum r u d`, `(dim,)`.
    pub(super) first: Vec<f64>,
    /// `sum r u d d^T`, lower triangle, row after row.
    pub(super) second: Vec<f64>,
    /// `sum r ln b`, `b` the rate of the scale's Gamma distribution (Student's t only).
    pub(super) log_rate: f64,
}

/// Result of one pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass {
    pub(super) sums: Vec<Sums>,
    /// Sum of the noise's responsibilities.
    pub(super) noise_count: f64,
    /// `sum_n ln sum_k rho_nk`.
    pub(super) log_sum: f64,
}

/// Responsibilities of one block, `[component][row]`, the noise last.
type Lines = Vec<[f64; BLOCK]>;

/// One pass over all rows: responsibilities `r_nk = rho_nk / sum_j rho_nj` and their sums. `noise` is the noise's `ln
/// rho`, constant over all rows.
pub(super) fn pass(table: &Table, densities: &[Density], noise: Option<f64>) -> Pass {
    let triangle = table.dim * (table.dim + 1) / 2;
    let empty = Sums { first: vec![0.0; table.dim], second: vec![0.0; triangle], ..Sums::default() };
    let mut found = Pass { sums: vec![empty; densities.len()], ..Pass::default() };
    let mut work = Work::new(densities, table.dim, noise);
    for index in 0..table.rows.div_ceil(BLOCK) {
        let (block, rows) = table.block(index);
        found.log_sum += respond(block, rows, densities, &mut work);
        sum_up(block, densities, &mut work, &mut found);
    }
    found
}

/// Visits responsibilities row by row: `visit(row, responsibilities (components + noise,), scales u (components,))`.
pub(super) fn each_row(
    table: &Table,
    densities: &[Density],
    noise: Option<f64>,
    mut visit: impl FnMut(usize, &[f64], &[f64]),
) {
    let mut work = Work::new(densities, table.dim, noise);
    let (mut line, mut scales) = (vec![0.0; work.log_rho.len()], vec![1.0; densities.len()]);
    for index in 0..table.rows.div_ceil(BLOCK) {
        let (block, rows) = table.block(index);
        respond(block, rows, densities, &mut work);
        for row in 0..rows {
            for (value, values) in line.iter_mut().zip(&work.log_rho) {
                *value = values[row];
            }
            for (k, density) in densities.iter().enumerate() {
                if let Some(freedom) = density.freedom {
                    scales[k] = (freedom + table.dim as f64) / (freedom + work.distances[k][row]);
                }
            }
            visit(index * BLOCK + row, &line, &scales);
        }
    }
}

struct Work {
    noise: Option<f64>,
    /// First `ln rho`, then the responsibilities.
    log_rho: Lines,
    /// `q` of each component; only filled for Student's t.
    distances: Lines,
    /// Differences of one component, `[column][row]`.
    differences: Lines,
}

impl Work {
    fn new(densities: &[Density], dim: usize, noise: Option<f64>) -> Work {
        let student = densities.iter().any(|density| density.freedom.is_some());
        Work {
            noise,
            log_rho: vec![[0.0; BLOCK]; densities.len() + usize::from(noise.is_some())],
            distances: vec![[0.0; BLOCK]; if student { densities.len() } else { 0 }],
            differences: vec![[0.0; BLOCK]; dim],
        }
    }
}

/// Computes the responsibilities of one block; returns its part of the sum of logarithms.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn respond(block: &[f64], rows: usize, densities: &[Density], work: &mut Work) -> f64 {
    let dim = work.differences.len();
    let mut highest = [f64::NEG_INFINITY; BLOCK];
    for (k, density) in densities.iter().enumerate() {
        let mut distance = [density.spread; BLOCK];
        subtract(block, &density.center, &mut work.differences);
        for i in 0..dim {
            let row = &density.lower[i * (i + 1) / 2..];
            let mut y = [0.0; BLOCK];
            for (factor, difference) in row.iter().zip(&work.differences[..=i]) {
                for n in 0..BLOCK {
                    y[n] += factor * difference[n];
                }
            }
            for n in 0..BLOCK {
                distance[n] += y[n] * y[n];
            }
        }
        let out = &mut work.log_rho[k];
        if let Some(freedom) = density.freedom {
            let shape = 0.5 * (freedom + dim as f64);
            for n in 0..BLOCK {
                out[n] = density.constant - shape * (0.5 * (freedom + distance[n])).ln();
            }
            work.distances[k] = distance;
        } else {
            for n in 0..BLOCK {
                out[n] = density.constant - 0.5 * distance[n];
            }
        }
        for n in 0..BLOCK {
            highest[n] = if out[n] > highest[n] { out[n] } else { highest[n] };
        }
    }
    if let (Some(noise), Some(out)) = (work.noise, work.log_rho.last_mut()) {
        *out = [noise; BLOCK];
        for highest in &mut highest {
            *highest = if noise > *highest { noise } else { *highest };
        }
    }
    let mut sum = [0.0; BLOCK];
    for out in &mut work.log_rho {
        for n in 0..BLOCK {
            let e = exp(out[n] - highest[n]);
            out[n] = e;
            sum[n] += e;
        }
    }
    // Padding gets no responsibility, and a logarithm of 0.
    let mut total = 0.0;
    highest[rows..].fill(0.0);
    sum[rows..].fill(1.0);
    for highest in highest {
        total += highest;
    }
    // One logarithm for several rows: each sum is in [1, components + 1], so the product cannot overflow.
    for group in sum.chunks_exact(LANES) {
        total += group.iter().product::<f64>().ln();
    }
    for sum in &mut sum {
        *sum = 1.0 / *sum;
    }
    sum[rows..].fill(0.0);
    for out in &mut work.log_rho {
        for n in 0..BLOCK {
            out[n] *= sum[n];
        }
    }
    total
}

/// Adds the responsibilities of one block to the sums.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2+fma", "aarch64+neon"))]
fn sum_up(block: &[f64], densities: &[Density], work: &mut Work, found: &mut Pass) {
    let dim = work.differences.len();
    if let Some(out) = work.log_rho.get(densities.len()) {
        found.noise_count += total(out);
    }
    for (k, (density, sums)) in densities.iter().zip(&mut found.sums).enumerate() {
        let r = &mut work.log_rho[k];
        sums.count += total(r);
        if let Some(freedom) = density.freedom {
            let distance = &work.distances[k];
            let mut log_rate = [0.0; BLOCK];
            for n in 0..BLOCK {
                let rate = 0.5 * (freedom + distance[n]);
                log_rate[n] = r[n] * rate.ln();
                r[n] *= 0.5 * (freedom + dim as f64) / rate;
            }
            sums.log_rate += total(&log_rate);
            sums.weight += total(r);
        }
        subtract(block, &density.center, &mut work.differences);
        let mut weighted = [0.0; BLOCK];
        for i in 0..dim {
            let difference = &work.differences[i];
            for n in 0..BLOCK {
                weighted[n] = r[n] * difference[n];
            }
            sums.first[i] += total(&weighted);
            for j in 0..=i {
                sums.second[i * (i + 1) / 2 + j] += product(&weighted, &work.differences[j]);
            }
        }
        if density.freedom.is_none() {
            sums.weight = sums.count;
        }
    }
}

#[inline(always)]
fn subtract(block: &[f64], center: &[f64], out: &mut [[f64; BLOCK]]) {
    let (columns, _) = block.as_chunks::<BLOCK>();
    for ((column, center), out) in columns.iter().zip(center).zip(out) {
        for n in 0..BLOCK {
            out[n] = column[n] - center;
        }
    }
}

#[inline(always)]
fn total(values: &[f64; BLOCK]) -> f64 {
    let mut sums = [0.0; LANES];
    let (groups, _) = values.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            sums[lane] += group[lane];
        }
    }
    fold(sums)
}

#[inline(always)]
fn product(a: &[f64; BLOCK], b: &[f64; BLOCK]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    fold(sums)
}

#[inline(always)]
fn fold(sums: [f64; LANES]) -> f64 {
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

/// `e^x` for `x <= 0`, without a branch, so that it vectorises. Relative error 1e-15; below -700 the result is 0.
///
/// `x = n ln 2 + r`, `|r| <= ln 2 / 2`: Taylor's series of degree 13 for `e^r`, and `n` added to the exponent.
#[inline(always)]
fn exp(x: f64) -> f64 {
    /// Adding it leaves the nearest integer in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// `ln 2` split in two; the first part has trailing zeros, so that `n` times it is exact.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let inside = if x > -700.0 { x } else { -700.0 };
    let shifted = inside * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (inside - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut series = 1.0 / 6_227_020_800.0;
    for factor in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        series = series * r + factor;
    }
    let scaled = f64::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 52));
    if x > -700.0 { scaled } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for step in 0..=70_000 {
            let x = -f64::from(step) / 100.0 + 0.003;
            let x = x.min(0.0);
            if x > -700.0 {
                assert!((exp(x) / x.exp() - 1.0).abs() < 4e-15, "{x}: {} is not {}", exp(x), x.exp());
            }
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e9), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
    }

    /// Compares a pass over two components and noise on 300 rows with sums over [`each_row`].
    #[test]
    fn a_pass_sums_what_each_row_says() {
        let columns: Vec<Vec<f64>> =
            (0..2).map(|j| (0..300).map(|n| f64::from((n * 37 + j * 11) % 101) / 50.0 - 1.0).collect()).collect();
        let table = Table::new(&columns);
        for freedom in [None, Some(3.5)] {
            let density = |x: f64| Density {
                constant: -x,
                center: vec![x, -x],
                lower: vec![1.5, 0.3, 2.0 - x],
                spread: 0.01,
                freedom,
            };
            let densities = [density(0.2), density(-0.4)];
            let found = pass(&table, &densities, Some(-2.5));
            let mut expected = vec![(0.0, 0.0, 0.0, 0.0); 2];
            let (mut rows, mut noise) = (0, 0.0);
            each_row(&table, &densities, Some(-2.5), |row, r, u| {
                assert!((r.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                rows += 1;
                noise += r[2];
                for k in 0..2 {
                    let d: Vec<f64> = (0..2).map(|j| columns[j][row] - densities[k].center[j]).collect();
                    expected[k].0 += r[k];
                    expected[k].1 += r[k] * u[k];
                    expected[k].2 += r[k] * u[k] * d[1];
                    expected[k].3 += r[k] * u[k] * d[1] * d[0];
                }
            });
            assert_eq!(rows, 300);
            assert!((found.noise_count - noise).abs() < 1e-9);
            let counted: f64 = found.sums.iter().map(|sums| sums.count).sum();
            assert!((counted + found.noise_count - 300.0).abs() < 1e-9, "padding counts nothing");
            for (sums, expected) in found.sums.iter().zip(expected) {
                for (found, expected) in [
                    (sums.count, expected.0),
                    (sums.weight, expected.1),
                    (sums.first[1], expected.2),
                    (sums.second[1], expected.3),
                ] {
                    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
                }
            }
        }
    }
}
