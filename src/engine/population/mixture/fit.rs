//! Result of a fit: clusters, the assignment of each row, and the state for the next fit.
//!
//! Invariant: clusters are ordered by number, none is empty, and sizes plus outliers sum to the number of rows.

use serde::{Deserialize, Serialize};

use super::align::{Moved, align};
use super::components::{Component, Model, Prior, Shares};
use super::kernel::{Table, each_row};
use super::problem::{GAIN_LAST, Problem, STEPS_LAST};
use super::scaling::Scale;
use super::search::{Climb, Unsound};
use super::triangle::{at, square};

/// Student's t: a row whose scale is below this share of a typical member's is an outlier.
const COUNTS_MIN: f64 = 0.2;

/// A cluster, in the units of the columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Number of the cluster, never reused for another cluster.
    pub id: u32,
    /// Number of rows assigned to it, without outliers.
    pub size: u64,
    /// Share of all rows, by responsibilities; the observed share, not the one fitted by the Dirichlet prior.
    pub weight: f64,
    /// Posterior mean, `(columns,)`.
    pub mean: Vec<f64>,
    /// Covariance, `(columns, columns)`: the inverse of the expected precision. For Student's t it is the scale matrix.
    pub covariance: Vec<Vec<f64>>,
    /// Degrees of freedom of Student's t; absent for Gaussians.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freedom: Option<f64>,
}

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
    next_id: u32,
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

/// Result of fitting a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Clusters, in the order of their numbers.
    pub groups: Vec<Group>,
    /// Assignments, one per row.
    pub members: Vec<Member>,
    /// Expected share of noise, in [0, 1].
    pub noise_weight: f64,
    /// Variational lower bound of the log evidence of the fitted rows, in scaled units.
    pub lower_bound: f64,
    /// Number of fitted rows; fewer than all where a sample was used.
    pub rows_fitted: usize,
    /// Number of starts that were compared.
    pub starts: usize,
    /// Whether the settings limit the number of clusters: one more would raise the score.
    pub maximum_binds: bool,
    /// Posterior, the warm start of the next fit.
    pub state: State,
}

impl Fit {
    pub(super) fn new(problem: &Problem, mut climb: Climb, starts: usize, needs_more: bool) -> Result<Fit, Unsound> {
        let prior = &problem.prior.fitted();
        let mut places = places(&problem.all, prior, &climb.model);
        // A component that is no row's most probable one has no members to show, so it is removed.
        while let Some(empty) = sizes(&places, climb.model.components.len()).iter().position(|size| *size == 0) {
            if climb.model.components.len() == 1 {
                break;
            }
            let mut model = climb.model;
            model.components.remove(empty);
            climb = Climb::begin(problem.fitted(), prior, model)?;
            climb.climb(problem.fitted(), prior, GAIN_LAST, STEPS_LAST)?;
            places = self::places(&problem.all, prior, &climb.model);
        }
        let count = climb.model.components.len();
        let sizes = sizes(&places, count);
        let (ids, next_id) = numbers(problem, &places, &sizes);
        let mut groups: Vec<Group> = (0..count)
            .map(|k| group(problem, &climb.model.components[k], ids[k], sizes[k], problem.fitted().rows()))
            .collect();
        groups.sort_by_key(|group| group.id);
        let members = places
            .iter()
            .map(|place| Member {
                group: ids[place.component],
                probability: place.probability,
                outlier_weight: place.outlier_weight,
                outlier: place.outlier,
            })
            .collect();
        let rows_fitted = problem.fitted().rows();
        let gain_left = climb.gain_left(problem.fitted(), prior)?;
        Ok(Fit {
            groups,
            members,
            noise_weight: climb.model.noise.unwrap_or(0.0) / rows_fitted as f64,
            lower_bound: climb.bound,
            rows_fitted,
            starts,
            // With fewer rows than allowed clusters, the rows are the limit and not the settings.
            maximum_binds: needs_more && count >= problem.settings.components,
            state: State::new(problem, &climb.model, gain_left, &ids, next_id),
        })
    }

    /// Cluster number of each row, for a next fit's [`super::Previous`] over the current rows.
    #[must_use]
    pub fn group_of_row(&self) -> Vec<Option<u32>> {
        self.members.iter().map(|member| Some(member.group)).collect()
    }
}

impl State {
    fn new(problem: &Problem, model: &Model, gain_left: f64, ids: &[u32], next_id: u32) -> State {
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
            scales: problem.scales.clone(),
            student: problem.prior.student,
            slots: problem.prior.slots,
            log_noise: problem.prior.log_noise,
            components: model.components.iter().zip(ids).map(kept).collect(),
            noise: model.noise,
            gain_left,
            next_id,
        }
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
        Prior { dim, slots: self.slots, log_noise: self.log_noise, student: self.student, shares: Shares::Fitted }
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
struct Place {
    component: usize,
    probability: f64,
    outlier_weight: f64,
    outlier: bool,
}

/// Assignments of all rows.
fn places(table: &Table, prior: &Prior, model: &Model) -> Vec<Place> {
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

fn sizes(places: &[Place], count: usize) -> Vec<u64> {
    let mut sizes = vec![0; count];
    for place in places.iter().filter(|place| !place.outlier) {
        sizes[place.component] += 1;
    }
    sizes
}

/// Numbers of the clusters, and the next unused number.
fn numbers(problem: &Problem, places: &[Place], sizes: &[u64]) -> (Vec<u32>, u32) {
    let Some(previous) = &problem.previous else {
        // In a first fit, the biggest cluster is 0.
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|k| std::cmp::Reverse(sizes[*k]));
        let mut numbers = vec![0; sizes.len()];
        for (number, k) in (0..).zip(order) {
            numbers[k] = number;
        }
        return (numbers, sizes.len() as u32);
    };
    let before = previous.state.ids();
    let moved: Vec<Moved> = previous
        .group_of_row
        .iter()
        .zip(places)
        .map(|(group, place)| Moved {
            before: group.and_then(|group| before.binary_search(&group).ok()),
            after: place.component,
            weight: place.probability * (1.0 - place.outlier_weight),
        })
        .collect();
    let mut next = previous.state.next_id;
    let numbers = align(&before, sizes.len(), &moved, &mut next);
    (numbers, next)
}

fn group(problem: &Problem, component: &Component, id: u32, size: u64, rows: usize) -> Group {
    let scaled = square(problem.prior.dim, &component.covariance());
    // Index of each column among the scaled columns.
    let mut next = 0;
    let places: Vec<Option<(usize, Scale)>> = problem
        .scales
        .iter()
        .map(|scale| {
            scale.map(|scale| {
                next += 1;
                (next - 1, scale)
            })
        })
        .collect();
    let mean = places
        .iter()
        .zip(&problem.constants)
        .map(|(place, constant)| place.map_or(*constant, |(i, scale)| scale.unscaled(component.mean[i])))
        .collect();
    let covariance = places
        .iter()
        .map(|a| {
            let cell = |b: &Option<(usize, Scale)>| {
                a.zip(*b).map_or(0.0, |((i, a), (j, b))| (a.width * b.width) * scaled[i][j])
            };
            places.iter().map(cell).collect()
        })
        .collect();
    Group { id, size, weight: component.count / rows as f64, mean, covariance, freedom: component.freedom }
}
