//! Clusters of users as published, and the refit policy.
//!
//! Invariant: at most one fit is in progress, and results of other epochs are dropped. Epochs rise, and clusters keep
//! their numbers from fit to fit, so a refit of unchanged rows moves no user. Nothing here blocks on a fit.
//! Deliberately absent: threads and timers (an effect requests them), the mathematics (`mixture`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::time::{Millis, SECOND_MS};
use crate::engine::mixture::{self as cluster, Fit, Group, Member, Previous, Problem, ProblemError, State};
use crate::engine::population::{Population, Rows};
use crate::engine::settings::LearnSettings;
use crate::engine::settings::columns::Column;

/// Maximum number of users in the published sample.
pub const POINTS_MAX: usize = 2_000;
/// Seed of the published sample.
const POINTS_SEED: u64 = 0x70_696e_7473;

/// Published and stored description of a fit; contains no ids or rows of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of the fit.
    pub epoch: u64,
    /// Time when the fit was published.
    pub fitted_at: Millis,
    /// Names of the columns of the feature matrix.
    pub columns: Vec<String>,
    /// Number of users in the feature matrix.
    pub people: u64,
    /// Clusters, in the order of their numbers.
    pub clusters: Vec<Group>,
    /// Number of users outside of all clusters.
    pub outliers: u64,
    /// Expected share of noise, in [0, 1].
    pub(crate) noise_weight: f64,
    /// Variational lower bound of the log evidence, in scaled units.
    pub lower_bound: f64,
    /// Whether `cluster.components` limits the number of clusters: one more would raise the bound.
    #[serde(default)]
    pub maximum_binds: bool,
}

/// One user of the published sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Id of the user.
    pub user: UserId,
    /// Feature row, `(columns,)`, unscaled.
    pub values: Vec<f64>,
    /// Cluster assignment of the user.
    pub member: Member,
}

/// A fit with the assignments of all users.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustering {
    /// Description of the fit, without ids of users.
    pub summary: Summary,
    /// Posterior of the mixture, the warm start of the next fit.
    pub state: State,
    /// Users of the fit, in the order of their ids.
    pub users: Vec<UserId>,
    /// Assignments, one per user, in the order of `users`.
    pub members: Vec<Member>,
    /// A sample of users, in the order of their ids.
    pub points: Vec<Point>,
    /// Description of the fit before this one.
    pub previous: Option<Arc<Summary>>,
}

impl Clustering {
    /// Assignment of a user; `None` for a user that the fit did not contain.
    #[must_use]
    pub fn member(&self, user: UserId) -> Option<Member> {
        self.users.binary_search(&user).ok().map(|row| self.members[row])
    }

    /// Members of a cluster without outliers, in the order of their ids.
    pub fn in_group(&self, group: u32) -> impl Iterator<Item = UserId> + '_ {
        let rows = self.users.iter().zip(&self.members);
        rows.filter(move |(_, member)| member.group == group && !member.outlier).map(|(user, _)| *user)
    }

    /// Removes the users in `gone`.
    fn without(mut self, gone: &BTreeSet<UserId>) -> Clustering {
        if self.users.iter().any(|user| gone.contains(user)) {
            let keep: Vec<bool> = self.users.iter().map(|user| !gone.contains(user)).collect();
            let mut rows = keep.iter();
            self.users.retain(|_| rows.next().is_some_and(|keep| *keep));
            let mut rows = keep.iter();
            self.members.retain(|_| rows.next().is_some_and(|keep| *keep));
            self.points.retain(|point| !gone.contains(&point.user));
        }
        self
    }
}

/// A fit to compute. It holds a copy-on-write snapshot of the population; the fitting thread builds the feature matrix
/// from it, so the coordinator does not wait.
#[derive(Clone, Debug)]
pub struct RefitTask {
    /// Number of the fit.
    pub epoch: u64,
    /// Threads that the fit may use; 0 means half of the processors.
    pub threads: usize,
    names: Vec<String>,
    columns: Vec<Column>,
    topics: BTreeMap<Key, TopicId>,
    population: Population,
    as_of: Millis,
    options: Arc<LearnSettings>,
    settings: cluster::Settings,
    previous: Option<Arc<Clustering>>,
}

