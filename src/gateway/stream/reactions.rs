//! Reactions on activities, and reactions on reactions.
//!
//! Invariant: a reaction, its count and its activities in target feeds are one transaction. A reaction has one shape wherever it is
//! shown. A reaction on a post is an interaction of its user.

use actix_web::web;
use serde_json::{Map, Value, json};

use crate::domain::activities::{FeedName, Micros, random_id};
use crate::store::activities::{ActivityChange, ItemState, ReactionQuery, ReactionRow, ReactionsOf};

use super::super::apps::StreamApp;
use super::activity::{Draft, fields_of};
use super::caller::{StreamRequest, TEXT_BYTES_MAX};
use super::common::user_may_write;
use super::enrich;
use super::posts;
use super::reaction_views::{LEVELS, render};
use super::reply::{Fault, StreamError, StreamResult};

/// Reactions of a page by default, and at most.
const PAGE: usize = 10;
const PAGE_MAX: usize = 25;
/// Bytes of the data of a reaction at most.
const DATA_BYTES_MAX: usize = 64 * 1024;
/// Target feeds of a reaction at most.
const TARGETS_MAX: usize = 25;
/// Reactions that one deletion may take with it.
const DESCENDANTS_MAX: usize = 10_000;

/// A bounded text of a body without control characters.
fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, StreamError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control) => {
            Ok(Some(text.clone()))
        }
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(StreamError::field(name, "must be a text of at most 255 bytes without control characters")),
    }
}

fn object(body: &Map<String, Value>, name: &str) -> Result<Map<String, Value>, StreamError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(_) => Err(StreamError::field(name, "must be an object")),
    }
}

/// Target feeds of a body; `None` where it names none.
fn targets(request: &StreamRequest, body: &Map<String, Value>) -> Result<Option<Vec<FeedName>>, StreamError> {
    let list = match body.get("target_feeds") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) if list.len() <= TARGETS_MAX => list,
        Some(_) => {
            return Err(StreamError::field("target_feeds", format!("must be a list of at most {TARGETS_MAX} feeds")));
        }
    };
    let mut feeds = Vec::with_capacity(list.len());
    for one in list {
        let bare = one.as_str().map(|text| text.split(' ').next().unwrap_or_default());
        let feed = request.named_feed("target_feeds", &bare.map_or(Value::Null, Value::from))?;
        if request.caller.user().is_some_and(|user| !user_may_write(user, &feed)) {
            return Err(StreamError::not_allowed());
        }
        feeds.push(feed);
    }
    Ok(Some(feeds))
}

