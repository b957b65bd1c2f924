//! Activities by id or by foreign id and time: look-ups, updates, partial updates, and changes of targets.
//!
//! Invariant: a batch is one transaction. An update keeps id, foreign id, time and targets. Deliberately absent: feeds.

use actix_web::web;
use serde_json::{Value, json};

use crate::domain::activities::FeedName;
use crate::store::activities::{ActivityChange, ActivityRow, ItemState};

use super::activity::{Fields, doc_of, fields_of, id_of, is_self, put_targets, targets, targets_of, text_of, time_of};
use super::caller::StreamRequest;
use super::common::{PAGE_MAX, must_be_short, user_may_write};
use super::feeds::store;
use super::reply::{Fault, StreamError, StreamResult};
use super::{enrich, posts};

/// Fields that a partial update cannot change.
const FIXED: [&str; 5] = ["id", "foreign_id", "time", "to", "origin"];

/// The id of an activity that a foreign id and a time name.
fn named(foreign_id: &str, time: &Value) -> Result<String, StreamError> {
    let time = time_of(Some(time))?.ok_or_else(|| StreamError::field("time", "this field is required"))?;
    Ok(id_of(foreign_id, time, [""; 4]))
}

/// `GET activities`, `GET enrich/activities`: activities by `ids`, or by `foreign_ids` and `timestamps`.
///
/// # Errors
/// A parameter is wrong, or the token has no right.
pub async fn find(request: StreamRequest) -> StreamResult {
    request.require("activities", "read", None, |_| false)?;
    let (ids, foreign_ids) = (request.list("ids"), request.list("foreign_ids"));
    let ids = match (ids.is_empty(), foreign_ids.is_empty()) {
        (false, true) => ids,
        (true, false) => {
            let times = request.list("timestamps");
            if times.len() != foreign_ids.len() {
                return Err(StreamError::field("timestamps", "must have as many parts as foreign_ids"));
            }
            let ids = foreign_ids.iter().zip(&times).map(|(id, time)| named(id, &time.as_str().into()));
            ids.collect::<Result<_, _>>()?
        }
        _ => return Err(StreamError::field("ids", "give ids, or foreign_ids and timestamps")),
    };
    must_be_short("the list", ids.len(), PAGE_MAX)?;
    let switches = enrich::Switches::read(&request)?;
    let rows = request.app.reads().activities(&ids).await?;
    let mut found: Vec<Fields> = rows.into_iter().flatten().map(|row| fields_of(&row)).collect();
    enrich::activities(&request, &switches, &mut found).await?;
    request.found(json!({ "results": found }))
}

/// `POST activities`: creates or overwrites activities, each with a foreign id and a time.
///
/// # Errors
/// An activity is wrong; then nothing changes.
pub async fn update(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("activities", "write", None, |_| true)?;
    let Some(Value::Array(list)) = request.object(payload).await?.remove("activities") else {
        return Err(StreamError::field("activities", "must be a list"));
    };
    must_be_short("activities", list.len(), PAGE_MAX)?;
    for one in &list {
        for name in ["foreign_id", "time"] {
            if text_of(one.get(name)).is_none() {
                return Err(StreamError::field(name, "this field is required"));
            }
        }
    }
    store(&request, &[], list, false).await?;
    request.made(json!({}))
}

/// One partial update.
struct Patch {
    id: String,
    set: Fields,
    unset: Vec<String>,
}

fn patch(value: &Value) -> Result<Patch, StreamError> {
    let id = match (text_of(value.get("id")), text_of(value.get("foreign_id"))) {
        (Some(id), None) => id,
        (None, Some(foreign_id)) => named(&foreign_id, value.get("time").unwrap_or(&Value::Null))?,
        _ => return Err(StreamError::field("id", "give id, or foreign_id and time")),
    };
    let set = match value.get("set") {
        None | Some(Value::Null) => Fields::new(),
        Some(Value::Object(set)) => set.clone(),
        Some(_) => return Err(StreamError::field("set", "must be an object")),
    };
    let unset = match value.get("unset") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or_else(|| StreamError::field("unset", "must be texts")))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(StreamError::field("unset", "must be a list")),
    };
    let first = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
    for path in set.keys().chain(&unset) {
        let first = first(path);
        if FIXED.contains(&first.as_str()) || path.split('.').any(str::is_empty) || path.split('.').count() > 32 {
            return Err(StreamError::field(path, "cannot be changed"));
        }
    }
    for name in ["actor", "verb", "object"] {
        if unset.iter().any(|path| first(path) == name) {
            return Err(StreamError::field(name, "this field is required"));
        }
    }
    Ok(Patch { id, set, unset })
}

