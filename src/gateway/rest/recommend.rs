//! Recommendations by request: for a known user, or session-based recommendation for an unknown one, with filters, exclusions, boosts and
//! weights of signals.
//!
//! Invariant: a request changes nothing. A user token recommends for its own user or for unknown ones. Deliberately absent:
//! pushing updates, which feeds of sockets have.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actix_web::web;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actors::server::{Boost, Factors, RankRequest, RecommendRequest, Recommended, Steering, Target};
use crate::domain::feeds::{Expert, Ranking};
use crate::domain::ids::{Epoch, ItemId, Key, ModelVersion};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::stated_time::{self, StatedTime};
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::WireItem;
use crate::protocol::{LIMIT_DEFAULT, LIMIT_MAX};

use super::super::body::{self, BoundedList};
use super::super::busy;
use super::super::checks;
use super::super::errors::HttpResult;
use super::super::event_ids;
use super::super::request::AuthedRequest;
use super::super::timestamps;
use super::list::found;

// Interactions of a session at most: each is learned before the ranking.
const ITEMS_MAX: usize = 100;
const EXCLUDED_MAX: usize = 1_000;
const BOOSTS_MAX: usize = 16;
// Factors of odds and of signals.
const FACTOR_MAX: f32 = 1_000.0;

/// The body of `POST /v1/recommend`. All fields are optional.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecommendInput {
    /// The user whose learned state ranks; an unknown user without it.
    user: Option<Key>,
    /// Interactions of the session, at most 100. They are learned for this answer only, after those of `user`.
    #[schemars(with = "Option<Vec<SessionItem>>", length(max = 100))]
    items: Option<BoundedList<SessionItem, ITEMS_MAX>>,
    /// Number of items in the answer, 1 to 100; 30 by default.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// The ranking; `model` by default.
    ranking: Option<Ranking>,
    /// Whether each item has `why`.
    explain: Option<bool>,
    /// Keys of items that are left out, at most 1,000. Unknown keys are ignored.
    #[schemars(with = "Option<Vec<Key>>", length(max = 1000))]
    exclude: Option<BoundedList<Key, EXCLUDED_MAX>>,
    /// Conditions that each item has to meet.
    filters: Option<FiltersInput>,
    /// Business boosts, at most 16. Needs the ranking `model` or `tower`.
    #[schemars(with = "Option<Vec<BoostInput>>", length(max = 16))]
    boosts: Option<BoundedList<BoostInput, BOOSTS_MAX>>,
    /// Factors of the experts' shares, 0 to 1,000; 1 by default. Needs the ranking `model`.
    signals: Option<BTreeMap<Expert, f32>>,
}

/// An interaction of a session: the key of an item alone stands for a click.
#[derive(Debug, PartialEq)]
struct SessionItem {
    item: Key,
    kind: Kind,
    dwell_ms: Option<u32>,
    at: Option<Millis>,
}

/// Conditions of `filters`, all of which an item has to meet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FiltersInput {
    /// A topic of the item, main or further.
    topic: Option<Key>,
    /// The author of the item.
    author: Option<Key>,
    /// An attribute of the item.
    attribute: Option<AttributeInput>,
    /// Earliest creation time, inclusive.
    #[serde(deserialize_with = "stated_time::optional")]
    #[schemars(with = "Option<StatedTime>")]
    created_after: Option<Millis>,
    /// Latest creation time, inclusive.
    #[serde(deserialize_with = "stated_time::optional")]
    #[schemars(with = "Option<StatedTime>")]
    created_before: Option<Millis>,
    /// Instant at which the item has to be available, now or later; now by default.
    #[serde(deserialize_with = "stated_time::optional")]
    #[schemars(with = "Option<StatedTime>")]
    available_at: Option<Millis>,
}

/// An attribute with a value: equal to the item's, or one of its list.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AttributeInput {
    /// The name in the item's `attributes`.
    name: String,
    /// A text, a number or a boolean.
    value: Value,
}

/// A boost of the items of one topic, author or attribute, or of one item: exactly one of them is given.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BoostInput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attribute: Option<AttributeInput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item: Option<Key>,
    /// Factor of the odds, 0.001 to 1,000: 2 doubles them.
    factor: f32,
}

/// The answer of `POST /v1/recommend`.
#[derive(Debug, Serialize)]
struct RecommendAnswer {
    /// The user whose state ranked; null for an unknown one.
    user: Option<Key>,
    epoch: Epoch,
    ranking: Ranking,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<ModelVersion>,
    items: Vec<RecommendedItem>,
}

/// One recommended item.
#[derive(Debug, Serialize)]
struct RecommendedItem {
    /// The item as in a feed; its score includes the boosts.
    #[serde(flatten)]
    item: WireItem,
    /// Parts of the score, which add up to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<Part>,
}

