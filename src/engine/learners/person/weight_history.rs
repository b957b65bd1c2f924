//! Topic weights of a user over time, and the decay curves that explain them.
//!
//! Invariant: each point comes from the functions that learning uses, under the settings that the caller gives. Memory is
//! bounded by the number of changes that a history keeps per topic. Deliberately absent: reading the journal, drawing.

use std::collections::{BTreeMap, VecDeque};

use super::topics::{TopicDecay, TopicWeights, bump, decay_euler, decay_exact, decayed, lifetime};
use crate::domain::ids::TopicId;
use crate::domain::time::{HOUR_MS, Millis};

/// Difference from the decayed weight below which an entry did not change a topic.
const CHANGE_MIN: f64 = 1e-9;
/// Largest number of topics of one history; further topics are left out.
const TOPICS_MAX: usize = 1_024;
/// Shares of the horizon at which the example interacts with a topic: a new interest, a pause, a relapse.
const EXAMPLE: [f64; 7] = [0.0, 0.07, 0.14, 0.21, 0.86, 0.93, 1.71];
/// Horizons that the example shows.
const EXAMPLE_END: f64 = 3.0;
/// Largest number of horizons that `timedecay` shows; at a high rate a weight near 1 decays very slowly.
const HORIZONS_MAX: f64 = 4.0;
/// Steps of each line of `timedecay`.
const STEPS: u32 = 120;

/// Changes of one topic's weight: `(time in milliseconds, weight from then on)`, in the order of time.
pub type Changes = Vec<(i64, f64)>;

/// A line of a decay curve: its name, and points `(time, weight)` with the time in the unit of the horizon.
pub type Curve = (String, Vec<(f64, f64)>);

/// The newest changes of each topic weight, collected during the fold of a user's journal.
#[derive(Clone, Debug)]
pub struct WeightHistory {
    topics: BTreeMap<TopicId, VecDeque<(i64, f64)>>,
    newest: Millis,
    kept: usize,
    only: Option<TopicId>,
    left_out: bool,
}

impl WeightHistory {
    /// A history without changes that keeps the newest `kept` changes of each topic.
    #[must_use]
    pub fn new(kept: usize) -> WeightHistory {
        WeightHistory { topics: BTreeMap::new(), newest: Millis::MIN, kept: kept.max(1), only: None, left_out: false }
    }

    /// Keeps the changes of this topic alone; `None` keeps those of all topics.
    #[must_use]
    pub fn only(self, topic: Option<TopicId>) -> WeightHistory {
        WeightHistory { only: topic, ..self }
    }

    /// Records the weights after the fold of an entry of the time `at`.
    pub fn observe(&mut self, weights: &TopicWeights, at: Millis, decay: TopicDecay) {
        // An entry out of order changes the weights from the newest entry on.
        self.newest = self.newest.max(at);
        let at = self.newest;
        let wanted = |topic: TopicId| self.only.is_none_or(|only| only == topic);
        let now: Vec<(TopicId, f64)> = weights.all(at, decay).filter(|(topic, _)| wanted(*topic)).collect();
        // A topic whose weight was set to 0 is no longer among the weights.
        let gone = |topic: &TopicId| now.binary_search_by_key(topic, |(topic, _)| *topic).is_err();
        let gone: Vec<(TopicId, f64)> = self.topics.keys().copied().filter(gone).map(|topic| (topic, 0.0)).collect();
        for (topic, weight) in now.into_iter().chain(gone) {
            if self.topics.len() >= TOPICS_MAX && !self.topics.contains_key(&topic) {
                self.left_out = true;
                continue;
            }
            let changes = self.topics.entry(topic).or_default();
            let before = changes.back().map_or(0.0, |(then, s)| decayed(*s, (at.0 - then).max(0) as f64, decay));
            if (weight - before).abs() > CHANGE_MIN {
                if changes.len() >= self.kept {
                    changes.pop_front();
                    self.left_out = true;
                }
                changes.push_back((at.0, weight));
            }
        }
    }

    /// Whether older changes, or topics, were left out.
    #[must_use]
    pub fn left_out(&self) -> bool {
        self.left_out
    }

    /// The changes of each topic, by topic.
    #[must_use]
    pub fn into_changes(self) -> Vec<(TopicId, Changes)> {
        let topics = self.topics.into_iter().filter(|(_, changes)| !changes.is_empty());
        topics.map(|(topic, changes)| (topic, changes.into())).collect()
    }
}

/// The changes that determine a weight from `from` on: all later ones, and the last one before.
#[must_use]
pub fn since(changes: &[(i64, f64)], from: i64) -> &[(i64, f64)] {
    let later = changes.partition_point(|change| change.0 <= from);
    &changes[later.saturating_sub(1)..]
}

/// Points `(time in milliseconds, weight)` of a weight from its first change to `end`, with the decay in between.
#[must_use]
pub fn points(changes: &[(i64, f64)], end: i64, decay: TopicDecay) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for (number, (at, weight)) in changes.iter().enumerate() {
        let until = changes.get(number + 1).map_or(end, |next| next.0).max(*at);
        let steps = if until - at > HOUR_MS { 24 } else { 2 };
        points.extend((0..=steps).map(|step| {
            let waited = (until - at) as f64 * f64::from(step) / f64::from(steps);
            (*at as f64 + waited, decayed(*weight, waited, decay))
        }));
    }
    points
}

fn euler(s: f64, tau: f64, rate: f64) -> f64 {
    if tau > 0.0 { decay_euler(s, tau, rate) } else { s }
}

