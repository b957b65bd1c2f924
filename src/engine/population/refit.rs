//! Clusters of users as published, and the refit policy of one clustering.
//!
//! Invariant: epochs rise, and clusters keep their numbers from fit to fit of equal columns, so a refit of unchanged rows
//! moves no user. Numbers are never reused. Nothing here blocks on a fit.
//! Deliberately absent: threads and timers (an effect requests them), the mathematics (`mixture`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::time::{Millis, SECOND_MS};
use crate::engine::metrics::measured::Series;
use crate::engine::mixture::{self as cluster, Fit, Group, Member, Previous, Problem, ProblemError, State};
use crate::engine::population::eligible::Eligible;
use crate::engine::population::{Counted, Population, Rows};
use crate::engine::settings::columns::Column;
use crate::engine::settings::{ClusterSettings, LearnSettings};

/// Maximum number of users in the published sample.
pub const POINTS_MAX: usize = 2_000;
/// Seed of the published sample.
const POINTS_SEED: u64 = 0x70_696e_7473;

/// Published and stored description of a fit; contains no ids or rows of users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ClusterFit")]
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
    /// Duration of the fit in seconds; 0 in fits of earlier versions.
    #[serde(default)]
    pub seconds: f64,
    /// Number of users of the fit before this one that changed their cluster.
    #[serde(default)]
    pub moved: u64,
    /// Events of the population when the fit began; `None` in fits of earlier versions, and not in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub(crate) counted: Option<Counted>,
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
    /// Name of the clustering.
    pub name: String,
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
        let previous = self.previous.as_deref().map(|current| {
            let group = |user: &UserId| current.member(*user).map(|member| member.group);
            if current.summary.columns == self.names {
                let group_of_row = rows.users.iter().map(group).collect();
                Previous { state: current.state.clone(), group_of_row }
            } else {
                // Clusters of other columns are other clusters, so all of them get unused numbers.
                Previous { state: current.state.without_clusters(), group_of_row: vec![None; rows.users.len()] }
            }
        });
        Problem::new(&rows.columns, self.settings, previous)
    }

    /// Builds the clustering from a fit. [`RefitPolicy::done`] sets its time of publication, and the caller its duration.
    #[must_use]
    pub fn clustering(&self, rows: Rows, fit: Fit) -> Clustering {
        let outliers = fit.members.iter().filter(|member| member.outlier).count() as u64;
        let points = points(&rows.users, &rows.columns, &fit.members);
        let place = |member: &Member| (!member.outlier).then_some(member.group);
        let before = |user: &UserId| self.previous.as_deref().and_then(|current| current.member(*user));
        let pairs = rows.users.iter().zip(&fit.members);
        let moved =
            pairs.filter(|(user, member)| before(user).is_some_and(|before| place(&before) != place(member))).count();
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
                seconds: 0.0,
                moved: moved as u64,
                counted: Some(self.population.counted().clone()),
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

/// Why no fit of a clustering is possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The settings name a column that no declaration explains.
    #[error("the column {0} is no declared metric or type: declare it, or change the columns")]
    Undeclared(String),
    /// A column reads topic weights, and the journal is being folded again to learn them.
    #[error("the topic weights of all users are being computed: the fit waits for them")]
    Topics,
    /// Fewer than two users have a value in one of the columns.
    #[error("fewer than two users have a value in one of the columns")]
    TooFew,
}

/// Policy for the refits of one clustering, and its current clusters.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefitPolicy {
    /// Number of the last fit that started.
    epoch: u64,
    /// A client or the schedule requested a fit.
    asked: bool,
    /// Events of the population when the last fit began; zeros before the first fit.
    counted: Counted,
    began: Option<Millis>,
    /// Time from which on a fit has been due; `None` while none is.
    pub(super) due_since: Option<Millis>,
    /// Whether the refusal for an undeclared column was reported.
    pub(super) reported: bool,
    current: Option<Arc<Clustering>>,
}

impl RefitPolicy {
    /// The current clusters; `None` before the first fit.
    #[must_use]
    pub(super) fn current(&self) -> Option<&Arc<Clustering>> {
        self.current.as_ref()
    }

    /// Points since the last fit began, by the present settings.
    pub(super) fn points(&self, population: &Population, options: &ClusterSettings) -> u64 {
        let (now, then) = (population.counted(), &self.counted);
        // A population without an erased user has counted fewer events than before.
        let since = |now: u64, then: u64| now.saturating_sub(then);
        let measured = now.measured.iter().map(|(series, count)| {
            let before = then.measured.get(series).copied().unwrap_or_default();
            since(*count, before).saturating_mul(options.points.of(*series))
        });
        let visits = if options.reads_visits() { since(now.visits, then.visits) } else { 0 };
        let visits = visits.saturating_mul(options.points.of(Series::visits()));
        let people = since(now.new_people, then.new_people).saturating_mul(options.points.new_person);
        measured.chain([visits, people]).fold(0, u64::saturating_add)
    }

