//! Engagements and impressions, which are interactions, and links that record them.
//!
//! Invariant: an event counts for the post that it names, for its user. Events of unknown labels, or about content that is no
//! item, are left out and counted. A link redirects only after its token was checked.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::domain::activities::Micros;
use crate::domain::interactions::Kind;
use crate::domain::time::Millis;

use super::super::apps::StreamApp;
use super::super::event_ids;
use super::caller::StreamRequest;
use super::common::must_be_short;
use super::posts;
use super::reply::{StreamError, StreamResult};

/// Events of one request at most.
const EVENTS_MAX: usize = 1_000;

/// The id of a content or a user: a text, or an object with an id.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(_) => ["id", "foreign_id"].iter().find_map(|name| id(&value[*name])),
        _ => None,
    }
}

/// The content without the prefix that names its kind, as in `SA:` or `tweet:`.
fn content(app: &StreamApp, value: &Value) -> Option<String> {
    let text = id(value)?;
    let world = app.server.world();
    let bare = text.rsplit_once(':').map_or(text.as_str(), |(_, bare)| bare);
    [text.as_str(), bare].into_iter().find(|key| world.find_item(key).is_some()).map(str::to_owned)
}

fn at(event: &Value) -> Millis {
    event["tracked_at"].as_str().and_then(Micros::parse).map_or(Millis::ON_ARRIVAL, Micros::millis)
}

async fn learn(
    request: &StreamRequest,
    user: &Value,
    named: &Value,
    kind: Option<Kind>,
    at: Millis,
) -> Result<(), StreamError> {
    let app = &request.app;
    let user = id(user).or_else(|| request.caller.user().map(str::to_owned));
    let known = kind.zip(content(app, named)).zip(user);
    let Some(((kind, content), user)) = known else {
        app.unknown_labels.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        return Ok(());
    };
    if request.caller.user().is_some_and(|own| own != user) {
        return Err(StreamError::not_allowed());
    }
    let event = event_ids::fresh();
    posts::interact(app, event.as_str(), &user, &content, kind, at.min(app.server.clock().now())).await.map(drop)
}

async fn engagement(request: &StreamRequest, event: &Value) -> Result<(), StreamError> {
    let kind = event["label"].as_str().and_then(|label| request.app.settings.kind(label));
    let content = if event["content"].is_null() { &event["foreign_id"] } else { &event["content"] };
    let user = if event["user_data"].is_null() { &event["user_id"] } else { &event["user_data"] };
    learn(request, user, content, kind, at(event)).await
}

async fn impression(request: &StreamRequest, event: &Value) -> Result<(), StreamError> {
    let list = if event["content_list"].is_null() { &event["foreign_ids"] } else { &event["content_list"] };
    let list = list.as_array().ok_or_else(|| StreamError::field("content_list", "must be a list"))?;
    must_be_short("content_list", list.len(), EVENTS_MAX)?;
    let user = if event["user_data"].is_null() { &event["user_id"] } else { &event["user_data"] };
    for content in list {
        learn(request, user, content, Some(Kind::View), at(event)).await?;
    }
    Ok(())
}

/// `POST engagement`: records what users did with contents.
///
/// # Errors
/// The body is wrong, or the token has no right.
pub async fn engagements(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("analytics", "write", None, |_| true)?;
    let body = request.object(payload).await?;
    let list = body.get("content_list").and_then(Value::as_array);
    let list = list.ok_or_else(|| StreamError::field("content_list", "must be a list"))?;
    must_be_short("content_list", list.len(), EVENTS_MAX)?;
    for event in list {
        if event["label"].as_str().is_none_or(str::is_empty) {
            return Err(StreamError::field("label", "this field is required"));
        }
    }
    for event in list {
        engagement(&request, event).await?;
    }
    request.made(json!({}))
}

/// `POST impression`: records which contents users saw.
///
/// # Errors
/// The body is wrong, or the token has no right.
pub async fn impressions(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("analytics", "write", None, |_| true)?;
    let list = match request.json(payload).await? {
        Value::Array(list) => list,
        one => vec![one],
    };
    must_be_short("the list", list.len(), EVENTS_MAX)?;
    for event in &list {
        impression(&request, event).await?;
    }
    request.made(json!({}))
}

/// `GET redirect`: records the events of a link in a mail, and redirects to its `url`.
///
/// # Errors
/// The token has no right, or the address is no http address.
pub async fn redirect(request: StreamRequest) -> StreamResult {
    request.require("redirect_and_track", "write", None, |_| false)?;
    let url = request.param("url").unwrap_or_default().to_owned();
    let is_web = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_web || url.chars().any(char::is_control) {
        return Err(StreamError::field("url", "must be an http or https address"));
    }
    let events: Value = serde_json::from_str(request.param("events").unwrap_or("[]"))
        .map_err(|_| StreamError::field("events", "must be a JSON list"))?;
    let events = events.as_array().cloned().unwrap_or_default();
    must_be_short("events", events.len(), EVENTS_MAX)?;
    for event in &events {
        match event["label"].is_null() {
            true => impression(&request, event).await?,
            false => engagement(&request, event).await?,
        }
    }
    Ok(HttpResponse::Found().insert_header((header::LOCATION, url)).json(json!({ "duration": "0.00ms" })))
}
