//! Items that resemble an item, users who resemble a user, and the topics of the catalogue.
//!
//! Invariant: available items only, which every token may read. Only services compare users.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::actors::audience::{ASKED_MAX, AlikeBy, Likeness, SimilarPeople};
use crate::actors::server::{Similar, SimilarBy, similar_items};
use crate::domain::ids::{ItemId, Key, TopicId, UserId};
use crate::domain::time::Millis;
use crate::engine::world::World;
use crate::protocol::{LIMIT_DEFAULT, LIMIT_MAX};

use super::super::cursor::{self, CursorList, RankedPlace};
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::items;
use super::list::{LIST_DEFAULT, LIST_MAX, fields, found, listed};

/// Most items in all pages of a list of similar items, the number that the fusion of both measures reads of each.
const SIMILAR_MAX: usize = 200;

#[derive(Serialize, JsonSchema)]
pub(crate) struct SimilarItem<'a> {
    #[serde(flatten)]
    item: items::ItemView<'a>,
    score: f32,
    visits: Option<f32>,
    embedding: Option<f32>,
}

/// The answer of `GET /v1/users/{id}/similar`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SimilarPeopleAnswer {
    user: Key,
    by: &'static str,
    /// Users with a score above 0, best first.
    people: Vec<SimilarPerson>,
    /// The number of active users.
    active: usize,
    /// The number of users who were compared in time.
    compared: usize,
    /// The `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A user who resembles another one.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SimilarPerson {
    user: Key,
    /// The cosine, or the mean of both, by which the list is ordered.
    score: f32,
    /// Cosine of the damped visit counts, 0 to 1.
    visits: f32,
    /// Cosine of the topic weights, 0 to 1.
    topics: f32,
}

/// `GET /v1/items/{id}/similar?by=&limit=&after=`: the most similar available items, best first.
///
/// # Errors
/// `unknown_item`, or a refusal with the name of the parameter.
pub async fn similar(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["by", "limit", "after"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)? as usize;
    let (by, name) = match query.one_of("by", &["visits", "embedding", "both"])? {
        Some("visits") => (SimilarBy::Visits, "visits"),
        Some("embedding") => (SimilarBy::Embedding, "embedding"),
        _ => (SimilarBy::Both, "both"),
    };
    let (world, now) = (request.server().world(), request.server().clock().now());
    let id = request.item("id")?;
    let key = items::known(&world, id)?.key.clone();
    let list = CursorList::new("similar items", &[key.as_str(), name]);
    let after = RankedPlace::read(list, &query)?;
    let depth = if after.is_some() { SIMILAR_MAX } else { limit + 1 };
    let there = Arc::clone(&world);
    let mut best = request.scan(move || similar_items(&there, id, by, depth, now)).await?;
    let place = |one: &Similar| RankedPlace::new(one.score, one.item.0);
    if let Some(after) = after {
        after.keep_behind(&mut best, place);
    }
    let next = cursor::cut(&mut best, limit, |one| place(one).write(list));
    let weighed = Arc::clone(&world);
    let weigh = move |one: &Similar| weighed.item(one.item).map_or(0, items::weight);
    let write = move |Similar { item, score, visits, embedding }: Similar| {
        let item = items::view(&world, world.item(item)?, now);
        serde_json::to_vec(&SimilarItem { item, score, visits, embedding }).ok()
    };
    let mut beside = fields([("item", json!(key)), ("by", json!(name))]);
    beside.extend(cursor::next_field(next));
    listed(&request, "items", best.into_iter(), weigh, write, beside).await
}

/// `GET /v1/users/{id}/similar?by=&limit=&after=`: the active users who resemble the user most, best first.
///
/// # Errors
/// `forbidden` for a user token, `unknown_user`, busy, or a refusal with the name of the parameter.
pub async fn similar_people(request: AuthedRequest) -> HttpResult {
    // The answer reveals what others visit.
    request.subject().must_be_service()?;
    let query = request.query(&["by", "limit", "after"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)? as usize;
    let (by, name) = match query.one_of("by", &["visits", "topics", "both"])? {
        Some("visits") => (AlikeBy::Visits, "visits"),
        Some("topics") => (AlikeBy::Topics, "topics"),
        _ => (AlikeBy::Both, "both"),
    };
    let who = request.person()?;
    let list = CursorList::new("similar users", &[who.key.as_str(), name]);
    let after = RankedPlace::read(list, &query)?;
    let depth = if after.is_some() { ASKED_MAX } else { limit + 1 };
    let SimilarPeople { mut people, active, compared } = request.server().similar_people(who.id, by, depth).await?;
    let place = |(user, score, _): &(UserId, f32, Likeness)| RankedPlace::new(*score, user.0);
    if let Some(after) = after {
        after.keep_behind(&mut people, place);
    }
    let next = cursor::cut(&mut people, limit, |one| place(one).write(list));
    let one = |(user, score, likeness): (UserId, f32, Likeness)| {
        let user = request.server().people().get(user)?.key.clone();
        Some(SimilarPerson { user, score, visits: likeness.visits, topics: likeness.topics })
    };
    let people = people.into_iter().filter_map(one).collect();
    found(&SimilarPeopleAnswer { user: who.key, by: name, people, active, compared, next })
}

/// `GET /v1/topics?limit=&after=`: topics by key, with the number of their items.
///
/// # Errors
/// A refusal with the name of the parameter.
pub async fn topics(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["limit", "after"])?;
    let (limit, after) = (query.limit(LIST_DEFAULT, LIST_MAX)? as usize, query.key("after")?);
    let (world, now) = (request.server().world(), request.server().clock().now());
    let mut all = request.scan(move || counted(&world, now)).await?;
    all.retain(|(key, ..)| after.as_ref().is_none_or(|after| key > after));
    let next = (all.len() > limit).then(|| all[limit - 1].0.clone());
    all.truncate(limit);
    let one = |(key, [all, available]): (Key, [u64; 2])| json!({"topic": key, "id": key, "items": all, "available": available});
    found(&json!({"topics": all.into_iter().map(one).collect::<Vec<Value>>(), "next": next}))
}

/// All topics by key, each with the number of its items, and of those available.
fn counted(world: &World, now: Millis) -> Vec<(Key, [u64; 2])> {
    let mut counts = vec![[0_u64; 2]; world.topics_len() as usize];
    for item in (0..world.len()).filter_map(|id| world.item(ItemId(id))).filter(|item| !item.deleted) {
        for topic in item.topics.iter() {
            if let Some([all, available]) = counts.get_mut(topic.0 as usize) {
                *all += 1;
                *available += u64::from(item.is_available(now));
            }
        }
    }
    let named = counts.into_iter().enumerate();
    let mut named: Vec<(Key, [u64; 2])> =
        named.filter_map(|(id, counts)| Some((world.topic(TopicId(id as u32))?.clone(), counts))).collect();
    named.retain(|(_, [all, _])| *all > 0);
    named.sort_unstable();
    named
}