/// The parts of a reaction that are stored as JSON.
fn doc(
    data: &Map<String, Value>,
    targets: Option<&[FeedName]>,
    extra: &Map<String, Value>,
) -> Result<String, StreamError> {
    let mut doc = json!({ "data": data });
    if let Some(targets) = targets {
        doc["target_feeds"] = targets.iter().map(FeedName::as_str).collect();
        doc["target_feeds_extra_data"] = Value::Object(extra.clone());
    }
    let text = doc.to_string();
    if text.len() > DATA_BYTES_MAX {
        return Err(StreamError::field("data", format!("must have at most {DATA_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The activity that a reaction writes to its target feeds.
fn activity_of(row: &ReactionRow, extra: &Map<String, Value>) -> Result<Draft, StreamError> {
    let mut fields = extra.clone();
    for (name, value) in [
        ("actor", format!("SU:{}", row.user)),
        ("verb", row.kind.clone()),
        ("object", format!("SA:{}", row.activity)),
        ("reaction", format!("SR:{}", row.id)),
        ("foreign_id", format!("reaction:{}", row.id)),
        ("time", row.created.to_string()),
    ] {
        fields.insert(name.to_owned(), value.into());
    }
    fields.remove("to");
    Draft::read(Value::Object(fields), row.created)
}

/// The changes that write a reaction's activity to its target feeds.
fn target_changes(
    app: &StreamApp,
    row: &ReactionRow,
    feeds: &[FeedName],
    extra: &Map<String, Value>,
) -> Result<Vec<ActivityChange>, StreamError> {
    if feeds.is_empty() {
        return Ok(Vec::new());
    }
    let draft = activity_of(row, extra)?;
    let doc = draft.doc(&[])?;
    let mut changes =
        vec![ActivityChange::Activity(draft.id.clone(), draft.foreign_id, draft.time, doc, ItemState::None)];
    let seq = app.next_seq();
    changes
        .extend(feeds.iter().map(|feed| ActivityChange::Entry(feed.clone(), draft.id.clone(), draft.time, seq, true)));
    Ok(changes)
}

/// `POST reaction`: adds a reaction to an activity, or to the reaction `parent`.
///
/// # Errors
/// A field is wrong, the parent does not exist, or the id is taken.
pub async fn add(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let body = request.object(payload).await?;
    let named = text(&body, "user_id")?;
    request.require("reactions", "write", None, |own| named.as_deref().is_none_or(|named| named == own))?;
    let user = request.caller.user().map(str::to_owned).or(named);
    let user = user.ok_or_else(|| StreamError::field("user_id", "this field is required"))?;
    let kind = text(&body, "kind")?.ok_or_else(|| StreamError::field("kind", "this field is required"))?;
    let app = &request.app;
    let parent = match text(&body, "parent")? {
        Some(parent) => Some(
            find(app, &parent)
                .await?
                .filter(|row| row.deleted.is_none())
                .ok_or_else(|| StreamError::field("parent", "there is no such reaction"))?,
        ),
        None => None,
    };
    if let Some(parent) = &parent
        && depth(app, parent).await? >= LEVELS
    {
        return Err(StreamError::field("parent", format!("reactions have at most {LEVELS} levels")));
    }
    let activity = match (&parent, text(&body, "activity_id")?) {
        (Some(parent), _) => parent.activity.clone(),
        (None, Some(activity)) => activity,
        (None, None) => return Err(StreamError::field("activity_id", "this field is required")),
    };
    let id = match text(&body, "id")? {
        Some(id) if Micros::of_id(&id).is_none() => return Err(StreamError::field("id", "must be a UUID")),
        Some(id) => id,
        None => random_id(rand::random()),
    };
    let (data, extra) = (object(&body, "data")?, object(&body, "target_feeds_extra_data")?);
    let targets = targets(&request, &body)?;
    let now = app.now();
    let row = ReactionRow {
        id,
        activity,
        parent: parent.map(|parent| parent.id).unwrap_or_default(),
        user,
        kind,
        seq: app.next_seq(),
        created: now,
        updated: now,
        deleted: None,
        doc: doc(&data, targets.as_deref(), &extra)?,
    };
    let feeds = targets.unwrap_or_default();
    let guards = app.lock(feeds.iter().map(FeedName::as_str).chain([row.id.as_str()])).await;
    if find(app, &row.id).await?.is_some() {
        return Err(StreamError::new(Fault::Conflict, "a reaction with this id exists"));
    }
    let mut changes = vec![
        ActivityChange::Reaction(row.clone()),
        ActivityChange::Count(row.subject().to_owned(), row.kind.clone(), 1),
    ];
    changes.extend(target_changes(app, &row, &feeds, &extra)?);
    app.change(changes).await?;
    drop(guards);
    if row.parent.is_empty() {
        posts::react(app, &row.id, &row.user, &row.activity, &row.kind).await?;
    }
    request.made(one(app, row).await?)
}

async fn find(app: &StreamApp, id: &str) -> Result<Option<ReactionRow>, StreamError> {
    Ok(app.reads().reactions(&[id.to_owned()]).await?.pop().flatten())
}

/// The level of a reaction, from 1.
async fn depth(app: &StreamApp, row: &ReactionRow) -> Result<usize, StreamError> {
    let (mut depth, mut parent) = (1, row.parent.clone());
    while !parent.is_empty() && depth <= LEVELS {
        depth += 1;
        parent = find(app, &parent).await?.map(|row| row.parent).unwrap_or_default();
    }
    Ok(depth)
}

/// `GET reaction/{id}`: one reaction, a soft-deleted one too.
///
/// # Errors
/// There is no such reaction.
pub async fn get(request: StreamRequest) -> StreamResult {
    request.require("reactions", "read", None, |_| true)?;
    let row = find(&request.app, &request.segment("id")?).await?;
    let row = row.ok_or_else(|| StreamError::not_found("the reaction"))?;
    request.found(one(&request.app, row).await?)
}

/// The reaction of the path, which the caller may change.
async fn own(request: &StreamRequest, action: &str) -> Result<ReactionRow, StreamError> {
    let id = request.segment("id")?;
    let row = find(&request.app, &id).await?;
    request.require("reactions", action, None, |user| row.as_ref().is_none_or(|row| row.user == user))?;
    row.ok_or_else(|| StreamError::not_found("the reaction"))
}

/// `PUT reaction/{id}`: replaces data and target feeds.
///
/// # Errors
/// There is no such reaction, or it is another user's.
pub async fn update(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let row = own(&request, "write").await?;
    let body = request.object(payload).await?;
    let (data, extra) = (object(&body, "data")?, object(&body, "target_feeds_extra_data")?);
    let targets = targets(&request, &body)?;
    let app = &request.app;
    let feeds = targets.clone().unwrap_or_default();
    let _guards = app.lock(feeds.iter().map(FeedName::as_str).chain([row.id.as_str()])).await;
    let row = find(app, &row.id).await?.ok_or_else(|| StreamError::not_found("the reaction"))?;
    let activity = activity_of(&row, &extra)?.id;
    let mut changes: Vec<ActivityChange> = targets_of(&row)
        .into_iter()
        .filter(|feed| !feeds.contains(feed))
        .map(|feed| ActivityChange::DeleteEntry(feed, activity.clone()))
        .collect();
    let row = ReactionRow { updated: app.now(), doc: doc(&data, targets.as_deref(), &extra)?, ..row };
    changes.push(ActivityChange::Reaction(row.clone()));
    changes.extend(target_changes(app, &row, &feeds, &extra)?);
    app.change(changes).await?;
    request.made(one(app, row).await?)
}

fn targets_of(row: &ReactionRow) -> Vec<FeedName> {
    let doc: Value = serde_json::from_str(&row.doc).unwrap_or_default();
    let list = doc["target_feeds"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|one| FeedName::parse(one.as_str()?).ok()).collect()
}

/// `DELETE reaction/{id}`: deletes a reaction with all reactions on it; `soft=true` keeps it for `restore`.
///
/// # Errors
/// There is no such reaction, or it is another user's.
pub async fn delete(request: StreamRequest) -> StreamResult {
    let row = own(&request, "delete").await?;
    let app = &request.app;
    let _guards = app.lock([row.id.as_str()]).await;
    let row = find(app, &row.id).await?.ok_or_else(|| StreamError::not_found("the reaction"))?;
    let mut changes = Vec::new();
    if row.deleted.is_none() {
        changes.push(ActivityChange::Count(row.subject().to_owned(), row.kind.clone(), -1));
    }
    let mut gone = vec![row.clone()];
    if request.flag("soft") {
        if row.deleted.is_some() {
            return request.found(json!({}));
        }
        changes.push(ActivityChange::Reaction(ReactionRow { deleted: Some(app.now()), ..row }));
    } else {
        let mut next = 0;
        while let Some(parent) = gone.get(next).map(|row| row.id.clone()).filter(|_| gone.len() < DESCENDANTS_MAX) {
            gone.extend(app.reads().children(&parent).await?);
            next += 1;
        }
        for row in &gone {
            changes.push(ActivityChange::DeleteReaction(row.id.clone()));
            if !targets_of(row).is_empty() {
                changes.push(ActivityChange::DeleteActivity(activity_of(row, &Map::new())?.id));
            }
        }
    }
    app.change(changes).await?;
    for row in gone.iter().filter(|row| row.parent.is_empty() && row.deleted.is_none()) {
        posts::unreact(app, &row.id, &row.user).await?;
    }
    request.found(json!({}))
}

/// `PUT reaction/{id}/restore`: brings a soft-deleted reaction back.
///
/// # Errors
/// The reaction is not soft-deleted.
pub async fn restore(request: StreamRequest) -> StreamResult {
    let row = own(&request, "write").await?;
    let app = &request.app;
    let _guards = app.lock([row.id.as_str()]).await;
    let row = find(app, &row.id).await?.filter(|row| row.deleted.is_some());
    let row = row.ok_or_else(|| StreamError::not_found("a soft-deleted reaction with this id"))?;
    let changes = vec![
        ActivityChange::Count(row.subject().to_owned(), row.kind.clone(), 1),
        ActivityChange::Reaction(ReactionRow { deleted: None, ..row }),
    ];
    app.change(changes).await?;
    request.made(json!({}))
}

/// `GET reaction/{lookup}/{value}[/{kind}]`: a page of reactions of an activity, of a user, or on a reaction.
///
/// # Errors
/// A parameter is wrong.
pub async fn filter(request: StreamRequest) -> StreamResult {
    request.require("reactions", "read", None, |_| true)?;
    let app = &request.app;
    let value = request.segment("value")?;
    let (lookup, activity) = (request.segment("lookup")?, value.clone());
    let of = match lookup.as_str() {
        "activity_id" | "reaction_id" => ReactionsOf::Subject(value),
        "user_id" => ReactionsOf::User(value),
        _ => return Err(StreamError::field("lookup", "must be activity_id, user_id or reaction_id")),
    };
    let kind = if request.has_segment("kind") { request.segment("kind")? } else { String::new() };
    let limit = request.number("limit", PAGE, PAGE_MAX)?.max(1);
    let (mut first, mut last, mut oldest_first) = (i64::MIN, i64::MAX, false);
    for name in ["id_lt", "id_lte", "id_gt", "id_gte"] {
        let Some(id) = request.param(name) else { continue };
        // Nothing is older or newer than a reaction that does not exist.
        let seq = find(app, id).await?.map(|row| row.seq);
        match name {
            "id_lt" => last = last.min(seq.map_or(last, |seq| seq - 1)),
            "id_lte" => last = last.min(seq.unwrap_or(last)),
            "id_gt" => first = first.max(seq.map_or(first, |seq| seq + 1)),
            _ => first = first.max(seq.unwrap_or(first)),
        }
        oldest_first |= name.starts_with("id_gt");
    }
    let by = request.param("filter_user_id").unwrap_or_default().to_owned();
    let limit_more = limit as i64 + 1;
    let query = ReactionQuery { of, kind: kind.clone(), by, first, last, oldest_first, limit: limit_more };
    let mut rows = app.reads().reaction_page(&query).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let edge = if oldest_first { "id_gt" } else { "id_lt" };
    let next = match rows.last().filter(|_| more) {
        Some(last) => {
            let kind = if kind.is_empty() { String::new() } else { format!("{kind}/") };
            let base = request.base();
            format!("{base}/api/v1.0/reaction/{lookup}/{activity}/{kind}?{edge}={}&limit={limit}", last.id)
        }
        None => String::new(),
    };
    let owner = request.param("children_user_id").or_else(|| request.caller.user()).map(str::to_owned);
    let owner = owner.filter(|_| request.flag("with_own_children"));
    let mut answer = json!({ "results": render(app, rows, owner.as_deref()).await?, "next": next });
    if request.flag("with_activity_data") && lookup == "activity_id" {
        let row = app.reads().activities(&[activity]).await?.pop().flatten();
        let mut page: Vec<_> = row.iter().map(fields_of).collect();
        enrich::references(app, &mut page).await?;
        answer["activity"] = page.pop().map_or(Value::Null, Value::Object);
    }
    request.found(answer)
}

async fn one(app: &StreamApp, row: ReactionRow) -> Result<Value, StreamError> {
    Ok(render(app, vec![row], None).await?.pop().unwrap_or_default())
}
