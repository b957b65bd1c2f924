//! Ascent from a start to a local optimum of the bound, and to better ones by merging and splitting components.
//!
//! Invariant: between two changes of structure (a component vanishes, is merged, is split, becomes noise) the bound
//! never falls beyond rounding. A change is kept only if it raises the score. Equal tables, priors and seeds give equal
//! results.

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::components::{Component, Evidence, Model, Prior, Shares, log_marginal, log_share_gain};
use super::kernel::{Pass, Table, each_row, pass};
use super::triangle::{at, cholesky};

/// A component with fewer rows than this has vanished: in the next step its count would shrink by a factor of about
/// e^-100.
const COUNT_MIN: f64 = 0.02;
/// A component that is wider than this many interquartile ranges in every direction is noise and no cluster: half of
/// all rows lie within one.
const DEVIATION_MAX: f64 = 2.0;
/// Noise with a larger share than this describes the bulk of the rows, so it is removed.
const NOISE_SHARE_MAX: f64 = 1.0 / 3.0;
/// Initial widths of components, in interquartile ranges. Starts cycle through them, since the scale of the clusters is
/// unknown.
const DEVIATION_START: [f64; 3] = [0.3, 0.1, 0.03];
/// Initial steps that update only shares and means.
const MEANS_FIRST: usize = 4;
/// With more rows than this, a start first fits a random sample of this size, and all rows once it has settled.
pub(super) const COARSE_ROWS: usize = 4_096;
/// Rows on which merges are estimated before they are tried.
const JUDGED_ROWS: usize = 1_000;
/// Initial number of components; a search restarts with twice as many while few of them vanish.
const COMPONENTS_START: usize = 10;
/// "Few" vanish if at least this share of them remains.
const SHARE_LEFT: f64 = 0.75;
/// Tolerance for rounding, relative to the bound and the number of rows.
const ROUNDING: f64 = 1e-10;

/// Initialisation of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seeding {
    /// Random responsibilities over a few random rows for each component.
    Responsibilities,
    /// Means on rows that are far from each other.
    Spread,
}

/// A violated invariant (a bug), or an overflow.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Unsound {
    /// The bound fell although no component vanished.
    #[error("the lower bound fell from {from} to {to} in one step: please report it with the data")]
    BoundFell {
        /// Bound before the step.
        from: f64,
        /// Bound after the step.
        to: f64,
    },
    /// Responsibilities do not sum to the number of rows.
    #[error("responsibilities sum to {found} for {rows} rows: please report it with the data")]
    Responsibilities {
        /// Sum of all responsibilities.
        found: f64,
        /// Expected sum: the number of rows.
        rows: usize,
    },
    /// A covariance is no longer positive definite.
    #[error("a covariance overflowed: are values far beyond the others in the data?")]
    Overflow,
}

/// State of an ascent.
#[derive(Clone, Debug)]
pub(super) struct Climb {
    pub(super) model: Model,
    /// Sums of the rows' responsibilities under `model`.
    pub(super) pass: Pass,
    pub(super) bound: f64,
    /// The bound minus the penalty of each component; structures are compared by it.
    pub(super) score: f64,
    pub(super) steps: usize,
}

impl Climb {
    /// Starts an ascent at a model.
    pub(super) fn begin(table: &Table, prior: &Prior, model: Model) -> Result<Climb, Unsound> {
        let (pass, bound) = look(table, prior, &model)?;
        Ok(Climb { score: score(prior, &model, bound), model, pass, bound, steps: 0 })
    }

    /// Whether this ascent beats another one on the problem: by the higher score. But a solution with noise always
    /// beats one that explains all rows by clusters alone.
    pub(super) fn is_better_than(&self, other: &Climb) -> bool {
        let tells = |climb: &Climb| climb.model.noise.is_some();
        (tells(self), self.score) > (tells(other), other.score)
    }

    /// A copy with the score raised by `gain`.
    pub(super) fn promised(&self, gain: f64) -> Climb {
        Climb { score: self.score + gain, ..self.clone() }
    }

