//! Groups of people as everybody sees them, and when they are found afresh.
//!
//! Invariant: at most one fit is under way; a result of another epoch is dropped; epochs rise and groups keep their
//! numbers from fit to fit, so that a fit of unchanged rows moves nobody. Nothing here waits for a fit.
//! Absent on purpose: threads and timers (an effect asks for them), the mathematics (`cluster`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::time::{Millis, SECOND_MS};
use crate::engine::cluster::{self, Fit, Group, Member, Previous, Problem, ProblemError, State};
use crate::engine::crowd::{Column, Crowd, Rows};
use crate::engine::settings::LearnSettings;

/// People who are shown one by one, at most.
pub const POINTS_MAX: usize = 2_000;
/// Decides who they are.
const POINTS_SEED: u64 = 0x70_696e_7473;

/// What is told of a fit, and kept of it for good: nobody's name, nobody's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its number.
    pub epoch: u64,
    /// When it was taken over.
    pub fitted_at: Millis,
    /// What people were compared by.
    pub columns: Vec<String>,
    /// How many were.
    pub people: u64,
    /// By number.
    pub clusters: Vec<Group>,
    /// People who are in no group.
    pub outliers: u64,
    /// Expected share of noise.
    pub noise_weight: f64,
    /// Of the log evidence, in scaled units.
    pub lower_bound: f64,
    /// There are as many groups as `cluster.components` allows, and one more would be better.
    #[serde(default)]
    pub maximum_binds: bool,
}

/// Somebody with their row.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Who.
    pub user: UserId,
    /// `(columns,)`.
    pub values: Vec<f64>,
    /// Their place.
    pub member: Member,
}

/// A fit with everybody's place in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustering {
    /// What is told of it.
    pub summary: Summary,
    /// For the next fit.
    pub state: State,
    /// By id.
    pub users: Vec<UserId>,
    /// One per user.
    pub members: Vec<Member>,
    /// A sample, by id.
    pub points: Vec<Point>,
    /// The fit before it.
    pub previous: Option<Arc<Summary>>,
}

impl Clustering {
    /// Somebody's place; `None` for who was not there when the fit was made.
    #[must_use]
    pub fn member(&self, user: UserId) -> Option<Member> {
        self.users.binary_search(&user).ok().map(|row| self.members[row])
    }

    /// Who is in a group, outliers left out, by id.
    pub fn in_group(&self, group: u32) -> impl Iterator<Item = UserId> + '_ {
        let rows = self.users.iter().zip(&self.members);
        rows.filter(move |(_, member)| member.group == group && !member.outlier).map(|(user, _)| *user)
    }

    /// The same without some.
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

/// A fit to be made. Holds everybody as they were when it became due; rows are made of them where it is solved, so that
/// nobody waits for that.
#[derive(Clone, Debug)]
pub struct Solve {
    /// Its number.
    pub epoch: u64,
    /// Threads that it may take; 0: as the machine allows.
    pub threads: usize,
    names: Vec<String>,
    columns: Vec<Column>,
    topics: BTreeMap<Key, TopicId>,
    crowd: Crowd,
    as_of: Millis,
    options: Arc<LearnSettings>,
    settings: cluster::Settings,
    previous: Option<Arc<Clustering>>,
}

impl Solve {
    /// Everybody who can be compared.
    #[must_use]
    pub fn rows(&self) -> Rows {
        self.crowd.rows(&self.columns, |key| self.topics.get(key).copied(), self.as_of, &self.options)
    }

    /// The problem of these rows, to be solved away from all who serve.
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

    /// What a fit of the problem says of the people. When it is taken over is not known yet.
    #[must_use]
    pub fn solved(&self, rows: Rows, fit: Fit) -> Clustering {
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

/// A column's topic and what it is called.
fn named(column: &Column, topic: impl Fn(&Key) -> Option<TopicId>) -> Option<(Key, TopicId)> {
    match column {
        Column::Topic(key) => Some((key.clone(), topic(key)?)),
        Column::Metric(_) => None,
    }
}

/// A sample of rows; the same for the same number of rows.
fn points(users: &[UserId], columns: &[Vec<f64>], members: &[Member]) -> Vec<Point> {
    let mut random = ChaCha8Rng::seed_from_u64(POINTS_SEED);
    let mut chosen = index::sample(&mut random, users.len(), users.len().min(POINTS_MAX)).into_vec();
    chosen.sort_unstable();
    let values = |row: usize| columns.iter().map(|column| column[row]).collect();
    chosen.into_iter().map(|row| Point { user: users[row], values: values(row), member: members[row] }).collect()
}

/// What was kept of the last fit.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What was told of it.
    pub summary: Summary,
    /// See [`Clustering::state`].
    pub state: State,
    /// Everybody's place, unless they were forgotten because somebody was erased.
    pub members: Option<Vec<(UserId, Member)>>,
    /// The fit before it.
    pub previous: Option<Summary>,
}

/// When groups are found afresh, and what they are now.
#[derive(Clone, Debug, Default)]
pub struct Regrouping {
    /// Of the last fit that was begun.
    epoch: u64,
    under_way: Option<u64>,
    /// Somebody asked for a fit, or the schedule did.
    asked: bool,
    points: u64,
    began: Option<Millis>,
    current: Option<Arc<Clustering>>,
}

impl Regrouping {
    /// The groups as they are now.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Clustering>> {
        self.current.as_ref()
    }

    /// Fits are numbered above this.
    pub fn begin_after(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// A fit is wanted, whatever was counted.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Takes over what an earlier run left behind. Whoever's place is not known is put where their row belongs.
    pub fn take_up(
        &mut self,
        kept: Kept,
        crowd: &Crowd,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) {
        let Kept { summary, state, members, previous } = kept;
        self.epoch = self.epoch.max(summary.epoch);
        let columns: Option<Vec<Column>> =
            summary.columns.iter().map(|name| Column::of(name, &settings.metrics)).collect();
        let rows = columns.map(|columns| crowd.rows(&columns, topic, now, settings)).unwrap_or_default();
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

    /// The fit to be made now, if one is due: enough has come together, or somebody asked, none is under way, and the
    /// last one did not begin a moment ago.
    pub fn due(
        &mut self,
        crowd: &mut Crowd,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &Arc<LearnSettings>,
    ) -> Option<Arc<Solve>> {
        let options = &settings.cluster;
        self.points = self.points.saturating_add(crowd.take_points());
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
        if !crowd.can_be_grouped(&columns, &topic, now, settings) {
            return None;
        }
        self.epoch += 1;
        self.began = Some(now);
        self.under_way = Some(self.epoch);
        let defaults = cluster::Settings::default();
        Some(Arc::new(Solve {
            epoch: self.epoch,
            threads: options.threads,
            names: options.columns.clone(),
            topics: columns.iter().filter_map(|column| named(column, &topic)).collect(),
            columns,
            crowd: crowd.clone(),
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

    /// A fit came back: what is to be published, unless it failed or nobody waits for it any more.
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

    /// Somebody was erased: nobody hears of their place any more.
    pub fn forget(&mut self, user: UserId) {
        if let Some(current) = &self.current {
            self.current = Some(Arc::new(Clustering::clone(current).without(&BTreeSet::from([user]))));
        }
    }

    /// Everybody was counted afresh: groups are, too, where there are any.
    pub fn counted_afresh(&mut self) {
        self.asked |= self.current.is_some() || self.under_way.is_some();
    }
}
