//! Predictors of likes: plain rates, the engine with and without a two-tower model, and that model alone.
//!
//! Invariant: predicting changes no state and depends on learned rows alone. Predictors that know items only by their
//! outcomes score an unseen item below all others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::model::Model;
use super::ranker::Ranker;
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
use crate::engine::learners::person::history::Sign;
use crate::engine::numeric::kernels::dot;
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::{ItemFacts, Step, TowerVector, TwoTower};
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;
use crate::replay::log::tables::Extras;

/// A predictor of likes.
pub trait Contender: Send {
    /// Begins a time unit; `edges` are the items that opened and closed since the last one.
    fn begin(&mut self, now: Millis, edges: &[Edge]);

    /// Log-odds that the label of row `index` is positive; `popularity` returns a monotone score instead.
    fn predict(&mut self, index: usize) -> f32;

    /// Scores of `items` for a user at `now`, in the order of `items`, into `out`.
    fn scores(&mut self, user: u32, items: &[u32], now: Millis, out: &mut Vec<f32>);

    /// Learns row `index` of the log.
    fn learn(&mut self, index: usize);
}

/// Names of all predictors, in the order of reports; the last two need a model.
pub const NAMES: [&str; 6] = ["popularity", "item_rate", "topic_rate", "blend", "tower", "blend_tower"];

/// True for a predictor whose scores are log-odds.
#[must_use]
pub fn is_log_odds(name: &str) -> bool {
    name != "popularity"
}

/// Creates the predictor of a name from [`NAMES`]; `None` for the last two without a model.
#[must_use]
pub fn make<'a>(
    name: &str,
    log: &'a Log,
    extras: &'a Extras,
    settings: &Arc<LearnSettings>,
    tower: Option<&Arc<dyn TwoTower>>,
) -> Option<Box<dyn Contender + 'a>> {
    let rates = |what| Box::new(Rates::new(log, settings.signals.clone(), what));
    Some(match name {
        "popularity" => rates(What::LikesOfItem),
        "item_rate" => rates(What::RateOfItem),
        "topic_rate" => rates(What::RateOfTopic),
        "blend" => Box::new(Blend(Model::new(log, settings.clone()))),
        "tower" => Box::new(Alone::new(log, extras, settings.signals.clone(), tower?.clone())),
        "blend_tower" => {
            let mut model = Model::new(log, settings.clone());
            model.set_tower(tower?.clone(), &extras.attributes);
            Box::new(Blend(model))
        }
        _ => return None,
    })
}

struct Blend<'a>(Model<'a>);

impl Contender for Blend<'_> {
    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        self.0.begin(now, edges);
    }

    fn predict(&mut self, index: usize) -> f32 {
        self.0.approval(index)
    }

    fn scores(&mut self, user: u32, items: &[u32], now: Millis, out: &mut Vec<f32>) {
        self.0.scores(user, items, now, out);
        for (score, item) in out.iter_mut().zip(items) {
            if self.0.known_as(*item).is_none() {
                *score = f32::NEG_INFINITY;
            }
        }
    }

    fn learn(&mut self, index: usize) {
        self.0.learn(index);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    LikesOfItem,
    RateOfItem,
    RateOfTopic,
}

/// Prior strength of a rate, in views of the mean rate.
const PRIOR_VIEWS: f32 = 10.0;

/// Rates of likes per item or topic, or counts of likes per item.
struct Rates<'a> {
    log: &'a Log,
    signals: Signals,
    what: What,
    /// Group of each item, whose rate it uses.
    group_of: Vec<u32>,
    /// Likes and views of each group.
    counts: Vec<(f32, f32)>,
    /// True for each item with a view.
    seen: Vec<bool>,
    all: (f32, f32),
}

impl<'a> Rates<'a> {
    fn new(log: &'a Log, signals: Signals, what: What) -> Rates<'a> {
        let items = log.items.len();
        let group_of: Vec<u32> = match what {
            What::LikesOfItem | What::RateOfItem => (0..items as u32).collect(),
            What::RateOfTopic => {
                let mut numbers = HashMap::new();
                let group = |item: usize| {
                    let next = numbers.len() as u32;
                    let topic = log.about.get(item).and_then(|about| about.topics.first());
                    *numbers.entry(topic).or_insert(next)
                };
                (0..items).map(group).collect()
            }
        };
        let groups = group_of.iter().max().map_or(0, |last| *last as usize + 1);
        let (counts, seen) = (vec![(0.0, 0.0); groups], vec![false; items]);
        Rates { log, signals, what, group_of, counts, seen, all: (0.0, 0.0) }
    }

    fn score(&self, item: u32) -> f32 {
        let (likes, views) = self.counts[self.group_of[item as usize] as usize];
        if self.what == What::LikesOfItem {
            return likes;
        }
        let mean = (self.all.0 + 1.0) / (self.all.1 + 2.0);
        let rate = (likes + PRIOR_VIEWS * mean) / (views + PRIOR_VIEWS);
        (rate / (1.0 - rate)).ln()
    }
}

impl Contender for Rates<'_> {
    fn begin(&mut self, _: Millis, _: &[Edge]) {}

