//! Metrics: measurements of users besides their interactions with items, per user and over the population.
//!
//! Invariant: a series is identified by a hash of its names, so state that was folded under other declarations never
//! gives a value another name. A user's value of a series is the running mean of its measurements. The population's
//! model of that series contains exactly the values of the users who have one.
//! Deliberately absent: clocks, names of users, the origin of measurements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::domain::ids::Key;
use crate::domain::journal::Measured;
use crate::domain::metrics::{Declaration, METRICS_MAX, VISITS, built_in};
use crate::engine::metrics::normal::{Atypical, NormalModel, Posterior, Prior, ValueError};

/// One series of values: a metric over all of its measurements, or over those of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series(u64);

impl Series {
    /// The series with these names; without a type it covers all measurements of the metric.
    #[must_use]
    pub fn of(metric: &str, kind: Option<&str>) -> Series {
        let mut hash = Xxh3::new();
        hash.update(metric.as_bytes());
        if let Some(kind) = kind {
            // No name contains a control character, so the names cannot run into each other.
            hash.update(&[0]);
            hash.update(kind.as_bytes());
        }
        Series(hash.digest())
    }

    /// The number of days on which a user interacted with an item.
    #[must_use]
    pub fn visits() -> Series {
        Series::of(VISITS, None)
    }
}

/// A declared series with its names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named<'a> {
    /// Id of the series.
    pub series: Series,
    /// Name of the metric.
    pub metric: &'a str,
    /// Type of the measurements; `None` for all of the metric.
    pub kind: Option<&'a str>,
    /// Declaration of the metric.
    pub declaration: &'a Declaration,
}

/// The declared metrics, by name. A declaration that was made at run time is stored, and hides the configured one.
#[derive(Clone, Debug, PartialEq)]
pub struct Declarations {
    /// The declarations in force.
    current: BTreeMap<String, Declaration>,
    configured: Arc<BTreeMap<String, Declaration>>,
    stored: BTreeSet<String>,
}

impl Default for Declarations {
    fn default() -> Self {
        Declarations::new(built_in())
    }
}

impl Declarations {
    /// The declarations of a configuration, which includes the built-in ones.
    #[must_use]
    pub fn new(declared: BTreeMap<String, Declaration>) -> Declarations {
        Declarations { current: declared.clone(), configured: Arc::new(declared), stored: BTreeSet::new() }
    }

    /// Declares a metric at run time, or replaces its declaration.
    pub fn declare(&mut self, name: &str, declaration: Declaration) {
        self.current.insert(name.to_owned(), declaration);
        self.stored.insert(name.to_owned());
    }

    /// Removes a declaration that was made at run time: a configured metric goes back to its configuration, and another
    /// one is no longer declared.
    pub fn undeclare(&mut self, name: &str) {
        if !self.stored.remove(name) {
            return;
        }
        match self.configured.get(name) {
            Some(configured) => self.current.insert(name.to_owned(), configured.clone()),
            None => self.current.remove(name),
        };
    }

    /// Whether the configuration declares the metric, or the server does by itself.
    #[must_use]
    pub fn is_configured(&self, name: &str) -> bool {
        self.configured.contains_key(name)
    }

    /// Whether the declaration in force was made at run time.
    #[must_use]
    pub fn is_stored(&self, name: &str) -> bool {
        self.stored.contains(name)
    }

    /// Whether one more metric of this name fits.
    #[must_use]
    pub fn has_room(&self, name: &str) -> bool {
        self.current.len() < METRICS_MAX || self.current.contains_key(name)
    }