impl Patch {
    fn apply(&self, fields: &mut Fields) -> Result<(), StreamError> {
        for (path, value) in &self.set {
            let (above, last) =
                path.rsplit_once('.').map_or((None, path.as_str()), |(above, last)| (Some(above), last));
            let mut at = &mut *fields;
            for part in above.into_iter().flat_map(|above| above.split('.')) {
                let inner = at.entry(part).or_insert_with(|| Value::Object(Fields::new()));
                at = inner.as_object_mut().ok_or_else(|| StreamError::field(path, "is not within an object"))?;
            }
            let value = match path.as_str() {
                "actor" | "verb" | "object" | "target" => text_of(Some(value)).unwrap_or_default().into(),
                _ => value.clone(),
            };
            at.insert(last.to_owned(), value);
        }
        for path in &self.unset {
            let mut parts: Vec<&str> = path.split('.').collect();
            let last = parts.pop().unwrap_or_default();
            let mut at = Some(&mut *fields);
            for part in parts {
                at = at.and_then(|fields| fields.get_mut(part)).and_then(Value::as_object_mut);
            }
            if let Some(at) = at {
                at.remove(last);
            }
        }
        for name in ["actor", "verb", "object"] {
            if text_of(fields.get(name)).is_none() {
                return Err(StreamError::field(name, "this field is required"));
            }
        }
        Ok(())
    }
}

/// Whether the caller may change an activity: users change their own ones.
fn allow_change(request: &StreamRequest, fields: &Fields) -> Result<(), StreamError> {
    match request.caller.user() {
        Some(user) if !text_of(fields.get("actor")).is_some_and(|actor| is_self(&actor, user)) => {
            Err(StreamError::not_allowed())
        }
        _ => Ok(()),
    }
}

/// `POST activity`: changes single fields of activities.
///
/// # Errors
/// A change is wrong, or an activity does not exist; then nothing changes.
pub async fn partial(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("activities", "write", None, |_| true)?;
    let mut body = request.object(payload).await?;
    let list = match body.remove("changes") {
        Some(Value::Array(list)) => list,
        // One change may stand alone.
        None => vec![Value::Object(body)],
        Some(_) => return Err(StreamError::field("changes", "must be a list")),
    };
    must_be_short("changes", list.len(), PAGE_MAX)?;
    let patches = list.iter().map(patch).collect::<Result<Vec<_>, _>>()?;
    let app = &request.app;
    let guards = app.lock(patches.iter().map(|patch| patch.id.as_str())).await;
    let ids: Vec<String> = patches.iter().map(|patch| patch.id.clone()).collect();
    let mut rows: Vec<Option<ActivityRow>> = app.reads().activities(&ids).await?;
    let (mut changed, mut changes, mut owed) = (Vec::new(), Vec::new(), Vec::new());
    for (index, patch) in patches.iter().enumerate() {
        // Of several changes of one activity, each builds on the one before.
        let earlier = (0..index).rev().find(|earlier| ids[*earlier] == patch.id);
        let row = rows[index].take().ok_or_else(|| StreamError::not_found("the activity"))?;
        let mut fields = match earlier {
            Some(earlier) => Fields::clone(&changed[earlier]),
            None => fields_of(&row),
        };
        allow_change(&request, &fields)?;
        patch.apply(&mut fields)?;
        allow_change(&request, &fields)?;
        let state = if row.item == ItemState::None { ItemState::None } else { ItemState::Owed };
        if state == ItemState::Owed {
            owed.push(row.id.clone());
        }
        changes.push(ActivityChange::Activity(row.id, row.foreign_id, row.time, doc_of(&fields)?, state));
        changed.push(fields);
    }
    app.change(changes).await?;
    drop(guards);
    posts::settle(app, &owed).await?;
    request.made(json!({ "activities": changed }))
}

