//! Items that resemble an item, and the topics of the catalogue.
//!
//! Invariant: available items only. Every token may ask, as it may read the catalogue.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::actors::server::{Similar, SimilarBy, similar_items};
use crate::domain::ids::{ItemId, Key, TopicId};
use crate::domain::time::Millis;
use crate::engine::world::World;
use crate::protocol::{LIMIT_DEFAULT, LIMIT_MAX};

use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::items;
use super::list::{LIST_DEFAULT, LIST_MAX, fields, found, listed};

#[derive(Serialize)]
struct SimilarItem<'a> {
    #[serde(flatten)]
    item: items::ItemView<'a>,
    score: f32,
    visits: Option<f32>,
    embedding: Option<f32>,
}

/// `GET /v1/items/{id}/similar?by=&limit=`: the most similar available items, best first.
///
/// # Errors
/// `unknown_item`, or a refusal with the name of the parameter.
pub async fn similar(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["by", "limit"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)? as usize;
    let (by, name) = match query.one_of("by", &["visits", "embedding", "both"])? {
        Some("visits") => (SimilarBy::Visits, "visits"),
        Some("embedding") => (SimilarBy::Embedding, "embedding"),
        _ => (SimilarBy::Both, "both"),
    };
    let (world, now) = (request.server().world(), request.server().clock().now());
    let id = request.item("id")?;
    let key = items::known(&world, id)?.key.clone();
    let there = Arc::clone(&world);
    let best = request.scan(move || similar_items(&there, id, by, limit, now)).await?;
    let weighed = Arc::clone(&world);
    let weigh = move |one: &Similar| weighed.item(one.item).map_or(0, items::weight);
    let write = move |Similar { item, score, visits, embedding }: Similar| {
        let item = items::view(&world, world.item(item)?, now);
        serde_json::to_vec(&SimilarItem { item, score, visits, embedding }).ok()
    };
    listed(&request, "items", best.into_iter(), weigh, write, fields([("item", json!(key)), ("by", json!(name))])).await
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
    let one = |(key, [all, available]): (Key, [u64; 2])| json!({"id": key, "items": all, "available": available});
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
