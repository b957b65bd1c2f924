//! The feature schema of a model: the attributes, topics and columns that it reads, and their encoding as numbers.
//!
//! Invariant: training and serving encode through these functions, so a feature means one thing. A value that training
//! did not see takes row 0. A number that is absent or not finite becomes 0 with its flag set.
//! Absent on purpose: features that change with time (they belong to `history`) and weights.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::time::{DAY_MS, Millis};
use crate::engine::numeric::kernels::dot;
use crate::engine::two_tower::{ItemFacts, TowerVector};
use crate::tower::text::{TEXT_STATISTICS, statistics};

/// Number of time features: sine and cosine of hour, weekday and month.
pub const TIME_FEATURES: usize = 6;

/// Bound on a standardised number, in standard deviations.
const DEVIATIONS_MAX: f32 = 8.0;

/// All features of a model that do not change with time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Features of users.
    pub person: PersonSchema,
    /// Features of items.
    pub item: ItemSchema,
    /// Similarity of a user vector and an item vector. A file without this field means [`Similarity::Dot`].
    #[serde(default, skip_serializing_if = "Similarity::is_dot")]
    pub similarity: Similarity,
}

/// Similarity of a user vector and an item vector; the log-odds of a like are linear in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// Dot product of the vectors as the towers return them.
    #[default]
    Dot,
    /// Cosine: both towers end with a division by the length, so that the dot product of their vectors is the cosine.
    Cosine,
}

/// Constant under the root of a vector's length, so that a zero vector stays zero.
pub const LENGTH_EPSILON: f32 = 1e-12;

impl Similarity {
    /// True for the dot product, which files leave out.
    #[must_use]
    pub fn is_dot(&self) -> bool {
        *self == Similarity::Dot
    }

    /// Name in files, flags and reports: `dot` or `cosine`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Similarity::Dot => "dot",
            Similarity::Cosine => "cosine",
        }
    }

    /// Last operation of both towers: divides by `sqrt(x . x + LENGTH_EPSILON)` for the cosine.
    #[must_use]
    pub(crate) fn finish(self, vector: TowerVector) -> TowerVector {
        match self {
            Similarity::Dot => vector,
            Similarity::Cosine => {
                let length = (dot(&vector, &vector) + LENGTH_EPSILON).sqrt();
                vector.map(|x| x / length)
            }
        }
    }
}

/// User attributes that the model reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSchema {
    /// Categorical attributes: strings, booleans, small integers.
    pub categories: Vec<Category>,
    /// Attributes that are quantities, with their standardisation.
    pub numbers: Vec<Number>,
}

/// Item features, in the order in which they follow the topic embedding in the network's input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemSchema {
    /// Names of topics, sorted; row 0 of the table stands for all others.
    pub topics: Vec<String>,
    /// Dimension of a topic embedding.
    pub topic_dim: usize,
    /// Reduction of the text embedding; `None` where items have no embeddings.
    pub embedding: Option<Reduction>,
    /// Standardisation of each of [`TEXT_STATISTICS`]; empty where items have no texts.
    pub text: Vec<Number>,
    /// Numeric columns of items.
    pub numbers: Vec<Number>,
}

/// A categorical attribute with its known values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Name of the attribute.
    pub name: String,
    /// Known values as text, sorted; value `i` has row `i + 1` of the table, row 0 stands for all others.
    pub values: Vec<String>,
    /// Dimension of a value's embedding.
    pub dim: usize,
}

/// A numeric feature with its standardisation `(x - mean) / scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// Name of the attribute, statistic or column.
    pub name: String,
    /// Mean over the training slice.
    pub mean: f32,
    /// Standard deviation over the training slice, above 0.
    pub scale: f32,
}

/// Dimensions of the projection of embeddings onto principal components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduction {
    /// Dimension of an embedding.
    pub from: usize,
    /// Number of principal components that are kept.
    pub to: usize,
}

/// Principal components: `z = components (x - mean)`, with the scale folded into the components.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Components {
    /// Mean embedding, `(from,)`.
    pub mean: Vec<f32>,
    /// Components, `(to, from)`, row by row.
    pub rows: Vec<f32>,
}

/// User attributes encoded for the network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonCode {
    /// Row in the embedding table of each category.
    pub categories: Vec<u32>,
    /// Per number: the standardised value, then 1 where it is missing.
    pub numbers: Vec<f32>,
}

