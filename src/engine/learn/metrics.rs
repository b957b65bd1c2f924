//! What people do besides acting on items: metrics, per person and over everybody.
//!
//! Invariant: a metric is declared in one place, [`Metric`]; what is in nobody's declaration is ignored, and counted. A
//! person's value of a series is the running mean of what was measured; the population's model of that series holds
//! exactly the values of those who have one.
//! Absent on purpose: clocks, names of people, where measurements come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::normal::{Atypical, NormalModel, Posterior, ValueError};
use crate::domain::ids::Key;
use crate::domain::journal::Measured;

/// Kinds that a metric may have.
const KINDS_MAX: usize = 64;

/// Everything that is measured. One more metric is one more entry here, and one in [`Metric::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Time on a page, per type of page, in seconds.
    TimeSpent,
}

/// How a metric is declared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Declaration {
    /// Its name on the wire, and that of the field with its value.
    pub name: &'static str,
    /// The field that says of what kind a measurement is.
    pub kind_field: &'static str,
    /// Kinds of the metric unless the settings replace them.
    pub kinds: &'static [&'static str],
    /// Unit, for readers.
    pub unit: &'static str,
    /// Measurements below or above this are no measurements.
    pub range: (f64, f64),
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 1] = [Metric::TimeSpent];

    /// What it is.
    #[must_use]
    pub const fn declaration(self) -> Declaration {
        match self {
            Metric::TimeSpent => Declaration {
                name: "time_spent",
                kind_field: "page_type",
                kinds: &[
                    "post", "feed", "channel", "live", "profile", "topic", "search", "people", "settings", "other",
                ],
                unit: "s",
                range: (0.0, 86_400.0),
            },
        }
    }

    /// By its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.declaration().name == name)
    }
}

/// Over all kinds of a metric, or one of them by its place in the list of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Over all kinds.
    All,
    /// One kind.
    Kind(u16),
}

/// One line of numbers: a metric over all kinds, or of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    /// Which metric.
    pub metric: Metric,
    /// Which part of it.
    pub part: Part,
}

/// Which kinds each metric has: those of the declarations, unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds(BTreeMap<Metric, Vec<String>>);

impl Default for Kinds {
    fn default() -> Self {
        let kinds = |metric: Metric| metric.declaration().kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Kinds(Metric::ALL.into_iter().map(|metric| (metric, kinds(metric))).collect())
    }
}

impl Kinds {
    /// Other kinds for one metric. A kind keeps its place for good: add at the end, or else what was measured before
    /// stands under another name.
    #[must_use]
    pub fn with(mut self, metric: Metric, kinds: Vec<String>) -> Kinds {
        self.0.insert(metric, kinds);
        self
    }

    /// The kinds of a metric, in their places.
    #[must_use]
    pub fn of(&self, metric: Metric) -> &[String] {
        self.0.get(&metric).map_or(&[], Vec::as_slice)
    }

    /// A series by name; without a `kind` over all.
    #[must_use]
    pub fn series(&self, metric: &str, kind: Option<&str>) -> Option<Series> {
        let metric = Metric::from_name(metric)?;
        let place = |kind: &str| self.of(metric).iter().position(|known| known == kind);
        let part = match kind {
            None => Part::All,
            Some(kind) => Part::Kind(u16::try_from(place(kind)?).ok()?),
        };
        Some(Series { metric, part })
    }

    /// Names of a series: its metric, and its kind where it is one; `None` for a kind that there is not.
    #[must_use]
    pub fn names(&self, series: Series) -> Option<(&'static str, Option<&str>)> {
        let kind = match series.part {
            Part::All => None,
            Part::Kind(place) => Some(self.of(series.metric).get(usize::from(place))?.as_str()),
        };
        Some((series.metric.declaration().name, kind))
    }

    /// Checks the names of the kinds.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let good = |kind: &String| Key::new(kind).is_ok() && !kind.contains('.');
        for kinds in self.0.values() {
            let mut unique: Vec<&String> = kinds.iter().collect();
            unique.sort_unstable();
            unique.dedup();
            if kinds.len() > KINDS_MAX || unique.len() != kinds.len() || !kinds.iter().all(good) {
                return Err("must be at most 64 different names, none of them empty or with a full stop");
            }
        }
        Ok(())
    }

    /// Every series that there is, each metric's [`Part::All`] first.
    #[must_use]
    pub fn all(&self) -> Vec<Series> {
        Metric::ALL
            .into_iter()
            .flat_map(|metric| {
                let kinds = (0..).take(self.of(metric).len()).map(Part::Kind);
                std::iter::once(Part::All).chain(kinds).map(move |part| Series { metric, part })
            })
            .collect()
    }
}

/// One measurement, checked: it is of a kind that there is, and within the range of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    metric: Metric,
    kind: u16,
    value: f64,
}

/// Why a measurement does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// No such metric.
    Metric,
    /// No such kind.
    Kind,
    /// Not a number, or out of the metric's range.
    Value,
}

