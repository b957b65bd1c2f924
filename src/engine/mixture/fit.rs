//! Result of a fit: clusters, the assignment of each row, and the state for the next fit.
//!
//! Invariant: clusters are ordered by number, none is empty, and sizes plus outliers sum to the number of rows.

use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::align::{Moved, align};
use super::components::Component;
use super::problem::{GAIN_LAST, Problem, STEPS_LAST, Start};
use super::scaling::Scale;
use super::search::{Climb, Unsound, settle};
use super::state::{Member, Place, State, places};
use super::triangle::square;

/// A random start must beat the warm start by this many nats; otherwise users would move for nothing.
const GAIN_MOVE: f64 = 1.0;

/// A cluster, in the units of the columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Cluster")]
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

/// Result of fitting a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Clusters, in the order of their numbers.
    pub groups: Vec<Group>,
    /// Assignments, one per row.
    pub members: Vec<Member>,
    /// Expected share of noise, in [0, 1].
    pub(crate) noise_weight: f64,
    /// Variational lower bound of the log evidence of the fitted rows, in scaled units.
    pub lower_bound: f64,
    /// Number of fitted rows; fewer than all where a sample was used.
    pub(crate) rows_fitted: usize,
    /// Number of starts that were compared.
    pub starts: usize,
    /// Whether the settings limit the number of clusters: one more would raise the score.
    pub maximum_binds: bool,
    /// Posterior, the warm start of the next fit.
    pub state: State,
}

impl Problem {
    /// The fit, from all starts in order.
    ///
    /// # Errors
    /// The first start's, when all failed.
    pub fn finish(&self, starts: Vec<Result<Start, Unsound>>) -> Result<Fit, Unsound> {
        let count = starts.len();
        let (mut best, mut warm, mut failed): (Option<Climb>, Option<Start>, Option<Unsound>) = (None, None, None);
        for (index, start) in starts.into_iter().enumerate() {
            match start {
                Ok(start) if index >= self.settings.restarts => warm = Some(start),
                Ok(start) if best.as_ref().is_none_or(|best| start.climb.is_better_than(best)) => {
                    best = Some(start.climb);
                }
                Ok(_) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let mut random = self.settling();
        let best = best.map(|climb| self.finished(climb, &mut random)).transpose()?;
        let climb = match (warm, best) {
            (Some(warm), Some(best)) if best.is_better_than(&warm.climb.promised(GAIN_MOVE)) => best,
            (Some(warm), _) => warm.climb,
            (None, Some(best)) => best,
            (None, None) => return Err(failed.unwrap_or(Unsound::Overflow)),
        };
        let needs_more = climb.needs_more(self.fitted(), &self.prior.fitted(), &mut random)?;
        Fit::new(self, climb, count, needs_more)
    }

    /// Ascends to the maximum. The sparse prior has found the number of clear clusters. Then the prior of the shares is
    /// fitted to their sizes, and a cluster is split where that pays for its penalty.
    fn finished(&self, mut climb: Climb, random: &mut ChaCha8Rng) -> Result<Climb, Unsound> {
        let (table, fitted) = (self.fitted(), self.prior.fitted());
        settle(&mut climb, table, &self.prior, random)?;
        climb.climb(table, &self.prior, GAIN_LAST, STEPS_LAST)?;
        let mut climb = Climb { steps: climb.steps, ..Climb::begin(table, &fitted, climb.model)? };
        settle(&mut climb, table, &fitted, random)?;
        climb.climb(table, &fitted, GAIN_LAST, STEPS_LAST)?;
        Ok(climb)
    }

    /// Computes all starts, one after the other, and the fit.
    ///
    /// # Errors
    /// As [`Problem::finish`].
    pub fn solve(&self) -> Result<Fit, Unsound> {
        self.finish((0..self.starts()).map(|index| self.start(index)).collect())
    }
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
            state: State::new(&problem.scales, &problem.prior, &climb.model, gain_left, &ids, next_id),
        })
    }

    /// Cluster number of each row, for a next fit's [`super::Previous`] over the current rows.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn group_of_row(&self) -> Vec<Option<u32>> {
        self.members.iter().map(|member| Some(member.group)).collect()
    }
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