    /// Declaration of a metric.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Declaration> {
        self.current.get(name)
    }

    /// All declarations, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Declaration)> {
        self.current.iter().map(|(name, declaration)| (&**name, declaration))
    }

    /// A declared series; without a `kind` it covers all types. `None` for an unknown metric or type.
    #[must_use]
    pub fn series(&self, metric: &str, kind: Option<&str>) -> Option<Named<'_>> {
        let (metric, declaration) = self.current.get_key_value(metric)?;
        let kind = match kind {
            None => None,
            Some(kind) => Some(declaration.types.iter().find(|known| *known == kind)?.as_str()),
        };
        Some(Named { series: Series::of(metric, kind), metric, kind, declaration })
    }

    /// Every declared series, by metric; the series over all types comes first.
    pub fn all(&self) -> impl Iterator<Item = Named<'_>> {
        self.current.iter().flat_map(|(metric, declaration)| {
            let kinds = declaration.types.iter().map(|kind| Some(kind.as_str()));
            std::iter::once(None).chain(kinds).map(move |kind| Named {
                series: Series::of(metric, kind),
                metric,
                kind,
                declaration,
            })
        })
    }

    /// Checks that a measurement is declared and that its value is in range.
    ///
    /// # Errors
    /// [`Ignored`] gives the violated rule.
    pub fn accept(&self, metric: &str, kind: Option<&str>, value: f64) -> Result<(), Ignored> {
        let declaration = self.get(metric).filter(|_| metric != VISITS).ok_or(Ignored::Metric)?;
        if kind.is_some_and(|kind| !declaration.types.iter().any(|known| known == kind)) {
            return Err(Ignored::Kind);
        }
        let (low, high) = declaration.range();
        if (low..=high).contains(&value) { Ok(()) } else { Err(Ignored::Value) }
    }

    /// The measurements that a user's attributes give, a JSON object as text: one for each metric that names a numeric
    /// attribute with a valid value. Each replaces the user's value.
    #[must_use]
    pub fn of_attributes(&self, attributes: &str) -> Vec<Measured> {
        let named: Vec<(&str, &str)> =
            self.iter().filter_map(|(name, declaration)| Some((name, declaration.attribute.as_deref()?))).collect();
        if named.is_empty() {
            return Vec::new();
        }
        let values: serde_json::Value = serde_json::from_str(attributes).unwrap_or_default();
        let one = |(name, attribute): (&str, &str)| {
            let value = values.get(attribute)?.as_f64()?;
            self.accept(name, None, value).ok()?;
            let metric = Key::new(name).ok()?;
            Some(Measured { metric, kind: None, millionths: millionths(value), replaces: true })
        };
        named.into_iter().filter_map(one).collect()
    }

    /// Checks all names and declarations.
    ///
    /// # Errors
    /// The name of the metric, the field, and the violated rule.
    pub fn check(&self) -> Result<(), (String, &'static str, &'static str)> {
        if self.current.len() > METRICS_MAX {
            return Err((String::new(), "name", "must be at most 100 metrics"));
        }
        for (name, declaration) in &self.current {
            declaration.check(name).map_err(|(field, rule)| (name.clone(), field, rule))?;
        }
        Ok(())
    }
}

/// A valid value in millionths, as the journal keeps it.
#[must_use]
pub fn millionths(value: f64) -> i64 {
    // Declarations bound values by 1e12, so the product fits.
    (value * 1e6).round() as i64
}

/// Reason why a measurement is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The metric is not declared, or the server counts it itself.
    Metric,
    /// The type is not declared.
    Kind,
    /// The value is NaN or outside of the metric's range.
    Value,
}

/// One measurement, as the state learns it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    series: [Option<Series>; 2],
    value: f64,
    replaces: bool,
}

impl Measurement {
    /// The measurement of a journal entry, whatever is declared now.
    #[must_use]
    pub fn of(measured: &Measured) -> Measurement {
        let metric = measured.metric.as_str();
        let kind = measured.kind.as_ref().map(Key::as_str);
        Measurement {
            series: [Some(Series::of(metric, None)), kind.map(|kind| Series::of(metric, Some(kind)))],
            value: measured.value(),
            replaces: measured.replaces,
        }
    }

