//! The prequential protocol: all rows of one time unit are ranked among the available items before any is learned.
//!
//! Invariant: each ranker walks the log on its own and sees a row only after ranking it. So figures depend on no other
//! ranker and no number of threads. Rows before the test are ranked, too, for the figures over time. The table counts
//! the rows of the test alone.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Instant;

use super::log::availability::Walk;
use super::log::{Act, Log};
use super::metrics::{PerPerson, Promises, Rank, Sums, ratio};
use super::rankers::Ranker;
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
use crate::engine::blend::hedge::HedgeFigures;

/// Number of buckets of the figures over time.
pub const BUCKETS: usize = 50;

/// The ranked rows, shared by all rankers.
pub struct Plan<'a> {
    /// The replayed log.
    pub log: &'a Log,
    /// First time unit of the test.
    pub test_from: Millis,
    /// True to rank nothing before the test: faster, but without figures over time.
    pub test_only: bool,
    /// Role of each row.
    roles: Vec<Role>,
    steps: Vec<(Millis, Range<usize>)>,
    /// For logs of presence, by time unit from `test_from`: user and item of each presence, by user.
    presence: Vec<Vec<(u32, u32)>>,
}

/// Role of a row in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The row is learned only.
    Learned,
    /// The row is ranked; the user never visited the item before.
    New,
    /// The row is ranked; the user visited the item before.
    Repeat,
}

impl<'a> Plan<'a> {
    /// Finds the targets, which are rows with a positive signal, and earlier visits.
    #[must_use]
    pub fn new(log: &'a Log, signals: &Signals, test_from: Millis, test_only: bool) -> Plan<'a> {
        let mut roles = vec![Role::Learned; log.rows.len()];
        let mut seen: HashSet<(u32, u32)> = HashSet::new();
        let mut steps: Vec<(Millis, Range<usize>)> = Vec::new();
        for range in log.steps() {
            let rows = &log.rows[range.clone()];
            let positive = |index: usize| {
                let row = &rows[index];
                row.signal(signals, !log.has_presence).is_some_and(|signal| signal.positive)
            };
            for (index, row) in rows.iter().enumerate().filter(|(index, _)| positive(*index)) {
                let before = seen.contains(&(row.user, row.item));
                roles[range.start + index] = if before { Role::Repeat } else { Role::New };
            }
            seen.extend(rows.iter().enumerate().filter(|(i, _)| positive(*i)).map(|(_, row)| (row.user, row.item)));
            let now = rows[0].at;
            if log.has_presence && now >= test_from {
                // Presences also cover time units in which no row begins.
                let mut at = steps.last().map_or(test_from, |(last, _)| last.plus(log.unit_ms).max(test_from));
                while at < now {
                    steps.push((at, range.start..range.start));
                    at = at.plus(log.unit_ms);
                }
            }
            steps.push((now, range));
        }
        let presence = if log.has_presence { presence(log, test_from) } else { Vec::new() };
        Plan { log, test_from, test_only, roles, steps, presence }
    }

    /// Keeps one target per user: the last one of the test.
    pub fn keep_last(&mut self) {
        let mut kept: HashSet<u32> = HashSet::new();
        for (row, role) in self.log.rows.iter().zip(&mut self.roles).rev() {
            if row.at < self.test_from || (*role != Role::Learned && !kept.insert(row.user)) {
                *role = Role::Learned;
            }
        }
    }

    /// Mean over the targets of the share of other rows that are later; `None` without a target or without another
    /// row.
    #[must_use]
    pub fn later_rows_share(&self) -> Option<f64> {
        let rows = &self.log.rows;
        let others: Vec<Millis> =
            rows.iter().zip(&self.roles).filter(|(_, role)| **role == Role::Learned).map(|(row, _)| row.at).collect();
        let later = |at: Millis| (others.len() - others.partition_point(|other| *other <= at)) as f64;
        let targets = rows.iter().zip(&self.roles).filter(|(_, role)| **role != Role::Learned);
        let (sum, n) = targets.fold((0.0, 0.0), |(sum, n), (row, _)| (sum + later(row.at), n + 1.0));
        ratio(sum, n * others.len() as f64)
    }

    /// Number of targets in the test, whether their items are open or not.
    #[must_use]
    pub fn targets(&self) -> usize {
        let rows = self.log.rows.iter().zip(&self.roles);
        rows.filter(|(row, role)| row.at >= self.test_from && **role != Role::Learned).count()
    }

    fn bucket(&self, now: Millis) -> usize {
        let first = self.log.rows.first().map_or(now, |row| row.at);
        let span = self.log.end().since(first).max(1) as f64;
        ((now.since(first) as f64 / span * BUCKETS as f64) as usize).min(BUCKETS - 1)
    }

    /// First instant of each bucket.
    #[must_use]
    pub fn bucket_starts(&self) -> Vec<Millis> {
        let first = self.log.rows.first().map_or(Millis(0), |row| row.at);
        let span = self.log.end().since(first) as f64;
        (0..BUCKETS).map(|bucket| first.plus((span * bucket as f64 / BUCKETS as f64).ceil() as i64)).collect()
    }
}

/// User and item of all presences, in each time unit from `from` on.
fn presence(log: &Log, from: Millis) -> Vec<Vec<(u32, u32)>> {
    let unit = |at: Millis| (at.since(from) / log.unit_ms) as usize;
    let mut units: Vec<Vec<(u32, u32)>> = Vec::new();
    for row in log.rows.iter().filter(|row| matches!(row.act, Act::Interacted(_))) {
        let stop = row.at.plus(i64::from(row.stay_ms));
        if stop <= from {
            continue;
        }
        let last = (stop.since(from) + log.unit_ms - 1) / log.unit_ms;
        for index in unit(row.at)..last as usize {
            if index >= units.len() {
                units.resize_with(index + 1, Vec::new);
            }
            units[index].push((row.user, row.item));
        }
    }
    for unit in &mut units {
        unit.sort_unstable();
        unit.dedup();
    }
    units
}

/// Sums of one ranker.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Sums over the test, per user.
    pub per_person: PerPerson,
    /// Sums over all ranked rows, per bucket of time.
    pub over_time: Vec<Sums>,
    /// Calibration over all ranked rows; empty for rankers without probabilities.
    pub promises: Promises,
    /// Number of test rows whose item was unavailable, and which were not ranked.
    pub unavailable: u64,
    /// Sum over the ranked test rows of the number of available items.
    pub available: u64,
    /// Reward for logs of presence.
    pub reward: Reward,
    /// Sums of each time unit of the test; empty for logs without presence.
    pub steps: Vec<StepSums>,
    /// Cumulative losses of the ranker's experts at sampled instants; empty for rankers without experts.
    pub hedge: Vec<(Millis, HedgeFigures)>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// One recommendation per user and time unit, right when the user is at that item in the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reward {
    /// Number of right recommendations.
    pub right: u64,
    /// Number of cases in which the user's next item was available.
    pub possible: u64,
    /// Number of users present in the next time unit, summed over time units.
    pub present: u64,
    /// Number of time units.
    pub units: u64,
}