/// `POST feed_targets/{slug}/{id}/activity_to_targets`: sets, adds or removes the targets of an activity of this feed.
///
/// # Errors
/// A target is wrong, the activity does not exist, or the token has no right.
pub async fn targets_of_activity(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let feed = request.feed()?;
    request.require("feed_targets", "write", Some(&feed), |user| feed.id() == user)?;
    let list = match request.json(payload).await? {
        Value::Array(list) => list,
        one => vec![one],
    };
    must_be_short("the list", list.len(), PAGE_MAX)?;
    let (mut last, mut all) = (Value::Null, Vec::new());
    for one in &list {
        last = change_targets(&request, &feed, one).await?;
        all.push(last.clone());
    }
    if all.len() > 1
        && let Some(last) = last.as_object_mut()
    {
        last.insert("results".into(), Value::Array(all));
    }
    request.made(last)
}

async fn change_targets(request: &StreamRequest, feed: &FeedName, change: &Value) -> Result<Value, StreamError> {
    let list = |name: &str| {
        let given = change.get(name).filter(|value| !value.is_null());
        let targets = given.map(|value| targets(name, Some(value.clone()))).transpose()?;
        let feeds = targets.map(|list| list.iter().map(|one| request.named_feed(name, &one.feed)).collect());
        feeds.transpose() as Result<Option<Vec<FeedName>>, StreamError>
    };
    let (new, added, removed) = (list("new_targets")?, list("added_targets")?, list("removed_targets")?);
    if new.is_some() == (added.is_some() || removed.is_some()) {
        return Err(StreamError::new(Fault::Input, "give new_targets, or added_targets and removed_targets"));
    }
    let foreign_id =
        text_of(change.get("foreign_id")).ok_or_else(|| StreamError::field("foreign_id", "this field is required"))?;
    let id = named(&foreign_id, change.get("time").unwrap_or(&Value::Null))?;
    let app = &request.app;
    let names = [&new, &added, &removed].into_iter().flatten().flatten().map(FeedName::as_str);
    let _guards = app.lock(names.chain([id.as_str(), feed.as_str()])).await;
    let entry = app.reads().entries(&[(feed.clone(), id.clone())]).await?.pop().flatten();
    let row = app.reads().activities(std::slice::from_ref(&id)).await?.pop().flatten();
    let row = row.filter(|_| entry.is_some_and(|entry| entry.is_direct));
    let row = row.ok_or_else(|| StreamError::not_found("the activity"))?;
    let mut fields = fields_of(&row);
    allow_change(request, &fields)?;
    let before = targets_of(&fields);
    let mut after = new.unwrap_or_else(|| before.clone());
    after.retain(|one| !removed.iter().flatten().any(|gone| gone == one));
    for one in added.into_iter().flatten() {
        if !after.contains(&one) {
            after.push(one);
        }
    }
    must_be_short("to", after.len(), super::activity::TARGETS_MAX)?;
    let came: Vec<FeedName> = after.iter().filter(|one| !before.contains(one)).cloned().collect();
    let went: Vec<FeedName> = before.iter().filter(|one| !after.contains(one)).cloned().collect();
    if let Some(user) = request.caller.user()
        && !came.iter().chain(&went).all(|one| user_may_write(user, one))
    {
        return Err(StreamError::not_allowed());
    }
    put_targets(&mut fields, &after);
    let mut changes =
        vec![ActivityChange::Activity(id.clone(), row.foreign_id, row.time, doc_of(&fields)?, ItemState::None)];
    let seq = app.next_seq();
    changes.extend(came.iter().map(|to| ActivityChange::Entry(to.clone(), id.clone(), row.time, seq, false)));
    let gone = app.reads().entries(&went.iter().map(|to| (to.clone(), id.clone())).collect::<Vec<_>>()).await?;
    let gone = went.iter().zip(gone).filter(|(_, entry)| entry.as_ref().is_some_and(|entry| !entry.is_direct));
    changes.extend(gone.map(|(to, _)| ActivityChange::DeleteEntry(to.clone(), id.clone())));
    app.change(changes).await?;
    let names = |list: &[FeedName]| list.iter().map(FeedName::as_str).map(Value::from).collect::<Vec<_>>();
    Ok(json!({ "activity": fields, "added": names(&came), "removed": names(&went) }))
}