    fn series(&self) -> impl Iterator<Item = Series> {
        self.series.into_iter().flatten()
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
    fn add(&mut self, measurement: &Measurement) {
        self.count += 1;
        self.mean += match measurement.replaces {
            true => measurement.value - self.mean,
            false => (measurement.value - self.mean) / self.count as f64,
        };
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

    /// Learns one measurement, for its type and for all types together.
    pub fn add(&mut self, measurement: Measurement) {
        for series in measurement.series() {
            self.0.entry(series).or_default().add(&measurement);
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
            new.add(&measurement);
            self.0.entry(series).or_default().set(old, new.mean)?;
            *mean = new;
        }
        Ok(())
    }

    /// Counts the days on which a user interacted with an item.
    ///
    /// # Errors
    /// [`ValueError`] when `person` is not the state that was counted before: a bug of the caller.
    pub fn visited(&mut self, person: &mut PersonMetrics, days: u64) -> Result<(), ValueError> {
        let known = person.0.entry(Series::visits()).or_default();
        let old = (known.count > 0).then_some(known.mean);
        self.0.entry(Series::visits()).or_default().set(old, days as f64)?;
        *known = RunningMean { count: days, mean: days as f64 };
        Ok(())
    }

    /// Posterior of a series under a prior; the prior before the first value.
    #[must_use]
    pub fn posterior(&self, series: Series, prior: &Prior) -> Posterior {
        self.0.get(&series).copied().unwrap_or_default().posterior(prior)
    }

    /// Outliers of a series: users outside of `mean ± sigmas * sigma`, farthest first.
    pub fn atypical<'a, K>(
        &self,
        series: Series,
        prior: &Prior,
        sigmas: f64,
        people: impl IntoIterator<Item = (K, &'a PersonMetrics)>,
    ) -> Vec<Atypical<K>> {
        let values = people.into_iter().filter_map(|(key, person)| Some((key, person.get(series)?.mean)));
        self.0.get(&series).copied().unwrap_or_default().atypical(prior, values, sigmas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metrics::MetricKind;
    use proptest::prelude::*;

    fn measured(metric: &str, kind: Option<&str>, value: f64) -> Measurement {
        let key = |text: &str| Key::new(text).unwrap();
        let millionths = (value * 1e6).round() as i64;
        Measurement::of(&Measured { metric: key(metric), kind: kind.map(key), millionths, replaces: false })
    }

    #[test]
    fn a_declaration_that_is_removed_gives_way_to_the_configured_one() {
        let (first, second) =
            (Declaration::default(), Declaration { unit: Some("m/s".into()), ..Declaration::default() });
        let mut declared = Declarations::new(BTreeMap::from([("speed".into(), first.clone())]));
        let before = declared.clone();
        for name in ["speed", "mood", "nothing"] {
            declared.undeclare(name);
            assert_eq!(declared, before, "nothing was declared at run time");
        }
        declared.declare("speed", second.clone());
        declared.declare("mood", second.clone());
        let of = |declared: &Declarations, name: &str| {
            (declared.get(name).cloned(), declared.is_configured(name), declared.is_stored(name))
        };
        assert_eq!(of(&declared, "speed"), (Some(second.clone()), true, true));
        assert_eq!(of(&declared, "mood"), (Some(second), false, true));
        declared.undeclare("speed");
        declared.undeclare("mood");
        assert_eq!(of(&declared, "speed"), (Some(first), true, false));
        assert_eq!(of(&declared, "mood"), (None, false, false));
        assert_eq!(declared, before);
    }

    #[test]
    fn undeclared_and_invalid_measurements_are_not_accepted() {
        let mut declared = Declarations::default();
        declared.declare("mood", Declaration { range: Some((-5.0, 5.0)), ..Declaration::default() });
        declared.declare("share", Declaration { kind: MetricKind::Ratio, ..Declaration::default() });
        for (metric, kind, value, expected) in [
            ("time_spent", Some("post"), 0.0, None),
            ("time_spent", Some("other"), 86_400.0, None),
            ("time_spent", None, 1.0, None),
            ("mood", None, -5.0, None),
            ("share", None, 1.0, None),
            ("clicks", Some("post"), 1.0, Some(Ignored::Metric)),
            ("visits", None, 1.0, Some(Ignored::Metric)),
            ("time_spent", Some("k"), 1.0, Some(Ignored::Kind)),
            ("time_spent", Some(""), 1.0, Some(Ignored::Kind)),
            ("mood", Some("post"), 1.0, Some(Ignored::Kind)),
            ("time_spent", Some("post"), -0.1, Some(Ignored::Value)),
            ("time_spent", Some("post"), f64::NAN, Some(Ignored::Value)),
            ("time_spent", Some("post"), f64::INFINITY, Some(Ignored::Value)),
            ("mood", None, -5.1, Some(Ignored::Value)),
            ("share", None, 1.1, Some(Ignored::Value)),
        ] {
            assert_eq!(declared.accept(metric, kind, value).err(), expected, "{metric} {kind:?} {value}");
        }
        assert_eq!(declared.all().count(), 14, "ten types of page and all of them, visits, mood, share");
    }

    #[test]
    fn numeric_attributes_are_values_that_replace() {
        let mut declared = Declarations::default();
        let of = |attribute: &str| Declaration { attribute: Some(attribute.into()), ..Declaration::default() };
        declared.declare("age", of("age"));
        declared.declare("income", Declaration { range: Some((0.0, 10.0)), ..of("income") });
        let found = declared.of_attributes(r#"{"age": 31.5, "income": 11, "name": "Ada", "height": 2}"#);
        let age = Measured { metric: Key::new("age").unwrap(), kind: None, millionths: 31_500_000, replaces: true };
        assert_eq!(found, [age]);
        for nothing in ["{}", r#"{"age": "31"}"#, r#"{"age": null}"#, "[1]", "no JSON"] {
            assert_eq!(declared.of_attributes(nothing), [], "{nothing}");
        }
    }

    #[test]
    fn a_series_keeps_its_name_whatever_is_declared() {
        let mut declared = Declarations::default();
        let before = declared.series("time_spent", Some("post")).unwrap().series;
        declared.declare(
            "time_spent",
            Declaration { types: vec!["radio".into(), "post".into()], ..Declaration::default() },
        );
        declared.declare("a", Declaration::default());
        assert_eq!(declared.series("time_spent", Some("post")).unwrap().series, before);
        assert_eq!(declared.series("time_spent", Some("feed")), None);
        let mut all: Vec<Series> = declared.all().map(|named| named.series).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), declared.all().count());
    }

    #[test]
    fn a_value_that_replaces_is_the_mean() {
        let (mut population, mut person) = (PopulationMetrics::default(), PersonMetrics::default());
        for (value, replaces, mean) in [(30.0, true, 30.0), (31.0, true, 31.0), (33.0, false, 31.0 + 2.0 / 3.0)] {
            let one = Measurement { replaces, ..measured("age", None, value) };
            population.measure(&mut person, one).unwrap();
            let series = Series::of("age", None);
            assert!((person.get(series).unwrap().mean - mean).abs() < 1e-12, "{value}");
            assert_eq!(population.posterior(series, &Prior::default()).count, 1);
        }
    }

    #[test]
    fn who_is_unlike_the_others_is_listed() {
        let prior = Prior::default();
        let mut population = PopulationMetrics::default();
        let mut people = vec![PersonMetrics::default(); 50];
        for (n, person) in people.iter_mut().enumerate() {
            let value = if n == 17 { 500.0 } else { 20.0 + (n % 7) as f64 };
            population.measure(person, measured("time_spent", Some("channel"), value)).unwrap();
        }
        let series = Series::of("time_spent", Some("channel"));
        let list = |population: &PopulationMetrics, people: &[PersonMetrics]| -> Vec<usize> {
            let people = people.iter().enumerate();
            population.atypical(series, &prior, 2.0, people).into_iter().map(|found| found.key).collect()
        };
        assert_eq!(list(&population, &people), [17]);
        assert!(population.posterior(series, &prior).sigmas(500.0).unwrap() > 2.0);
        // State survives a serialisation round trip.
        let written = postcard::to_stdvec(&(population.clone(), people.clone())).unwrap();
        assert_eq!(
            postcard::from_bytes::<(PopulationMetrics, Vec<PersonMetrics>)>(&written).unwrap(),
            (population.clone(), people.clone())
        );
        let other = Series::of("time_spent", Some("live"));
        assert_eq!(population.posterior(other, &prior).count, 0);
    }

    proptest! {
        /// After any order of measurements, the models contain exactly the current running means.
        #[test]
        fn models_hold_the_means_of_those_who_are_there(
            acts in prop::collection::vec((0_usize..8, 0_usize..10, 0.0_f64..1e4), 1..200),
        ) {
            let declared = Declarations::default();
            let types = &declared.get("time_spent").unwrap().types;
            let mut population = PopulationMetrics::default();
            let mut people = vec![PersonMetrics::default(); 8];
            let mut known: Vec<Vec<(usize, f64)>> = vec![Vec::new(); 8];
            for (person, kind, value) in acts {
                let value = (value * 1e6).round() / 1e6;
                population.measure(&mut people[person], measured("time_spent", Some(&types[kind]), value)).unwrap();
                known[person].push((kind, value));
            }
            for named in declared.all().filter(|named| named.metric == "time_spent") {
                let series = named.series;
                let mut model = NormalModel::default();
                for person in &known {
                    let of_series = |kind: usize| named.kind.is_none_or(|name| types[kind] == name);
                    let values: Vec<f64> = person.iter().filter(|(kind, _)| of_series(*kind)).map(|(_, value)| *value).collect();
                    if !values.is_empty() {
                        model.set(None, values.iter().sum::<f64>() / values.len() as f64).unwrap();
                    }
                }
                let (found, expected) = (population.posterior(series, &Prior::default()), model.posterior(&Prior::default()));
                prop_assert_eq!(found.count, expected.count);
                prop_assert!((found.mean - expected.mean).abs() <= 1e-9 * expected.mean.abs().max(1.0));
                prop_assert!((found.rate - expected.rate).abs() <= 1e-9 * expected.rate.abs().max(1.0));
            }
        }
    }
}
