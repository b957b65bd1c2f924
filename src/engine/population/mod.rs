//! The population: metrics of each user, their distribution over all users, and the feature matrix for clustering.
//!
//! Invariant: a fold over the whole journal. A user's running means here equal those of the user's own state; the days
//! with an interaction are counted only here, as the metric `visits`. The
//! posterior of a series covers exactly the means of the users who have one. Topic weights are kept only if a column of
//! a clustering reads them, and equal those of the user's own state. A clone is copy-on-write: it costs one
//! pointer per [`NEIGHBOURS`] users, and later learning copies at most that many users.
//! Deliberately absent: clocks, names of users, erased users (the fold is recomputed without them).

pub mod eligible;
pub mod refit;
pub mod clusterings;

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::journal::{Entry, What};
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::learners::person::topics::TopicWeights;
use crate::engine::metrics::measured::{Measurement, PersonMetrics, PopulationMetrics, Series};
use crate::engine::metrics::normal::{Atypical, Posterior, Prior};
use crate::engine::numeric::bitmap;
use crate::engine::settings::LearnSettings;
use crate::engine::settings::columns::Column;

/// Users per copy-on-write block; blocks are runs of ids.
const NEIGHBOURS: u32 = 256;
/// Minimum number of users for a fit.
pub(crate) const GROUPED_MIN: usize = 2;

/// Metrics and topic weights of all users, and the population's posteriors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// Fingerprint of the settings that the fold used.
    fingerprint: u64,
    keeps_topics: bool,
    /// Block of users by `id / NEIGHBOURS`.
    people: BTreeMap<u32, Arc<BTreeMap<UserId, Known>>>,
    population: PopulationMetrics,
    counted: Counted,
    #[serde(skip)]
    met: Met,
}

/// Numbers of folded events that bring fits nearer. Each clustering weighs those since its last fit by its own points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Measurements by metric, over all of its types.
    pub(crate) measured: BTreeMap<Series, u64>,
    /// Days on which a user interacted for the first time that day.
    pub(crate) visits: u64,
    /// Users with a first entry.
    pub(crate) new_people: u64,
}

/// The day of each user's last entry, filled lazily; 0 for unknown users. It is derived from `people`, so it does not
/// take part in comparisons. It serves the fast path of [`Population::fold`]: nearly every entry belongs to a known user
/// on a day that is counted, and changes nothing here.
#[derive(Clone, Debug, Default)]
struct Met {
    days: Vec<u16>,
    /// Number of entries that may have changed a user's values.
    changes: u64,
}

/// Days from 1880 to 2059 in UTC, as numbers from 2; earlier and later ones are counted as the first and the last.
fn day(at: Millis) -> u16 {
    // Within 2..=65535 by the clamp.
    (at.0.div_euclid(DAY_MS) + 32_768).clamp(2, 65_535) as u16
}

impl PartialEq for Met {
    fn eq(&self, _: &Met) -> bool {
        true
    }
}

impl Met {
    /// Whether the user is known and, for an interaction, its day was the last one.
    fn has(&self, user: UserId, visit: Option<u16>) -> bool {
        self.days.get(user.0 as usize).is_some_and(|last| visit.map_or(*last > 0, |day| day == *last))
    }

    /// Records a user, and the day of an interaction.
    fn record(&mut self, user: UserId, visit: Option<u16>) {
        let place = user.0 as usize;
        if place >= self.days.len() {
            self.days.resize(place + 1, 0);
        }
        self.changes += 1;
        // Number 1 is no day: it marks a known user without an interaction.
        self.days[place] = visit.unwrap_or(self.days[place].max(1));
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    metrics: PersonMetrics,
    topics: TopicWeights,
    /// Days with an interaction.
    #[serde(with = "bitmap")]
    days: RoaringBitmap,
}

/// The source of the values of a column.
enum Source {
    /// A series, and the imputed value for users without one.
    Mean(Series, f64),
    /// A topic; `None` for an unknown topic.
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
                topic.map(|topic| self.topics.at(topic, now, settings.topic_decay())).filter(|weight| *weight > 0.0)
            }
        }
    }
}

/// Feature matrix of the users with a value in at least one column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Users in the order of their ids; one row each.
    pub users: Vec<UserId>,
    /// One vector per column, each `(users,)`.
    pub columns: Vec<Vec<f64>>,
}

fn keeps_topics(settings: &LearnSettings) -> bool {
    settings.all_clusterings().any(|(_, clustering)| clustering.reads_topics())
}

fn fingerprint(settings: &LearnSettings, keeps_topics: bool) -> u64 {
    let mut bytes = settings.fingerprint().to_le_bytes().to_vec();
    bytes.push(keeps_topics.into());
    xxh3_64(&bytes)
}

impl Population {
    /// An empty population.
    #[must_use]
    pub fn new(settings: &LearnSettings) -> Population {
        let keeps_topics = keeps_topics(settings);
        Population { fingerprint: fingerprint(settings, keeps_topics), keeps_topics, ..Population::default() }
    }

    /// Whether the fold used equivalent settings, and has all that the clusterings read.
    #[must_use]
    pub fn fits(&self, settings: &LearnSettings) -> bool {
        self.fingerprint == fingerprint(settings, self.keeps_topics) && !self.lacks_topics(settings)
    }

    /// Whether a clustering reads topic weights that the fold does not have.
    pub(crate) fn lacks_topics(&self, settings: &LearnSettings) -> bool {
        !self.keeps_topics && keeps_topics(settings)
    }