/// Sums of one time unit of the test.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepSums {
    /// First instant of the time unit.
    pub at: Millis,
    /// Number of rankings with a log loss.
    pub losses: u64,
    /// Sum of the log losses in nats.
    pub log_loss: f64,
    /// Reward of the time unit.
    pub reward: Reward,
}

impl StepSums {
    /// Adds a later time unit.
    pub fn add(&mut self, other: &StepSums) {
        self.losses += other.losses;
        self.log_loss += other.log_loss;
        self.reward.add(&other.reward);
    }
}

impl Reward {
    /// Adds the reward of another time unit.
    pub fn add(&mut self, other: &Reward) {
        self.right += other.right;
        self.possible += other.possible;
        self.present += other.present;
        self.units += other.units;
    }
}

/// Replays the log for one ranker; `each` receives the number of rows done since its last call.
pub fn replay(plan: &Plan<'_>, ranker: &mut dyn Ranker, each: &dyn Fn(u64)) -> Outcome {
    let log = plan.log;
    let started = Instant::now();
    let mut outcome = Outcome::new(log.users.len());
    let (mut walk, mut scores, mut told) = (log.availability.walk(), Vec::new(), 0);
    let judges = ranker.is_log_odds();
    let mut hedged = Millis::MIN;
    for (now, range) in &plan.steps {
        let edges = walk.move_to(*now);
        ranker.begin(*now, edges);
        let is_test = *now >= plan.test_from;
        let mut step = StepSums { at: *now, ..StepSums::default() };
        if is_test || !plan.test_only {
            let bucket = plan.bucket(*now);
            for index in range.clone().filter(|index| plan.roles[*index] != Role::Learned) {
                let row = &log.rows[index];
                let Ok(place) = walk.open().binary_search(&row.item) else {
                    outcome.unavailable += u64::from(is_test);
                    continue;
                };
                ranker.scores(row.user, walk.open(), *now, &mut scores);
                let rank = Rank::of_place(&scores, place);
                outcome.over_time[bucket].add(rank);
                if judges && let Some(loss) = outcome.promises.record(&scores, place, rank) {
                    step.losses += 1;
                    step.log_loss += loss;
                }
                if is_test {
                    outcome.per_person.add(row.user, plan.roles[index] == Role::Repeat, rank);
                    outcome.available += u64::from(rank.of);
                }
            }
        }
        for index in range.clone() {
            ranker.learn(index);
        }
        let is_last = range.end == log.rows.len();
        if (outcome.hedge.is_empty() || plan.bucket(*now) != plan.bucket(hedged) || is_last)
            && let Some(figures) = ranker.hedge()
        {
            hedged = *now;
            outcome.hedge.push((*now, figures));
        }
        if is_test && log.has_presence {
            reward(plan, *now, &walk, ranker, &mut scores, &mut step.reward);
            outcome.reward.add(&step.reward);
            outcome.steps.push(step);
        }
        if range.end >= told + 1024 || range.end == log.rows.len() {
            each((range.end - told) as u64);
            told = range.end;
        }
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    outcome
}

/// Learns everything but the targets, then ranks each target among the items available at its time. The figures look
/// ahead.
pub fn learn_all_then_rank(plan: &Plan<'_>, ranker: &mut dyn Ranker, each: &dyn Fn(u64)) -> Outcome {
    let log = plan.log;
    let started = Instant::now();
    let mut outcome = Outcome::new(log.users.len());
    let (mut walk, mut told) = (log.availability.walk(), 0);
    for (now, range) in &plan.steps {
        ranker.begin(*now, walk.move_to(*now));
        for index in range.clone().filter(|index| plan.roles[*index] == Role::Learned) {
            ranker.learn(index);
        }
        if range.end >= told + 1024 || range.end == log.rows.len() {
            each((range.end - told) as u64);
            told = range.end;
        }
    }
    let (mut walk, mut scores) = (log.availability.walk(), Vec::new());
    for (row, role) in log.rows.iter().zip(&plan.roles).filter(|(_, role)| **role != Role::Learned) {
        walk.move_to(row.at);
        let Ok(place) = walk.open().binary_search(&row.item) else {
            outcome.unavailable += 1;
            continue;
        };
        ranker.scores(row.user, walk.open(), row.at, &mut scores);
        let rank = Rank::of_place(&scores, place);
        outcome.over_time[plan.bucket(row.at)].add(rank);
        if ranker.is_log_odds() {
            outcome.promises.record(&scores, place, rank);
        }
        outcome.per_person.add(row.user, *role == Role::Repeat, rank);
        outcome.available += u64::from(rank.of);
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    outcome
}

impl Outcome {
    fn new(people: usize) -> Outcome {
        Outcome {
            per_person: PerPerson::new(people),
            over_time: vec![Sums::default(); BUCKETS],
            promises: Promises::default(),
            unavailable: 0,
            available: 0,
            reward: Reward::default(),
            steps: Vec::new(),
            hedge: Vec::new(),
            seconds: 0.0,
        }
    }
}

/// The original formulation: the recommendation of each user now, against their item in the next time unit. A user who
/// is absent then cannot be right, so nothing is computed for them.
fn reward(
    plan: &Plan<'_>,
    now: Millis,
    walk: &Walk<'_>,
    ranker: &mut dyn Ranker,
    scores: &mut Vec<f32>,
    reward: &mut Reward,
) {
    let next = (now.since(plan.test_from) / plan.log.unit_ms) as usize + 1;
    let Some(there) = plan.presence.get(next) else { return };
    reward.units += 1;
    for person in there.chunk_by(|a, b| a.0 == b.0) {
        reward.present += 1;
        let open = |item: u32| walk.open().binary_search(&item).is_ok();
        if !person.iter().any(|(_, item)| open(*item)) {
            continue;
        }
        reward.possible += 1;
        ranker.scores(person[0].0, walk.open(), now, scores);
        // Ties go to the first item, as in every ranking here.
        let best = scores.iter().enumerate().fold(None, |best: Option<(usize, f32)>, (place, score)| match best {
            Some((_, highest)) if highest >= *score || score.is_nan() => best,
            _ => Some((place, *score)),
        });
        let best = best.map(|(place, _)| walk.open()[place]);
        reward.right += u64::from(person.iter().any(|(_, item)| Some(*item) == best));
    }
}
