//! Text search over the catalogue.
//!
//! Invariant: no removed item, and each item by the words of its newest text. Every token may search, as it may read the
//! catalogue. Deliberately absent: personalization; the order depends on the texts alone.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::actors::server::{SearchRequest, Target};
use crate::domain::ids::TopicId;
use crate::domain::search::{QUERY_CHARS_MAX, RANKED_MAX, SearchHit, TextQuery};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::{LIMIT_DEFAULT, LIMIT_MAX};

use super::super::busy;
use super::super::checks;
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::items;
use super::list::{fields, listed};

/// An item of the answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct FoundItem<'a> {
    /// The item as in `GET /v1/items/{id}`.
    #[serde(flatten)]
    item: items::ItemView<'a>,
    /// Relevance for this query, higher is better; its scale depends on the store.
    score: f64,
}

/// `GET /v1/search?q=&topic=&author=&available=&limit=&after=`: items by the relevance of their texts; `next` is the `after`
/// of the next page.
///
/// # Errors
/// A refusal with the name of the parameter.
pub async fn search(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["q", "topic", "author", "available", "limit", "after"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let skip = checks::at_most("after", query.number("after")?.unwrap_or(0), RANKED_MAX)?;
    let text = query.text("q").ok_or_else(|| Refusal::field(Code::BadField, "q", "missing: name the words to find"))?;
    let chars = text.chars().count();
    if chars > QUERY_CHARS_MAX {
        let message = format!("must have at most {QUERY_CHARS_MAX} characters, has {chars}");
        return Err(Refusal::field(Code::OutOfRange, "q", message).into());
    }
    let is_available = query.flag("available")?;
    let (world, now) = (request.server().world(), request.server().clock().now());
    let unknown = |topic| Refusal::field(Code::OutOfRange, "topic", format!("no item has the topic {topic:?}"));
    let topic: Option<TopicId> =
        query.text("topic").map(|topic| world.find_topic(topic).ok_or_else(|| unknown(topic))).transpose()?;
    // An unknown author has no items: a refusal would reveal which users exist.
    let named = query.key("author")?;
    let author = named.as_ref().and_then(|key| request.server().people().find(key.as_str()));
    let (mut hits, mut next) = (Vec::new(), None);
    if let Some(query) = TextQuery::parse(text).filter(|_| named.is_some() == author.is_some()) {
        let more = limit.min(RANKED_MAX - skip) + 1;
        let required = topic.map(Target::Topic).into_iter().chain(author.map(Target::Author)).collect();
        let search = SearchRequest { query, required, available_at: is_available.then_some(now), skip, limit: more };
        hits = request.server().search(request.quota_user(), search).await.map_err(busy::refusal)?;
        if hits.len() >= more as usize {
            hits.truncate(more as usize - 1);
            next = Some(skip + limit).filter(|next| *next < RANKED_MAX);
        }
    }
    // The world of after the search: a removal that is durable by now is known here.
    let world = request.server().world();
    let weighed = Arc::clone(&world);
    let weigh = move |hit: &SearchHit| weighed.item(hit.item).map_or(0, items::weight);
    let write = move |SearchHit { item, score }: SearchHit| {
        let item = world.item(item).filter(|item| !item.deleted && (!is_available || item.is_available(now)))?;
        serde_json::to_vec(&FoundItem { item: items::view(&world, item, now), score }).ok()
    };
    listed(&request, "items", hits.into_iter(), weigh, write, fields([("next", json!(next))])).await
}
