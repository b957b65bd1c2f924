//! Predictors of labels: the serving engine, and the baselines beside it.
//!
//! Invariant: predictions are finite log-odds and change no state. Rates are progressive: they count learned rows
//! alone. They are smoothed towards the global rate with the weight of [`PRIOR_ROWS`] rows.

use std::collections::HashMap;
use std::sync::Arc;

use super::model::Model;
use super::ranker::Ranker;
use crate::domain::interactions::Signals;
use crate::domain::time::{DAY_MS, HOUR_MS, Millis};
use crate::engine::metrics::progressive::sigmoid;
use crate::engine::settings::LearnSettings;
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// Prior strength of a rate, in rows of the global rate.
const PRIOR_ROWS: f64 = 10.0;

/// Predicts the label of a row before that row is learned.
pub trait Labeller: Send {
    /// Name of the predictor in reports.
    fn name(&self) -> &'static str;
    /// Begins a time unit; `edges` are the items that opened and closed since the last one.
    fn begin(&mut self, now: Millis, edges: &[Edge]);
    /// Log-odds that the label of row `index` is positive.
    fn predict(&mut self, index: usize) -> f32;
    /// Learns row `index` of the log.
    fn learn(&mut self, index: usize);
}

/// Names of all predictors, in the order of reports.
pub const NAMES: [&str; 6] = ["model", "logistic", "rate_item", "rate_topic", "rate_person", "constant"];

/// Creates the predictor of a name from [`NAMES`].
#[must_use]
pub fn make<'a>(name: &str, log: &'a Log, settings: &Arc<LearnSettings>) -> Option<Box<dyn Labeller + 'a>> {
    let rates = || Rates::new(log, settings.signals.clone());
    Some(match name {
        "model" => Box::new(Engine(Model::new(log, settings.clone()))),
        "logistic" => Box::new(Logistic { rates: rates(), weights: Vec::new(), squares: Vec::new() }),
        "rate_item" => Box::new(OneRate { name: "rate_item", which: Some(Which::Item), rates: rates() }),
        "rate_topic" => Box::new(OneRate { name: "rate_topic", which: Some(Which::Topic), rates: rates() }),
        "rate_person" => Box::new(OneRate { name: "rate_person", which: Some(Which::Person), rates: rates() }),
        "constant" => Box::new(OneRate { name: "constant", which: None, rates: rates() }),
        _ => return None,
    })
}

struct Engine<'a>(Model<'a>);

impl Labeller for Engine<'_> {
    fn name(&self) -> &'static str {
        "model"
    }

    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        self.0.begin(now, edges);
    }

    fn predict(&mut self, index: usize) -> f32 {
        self.0.approval(index)
    }

    fn learn(&mut self, index: usize) {
        self.0.learn(index);
    }
}

/// Grouping of a rate: by user, item or topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Item,
    Topic,
    Person,
    PersonAndTopic,
}

/// Number of positive labels, and number of labels.
type Count = (f64, f64);

/// Progressive rates of items, topics, users, and pairs of user and topic.
struct Rates<'a> {
    log: &'a Log,
    signals: Signals,
    all: Count,
    items: Vec<Count>,
    people: Vec<Count>,
    topics: Vec<Count>,
    people_topics: HashMap<(u32, u32), Count>,
    /// Main topic by item; items without a topic share one.
    topic_of: Vec<u32>,
}

