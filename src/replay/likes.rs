//! Prediction of likes: each view of the test is predicted, and liked posts are ranked among all posts and among the
//! available ones.
//!
//! Invariant: in order of time, all rows of a time unit are predicted before any is learned. In leave-one-out mode
//! rows are predicted after everything else was learned; the report names that leak. Each predictor walks the log on
//! its own. Intervals use equal draws of users for all predictors, so that differences have intervals, too. An
//! undefined figure (one kind of label alone, no ranked like, an interval over one user) is `None`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::log::Log;
use super::log::tables::Extras;
use super::metrics::{Bin, Rank, middle_95, ratio, shown, shown_interval};
use super::rankers::contenders::{self, Contender};
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
use crate::engine::metrics::progressive::Progress;
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::TwoTower;

/// Limit on the ranked likes; beyond it every n-th like is ranked.
pub const RANKED_MAX: usize = 20_000;

/// Selection of the predicted rows, and when they are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All views of the test, in order of time.
    InTime,
    /// Each user's last view of the test, after everything else was learned.
    LeaveOneOut,
}

/// The predicted rows, shared by all predictors.
pub struct Plan<'a> {
    /// The replayed log.
    pub log: &'a Log,
    /// Selection of the predicted rows.
    pub mode: Mode,
    /// By row: true where it is predicted.
    targets: Vec<bool>,
    /// By row: true where it is ranked, too.
    ranked: Vec<bool>,
    signals: Signals,
}

/// Figures of all predictors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Likes {
    /// Number of predicted views.
    pub views: u64,
    /// Number of likes among the predicted views.
    pub likes: u64,
    /// Number of ranked likes.
    pub ranked: u64,
    /// Number of posts.
    pub posts: u64,
    /// Mean number of available posts over the ranked likes; `null` without a ranked like.
    pub available_mean: Option<f64>,
    /// The leak of a mode that looks ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<String>,
    /// Figures by predictor.
    pub contenders: BTreeMap<String, LikeFigures>,
}

/// A figure with its 95 % bootstrap interval over users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure over all users; `null` where it is undefined.
    pub value: Option<f64>,
    /// From the 2.5th to the 97.5th percentile; `null` without a value, or for fewer than two users.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// An estimate from the figure over all users and the figures of resamples.
    fn new(value: Option<f64>, drawn: impl Iterator<Item = Option<f64>>) -> Estimate {
        let mut drawn: Vec<f64> = drawn.flatten().collect();
        Estimate { value, interval: middle_95(&mut drawn).filter(|_| value.is_some()) }
    }
}

/// Figures of one predictor.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LikeFigures {
    /// Exact ROC AUC over all predicted views.
    pub roc_auc: Estimate,
    /// Average precision: mean over the likes of the share of likes among views with a score as high or higher.
    pub average_precision: Estimate,
    /// Share of the ranked likes among the first five of all posts.
    #[serde(rename = "hr@5_all")]
    pub hr_5_all: Estimate,
    /// Share of the ranked likes among the first five of the available posts.
    #[serde(rename = "hr@5_available")]
    pub hr_5_available: Estimate,
    /// ROC AUC minus that of the blend without a two-tower model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc_over_blend: Option<Estimate>,
    /// Calibration of the probabilities; absent for predictors without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// Calibration of predicted probabilities.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Mean log loss in nats; `null` without a view.
    pub log_loss: Option<f64>,
    /// Expected calibration error, ten bins; `null` without a view.
    pub ece: Option<f64>,
    /// Reliability diagram, by tenths.
    pub bins: Vec<Bin>,
}

/// Predictions of one predictor.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    scores: Vec<f32>,
    labels: Vec<bool>,
    users: Vec<u32>,
    /// By ranked like: user, rank among all posts, rank among the available ones.
    ranks: Vec<(u32, Rank, Rank)>,
    progress: Progress,
}

