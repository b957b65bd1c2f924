//! Fits the feature schema to tables: which attributes are categorical, and how numbers are standardised.
//!
//! Invariant: only users and posts of the training slice count, so no later slice leaks into features.
//! Absent on purpose: labels.

use std::collections::BTreeMap;

use crate::engine::two_tower::ItemFacts;
use crate::tables::{PostRow, Tables};
use crate::tower::schema::{Category, Components, ItemSchema, Number, PersonSchema, Reduction, Scalar, Schema};
use crate::tower::text::{TEXT_STATISTICS, statistics};
use crate::training::components::components;
use crate::training::dataset::{FeedLog, Slice};

/// Integer attributes with at most this many values are categorical.
const WHOLE_VALUES_MAX: usize = 16;
/// Number of users that must share a value before it gets a row of its own.
const VALUE_PEOPLE_MIN: u32 = 3;
/// Limit on the values of a category; the most frequent ones stay.
const VALUES_MAX: usize = 2_000;
/// Limit on the attributes, and on the numeric columns, that a model reads.
const FIELDS_MAX: usize = 200;
/// Number of principal components that replace an embedding.
const REDUCED_TO: usize = 128;
const DIM_MAX: usize = 16;
const TOPIC_DIM: usize = 16;
const TOPICS_MAX: usize = 2_000;

/// Item features of a post, as both the engine and training encode them.
pub fn facts<'a>(post: &'a PostRow, numbers: &'a [(&'a str, f32)]) -> ItemFacts<'a> {
    ItemFacts {
        embedding: post.embedding.as_deref().unwrap_or(&[]),
        text: &post.text,
        topic: post.topic.as_ref().map(|topic| topic.as_str()),
        attributes: None,
        numbers,
    }
}

/// Fits the schema to tables, and the principal components to their embeddings.
#[must_use]
pub fn fit(tables: &Tables, log: &FeedLog) -> (Schema, Components) {
    let (mut people, mut posts) = (vec![false; tables.people.len()], vec![false; tables.posts.len()]);
    for moment in log.moments.iter().filter(|moment| moment.slice == Slice::Train) {
        people[moment.person as usize] = true;
        posts[moment.post as usize] = true;
    }
    let attributes = tables.people.iter().zip(&people).filter(|(_, there)| **there);
    let attributes = attributes.filter_map(|(person, _)| person.attributes.as_deref());
    let person = fit_people(attributes);
    let posts: Vec<&PostRow> =
        tables.posts.iter().zip(&posts).filter(|(_, there)| **there).map(|(post, _)| post).collect();
    let (item, components) = fit_items(&posts);
    (Schema { person, item, ..Schema::default() }, components)
}

/// Statistics of one attribute over the users of the training slice.
#[derive(Default)]
struct Seen {
    values: BTreeMap<String, u32>,
    words: bool,
    fractions: bool,
    moments: Moments,
}

/// Sums for mean and standard deviation.
#[derive(Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f32) {
        if value.is_finite() {
            self.count += 1.0;
            self.sum += f64::from(value);
            self.squares += f64::from(value) * f64::from(value);
        }
    }

    /// Standardisation of the number; `None` for a constant.
    fn number(&self, name: &str) -> Option<Number> {
        let mean = self.sum / self.count.max(1.0);
        let deviation = (self.squares / self.count.max(1.0) - mean * mean).max(0.0).sqrt();
        let number = Number { name: name.to_owned(), mean: mean as f32, scale: deviation as f32 };
        (number.mean.is_finite() && number.scale.is_finite() && deviation > 1e-6 * mean.abs().max(1e-6))
            .then_some(number)
    }
}