    /// The next step, and its gain of the bound; infinite when a component vanishes. A step updates means, covariances
    /// and shares first, then responsibilities.
    fn next(&self, table: &Table, prior: &Prior) -> Result<(Climb, f64), Unsound> {
        let (model, changed) = self.improved(table, prior)?;
        let (pass, bound) = look(table, prior, &model)?;
        let gain = bound - self.bound;
        if !changed && gain < -ROUNDING * (self.bound.abs() + table.rows() as f64) {
            return Err(Unsound::BoundFell { from: self.bound, to: bound });
        }
        let next = Climb { score: score(prior, &model, bound), model, pass, bound, steps: self.steps + 1 };
        Ok((next, if changed { f64::INFINITY } else { gain }))
    }

    /// Gain of one more step.
    pub(super) fn gain_left(&self, table: &Table, prior: &Prior) -> Result<f64, Unsound> {
        Ok(self.next(table, prior)?.1)
    }

    /// Takes steps while they gain at least `gain_min`, at most `steps_max`. A later call continues from the reached
    /// state, so a converged ascent stays there.
    pub(super) fn climb(
        &mut self,
        table: &Table,
        prior: &Prior,
        gain_min: f64,
        steps_max: usize,
    ) -> Result<(), Unsound> {
        for _ in 0..steps_max {
            let (next, gain) = self.next(table, prior)?;
            if gain < gain_min {
                break;
            }
            *self = next;
        }
        Ok(())
    }

    fn improved(&self, table: &Table, prior: &Prior) -> Result<(Model, bool), Unsound> {
        let evidence = self.model.evidence(prior, &self.pass);
        let freedoms = self.model.freedoms(prior, &self.pass);
        let mut components = Vec::with_capacity(evidence.len());
        for (evidence, freedom) in evidence.iter().zip(freedoms) {
            if evidence.count >= COUNT_MIN {
                components.push(Component::learned(prior, evidence, freedom).ok_or(Unsound::Overflow)?);
            }
        }
        let mut changed = components.len() < evidence.len();
        let noise = self.model.noise.map(|_| self.pass.noise_count);
        if noise.is_some() {
            // The last component stays; otherwise all rows would be noise.
            while components.len() > 1
                && let Some(wide) = components.iter().position(|component| is_wide(prior, component))
            {
                components.remove(wide);
                changed = true;
            }
        }
        if components.is_empty() {
            // All rows were noise, and the noise was removed: start again with one component for all rows.
            let rows = table.rows() as f64;
            let guess = Component::guessed(prior, rows, vec![0.0; prior.dim], 1.0).ok_or(Unsound::Overflow)?;
            return Ok((Model { components: vec![guess], noise: None }, true));
        }
        Ok((Model { components, noise }, changed))
    }

    /// Tries to merge components, best estimate first, until no merge raises the bound.
    fn join(&mut self, table: &Table, prior: &Prior, judged: &Table, tries: usize) -> Result<bool, Unsound> {
        let mut joined = false;
        loop {
            let guesses = self.guesses(table, prior, judged);
            let mut better = None;
            for (gain, a, b) in guesses.into_iter().take(tries) {
                if gain < -GUESS_MARGIN {
                    break;
                }
                if let Some(climb) = self.without(table, prior, a, Some(b))? {
                    better = Some(climb);
                    break;
                }
            }
            match better {
                Some(climb) => *self = climb,
                None => return Ok(joined),
            }
            joined = true;
        }
    }