impl RefitTask {
    /// Feature matrix of all users that can be compared.
    #[must_use]
    pub fn rows(&self) -> Rows {
        self.population.rows(&self.columns, |key| self.topics.get(key).copied(), self.as_of, &self.options)
    }

    /// The clustering problem of these rows. It must be solved off the serving threads.
    ///
    /// # Errors
    /// As [`Problem::new`].
    pub fn problem(&self, rows: &Rows) -> Result<Problem, ProblemError> {
        let previous = self.previous.as_deref().map(|current| Previous {
            state: current.state.clone(),
            group_of_row: rows.users.iter().map(|user| current.member(*user).map(|member| member.group)).collect(),
        });
        Problem::new(&rows.columns, self.settings, previous)
    }

    /// Builds the clustering from a fit. [`RefitPolicy::done`] sets its time of publication.
    #[must_use]
    pub fn clustering(&self, rows: Rows, fit: Fit) -> Clustering {
        let outliers = fit.members.iter().filter(|member| member.outlier).count() as u64;
        let points = points(&rows.users, &rows.columns, &fit.members);
        Clustering {
            summary: Summary {
                epoch: self.epoch,
                fitted_at: Millis::default(),
                columns: self.names.clone(),
                people: rows.users.len() as u64,
                clusters: fit.groups,
                outliers,
                noise_weight: fit.noise_weight,
                lower_bound: fit.lower_bound,
                maximum_binds: fit.maximum_binds,
            },
            state: fit.state,
            users: rows.users,
            members: fit.members,
            points,
            previous: None,
        }
    }
}

/// Key and id of a column's topic; `None` for metrics and unknown topics.
fn named(column: &Column, topic: impl Fn(&Key) -> Option<TopicId>) -> Option<(Key, TopicId)> {
    match column {
        Column::Topic(key) => Some((key.clone(), topic(key)?)),
        Column::Metric(..) => None,
    }
}

/// A random sample of rows with a fixed seed: equal numbers of rows give equal samples.
fn points(users: &[UserId], columns: &[Vec<f64>], members: &[Member]) -> Vec<Point> {
    let mut random = ChaCha8Rng::seed_from_u64(POINTS_SEED);
    let mut chosen = index::sample(&mut random, users.len(), users.len().min(POINTS_MAX)).into_vec();
    chosen.sort_unstable();
    let values = |row: usize| columns.iter().map(|column| column[row]).collect();
    chosen.into_iter().map(|row| Point { user: users[row], values: values(row), member: members[row] }).collect()
}

/// The last fit as read from the store.
#[derive(Clone, Debug)]
pub struct RestoredFit {
    /// Description of the fit.
    pub summary: Summary,
    /// Posterior of the mixture, see [`Clustering::state`].
    pub state: State,
    /// Stored assignments; `None` if an erasure removed them.
    pub members: Option<Vec<(UserId, Member)>>,
    /// Description of the fit before this one.
    pub previous: Option<Summary>,
}

/// Policy for refits, and the current clusters.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefitPolicy {
    /// Number of the last fit that started.
    epoch: u64,
    under_way: Option<u64>,
    /// A client or the schedule requested a fit.
    asked: bool,
    points: u64,
    began: Option<Millis>,
    current: Option<Arc<Clustering>>,
}