impl<'a> Plan<'a> {
    /// Selects the predicted views from `test_from` on, and the ranked likes.
    #[must_use]
    pub fn new(log: &'a Log, signals: &Signals, test_from: Millis, mode: Mode) -> Plan<'a> {
        let label = |row: &super::log::LogRow| row.signal(signals, !log.has_presence);
        let mut targets: Vec<bool> =
            log.rows.iter().map(|row| row.is_judged && row.at >= test_from && label(row).is_some()).collect();
        if mode == Mode::LeaveOneOut {
            let mut kept = vec![false; log.users.len()];
            for (row, target) in log.rows.iter().zip(&mut targets).rev() {
                *target = *target && !std::mem::replace(&mut kept[row.user as usize], true);
            }
        }
        let is_like = |index: usize| label(&log.rows[index]).is_some_and(|signal| signal.positive);
        let likes: Vec<usize> = (0..targets.len()).filter(|index| targets[*index] && is_like(*index)).collect();
        let mut ranked = vec![false; targets.len()];
        for index in likes.iter().step_by(likes.len().div_ceil(RANKED_MAX).max(1)) {
            ranked[*index] = true;
        }
        Plan { log, mode, targets, ranked, signals: signals.clone() }
    }

    /// Number of predicted views.
    #[must_use]
    pub fn views(&self) -> usize {
        self.targets.iter().filter(|target| **target).count()
    }

    /// Mean over the targets of the share of learned rows that are later; `None` where no row was learned.
    fn later_share(&self) -> Option<f64> {
        let rows = self.log.rows.iter().zip(&self.targets);
        let learned: Vec<Millis> = rows.clone().filter(|(_, target)| !**target).map(|(row, _)| row.at).collect();
        let later = |at: Millis| (learned.len() - learned.partition_point(|other| *other <= at)) as f64;
        let (sum, n) =
            rows.filter(|(_, target)| **target).fold((0.0, 0.0), |(sum, n), (row, _)| (sum + later(row.at), n + 1.0));
        ratio(sum, n * learned.len() as f64)
    }
}

/// Replays the log for one predictor; `each` receives the number of rows done since its last call.
pub fn replay(plan: &Plan<'_>, contender: &mut dyn Contender, each: &dyn Fn(u64)) -> Predictions {
    let log = plan.log;
    let all: Vec<u32> = (0..log.items.len() as u32).collect();
    let (mut predictions, mut scores) = (Predictions::default(), Vec::new());
    let (mut walk, mut done) = (log.availability.walk(), 0);
    for range in log.steps() {
        let now = log.rows[range.start].at;
        contender.begin(now, walk.move_to(now));
        if plan.mode == Mode::InTime {
            for index in range.clone().filter(|index| plan.targets[*index]) {
                predictions.ask(plan, contender, index, &all, walk.open(), &mut scores);
            }
        }
        for index in range.clone().filter(|index| plan.mode == Mode::InTime || !plan.targets[*index]) {
            contender.learn(index);
        }
        if range.end >= done + 1024 || range.end == log.rows.len() {
            each((range.end - done) as u64);
            done = range.end;
        }
    }
    if plan.mode == Mode::LeaveOneOut {
        let mut walk = log.availability.walk();
        for index in (0..log.rows.len()).filter(|index| plan.targets[*index]) {
            walk.move_to(log.rows[index].at);
            predictions.ask(plan, contender, index, &all, walk.open(), &mut scores);
        }
    }
    predictions
}

impl Predictions {
    fn ask(
        &mut self,
        plan: &Plan<'_>,
        contender: &mut dyn Contender,
        index: usize,
        all: &[u32],
        open: &[u32],
        scores: &mut Vec<f32>,
    ) {
        let row = &plan.log.rows[index];
        let Some(signal) = row.signal(&plan.signals, !plan.log.has_presence) else { return };
        let score = contender.predict(index);
        let score = if score.is_finite() { score } else { 0.0 };
        self.scores.push(score);
        self.labels.push(signal.positive);
        self.users.push(row.user);
        self.progress.record(score, signal.positive);
        if let Some(place) = open.binary_search(&row.item).ok().filter(|_| plan.ranked[index]) {
            contender.scores(row.user, all, row.at, scores);
            let among_all = Rank::of_place(scores, row.item as usize);
            let available: Vec<f32> = open.iter().map(|item| scores[*item as usize]).collect();
            self.ranks.push((row.user, among_all, Rank::of_place(&available, place)));
        }
    }

