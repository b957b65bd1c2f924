//! Personalised feeds and recommendations of people to follow.
//!
//! Invariant: the server's recommender answers; nothing is stored but accepted and rejected recommendations, which are interactions.

use actix_web::web;
use serde_json::{Value, json};

use crate::actors::audience::AlikeBy;
use crate::actors::server::{RankRequest, RecommendRequest, Steering};
use crate::domain::activities::FeedName;
use crate::domain::feeds::Ranking;
use crate::domain::ids::UserId;
use crate::domain::interactions::Kind;
use crate::domain::time::Millis;
use crate::store::activities::Side;

use super::super::event_ids;
use super::activity::{Fields, fields_of};
use super::caller::StreamRequest;
use super::common::{PAGE, PAGE_MAX};
use super::reply::{Fault, StreamError, StreamResult};
use super::{enrich, posts};

/// Items of one personalised feed at most, over all pages.
const RANKED_MAX: usize = 100;

/// The user of the request.
fn user(request: &StreamRequest) -> Result<String, StreamError> {
    let named = request.param("user_id").map(str::to_owned);
    if let (Some(own), Some(named)) = (request.caller.user(), &named)
        && own != named
    {
        return Err(StreamError::not_allowed());
    }
    let user = request.caller.user().map(str::to_owned).or(named);
    user.ok_or_else(|| StreamError::field("user_id", "this field is required"))
}

/// `GET enrich/personalization/feed`: the activities that suit a user best.
///
/// # Errors
/// No user is named, or the server is busy.
pub async fn feed(request: StreamRequest) -> StreamResult {
    request.require("personalization", "read", None, |_| true)?;
    personalised(&request).await
}

async fn personalised(request: &StreamRequest) -> StreamResult {
    let user = user(request)?;
    let limit = request.number("limit", PAGE, PAGE_MAX)?.max(1);
    let offset = request.number("offset", 0, RANKED_MAX)?;
    let app = &request.app;
    let ask = RecommendRequest {
        user: app.server.people().find(&user),
        interactions: Vec::new(),
        ask: RankRequest { ranking: Ranking::Model, limit: RANKED_MAX, explain: false },
        steering: Steering::default(),
    };
    let ranked = app.server.recommend(None, ask).await?;
    let ids: Vec<String> = ranked.items.iter().map(|(item, _)| item.item.as_str().to_owned()).collect();
    // Items that did not come as activities have no form here.
    let rows = app.reads().activities(&ids).await?;
    let all: Vec<Fields> = rows.into_iter().flatten().map(|row| fields_of(&row)).collect();
    let more = all.len() > offset + limit;
    let mut page: Vec<Fields> = all.into_iter().skip(offset).take(limit).collect();
    enrich::activities(request, &enrich::Switches::read(request)?, &mut page).await?;
    let next = match more {
        true => format!("?limit={limit}&offset={}", offset + limit),
        false => String::new(),
    };
    request.found(json!({ "results": page, "next": next, "limit": limit, "offset": offset, "version": "model" }))
}

/// `GET {resource}` of personalization: `personalized_feed`, `discovery_feed` or `follow_recommendations`.
///
/// # Errors
/// The resource is unknown, or no user is named.
pub async fn get(request: StreamRequest) -> StreamResult {
    request.require("personalization", "read", None, |_| true)?;
    match request.segment("resource")?.as_str() {
        "personalized_feed" | "discovery_feed" | "feed" => personalised(&request).await,
        "follow_recommendations" => people(&request).await,
        other => Err(StreamError::not_found(&format!("the resource {other}"))),
    }
}

/// People who resemble a user and whom the user does not follow.
async fn people(request: &StreamRequest) -> StreamResult {
    let user = user(request)?;
    let limit = request.number("limit", PAGE, PAGE_MAX)?.max(1);
    let offset = request.number("offset", 0, RANKED_MAX)?;
    let app = &request.app;
    let people = app.server.people();
    let mut results: Vec<Value> = Vec::new();
    if let Some(id) = people.find(&user) {
        let mut known: Vec<UserId> = app.server.follows(id).await?;
        known.push(id);
        if let Ok(timeline) = FeedName::new("timeline", &user) {
            let follows = app.reads().follows(&timeline, Side::Following, 1_000, 0).await?;
            known.extend(follows.iter().filter_map(|one| people.find(one.target.split_once(':')?.1)));
        }
        let similar = app.server.similar_people(id, AlikeBy::Both, 2 * RANKED_MAX).await?;
        let others = similar.people.into_iter().filter(|(user, ..)| !known.contains(user));
        results.extend(others.filter_map(|(user, score, _)| {
            let key = people.get(user)?.key.clone();
            Some(json!({ "user_id": key, "feed_id": format!("user:{key}"), "score": score }))
        }));
    }
    let more = results.len() > offset + limit;
    let page: Vec<Value> = results.into_iter().skip(offset).take(limit).collect();
    let next = match more {
        true => format!("?limit={limit}&offset={}", offset + limit),
        false => String::new(),
    };
    request.found(json!({ "results": page, "next": next, "limit": limit, "offset": offset, "version": "model" }))
}

/// `POST {resource}` of personalization: `accepted` and `rejected` posts of a user are learned.
///
/// # Errors
/// No user is named, or the server is busy.
pub async fn post(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("personalization", "write", None, |_| true)?;
    let body = request.object(payload).await?;
    let named = body.get("user_id").and_then(Value::as_str).map(str::to_owned);
    let user = match (request.caller.user(), named) {
        (Some(own), Some(named)) if own != named => return Err(StreamError::not_allowed()),
        (None, Some(named)) => named,
        _ => user(&request)?,
    };
    for (name, kind) in [("accepted", Kind::Accept), ("rejected", Kind::Reject)] {
        let in_body = body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let ids = in_body.iter().filter_map(|one| one.as_str().map(str::to_owned)).chain(request.list(name));
        for id in ids.take(RANKED_MAX) {
            let event = event_ids::fresh();
            posts::interact(&request.app, event.as_str(), &user, &id, kind, Millis::ON_ARRIVAL).await?;
        }
    }
    request.made(json!({}))
}

/// `DELETE {resource}` of personalization: nothing is stored there, so there is nothing to delete.
///
/// # Errors
/// The token has no right.
pub async fn delete(request: StreamRequest) -> StreamResult {
    request.require("personalization", "delete", None, |_| false)?;
    request.found(json!({}))
}

/// `GET og`: off, since it would fetch an address that a client names.
///
/// # Errors
/// Always.
pub async fn og(request: StreamRequest) -> StreamResult {
    request.require("og", "read", None, |_| true)?;
    Err(StreamError::new(Fault::Input, "og is off: this server fetches no address that a client names"))
}
