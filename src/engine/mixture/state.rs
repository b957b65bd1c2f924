//! Posterior of a fit: assigns further rows, and starts the next fit.
//!
//! Invariant: in unchanged units the model of a state is bit by bit the fitted one.

use serde::{Deserialize, Serialize};

use super::components::{Component, Model, Prior, PriorSettings, Shares};
use super::kernel::{Table, each_row};
use super::scaling::Scale;
use super::triangle::at;

/// Student's t: a row whose scale is below this share of a typical member's is an outlier.
const COUNTS_MIN: f64 = 0.2;

/// Cluster assignment of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Number of the most probable cluster, also for outliers.
    pub group: u32,
    /// Probability of that cluster, given that the row is not noise.
    pub probability: f64,
    /// Outlier score in `[0, 1]`: the probability of noise, combined for Student's t with the distance in the tail.
    pub outlier_weight: f64,
    /// Whether the row counts as an outlier.
    pub outlier: bool,
}

/// Posterior of a fit: enough to assign a new row, and to start the next fit from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    scales: Vec<Option<Scale>>,
    student: bool,
    slots: usize,
    log_noise: Option<f64>,
    components: Vec<Kept>,
    noise: Option<f64>,
    /// Gain in nats that one more step would have had.
    gain_left: f64,
    /// The next unused cluster number.
    pub(super) next_id: u32,
    /// Stored behind the other fields by [`State::to_bytes`], since earlier versions stored none.
    #[serde(skip)]
    prior: PriorSettings,
}

/// A component with its cluster's number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    id: u32,
    count: f64,
    beta: f64,
    mean: Vec<f64>,
    nu: f64,
    scatter: Vec<f64>,
    freedom: Option<f64>,
}

impl State {
    pub(super) fn new(
        scales: &[Option<Scale>],
        prior: &Prior,
        model: &Model,
        gain_left: f64,
        ids: &[u32],
        next_id: u32,
    ) -> State {
        let kept = |(component, id): (&Component, &u32)| Kept {
            id: *id,
            count: component.count,
            beta: component.beta,
            mean: component.mean.clone(),
            nu: component.nu,
            scatter: component.scatter.clone(),
            freedom: component.freedom,
        };
        State {
            scales: scales.to_vec(),
            student: prior.student,
            slots: prior.slots,
            log_noise: prior.log_noise,
            components: model.components.iter().zip(ids).map(kept).collect(),
            noise: model.noise,
            gain_left,
            next_id,
            prior: prior.settings,
        }
    }

    /// Serialises the state; `None` if it cannot be, which never happens to plain data.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let bytes = postcard::to_stdvec(self).ok()?;
        if self.prior == PriorSettings::default() { Some(bytes) } else { postcard::to_extend(&self.prior, bytes).ok() }
    }

    /// Reads the bytes of [`State::to_bytes`]; `None` for other bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<State> {
        let (state, rest): (State, &[u8]) = postcard::take_from_bytes(bytes).ok()?;
        let prior = if rest.is_empty() { PriorSettings::default() } else { postcard::from_bytes(rest).ok()? };
        Some(State { prior, ..state })
    }

    /// A state without clusters, for a fit of other columns: new clusters get unused numbers.
    #[must_use]
    pub fn without_clusters(&self) -> State {
        State { components: Vec::new(), noise: None, ..self.clone() }
    }

    /// Numbers of the clusters, sorted.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.components.iter().map(|kept| kept.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Assignment of a further row, `(columns,)`, in the units of the columns. `None` for another number of columns or
    /// a value that is not finite.
    #[must_use]
    pub fn place(&self, row: &[f64]) -> Option<Member> {
        if row.len() != self.scales.len() || row.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut scaled: Vec<Vec<f64>> = self
            .scales
            .iter()
            .zip(row)
            .filter_map(|(scale, value)| scale.map(|scale| vec![scale.scaled(*value)]))
            .collect();
        if scaled.is_empty() {
            scaled.push(vec![0.0]);
        }
        let prior = self.prior(scaled.len());
        let model = self.model(&self.scales, &prior)?;
        let place = *places(&Table::new(&scaled), &prior, &model).first()?;
        Some(Member {
            group: self.components.get(place.component)?.id,
            probability: place.probability,
            outlier_weight: place.outlier_weight,
            outlier: place.outlier,
        })
    }

    fn prior(&self, dim: usize) -> Prior {
        Prior {
            dim,
            slots: self.slots,
            log_noise: self.log_noise,
            student: self.student,
            shares: Shares::Fitted,
            settings: self.prior,
        }
    }

    /// Initial model of the next fit of such rows, and the gain in nats that one more step would have had.
    pub(super) fn warm(&self, scales: &[Option<Scale>], prior: &Prior) -> Option<(Model, f64)> {
        self.model(scales, prior).map(|model| (model, self.gain_left))
    }

    /// The model in the scaled units of other rows; `None` when it has another kind or other columns.
    fn model(&self, scales: &[Option<Scale>], prior: &Prior) -> Option<Model> {
        let same = self.student == prior.student
            && self.scales.len() == scales.len()
            && self.scales.iter().zip(scales).all(|(own, other)| own.is_some() == other.is_some());
        if !same {
            return None;
        }
        // x' = factor x + shift, exactly 1 and 0 where nothing has changed.
        let mut moves: Vec<(f64, f64)> = self
            .scales
            .iter()
            .zip(scales)
            .filter_map(|(own, other)| own.zip(*other))
            .map(|(own, other)| (own.width / other.width, (own.center - other.center) / other.width))
            .collect();
        if moves.is_empty() {
            moves.push((1.0, 0.0));
        }
        let components = self.components.iter().map(|kept| {
            let mean = kept.mean.iter().zip(&moves).map(|(mean, (factor, shift))| factor * mean + shift).collect();
            let mut scatter = kept.scatter.clone();
            for i in 0..prior.dim {
                for j in 0..=i {
                    scatter[at(i, j)] *= moves[i].0 * moves[j].0;
                }
            }
            Component::new(prior, kept.count, kept.beta, mean, kept.nu, scatter, kept.freedom)
        });
        let components = components.collect::<Option<Vec<Component>>>()?;
        let noise = self.noise.filter(|_| prior.log_noise.is_some());
        (!components.is_empty()).then_some(Model { components, noise })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) component: usize,
    pub(super) probability: f64,
    pub(super) outlier_weight: f64,
    pub(super) outlier: bool,
}

/// Assignments of all rows.
pub(super) fn places(table: &Table, prior: &Prior, model: &Model) -> Vec<Place> {
    let (densities, noise) = model.densities(prior);
    let mut places = Vec::with_capacity(table.rows());
    // Without noise first: far away every cluster's share beside the noise is too small to compare.
    each_row(table, &densities, None, |_, r, scales| {
        let (mut component, mut probability) = (0, f64::NEG_INFINITY);
        for (k, r) in r.iter().enumerate() {
            if *r > probability {
                (component, probability) = (k, *r);
            }
        }
        let outlier_weight = (1.0 - scales[component]).clamp(0.0, 1.0);
        places.push(Place { component, probability, outlier_weight, outlier: outlier_weight > 1.0 - COUNTS_MIN });
    });
    if noise.is_some() {
        each_row(table, &densities, noise, |row, r, _| {
            let (noise, place) = (r[r.len() - 1], &mut places[row]);
            place.outlier_weight = 1.0 - (1.0 - noise) * (1.0 - place.outlier_weight);
            place.outlier |= noise > 0.5;
        });
    }
    places
}