/// A part of a score: the share of an expert, or a boost.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Part {
    Expert {
        expert: Expert,
        amount: f32,
    },
    Boost {
        /// The boost as in the request.
        boost: BoostInput,
        /// The logarithm of its factor.
        amount: f32,
    },
}

impl JsonSchema for SessionItem {
    fn schema_name() -> Cow<'static, str> {
        "SessionItem".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<Key>();
        json_schema!({
            "description": "An interaction of a session. The key of an item alone stands for a click.",
            "anyOf": [key, {
                "type": "object",
                "properties": {
                    "item": key,
                    "kind": generator.subschema_for::<Option<Kind>>(),
                    "dwell_ms": generator.subschema_for::<Option<u32>>(),
                    "at": generator.subschema_for::<Option<StatedTime>>(),
                },
                "required": ["item"],
                "additionalProperties": false,
            }],
        })
    }
}

impl<'de> Deserialize<'de> for SessionItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            item: Key,
            #[serde(default)]
            kind: Option<Kind>,
            #[serde(default)]
            dwell_ms: Option<u32>,
            #[serde(default, deserialize_with = "stated_time::optional")]
            at: Option<Millis>,
        }
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = SessionItem;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the key of an item, or an interaction")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SessionItem, E> {
                let item = Key::new(text).map_err(E::custom)?;
                Ok(SessionItem { item, kind: Kind::Click, dwell_ms: None, at: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SessionItem, A::Error> {
                let Whole { item, kind, dwell_ms, at } = Whole::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SessionItem { item, kind: kind.unwrap_or(Kind::Click), dwell_ms, at })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// `POST /v1/recommend`: the best items for a user or a session, steered by the request.
///
/// # Errors
/// A refusal with the name of the field.
pub async fn recommend(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    let input: RecommendInput = body::json_or_nothing(request.incoming(), payload).await?;
    let ranking = input.ranking.unwrap_or_default();
    let user = input.user.clone().map(|key| request.named(key, "user")).transpose()?;
    let boosts = bounded(input.boosts, "boosts")?;
    let ask = RankRequest {
        ranking,
        limit: checks::limit(input.limit, LIMIT_DEFAULT, LIMIT_MAX)? as usize,
        explain: input.explain.unwrap_or(false),
    };
    let steering = Steering {
        excluded: excluded(&request, bounded(input.exclude, "exclude")?),
        boosts: checked_boosts(&request, &boosts, ranking)?,
        factors: factors(input.signals.unwrap_or_default(), ranking)?,
        ..filtered(&request, input.filters.unwrap_or_default())?
    };
    let interactions = interactions(&request, bounded(input.items, "items")?)?;
    let ask = RecommendRequest { user: user.as_ref().map(|user| user.id), interactions, ask, steering };
    let ranked = request.server().recommend(request.quota_user(), ask).await.map_err(busy::refusal)?;
    let Recommended { epoch, model, items } = ranked;
    let items = items.into_iter().map(|(item, own)| explained(item, &own, &boosts)).collect();
    found(&RecommendAnswer { user: user.map(|user| user.key), epoch, ranking, model_version: model, items })
}

fn explained(mut item: WireItem, own: &[(usize, f32)], boosts: &[BoostInput]) -> RecommendedItem {
    let experts = std::mem::take(&mut item.why);
    let is_explained = !experts.is_empty();
    let mut why: Vec<Part> =
        experts.into_iter().map(|one| Part::Expert { expert: one.expert, amount: one.amount }).collect();
    if is_explained {
        let boosts = own.iter().filter_map(|(place, amount)| Some((boosts.get(*place)?.clone(), *amount)));
        why.extend(boosts.map(|(boost, amount)| Part::Boost { boost, amount }));
    }
    RecommendedItem { item, why }
}

/// A list of at most `MOST` entries, which its reader bounds at one more; empty if it is absent.
fn bounded<T, const MOST: usize>(list: Option<BoundedList<T, MOST>>, field: &str) -> Result<Vec<T>, Refusal> {
    let list = list.map_or_else(Vec::new, |BoundedList(list)| list);
    if list.len() > MOST {
        return Err(Refusal::field(Code::OutOfRange, field, format!("must have at most {MOST} entries")));
    }
    Ok(list)
}

fn excluded(request: &AuthedRequest, keys: Vec<Key>) -> Vec<ItemId> {
    let world = request.server().world();
    keys.iter().filter_map(|key| world.find_item(key.as_str())).collect()
}

fn interactions(request: &AuthedRequest, items: Vec<SessionItem>) -> Result<Vec<Interaction>, Refusal> {
    let (world, now) = (request.server().world(), request.now());
    let one = |(place, one): (usize, SessionItem)| {
        let item = checks::item(&world, &one.item, &format!("items[{place}].item"))?;
        let at = checks::happened(one.at, now)
            .map_err(|refusal| Refusal { field: Some(format!("items[{place}].at")), ..refusal })?;
        let SessionItem { kind, dwell_ms, .. } = one;
        Ok(Interaction { id: event_ids::fresh(), item, kind, dwell_ms, at, shown: None, passed: Vec::new() })
    };
    items.into_iter().enumerate().map(one).collect()
}

fn filtered(request: &AuthedRequest, filters: FiltersInput) -> Result<Steering, Refusal> {
    let mut required = Vec::new();
    required.extend(filters.topic.map(|topic| topic_target(request, &topic)));
    required.extend(filters.author.map(|author| author_target(request, &author)));
    if let Some(attribute) = filters.attribute {
        required.push(attribute_target(attribute, "filters.attribute.value")?);
    }
    let time = |name: &str, at: Option<Millis>| at.map(|at| timestamps::in_range(name, at)).transpose();
    let available_at = time("filters.available_at", filters.available_at)?;
    if available_at.is_some_and(|at| at < request.now().plus(-checks::SLACK_MS)) {
        let message = "lies in the past: leave it out for now";
        return Err(Refusal::field(Code::OutOfRange, "filters.available_at", message));
    }
    Ok(Steering {
        required,
        created_after: time("filters.created_after", filters.created_after)?,
        created_before: time("filters.created_before", filters.created_before)?,
        available_at: available_at.map(|at| at.max(request.now())),
        ..Steering::default()
    })
}

/// A topic without items is a group without items.
fn topic_target(request: &AuthedRequest, topic: &Key) -> Target {
    request.server().world().find_topic(topic.as_str()).map_or(Target::Nothing, Target::Topic)
}

/// An unknown author has no items: a refusal would reveal which users exist.
fn author_target(request: &AuthedRequest, author: &Key) -> Target {
    request.server().people().find(author.as_str()).map_or(Target::Nothing, Target::Author)
}

fn attribute_target(attribute: AttributeInput, field: &str) -> Result<Target, Refusal> {
    match attribute.value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(Target::Attribute(attribute.name, attribute.value)),
        _ => Err(Refusal::field(Code::BadField, field, "must be a text, a number or a boolean")),
    }
}

fn checked_boosts(request: &AuthedRequest, boosts: &[BoostInput], ranking: Ranking) -> Result<Vec<Boost>, Refusal> {
    if !boosts.is_empty() && !ranking.is_log_odds() {
        let message = format!("the ranking {} has no odds: use model or tower, or leave boosts out", ranking.name());
        return Err(Refusal::field(Code::BadField, "boosts", message));
    }
    let one = |(place, one): (usize, &BoostInput)| {
        let field = |name: &str| format!("boosts[{place}]{name}");
        if !(1.0 / FACTOR_MAX..=FACTOR_MAX).contains(&one.factor) {
            let message = format!("must be 0.001 to {FACTOR_MAX}, is {}", one.factor);
            return Err(Refusal::field(Code::OutOfRange, field(".factor"), message));
        }
        let world = request.server().world();
        let item = |key: &Key| world.find_item(key.as_str()).map_or(Target::Nothing, Target::Item);
        let target = match (&one.topic, &one.author, &one.attribute, &one.item) {
            (Some(topic), None, None, None) => topic_target(request, topic),
            (None, Some(author), None, None) => author_target(request, author),
            (None, None, Some(attribute), None) => attribute_target(attribute.clone(), &field(".attribute.value"))?,
            (None, None, None, Some(key)) => item(key),
            _ => {
                let message = "give exactly one of topic, author, attribute, item";
                return Err(Refusal::field(Code::BadField, field(""), message));
            }
        };
        Ok(Boost { target, log_odds: one.factor.ln() })
    };
    boosts.iter().enumerate().map(one).collect()
}

fn factors(signals: BTreeMap<Expert, f32>, ranking: Ranking) -> Result<Factors, Refusal> {
    if !signals.is_empty() && ranking != Ranking::Model {
        let message = format!("the ranking {} has no experts: use model, or leave signals out", ranking.name());
        return Err(Refusal::field(Code::BadField, "signals", message));
    }
    let mut factors = Steering::default().factors;
    for (expert, factor) in signals {
        if !(0.0..=FACTOR_MAX).contains(&factor) {
            let message = format!("must be 0 to {FACTOR_MAX}, is {factor}");
            return Err(Refusal::field(Code::OutOfRange, format!("signals.{}", expert.name()), message));
        }
        factors[expert as usize] = factor;
    }
    Ok(factors)
}
