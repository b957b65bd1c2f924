//! Declarations of metrics: kind, unit, range, prior and types of a measurement of users.
//!
//! Invariant: [`Declaration::check`] accepted every declaration in use. Declarations decide which measurements are
//! accepted, never how a journal entry is folded. Deliberately absent: measured values.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::ids::Key;

/// Name of the metric that the server counts itself: the distinct days on which a user interacted with an item.
pub const VISITS: &str = "visits";
/// Maximum number of declared metrics.
pub const METRICS_MAX: usize = 100;
/// Maximum number of types of a metric.
pub const TYPES_MAX: usize = 64;
/// Most bytes of a unit.
const UNIT_BYTES_MAX: usize = 32;
/// Largest magnitude of a value: its millionths fit an `i64` with room to spare.
const VALUE_MAX: f64 = 1e12;
/// Fields of a measurement on the wire, which no metric can have as its name, and the prefix of topic columns.
const RESERVED: [&str; 8] = ["metric", "value", "type", "page_type", "user", "id", "at", "topic"];

/// Kind of a metric; it decides the default unit and range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Any number, negative ones included.
    #[default]
    Value,
    /// Seconds, by default from 0 to a day.
    Duration,
    /// A number of things, by default from 0 to a thousand million.
    Count,
    /// A share, by default from 0 to 1.
    Ratio,
}

/// Normal-Gamma prior: `precision ~ Gamma(shape, rate)`, `mean | precision ~ N(mean, 1 / (strength precision))`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "MetricPrior")]
pub struct Prior {
    /// Prior mean, in the metric's unit.
    pub mean: f64,
    /// Pseudo-observations of the prior mean, above 0; `precision` in declarations.
    #[serde(rename = "precision")]
    pub strength: f64,
    /// Half the pseudo-observations of the prior precision, above 0.
    pub shape: f64,
    /// Half their sum of squares, above 0, in the metric's unit squared.
    pub rate: f64,
}

impl Default for Prior {
    /// A weak prior: 0.001 of an observation.
    fn default() -> Self {
        Prior { mean: 0.0, strength: 1e-3, shape: 1e-3, rate: 1e-3 }
    }
}

/// Declaration of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "MetricDeclarationInput")]
pub struct Declaration {
    /// Kind of the values.
    pub kind: MetricKind,
    /// Unit of the values, for display; `None` is the unit of the kind.
    pub unit: Option<String>,
    /// Valid range of a value, both ends included; `None` is the range of the kind.
    pub range: Option<(f64, f64)>,
    /// Prior of the distribution over users.
    #[serde(deserialize_with = "prior")]
    pub prior: Prior,
    /// Types of a measurement, as the types of pages; empty for a metric without types.
    pub types: Vec<String>,
    /// Attribute of users that gives the value whenever a user is written.
    pub attribute: Option<String>,
}

/// Reads a prior from an object alone: serde would also read a struct from a list of its fields.
fn prior<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Prior, D::Error> {
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Prior;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of mean, precision, shape and rate")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Prior, A::Error> {
            Prior::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Reader)
}

impl Declaration {
    /// Unit of the values; empty without one.
    #[must_use]
    pub fn unit(&self) -> &str {
        match (&self.unit, self.kind) {
            (Some(unit), _) => unit,
            (None, MetricKind::Duration) => "s",
            (None, MetricKind::Value | MetricKind::Count | MetricKind::Ratio) => "",
        }
    }

