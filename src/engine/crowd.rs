//! The people as a crowd: what was measured of each, what is normal among them, and rows to be grouped by.
//!
//! Invariant: a fold over the whole journal; a person's running means here are those of their own state, and the
//! population's model of a series holds exactly the means of those who have one. Topic weights are kept only where a
//! column of `cluster.columns` reads them, and are those of the person's own state then. A clone shares everybody with
//! the original until one of them changes somebody: it costs one pointer per [`NEIGHBOURS`] people, and whoever learns
//! meanwhile copies at most that many.
//! Absent on purpose: clocks, names of people, who was erased (the fold is done afresh without them).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::journal::{Entry, What};
use crate::domain::time::Millis;
use crate::engine::learn::metrics::{Kinds, Measurement, PersonMetrics, PopulationMetrics, Series};
use crate::engine::learn::normal::{Atypical, Posterior};
use crate::engine::learn::topics::TopicWeights;
use crate::engine::settings::LearnSettings;

/// What a measurement, and what a new person, counts towards the next fit.
const MEASURED: u64 = 1;
const NEW_PERSON: u64 = 5;

/// People who are kept together, by id.
const NEIGHBOURS: u32 = 256;
/// Fewer are no groups.
const GROUPED_MIN: usize = 2;

/// Something that people are compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The running mean of a series.
    Metric(Series),
    /// The weight of a topic.
    Topic(Key),
}

impl Column {
    /// By its name in `cluster.columns`; `None` for one that there is not.
    #[must_use]
    pub fn of(name: &str, kinds: &Kinds) -> Option<Column> {
        match name.split_once('.') {
            None => kinds.series(name, None).map(Column::Metric),
            Some(("topic", topic)) => Key::new(topic).ok().map(Column::Topic),
            Some((metric, kind)) => kinds.series(metric, Some(kind)).map(Column::Metric),
        }
    }
}

/// Everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// Under which settings it was folded.
    fingerprint: u64,
    keeps_topics: bool,
    /// By id over [`NEIGHBOURS`].
    people: BTreeMap<u32, Arc<BTreeMap<UserId, Known>>>,
    population: PopulationMetrics,
    /// What came together since somebody asked.
    #[serde(skip)]
    points: u64,
    #[serde(skip)]
    met: Met,
}

/// A bit per person who stands among the people, where one was noticed; it follows from them, so it makes no difference
/// between crowds. Nearly every entry is of somebody who is known, and has nothing else to say here.
#[derive(Clone, Debug, Default)]
struct Met(Vec<u64>);

impl PartialEq for Met {
    fn eq(&self, _: &Met) -> bool {
        true
    }
}

impl Met {
    fn has(&self, user: UserId) -> bool {
        self.0.get(user.0 as usize / 64).is_some_and(|bits| bits >> (user.0 % 64) & 1 == 1)
    }

    fn note(&mut self, user: UserId) {
        let word = user.0 as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (user.0 % 64);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    metrics: PersonMetrics,
    topics: TopicWeights,
}

/// Where a value of a column comes from.
enum Source {
    /// A series, and what stands in for who has no value of it.
    Mean(Series, f64),
    /// A topic; `None` for one that there is not.
    Weight(Option<TopicId>),
}

impl Source {
    fn stand_in(&self) -> f64 {
        match self {
            Source::Mean(_, mean) => *mean,
            Source::Weight(_) => 0.0,
        }
    }
}

impl Known {
    fn value(&self, source: &Source, now: Millis, settings: &LearnSettings) -> Option<f64> {
        match source {
            Source::Mean(series, _) => self.metrics.get(*series).map(|own| own.mean),
            Source::Weight(topic) => {
                topic.map(|topic| self.topics.at(topic, now, settings)).filter(|weight| *weight > 0.0)
            }
        }
    }
}

/// Rows of those who can be compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// By id.
    pub users: Vec<UserId>,
    /// One per column, each `(users,)`.
    pub columns: Vec<Vec<f64>>,
}

fn keeps_topics(settings: &LearnSettings) -> bool {
    settings.cluster.columns.iter().any(|name| name.starts_with("topic."))
}

fn fingerprint(settings: &LearnSettings) -> u64 {
    let mut bytes = settings.fingerprint().to_le_bytes().to_vec();
    bytes.push(keeps_topics(settings).into());
    xxh3_64(&bytes)
}

impl Crowd {
    /// Nobody.
    #[must_use]
    pub fn new(settings: &LearnSettings) -> Crowd {
        Crowd { fingerprint: fingerprint(settings), keeps_topics: keeps_topics(settings), ..Crowd::default() }
    }

    /// Was it folded under settings like these?
    #[must_use]
    pub fn fits(&self, settings: &LearnSettings) -> bool {
        self.fingerprint == fingerprint(settings)
    }

