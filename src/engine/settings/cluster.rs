//! Settings of a clustering of users.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::columns::Column;
use crate::domain::metrics::VISITS;
use crate::engine::metrics::measured::{Declarations, Series};
use crate::engine::mixture::{self as cluster, PriorSettings, Scaling};

/// Largest number of points that one measurement or one new user counts.
const POINTS_MAX: u64 = 1_000_000;
const POINTS_RULE: &str = "must be at most 1000000";

/// Points that events count towards the next fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ClusterPoints")]
pub struct Points {
    /// Points of one measurement; a day with a visit is one where a column reads `visits`.
    pub measured: u64,
    /// Points of one new user.
    pub new_person: u64,
    /// Points of one measurement by metric, where they differ from `measured`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, u64>,
}

impl Default for Points {
    fn default() -> Self {
        Points { measured: 1, new_person: 5, metrics: BTreeMap::new() }
    }
}

impl Points {
    /// Points of one measurement of a metric.
    #[must_use]
    pub fn of(&self, metric: Series) -> u64 {
        let named = self.metrics.iter().find(|(name, _)| Series::of(name, None) == metric);
        named.map_or(self.measured, |(_, points)| *points)
    }
}

/// Settings of a clustering of users, and of the triggers of its refits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// Columns of the feature matrix: a metric (`time_spent`, `visits`), one type of it (`time_spent.post`), or the weight of a
    /// topic (`topic.NAME`).
    pub columns: Vec<String>,
    /// Scaling of the columns before a fit.
    pub scaling: Scaling,
    /// Points that trigger a refit; 0 disables the trigger.
    pub threshold: u64,
    /// Points of a measurement and of a new user.
    pub points: Points,
    /// Cron expression of five fields, in UTC, that triggers refits; empty disables the schedule.
    pub schedule: String,
    /// Points from which on the schedule triggers a refit; `None` triggers it in any case.
    pub schedule_above: Option<u64>,
    /// Minimum seconds between the starts of two fits.
    pub interval_s: u64,
    /// Shape of the clusters: the covariance structure of the mixture.
    pub kind: cluster::Kind,
    /// Maximum number of clusters; a fit reports when this limit binds.
    pub components: usize,
    /// Random restarts of a fit; the best one wins.
    pub restarts: usize,
    /// Whether a fit has a component of uniform noise, whose members are outliers.
    pub noise: bool,
    /// Priors of the shares, of the noise and of the clusters.
    pub prior: PriorSettings,
    /// With more users than this, a fit uses a sample of this size. It holds for all clusterings.
    #[schemars(skip)]
    pub people_max: usize,
    /// Threads of a fit; 0 means half of the processors. It holds for all clusterings.
    #[schemars(skip)]
    pub threads: usize,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        let cluster::Settings { kind, components, restarts, rows_max, scaling, noise, prior, .. } =
            cluster::Settings::default();
        ClusterSettings {
            columns: vec!["time_spent".into()],
            scaling,
            threshold: 10,
            points: Points::default(),
            schedule: String::new(),
            schedule_above: None,
            interval_s: 10,
            kind,
            components,
            restarts,
            noise,
            prior,
            people_max: rows_max,
            threads: 0,
        }
    }
}

impl ClusterSettings {
    /// Keys of `[cluster]` that hold for all clusterings, so that no clustering sets them.
    pub const SHARED: [&str; 2] = ["people_max", "threads"];

    /// A message of the parser without the names of [`ClusterSettings::SHARED`] among the possible ones.
    #[must_use]
    pub fn without_shared(message: &str) -> String {
        Self::SHARED.iter().fold(message.to_owned(), |text, key| text.replace(&format!(", `{key}`"), ""))
    }