    /// Tries to remove small components, whose rows go to their neighbours or become noise.
    fn drop_small(&mut self, table: &Table, prior: &Prior, tries: usize) -> Result<bool, Unsound> {
        let mut order: Vec<usize> = (0..self.model.components.len()).collect();
        let count = |k: &usize| self.model.components[*k].count;
        order.retain(|k| count(k) < 0.1 * table.rows() as f64);
        order.sort_by(|a, b| count(a).total_cmp(&count(b)));
        for k in order.into_iter().take(tries) {
            if let Some(climb) = self.without(table, prior, k, None)? {
                *self = climb;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the noise when it describes the bulk of the rows.
    fn without_too_much_noise(&mut self, table: &Table, prior: &Prior) -> Result<(), Unsound> {
        if self.pass.noise_count > NOISE_SHARE_MAX * table.rows() as f64 {
            let model = Model { noise: None, ..self.model.clone() };
            let steps = self.steps;
            *self = Climb { steps, ..Climb::begin(table, prior, model)? };
            self.climb(table, prior, GAIN_COARSE, STEPS_MAX)?;
        }
        Ok(())
    }

    /// The ascent with component `a` merged into `b`, or removed; `None` when its score is no higher.
    fn without(&self, table: &Table, prior: &Prior, a: usize, b: Option<usize>) -> Result<Option<Climb>, Unsound> {
        let mut model = self.model.clone();
        if let Some(b) = b {
            let evidence = self.model.evidence(prior, &self.pass);
            let freedom = self.model.components[b].freedom;
            let joined = evidence[a].joined(&evidence[b]);
            let Some(component) = Component::learned(prior, &joined, freedom) else { return Ok(None) };
            model.components[b] = component;
        } else if model.components.len() == 1 {
            return Ok(None);
        }
        model.components.remove(a);
        self.tried(table, prior, model)
    }

    /// The ascent from a changed model; `None` when its score is no higher.
    pub(super) fn tried(&self, table: &Table, prior: &Prior, model: Model) -> Result<Option<Climb>, Unsound> {
        let mut climb = Climb::begin(table, prior, model)?;
        climb.steps = self.steps;
        let higher = |climb: &Climb| climb.score > self.score + GAIN_MIN;
        for _ in 0..TRIAL_STEPS {
            if higher(&climb) {
                return Ok(Some(climb));
            }
            let (next, gain) = climb.next(table, prior)?;
            climb = next;
            // Gains shrink from step to step, so a deficit of more than this many last gains cannot be recovered.
            if gain * TRIAL_HOPE < self.score - climb.score {
                return Ok(None);
            }
        }
        Ok(higher(&climb).then_some(climb))
    }

    /// Estimated gain of merging each pair at fixed responsibilities, best first.
    fn guesses(&self, table: &Table, prior: &Prior, judged: &Table) -> Vec<(f64, usize, usize)> {
        let count = self.model.components.len();
        let mut entropy = vec![0.0; count * count];
        let (densities, noise) = self.model.densities(prior);
        each_row(judged, &densities, noise, |_, r, _| {
            for a in 0..count {
                for b in 0..a {
                    if r[a] > 1e-6 && r[b] > 1e-6 {
                        let both = r[a] + r[b];
                        entropy[a * count + b] += both * both.ln() - r[a] * r[a].ln() - r[b] * r[b].ln();
                    }
                }
            }
        });
        let scale = table.rows() as f64 / judged.rows() as f64;
        let evidence = self.model.evidence(prior, &self.pass);
        let alone: Vec<f64> = evidence.iter().map(|evidence| log_marginal(prior, evidence)).collect();
        let mut guesses = Vec::new();
        for a in 0..count {
            for b in 0..a {
                let together = log_marginal(prior, &evidence[a].joined(&evidence[b]));
                let gain = together - alone[a] - alone[b] + log_share_gain(evidence[a].count, evidence[b].count)
                    - scale * entropy[a * count + b];
                guesses.push((gain, a, b));
            }
        }
        guesses.sort_by(|x, y| y.0.total_cmp(&x.0));
        guesses
    }
}

/// Minimum gain of a step before the structure is changed.
pub(super) const GAIN_COARSE: f64 = 0.05;
/// Minimum gain of a step in a start that may not win.
const GAIN_FINE: f64 = 1e-3;
/// Maximum steps between two changes of structure.
const STEPS_MAX: usize = 300;
/// Minimum gain of a change of structure.
const GAIN_MIN: f64 = 0.1;
/// Merges with an estimated loss beyond this are not tried.
const GUESS_MARGIN: f64 = 200.0;
/// Maximum steps for a changed structure to raise the score.
const TRIAL_STEPS: usize = 40;
/// Number of gains like the last one that a trial may hope for.
const TRIAL_HOPE: f64 = 25.0;

/// The score: the bound minus a penalty. Fitted shares cost the bound nothing, so each component is charged half the
/// logarithm of the rows for its share. This is the penalty of the Bayesian information criterion (Schwarz, *Estimating
/// the dimension of a model*, 1978).
fn score(prior: &Prior, model: &Model, bound: f64) -> f64 {
    match prior.shares {
        Shares::Sparse => bound,
        // A given concentration has its penalty in the bound.
        Shares::Fitted if prior.settings.concentration.is_some() => bound,
        Shares::Fitted => {
            let rows = model.components.iter().map(|component| component.count).sum::<f64>().max(1.0);
            bound - 0.5 * rows.ln() * model.components.len() as f64
        }
    }
}

/// Responsibilities under a model, and the bound.
fn look(table: &Table, prior: &Prior, model: &Model) -> Result<(Pass, f64), Unsound> {
    let (densities, noise) = model.densities(prior);
    let pass = pass(table, &densities, noise);
    let bound = pass.log_sum - model.divergence(prior);
    let found = pass.noise_count + pass.sums.iter().map(|sums| sums.count).sum::<f64>();
    if !bound.is_finite() {
        return Err(Unsound::Overflow);
    }
    if (found - table.rows() as f64).abs() > 1e-6 * table.rows() as f64 {
        return Err(Unsound::Responsibilities { found, rows: table.rows() });
    }
    Ok((pass, bound))
}

/// Whether the smallest eigenvalue of the covariance exceeds the limit.
fn is_wide(prior: &Prior, component: &Component) -> bool {
    let mut less = component.covariance();
    for i in 0..prior.dim {
        less[at(i, i)] -= DEVIATION_MAX * DEVIATION_MAX;
    }
    cholesky(prior.dim, &less).is_some()
}

/// Runs the random start with this index, deterministically from the seed.
///
/// It begins with few components, and restarts with twice as many while few of them vanish.
pub(super) fn search(table: &Table, prior: &Prior, index: usize, seed: u64) -> Result<Climb, Unsound> {
    let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64));
    let seeding = if index.is_multiple_of(2) { Seeding::Responsibilities } else { Seeding::Spread };
    let deviation = DEVIATION_START[index % DEVIATION_START.len()];
    let few = (table.rows() > COARSE_ROWS).then(|| some_rows(table, COARSE_ROWS, &mut random));
    let coarse = few.as_ref().unwrap_or(table);
    let mut count = prior.slots.min(COMPONENTS_START);
    let mut begin = |count: usize| {
        let means = match seeding {
            Seeding::Responsibilities => random_responsibilities(coarse, count, &mut random),
            Seeding::Spread => spread(coarse, count, &mut random),
        };
        let few = Prior { slots: count, ..*prior };
        let model = means_first(coarse, &few, means, deviation)?;
        let mut climb = Climb::begin(coarse, &few, model)?;
        settle(&mut climb, coarse, &few, &mut random)?;
        Ok(Climb { steps: climb.steps, ..Climb::begin(coarse, prior, climb.model)? })
    };
    let mut climb: Climb = begin(count)?;
    while count < prior.slots && climb.model.components.len() as f64 >= SHARE_LEFT * count as f64 {
        count = (2 * count).min(prior.slots);
        let grown: Climb = begin(count)?;
        let steps = climb.steps + grown.steps;
        climb = Climb { steps, ..if grown.is_better_than(&climb) { grown } else { climb } };
    }
    if few.is_some() {
        let steps = climb.steps;
        climb = Climb { steps, ..Climb::begin(table, prior, climb.model)? };
        climb.climb(table, prior, GAIN_COARSE, STEPS_MAX)?;
    }
    Ok(climb)
}

/// A random sample of rows, with replacement.
pub(super) fn some_rows(table: &Table, rows: usize, random: &mut ChaCha8Rng) -> Table {
    table.pick(&(0..rows).map(|_| random.random_range(0..table.rows())).collect::<Vec<_>>())
}

/// Alternates ascent with merging, removing and splitting, until none of them helps.
pub(super) fn settle(climb: &mut Climb, table: &Table, prior: &Prior, random: &mut ChaCha8Rng) -> Result<(), Unsound> {
    let few = (table.rows() > JUDGED_ROWS).then(|| some_rows(table, JUDGED_ROWS, random));
    let judged = few.as_ref().unwrap_or(table);
    let some = (table.rows() > COARSE_ROWS).then(|| some_rows(table, COARSE_ROWS, random));
    let own = some.as_ref().unwrap_or(table);
    climb.climb(table, prior, GAIN_COARSE, STEPS_MAX)?;
    climb.without_too_much_noise(table, prior)?;
    loop {
        let before = climb.clone();
        let changed = climb.join(table, prior, judged, 4)?
            || climb.drop_small(table, prior, 2)?
            || climb.part(table, prior, own)?;
        if !changed {
            return climb.climb(table, prior, GAIN_FINE, STEPS_MAX);
        }
        climb.climb(table, prior, GAIN_COARSE, STEPS_MAX)?;
        // A change that turns a component into noise may return to its origin, or lower.
        if climb.score <= before.score {
            *climb = before;
            return climb.climb(table, prior, GAIN_FINE, STEPS_MAX);
        }
    }
}

/// Means from random responsibilities over a few random rows per component. Over all rows, every mean would be near the
/// global mean, nearer with more rows, and all components would merge.
fn random_responsibilities(table: &Table, count: usize, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    const ROWS: usize = 2;
    (0..count)
        .map(|_| {
            let mut mean = vec![0.0; table.dim()];
            let mut total = 0.0;
            for _ in 0..ROWS {
                let row = random.random_range(0..table.rows());
                let r: f64 = random.random::<f64>() + 1e-3;
                total += r;
                for (j, mean) in mean.iter_mut().enumerate() {
                    *mean += r * table.value(row, j);
                }
            }
            mean.iter().map(|sum| sum / total).collect()
        })
        .collect()
}

/// Rows drawn with a probability proportional to the squared distance from those drawn before, up to a limit: without
/// it, all outliers would be drawn. Source: Arthur and Vassilvitskii, *k-means++*, SODA 2007.
fn spread(table: &Table, count: usize, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let limit = table.dim() as f64;
    let mut nearest = vec![limit; table.rows()];
    let mut means: Vec<Vec<f64>> = Vec::new();
    while means.len() < count {
        let total: f64 = nearest.iter().sum();
        let mut left = random.random::<f64>() * total;
        // All rows are drawn, or equal: any row will do.
        let mut chosen = random.random_range(0..table.rows());
        for (row, weight) in nearest.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                chosen = row;
                break;
            }
        }
        let mean: Vec<f64> = (0..table.dim()).map(|j| table.value(chosen, j)).collect();
        for (row, nearest) in nearest.iter_mut().enumerate() {
            let distance: f64 = mean.iter().enumerate().map(|(j, mean)| (table.value(row, j) - mean).powi(2)).sum();
            *nearest = nearest.min(distance);
        }
        means.push(mean);
    }
    means
}

