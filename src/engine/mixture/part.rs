//! Splits of components.
//!
//! Invariant: a split is kept only if it raises the score of the whole mixture. It is fitted on the component's own
//! rows first, which is cheap, and tried in the mixture only when it may gain there.

use rand_chacha::ChaCha8Rng;

use super::components::{Component, Evidence, Model, Prior};
use super::kernel::{Table, each_row};
use super::search::{COARSE_ROWS, Climb, GAIN_COARSE, Unsound, some_rows};
use super::triangle::{add_outer, cholesky, inverse, length_squared, longest_axis};

/// Steps of fitting two halves to a component's own rows, before the split is tried in the mixture.
const PART_STEPS: usize = 15;
/// A split that loses more nats than this on the component's own rows is not tried in the mixture.
const PART_MARGIN: f64 = 20.0;

impl Climb {
    /// Tries to split components, the biggest first. `own` are rows, all or a sample, on which halves are fitted.
    pub(super) fn part(&mut self, table: &Table, prior: &Prior, own: &Table) -> Result<bool, Unsound> {
        if self.model.components.len() >= prior.slots {
            return Ok(false);
        }
        let members = self.members(prior, own);
        let mut order: Vec<usize> = (0..self.model.components.len()).collect();
        let count = |k: &usize| self.model.components[*k].count;
        order.sort_by(|a, b| count(b).total_cmp(&count(a)));
        for k in order {
            let Some(halves) = self.halves(prior, k, &own.pick(&members[k]))? else { continue };
            let mut model = self.model.clone();
            model.components.remove(k);
            model.components.extend(halves);
            if let Some(climb) = self.tried(table, prior, model)? {
                *self = climb;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether one component more than `prior` allows would raise the score.
    pub(super) fn needs_more(&self, table: &Table, prior: &Prior, random: &mut ChaCha8Rng) -> Result<bool, Unsound> {
        if self.model.components.len() < prior.slots {
            return Ok(false);
        }
        let few = (table.rows() > COARSE_ROWS).then(|| some_rows(table, COARSE_ROWS, random));
        let more = Prior { slots: prior.slots + 1, ..*prior };
        let mut climb = Climb { steps: self.steps, ..Climb::begin(table, &more, self.model.clone())? };
        climb.part(table, &more, few.as_ref().unwrap_or(table))
    }

    /// Rows by component: those with a responsibility above one half.
    fn members(&self, prior: &Prior, own: &Table) -> Vec<Vec<usize>> {
        let (densities, noise) = self.model.densities(prior);
        let mut members = vec![Vec::new(); densities.len()];
        each_row(own, &densities, noise, |row, r, _| {
            if let Some(k) = r[..members.len()].iter().position(|r| *r > 0.5) {
                members[k].push(row);
            }
        });
        members
    }

    /// The best two halves for the rows of a component; `None` where one component explains them as well.
    fn halves(&self, prior: &Prior, k: usize, own: &Table) -> Result<Option<[Component; 2]>, Unsound> {
        let whole = &self.model.components[k];
        let local = Prior { slots: 2, log_noise: None, ..*prior };
        if own.rows() < 2 * prior.dim {
            return Ok(None);
        }
        // The sample's rows represent all rows of the component.
        let times = whole.count / own.rows() as f64;
        let one = Model { components: vec![whole.clone()], noise: None };
        let Some(one) = unless_overflown(Climb::begin(own, &local, one))? else { return Ok(None) };
        let mut best: Option<Climb> = None;
        for halves in [along_the_longest_axis(prior, whole), far_apart(prior, whole, own)].into_iter().flatten() {
            let halves = Model { components: halves.into(), noise: None };
            let climbed = Climb::begin(own, &local, halves).and_then(|mut climb| {
                climb.climb(own, &local, GAIN_COARSE, PART_STEPS)?;
                Ok(climb)
            });
            let Some(climb) = unless_overflown(climbed)? else { continue };
            let is_better = best.as_ref().is_none_or(|best| climb.score > best.score);
            if climb.model.components.len() == 2 && is_better {
                best = Some(climb);
            }
        }
        let Some(best) = best else { return Ok(None) };
        let lost = (best.pass.log_sum - best.score) - (one.pass.log_sum - one.score);
        if times * (best.pass.log_sum - one.pass.log_sum) < lost - PART_MARGIN {
            return Ok(None);
        }
        let grown = |evidence: Evidence, freedom: Option<f64>| {
            let scatter = evidence.scatter.iter().map(|value| times * value).collect();
            let (count, weight) = (times * evidence.count, times * evidence.weight);
            Component::learned(prior, &Evidence { count, weight, scatter, ..evidence }, freedom)
        };
        let freedoms = best.model.freedoms(&local, &best.pass);
        let mut halves = best.model.evidence(&local, &best.pass).into_iter().zip(freedoms);
        let mut next = || halves.next().and_then(|(evidence, freedom)| grown(evidence, freedom));
        Ok(next().zip(next()).map(<[Component; 2]>::from))
    }
}

/// Turns an overflow into a rejected split; other errors remain errors.
fn unless_overflown<T>(result: Result<T, Unsound>) -> Result<Option<T>, Unsound> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Unsound::Overflow) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Two halves of a component along its longest axis; `None` on overflow.
fn along_the_longest_axis(prior: &Prior, component: &Component) -> Option<[Component; 2]> {
    /// Two equal Gaussians whose mixture looks like one: means at ±a deviations, variance 1 - a^2.
    const APART: f64 = 0.8;
    let covariance = component.covariance();
    let (axis, variance) = longest_axis(prior.dim, &covariance);
    let count = 0.5 * component.count;
    let nu = prior.nu() + count;
    let mut scatter = covariance;
    add_outer(prior.dim, &mut scatter, -APART * APART * variance, &axis);
    for value in &mut scatter {
        *value *= nu;
    }
    let half = |sign: f64| {
        let mean = component.mean.iter().zip(&axis).map(|(mean, axis)| mean + sign * APART * variance.sqrt() * axis);
        let (mean, scatter) = (mean.collect(), scatter.clone());
        Component::new(prior, count, component.beta * 0.5, mean, nu, scatter, component.freedom)
    };
    Some([half(-1.0)?, half(1.0)?])
}

/// Two parts of a component around two of its rows: the farthest from its mean, and the farthest from that one, by the
/// component's Mahalanobis distance. `None` on overflow.
fn far_apart(prior: &Prior, component: &Component, own: &Table) -> Option<[Component; 2]> {
    let root = cholesky(prior.dim, &component.covariance()).map(|lower| inverse(prior.dim, &lower))?;
    let row = |n: usize| (0..prior.dim).map(|j| own.value(n, j)).collect::<Vec<f64>>();
    let farthest = |from: &[f64]| {
        let mut best = (0, -1.0);
        for n in 0..own.rows() {
            let away: Vec<f64> = row(n).iter().zip(from).map(|(x, from)| x - from).collect();
            let distance = length_squared(prior.dim, &root, &away);
            if distance > best.1 {
                best = (n, distance);
            }
        }
        row(best.0)
    };
    let a = farthest(&component.mean);
    let b = farthest(&a);
    let count = 0.5 * component.count;
    let nu = prior.nu() + count;
    let scatter: Vec<f64> = component.covariance().iter().map(|value| 0.25 * nu * value).collect();
    let part = |end: &[f64]| {
        // Half-way from the mean, since the extreme rows are outliers.
        let mean = component.mean.iter().zip(end).map(|(mean, end)| 0.5 * (mean + end)).collect();
        Component::new(prior, count, 0.5 * component.beta, mean, nu, scatter.clone(), component.freedom)
    };
    Some([part(&a)?, part(&b)?])
}