    /// Indices of views by descending score; ties form one group.
    fn falling(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.scores.len() as u32).collect();
        let score = |row: &u32| self.scores[*row as usize] + 0.0;
        order.sort_by(|a, b| score(b).total_cmp(&score(a)));
        order
    }

    /// ROC AUC and average precision where each user has a weight.
    fn areas(&self, falling: &[u32], times: &[u32]) -> [Option<f64>; 2] {
        let (mut likes, mut others) = (0.0_f64, 0.0_f64);
        let (mut wins, mut precision) = (0.0_f64, 0.0_f64);
        let tied = |a: &u32, b: &u32| self.scores[*a as usize] == self.scores[*b as usize];
        for group in falling.chunk_by(tied) {
            let (mut like, mut other) = (0.0, 0.0);
            for row in group {
                let weight = f64::from(times[self.users[*row as usize] as usize]);
                if self.labels[*row as usize] { like += weight } else { other += weight }
            }
            // A like loses against every higher score, and half against ties.
            wins += like * (others + other / 2.0);
            likes += like;
            others += other;
            if like > 0.0 {
                precision += like * likes / (likes + others);
            }
        }
        // With one kind of label both figures are undefined: precision would be 1 or 0 for any scores.
        let both = likes * others > 0.0;
        let [wins, precision] = [ratio(wins, likes * others), ratio(precision, likes)];
        [wins.map(|wins| 1.0 - wins), precision.filter(|_| both)]
    }

    /// HR@5 among all and among the available posts where each user has a weight.
    fn hits(&self, times: &[u32]) -> [Option<f64>; 2] {
        let mut sums = [0.0_f64; 3];
        for (user, all, available) in &self.ranks {
            let weight = f64::from(times[*user as usize]);
            let hit = |rank: &Rank| weight * f64::from(u8::from(rank.rank <= 5));
            for (sum, more) in sums.iter_mut().zip([hit(all), hit(available), weight]) {
                *sum += more;
            }
        }
        [ratio(sums[0], sums[2]), ratio(sums[1], sums[2])]
    }
}

/// ROC AUC, average precision, HR@5 among all posts, HR@5 among the available ones.
type Four = [Option<f64>; 4];

