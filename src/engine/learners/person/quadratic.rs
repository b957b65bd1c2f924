//! Quadratic part of the online model for one topic: interactions between pairs of the topic's axes.
//!
//! Invariant: weights are symmetric and finite; each takes 16 bits, so a user's model stays within 4 KB.
//!
//! A linear model in centred vectors can only prefer more or less of a direction. Users also like both ends of an axis,
//! or two kinds of items with little in common. In coordinates `p` along the topic's axes the model adds `sum_jl M_jl
//! (p_j p_l - [j = l] s_j)`, with `s` the axes' spreads. So its mean over the topic is 0, like that of the linear part.
//! It is learned as one more block of weights of the Bayesian logistic regression. That is the linear model under the
//! kernel `k + k^2`, with `k` the cosine of two centred vectors, within the span of the axes.

use std::f32::consts::SQRT_2;

use serde::{Deserialize, Serialize};

use crate::domain::journal::CentreRef;
use crate::engine::catalogue::centres::{AXES, Axes, Coordinates};
use crate::engine::numeric::kernels::{dot_halves, from_half, step_halves, to_half};

/// Entries of a symmetric matrix over the axes.
pub(crate) const PAIRS: usize = AXES * (AXES + 1) / 2;

/// Learned block of one topic, as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quadratic {
    /// Centre whose axes the weights refer to.
    pub centre: CentreRef,
    /// Inverse variance of each weight, shared by all weights; separate precisions did not improve results (decision
    /// 11).
    pub precision: f32,
    /// Lower triangle by rows, of [`features`]; 16 bits each, see [`to_half`].
    #[serde(with = "packed")]
    weights: [u16; PAIRS],
}

/// Matrix form of a [`Quadratic`], for scoring many items.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    matrix: [[f32; AXES]; AXES],
    /// `sum_j M_jj s_j`.
    offset: f32,
}

impl Quadratic {
    /// A block of zeros at the prior `precision`.
    #[must_use]
    pub fn new(centre: CentreRef, precision: f32) -> Quadratic {
        Quadratic { centre, precision, weights: [0; PAIRS] }
    }

    /// The weights by rows of the lower triangle, `(PAIRS,)`.
    pub fn weights(&self) -> impl Iterator<Item = f32> + '_ {
        self.weights.iter().map(|weight| from_half(*weight))
    }

    /// Log-odds of an item with these [`features`].
    #[must_use]
    pub fn value(&self, features: &[f32; PAIRS]) -> f32 {
        dot_halves(&self.weights, features)
    }

    /// `w += step * features`.
    pub fn step(&mut self, features: &[f32; PAIRS], step: f32) {
        step_halves(&mut self.weights, features, step);
    }

    /// Matrix form in the block's own axes.
    #[must_use]
    pub fn form(&self, axes: &Axes) -> Form {
        let mut matrix = [[0.0; AXES]; AXES];
        let places = (0..AXES).flat_map(|row| (0..=row).map(move |column| (row, column)));
        for ((row, column), weight) in places.zip(self.weights()) {
            let weight = if column == row { weight } else { weight / SQRT_2 };
            matrix[row][column] = weight;
            matrix[column][row] = weight;
        }
        Form::of(matrix, axes)
    }

    /// Transforms the block into the axes of another epoch of the topic's centre: `R M R^T`, with `R` the overlap of
    /// new and old axes. Components outside of the new axes' span are lost.
    #[must_use]
    pub fn turned(&self, from: &Axes, to: &Axes, centre: CentreRef) -> Quadratic {
        let (overlap, matrix) = (to.overlap(from), self.form(from).matrix);
        let half: [[f32; AXES]; AXES] =
            std::array::from_fn(|j| std::array::from_fn(|l| (0..AXES).map(|i| overlap[j][i] * matrix[i][l]).sum()));
        let mut turned = Quadratic { centre, ..self.clone() };
        let places = (0..AXES).flat_map(|row| (0..=row).map(move |column| (row, column)));
        for ((row, column), weight) in places.zip(&mut turned.weights) {
            let sum: f32 = half[row].iter().zip(&overlap[column]).map(|(half, along)| half * along).sum();
            *weight = to_half(if column == row { sum } else { sum * SQRT_2 });
        }
        turned
    }
}

impl Form {
    fn of(matrix: [[f32; AXES]; AXES], axes: &Axes) -> Form {
        let offset = (0..AXES).map(|j| matrix[j][j] * axes.spreads()[j]).sum();
        Form { matrix, offset }
    }

    /// `sum_jl M_jl (p_j p_l - [j = l] s_j)`: log-odds.
    #[must_use]
    #[inline(always)]
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
}

/// Feature vector `(PAIRS,)`: `p_j p_j - s_j`, and `sqrt(2) p_j p_l` below the diagonal, as lower triangle by rows. The
/// dot product of two items' features is that of their matrices `p_j p_l - [j = l] s_j`.
#[must_use]
pub fn features(p: &Coordinates, axes: &Axes) -> [f32; PAIRS] {
    let mut features = [0.0; PAIRS];
    let mut rest = &mut features[..];
    for (j, (p_j, spread)) in p.iter().zip(axes.spreads()).enumerate() {
        let (row, below) = rest.split_at_mut(j + 1);
        let along = SQRT_2 * p_j;
        for (feature, p_l) in row.iter_mut().zip(p) {
            *feature = along * p_l;
        }
        row[j] = p_j * p_j - spread;
        rest = below;
    }
    features
}

/// Serialises weights as two bytes each, little-endian.
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
    use crate::domain::items::Embedding;
    use crate::engine::catalogue::centres::{Centre, principal, stored_len};
    use proptest::prelude::*;

    proptest! {
        /// Scoring one item by its features agrees with scoring it by the matrix form.
        #[test]
        fn a_form_says_what_its_weights_say(
            items in prop::collection::vec(prop::collection::vec(-1.0f32..1.0, 24), 25..40),
            steps in prop::collection::vec((0usize..25, -2.0f32..2.0), 1..20)
        ) {
            let mut stored = vec![1.0; 24];
            stored.extend(principal(&items));
            let centre = Centre::of(&Embedding::new(stored, stored_len(24)).unwrap(), 24).unwrap();
            let axes = centre.axes().unwrap();
            let placed: Vec<Coordinates> = items.iter().filter_map(|x| axes.coordinates(x)).collect();
            let mut quadratic = Quadratic::new(CentreRef::NONE, 0.1);
            for (item, step) in steps {
                quadratic.step(&features(&placed[item], axes), step);
            }
            let form = quadratic.form(axes);
            for p in &placed {
                let (one, many) = (quadratic.value(&features(p, axes)), form.value(p));
                prop_assert!((one - many).abs() < 1e-3 * (1.0 + one.abs()), "{one} {many}");
            }
        }
    }
}
