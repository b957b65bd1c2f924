//! What the online model knows of one topic beyond a direction: which pairs of the topic's axes go together.
//!
//! Invariant: weights are symmetric and finite; 16 bits each, so that a person's model stays within 4 KB.
//!
//! A linear model in centred vectors says: more of this, less of that. People also accept what lies at either end of an
//! axis, or two kinds of thing that have little in common. In coordinates `p` along the topic's axes the model adds
//! `sum_jl M_jl (p_j p_l - [j = l] s_j)`, with `s` the axes' spreads, so that the mean over the topic is 0, as it is for
//! the linear part. Learned as one more block of weights of the same Bayesian logistic regression, this is the linear
//! model under the kernel `k + k^2`, `k` the cosine of two centred vectors, as far as the axes reach.

use serde::{Deserialize, Serialize};

use crate::domain::journal::CentreRef;
use crate::engine::learn::axes::{AXES, Axes, Coordinates};

/// Entries of a symmetric matrix over the axes.
pub const PAIRS: usize = AXES * (AXES + 1) / 2;

/// The learned block of one topic, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quadratic {
    /// In whose axes.
    pub centre: CentreRef,
    /// One over the variance of each weight: one number for all, which is all that pays (decision 11).
    pub precision: f32,
    /// Lower triangle by rows, see [`to_bits`].
    #[serde(with = "packed")]
    weights: [u16; PAIRS],
}

/// The same, ready for use: `M`, and what it gives at the topic's mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    matrix: [[f32; AXES]; AXES],
    /// `sum_j M_jj s_j`.
    offset: f32,
}

impl Quadratic {
    /// Nothing learned.
    #[must_use]
    pub fn new(centre: CentreRef, precision: f32) -> Quadratic {
        Quadratic { centre, precision, weights: [0; PAIRS] }
    }

    /// The weights by rows of the lower triangle, `(PAIRS,)`.
    pub fn weights(&self) -> impl Iterator<Item = f32> + '_ {
        self.weights.iter().map(|weight| from_bits(*weight))
    }

    /// Ready for use, in its own axes.
    #[must_use]
    pub fn form(&self, axes: &Axes) -> Form {
        let mut matrix = [[0.0; AXES]; AXES];
        let mut packed = self.weights.iter();
        for row in 0..AXES {
            for (column, weight) in (0..=row).zip(&mut packed) {
                let weight = from_bits(*weight);
                matrix[row][column] = weight;
                matrix[column][row] = weight;
            }
        }
        Form::of(matrix, axes)
    }

    /// Keeps a form.
    pub fn keep(&mut self, form: &Form) {
        let mut packed = self.weights.iter_mut();
        for (row, weights) in form.matrix.iter().enumerate() {
            for (weight, packed) in weights[..=row].iter().zip(&mut packed) {
                *packed = to_bits(*weight);
            }
        }
    }
}

impl Form {
    fn of(matrix: [[f32; AXES]; AXES], axes: &Axes) -> Form {
        let offset = (0..AXES).map(|j| matrix[j][j] * axes.spreads()[j]).sum();
        Form { matrix, offset }
    }

    /// The same in the axes of another epoch of the topic's centre: `R M R^T` with `R` the overlap of new and old axes.
    /// What the new axes do not reach is lost.
    #[must_use]
    pub fn turned(&self, from: &Axes, to: &Axes) -> Form {
        let overlap = to.overlap(from);
        let half: [[f32; AXES]; AXES] = std::array::from_fn(|j| {
            std::array::from_fn(|l| (0..AXES).map(|i| overlap[j][i] * self.matrix[i][l]).sum())
        });
        let mut matrix = [[0.0; AXES]; AXES];
        for j in 0..AXES {
            for l in 0..=j {
                let sum = (0..AXES).map(|i| half[j][i] * overlap[l][i]).sum();
                matrix[j][l] = sum;
                matrix[l][j] = sum;
            }
        }
        Form::of(matrix, to)
    }

