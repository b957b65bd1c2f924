//! Feeds: activities are added, removed, and read.
//!
//! Invariant: an activity and its entries in all feeds are one transaction, visible to the next read. Deliberately absent:
//! fan-out to followers; a read merges what they follow.

use std::sync::Arc;

use actix_web::web;
use serde_json::{Value, json};

use crate::domain::activities::{FeedName, Micros};
use crate::store::activities::{ActivityChange, ItemState};

use super::super::apps::StreamApp;
use super::super::stream_settings::Group;
use super::activity::{Draft, Fields, Target, fields_of, is_self, put_targets, targets_of, text_of};
use super::caller::{Caller, StreamRequest};
use super::common::{PAGE, PAGE_MAX, next, user_may_read, user_may_write};
use super::merged::{self, entries};
use super::reply::{StreamError, StreamResult};
use super::{enrich, groups, posts, realtime};

/// Activities that a page may skip.
const OFFSET_MAX: usize = 1_000;
/// Activities of one batch at most.
const BATCH_MAX: usize = 1_000;

/// `POST feed/{slug}/{id}`: adds one activity, or those of the list `activities`.
///
/// # Errors
/// An activity is wrong, or the token has no right; then nothing is added.
pub async fn add(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let feed = request.feed()?;
    request.require("feed", "write", Some(&feed), |user| user_may_write(user, &feed))?;
    let mut body = request.object(payload).await?;
    match body.remove("activities") {
        Some(Value::Array(list)) => {
            let added = store(&request, std::slice::from_ref(&feed), list, true).await?;
            request.made(json!({ "activities": added }))
        }
        Some(_) => Err(StreamError::field("activities", "must be a list")),
        None => {
            let added = store(&request, &[feed], vec![Value::Object(body)], true).await?;
            request.made(added.into_iter().next().map(Value::Object).unwrap_or_default())
        }
    }
}

/// `POST feed/add_to_many`: adds one activity to many feeds.
///
/// # Errors
/// The activity is wrong, or has targets.
pub async fn add_to_many(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("feed", "write", None, |_| false)?;
    let mut body = request.object(payload).await?;
    let Some(Value::Array(list)) = body.remove("feeds") else {
        return Err(StreamError::field("feeds", "must be a list of feeds"));
    };
    if list.len() > 5_000 {
        return Err(StreamError::field("feeds", "must have at most 5000 feeds"));
    }
    let feeds: Vec<FeedName> =
        list.iter().map(|one| request.named_feed("feeds", one)).collect::<Result<_, StreamError>>()?;
    let activity = body.remove("activity").unwrap_or_default();
    if activity.get("to").is_some_and(|to| !to.is_null()) {
        return Err(StreamError::field("to", "is not possible with many feeds"));
    }
    store(&request, &feeds, vec![activity], true).await?;
    request.made(json!({}))
}

/// Checks that the caller may write to the targets of an activity.
fn allow_targets(request: &StreamRequest, to: &[Target]) -> Result<Vec<FeedName>, StreamError> {
    let mut feeds: Vec<FeedName> = Vec::with_capacity(to.len());
    for Target { feed, token } in to {
        let feed = request.named_feed("to", feed)?;
        let may = match (&request.caller, token) {
            (Caller::User(user), _) => user_may_write(user, &feed),
            (_, Some(token)) => request.app.caller(token)?.covers("feed", "write", Some(&feed)),
            (scope, None) => scope.covers("feed", "write", Some(&feed)),
        };
        if !may {
            return Err(StreamError::not_allowed());
        }
        if !feeds.contains(&feed) {
            feeds.push(feed);
        }
    }
    Ok(feeds)
}

