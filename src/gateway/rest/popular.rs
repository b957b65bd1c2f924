//! Popular items, over all users or one cluster: a feed for cold starts.
//!
//! Invariant: only available items, by descending score, then newest first, then by id. Deliberately absent:
//! personalization.

use std::cmp::Ordering;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::domain::ids::{ItemId, TopicId};
use crate::domain::items::Item;
use crate::domain::time::Millis;
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::{LIMIT_DEFAULT, LIMIT_MAX};

use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::{fields, listed};
use super::{clusters, items};

#[derive(Serialize, JsonSchema)]
pub(crate) struct PopularItem<'a> {
    #[serde(flatten)]
    item: items::ItemView<'a>,
    score: f32,
}

/// `GET /v1/popular?cluster=&topic=&limit=`: the most popular items, by a score that halves within a day; with
/// `cluster`, among the users of that cluster of the last fit.
///
/// # Errors
/// A refusal with the name of the parameter; `forbidden` for a user token that asks about a cluster, since a small one
/// would reveal its users.
pub async fn popular(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["cluster", "topic", "limit"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)? as usize;
    if query.text("cluster").is_some() {
        request.subject().must_be_service()?;
    }
    let group = clusters::asked(&request, &query)?.map(|(group, _)| group);
    let (world, now) = (request.server().world(), request.server().clock().now());
    let unknown = |topic| Refusal::field(Code::OutOfRange, "topic", format!("no item has the topic {topic:?}"));
    let topic: Option<TopicId> =
        query.text("topic").map(|topic| world.find_topic(topic).ok_or_else(|| unknown(topic))).transpose()?;
    let there = Arc::clone(&world);
    let best = request.scan(move || best(&there, group, topic, limit, now)).await?;
    let weighed = Arc::clone(&world);
    let weigh = move |(_, id): &(f32, ItemId)| weighed.item(*id).map_or(0, items::weight);
    let write = move |(score, id)| {
        serde_json::to_vec(&PopularItem { item: items::view(&world, world.item(id)?, now), score }).ok()
    };
    let beside = fields([("at", json!(now)), ("cluster", json!(group))]);
    listed(&request, "items", best.into_iter(), weigh, write, beside).await
}

/// The most popular available items, with their scores.
fn best(world: &World, group: Option<u32>, topic: Option<TopicId>, limit: usize, now: Millis) -> Vec<(f32, ItemId)> {
    let cluster = group.and_then(|group| world.cluster_popularity().of(group));
    let score = |id: ItemId| {
        let overall = world.popularity().within_a_day(id);
        cluster.map_or(overall, |cluster| cluster.popularity(id, overall))
    };
    let open = world.open_at(now);
    let there = open.iter().filter_map(|id| world.item(ItemId(id))).filter(|item| item.is_available(now));
    let mut all: Vec<(f32, &Item)> = there
        .filter(|item| topic.is_none_or(|topic| item.topics.contains(&topic)))
        .map(|item| (score(item.id), item))
        .collect();
    let order = |a: &(f32, &Item), b: &(f32, &Item)| -> Ordering {
        b.0.total_cmp(&a.0).then(b.1.created.cmp(&a.1.created)).then(a.1.id.cmp(&b.1.id))
    };
    if all.len() > limit {
        all.select_nth_unstable_by(limit, order);
        all.truncate(limit);
    }
    all.sort_unstable_by(order);
    all.into_iter().map(|(score, item)| (score, item.id)).collect()
}