    /// `sum_jl M_jl (p_j p_l - [j = l] s_j)`: log-odds.
    #[must_use]
    pub fn value(&self, p: &Coordinates) -> f32 {
        let mut sums = [0.0_f32; AXES];
        for (row, p_j) in self.matrix.iter().zip(p) {
            for lane in 0..AXES {
                sums[lane] += p_j * row[lane];
            }
        }
        let mut total = 0.0;
        for lane in 0..AXES {
            total += sums[lane] * p[lane];
        }
        total - self.offset
    }

    /// `M_jl += step (p_j p_l - [j = l] s_j)`.
    pub fn step(&mut self, p: &Coordinates, axes: &Axes, step: f32) {
        for (row, p_j) in self.matrix.iter_mut().zip(p) {
            let along = step * p_j;
            for lane in 0..AXES {
                row[lane] += along * p[lane];
            }
        }
        for (j, spread) in axes.spreads().iter().enumerate() {
            self.matrix[j][j] -= step * spread;
        }
        self.offset = (0..AXES).map(|j| self.matrix[j][j] * axes.spreads()[j]).sum();
    }
}

/// Squared length of the features `p_j p_l - [j = l] s_j`: `(p . p)^2 - 2 sum s_j p_j^2 + s . s`.
#[must_use]
pub fn squared_length(p: &Coordinates, axes: &Axes) -> f32 {
    let (mut p_p, mut s_p_p, mut s_s) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (p, s) in p.iter().zip(axes.spreads()) {
        p_p += p * p;
        s_p_p += s * p * p;
        s_s += s * s;
    }
    (p_p * p_p - 2.0 * s_p_p + s_s).max(0.0)
}

/// The smallest magnitude that is told from 0, `2^-20`, in units of the last of 10 bits of a fraction.
const BASE: u32 = (127 - 20) << 10;

/// 16 bits: sign, 5 bits of exponent from -20 to 11, 10 of fraction; 0 below `2^-20`, at most 4,094 in magnitude.
/// Rounded to nearest, so what is written is off by at most one part in 2,048.
#[must_use]
pub fn to_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = ((bits & 0x7fff_ffff) + (1 << 12)) >> 13;
    // Code 0 is zero itself, so the first exponent lacks its first fraction.
    let code = magnitude.saturating_sub(BASE).min(0x7fff);
    (code | (bits >> 16 & 0x8000)) as u16
}

/// Reads [`to_bits`].
#[must_use]
pub fn from_bits(code: u16) -> f32 {
    let magnitude = u32::from(code & 0x7fff);
    let bits = if magnitude == 0 { 0 } else { (magnitude + BASE) << 13 };
    f32::from_bits(bits | u32::from(code & 0x8000) << 16)
}

/// Two bytes per weight in snapshots, low byte first.
mod packed {
    use super::PAIRS;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(weights: &[u16; PAIRS], serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = [0; 2 * PAIRS];
        for (pair, weight) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(weights) {
            *pair = weight.to_le_bytes();
        }
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u16; PAIRS], D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let (pairs, rest) = bytes.as_chunks::<2>();
        if pairs.len() != PAIRS || !rest.is_empty() {
            return Err(serde::de::Error::invalid_length(bytes.len(), &"two bytes per weight"));
        }
        let mut weights = [0; PAIRS];
        for (weight, pair) in weights.iter_mut().zip(pairs) {
            *weight = u16::from_le_bytes(*pair);
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Sixteen bits keep sign and size within one part in 2,048, and zero is zero.
        #[test]
        fn weights_survive_sixteen_bits(x in prop_oneof![-4000.0f32..4000.0, -1.0f32..1.0, -1e-3f32..1e-3, Just(0.0)]) {
            let back = from_bits(to_bits(x));
            let off = (back - x).abs();
            prop_assert!(off <= x.abs() / 2048.0 || x.abs() < 1.1 / f32::from(1u16 << 10).powi(2) && back == 0.0, "{x} {back}");
            prop_assert_eq!(to_bits(back), to_bits(x), "twice is once");
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
            assert_eq!(from_bits(to_bits(x)), back, "{name}");
        }
    }
}