impl<'a> Rates<'a> {
    fn new(log: &'a Log, signals: Signals) -> Rates<'a> {
        let mut numbers = HashMap::new();
        let topic_of = |item: usize| {
            let topic = log.about.get(item).and_then(|about| about.topics.first());
            let next = numbers.len() as u32;
            *numbers.entry(topic).or_insert(next)
        };
        let topic_of: Vec<u32> = (0..log.items.len()).map(topic_of).collect();
        Rates {
            log,
            signals,
            all: (0.0, 0.0),
            items: vec![(0.0, 0.0); log.items.len()],
            people: vec![(0.0, 0.0); log.users.len()],
            topics: vec![(0.0, 0.0); numbers.len()],
            people_topics: HashMap::new(),
            topic_of,
        }
    }

    /// Log-odds of the global rate.
    fn mean(&self) -> f64 {
        log_odds((self.all.0 + 1.0) / (self.all.1 + 2.0))
    }

    fn of(&self, which: Which, index: usize) -> f64 {
        let (positive, count) = self.count(which, index);
        let mean = (self.all.0 + 1.0) / (self.all.1 + 2.0);
        log_odds((positive + PRIOR_ROWS * mean) / (count + PRIOR_ROWS))
    }

    fn count(&self, which: Which, index: usize) -> Count {
        let row = &self.log.rows[index];
        let topic = self.topic_of[row.item as usize];
        match which {
            Which::Item => self.items[row.item as usize],
            Which::Person => self.people[row.user as usize],
            Which::Topic => self.topics[topic as usize],
            Which::PersonAndTopic => self.people_topics.get(&(row.user, topic)).copied().unwrap_or_default(),
        }
    }

    /// Label of a row; `None` without a label.
    fn label(&self, index: usize) -> Option<bool> {
        Some(self.log.rows[index].signal(&self.signals, !self.log.has_presence)?.positive)
    }

    fn learn(&mut self, index: usize) {
        let Some(label) = self.label(index) else { return };
        let row = &self.log.rows[index];
        let topic = self.topic_of[row.item as usize];
        for count in [
            &mut self.all,
            &mut self.items[row.item as usize],
            &mut self.people[row.user as usize],
            &mut self.topics[topic as usize],
            self.people_topics.entry((row.user, topic)).or_default(),
        ] {
            count.0 += f64::from(u8::from(label));
            count.1 += 1.0;
        }
    }
}

fn log_odds(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

struct OneRate<'a> {
    name: &'static str,
    which: Option<Which>,
    rates: Rates<'a>,
}

impl Labeller for OneRate<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn begin(&mut self, _: Millis, _: &[Edge]) {}

    fn predict(&mut self, index: usize) -> f32 {
        self.which.map_or_else(|| self.rates.mean(), |which| self.rates.of(which, index)) as f32
    }

    fn learn(&mut self, index: usize) {
        self.rates.learn(index);
    }
}

/// Online logistic regression on the rates and a few plain features.
///
/// Steps are those of AdaGrad: `w_i -= 0.1 g_i / sqrt(1e-8 + sum g_i^2)`. Source: Duchi, Hazan & Singer, *Adaptive
/// Subgradient Methods*, JMLR 2011.
struct Logistic<'a> {
    rates: Rates<'a>,
    weights: Vec<f64>,
    squares: Vec<f64>,
}

impl Logistic<'_> {
    /// Features of a row, to be weighted and added to the log-odds of the global rate.
    fn features(&self, index: usize) -> [f64; 8] {
        let (rates, mean) = (&self.rates, self.rates.mean());
        let row = &rates.log.rows[index];
        let hour = row.at.0.rem_euclid(DAY_MS) as f64 / HOUR_MS as f64 / 24.0 * std::f64::consts::TAU;
        [
            1.0,
            rates.of(Which::Item, index) - mean,
            rates.of(Which::Topic, index) - mean,
            rates.of(Which::Person, index) - mean,
            rates.of(Which::PersonAndTopic, index) - mean,
            hour.sin(),
            hour.cos(),
            0.1 * (1.0 + rates.count(Which::Person, index).1).ln(),
        ]
    }

    fn margin(&self, features: &[f64]) -> f64 {
        self.rates.mean() + self.weights.iter().zip(features).map(|(w, x)| w * x).sum::<f64>()
    }
}

impl Labeller for Logistic<'_> {
    fn name(&self) -> &'static str {
        "logistic"
    }

    fn begin(&mut self, _: Millis, _: &[Edge]) {}

    fn predict(&mut self, index: usize) -> f32 {
        self.margin(&self.features(index)) as f32
    }

    fn learn(&mut self, index: usize) {
        if let Some(label) = self.rates.label(index) {
            let features = self.features(index);
            let error = sigmoid(self.margin(&features)) - f64::from(u8::from(label));
            self.weights.resize(features.len(), 0.0);
            self.squares.resize(features.len(), 0.0);
            for ((weight, squares), x) in self.weights.iter_mut().zip(&mut self.squares).zip(features) {
                let gradient = error * x;
                *squares += gradient * gradient;
                *weight -= 0.1 * gradient / (1e-8 + *squares).sqrt();
            }
        }
        self.rates.learn(index);
    }
}
