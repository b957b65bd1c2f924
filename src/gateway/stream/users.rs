//! Users of the feeds API, and entries of its collections.
//!
//! Invariant: an object is stored once, under its collection and id; a user has the empty collection. A user token changes its own
//! user and its own entries only. Deliberately absent: people of the recommender, who exist once they act.

use actix_web::web;
use serde_json::{Map, Value, json};

use crate::domain::activities::{FeedName, random_id};
use crate::store::activities::{ActivityChange, ObjectRow, Side};

use super::super::apps::StreamApp;
use super::caller::StreamRequest;
use super::common::must_be_short;
use super::reply::{Fault, StreamError, StreamResult};
use super::views::{entry_view, user_view};

/// Bytes of the data of an object at most.
const DATA_BYTES_MAX: usize = 64 * 1024;
/// Objects of one batch at most.
const BATCH_MAX: usize = 1_000;
/// The field of an entry's data in the store that names its owner.
const OWNER: &str = "\u{1}owner";

/// An id of word characters.
fn id(value: Option<&Value>) -> Result<Option<String>, StreamError> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(StreamError::field("id", "must be a text")),
    };
    checked(text).map(Some)
}

fn checked(text: String) -> Result<String, StreamError> {
    let is_word = text.len() <= 255 && text.chars().all(|one| one.is_alphanumeric() || "_-@.".contains(one));
    if !is_word || text.is_empty() {
        return Err(StreamError::field("id", "must have letters, digits, _ and - only"));
    }
    Ok(text)
}