    /// Learns one entry.
    pub fn fold(&mut self, entry: &Entry, settings: &LearnSettings) {
        let says_more = match &entry.what {
            What::Measured(_) => true,
            What::Interacted(_) | What::TopicsSet(_) => self.keeps_topics,
            What::Followed(_) | What::Unfollowed(_) | What::Posted(_) | What::WentLive(..) => false,
        };
        if !says_more && self.met.has(entry.user) {
            return;
        }
        self.met.note(entry.user);
        let near = Arc::make_mut(self.people.entry(entry.user.0 / NEIGHBOURS).or_default());
        let known = near.entry(entry.user).or_insert_with(|| {
            self.points = self.points.saturating_add(NEW_PERSON);
            Known::default()
        });
        match &entry.what {
            What::Measured(measured) => {
                // What is declared no longer is not counted; and a mean is always one that was set before.
                let Ok(measurement) = Measurement::of(&settings.metrics, measured) else { return };
                if self.population.measure(&mut known.metrics, measurement).is_ok() {
                    self.points = self.points.saturating_add(MEASURED);
                }
            }
            What::Interacted(learned) if self.keeps_topics => {
                if learned.signal.is_some_and(|signal| signal.positive) {
                    known.topics.learn(&learned.topics, entry.at, settings);
                }
            }
            What::TopicsSet(weights) if self.keeps_topics => known.topics.set(weights, entry.at, settings),
            What::Interacted(_) | What::TopicsSet(_) => {}
            What::Followed(_) | What::Unfollowed(_) | What::Posted(_) | What::WentLive(..) => {}
        }
    }

    /// What has come together towards the next fit since this was asked last.
    pub fn take_points(&mut self) -> u64 {
        std::mem::take(&mut self.points)
    }

    /// What was measured of a person.
    #[must_use]
    pub fn person(&self, user: UserId) -> Option<&PersonMetrics> {
        self.people.get(&(user.0 / NEIGHBOURS))?.get(&user).map(|known| &known.metrics)
    }

    /// By id.
    fn everybody(&self) -> impl Iterator<Item = (UserId, &Known)> + '_ {
        self.people.values().flat_map(|near| near.iter()).map(|(user, known)| (*user, known))
    }

    /// Are there enough people with a value in one of the columns to be grouped? Seldom looks at more than the models.
    #[must_use]
    pub fn can_be_grouped(
        &self,
        columns: &[Column],
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) -> bool {
        let many = |column: &Column| match column {
            Column::Metric(series) => self.posterior(*series).count as usize >= GROUPED_MIN,
            Column::Topic(_) => false,
        };
        let sources = self.sources(columns, topic);
        let has_any = |known: &Known| sources.iter().any(|source| known.value(source, now, settings).is_some());
        columns.iter().any(many)
            || self.everybody().filter(|(_, known)| has_any(known)).take(GROUPED_MIN).count() == GROUPED_MIN
    }

    fn sources(&self, columns: &[Column], topic: impl Fn(&Key) -> Option<TopicId>) -> Vec<Source> {
        let source = |column: &Column| match column {
            Column::Metric(series) => Source::Mean(*series, self.posterior(*series).mean),
            Column::Topic(key) => Source::Weight(topic(key)),
        };
        columns.iter().map(source).collect()
    }

    /// What is believed of a series.
    #[must_use]
    pub fn posterior(&self, series: Series) -> Posterior {
        self.population.posterior(series)
    }

    /// Those outside of `mean +- sigmas sigma` on a series, farthest first.
    #[must_use]
    pub fn atypical(&self, series: Series, sigmas: f64) -> Vec<Atypical<UserId>> {
        self.population.atypical(series, sigmas, self.everybody().map(|(user, known)| (user, &known.metrics)))
    }

    /// Who has a value in at least one of the columns, by these columns at `now`. Where a metric of theirs was never
    /// measured the population's mean stands in; a topic that they never met weighs 0.
    #[must_use]
    pub fn rows(
        &self,
        columns: &[Column],
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) -> Rows {
        let sources = self.sources(columns, topic);
        let mut rows = Rows { users: Vec::new(), columns: vec![Vec::new(); columns.len()] };
        let mut values = Vec::with_capacity(columns.len());
        for (user, known) in self.everybody() {
            values.clear();
            let mut has_any = false;
            for source in &sources {
                let value = known.value(source, now, settings);
                has_any |= value.is_some();
                values.push(value.unwrap_or(source.stand_in()));
            }
            if has_any {
                rows.users.push(user);
                rows.columns.iter_mut().zip(&values).for_each(|(column, value)| column.push(*value));
            }
        }
        rows
    }
}
