//! What a person is shown, now and as of an instant.
//!
//! Invariant: the feed here is the one that a socket with the same settings gets. Absent on purpose: pushing.

use serde_json::json;

use crate::actors::session::SessionSettings;
use crate::domain::ids::Key;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::{LIMIT_DEFAULT, LIMIT_MAX};

use super::super::call::Call;
use super::super::errors::Answer;
use super::found;

/// `GET /v1/users/{id}/feed?ranking=&limit=&explain=`.
///
/// # Errors
/// `unknown_user`, or a parameter's name.
pub async fn feed(call: Call) -> Answer {
    let query = call.query(&["ranking", "limit", "explain"])?;
    let settings = SessionSettings {
        ranking: query.ranking()?,
        limit: query.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
        explain: query.flag("explain")?,
        timing: false,
    };
    let who = call.person()?;
    let feed = call.server().feed(who.id, settings).await?;
    found(&json!({
        "user": who.key,
        "version": feed.version,
        "epoch": feed.epoch,
        "ranking": feed.ranking,
        "items": call.server().wire_items(&feed),
    }))
}

/// `GET /post/recommendations?id=&time=&ranking=&limit=`: history and availability as of then; no `time` is now.
///
/// # Errors
/// `unknown_user`, or a parameter's name.
pub async fn recommendations(call: Call) -> Answer {
    let query = call.query(&["id", "time", "ranking", "limit"])?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let ranking = query.ranking()?;
    let at = query.time("time")?.unwrap_or_else(|| call.server().clock().now());
    let key: Option<Key> = query.key("id")?;
    let key = key.ok_or_else(|| Refusal::field(Code::BadField, "id", "missing: name the person"))?;
    let who = call.named(key, "id")?;
    let feed = call.server().recommend_at(who.id, at, ranking, limit).await?;
    found(&json!({"user": who.key, "time": at, "recommendations": call.server().wire_items_at(&feed, at)}))
}
