//! A clustering problem: checked, scaled and sampled rows.
//!
//! Invariant: a [`Problem`] contains everything that its solution depends on, so that another thread or machine can
//! solve it.

use rand::SeedableRng as _;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::components::{Model, Prior, PriorSettings, Shares};
use super::kernel::Table;
use super::scaling::{Scale, Scaling, log_noise};
use super::search::{Climb, Unsound, search, settle};
use super::state::State;

/// Maximum number of columns of a problem.
pub(crate) const COLUMNS_MAX: usize = 64;
/// Upper limit of [`Settings::components`].
pub(crate) const COMPONENTS_MAX: usize = 100;

/// Shape of the clusters; by default a mixture also has one component of uniform noise over the region of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ClusterShape")]
pub enum Kind {
    /// Gaussians with full covariances.
    #[default]
    Gaussian,
    /// Student's t with fitted degrees of freedom per cluster, for clusters with long tails. It splits clean clusters
    /// more easily.
    StudentT,
}

/// Settings of a fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Shape of the clusters.
    pub kind: Kind,
    /// Maximum number of clusters, at least 1; the fit reports whether it limits the fit.
    pub components: usize,
    /// Number of random starts, at least 1.
    pub restarts: usize,
    /// Seed of the random starts and of the sample.
    pub seed: u64,
    /// With more rows than this, the fit uses a sample of this size; at least 100.
    pub rows_max: usize,
    /// Scaling of the columns.
    pub scaling: Scaling,
    /// Whether the mixture has a component of uniform noise.
    pub noise: bool,
    /// Priors of the shares, of the noise and of the components.
    pub prior: PriorSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            kind: Kind::Gaussian,
            components: 40,
            restarts: 15,
            seed: 1,
            rows_max: 100_000,
            scaling: Scaling::Robust,
            noise: true,
            prior: PriorSettings::default(),
        }
    }
}

/// The last fit, and its assignments of the rows of this problem.
#[derive(Clone, Debug)]
pub struct Previous {
    /// Posterior of the last fit.
    pub state: State,
    /// Cluster number of each row of this problem in the last fit; `None` for new rows.
    pub(crate) group_of_row: Vec<Option<u32>>,
}

/// Reason why rows cannot be clustered; indices start from 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProblemError {
    /// The columns have no rows.
    #[error("there are no rows: at least one is needed")]
    NoRows,
    /// The list of columns is empty.
    #[error("there are no columns: at least one is needed")]
    NoColumns,
    /// More than [`COLUMNS_MAX`] columns.
    #[error("{found} columns are more than {COLUMNS_MAX}: leave some out")]
    TooManyColumns {
        /// Number of columns.
        found: usize,
    },
    /// Columns of unequal length.
    #[error("column {column} has {found} rows where the first has {expected}")]
    Ragged {
        /// Index of the column.
        column: usize,
        /// Number of its rows.
        found: usize,
        /// Rows of the first column.
        expected: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {row}, column {column}: {value} is not a finite number: leave the row out, or fill it in")]
    NotFinite {
        /// Index of the column.
        column: usize,
        /// Index of the row.
        row: usize,
        /// The invalid value.
        value: f64,
    },
    /// A setting is out of its range.
    #[error("{name}: {found} is not in {low}..={high}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Value of the setting.
        found: usize,
        /// Smallest valid value.
        low: usize,
        /// Largest valid value.
        high: usize,
    },
    /// A value of [`PriorSettings`] is out of its range.
    #[error("prior.{name}: {rule}")]
    Prior {
        /// Name of the field.
        name: &'static str,
        /// The violated rule.
        rule: &'static str,
    },
    /// The last fit has another number of rows.
    #[error("the last fit has groups for {found} rows, and there are {expected}")]
    Previous {
        /// Rows of the last fit's assignments.
        found: usize,
        /// Rows of the problem.
        expected: usize,
    },
}

/// Rows to be clustered, with settings, prior and warm start.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(super) settings: Settings,
    /// Per column; `None` where all values are equal.
    pub(super) scales: Vec<Option<Scale>>,
    /// Value of each column; used for columns without a scale.
    pub(super) constants: Vec<f64>,
    pub(super) prior: Prior,
    pub(super) all: Table,
    sample: Option<Table>,
    /// Model of the last fit, and the gain in nats that one more step would have had.
    warm: Option<(Model, f64)>,
    pub(super) previous: Option<Previous>,
}

/// Result of one start.
#[derive(Clone, Debug)]
pub struct Start {
    pub(super) climb: Climb,
}

impl Start {
    /// Lower bound of the log evidence that this start reached.
    #[must_use]
    pub fn lower_bound(&self) -> f64 {
        self.climb.bound
    }

    /// Number of components that this start reached.
    #[must_use]
    pub fn components(&self) -> usize {
        self.climb.model.components.len()
    }

    /// Number of passes over all rows.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.climb.steps
    }
}

