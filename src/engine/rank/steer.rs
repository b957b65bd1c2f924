//! Steering of one ranking by its request: filters, exclusions, boosts, and factors for the experts.
//!
//! Invariant: steering reads the catalogue only and changes no learned state. A boost adds to the log-odds, so it multiplies
//! the odds. Unavailable items are never candidates.
//! Deliberately absent: keys and limits of a request, which the gateway checks.

use std::borrow::Cow;

use roaring::RoaringBitmap;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::Value;

use crate::domain::feeds::Expert;
use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::time::Millis;
use crate::engine::catalogue::block::{BLOCK, Block, place};
use crate::engine::world::World;

/// Factors of the experts' weights, in the order of `Expert::ALL`; 1 leaves an expert as it is.
pub type Factors = [f32; Expert::ALL.len()];

/// What a request asks of a ranking beside its person.
#[derive(Clone, Debug, PartialEq)]
pub struct Steering {
    /// Conditions that each item has to meet.
    pub required: Vec<Target>,
    /// Earliest creation time of an item.
    pub created_after: Option<Millis>,
    /// Latest creation time of an item.
    pub created_before: Option<Millis>,
    /// The instant at which an item has to be available; the instant of the ranking when absent.
    pub available_at: Option<Millis>,
    /// Items that are left out.
    pub excluded: Vec<ItemId>,
    /// Additions to the scores of some items.
    pub boosts: Vec<Boost>,
    /// Factors of the experts in the `model` ranking.
    pub factors: Factors,
}

impl Default for Steering {
    fn default() -> Self {
        Steering {
            required: Vec::new(),
            created_after: None,
            created_before: None,
            available_at: None,
            excluded: Vec::new(),
            boosts: Vec::new(),
            factors: [1.0; Expert::ALL.len()],
        }
    }
}

/// A group of items.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Items of this topic, main or further.
    Topic(TopicId),
    /// Items of this author.
    Author(UserId),
    /// Items whose attribute has this value, or a list with this value.
    Attribute(String, Value),
    /// The item of this id.
    Item(ItemId),
    /// No item: the name in the request is unknown.
    Nothing,
}

/// A boost of a group of items.
#[derive(Clone, Debug, PartialEq)]
pub struct Boost {
    /// The boosted items.
    pub target: Target,
    /// The addition to their log-odds: the logarithm of the factor of the odds.
    pub log_odds: f32,
}

impl Target {
    /// Whether the item of this row is in the group.
    fn has(&self, block: &Block, row: usize) -> bool {
        let columns = block.columns();
        let item = || block.items().get(row);
        match self {
            Target::Topic(topic) => {
                columns.topic.get(row) == Some(topic)
                    || (columns.more_topics.get(row) == Some(&true)
                        && item().is_some_and(|item| item.topics.contains(topic)))
            }
            Target::Author(author) => columns.author.get(row) == Some(&author.0),
            Target::Attribute(name, value) => item()
                .and_then(|item| item.attributes.as_deref())
                .is_some_and(|attributes| attribute_is(attributes, name, value)),
            Target::Item(wanted) => item().is_some_and(|item| item.id == *wanted),
            Target::Nothing => false,
        }
    }
}

/// Whether a JSON object has this value under this name, or a list with it.
fn attribute_is(text: &str, name: &str, value: &Value) -> bool {
    // A search of the text is cheaper than a parse. Escaped texts are parsed.
    let may_have = |part: &str| text.contains(part) || text.contains('\\');
    if !may_have(name) || value.as_str().is_some_and(|value| !may_have(value)) {
        return false;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    match reader.deserialize_map(ValueOf(name)) {
        Ok(Some(Value::Array(list))) => list.iter().any(|one| is_equal(one, value)),
        Ok(Some(one)) => is_equal(&one, value),
        Ok(None) | Err(_) => false,
    }
}

/// Reads the value under one name and skips all others.
struct ValueOf<'a>(&'a str);

impl<'de> Visitor<'de> for ValueOf<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Value>, A::Error> {
        let mut found = None;
        while let Some(Name(name)) = map.next_key()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A name that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Compares numbers by their value, so that 1 equals 1.0.
fn is_equal(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

impl Steering {
    /// Whether the ranking needs log-odds: there are boosts, or factors other than 1.
    #[must_use]
    pub fn needs_log_odds(&self) -> bool {
        !self.boosts.is_empty() || self.factors != Steering::default().factors
    }

    /// Items that may be ranked at `now`: available, not excluded, and with all that is required.
    #[must_use]
    pub fn candidates(&self, world: &World, now: Millis) -> RoaringBitmap {
        let mut open = (*world.open_at(self.available_at.unwrap_or(now))).clone();
        for item in &self.excluded {
            open.remove(item.0);
        }
        if self.required.is_empty() && self.created_after.is_none() && self.created_before.is_none() {
            return open;
        }
        let passes = |block: &Block, row: usize| {
            let created = block.columns().created[row];
            self.created_after.is_none_or(|first| created >= first)
                && self.created_before.is_none_or(|last| created <= last)
                && self.required.iter().all(|target| target.has(block, row))
        };
        let mut passed = Vec::new();
        for (first, block) in blocks(world) {
            let rows = open.range(first..first + block.items().len() as u32);
            passed.extend(rows.filter(|id| passes(block, (id - first) as usize)));
        }
        passed.into_iter().collect()
    }

    /// The sum of the boosts of each item, by id; empty without boosts.
    pub(super) fn additions(&self, world: &World, candidates: &RoaringBitmap) -> Vec<f32> {
        if self.boosts.is_empty() {
            return Vec::new();
        }
        let mut all = vec![0.0; world.blocks().len() * BLOCK];
        for (first, block) in blocks(world) {
            for id in candidates.range(first..first + block.items().len() as u32) {
                all[id as usize] = self.boosted(block, (id - first) as usize).map(|(_, amount)| amount).sum();
            }
        }
        all
    }

    /// The boosts of an item: the place of each in the request, and its addition to the score.
    #[must_use]
    pub fn boosts_of(&self, world: &World, item: ItemId) -> Vec<(usize, f32)> {
        let (index, row) = place(item);
        world.blocks().get(index).map_or(Vec::new(), |block| self.boosted(block, row).collect())
    }

    fn boosted<'a>(&'a self, block: &'a Block, row: usize) -> impl Iterator<Item = (usize, f32)> + 'a {
        let boosts = self.boosts.iter().enumerate().filter(move |(_, boost)| boost.target.has(block, row));
        boosts.map(|(place, boost)| (place, boost.log_odds))
    }
}

/// Blocks with the id of their first item.
fn blocks(world: &World) -> impl Iterator<Item = (u32, &Block)> {
    world.blocks().iter().enumerate().map(|(index, block)| ((index * BLOCK) as u32, block.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_compared_by_value_and_within_lists() {
        let text = r#"{"genre": "jazz", "length": 12, "tags": ["a", 2], "live": true, "caf\u00e9": 1, "none": null}"#;
        for (name, value, expected) in [
            ("genre", Value::from("jazz"), true),
            ("genre", Value::from("jaz"), false),
            ("jazz", Value::from("genre"), false),
            ("length", Value::from(12.0), true),
            ("length", Value::from("12"), false),
            ("tags", Value::from("a"), true),
            ("tags", Value::from(2), true),
            ("tags", Value::from(3), false),
            ("live", Value::from(true), true),
            ("café", Value::from(1), true),
            ("none", Value::from(0), false),
        ] {
            assert_eq!(attribute_is(text, name, &value), expected, "{name} {value}");
        }
        assert!(!attribute_is("not an object", "object", &Value::from(1)));
    }
}