fn fit_people<'a>(attributes: impl Iterator<Item = &'a str>) -> PersonSchema {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for text in attributes {
        let Ok(object) = serde_json::from_str::<BTreeMap<String, Scalar<'_>>>(text) else {
            continue;
        };
        for (name, value) in object {
            if !seen.contains_key(&name) && seen.len() >= FIELDS_MAX {
                continue;
            }
            let seen = seen.entry(name).or_default();
            match &value {
                Scalar::Text(_) | Scalar::Truth(_) => seen.words = true,
                Scalar::Real(_) => seen.fractions = true,
                Scalar::Whole(_) => {}
                Scalar::Other => continue,
            }
            if let Some(number) = value.number() {
                seen.moments.add(number);
            }
            // An attribute that is known to be numeric needs no further counts.
            if let Some(text) = value.text().filter(|_| seen.words || seen.values.len() <= WHOLE_VALUES_MAX) {
                *seen.values.entry(text.into_owned()).or_default() += 1;
            }
        }
    }
    let mut schema = PersonSchema::default();
    for (name, seen) in seen {
        if seen.words || (!seen.fractions && seen.values.len() <= WHOLE_VALUES_MAX) {
            let values = known(seen.values, VALUES_MAX);
            if !values.is_empty() {
                schema.categories.push(Category { name, dim: dim_of(values.len()), values });
            }
        } else if let Some(number) = seen.moments.number(&name) {
            schema.numbers.push(number);
        }
    }
    schema
}

/// The `most` most frequent values, sorted by name.
fn known(values: BTreeMap<String, u32>, most: usize) -> Vec<String> {
    let mut values: Vec<(String, u32)> = values.into_iter().filter(|(_, people)| *people >= VALUE_PEOPLE_MIN).collect();
    values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    values.truncate(most);
    let mut values: Vec<String> = values.into_iter().map(|(value, _)| value).collect();
    values.sort_unstable();
    values
}

/// Dimension of a category's embedding: grows with the 0.56th power of the number of values, at most 16.
fn dim_of(values: usize) -> usize {
    ((1.6 * (values as f64).powf(0.56)).ceil() as usize).clamp(2, DIM_MAX)
}

fn fit_items(posts: &[&PostRow]) -> (ItemSchema, Components) {
    let mut topics = BTreeMap::new();
    let mut columns: BTreeMap<&str, Moments> = BTreeMap::new();
    let mut text: [Moments; TEXT_STATISTICS.len()] = Default::default();
    for post in posts {
        if let Some(topic) = &post.topic {
            *topics.entry(topic.as_str().to_owned()).or_insert(VALUE_PEOPLE_MIN) += 1;
        }
        for (name, value) in &post.numbers {
            if columns.contains_key(name.as_str()) || columns.len() < FIELDS_MAX {
                columns.entry(name).or_default().add(*value);
            }
        }
        if !post.text.is_empty() {
            text.iter_mut().zip(statistics(&post.text)).for_each(|(moments, value)| moments.add(value));
        }
    }
    let with_text = text[0].count > 0.0;
    let numbers = columns.iter().filter(|(name, _)| !(with_text && TEXT_STATISTICS.contains(name)));
    let numbers = numbers.filter_map(|(name, moments)| moments.number(name)).collect();
    let statistics = TEXT_STATISTICS.iter().zip(&text).map(|(name, moments)| {
        moments.number(name).unwrap_or(Number { name: (*name).to_owned(), mean: 0.0, scale: 1.0 })
    });
    let from = posts.iter().find_map(|post| post.embedding.as_ref()).map_or(0, Vec::len);
    let embeddings: Vec<&[f32]> =
        posts.iter().filter_map(|post| post.embedding.as_deref()).filter(|row| row.len() == from).collect();
    let reduction = (from > 0).then(|| Reduction { from, to: from.min(REDUCED_TO) });
    let components = reduction.map(|reduction| components(&embeddings, reduction.from, reduction.to));
    let schema = ItemSchema {
        topics: known(topics, TOPICS_MAX),
        topic_dim: TOPIC_DIM,
        embedding: reduction,
        text: if with_text { statistics.collect() } else { Vec::new() },
        numbers,
    };
    (schema, components.unwrap_or_default())
}