impl Problem {
    /// Builds a problem from columns, each `(rows,)`, in any units.
    ///
    /// # Errors
    /// [`ProblemError`] names the column, row or setting.
    pub fn new(columns: &[Vec<f64>], settings: Settings, previous: Option<Previous>) -> Result<Problem, ProblemError> {
        let rows = check(columns, &settings, previous.as_ref())?;
        let scales = settings.scaling.scales(columns);
        let constants = columns.iter().map(|column| column[0]).collect();
        let mut scaled: Vec<Vec<f64>> = scales
            .iter()
            .zip(columns)
            .filter_map(|(scale, column)| scale.map(|scale| column.iter().map(|value| scale.scaled(*value)).collect()))
            .collect();
        if scaled.is_empty() {
            // All rows are equal: one cluster, in one dimension of zeros.
            scaled.push(vec![0.0; rows]);
        }
        let student = settings.kind == Kind::StudentT;
        let all = Table::new(&scaled);
        let prior = Prior {
            dim: all.dim(),
            slots: settings.components.min(rows),
            log_noise: (settings.noise && rows > 1).then(|| log_noise(&scaled)),
            student,
            shares: Shares::Sparse,
            settings: settings.prior,
        };
        let sample = (rows > settings.rows_max).then(|| {
            let mut random = ChaCha8Rng::seed_from_u64(settings.seed ^ SAMPLE);
            let mut chosen = index::sample(&mut random, rows, settings.rows_max).into_vec();
            chosen.sort_unstable();
            all.pick(&chosen)
        });
        let warm = previous.as_ref().and_then(|previous| previous.state.warm(&scales, &prior));
        Ok(Problem { settings, scales, constants, prior, all, sample, warm, previous })
    }

    /// Number of starts: the restarts, and one from the last fit if there is one.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.settings.restarts + usize::from(self.warm.is_some())
    }

    /// Computes one start, counted from 0; the start from the last fit comes after the random ones. Depends only on the
    /// problem and `index`.
    ///
    /// # Errors
    /// [`Unsound`]: a bug, or an overflow.
    pub fn start(&self, index: usize) -> Result<Start, Unsound> {
        let table = self.fitted();
        let warm = self.warm.as_ref().filter(|_| index >= self.settings.restarts);
        let Some((warm, gain_left)) = warm else {
            return Ok(Start { climb: search(table, &self.prior, index, self.settings.seed)? });
        };
        let fitted = self.prior.fitted();
        // Unchanged rows keep their fit, also where the last fit ran out of steps.
        let mut climb = Climb::begin(table, &fitted, warm.clone())?;
        let kept = climb.gain_left(table, &fitted)? < GAIN_LAST.max(gain_left * (1.0 + 1e-6));
        if !kept {
            settle(&mut climb, table, &fitted, &mut self.settling())?;
            climb.climb(table, &fitted, GAIN_LAST, STEPS_LAST)?;
        }
        Ok(Start { climb })
    }

    pub(super) fn settling(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.settings.seed ^ SETTLE)
    }

    /// The rows that the fit uses: the sample, or all.
    pub(super) fn fitted(&self) -> &Table {
        self.sample.as_ref().unwrap_or(&self.all)
    }
}

/// Gain in nats below which the final ascent stops.
pub(super) const GAIN_LAST: f64 = 1e-4;
/// Maximum number of steps of the final ascent.
pub(super) const STEPS_LAST: usize = 1_000;
/// Separate the seeds of the sample, and of the final search, from those of the starts.
const SAMPLE: u64 = 0x5a3d_91c7_04be_62f8;
const SETTLE: u64 = 0x1c69_b3f7_4ac4_ae15;

fn check(columns: &[Vec<f64>], settings: &Settings, previous: Option<&Previous>) -> Result<usize, ProblemError> {
    let Some(first) = columns.first() else { return Err(ProblemError::NoColumns) };
    if columns.len() > COLUMNS_MAX {
        return Err(ProblemError::TooManyColumns { found: columns.len() });
    }
    let rows = first.len();
    if rows == 0 {
        return Err(ProblemError::NoRows);
    }
    for (column, values) in columns.iter().enumerate() {
        if values.len() != rows {
            return Err(ProblemError::Ragged { column, found: values.len(), expected: rows });
        }
        if let Some((row, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(ProblemError::NotFinite { column, row, value: *value });
        }
    }
    for (name, found, low, high) in [
        ("components", settings.components, 1, COMPONENTS_MAX),
        ("restarts", settings.restarts, 1, 10_000),
        ("rows_max", settings.rows_max, 100, usize::MAX),
    ] {
        if !(low..=high).contains(&found) {
            return Err(ProblemError::Setting { name, found, low, high });
        }
    }
    settings.prior.check().map_err(|(name, rule)| ProblemError::Prior { name, rule })?;
    if let Some(previous) = previous.filter(|previous| previous.group_of_row.len() != rows) {
        return Err(ProblemError::Previous { found: previous.group_of_row.len(), expected: rows });
    }
    Ok(rows)
}
