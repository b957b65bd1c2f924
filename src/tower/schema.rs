//! What a model reads of people and items, and how that becomes numbers.
//!
//! Invariant: training and serving go through the same functions here, so a feature means the same in both. A value that
//! was not seen in training is the unknown one (place 0), a number that is absent or not finite is 0 with its flag set.
//! Absent on purpose: whatever changes with time, which is the history's business, and weights.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::time::{DAY_MS, Millis};
use crate::engine::simd::dot;
use crate::engine::tower::ItemFacts;
use crate::tower::text::{TEXT_STATISTICS, statistics};

/// Numbers that say when: sine and cosine of hour, weekday and month.
pub const TIME_FEATURES: usize = 6;

/// A standardised number stays within this many standard deviations.
const DEVIATIONS_MAX: f32 = 8.0;

/// Everything a model reads that does not change with time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Of people.
    pub person: PersonSchema,
    /// Of items.
    pub item: ItemSchema,
}

/// Attributes of people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSchema {
    /// Attributes with few values: strings, truth values, small whole numbers.
    pub categories: Vec<Category>,
    /// Attributes that are quantities.
    pub numbers: Vec<Number>,
}

/// What is read of items, in the order in which it goes into the network after the topic's embedding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemSchema {
    /// Names of topics, sorted; place 0 of the table is for all others.
    pub topics: Vec<String>,
    /// Numbers in a topic's embedding.
    pub topic_dim: usize,
    /// Of the text's embedding; none where items have no embeddings.
    pub embedding: Option<Reduction>,
    /// Of each of [`TEXT_STATISTICS`]; empty where items have no texts.
    pub text: Vec<Number>,
    /// Numeric columns.
    pub numbers: Vec<Number>,
}

/// An attribute with few values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// The attribute.
    pub name: String,
    /// Its known values as text, sorted; value `i` has row `i + 1` of the table, row 0 is for all others.
    pub values: Vec<String>,
    /// Numbers in a value's embedding.
    pub dim: usize,
}

/// A number and how to standardise it: `(x - mean) / scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The attribute, statistic or column.
    pub name: String,
    /// Mean over training.
    pub mean: f32,
    /// Standard deviation over training, above 0.
    pub scale: f32,
}

/// How embeddings get shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduction {
    /// Numbers in an embedding.
    pub from: usize,
    /// Numbers that are kept.
    pub to: usize,
}

/// Principal components: `z = components (x - mean)`, with the scale in the components.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Components {
    /// `(from,)`.
    pub mean: Vec<f32>,
    /// `(to, from)`, row by row.
    pub rows: Vec<f32>,
}

/// A person's attributes as the network takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonCode {
    /// Row in the table of each category.
    pub categories: Vec<u32>,
    /// Per number: the standardised value, then 1 where it is missing.
    pub numbers: Vec<f32>,
}

impl Number {
    /// Standardised value and flag; `None` and what is not finite is missing.
    fn code(&self, value: Option<f32>) -> [f32; 2] {
        match value.map(|value| (value - self.mean) / self.scale) {
            Some(code) if code.is_finite() => [code.clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX), 0.0],
            _ => [0.0, 1.0],
        }
    }
}

impl Category {
    /// Row of a value in the table.
    fn row(&self, value: &str) -> u32 {
        row_of(&self.values, value)
    }
}

fn row_of(values: &[String], value: &str) -> u32 {
    values.binary_search_by(|known| known.as_str().cmp(value)).map_or(0, |place| place as u32 + 1)
}

impl PersonSchema {
    /// Numbers of a person that go into the network, categories' embeddings included.
    #[must_use]
    pub fn width(&self) -> usize {
        self.categories.iter().map(|category| category.dim).sum::<usize>() + 2 * self.numbers.len()
    }

    /// Reads attributes, a JSON object as text. What is not one counts as a person of whom nothing is known.
    #[must_use]
    pub fn code(&self, attributes: Option<&str>) -> PersonCode {
        let mut code =
            PersonCode { categories: vec![0; self.categories.len()], numbers: [0.0, 1.0].repeat(self.numbers.len()) };
        if let Some(text) = attributes {
            let mut reader = serde_json::Deserializer::from_str(text);
            if (Attributes { schema: self, code: &mut code }).deserialize(&mut reader).is_err() {
                code.categories.fill(0);
                code.numbers.chunks_mut(2).for_each(|number| number.copy_from_slice(&[0.0, 1.0]));
            }
        }
        code
    }
}

/// Puts an object's attributes where they belong, without keeping the rest.
struct Attributes<'a> {
    schema: &'a PersonSchema,
    code: &'a mut PersonCode,
}

impl<'de> DeserializeSeed<'de> for Attributes<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Attributes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Word(name)) = map.next_key::<Word<'_>>()? {
            if let Some(place) = self.schema.categories.iter().position(|known| known.name == name) {
                let value = map.next_value::<Scalar<'_>>()?;
                self.code.categories[place] =
                    value.text().map_or(0, |text| self.schema.categories[place].row(text.as_ref()));
            } else if let Some(place) = self.schema.numbers.iter().position(|known| known.name == name) {
                let value = map.next_value::<Scalar<'_>>()?;
                self.code.numbers[2 * place..2 * place + 2]
                    .copy_from_slice(&self.schema.numbers[place].code(value.number()));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A key, borrowed where the text allows it.
#[derive(Deserialize)]
struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A truth value.
    Truth(bool),
    /// A whole number.
    Whole(i64),
    /// Another number.
    Real(f64),
    /// Nothing that a model reads: null, a list, an object.
    Other,
}

impl Scalar<'_> {
    /// As a category's value.
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

    /// As a quantity.
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
    /// Numbers of an item that go into the network, without the topic's embedding.
    #[must_use]
    pub fn dense(&self) -> usize {
        let embedding = self.embedding.map_or(0, |reduction| reduction.to + 1);
        let text = if self.text.is_empty() { 0 } else { self.text.len() + 1 };
        embedding + text + 2 * self.numbers.len()
    }

    /// Row of a topic in the table.
    #[must_use]
    pub fn topic(&self, name: Option<&str>) -> u32 {
        name.map_or(0, |name| row_of(&self.topics, name))
    }

    /// Appends the numbers of an item: principal components of its embedding and 1 where it has none; statistics of its
    /// text, of which numbers of the same name take the place, and 1 where it has no text; its numbers, each with a flag.
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
        let given = |name: &str| facts.numbers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
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