/// Weights of 1 and 0.5 without an interaction, by the exact flow and by one Euler step. The time has the unit of
/// `horizon`.
#[must_use]
pub fn timedecay(horizon: f64, rate: f64) -> Vec<Curve> {
    // A multiple of five: the axis has five parts.
    let end = ((1.05 * lifetime(1.0, rate)).min(HORIZONS_MAX) * horizon / 5.0).ceil() * 5.0;
    let line = |name: String, value: &dyn Fn(f64) -> f64| {
        let points = (0..=STEPS).map(|step| {
            let x = end * f64::from(step) / f64::from(STEPS);
            (x, value(x))
        });
        (name, points.collect())
    };
    let from = |s: f64| {
        [
            line(format!("exact from {s}"), &move |x| decay_exact(s, x / horizon, rate)),
            line(format!("Euler from {s}"), &move |x| euler(s, x / horizon, rate)),
        ]
    };
    [from(1.0), from(0.5)].concat()
}

/// The weight through a made-up sequence of interactions, by the exact flow and by Euler steps. The time has the unit
/// of `horizon`.
#[must_use]
pub fn exampledecay(horizon: f64, rate: f64) -> Vec<Curve> {
    vec![
        ("exact".to_owned(), example(horizon, |s, tau| decay_exact(s, tau, rate))),
        ("Euler".to_owned(), example(horizon, |s, tau| euler(s, tau, rate))),
    ]
}

/// The weight over the example: before and after each interaction, and in between.
fn example(horizon: f64, decay: impl Fn(f64, f64) -> f64) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut s = 0.0;
    for (at, begin) in EXAMPLE.iter().enumerate() {
        s = bump(s);
        let next = EXAMPLE.get(at + 1).copied().unwrap_or(EXAMPLE_END);
        let steps = 20;
        points.extend((0..=steps).map(|step| {
            let waited = (next - begin) * f64::from(step) / f64::from(steps);
            ((begin + waited) * horizon, decay(s, waited))
        }));
        s = decay(s, next - begin);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::super::topics::Decay;
    use super::*;

    const DECAY: TopicDecay = TopicDecay { mode: Decay::Exact, rate: 1.0, horizon_ms: 7 * 24 * HOUR_MS };

    #[test]
    fn a_history_keeps_the_newest_changes_and_says_that_it_left_out_others() {
        let (mut weights, mut history) = (TopicWeights::default(), WeightHistory::new(2));
        for hour in 0..4 {
            let at = Millis(hour * HOUR_MS);
            weights.learn(&[TopicId(1)], at, DECAY);
            history.observe(&weights, at, DECAY);
            // An entry that changes no topic leaves no change.
            history.observe(&weights, Millis(at.0 + 1), DECAY);
        }
        assert!(history.left_out());
        let changes = history.into_changes();
        let times: Vec<i64> = changes[0].1.iter().map(|change| change.0).collect();
        assert_eq!((changes.len(), times), (1, vec![2 * HOUR_MS, 3 * HOUR_MS]));
    }

    #[test]
    fn a_history_of_one_topic_does_not_count_changes_of_others() {
        for (only, left_out, topics) in [(Some(1), true, 1), (Some(2), false, 1), (Some(3), false, 0), (None, true, 2)]
        {
            let mut weights = TopicWeights::default();
            let mut history = WeightHistory::new(2).only(only.map(TopicId));
            for hour in 0..4 {
                let at = Millis(hour * HOUR_MS);
                weights.learn(&[TopicId(if hour == 1 { 2 } else { 1 })], at, DECAY);
                history.observe(&weights, at, DECAY);
            }
            assert_eq!((history.left_out(), history.into_changes().len()), (left_out, topics), "{only:?}");
        }
    }

    #[test]
    fn a_weight_that_is_set_to_0_is_a_change() {
        let (mut weights, mut history) = (TopicWeights::default(), WeightHistory::new(9));
        weights.learn(&[TopicId(1), TopicId(2)], Millis(0), DECAY);
        history.observe(&weights, Millis(0), DECAY);
        weights.set(&[(TopicId(1), 0.0)], Millis(HOUR_MS), DECAY);
        history.observe(&weights, Millis(HOUR_MS), DECAY);
        let expected = vec![(TopicId(1), vec![(0, 0.5), (HOUR_MS, 0.0)]), (TopicId(2), vec![(0, 0.5)])];
        assert_eq!(history.into_changes(), expected);
    }

    #[test]
    fn points_are_the_decayed_weights_up_to_the_end() {
        let drawn = points(&[(0, 0.5), (HOUR_MS, 0.75)], 50 * HOUR_MS, DECAY);
        assert_eq!(drawn.len(), 3 + 25);
        assert_eq!(drawn[0], (0.0, 0.5));
        assert_eq!(drawn[3], (HOUR_MS as f64, 0.75));
        let (at, weight) = drawn[drawn.len() - 1];
        assert_eq!((at, weight), (50.0 * HOUR_MS as f64, decayed(0.75, 49.0 * HOUR_MS as f64, DECAY)));
    }

    #[test]
    fn the_change_before_a_time_determines_the_weight_from_there_on() {
        let changes = [(10, 0.1), (20, 0.2), (30, 0.3)];
        assert_eq!(since(&changes, 25), &changes[1..]);
        assert_eq!(since(&changes, 5), &changes[..]);
        assert_eq!(since(&changes, 90), &changes[2..]);
        assert_eq!(since(&[], 90), &[]);
    }
}