/// A user token writes activities of its user alone; a missing actor is filled in.
fn own_actor(request: &StreamRequest, value: &mut Value) -> Result<(), StreamError> {
    let (Some(user), Some(fields)) = (request.caller.user(), value.as_object_mut()) else { return Ok(()) };
    let actor = text_of(fields.get("actor"));
    if actor.as_ref().is_some_and(|actor| !is_self(actor, user)) {
        return Err(StreamError::not_allowed());
    }
    fields.insert("actor".into(), actor.unwrap_or_else(|| format!("SU:{user}")).into());
    Ok(())
}

/// Stores activities in feeds and their targets; returns them as they are rendered.
pub(crate) async fn store(
    request: &StreamRequest,
    feeds: &[FeedName],
    list: Vec<Value>,
    is_new: bool,
) -> Result<Vec<Fields>, StreamError> {
    if list.len() > BATCH_MAX {
        return Err(StreamError::field("activities", format!("must have at most {BATCH_MAX} activities")));
    }
    let app = &request.app;
    let mut drafts = Vec::with_capacity(list.len());
    for mut value in list {
        own_actor(request, &mut value)?;
        let draft = Draft::read(value, app.now())?;
        let to = if is_new { allow_targets(request, &draft.to)? } else { Vec::new() };
        drafts.push((draft, to));
    }
    let mine = request.caller.user().map(str::to_owned);
    save(app, feeds, drafts, mine.as_deref()).await
}

/// Saves checked activities in one transaction. `only` is the user whose activities alone may be overwritten.
pub(crate) async fn save(
    app: &Arc<StreamApp>,
    feeds: &[FeedName],
    drafts: Vec<(Draft, Vec<FeedName>)>,
    only: Option<&str>,
) -> Result<Vec<Fields>, StreamError> {
    let names =
        drafts.iter().flat_map(|(draft, to)| std::iter::once(draft.id.as_str()).chain(to.iter().map(FeedName::as_str)));
    let guards = app.lock(names.chain(feeds.iter().map(FeedName::as_str))).await;
    let ids: Vec<String> = drafts.iter().map(|(draft, _)| draft.id.clone()).collect();
    let known = app.reads().activities(&ids).await?;
    let (mut changes, mut rendered, mut owed) = (Vec::new(), Vec::new(), Vec::new());
    for ((draft, mut to), known) in drafts.into_iter().zip(known) {
        let had_item = known.as_ref().is_some_and(|row| row.item != ItemState::None);
        let known = known.map(|row| fields_of(&row));
        if let (Some(user), Some(known)) = (only, &known)
            && !text_of(known.get("actor")).is_some_and(|actor| is_self(&actor, user))
        {
            return Err(StreamError::not_allowed());
        }
        // An overwrite keeps the targets of the first one.
        let added = to.clone();
        for feed in known.as_ref().map(targets_of).unwrap_or_default() {
            if !to.contains(&feed) {
                to.push(feed);
            }
        }
        let doc = draft.doc(&to)?;
        let mut fields = draft.fields;
        put_targets(&mut fields, &to);
        let home = feeds.first();
        let item = if had_item { ItemState::Owed } else { posts::state(app, home, &fields) };
        if item == ItemState::Owed {
            owed.push(draft.id.clone());
        }
        changes.push(ActivityChange::Activity(draft.id.clone(), draft.foreign_id, draft.time, doc, item));
        let seq = app.next_seq();
        for (feed, is_direct) in feeds.iter().map(|feed| (feed, true)).chain(added.iter().map(|feed| (feed, false))) {
            changes.push(ActivityChange::Entry(feed.clone(), draft.id.clone(), draft.time, seq, is_direct));
        }
        rendered.push(fields);
    }
    let changed = realtime::feeds_of(&changes);
    app.change(changes).await?;
    drop(guards);
    posts::settle(app, &owed).await?;
    realtime::added(app, changed, &rendered);
    Ok(rendered)
}