/// Computes the figures of all predictors, with `resamples` bootstrap draws of users.
#[must_use]
pub fn figures(plan: &Plan<'_>, predictions: &[(&str, Predictions)], resamples: usize, seed: u64) -> Likes {
    let people = plan.log.users.len();
    let mut there: Vec<u32> = predictions.first().map_or(Vec::new(), |(_, first)| first.users.clone());
    there.sort_unstable();
    there.dedup();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // With a single user all resamples agree, which is no interval.
    let draws: Vec<Vec<u32>> = (0..if there.len() > 1 { resamples } else { 0 })
        .map(|_| {
            let mut times = vec![0; people];
            (0..there.len()).for_each(|_| times[there[random.random_range(0..there.len())] as usize] += 1);
            times
        })
        .collect();
    let once = vec![1; people];
    let measured: Vec<(Four, Vec<Four>)> = predictions
        .iter()
        .map(|(_, predictions)| {
            let falling = predictions.falling();
            let four = |times: &[u32]| {
                let ([auc, precision], [all, available]) =
                    (predictions.areas(&falling, times), predictions.hits(times));
                [auc, precision, all, available]
            };
            (four(&once), draws.iter().map(|times| four(times)).collect())
        })
        .collect();
    let blend = predictions.iter().position(|(name, _)| *name == "blend");
    let mut likes = Likes { views: plan.views() as u64, posts: plan.log.items.len() as u64, ..Likes::default() };
    if let Some((_, first)) = predictions.first() {
        likes.likes = first.labels.iter().filter(|label| **label).count() as u64;
        likes.ranked = first.ranks.len() as u64;
        let open: f64 = first.ranks.iter().map(|(.., available)| f64::from(available.of)).sum();
        likes.available_mean = ratio(open, first.ranks.len() as f64);
    }
    if plan.mode == Mode::LeaveOneOut {
        likes.leak = Some(format!(
            "before a person's last view was predicted, what others did after it had been learned ({} % of what was \
             learned, on average): no server could know that",
            shown(plan.later_share().map(|share| 100.0 * share), 1)
        ));
    }
    for (at, (name, predictions)) in predictions.iter().enumerate() {
        let (whole, drawn) = &measured[at];
        let first = predictions.ranks.first().map(|(user, ..)| *user);
        let one_person_is_ranked = predictions.ranks.iter().all(|(user, ..)| Some(*user) == first);
        let estimate = |figure: usize| {
            let draws = if figure >= 2 && one_person_is_ranked { &[][..] } else { drawn };
            Estimate::new(whole[figure], draws.iter().map(|draw| draw[figure]))
        };
        let over_blend = blend.filter(|blend| *blend != at).map(|blend| {
            let (theirs, their_draws) = &measured[blend];
            let gain = |ours: &Four, theirs: &Four| ours[0].zip(theirs[0]).map(|(ours, theirs)| ours - theirs);
            Estimate::new(gain(whole, theirs), drawn.iter().zip(their_draws).map(|(ours, theirs)| gain(ours, theirs)))
        });
        let bins =
            predictions.progress.bins().iter().map(|bin| Bin::new(bin.count, bin.positives, bin.probability_sum));
        let calibration = contenders::is_log_odds(name).then(|| Calibration {
            log_loss: predictions.progress.log_loss(),
            ece: predictions.progress.ece(),
            bins: bins.collect(),
        });
        let found = LikeFigures {
            roc_auc: estimate(0),
            average_precision: estimate(1),
            hr_5_all: estimate(2),
            hr_5_available: estimate(3),
            roc_auc_over_blend: over_blend,
            calibration,
        };
        likes.contenders.insert((*name).to_owned(), found);
    }
    likes
}

/// Names of the possible predictors; those with a model only where one is given.
#[must_use]
pub fn names(tower: Option<&Arc<dyn TwoTower>>) -> Vec<&'static str> {
    let count = contenders::NAMES.len() - if tower.is_some() { 0 } else { 2 };
    contenders::NAMES[..count].to_vec()
}

/// Creates a predictor and replays the log for it.
#[must_use]
pub fn tell(
    plan: &Plan<'_>,
    name: &'static str,
    extras: &Extras,
    settings: &Arc<LearnSettings>,
    tower: Option<&Arc<dyn TwoTower>>,
    each: &dyn Fn(u64),
) -> Option<(&'static str, Predictions)> {
    let mut contender = contenders::make(name, plan.log, extras, settings, tower)?;
    Some((name, replay(plan, &mut *contender, each)))
}