/// Initial steps that update only means and shares, at the initial width. If widths were updated from the start, every
/// component would cover all rows, and all would merge.
fn means_first(table: &Table, prior: &Prior, means: Vec<Vec<f64>>, deviation: f64) -> Result<Model, Unsound> {
    let rows = table.rows() as f64;
    let share = rows / means.len() as f64;
    let guess = |count: f64, mean: Vec<f64>| Component::guessed(prior, count, mean, deviation).ok_or(Unsound::Overflow);
    let components = means.into_iter().map(|mean| guess(share, mean)).collect::<Result<Vec<_>, _>>()?;
    let mut model = Model { components, noise: prior.log_noise.map(|_| prior.settings.noise_at_start() * rows) };
    for _ in 0..MEANS_FIRST {
        let (pass, _) = look(table, prior, &model)?;
        let evidence: Vec<Evidence> = model.evidence(prior, &pass);
        let components = evidence
            .into_iter()
            .filter(|evidence| evidence.count >= COUNT_MIN)
            .map(|evidence| guess(evidence.count, evidence.mean))
            .collect::<Result<Vec<_>, _>>()?;
        if components.is_empty() {
            break;
        }
        // The noise keeps its small share until the components can compete with it.
        model.components = components;
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mixture::components::{PriorSettings, Shares};
    use crate::engine::mixture::scaling::log_noise;
    use proptest::prelude::*;

    /// With one component and no noise the bound is exact: it equals the evidence, which has a closed form. Source:
    /// Murphy, *Conjugate Bayesian analysis of the Gaussian distribution*, 2007, (266).
    #[test]
    fn the_bound_of_one_gaussian_is_its_evidence() {
        let columns: Vec<Vec<f64>> = (0..3)
            .map(|j| (0..70).map(|n| f64::from((n * 31 + j * 17 + n * n * j) % 23) / 10.0 - 1.0).collect())
            .collect();
        let (table, rows) = (Table::new(&columns), 70.0);
        let settings = PriorSettings::default();
        let prior = Prior { dim: 3, slots: 1, log_noise: None, student: false, shares: Shares::Sparse, settings };
        let guess = Component::guessed(&prior, rows, vec![0.5; 3], 2.0).unwrap();
        let mut climb = Climb::begin(&table, &prior, Model { components: vec![guess], noise: None }).unwrap();
        climb.climb(&table, &prior, 1e-9, 10).unwrap();
        let evidence = climb.model.evidence(&prior, &climb.pass).remove(0);
        let expected = log_marginal(&prior, &evidence) - 0.5 * rows * 3.0 * std::f64::consts::PI.ln();
        assert!((climb.bound - expected).abs() < 1e-7, "{} is not {expected}", climb.bound);
    }

    /// Priors that differ from the defaults in every field.
    const GIVEN: PriorSettings = PriorSettings {
        concentration: Some(2.0),
        noise_share: Some(0.05),
        mean_strength: 0.5,
        freedom: 3.0,
        deviation: 0.2,
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// A step lowers the bound only by rounding, or when a component vanishes (or the noise, when it had all rows).
        /// Responsibilities sum to the rows, for any rows, kind and start.
        #[test]
        fn the_bound_never_falls(
            rows in prop::collection::vec((-3.0_f64..3.0, prop_oneof![4 => -1.0_f64..1.0, 1 => -40.0_f64..40.0]), 5..300),
            student in any::<bool>(),
            noise in any::<bool>(),
            shares in prop_oneof![Just(Shares::Sparse), Just(Shares::Fitted)],
            settings in prop_oneof![Just(PriorSettings::default()), Just(GIVEN)],
            seed in any::<u64>(),
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
            let columns = [x, y];
            let table = Table::new(&columns);
            let log_noise = noise.then(|| log_noise(&columns));
            let prior = Prior { dim: 2, slots: 6.min(table.rows()), log_noise, student, shares, settings };
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let means = random_responsibilities(&table, prior.slots, &mut random);
            let model = means_first(&table, &prior, means, 0.3).unwrap();
            let mut climb = Climb::begin(&table, &prior, model).unwrap();
            for _ in 0..60 {
                let (next, gain) = climb.next(&table, &prior).unwrap();
                let lost = climb.model.components.len() > next.model.components.len()
                    || climb.model.noise.is_some() && next.model.noise.is_none();
                prop_assert!(lost || next.bound >= climb.bound - 1e-8, "{} after {}", next.bound, climb.bound);
                prop_assert_eq!(gain.is_infinite(), lost);
                let shared: f64 = next.pass.noise_count + next.pass.sums.iter().map(|sums| sums.count).sum::<f64>();
                prop_assert!((shared - table.rows() as f64).abs() < 1e-9 * table.rows() as f64);
                climb = next;
            }
        }
    }
}