/// `DELETE feed/{slug}/{id}/{activity}`: removes an activity by its id, or by its foreign id with `foreign_id=1`.
///
/// # Errors
/// The token has no right. An unknown activity is a success.
pub async fn remove(request: StreamRequest) -> StreamResult {
    let feed = request.feed()?;
    request.require("feed", "delete", Some(&feed), |user| feed.id() == user)?;
    let name = request.segment("activity")?;
    let app = &request.app;
    let found: Vec<(String, bool)> = if request.param("foreign_id").is_some() {
        app.reads().by_foreign_id(&feed, &name).await?
    } else {
        let entries = app.reads().entries(&[(feed.clone(), name.clone())]).await?;
        entries.into_iter().flatten().map(|entry| (name.clone(), entry.is_direct)).collect()
    };
    let _guards = app.lock(found.iter().map(|(id, _)| id.as_str()).chain([feed.as_str()])).await;
    let mut changes = Vec::new();
    for (id, is_direct) in &found {
        match is_direct {
            true => {
                posts::delete(app, id).await?;
                changes.push(ActivityChange::DeleteActivity(id.clone()));
            }
            false => changes.push(ActivityChange::DeleteEntry(feed.clone(), id.clone())),
        }
    }
    app.change(changes).await?;
    realtime::removed(app, &feed, &found);
    request.found(json!({ "removed": name }))
}

/// The bounds of a page by ids, as newest and oldest place.
pub(crate) async fn bounds(request: &StreamRequest) -> Result<((i64, i64), (i64, i64)), StreamError> {
    let (mut from, mut to) = ((i64::MAX, i64::MAX), (i64::MIN, i64::MIN));
    for name in ["id_lt", "id_lte", "id_gt", "id_gte"] {
        let Some(id) = request.param(name) else { continue };
        let entries = request.app.reads().entries_of(id).await?;
        let place = entries.iter().map(|entry| (entry.time.0, entry.seq)).max();
        // The time of an id that is gone is still in it.
        let edge = if matches!(name, "id_lt" | "id_gte") { i64::MIN } else { i64::MAX };
        let place = place.or_else(|| Micros::of_id(id).map(|time| (time.0, edge)));
        let (time, seq) = place.ok_or_else(|| StreamError::field(name, "is not the id of an activity"))?;
        match name {
            "id_lt" => from = from.min((time, seq.saturating_sub(1))),
            "id_lte" => from = from.min((time, seq)),
            "id_gt" => to = to.max((time, seq.saturating_add(1))),
            _ => to = to.max((time, seq)),
        }
    }
    Ok((from, to))
}

/// `GET feed/{slug}/{id}`, `GET enrich/feed/{slug}/{id}`: a page of a feed.
///
/// # Errors
/// A parameter is wrong, or the token has no right.
pub async fn read(request: StreamRequest) -> StreamResult {
    let feed = request.feed()?;
    request.require("feed", "read", Some(&feed), |user| user_may_read(user, &feed))?;
    let limit = request.number("limit", PAGE, PAGE_MAX)?.max(1);
    let offset = request.number("offset", 0, OFFSET_MAX)?;
    match request.group(&feed)? {
        Group::Flat => {}
        group => return groups::read(&request, &feed, group, limit, offset).await,
    }
    let switches = enrich::Switches::read(&request)?;
    let app = &request.app;
    let (mut page, more) = match request.param("ranking") {
        Some(_) => merged::ranked(&request, &feed, limit, offset).await?,
        None => {
            let (from, to) = bounds(&request).await?;
            let mut found = entries(app, &feed, from, to, offset + limit + 1).await?;
            let more = found.len() > offset + limit;
            found.truncate(offset + limit);
            let page: Vec<Fields> = found.into_iter().skip(offset).map(|(fields, _)| fields).collect();
            (page, more)
        }
    };
    let next = match page.last().and_then(|last| last.get("id")).and_then(Value::as_str).filter(|_| more) {
        Some(id) => next(&request, &feed, id, limit),
        None => String::new(),
    };
    enrich::activities(&request, &switches, &mut page).await?;
    request.found(json!({ "results": page, "next": next }))
}