    /// Valid range of a value, both ends included.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        self.range.unwrap_or(match self.kind {
            MetricKind::Value => (-1e9, 1e9),
            MetricKind::Duration => (0.0, 86_400.0),
            MetricKind::Count => (0.0, 1e9),
            MetricKind::Ratio => (0.0, 1.0),
        })
    }

    /// Checks the name and every field.
    ///
    /// # Errors
    /// The violated rule, after the name of the field; `name` stands for the name itself.
    pub fn check(&self, name: &str) -> Result<(), (&'static str, &'static str)> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let (low, high) = self.range();
        let mut unique: Vec<&String> = self.types.iter().collect();
        unique.sort_unstable();
        unique.dedup();
        let is_word = |word: &String| Key::new(word).is_ok() && !word.contains('.') && !word.trim().is_empty();
        let rules = [
            (
                is_word(&name.to_owned()) && name.len() <= 64 && !RESERVED.contains(&name),
                "name",
                "must be 1 to 64 bytes without full stops and control characters, not all of them blank, and no field of a measurement",
            ),
            (
                self.unit
                    .as_ref()
                    .is_none_or(|unit| unit.len() <= UNIT_BYTES_MAX && !unit.chars().any(char::is_control)),
                "unit",
                "must be at most 32 bytes without control characters",
            ),
            (
                low < high && low.abs() <= VALUE_MAX && high.abs() <= VALUE_MAX,
                "range",
                "must be two numbers, the lower one first, each at most 1e12 in size",
            ),
            (self.prior.mean.abs() <= VALUE_MAX, "prior.mean", "must be a number of at most 1e12 in size"),
            (positive(self.prior.strength), "prior.precision", "must be a number above 0"),
            (positive(self.prior.shape), "prior.shape", "must be a number above 0"),
            (positive(self.prior.rate), "prior.rate", "must be a number above 0"),
            (
                self.types.len() <= TYPES_MAX && unique.len() == self.types.len() && self.types.iter().all(is_word),
                "types",
                "must be at most 64 different names, none of them empty, blank or with a full stop",
            ),
            (
                self.attribute.as_ref().is_none_or(|attribute| Key::new(attribute).is_ok()),
                "attribute",
                "must be 1 to 255 bytes without control characters",
            ),
            (name != VISITS || self.types.is_empty(), "types", "must be left out: the server counts visits itself"),
            (
                name != VISITS || self.attribute.is_none(),
                "attribute",
                "must be left out: the server counts visits itself",
            ),
        ];
        rules.into_iter().find(|(good, ..)| !good).map_or(Ok(()), |(_, field, rule)| Err((field, rule)))
    }
}

/// The declarations that exist without a configuration: `time_spent` with ten types of page, and [`VISITS`].
#[must_use]
pub fn built_in() -> BTreeMap<String, Declaration> {
    let pages = ["post", "feed", "channel", "live", "profile", "topic", "search", "people", "settings", "other"];
    let time_spent =
        Declaration { kind: MetricKind::Duration, types: pages.map(str::to_owned).to_vec(), ..Declaration::default() };
    let visits = Declaration { kind: MetricKind::Count, unit: Some("days".into()), ..Declaration::default() };
    BTreeMap::from([("time_spent".into(), time_spent), (VISITS.into(), visits)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_that_cannot_be_used_names_its_field() {
        let good = Declaration::default();
        let prior = |prior| Declaration { prior, ..good.clone() };
        let default = Prior::default();
        for (name, declaration, field) in [
            ("mood", good.clone(), None),
            (
                "mood",
                Declaration { range: Some((-5.0, 5.0)), types: vec!["am".into(), "pm".into()], ..good.clone() },
                None,
            ),
            ("", good.clone(), Some("name")),
            ("a.b", good.clone(), Some("name")),
            (" ", good.clone(), Some("name")),
            ("\u{2003}", good.clone(), Some("name")),
            ("value", good.clone(), Some("name")),
            ("topic", good.clone(), Some("name")),
            ("a\nb", good.clone(), Some("name")),
            ("mood", Declaration { unit: Some("x".repeat(33)), ..good.clone() }, Some("unit")),
            ("mood", Declaration { range: Some((1.0, 1.0)), ..good.clone() }, Some("range")),
            ("mood", Declaration { range: Some((0.0, f64::NAN)), ..good.clone() }, Some("range")),
            ("mood", Declaration { range: Some((0.0, 1e13)), ..good.clone() }, Some("range")),
            ("mood", prior(Prior { mean: f64::INFINITY, ..default }), Some("prior.mean")),
            ("mood", prior(Prior { mean: f64::NAN, ..default }), Some("prior.mean")),
            ("mood", prior(Prior { strength: 0.0, ..default }), Some("prior.precision")),
            ("mood", prior(Prior { shape: -1.0, ..default }), Some("prior.shape")),
            ("mood", prior(Prior { rate: f64::NAN, ..default }), Some("prior.rate")),
            ("mood", Declaration { types: vec!["a".into(), "a".into()], ..good.clone() }, Some("types")),
            ("mood", Declaration { types: vec!["a.b".into()], ..good.clone() }, Some("types")),
            ("mood", Declaration { attribute: Some(String::new()), ..good.clone() }, Some("attribute")),
            ("visits", Declaration { attribute: Some("age".into()), ..good.clone() }, Some("attribute")),
            ("visits", Declaration { types: vec!["a".into()], ..good.clone() }, Some("types")),
        ] {
            assert_eq!(declaration.check(name).err().map(|(field, _)| field), field, "{name} {declaration:?}");
        }
        for (name, declaration) in built_in() {
            assert_eq!(declaration.check(&name), Ok(()), "{name}");
        }
    }
}
