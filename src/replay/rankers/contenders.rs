//! Who says how likely a like is: plain rates, the engine with and without a two-tower model, that model alone.
//!
//! Invariant: what is said changes nothing, and is made of rows that were learned before. An item that nobody has seen yet
//! scores below all others for those who know items by what happened to them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Model, Ranker};
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
use crate::engine::settings::LearnSettings;
use crate::engine::simd::dot;
use crate::engine::tower::{ItemFacts, Sign, Step, TowerVector, TwoTower};
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;
use crate::replay::log::tables::Extras;

/// Says how likely likes are.
pub trait Contender: Send {
    /// A new time unit begins: these items opened and closed since the last one.
    fn begin(&mut self, now: Millis, edges: &[Edge]);

    /// Log-odds that the label of row `index` is positive; of `popularity` any number that rises with it.
    fn predict(&mut self, index: usize) -> f32;

    /// Scores of `items` for a person at `now`, in their order, into `out`.
    fn scores(&mut self, user: u32, items: &[u32], now: Millis, out: &mut Vec<f32>);

    /// Learns row `index` of the log.
    fn learn(&mut self, index: usize);
}

/// Names of all contenders, in the order of reports; the last two need a model.
pub const NAMES: [&str; 6] = ["popularity", "item_rate", "topic_rate", "blend", "tower", "blend_tower"];

/// Does what it says come as log-odds?
#[must_use]
pub fn is_log_odds(name: &str) -> bool {
    name != "popularity"
}

/// Makes the contender of a name from [`NAMES`]; `None` for the last two without a model.
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
            model.put_tower(tower?.clone(), &extras.attributes);
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

/// So many views of the mean rate are taken for granted of everything.
const PRIOR_VIEWS: f32 = 10.0;

/// Likes and views so far.
struct Rates<'a> {
    log: &'a Log,
    signals: Signals,
    what: What,
    /// By item its number among what is counted.
    group_of: Vec<u32>,
    /// By group.
    counts: Vec<(f32, f32)>,
    /// By item: was it ever seen?
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

/// The two-tower model, which learns nothing: only the histories grow.
struct Alone<'a> {
    log: &'a Log,
    extras: &'a Extras,
    signals: Signals,
    model: Arc<dyn TwoTower>,
    /// By item.
    items: Vec<TowerVector>,
    /// By person, the oldest first.
    histories: Vec<VecDeque<(u32, Sign, Millis)>>,
    /// Whose vector was made last, when, after how many rows of theirs.
    looked: Option<(u32, Millis, TowerVector)>,
}

impl<'a> Alone<'a> {
    fn new(log: &'a Log, extras: &'a Extras, signals: Signals, model: Arc<dyn TwoTower>) -> Alone<'a> {
        let items = (0..log.items.len()).map(|item| {
            let about = log.about.get(item);
            let numbers: Vec<(&str, f32)> = extras
                .numbers
                .get(item)
                .map_or(Vec::new(), |numbers| numbers.iter().map(|(name, number)| (name.as_str(), *number)).collect());
            model.item(&ItemFacts {
                embedding: about.and_then(|about| about.embedding.as_deref()).unwrap_or_default(),
                text: about.and_then(|about| about.text.as_deref()).unwrap_or_default(),
                topic: about.and_then(|about| about.topics.first()).map(|topic| topic.as_str()),
                numbers: &numbers,
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
