//! What a fit says: groups, and each row's place in them; and what it leaves behind for the next one.
//!
//! Invariant: groups are ordered by number, none is empty, and sizes and outliers sum to the rows.

use serde::{Deserialize, Serialize};

use super::align::{Moved, align};
use super::kernel::{Table, each_row};
use super::mixture::{Component, Model, Prior, Shares};
use super::problem::{GAIN_LAST, Problem, STEPS_LAST};
use super::scaling::Scale;
use super::search::{Climb, Unsound};
use super::triangle::{at, square};

/// A row of Student's t that counts for less than this share of a member is an outlier.
const COUNTS_MIN: f64 = 0.2;

/// A group, in the units of the columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Never used for another group.
    pub id: u32,
    /// Rows that are most likely in it, and no outliers.
    pub size: u64,
    /// Share of all rows, each counted by its probability; as it is, not as fitted to be like others.
    pub weight: f64,
    /// `(columns,)`.
    pub mean: Vec<f64>,
    /// `(columns, columns)`: the inverse of the expected precision. For Student's t its scale matrix.
    pub covariance: Vec<Vec<f64>>,
    /// Of Student's t.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freedom: Option<f64>,
}

/// A row's place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Number of the likeliest group, also for outliers.
    pub group: u32,
    /// Probability of that group, given that the row is no noise.
    pub probability: f64,
    /// How much less than a member the row counts, in `[0, 1]`: the probability that it is noise, and for Student's t also
    /// how far out in the tail it is.
    pub outlier_weight: f64,
    /// Is it one?
    pub outlier: bool,
}

/// What a fit leaves behind: enough to place a new row, and to begin the next fit from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    scales: Vec<Option<Scale>>,
    student: bool,
    slots: usize,
    log_noise: Option<f64>,
    components: Vec<Kept>,
    noise: Option<f64>,
    /// What one more step would have gained, in nats.
    gain_left: f64,
    /// The next number that was never used.
    next_id: u32,
}

/// A component with its group's number.
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

/// A solution.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// By number.
    pub groups: Vec<Group>,
    /// One per row.
    pub members: Vec<Member>,
    /// Expected share of noise.
    pub noise_weight: f64,
    /// Of the log evidence of the rows that were fitted, in scaled units.
    pub lower_bound: f64,
    /// Rows that were fitted; fewer than all where a sample was.
    pub rows_fitted: usize,
    /// Starts that were compared.
    pub starts: usize,
    /// There are as many groups as the settings allow, and one more would be better.
    pub maximum_binds: bool,
    /// For the next fit.
    pub state: State,
}

impl Fit {
    pub(super) fn new(problem: &Problem, mut climb: Climb, starts: usize, needs_more: bool) -> Result<Fit, Unsound> {
        let prior = &problem.prior.fitted();
        let mut places = places(&problem.all, prior, &climb.model);
        // A component in which nobody is most likely is none that could be shown.
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
            // With fewer rows than groups are allowed, it is the rows that are few.
            maximum_binds: needs_more && count >= problem.settings.components,
            state: State::new(problem, &climb.model, gain_left, &ids, next_id),
        })
    }

    /// Per row the number of its group, for a next fit's [`super::Previous`] over the same rows.
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

    /// Numbers of the groups.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.components.iter().map(|kept| kept.id).collect();
        ids.sort_unstable();
        ids
    }

    /// The place of one more row, `(columns,)`, in the units of the columns; `None` when it has another number of columns
    /// or a value that is not finite.
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

    /// Where the next fit of such rows begins, and what one more step would have gained there.
    pub(super) fn warm(&self, scales: &[Option<Scale>], prior: &Prior) -> Option<(Model, f64)> {
        self.model(scales, prior).map(|model| (model, self.gain_left))
    }

    /// The model in the scaled units of other rows; `None` when it is of another kind, or of other columns.
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

/// Every row's place.
fn places(table: &Table, prior: &Prior, model: &Model) -> Vec<Place> {
    let (densities, noise) = model.densities(prior);
    let mut places = Vec::with_capacity(table.rows());
    // Among groups alone first: far away every group's share is too small beside the noise to be told apart.
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

/// Numbers of the groups, and the next one.
fn numbers(problem: &Problem, places: &[Place], sizes: &[u64]) -> (Vec<u32>, u32) {
    let Some(previous) = &problem.previous else {
        // The first time, the biggest is 0.
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
    // The place of each column among those that took part.
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