    fn predict(&mut self, index: usize) -> f32 {
        self.score(self.log.rows[index].item)
    }

    fn scores(&mut self, _: u32, items: &[u32], _: Millis, out: &mut Vec<f32>) {
        out.clear();
        out.extend(items.iter().map(|item| match self.what {
            What::RateOfItem | What::LikesOfItem if !self.seen[*item as usize] => f32::NEG_INFINITY,
            _ => self.score(*item),
        }));
    }

    fn learn(&mut self, index: usize) {
        let row = &self.log.rows[index];
        let Some(signal) = row.signal(&self.signals, !self.log.has_presence) else { return };
        self.seen[row.item as usize] = true;
        let like = f32::from(u8::from(signal.positive));
        for count in [&mut self.counts[self.group_of[row.item as usize] as usize], &mut self.all] {
            count.0 += like;
            count.1 += 1.0;
        }
    }
}

/// The two-tower model alone: weights stay fixed, histories grow.
struct Alone<'a> {
    log: &'a Log,
    extras: &'a Extras,
    signals: Signals,
    model: Arc<dyn TwoTower>,
    /// Vectors by item.
    items: Vec<TowerVector>,
    /// History steps by user, the oldest first.
    histories: Vec<VecDeque<(u32, Sign, Millis)>>,
    /// Cached user vector, with the user, the instant and the length of the history.
    looked: Option<(u32, Millis, TowerVector)>,
}

impl<'a> Alone<'a> {
    fn new(log: &'a Log, extras: &'a Extras, signals: Signals, model: Arc<dyn TwoTower>) -> Alone<'a> {
        let items = (0..log.items.len()).map(|item| {
            let about = log.about.get(item);
            model.item(&ItemFacts {
                embedding: about.and_then(|about| about.embedding.as_deref()).unwrap_or_default(),
                text: about.and_then(|about| about.text.as_deref()).unwrap_or_default(),
                topic: about.and_then(|about| about.topics.first()).map(|topic| topic.as_str()),
                attributes: about.and_then(|about| about.attributes.as_deref()),
                numbers: &[],
            })
        });
        let items = items.collect();
        let histories = vec![VecDeque::new(); log.users.len()];
        Alone { log, extras, signals, model, items, histories, looked: None }
    }

    fn person(&mut self, user: u32, now: Millis) -> TowerVector {
        if let Some((_, _, vector)) = self.looked.as_ref().filter(|(who, when, _)| (*who, *when) == (user, now)) {
            return *vector;
        }
        let steps: Vec<Step<'_>> = self.histories[user as usize]
            .iter()
            .map(|(item, sign, at)| Step { item: &self.items[*item as usize], sign: *sign, at: *at })
            .collect();
        let attributes = self.extras.attributes.get(user as usize).and_then(Option::as_deref);
        let vector = self.model.person(attributes, &steps, now);
        self.looked = Some((user, now, vector));
        vector
    }
}

impl Contender for Alone<'_> {
    fn begin(&mut self, _: Millis, _: &[Edge]) {}

    fn predict(&mut self, index: usize) -> f32 {
        let row = self.log.rows[index];
        let person = self.person(row.user, row.at);
        self.model.log_odds(dot(&person, &self.items[row.item as usize]))
    }

    fn scores(&mut self, user: u32, items: &[u32], now: Millis, out: &mut Vec<f32>) {
        let person = self.person(user, now);
        out.clear();
        out.extend(items.iter().map(|item| self.model.log_odds(dot(&person, &self.items[*item as usize]))));
    }

    fn learn(&mut self, index: usize) {
        let row = self.log.rows[index];
        let sign = match row.signal(&self.signals, !self.log.has_presence) {
            Some(signal) if signal.positive => Sign::Positive,
            Some(_) => Sign::Negative,
            None => Sign::Neutral,
        };
        let history = &mut self.histories[row.user as usize];
        if history.len() == self.model.history().max(1) {
            history.pop_front();
        }
        history.push_back((row.item, sign, row.at));
        self.looked = self.looked.filter(|(who, ..)| *who != row.user);
    }
}