impl Number {
    /// Standardised value and missing flag; `None` and non-finite numbers count as missing.
    fn code(&self, value: Option<f32>) -> [f32; 2] {
        match value.map(|value| (value - self.mean) / self.scale) {
            Some(code) if code.is_finite() => [code.clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX), 0.0],
            _ => [0.0, 1.0],
        }
    }
}

impl Category {
    /// Row of a value in the embedding table; 0 for an unknown value.
    fn row(&self, value: &str) -> u32 {
        row_of(&self.values, value)
    }
}

fn row_of(values: &[String], value: &str) -> u32 {
    values.binary_search_by(|known| known.as_str().cmp(value)).map_or(0, |place| place as u32 + 1)
}

impl PersonSchema {
    /// Width of a user's static features, category embeddings included.
    #[must_use]
    pub fn width(&self) -> usize {
        self.categories.iter().map(|category| category.dim).sum::<usize>() + 2 * self.numbers.len()
    }

    /// Encodes attributes, given as a JSON object in text. Any other text counts as a user without attributes.
    #[must_use]
    pub fn code(&self, attributes: Option<&str>) -> PersonCode {
        let mut code =
            PersonCode { categories: vec![0; self.categories.len()], numbers: [0.0, 1.0].repeat(self.numbers.len()) };
        if let Some(text) = attributes {
            let category = |name: &str| self.categories.iter().position(|known| known.name == name);
            let number = |name: &str| self.numbers.iter().position(|known| known.name == name);
            let wanted = |name: &str| category(name).map(Ok).or_else(|| number(name).map(Err));
            let read = read_fields(text, wanted, |place, value| match place {
                Ok(category) => {
                    code.categories[category] =
                        value.text().map_or(0, |text| self.categories[category].row(text.as_ref()));
                }
                Err(number) => {
                    code.numbers[2 * number..2 * number + 2].copy_from_slice(&self.numbers[number].code(value.number()))
                }
            });
            if read.is_err() {
                code.categories.fill(0);
                code.numbers.chunks_mut(2).for_each(|number| number.copy_from_slice(&[0.0, 1.0]));
            }
        }
        code
    }
}

/// Reads the fields of a JSON object that `wanted` places, and hands each place with its value to `take`; skips the others.
///
/// # Errors
/// The text is no JSON object; `take` may have run for its first fields.
fn read_fields<P>(
    text: &str,
    wanted: impl Fn(&str) -> Option<P>,
    take: impl FnMut(P, Scalar<'_>),
) -> Result<(), serde_json::Error> {
    (Fields { wanted, take }).deserialize(&mut serde_json::Deserializer::from_str(text))
}

/// Deserialises an object for [`read_fields`].
struct Fields<W, T> {
    wanted: W,
    take: T,
}

impl<'de, P, W: Fn(&str) -> Option<P>, T: FnMut(P, Scalar<'_>)> DeserializeSeed<'de> for Fields<W, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, P, W: Fn(&str) -> Option<P>, T: FnMut(P, Scalar<'_>)> Visitor<'de> for Fields<W, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Word(name)) = map.next_key::<Word<'_>>()? {
            match (self.wanted)(&name) {
                Some(place) => (self.take)(place, map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A key of the object, borrowed where the text has no escapes.
#[derive(Deserialize)]
struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

/// Value of an attribute in JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A string, borrowed where the text has no escapes.
    Text(Cow<'a, str>),
    /// A boolean: `true` or `false`.
    Truth(bool),
    /// An integer within 64 bits.
    Whole(i64),
    /// A number with a fraction, or an integer beyond 64 bits.
    Real(f64),
    /// Null, a list or an object; no feature reads these.
    Other,
}

impl Scalar<'_> {
    /// The value as text, for a categorical attribute.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Scalar::Text(text) => Some(Cow::Borrowed(text.as_ref())),
            Scalar::Truth(true) => Some(Cow::Borrowed("true")),
            Scalar::Truth(false) => Some(Cow::Borrowed("false")),
            Scalar::Whole(number) => Some(Cow::Owned(number.to_string())),
            Scalar::Real(number) => Some(Cow::Owned(number.to_string())),
            Scalar::Other => None,
        }
    }