/// Appends the table in plain text.
pub(super) fn table(out: &mut String, likes: &Likes) {
    let _ = writeln!(
        out,
        "{} views predicted, {} of them liked; {} likes ranked among {} posts, of which {} were available",
        likes.views,
        likes.likes,
        likes.ranked,
        likes.posts,
        shown(likes.available_mean, 0)
    );
    if let Some(leak) = &likes.leak {
        let _ = writeln!(out, "leak: {leak}");
    }
    let _ = writeln!(
        out,
        "{:<14}{:>22}{:>22}{:>22}{:>22}{:>10}{:>13}{:>26}",
        "",
        "ROC AUC",
        "average precision",
        "HR@5 all",
        "HR@5 available",
        "log loss",
        "calibration",
        "ROC AUC over blend"
    );
    let cell = |one: &Estimate| format!("{} {}", shown(one.value, 4), shown_interval(one.interval, 3, "-"));
    for (name, found) in contenders::NAMES.iter().filter_map(|name| likes.contenders.get_key_value(*name)) {
        let _ = write!(
            out,
            "{name:<14}{:>22}{:>22}{:>22}{:>22}",
            cell(&found.roc_auc),
            cell(&found.average_precision),
            cell(&found.hr_5_all),
            cell(&found.hr_5_available)
        );
        let _ = match &found.calibration {
            Some(calibration) => {
                write!(out, "{:>10}{:>13}", shown(calibration.log_loss, 4), shown(calibration.ece, 4))
            }
            None => write!(out, "{:>10}{:>13}", "", ""),
        };
        let over = found.roc_auc_over_blend.as_ref().map_or(String::new(), |over| {
            let signed = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:+.4}"));
            let interval =
                over.interval.map_or_else(|| "-".to_owned(), |[low, high]| format!("{low:+.3} to {high:+.3}"));
            format!("{} {interval}", signed(over.value))
        });
        let _ = writeln!(out, "{over:>26}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::metrics::progressive::roc_auc;
    use proptest::prelude::*;

    fn predictions(rows: &[(f32, bool, u32)]) -> Predictions {
        Predictions {
            scores: rows.iter().map(|row| row.0).collect(),
            labels: rows.iter().map(|row| row.1).collect(),
            users: rows.iter().map(|row| row.2).collect(),
            ..Predictions::default()
        }
    }

    #[test]
    fn areas_as_a_hand_counts_them() {
        for (name, rows, expected) in [
            ("in order", &[(2.0, true, 0), (1.0, false, 0)][..], Some([1.0, 1.0])),
            ("upside down", &[(1.0, true, 0), (2.0, false, 0)], Some([0.0, 0.5])),
            ("tied", &[(1.0, true, 0), (1.0, false, 0)], Some([0.5, 0.5])),
            (
                "first and third",
                &[(3.0, true, 0), (2.0, false, 0), (1.0, true, 0)],
                Some([0.5, (1.0 + 2.0 / 3.0) / 2.0]),
            ),
            ("likes alone", &[(3.0, true, 0)], None),
            ("none", &[(3.0, false, 0)], None),
            ("nothing", &[], None),
            ("zeros are equal", &[(0.0, true, 0), (-0.0, false, 0)], Some([0.5, 0.5])),
        ] {
            let predictions = predictions(rows);
            let found = predictions.areas(&predictions.falling(), &[1]);
            assert_eq!(found.map(|area| area.is_some()), [expected.is_some(); 2], "{name}: {found:?}");
            for (found, expected) in found.into_iter().flatten().zip(expected.into_iter().flatten()) {
                assert!((found - expected).abs() < 1e-12, "{name}: {found} is not {expected}");
            }
        }
    }

    proptest! {
        /// A user with weight n counts as n users with equal rows.
        #[test]
        fn a_weight_is_a_repetition(
            rows in prop::collection::vec((-3_i8..3, any::<bool>(), 0_u32..3), 1..40),
            times in prop::collection::vec(0_u32..4, 3),
        ) {
            let rows: Vec<(f32, bool, u32)> = rows.into_iter().map(|(s, l, u)| (f32::from(s), l, u)).collect();
            let weighted = predictions(&rows);
            let repeated: Vec<_> =
                rows.iter().flat_map(|row| std::iter::repeat_n(*row, times[row.2 as usize] as usize)).collect();
            let plain = predictions(&repeated);
            let found = weighted.areas(&weighted.falling(), &times);
            let expected = plain.areas(&plain.falling(), &[1, 1, 1]);
            for (found, expected) in found.into_iter().zip(expected) {
                prop_assert_eq!(found.is_some(), expected.is_some());
                prop_assert!(found.zip(expected).is_none_or(|(found, expected)| (found - expected).abs() < 1e-9));
            }
            let exact = roc_auc(&plain.scores, &plain.labels);
            prop_assert_eq!(expected[0].is_some(), exact.is_some());
            prop_assert!(expected[0].zip(exact).is_none_or(|(found, exact)| (found - exact).abs() < 1e-9));
        }
    }
}