fn doc(data: &Value) -> Result<String, StreamError> {
    let text = data.to_string();
    if text.len() > DATA_BYTES_MAX {
        return Err(StreamError::field("data", format!("must have at most {DATA_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn data(body: &Map<String, Value>) -> Result<Value, StreamError> {
    match body.get("data") {
        None | Some(Value::Null) => Ok(json!({})),
        Some(Value::Object(data)) => Ok(Value::Object(data.clone())),
        Some(_) => Err(StreamError::field("data", "must be an object")),
    }
}

async fn find(app: &StreamApp, collection: &str, id: &str) -> Result<Option<ObjectRow>, StreamError> {
    Ok(app.reads().objects(&[(collection.to_owned(), id.to_owned())]).await?.pop().flatten())
}

/// `POST user`: creates a user; `get_or_create` answers with the one that exists.
///
/// # Errors
/// The user exists, or the token has no right.
pub async fn add(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let body = request.object(payload).await?;
    let id = id(body.get("id"))?;
    request.require("users", "write", None, |user| id.as_deref() == Some(user))?;
    let id = id.ok_or_else(|| StreamError::field("id", "this field is required"))?;
    let doc = doc(&data(&body)?)?;
    let app = &request.app;
    let _guards = app.lock([id.as_str()]).await;
    if let Some(row) = find(app, "", &id).await? {
        if request.flag("get_or_create") {
            return request.made(user_view(&row));
        }
        return Err(StreamError::new(Fault::Conflict, "a user with this id exists"));
    }
    let now = app.now();
    let row = ObjectRow { collection: String::new(), id, created: now, updated: now, doc };
    app.change(vec![ActivityChange::Object(row.clone())]).await?;
    request.made(user_view(&row))
}

/// `GET user/{id}`: one user; `with_follow_counts` adds the numbers of follows.
///
/// # Errors
/// There is no such user.
pub async fn get(request: StreamRequest) -> StreamResult {
    request.require("users", "read", None, |_| true)?;
    let id = request.segment("id")?;
    let row = find(&request.app, "", &id).await?.ok_or_else(|| StreamError::not_found("the user"))?;
    let mut view = user_view(&row);
    if request.flag("with_follow_counts") {
        let count = async |group: &str, side, other: &str| match FeedName::new(group, &id) {
            Ok(feed) => Ok(request.app.reads().count_follows(&feed, side, Some(other)).await?),
            Err(_) => Ok::<_, StreamError>(0),
        };
        view["following_count"] = count("timeline", Side::Following, "user").await?.into();
        view["followers_count"] = count("user", Side::Followers, "timeline").await?.into();
    }
    request.found(view)
}

/// `PUT user/{id}`: replaces the data of a user, who is created where there is none.
///
/// # Errors
/// The token has no right.
pub async fn update(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let id = checked(request.segment("id")?)?;
    request.require("users", "write", None, |user| user == id)?;
    let doc = doc(&data(&request.object(payload).await?)?)?;
    let app = &request.app;
    let _guards = app.lock([id.as_str()]).await;
    let now = app.now();
    let row = find(app, "", &id).await?;
    let row =
        row.unwrap_or(ObjectRow { collection: String::new(), id, created: now, updated: now, doc: String::new() });
    let row = ObjectRow { doc, updated: now, ..row };
    app.change(vec![ActivityChange::Object(row.clone())]).await?;
    request.made(user_view(&row))
}

/// `DELETE user/{id}`: deletes a user.
///
/// # Errors
/// There is no such user, or the token has no right.
pub async fn delete(request: StreamRequest) -> StreamResult {
    let id = request.segment("id")?;
    request.require("users", "delete", None, |user| user == id)?;
    find(&request.app, "", &id).await?.ok_or_else(|| StreamError::not_found("the user"))?;
    request.app.change(vec![ActivityChange::DeleteObject(String::new(), id)]).await?;
    request.found(json!({}))
}

/// `POST users`: creates or overwrites users; `override: false` keeps those that exist.
///
/// # Errors
/// A user is wrong; then nothing changes.
pub async fn add_batch(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("users", "write", None, |_| false)?;
    let body = request.object(payload).await?;
    let list =
        body.get("users").and_then(Value::as_array).ok_or_else(|| StreamError::field("users", "must be a list"))?;
    must_be_short("users", list.len(), BATCH_MAX)?;
    let overrides = body.get("override").and_then(Value::as_bool).unwrap_or(true);
    let app = &request.app;
    let now = app.now();
    let mut rows = Vec::with_capacity(list.len());
    for one in list {
        let one = one.as_object().ok_or_else(|| StreamError::field("users", "must be a list of objects"))?;
        let id = id(one.get("id"))?.ok_or_else(|| StreamError::field("id", "this field is required"))?;
        rows.push(ObjectRow { collection: String::new(), id, created: now, updated: now, doc: doc(&data(one)?)? });
    }
    let _guards = app.lock(rows.iter().map(|row| row.id.as_str())).await;
    let keys: Vec<(String, String)> = rows.iter().map(|row| (String::new(), row.id.clone())).collect();
    let known = app.reads().objects(&keys).await?;
    let kept = |(row, known): (ObjectRow, Option<ObjectRow>)| match known {
        Some(_) if !overrides => None,
        Some(known) => Some(ObjectRow { created: known.created, ..row }),
        None => Some(row),
    };
    let rows: Vec<ObjectRow> = rows.into_iter().zip(known).filter_map(kept).collect();
    app.change(rows.iter().cloned().map(ActivityChange::Object).collect()).await?;
    request.made(json!({ "created_users": rows.iter().map(user_view).collect::<Vec<_>>() }))
}

/// `GET users?ids=`: users by id; unknown ones are left out.
///
/// # Errors
/// Too many ids, or the token has no right.
pub async fn get_batch(request: StreamRequest) -> StreamResult {
    request.require("users", "read", None, |_| true)?;
    let ids = request.list("ids");
    must_be_short("ids", ids.len(), BATCH_MAX)?;
    let keys: Vec<(String, String)> = ids.into_iter().map(|id| (String::new(), id)).collect();
    let rows = request.app.reads().objects(&keys).await?;
    request.found(json!({ "users": rows.iter().flatten().map(user_view).collect::<Vec<_>>() }))
}

/// `DELETE users?ids=`: deletes users.
///
/// # Errors
/// Too many ids, or the token has no right.
pub async fn delete_batch(request: StreamRequest) -> StreamResult {
    request.require("users", "delete", None, |_| false)?;
    let ids = request.list("ids");
    must_be_short("ids", ids.len(), BATCH_MAX)?;
    let changes = ids.iter().map(|id| ActivityChange::DeleteObject(String::new(), id.clone())).collect();
    request.app.change(changes).await?;
    request.found(json!({ "deleted": ids }))
}

/// An entry without its owner, who is stored in its data.
fn view(row: &ObjectRow) -> Value {
    let mut view = entry_view(row);
    if let Some(data) = view["data"].as_object_mut() {
        data.remove(OWNER);
    }
    view
}

fn owner(row: &ObjectRow) -> Option<String> {
    let data: Value = serde_json::from_str(&row.doc).unwrap_or_default();
    data[OWNER].as_str().map(str::to_owned)
}

/// The collection of the path.
fn collection(request: &StreamRequest) -> Result<String, StreamError> {
    checked(request.segment("name")?)
}

/// `POST collections/{name}`: adds an entry.
///
/// # Errors
/// The data are empty, or the entry exists.
pub async fn add_entry(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let body = request.object(payload).await?;
    let named = id(body.get("user_id"))?;
    request.require("collections", "write", None, |user| named.as_deref().is_none_or(|named| named == user))?;
    let collection = collection(&request)?;
    let id = id(body.get("id"))?.unwrap_or_else(|| random_id(rand::random()));
    let mut data = data(&body)?;
    if data.as_object().is_none_or(Map::is_empty) {
        return Err(StreamError::field("data", "must be an object with at least one field"));
    }
    if let Some(owner) = request.caller.user().map(str::to_owned).or(named) {
        data[OWNER] = owner.into();
    }
    let app = &request.app;
    let _guards = app.lock([id.as_str()]).await;
    if find(app, &collection, &id).await?.is_some() {
        return Err(StreamError::new(Fault::Conflict, "an entry with this id exists"));
    }
    let now = app.now();
    let row = ObjectRow { collection, id, created: now, updated: now, doc: doc(&data)? };
    app.change(vec![ActivityChange::Object(row.clone())]).await?;
    request.made(view(&row))
}

/// `GET collections/{name}/{id}`: one entry.
///
/// # Errors
/// There is no such entry.
pub async fn get_entry(request: StreamRequest) -> StreamResult {
    request.require("collections", "read", None, |_| true)?;
    let row = find(&request.app, &collection(&request)?, &request.segment("id")?).await?;
    request.found(view(&row.ok_or_else(|| StreamError::not_found("the entry"))?))
}

/// The entry of the path, which the caller may change.
async fn own_entry(request: &StreamRequest, action: &str) -> Result<ObjectRow, StreamError> {
    let row = find(&request.app, &collection(request)?, &request.segment("id")?).await?;
    request.require("collections", action, None, |user| {
        row.as_ref().is_none_or(|row| owner(row).as_deref() == Some(user))
    })?;
    row.ok_or_else(|| StreamError::not_found("the entry"))
}

/// `PUT collections/{name}/{id}`: replaces the data of an entry.
///
/// # Errors
/// There is no such entry, or its id would change.
pub async fn update_entry(request: StreamRequest, payload: web::Payload) -> StreamResult {
    let row = own_entry(&request, "write").await?;
    let body = request.object(payload).await?;
    if id(body.get("id"))?.is_some_and(|id| id != row.id) {
        return Err(StreamError::field("id", "cannot change"));
    }
    let mut data = data(&body)?;
    if data.as_object().is_none_or(Map::is_empty) {
        return Err(StreamError::field("data", "must be an object with at least one field"));
    }
    if let Some(owner) = owner(&row) {
        data[OWNER] = owner.into();
    }
    let row = ObjectRow { updated: request.app.now(), doc: doc(&data)?, ..row };
    request.app.change(vec![ActivityChange::Object(row.clone())]).await?;
    request.made(view(&row))
}

/// `DELETE collections/{name}/{id}`: deletes an entry.
///
/// # Errors
/// There is no such entry, or it is another user's.
pub async fn delete_entry(request: StreamRequest) -> StreamResult {
    let row = own_entry(&request, "delete").await?;
    request.app.change(vec![ActivityChange::DeleteObject(row.collection, row.id)]).await?;
    request.found(json!({}))
}

/// `POST collections`: creates or overwrites entries of several collections.
///
/// # Errors
/// An entry is wrong; then nothing changes.
pub async fn upsert_entries(request: StreamRequest, payload: web::Payload) -> StreamResult {
    request.require("collections", "write", None, |_| false)?;
    let body = request.object(payload).await?;
    let all =
        body.get("data").and_then(Value::as_object).ok_or_else(|| StreamError::field("data", "must be an object"))?;
    let app = &request.app;
    let now = app.now();
    let mut rows = Vec::new();
    for (name, list) in all {
        let collection = checked(name.clone())?;
        for one in list.as_array().ok_or_else(|| StreamError::field(name, "must be a list"))? {
            let mut fields =
                one.as_object().cloned().ok_or_else(|| StreamError::field(name, "must be a list of objects"))?;
            let id =
                id(fields.remove("id").as_ref())?.ok_or_else(|| StreamError::field("id", "this field is required"))?;
            let doc = doc(&Value::Object(fields))?;
            rows.push(ObjectRow { collection: collection.clone(), id, created: now, updated: now, doc });
            must_be_short("data", rows.len(), BATCH_MAX)?;
        }
    }
    app.change(rows.into_iter().map(ActivityChange::Object).collect()).await?;
    request.made(json!({ "data": all }))
}

/// The keys of `foreign_ids=a:1,a:2`.
fn keys(list: Vec<String>) -> Result<Vec<(String, String)>, StreamError> {
    must_be_short("foreign_ids", list.len(), BATCH_MAX)?;
    let wrong = || StreamError::field("foreign_ids", "must be as in name:id");
    list.iter().map(|one| one.split_once(':').map(|(name, id)| (name.into(), id.into())).ok_or_else(wrong)).collect()
}

/// `GET collections?foreign_ids=`: entries by collection and id; unknown ones are left out.
///
/// # Errors
/// An id is wrong.
pub async fn select_entries(request: StreamRequest) -> StreamResult {
    request.require("collections", "read", None, |_| true)?;
    let rows = request.app.reads().objects(&keys(request.list("foreign_ids"))?).await?;
    let found: Vec<Value> = rows.iter().flatten().map(view).collect();
    request.found(json!({ "response": { "data": found } }))
}

/// `DELETE collections?collection_name=&ids=`: deletes entries.
///
/// # Errors
/// The collection is missing, or the token has no right.
pub async fn delete_entries(request: StreamRequest) -> StreamResult {
    request.require("collections", "delete", None, |_| false)?;
    let name = request
        .param("collection_name")
        .ok_or_else(|| StreamError::field("collection_name", "this field is required"))?;
    let (name, ids) = (checked(name.to_owned())?, request.list("ids"));
    must_be_short("ids", ids.len(), BATCH_MAX)?;
    request.app.change(ids.into_iter().map(|id| ActivityChange::DeleteObject(name.clone(), id)).collect()).await?;
    request.found(json!({}))
}