    /// Checks every value but the schedule; its reader checks that one.
    ///
    /// # Errors
    /// The invalid key, and its rule.
    pub fn check(&self, declared: &Declarations) -> Result<(), (Cow<'static, str>, &'static str)> {
        let mut unique = self.columns.clone();
        unique.sort_unstable();
        unique.dedup();
        let rules = [
            (
                (1..=cluster::COLUMNS_MAX).contains(&self.columns.len()) && unique.len() == self.columns.len(),
                "columns",
                "must be 1 to 64 different names",
            ),
            (
                self.undeclared(declared).is_none(),
                "columns",
                "must each be a declared metric, a metric and one of its types as in time_spent.post, or topic.NAME",
            ),
            ((1..=cluster::COMPONENTS_MAX).contains(&self.components), "components", "must be 1 to 100"),
            ((1..=1_000).contains(&self.restarts), "restarts", "must be 1 to 1000"),
            ((100..=10_000_000).contains(&self.people_max), "people_max", "must be 100 to 10000000"),
            ((1..=31_536_000).contains(&self.interval_s), "interval_s", "must be 1 to 31536000"),
            (
                self.schedule_above.is_none() || !self.schedule.trim().is_empty(),
                "schedule_above",
                "needs a schedule: set schedule, or remove schedule_above",
            ),
            (self.points.measured <= POINTS_MAX, "points.measured", POINTS_RULE),
            (self.points.new_person <= POINTS_MAX, "points.new_person", POINTS_RULE),
            (self.threads <= 1_024, "threads", "must be at most 1024"),
        ];
        if let Some((_, key, rule)) = rules.into_iter().find(|(good, ..)| !good) {
            return Err((key.into(), rule));
        }
        for (name, points) in &self.points.metrics {
            let rule = match declared.get(name) {
                None => "must be the name of a declared metric",
                Some(_) if *points > POINTS_MAX => POINTS_RULE,
                Some(_) => continue,
            };
            return Err((format!("points.metrics.{name}").into(), rule));
        }
        self.prior.check().map_err(|(field, rule)| (format!("prior.{field}").into(), rule))
    }

    /// The settings as JSON, without the keys that hold for all clusterings.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            Self::SHARED.iter().for_each(|key| drop(fields.remove(*key)));
        }
        value
    }

    /// Reads stored settings, the text of [`ClusterSettings::to_json`].
    ///
    /// # Errors
    /// The text is no JSON of such settings.
    pub fn of_json(text: &str) -> Result<ClusterSettings, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Whether a key is set that holds for all clusterings, and which one.
    #[must_use]
    pub fn sets_shared(&self) -> Option<&'static str> {
        let default = ClusterSettings::default();
        let [people_max, threads] = Self::SHARED;
        let differing = (self.people_max != default.people_max).then_some(people_max);
        differing.or_else(|| (self.threads != default.threads).then_some(threads))
    }

    /// Whether a column reads topic weights.
    #[must_use]
    pub(crate) fn reads_topics(&self) -> bool {
        self.columns.iter().any(|name| name.starts_with("topic."))
    }

    /// Whether a column reads the days with a visit.
    #[must_use]
    pub(crate) fn reads_visits(&self) -> bool {
        self.columns.iter().any(|column| column == VISITS)
    }

    /// The first column that no declaration explains.
    #[must_use]
    pub fn undeclared(&self, declared: &Declarations) -> Option<&str> {
        self.columns.iter().find(|name| Column::of(name, declared).is_none()).map(String::as_str)
    }

    /// The first column that `now` declares and `after` does not.
    #[must_use]
    pub(crate) fn lost_column(&self, now: &Declarations, after: &Declarations) -> Option<&str> {
        let is_lost = |name: &&String| Column::of(name, now).is_some() && Column::of(name, after).is_none();
        self.columns.iter().find(is_lost).map(String::as_str)
    }

    /// Whether fits under both settings are equal: they differ in triggers alone.
    #[must_use]
    pub(crate) fn fits_as(&self, other: &ClusterSettings) -> bool {
        let key = |own: &ClusterSettings| (own.scaling, own.kind, own.components, own.restarts, own.noise, own.prior);
        self.columns == other.columns && key(self) == key(other)
    }

    /// Settings of the mixture; `rows_max` is that of all clusterings.
    #[must_use]
    pub(crate) fn mixture(&self, rows_max: usize) -> cluster::Settings {
        cluster::Settings {
            kind: self.kind,
            components: self.components,
            restarts: self.restarts,
            rows_max,
            scaling: self.scaling,
            noise: self.noise,
            prior: self.prior,
            ..cluster::Settings::default()
        }
    }
}
