//! The people as a crowd: what was measured of each, what is normal among them, and rows to be grouped by.
//!
//! Invariant: a fold over the whole journal; a person's running means here are those of their own state, and the
//! population's model of a series holds exactly the means of those who have one. Topic weights are kept only where a
//! column of `cluster.columns` reads them, and are those of the person's own state then.
//! Absent on purpose: clocks, names of people, who was erased (the fold is done afresh without them).

use std::collections::BTreeMap;

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
    people: BTreeMap<UserId, Known>,
    population: PopulationMetrics,
    /// What came together since somebody asked.
    #[serde(skip)]
    points: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    metrics: PersonMetrics,
    topics: TopicWeights,
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
        let known = self.people.entry(entry.user).or_insert_with(|| {
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
        self.people.get(&user).map(|known| &known.metrics)
    }

    /// What is believed of a series.
    #[must_use]
    pub fn posterior(&self, series: Series) -> Posterior {
        self.population.posterior(series)
    }

    /// Those outside of `mean +- sigmas sigma` on a series, farthest first.
    #[must_use]
    pub fn atypical(&self, series: Series, sigmas: f64) -> Vec<Atypical<UserId>> {
        self.population.atypical(series, sigmas, self.people.iter().map(|(user, known)| (*user, &known.metrics)))
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
        enum Source {
            Mean(Series, f64),
            Weight(Option<TopicId>),
        }
        let sources: Vec<Source> = columns
            .iter()
            .map(|column| match column {
                Column::Metric(series) => Source::Mean(*series, self.posterior(*series).mean),
                Column::Topic(key) => Source::Weight(topic(key)),
            })
            .collect();
        let mut rows = Rows { users: Vec::new(), columns: vec![Vec::new(); columns.len()] };
        let mut values = Vec::with_capacity(columns.len());
        for (user, known) in &self.people {
            values.clear();
            let mut has_any = false;
            for source in &sources {
                let (value, stand_in) = match source {
                    Source::Mean(series, mean) => (known.metrics.get(*series).map(|own| own.mean), *mean),
                    Source::Weight(topic) => {
                        let weight = topic.map_or(0.0, |topic| known.topics.at(topic, now, settings));
                        ((weight > 0.0).then_some(weight), 0.0)
                    }
                };
                has_any |= value.is_some();
                values.push(value.unwrap_or(stand_in));
            }
            if has_any {
                rows.users.push(*user);
                rows.columns.iter_mut().zip(&values).for_each(|(column, value)| column.push(*value));
            }
        }
        rows
    }
}