    /// Raises the number after which new fits are numbered.
    pub(super) fn begin_after(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Requests a fit regardless of the counted points.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether a requested fit waits to begin.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// Withdraws a request.
    pub(super) fn withdraw(&mut self) {
        self.asked = false;
    }

    /// Requests a scheduled fit, where enough points were counted.
    pub(super) fn ask_scheduled(&mut self, population: &Population, options: &ClusterSettings) {
        self.asked |= options.schedule_above.is_none_or(|least| self.points(population, options) >= least);
    }

    /// Restores the clusters of an earlier run. Without stored assignments, users are assigned by their current rows.
    pub(super) fn restore_fit(
        &mut self,
        kept: RestoredFit,
        population: &Population,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) {
        let RestoredFit { summary, state, members, previous } = kept;
        self.epoch = self.epoch.max(summary.epoch);
        self.counted = summary.counted.clone().unwrap_or_else(|| population.counted().clone());
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

    /// Whether a fit is due: enough points were counted or one was requested, and `interval_s` has passed since the start
    /// of the last one.
    pub(super) fn is_due(&self, now: Millis, population: &Population, options: &ClusterSettings) -> bool {
        let enough = options.threshold > 0 && self.points(population, options) >= options.threshold;
        let interval = i64::try_from(options.interval_s).unwrap_or(i64::MAX).saturating_mul(SECOND_MS);
        let waits = self.began.is_some_and(|began| began <= now && now.since(began) < interval);
        !waits && (enough || self.asked)
    }

    /// Begins the fit. Counted points and the request are used up.
    ///
    /// # Errors
    /// [`Refused`] when no fit is possible.
    pub(super) fn begin(
        &mut self,
        name: &str,
        population: &Population,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &Arc<LearnSettings>,
    ) -> Result<RefitTask, Refused> {
        let options = settings.clustering(name).unwrap_or(&settings.cluster);
        (self.asked, self.due_since) = (false, None);
        self.counted = population.counted().clone();
        let columns = possible(options, population, &topic, now, settings)?;
        self.epoch += 1;
        self.began = Some(now);
        Ok(RefitTask {
            name: name.to_owned(),
            epoch: self.epoch,
            threads: settings.cluster.threads,
            names: options.columns.clone(),
            topics: columns.iter().filter_map(|column| named(column, &topic)).collect(),
            columns,
            population: population.clone(),
            as_of: now,
            options: settings.clone(),
            settings: options.mixture(settings.cluster.people_max),
            previous: self.current.clone(),
        })
    }

    /// Takes a finished fit and returns the clusters to publish; `None` if the fit failed.
    pub(super) fn done(
        &mut self,
        fit: Option<Clustering>,
        erased: &BTreeSet<UserId>,
        now: Millis,
    ) -> Option<Arc<Clustering>> {
        let mut fit = fit?.without(erased);
        fit.summary.fitted_at = now;
        fit.previous = self.current.as_ref().map(|current| Arc::new(current.summary.clone()));
        let fit = Arc::new(fit);
        self.current = Some(fit.clone());
        Some(fit)
    }

    /// Removes an erased user from the current clusters.
    pub(super) fn forget(&mut self, user: UserId) {
        if let Some(current) = &self.current {
            self.current = Some(Arc::new(Clustering::clone(current).without(&BTreeSet::from([user]))));
        }
    }
}

/// Why no fit is possible now, for reports. Without a fit to begin, it scans users rarely, see [`Eligible`].
pub(super) fn refusal(
    options: &ClusterSettings,
    population: &Population,
    topic: impl Fn(&Key) -> Option<TopicId>,
    now: Millis,
    settings: &LearnSettings,
    eligible: &mut Eligible,
) -> Option<Refused> {
    match readable(options, population, settings) {
        Ok(columns) => (!eligible.are_enough(population, columns, topic, now, settings)).then_some(Refused::TooFew),
        Err(refused) => Some(refused),
    }
}

/// The columns of a possible fit.
pub(super) fn possible(
    options: &ClusterSettings,
    population: &Population,
    topic: impl Fn(&Key) -> Option<TopicId>,
    now: Millis,
    settings: &LearnSettings,
) -> Result<Vec<Column>, Refused> {
    let columns = readable(options, population, settings)?;
    if population.can_be_grouped(&columns, topic, now, settings) { Ok(columns) } else { Err(Refused::TooFew) }
}

/// The columns, where all of them are declared and their values are known.
pub(super) fn readable(
    options: &ClusterSettings,
    population: &Population,
    settings: &LearnSettings,
) -> Result<Vec<Column>, Refused> {
    if let Some(column) = options.undeclared(&settings.metrics) {
        return Err(Refused::Undeclared(column.to_owned()));
    }
    if options.reads_topics() && population.lacks_topics(settings) {
        return Err(Refused::Topics);
    }
    Ok(options.columns.iter().filter_map(|name| Column::of(name, &settings.metrics)).collect())
}
