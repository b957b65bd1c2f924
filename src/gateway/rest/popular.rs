//! Popular items, over all users or one cluster: a feed for cold starts.
//!
//! Invariant: only available items, by descending score, then newest first, then by id. An item whose count stands is on
//! exactly one page, whatever is learned in between. Deliberately absent: personalization.

use std::cmp::Ordering;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::domain::ids::{ItemId, TopicId};
use crate::domain::items::Item;
use crate::domain::time::{DAY_MS, Millis};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::{LIMIT_DEFAULT, LIMIT_MAX};

use super::super::cursor::{self, CursorList};
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

/// `GET /v1/popular?cluster=&topic=&limit=&after=`: the most popular items, by a score that halves within a day; with
/// `cluster`, among the users of that cluster of the last fit.
///
/// # Errors
/// A refusal with the name of the parameter; `forbidden` for a user token that asks about a cluster, since a small one
/// would reveal its users.
pub async fn popular(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["cluster", "topic", "limit", "after"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)? as usize;
    if query.text("cluster").is_some() {
        request.subject().must_be_service()?;
    }
    let group = clusters::asked(&request, &query)?.map(|(group, _)| group);
    let (world, now) = (request.server().world(), request.server().clock().now());
    let unknown = |topic| Refusal::field(Code::OutOfRange, "topic", format!("no item has the topic {topic:?}"));
    let topic: Option<TopicId> =
        query.text("topic").map(|topic| world.find_topic(topic).ok_or_else(|| unknown(topic))).transpose()?;
    let list = CursorList::of("popular", "", &query, &["cluster", "topic"]);
    let after = list.read(&query)?.map(|[scores, created, id, at]| PopularPlace {
        score: f32::from_bits((scores >> 32) as u32),
        unseen: f32::from_bits(scores as u32),
        created: Millis(created as i64),
        id: ItemId(id as u32),
        at: Millis(at as i64),
    });
    let there = Arc::clone(&world);
    let (best, next) = request.scan(move || best(&there, group, topic, after, limit, now)).await?;
    let next = next.map(|PopularPlace { score, unseen, created, id, at }| {
        let scores = u64::from(score.to_bits()) << 32 | u64::from(unseen.to_bits());
        list.write([scores, created.0 as u64, id.0.into(), at.0 as u64])
    });
    let weighed = Arc::clone(&world);
    let weigh = move |(_, id): &(f32, ItemId)| weighed.item(*id).map_or(0, items::weight);
    let write = move |(score, id)| {
        serde_json::to_vec(&PopularItem { item: items::view(&world, world.item(id)?, now), score }).ok()
    };
    let mut beside = fields([("at", json!(now)), ("cluster", json!(group))]);
    beside.extend(cursor::next_field(next));
    listed(&request, "items", best.into_iter(), weigh, write, beside).await
}

/// The place of an item in the list, as of an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PopularPlace {
    score: f32,
    /// The score of an item without interactions. Learning moves the mean, which shifts all scores alike.
    unseen: f32,
    created: Millis,
    id: ItemId,
    at: Millis,
}

/// Rounding error of a score.
const SCORE_ERROR: f32 = 1e-4;

impl PopularPlace {
    /// The score that marks the place now. A score over that of an unseen item falls by at most ln 2 in a day unless it is
    /// interacted with: an item within these bounds stands, and its score is exact even among equals.
    fn score_now(&self, now: Millis, unseen: f32, score: Option<f32>) -> f32 {
        let days = now.since(self.at) as f32 / DAY_MS as f32;
        let expected = self.score - self.unseen + unseen;
        let stands = |score: &f32| {
            let rise = score - expected;
            rise <= SCORE_ERROR && rise >= -SCORE_ERROR - days * std::f32::consts::LN_2
        };
        score.filter(stands).unwrap_or(expected)
    }
}

/// The most popular available items behind a place, with their scores, and the last place if more follow.
fn best(
    world: &World,
    group: Option<u32>,
    topic: Option<TopicId>,
    after: Option<PopularPlace>,
    limit: usize,
    now: Millis,
) -> (Vec<(f32, ItemId)>, Option<PopularPlace>) {
    let cluster = group.and_then(|group| world.cluster_popularity().of(group));
    let score = |id: ItemId| {
        let overall = world.popularity().within_a_day(id);
        cluster.map_or(overall, |cluster| cluster.popularity(id, overall))
    };
    // No catalogue has an item of this number.
    let unseen = score(ItemId(u32::MAX));
    let open = world.open_at(now);
    let there = open.iter().filter_map(|id| world.item(ItemId(id))).filter(|item| item.is_available(now));
    let order = |a: (f32, Millis, ItemId), b: (f32, Millis, ItemId)| -> Ordering {
        b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2))
    };
    let of = |one: &(f32, &Item)| (one.0, one.1.created, one.1.id);
    let place = after.map(|after| {
        let known = world.item(after.id).map(|item| score(item.id));
        (after.score_now(now, unseen, known), after.created, after.id)
    });
    let mut all: Vec<(f32, &Item)> = there
        .filter(|item| topic.is_none_or(|topic| item.topics.contains(&topic)))
        .map(|item| (score(item.id), item))
        .filter(|one| place.is_none_or(|place| order(place, of(one)).is_lt()))
        .collect();
    let has_more = all.len() > limit;
    if has_more {
        all.select_nth_unstable_by(limit, |a, b| order(of(a), of(b)));
        all.truncate(limit);
    }
    all.sort_unstable_by(|a, b| order(of(a), of(b)));
    let last = all.last().filter(|_| has_more);
    let next =
        last.map(|(score, item)| PopularPlace { score: *score, unseen, created: item.created, id: item.id, at: now });
    (all.into_iter().map(|(score, item)| (score, item.id)).collect(), next)
}
