//! Settings of the clusters of users.

use serde::{Deserialize, Serialize};

use super::columns::Column;
use crate::engine::metrics::measured::Declarations;
use crate::engine::mixture as cluster;

/// Settings of the clustering of users, and of the triggers of refits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// Columns of the feature matrix: a metric (`time_spent`, `visits`), one type of it (`time_spent.post`), or the weight of a
    /// topic (`topic.NAME`).
    pub columns: Vec<String>,
    /// Points that trigger a refit, 1 for each measurement and 5 for each new user; 0 disables the trigger.
    pub threshold: u64,
    /// Cron expression of five fields, in UTC, that triggers refits; empty disables the schedule.
    pub schedule: String,
    /// Minimum seconds between the starts of two fits.
    pub interval_s: u64,
    /// Shape of the clusters: the covariance structure of the mixture.
    pub kind: cluster::Kind,
    /// Maximum number of clusters; a fit reports when this limit binds.
    pub components: usize,
    /// Random restarts of a fit; the best one wins.
    pub restarts: usize,
    /// With more users than this, a fit uses a sample of this size.
    pub people_max: usize,
    /// Threads of a fit; 0 means half of the processors.
    pub threads: usize,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        let cluster::Settings { kind, components, restarts, rows_max, .. } = cluster::Settings::default();
        ClusterSettings {
            columns: vec!["time_spent".into()],
            threshold: 10,
            schedule: String::new(),
            interval_s: 10,
            kind,
            components,
            restarts,
            people_max: rows_max,
            threads: 0,
        }
    }
}

impl ClusterSettings {
    /// Checks every value but the schedule; its reader checks that one.
    ///
    /// # Errors
    /// The invalid key, and its rule.
    pub fn check(&self, declared: &Declarations) -> Result<(), (&'static str, &'static str)> {
        let mut unique = self.columns.clone();
        unique.sort_unstable();
        unique.dedup();
        let rules = [
            (
                (1..=cluster::COLUMNS_MAX).contains(&self.columns.len()) && unique.len() == self.columns.len(),
                "cluster.columns",
                "must be 1 to 64 different names",
            ),
            (
                self.columns.iter().all(|name| Column::of(name, declared).is_some()),
                "cluster.columns",
                "must each be a declared metric, a metric and one of its types as in time_spent.post, or topic.NAME",
            ),
            ((1..=cluster::COMPONENTS_MAX).contains(&self.components), "cluster.components", "must be 1 to 100"),
            ((1..=1_000).contains(&self.restarts), "cluster.restarts", "must be 1 to 1000"),
            ((100..=10_000_000).contains(&self.people_max), "cluster.people_max", "must be 100 to 10000000"),
            ((1..=31_536_000).contains(&self.interval_s), "cluster.interval_s", "must be 1 to 31536000"),
            (self.threads <= 1_024, "cluster.threads", "must be at most 1024"),
        ];
        rules.into_iter().find(|(good, ..)| !good).map_or(Ok(()), |(_, key, rule)| Err((key, rule)))
    }
}
