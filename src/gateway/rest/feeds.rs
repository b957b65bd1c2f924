//! Feeds of a user, now and as of an instant.
//!
//! Invariant: the feed equals the one that a socket with these settings gets. Deliberately absent: pushing updates.

use serde_json::{Value, json};

use crate::actors::models::ModelChoice;
use crate::actors::server::PastFeed;
use crate::actors::session::SessionSettings;
use crate::domain::ids::{Key, ModelVersion};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::WireItem;
use crate::protocol::{AFTER_MAX, LIMIT_DEFAULT, LIMIT_MAX};

use super::super::checks;
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::found;

/// `GET /v1/users/{id}/feed?ranking=&limit=&after=&explain=`: the feed from position `after` on.
///
/// # Errors
/// `unknown_user`, or a refusal with the name of the parameter.
pub async fn feed(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["ranking", "limit", "after", "explain"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let after = checks::at_most("after", query.number("after")?.unwrap_or(0), AFTER_MAX)?;
    let settings = SessionSettings {
        ranking: query.ranking()?,
        limit: after + limit,
        explain: query.flag("explain")?,
        timing: false,
    };
    let who = request.person()?;
    let feed = request.server().feed(who.id, settings).await?;
    let mut items = request.server().wire_items(&feed);
    let upto = after + limit;
    // A full page may have a next one, which is empty at worst.
    let next = (items.len() >= upto as usize && upto <= AFTER_MAX).then_some(upto);
    items.drain(..items.len().min(after as usize));
    let mut body = json!({
        "user": who.key,
        "version": feed.version,
        "epoch": feed.epoch,
        "ranking": feed.ranking,
        "items": items,
        "next": next,
    });
    name(&mut body, "model_version", feed.model);
    found(&body)
}

/// Adds the version of a model to the answer, if one exists.
fn name(body: &mut Value, field: &str, version: Option<ModelVersion>) {
    if let Some(version) = version {
        body[field] = version.0.into();
    }
}

/// `GET /post/recommendations?id=&time=&ranking=&limit=&model=&compat=`: a feed by history, availability and two-tower
/// model as of `time`. Without `time`, the current feed, with everything learned from all users. `compat=list` answers a
/// bare list of `{id, text, topic}`.
///
/// # Errors
/// `unknown_user`, or a refusal with the name of the parameter.
pub async fn recommendations(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["id", "time", "ranking", "limit", "model", "compat"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let ranking = query.ranking()?;
    let at = query.time("time")?;
    let key: Option<Key> = query.key("id")?;
    let key = key.ok_or_else(|| Refusal::field(Code::BadField, "id", "missing: name the person"))?;
    let who = request.named(key, "id")?;
    let choice = match query.one_of("model", &["then", "newest"])? {
        Some("newest") => ModelChoice::Newest,
        _ => ModelChoice::Then,
    };
    let is_list = query.one_of("compat", &["list"])?.is_some();
    let (at, feed, items, past) = match at {
        Some(at) => {
            let past = request.server().recommend_at(who.id, at, ranking, limit, choice).await?;
            let items = match past.was_open {
                true => request.server().wire_items_at(&past.feed, at),
                false => request.server().wire_items(&past.feed),
            };
            (at, past.feed.clone(), items, Some(past))
        }
        None => {
            let settings = SessionSettings { ranking, limit, explain: true, timing: false };
            let feed = request.server().feed(who.id, settings).await?;
            let items = request.server().wire_items(&feed);
            (request.server().clock().now(), feed, items, None)
        }
    };
    if is_list {
        let bare = |item: &WireItem| json!({"id": item.item, "text": item.text, "topic": item.topic});
        return found(&items.iter().map(bare).collect::<Vec<_>>());
    }
    let mut body = json!({"user": who.key, "time": at, "recommendations": items});
    name(&mut body, "model_version", feed.model);
    if let Some(PastFeed { chosen, missing, was_open, .. }) = past {
        body["availability"] = if was_open { "then" } else { "now" }.into();
        if let Some(chosen) = chosen {
            body["model"] = json!(chosen);
        }
        name(&mut body, "model_missing", missing);
    }
    found(&body)
}
