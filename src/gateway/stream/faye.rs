//! `POST /faye`: the Bayeux messages of clients that subscribe to feeds.
//!
//! Invariant: a subscription needs the key of an app and a token that may read the feed. A held request ends before the time that
//! the client was given. Deliberately absent: messages from clients to clients.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::domain::activities::FeedName;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::apps::{StreamApp, StreamApps};
use super::super::body::{self, IncomingBody};
use super::super::rates;
use super::super::state::GatewayState;
use super::caller::Caller;
use super::common::user_may_read;
use super::reply::{StreamError, StreamResult};

/// The time after which a client asks again by itself.
const TIMEOUT_MS: u64 = 45_000;
/// The longest time for which a request is held.
const HELD: Duration = Duration::from_secs(30);
/// Messages of one request at most.
const MESSAGES_MAX: usize = 100;

/// `POST /faye`: a list of messages, answered by a list.
///
/// # Errors
/// The body is no list of messages.
pub async fn post(request: HttpRequest, payload: web::Payload) -> StreamResult {
    let state = request.app_data::<web::Data<GatewayState>>().cloned();
    let state = state.ok_or_else(|| StreamError::from(Refusal::new(Code::Internal, "the server is not set up")))?;
    let holder = state.budgets.holder(None, rates::address_of(&request));
    let incoming = IncomingBody { headers: request.headers(), budgets: &state.budgets, holder };
    let body = body::any(incoming, payload, body::BODY_BYTES_MAX).await?;
    let messages = match body::parse::<Value>(&body)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    drop(body);
    if messages.len() > MESSAGES_MAX {
        return Err(StreamError::field("body", format!("must have at most {MESSAGES_MAX} messages")));
    }
    let mut answers = Vec::new();
    let is_connect = |message: &&Value| message["channel"] == "/meta/connect";
    let (held, others): (Vec<&Value>, Vec<&Value>) = messages.iter().partition(is_connect);
    for message in others.into_iter().chain(held) {
        answers.extend(answer(&state.apps, message).await);
    }
    Ok(HttpResponse::Ok().json(answers))
}

/// The app that knows a client.
fn app_of<'a>(apps: &'a StreamApps, client: &str) -> Option<&'a Arc<StreamApp>> {
    apps.values().find(|app| app.hub.knows(client))
}

async fn answer(apps: &StreamApps, message: &Value) -> Vec<Value> {
    let channel = message["channel"].as_str().unwrap_or_default();
    let client = message["clientId"].as_str().unwrap_or_default();
    let mut reply = json!({ "channel": channel, "id": message["id"], "clientId": client, "successful": true });
    if channel == "/meta/handshake" {
        // The app is known by the first subscription; until then any app keeps the client.
        let joined = apps.values().next().and_then(|app| app.hub.join());
        reply["version"] = "1.0".into();
        reply["supportedConnectionTypes"] = json!(["long-polling"]);
        reply["advice"] = json!({ "reconnect": "retry", "interval": 0, "timeout": TIMEOUT_MS });
        match joined {
            Some(id) => reply["clientId"] = id.into(),
            None => {
                reply["successful"] = false.into();
                reply["error"] = "503::Too many clients".into();
            }
        }
        return vec![reply];
    }
    let Some(home) = app_of(apps, client) else {
        reply["successful"] = false.into();
        reply["error"] = format!("401:{client}:Unknown client").into();
        reply["advice"] = json!({ "reconnect": "handshake", "interval": 0, "timeout": TIMEOUT_MS });
        return vec![reply];
    };
    match channel {
        "/meta/connect" => {
            reply["advice"] = json!({ "reconnect": "retry", "interval": 0, "timeout": TIMEOUT_MS });
            // A client that sends other messages with this one wants no wait.
            let wanted = message["advice"]["timeout"].as_u64().map_or(HELD, Duration::from_millis);
            let mut answers = home.hub.take(client, wanted.min(HELD)).await;
            answers.insert(0, reply);
            answers
        }
        "/meta/disconnect" => {
            home.hub.leave(client);
            vec![reply]
        }
        "/meta/subscribe" => {
            let name = message["subscription"].as_str().unwrap_or_default();
            reply["subscription"] = name.into();
            let subscribed = readable(apps, name, &message["ext"])
                .is_some_and(|(app, feeds)| app.hub.adopt(client, &home.hub) && app.hub.subscribe(client, name, feeds));
            if !subscribed {
                reply["successful"] = false.into();
                reply["error"] = format!("403:{name}:Forbidden channel").into();
            }
            vec![reply]
        }
        "/meta/unsubscribe" => {
            let name = message["subscription"].as_str().unwrap_or_default();
            home.hub.unsubscribe(client, name);
            reply["subscription"] = name.into();
            vec![reply]
        }
        _ => {
            reply["successful"] = false.into();
            reply["error"] = format!("403:{channel}:Forbidden channel").into();
            vec![reply]
        }
    }
}

/// The app of a channel, and the feeds that its name may mean, if the token in `ext` may read all of them.
fn readable<'a>(apps: &'a StreamApps, name: &str, ext: &Value) -> Option<(&'a Arc<StreamApp>, Vec<FeedName>)> {
    let app = apps.get(ext["api_key"].as_str()?)?;
    let joined = name.strip_prefix(&format!("/site-{}-feed-", app.channel_id()))?;
    let caller = app.caller(ext["signature"].as_str()?).ok()?;
    let feeds: Vec<FeedName> = joined
        .char_indices()
        .filter(|(at, _)| app.settings.group(&joined[..*at]).is_some())
        .filter_map(|(at, _)| FeedName::new(&joined[..at], &joined[at..]).ok())
        .collect();
    let may_read = |feed: &FeedName| match &caller {
        Caller::User(user) => user_may_read(user, feed),
        scope @ Caller::Scope { .. } => scope.covers("feed", "read", Some(feed)),
    };
    (!feeds.is_empty() && feeds.iter().all(may_read)).then_some((app, feeds))
}