    /// The value as a number, for a numeric attribute.
    #[must_use]
    pub fn number(&self) -> Option<f32> {
        match self {
            Scalar::Whole(number) => Some(*number as f32),
            Scalar::Real(number) => Some(*number as f32),
            Scalar::Truth(truth) => Some(f32::from(u8::from(*truth))),
            Scalar::Text(_) | Scalar::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Truth(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(value).map_or(Scalar::Real(value as f64), Scalar::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Real(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

impl ItemSchema {
    /// Width of an item's dense features, without the topic embedding.
    #[must_use]
    pub fn dense(&self) -> usize {
        let embedding = self.embedding.map_or(0, |reduction| reduction.to + 1);
        let text = if self.text.is_empty() { 0 } else { self.text.len() + 1 };
        embedding + text + 2 * self.numbers.len()
    }

    /// Row of a topic in the embedding table; 0 for an unknown one.
    #[must_use]
    pub fn topic(&self, name: Option<&str>) -> u32 {
        name.map_or(0, |name| row_of(&self.topics, name))
    }

    /// The numbers of an item by name: its own, else those among its attributes that the schema reads. A text that is no
    /// JSON object has none.
    fn numbers_of<'f>(&self, facts: &'f ItemFacts<'_>) -> impl Fn(&str) -> Option<f32> + use<'f> {
        let is_read = |name: &str| {
            self.numbers.iter().any(|number| number.name == name)
                || TEXT_STATISTICS.iter().zip(&self.text).any(|(statistic, _)| *statistic == name)
        };
        let mut attributes: Vec<(String, f32)> = Vec::new();
        if let Some(text) = facts.attributes {
            let wanted = |name: &str| is_read(name).then(|| name.to_owned());
            let take = |name, value: Scalar<'_>| attributes.extend(value.number().map(|number| (name, number)));
            if read_fields(text, wanted, take).is_err() {
                attributes.clear();
            }
        }
        move |name| {
            let own = facts.numbers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
            own.or_else(|| attributes.iter().find(|(other, _)| other == name).map(|(_, value)| *value))
        }
    }

    /// Names of the numeric columns that the schema reads and an item lacks.
    pub fn lacking<'s>(&'s self, facts: &ItemFacts<'_>) -> Vec<&'s str> {
        if self.numbers.is_empty() {
            return Vec::new();
        }
        let given = self.numbers_of(facts);
        self.numbers.iter().map(|number| number.name.as_str()).filter(|name| given(name).is_none()).collect()
    }

    /// Appends the dense features of an item to `out`.
    ///
    /// First the principal components of its embedding, and 1 where it has none. Then the statistics of its text, and
    /// 1 where it has no text; a number of the item with the name of a statistic replaces that statistic. Last its
    /// numbers, each with a missing flag.
    pub fn push(&self, facts: &ItemFacts<'_>, components: &Components, out: &mut Vec<f32>) {
        if let Some(reduction) = self.embedding {
            let known = facts.embedding.len() == reduction.from && facts.embedding.iter().all(|x| x.is_finite());
            let centred: Vec<f32> = if known {
                facts.embedding.iter().zip(&components.mean).map(|(x, mean)| x - mean).collect()
            } else {
                vec![0.0; reduction.from]
            };
            out.extend(components.rows.chunks(reduction.from.max(1)).map(|row| dot(row, &centred)));
            out.push(f32::from(u8::from(!known)));
        }
        let given = self.numbers_of(facts);
        if !self.text.is_empty() {
            let counted = (!facts.text.is_empty()).then(|| statistics(facts.text));
            for (place, number) in self.text.iter().enumerate() {
                let value = given(TEXT_STATISTICS[place]).or(counted.map(|counted| counted[place]));
                out.push(number.code(value)[0]);
            }
            out.push(f32::from(u8::from(facts.text.is_empty())));
        }
        for number in &self.numbers {
            out.extend(number.code(given(&number.name)));
        }
    }
}

/// Sine and cosine of the hour (with its minutes), the weekday (Monday is 0) and the month (January is 0), in UTC.
#[must_use]
pub fn time_features(at: Millis) -> [f32; TIME_FEATURES] {
    let days = at.0.div_euclid(DAY_MS);
    let hour = at.0.rem_euclid(DAY_MS) as f32 / DAY_MS as f32;
    let weekday = (days + 3).rem_euclid(7) as f32 / 7.0;
    let month = month_of(days) as f32 / 12.0;
    let mut out = [0.0; TIME_FEATURES];
    for (pair, turn) in out.chunks_mut(2).zip([hour, weekday, month]) {
        (pair[0], pair[1]) = (turn * std::f32::consts::TAU).sin_cos();
    }
    out
}

/// Month, January being 0, of a day since 1970-01-01 in the Gregorian calendar.
///
/// Source: Howard Hinnant, *chrono-Compatible Low-Level Date Algorithms*, `civil_from_days`.
fn month_of(days: i64) -> i64 {
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    (from_march + 2) % 12
}