impl Measurement {
    /// Checks what was sent.
    ///
    /// # Errors
    /// [`Ignored`]: what to count it under; see [`IgnoredCounts`].
    pub fn new(kinds: &Kinds, metric: &str, kind: &str, value: f64) -> Result<Measurement, Ignored> {
        let known = Metric::from_name(metric).ok_or(Ignored::Metric)?;
        let series = kinds.series(metric, Some(kind)).ok_or(Ignored::Kind)?;
        let Part::Kind(kind) = series.part else { return Err(Ignored::Kind) };
        let (low, high) = known.declaration().range;
        if !(low..=high).contains(&value) {
            return Err(Ignored::Value);
        }
        Ok(Measurement { metric: known, kind, value })
    }

    /// The same of a journal entry.
    ///
    /// # Errors
    /// As [`Measurement::new`]: what was declared then may be declared no longer.
    pub fn of(kinds: &Kinds, measured: &Measured) -> Result<Measurement, Ignored> {
        Measurement::new(kinds, measured.metric.as_str(), measured.kind.as_str(), measured.value())
    }

    /// Its metric.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    fn series(&self) -> [Series; 2] {
        [Part::All, Part::Kind(self.kind)].map(|part| Series { metric: self.metric, part })
    }
}

/// How many measurements did not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredCounts {
    /// Of an unknown metric.
    pub metric: u64,
    /// Of an unknown kind.
    pub kind: u64,
    /// With a value that is none.
    pub value: u64,
}

impl IgnoredCounts {
    /// One more.
    pub fn count(&mut self, ignored: Ignored) {
        let counter = match ignored {
            Ignored::Metric => &mut self.metric,
            Ignored::Kind => &mut self.kind,
            Ignored::Value => &mut self.value,
        };
        *counter = counter.saturating_add(1);
    }
}

/// A mean that runs along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningMean {
    /// Measurements behind it.
    pub count: u64,
    /// Their mean; 0 without any.
    pub mean: f64,
}

impl RunningMean {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.mean += (value - self.mean) / self.count as f64;
    }
}

/// The running means of one person; at most one per series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonMetrics(BTreeMap<Series, RunningMean>);

impl PersonMetrics {
    /// Their value of a series; `None` before the first measurement.
    #[must_use]
    pub fn get(&self, series: Series) -> Option<RunningMean> {
        self.0.get(&series).copied()
    }

    /// One more measurement.
    pub fn add(&mut self, measurement: Measurement) {
        for series in measurement.series() {
            self.0.entry(series).or_default().add(measurement.value);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Series, RunningMean)> + '_ {
        self.0.iter().map(|(series, mean)| (*series, *mean))
    }
}

/// The population: for each series a model over the running means of all who have one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PopulationMetrics(BTreeMap<Series, NormalModel>);

impl PopulationMetrics {
    /// Counts one measurement for a person, and moves their values in the population's models.
    ///
    /// # Errors
    /// [`ValueError`] when `person` is not who was counted before: a fault of the caller's.
    pub fn measure(&mut self, person: &mut PersonMetrics, measurement: Measurement) -> Result<(), ValueError> {
        for series in measurement.series() {
            let mean = person.0.entry(series).or_default();
            let old = (mean.count > 0).then_some(mean.mean);
            let mut new = *mean;
            new.add(measurement.value);
            self.0.entry(series).or_default().set(old, new.mean)?;
            *mean = new;
        }
        Ok(())
    }

    /// A person is gone: their values leave all models.
    ///
    /// # Errors
    /// [`ValueError`] when they were never counted: a fault of the caller's.
    pub fn forget(&mut self, person: &PersonMetrics) -> Result<(), ValueError> {
        for (series, mean) in person.iter() {
            if let Some(model) = self.0.get_mut(&series) {
                model.remove(mean.mean)?;
            }
        }
        Ok(())
    }

    /// What is believed of a series; before the first value what the prior says.
    #[must_use]
    pub fn posterior(&self, series: Series) -> Posterior {
        self.0.get(&series).copied().unwrap_or_default().posterior()
    }