    /// Learns one entry.
    pub fn fold(&mut self, entry: &Entry, settings: &LearnSettings) {
        let (says_more, visit) = match &entry.what {
            What::Measured(_) => (true, None),
            What::Interacted(_) => (self.keeps_topics, Some(day(entry.at))),
            What::TopicsSet(_) => (self.keeps_topics, None),
            What::Followed(_) | What::Unfollowed(_) | What::Posted(_) | What::WentLive(..) => (false, None),
            What::Undone(_) | What::Cancelled(_) => (false, None),
        };
        if !says_more && self.met.has(entry.user, visit) {
            return;
        }
        self.met.record(entry.user, visit);
        let near = Arc::make_mut(self.people.entry(entry.user.0 / NEIGHBOURS).or_default());
        let known = near.entry(entry.user).or_insert_with(|| {
            self.counted.new_people += 1;
            Known::default()
        });
        if visit.is_some_and(|day| known.days.insert(u32::from(day)))
            && self.population.visited(&mut known.metrics, known.days.len()).is_ok()
        {
            self.counted.visits += 1;
        }
        match &entry.what {
            What::Measured(measured) => {
                // `measure` fails only for a mean that was never set.
                if self.population.measure(&mut known.metrics, Measurement::of(measured)).is_ok() {
                    *self.counted.measured.entry(Series::of(measured.metric.as_str(), None)).or_default() += 1;
                }
            }
            What::Interacted(learned) if self.keeps_topics => {
                if learned.signal.is_some_and(|signal| signal.positive) {
                    known.topics.learn(&learned.topics, entry.at, settings.topic_decay());
                }
            }
            What::TopicsSet(weights) if self.keeps_topics => {
                known.topics.set(weights, entry.at, settings.topic_decay())
            }
            What::Interacted(_) | What::TopicsSet(_) => {}
            What::Followed(_) | What::Unfollowed(_) | What::Posted(_) | What::WentLive(..) => {}
            What::Undone(_) | What::Cancelled(_) => {}
        }
    }

    /// Numbers of all folded events that bring fits nearer.
    pub(crate) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Running means and counts of a user; `None` for an unknown user.
    #[must_use]
    pub fn person(&self, user: UserId) -> Option<&PersonMetrics> {
        self.people.get(&(user.0 / NEIGHBOURS))?.get(&user).map(|known| &known.metrics)
    }

    /// All users, in the order of their ids.
    fn everybody(&self) -> impl Iterator<Item = (UserId, &Known)> + '_ {
        self.people.values().flat_map(|near| near.iter()).map(|(user, known)| (*user, known))
    }

    /// Whether at least two users have a value in one of the columns. Usually answered by the posteriors' counts alone.
    #[must_use]
    pub(crate) fn can_be_grouped(
        &self,
        columns: &[Column],
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) -> bool {
        self.has_counted_enough(columns) || self.with_a_value(columns, topic, now, settings).len() == GROUPED_MIN
    }

    /// Whether the count of one metric alone shows that enough users have a value.
    pub(crate) fn has_counted_enough(&self, columns: &[Column]) -> bool {
        columns.iter().any(|column| match column {
            Column::Metric(series, prior) => self.posterior(*series, prior).count as usize >= GROUPED_MIN,
            Column::Topic(_) => false,
        })
    }

    /// The first users with a value in one of the columns, as many as a fit needs. Scans users until then.
    pub(crate) fn with_a_value(
        &self,
        columns: &[Column],
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) -> Vec<UserId> {
        let sources = self.sources(columns, topic);
        let has_any = |known: &Known| sources.iter().any(|source| known.value(source, now, settings).is_some());
        self.everybody().filter(|(_, known)| has_any(known)).take(GROUPED_MIN).map(|(user, _)| user).collect()
    }

    /// Whether each of these users has a value in one of the columns.
    pub(crate) fn all_have_a_value(
        &self,
        users: &[UserId],
        columns: &[Column],
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) -> bool {
        let sources = self.sources(columns, topic);
        let known = |user: &UserId| self.people.get(&(user.0 / NEIGHBOURS)).and_then(|near| near.get(user));
        let has_any = |known: &Known| sources.iter().any(|source| known.value(source, now, settings).is_some());
        users.iter().all(|user| known(user).is_some_and(has_any))
    }

    /// Number of folded entries that may have given a user a value. Equal numbers of one population mean equal values, apart
    /// from decay.
    pub(crate) fn changes(&self) -> u64 {
        self.met.changes
    }

    fn sources(&self, columns: &[Column], topic: impl Fn(&Key) -> Option<TopicId>) -> Vec<Source> {
        let source = |column: &Column| match column {
            Column::Metric(series, prior) => Source::Mean(*series, self.posterior(*series, prior).mean),
            Column::Topic(key) => Source::Weight(topic(key)),
        };
        columns.iter().map(source).collect()
    }

    /// Posterior of a series over all users, under the prior of its declaration.
    #[must_use]
    pub fn posterior(&self, series: Series, prior: &Prior) -> Posterior {
        self.population.posterior(series, prior)
    }

    /// Outliers of a series: users outside of `mean ± sigmas * sigma`, farthest first.
    #[must_use]
    pub fn atypical(&self, series: Series, prior: &Prior, sigmas: f64) -> Vec<Atypical<UserId>> {
        self.population.atypical(series, prior, sigmas, self.everybody().map(|(user, known)| (user, &known.metrics)))
    }

    /// Feature matrix at `now` of the users with a value in at least one of the columns. Missing metrics are imputed by
    /// the population's mean; missing topic weights are 0.
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