impl RefitPolicy {
    /// The current clusters; `None` before the first fit.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Clustering>> {
        self.current.as_ref()
    }

    /// Raises the number after which new fits are numbered.
    pub(crate) fn begin_after(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Requests a fit regardless of the counted points.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Restores the clusters of an earlier run. Without stored assignments, users are assigned by their current rows.
    pub fn restore_fit(
        &mut self,
        kept: RestoredFit,
        population: &Population,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) {
        let RestoredFit { summary, state, members, previous } = kept;
        self.epoch = self.epoch.max(summary.epoch);
        let columns: Option<Vec<Column>> =
            summary.columns.iter().map(|name| Column::of(name, &settings.metrics)).collect();
        let rows = columns.map(|columns| population.rows(&columns, topic, now, settings)).unwrap_or_default();
        let known = members.is_some();
        let mut members = members.unwrap_or_default();
        members.sort_unstable_by_key(|(user, _)| *user);
        let place = |row: usize| match known {
            true => {
                let user = rows.users[row];
                members.binary_search_by_key(&user, |(user, _)| *user).ok().map(|at| members[at].1)
            }
            false => state.place(&rows.columns.iter().map(|column| column[row]).collect::<Vec<f64>>()),
        };
        let (mut users, mut placed, mut columns) = (Vec::new(), Vec::new(), vec![Vec::new(); rows.columns.len()]);
        for (row, user) in rows.users.iter().enumerate() {
            if let Some(member) = place(row) {
                users.push(*user);
                placed.push(member);
                columns.iter_mut().zip(&rows.columns).for_each(|(kept, column)| kept.push(column[row]));
            }
        }
        let points = points(&users, &columns, &placed);
        let previous = previous.map(Arc::new);
        self.current = Some(Arc::new(Clustering { summary, state, users, members: placed, points, previous }));
    }

    /// The fit to compute now, if one is due. A fit is due when enough points were counted or one was requested. It
    /// waits while another fit is in progress, and for `cluster.interval_s` after the start of the last one.
    pub fn due(
        &mut self,
        population: &mut Population,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &Arc<LearnSettings>,
    ) -> Option<Arc<RefitTask>> {
        let options = &settings.cluster;
        self.points = self.points.saturating_add(population.take_points());
        let enough = options.threshold > 0 && self.points >= options.threshold;
        let interval = i64::try_from(options.interval_s).unwrap_or(i64::MAX).saturating_mul(SECOND_MS);
        let waits =
            self.under_way.is_some() || self.began.is_some_and(|began| began <= now && now.since(began) < interval);
        if waits || !(enough || self.asked) {
            return None;
        }
        (self.points, self.asked) = (0, false);
        let columns: Option<Vec<Column>> =
            options.columns.iter().map(|name| Column::of(name, &settings.metrics)).collect();
        let columns = columns?;
        if !population.can_be_grouped(&columns, &topic, now, settings) {
            return None;
        }
        self.epoch += 1;
        self.began = Some(now);
        self.under_way = Some(self.epoch);
        let defaults = cluster::Settings::default();
        Some(Arc::new(RefitTask {
            epoch: self.epoch,
            threads: options.threads,
            names: options.columns.clone(),
            topics: columns.iter().filter_map(|column| named(column, &topic)).collect(),
            columns,
            population: population.clone(),
            as_of: now,
            options: settings.clone(),
            settings: cluster::Settings {
                kind: options.kind,
                components: options.components,
                restarts: options.restarts,
                rows_max: options.people_max,
                ..defaults
            },
            previous: self.current.clone(),
        }))
    }

    /// Takes a finished fit and returns the clusters to publish; `None` if the fit failed or is obsolete.
    pub fn done(
        &mut self,
        epoch: u64,
        fit: Option<Clustering>,
        erased: &BTreeSet<UserId>,
        now: Millis,
    ) -> Option<Arc<Clustering>> {
        if self.under_way != Some(epoch) {
            return None;
        }
        self.under_way = None;
        let mut fit = fit?.without(erased);
        fit.summary.fitted_at = now;
        fit.previous = self.current.as_ref().map(|current| Arc::new(current.summary.clone()));
        let fit = Arc::new(fit);
        self.current = Some(fit.clone());
        Some(fit)
    }

    /// Removes an erased user from the current clusters.
    pub fn forget(&mut self, user: UserId) {
        if let Some(current) = &self.current {
            self.current = Some(Arc::new(Clustering::clone(current).without(&BTreeSet::from([user]))));
        }
    }

    /// Requests a refit after the population was recomputed, if there are clusters.
    pub(crate) fn counted_afresh(&mut self) {
        self.asked |= self.current.is_some() || self.under_way.is_some();
    }
}
