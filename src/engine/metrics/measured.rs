//! Metrics: measurements of users besides their interactions with items, per user and over the population.
//!
//! Invariant: a metric is declared in one place, [`Metric`]; undeclared measurements are ignored and counted. A user's
//! value of a series is the running mean of its measurements. The population's model of that series contains exactly
//! the values of the users who have one.
//! Deliberately absent: clocks, names of users, the origin of measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::Key;
use crate::domain::journal::Measured;
use crate::engine::metrics::normal::{Atypical, NormalModel, Posterior, ValueError};

/// Maximum number of kinds of a metric.
const KINDS_MAX: usize = 64;

/// All metrics. A new metric needs an entry here and one in [`Metric::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Time on a page, per type of page, in seconds.
    TimeSpent,
}

/// Declaration of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Declaration {
    /// Name on the wire, also of the field with the value.
    pub name: &'static str,
    /// Name of the field with the measurement's kind.
    pub kind_field: &'static str,
    /// Kinds of the metric unless the settings replace them.
    pub kinds: &'static [&'static str],
    /// Unit of the values, for display.
    pub unit: &'static str,
    /// Valid range of a value, both ends included.
    pub range: (f64, f64),
}

impl Metric {
    /// All metrics, in a fixed order.
    pub const ALL: [Metric; 1] = [Metric::TimeSpent];

    /// Declaration of this metric.
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

    /// Finds a metric by its name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.declaration().name == name)
    }
}

/// All kinds of a metric together, or one of them by its index in the list of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All kinds together.
    All,
    /// One kind, by its index in the list of kinds.
    Kind(u16),
}

/// One series of values: a metric over all kinds, or of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    /// Metric that the values belong to.
    pub metric: Metric,
    /// All kinds, or one of them.
    pub part: Part,
}

/// The kinds of each metric: those of the declarations, unless the settings replace them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds(BTreeMap<Metric, Vec<String>>);

impl Default for Kinds {
    fn default() -> Self {
        let kinds = |metric: Metric| metric.declaration().kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Kinds(Metric::ALL.into_iter().map(|metric| (metric, kinds(metric))).collect())
    }
}

impl Kinds {
    /// Replaces the kinds of one metric. Snapshots refer to a kind by its index, so new kinds must be appended;
    /// otherwise old values get another name.
    #[must_use]
    pub fn with(mut self, metric: Metric, kinds: Vec<String>) -> Kinds {
        self.0.insert(metric, kinds);
        self
    }

    /// The kinds of a metric, in the order of their indices.
    #[must_use]
    pub fn of(&self, metric: Metric) -> &[String] {
        self.0.get(&metric).map_or(&[], Vec::as_slice)
    }

    /// Finds a series by name; without a `kind` it covers all kinds. `None` for an unknown metric or kind.
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

    /// Names of a series: its metric, and its kind if it has one; `None` for an unknown kind.
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
    /// The violated rule.
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

    /// Every series, each metric's [`Part::All`] first.
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

/// One valid measurement: its kind is declared, and its value is within the metric's range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    metric: Metric,
    kind: u16,
    value: f64,
}

/// Reason why a measurement is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The metric is not declared.
    Metric,
    /// The kind is not declared.
    Kind,
    /// The value is NaN or outside of the metric's range.
    Value,
}

impl Measurement {
    /// Validates a measurement.
    ///
    /// # Errors
    /// [`Ignored`] gives the reason why the measurement is ignored.
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

    /// Validates the measurement of a journal entry.
    ///
    /// # Errors
    /// As [`Measurement::new`], since the declarations may have changed after the entry was written.
    pub fn of(kinds: &Kinds, measured: &Measured) -> Result<Measurement, Ignored> {
        Measurement::new(kinds, measured.metric.as_str(), measured.kind.as_str(), measured.value())
    }

    /// Metric that was measured, without its kind.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    fn series(&self) -> [Series; 2] {
        [Part::All, Part::Kind(self.kind)].map(|part| Series { metric: self.metric, part })
    }
}

/// Running mean of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningMean {
    /// Number of measurements.
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

/// Running means of one user; at most one per series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonMetrics(BTreeMap<Series, RunningMean>);

impl PersonMetrics {
    /// The user's running mean of a series; `None` before the first measurement.
    #[must_use]
    pub fn get(&self, series: Series) -> Option<RunningMean> {
        self.0.get(&series).copied()
    }

    /// Learns one measurement, for its kind and for all kinds together.
    pub fn add(&mut self, measurement: Measurement) {
        for series in measurement.series() {
            self.0.entry(series).or_default().add(measurement.value);
        }
    }

    /// All running means, in the order of the series.
    pub fn iter(&self) -> impl Iterator<Item = (Series, RunningMean)> + '_ {
        self.0.iter().map(|(series, mean)| (*series, *mean))
    }
}

/// Population model: for each series a Normal-Gamma model over the running means of all users that have one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PopulationMetrics(BTreeMap<Series, NormalModel>);

impl PopulationMetrics {
    /// Learns one measurement of a user, and updates the user's values in the population's models.
    ///
    /// # Errors
    /// [`ValueError`] when `person` is not the state that was counted before: a bug of the caller.
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

    /// Posterior of a series; the prior before the first value.
    #[must_use]
    pub fn posterior(&self, series: Series) -> Posterior {
        self.0.get(&series).copied().unwrap_or_default().posterior()
    }

    /// Outliers of a series: users outside of `mean ± sigmas * sigma`, farthest first.
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
    fn undeclared_and_invalid_measurements_are_ignored() {
        let kinds = Kinds::default();
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
            assert_eq!(Measurement::new(&kinds, metric, kind, value).err(), expected, "{metric} {kind} {value}");
        }
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
        assert!(population.posterior(series).sigmas(500.0).unwrap() > 2.0);
        // State survives a serialisation round trip.
        let written = postcard::to_stdvec(&(population.clone(), people.clone())).unwrap();
        assert_eq!(
            postcard::from_bytes::<(PopulationMetrics, Vec<PersonMetrics>)>(&written).unwrap(),
            (population.clone(), people.clone())
        );
        let other = kinds.series("time_spent", Some("live")).unwrap();
        assert_eq!(population.posterior(other).count, 0);
    }

    proptest! {
        /// After any order of measurements, the models contain exactly the current running means.
        #[test]
        fn models_hold_the_means_of_those_who_are_there(
            acts in prop::collection::vec((0_usize..8, 0_usize..10, 0.0_f64..1e4), 1..200),
        ) {
            let kinds = Kinds::default();
            let mut population = PopulationMetrics::default();
            let mut people = vec![PersonMetrics::default(); 8];
            let mut measured: Vec<Vec<(usize, f64)>> = vec![Vec::new(); 8];
            for (person, kind, value) in acts {
                let name = &kinds.of(Metric::TimeSpent)[kind];
                let measurement = Measurement::new(&kinds, "time_spent", name, value).unwrap();
                population.measure(&mut people[person], measurement).unwrap();
                measured[person].push((kind, value));
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