    /// Those outside of `mean +- sigmas sigma` on a series, farthest first.
    pub fn atypical<'a, K>(
        &self,
        series: Series,
        sigmas: f64,
        people: impl IntoIterator<Item = (K, &'a PersonMetrics)>,
    ) -> Vec<Atypical<K>> {
        let values = people.into_iter().filter_map(|(key, person)| Some((key, person.get(series)?.mean)));
        self.0.get(&series).copied().unwrap_or_default().atypical(values, sigmas)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_nobody_declared_is_counted_and_nothing_else() {
        let kinds = Kinds::default();
        let mut ignored = IgnoredCounts::default();
        for (metric, kind, value, expected) in [
            ("time_spent", "post", 0.0, None),
            ("time_spent", "other", 86_400.0, None),
            ("clicks", "post", 1.0, Some(Ignored::Metric)),
            ("time_spent", "k", 1.0, Some(Ignored::Kind)),
            ("time_spent", "", 1.0, Some(Ignored::Kind)),
            ("time_spent", "post", -0.1, Some(Ignored::Value)),
            ("time_spent", "post", f64::NAN, Some(Ignored::Value)),
            ("time_spent", "post", f64::INFINITY, Some(Ignored::Value)),
        ] {
            let found = Measurement::new(&kinds, metric, kind, value).err();
            assert_eq!(found, expected, "{metric} {kind} {value}");
            found.into_iter().for_each(|found| ignored.count(found));
        }
        assert_eq!(ignored, IgnoredCounts { metric: 1, kind: 2, value: 3 });
        assert_eq!(kinds.all().len(), 11, "ten types of page, and all");
        let more = kinds.with(Metric::TimeSpent, vec!["radio".into()]);
        assert!(Measurement::new(&more, "time_spent", "radio", 3.0).is_ok());
        assert_eq!(Measurement::new(&more, "time_spent", "post", 3.0), Err(Ignored::Kind));
    }

    #[test]
    fn every_metric_is_in_the_list_under_its_own_name() {
        for metric in Metric::ALL {
            let declaration = metric.declaration();
            assert_eq!(Metric::from_name(declaration.name), Some(metric));
            assert!(declaration.range.0 < declaration.range.1 && !declaration.kinds.is_empty());
            let written = serde_json::to_value(metric).unwrap();
            assert_eq!(written, declaration.name, "the same name in stored state and on the wire");
        }
    }

    #[test]
    fn who_is_unlike_the_others_is_listed() {
        let kinds = Kinds::default();
        let mut population = PopulationMetrics::default();
        let mut people = vec![PersonMetrics::default(); 50];
        for (n, person) in people.iter_mut().enumerate() {
            let value = if n == 17 { 500.0 } else { 20.0 + (n % 7) as f64 };
            let measurement = Measurement::new(&kinds, "time_spent", "channel", value).unwrap();
            population.measure(person, measurement).unwrap();
        }
        let series = kinds.series("time_spent", Some("channel")).unwrap();
        let list = |population: &PopulationMetrics, people: &[PersonMetrics]| -> Vec<usize> {
            population.atypical(series, 2.0, people.iter().enumerate()).into_iter().map(|found| found.key).collect()
        };
        assert_eq!(list(&population, &people), [17]);
        assert!(population.posterior(series).is_atypical(500.0, 2.0));
        // State survives being written down.
        let written = postcard::to_stdvec(&(population.clone(), people.clone())).unwrap();
        assert_eq!(
            postcard::from_bytes::<(PopulationMetrics, Vec<PersonMetrics>)>(&written).unwrap(),
            (population.clone(), people.clone())
        );
        // Gone, and as if never there.
        let gone = people.remove(17);
        population.forget(&gone).unwrap();
        assert!(list(&population, &people).is_empty());
        assert_eq!(population.posterior(series).count, 49);
        let other = kinds.series("time_spent", Some("live")).unwrap();
        assert_eq!(population.posterior(other).count, 0);
    }

    proptest! {
        /// Whoever measured what in which order, and whoever left: models are those of the running means that are there.
        #[test]
        fn models_hold_the_means_of_those_who_are_there(
            acts in prop::collection::vec((0_usize..8, 0_usize..10, 0.0_f64..1e4, 0_u8..10), 1..200),
        ) {
            let kinds = Kinds::default();
            let mut population = PopulationMetrics::default();
            let mut people = vec![PersonMetrics::default(); 8];
            let mut measured: Vec<Vec<(usize, f64)>> = vec![Vec::new(); 8];
            for (person, kind, value, act) in acts {
                if act == 0 {
                    population.forget(&people[person]).unwrap();
                    people[person] = PersonMetrics::default();
                    measured[person].clear();
                } else {
                    let name = &kinds.of(Metric::TimeSpent)[kind];
                    let measurement = Measurement::new(&kinds, "time_spent", name, value).unwrap();
                    population.measure(&mut people[person], measurement).unwrap();
                    measured[person].push((kind, value));
                }
            }
            for series in kinds.all() {
                let mut model = NormalModel::default();
                for person in &measured {
                    let of_series = |kind: usize| match series.part { Part::All => true, Part::Kind(place) => kind == usize::from(place) };
                    let values: Vec<f64> = person.iter().filter(|(kind, _)| of_series(*kind)).map(|(_, value)| *value).collect();
                    if !values.is_empty() {
                        model.set(None, values.iter().sum::<f64>() / values.len() as f64).unwrap();
                    }
                }
                let (found, expected) = (population.posterior(series), model.posterior());
                prop_assert_eq!(found.count, expected.count);
                prop_assert!((found.mean - expected.mean).abs() <= 1e-9 * expected.mean.abs().max(1.0));
                prop_assert!((found.rate - expected.rate).abs() <= 1e-9 * expected.rate.abs().max(1.0));
            }
        }
    }
}
