//! The catalogue and its availability windows.
//!
//! Invariant: only services change the catalogue; every token may read it. Deliberately absent: embeddings in answers,
//! which are large and of no use to a page.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::actors::server::{ItemDraft, ItemWrite, ItemWritten, Server};
use crate::domain::ids::{ItemId, Key, TopicId, page};
use crate::domain::items::Item;
use crate::domain::stated_time::{self, StatedTime, StatedWindow};
use crate::domain::time::Millis;
use crate::domain::windows::{Window, Windows};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, Body, BoundedList, ObjectText};
use super::super::busy;
use super::super::checks;
use super::super::errors::{HttpResult, Problem};
use super::super::request::AuthedRequest;
use super::super::timestamps;
use super::batch::{self, Outcome};
use super::list::{LIST_DEFAULT, LIST_MAX, fields, found, found_or_unchanged, listed};
use super::ndjson::{self, WorkerTurn};

// The most dimensions of an embedding on any server.
const NUMBERS_MAX: usize = 8_192;
// Drafts per write of a batch.
const CHUNK: usize = 1_000;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Item")]
pub(crate) struct ItemView<'a> {
    /// The key of the item.
    item: &'a Key,
    /// The earlier name of `item`; version 0.2 removes it.
    #[schemars(extend("deprecated" = true))]
    id: &'a Key,
    revision: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a Key>,
    /// The main topic, the first of `topics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a Key>,
    /// All topics, the main one first.
    topics: Vec<&'a Key>,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    attributes: Option<Box<RawValue>>,
    /// The creation time.
    at: Millis,
    /// The earlier name of `at`; version 0.2 removes it.
    #[schemars(extend("deprecated" = true))]
    created: Millis,
    #[schemars(with = "Vec<Window>")]
    windows: &'a Windows,
    available: bool,
}

/// The body of POST, PUT and PATCH.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ItemInput {
    /// The key of the item.
    item: Option<Key>,
    /// The earlier name of `item`; version 0.2 removes it.
    #[schemars(extend("deprecated" = true))]
    id: Option<Key>,
    author: Option<Key>,
    /// The main topic. With `topics` it has to be the first of them.
    topic: Option<Key>,
    /// All topics, the main one first.
    #[schemars(with = "Option<Vec<Key>>")]
    topics: Option<BoundedList<Key, { Item::TOPICS_MAX }>>,
    text: Option<String>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    attributes: Option<ObjectText>,
    #[schemars(with = "Option<Vec<f32>>")]
    embedding: Option<BoundedList<f32, NUMBERS_MAX>>,
    /// The creation time.
    #[serde(deserialize_with = "stated_time::optional")]
    #[schemars(with = "Option<StatedTime>")]
    at: Option<Millis>,
    /// The earlier name of `at`; version 0.2 removes it.
    #[serde(deserialize_with = "stated_time::optional")]
    #[schemars(with = "Option<StatedTime>", extend("deprecated" = true))]
    created: Option<Millis>,
    #[serde(deserialize_with = "stated_time::windows")]
    #[schemars(with = "Option<Vec<StatedWindow>>")]
    windows: Option<Vec<Window>>,
}

/// `GET /post/{id}`, `GET /v1/items/{id}`.
///
/// # Errors
/// `unknown_item`.
pub async fn item(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let id = request.item("id")?;
    let world = request.server().world();
    found_or_unchanged(&request, &view(&world, known(&world, id)?, request.server().clock().now()))
}

/// `GET /v1/items?limit=&after=`: items in order of creation; `next` is the position of the next page.
///
/// # Errors
/// A refusal with the name of the parameter.
pub async fn list(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["limit", "after"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)? as usize;
    let after = query.number("after")?;
    let (world, now) = (request.server().world(), request.server().clock().now());
    let exists = |id: &u32| world.item(ItemId(*id)).is_some_and(|item| !item.deleted);
    let (page, next) = page(after, world.len(), limit, exists);
    let weighed = Arc::clone(&world);
    let weigh = move |id: &u32| weighed.item(ItemId(*id)).map_or(0, weight);
    let write = move |id| serde_json::to_vec(&view(&world, world.item(ItemId(id))?, now)).ok();
    listed(&request, "items", page.into_iter(), weigh, write, fields([("next", json!(next))])).await
}

/// `POST /v1/items`: creates one item (201), or an array of items (200, one result each).
///
/// # Errors
/// For one item, its refusal, as `conflict` for an existing key; for many, one result per item.
pub async fn create(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    request.subject().must_be_service()?;
    let body = body::json_batch(request.incoming(), payload).await?;
    if body::is_array(&body) {
        return create_many(request, body).await;
    }
    let face: ItemInput = body::parse(&body)?;
    let warnings = face.doubts();
    let draft = draft(request.server(), face, ItemWrite::Create)?;
    write(&request, draft, ItemWrite::Create, warnings).await
}

/// `PUT /v1/items/{id}`: replaces an item; 201 for a new one, else 200.
///
/// # Errors
/// A refusal with the name of the field.
pub async fn replace(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    write_named(request, payload, ItemWrite::Replace).await
}

/// `PATCH /v1/items/{id}`: changes the given fields.
///
/// # Errors
/// `unknown_item`, or a refusal with the name of the field.
pub async fn change(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    write_named(request, payload, ItemWrite::Change).await
}

/// `DELETE /v1/items/{id}`.
///
/// # Errors
/// `unknown_item`.
pub async fn delete(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    request.subject().must_be_service()?;
    request.server().delete_item(request.item("id")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /v1/items/{id}/windows`.
///
/// # Errors
/// `unknown_item`.
pub async fn windows(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let id = request.item("id")?;
    let world = request.server().world();
    found(&known(&world, id)?.windows)
}

/// `PUT /v1/items/{id}/windows`: replaces all windows; an item without windows is always available.
///
/// # Errors
/// `conflict` with the two windows that clash, or `unknown_item`.
pub async fn set_windows(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    request.subject().must_be_service()?;
    let id = request.item("id")?;
    let list: Vec<StatedWindow> = body::json_list(request.incoming(), payload).await?;
    let windows: Vec<Window> = list.into_iter().map(Window::from).collect();
    request.warn(doubt_of(&windows, ""));
    let windows = checks::windows(windows)?;
    request.server().set_windows(id, windows.clone()).await?;
    found(&windows)
}

async fn create_many(request: AuthedRequest, body: Body) -> HttpResult {
    let parts = body::parse_aside(&body, batch::parts).await?;
    Ok(ndjson::written(&(&request).into(), move |mut results| async move {
        let mut turn = WorkerTurn::new();
        for parts in parts.chunks(CHUNK) {
            let outcomes = write_chunk(&request, parts, &mut turn).await;
            for outcome in &outcomes {
                if let Outcome::Refused { .. } = outcome {
                    request.charge_fault().await;
                }
                turn.end_if_long().await;
                if !results.send(outcome, false).await {
                    return;
                }
            }
        }
        // The parts share the bytes of the body.
        drop(body);
        results.end().await;
    }))
}

async fn write_chunk(request: &AuthedRequest, parts: &[Bytes], turn: &mut WorkerTurn) -> Vec<Outcome> {
    let (mut results, mut drafts, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        turn.end_if_long().await;
        let checked = batch::read::<ItemInput>(part).and_then(|face| {
            let warnings = face.doubts();
            Ok((draft(request.server(), face, ItemWrite::Create)?, warnings))
        });
        match checked {
            Ok((draft, warnings)) => {
                places.push((results.len(), draft.key.clone(), warnings));
                drafts.push(draft);
                results.push(None);
            }
            Err(refusal) => results.push(Some(Outcome::refused(batch::readable_key(part), refusal))),
        }
    }
    let written = request.server().write_items(drafts, ItemWrite::Create).await;
    for ((place, key, warnings), written) in places.into_iter().zip(written) {
        results[place] = Some(outcome(key, written.map_err(busy::refusal), warnings));
    }
    let unanswered = || Outcome::refused(None, Refusal::new(Code::Internal, "a draft was not answered"));
    results.into_iter().map(|result| result.unwrap_or_else(unanswered)).collect()
}

fn outcome(key: Option<Key>, written: Result<ItemWritten, Refusal>, warnings: Vec<String>) -> Outcome {
    match written {
        Ok(ItemWritten { key: id, revision, created: true, .. }) => {
            Outcome::Created { id, revision: Some(revision), warnings }
        }
        Ok(ItemWritten { key: id, revision, .. }) => Outcome::Changed { id, revision: Some(revision), warnings },
        Err(refusal) => Outcome::refused(key, refusal),
    }
}

async fn write_named(request: AuthedRequest, payload: web::Payload, how: ItemWrite) -> HttpResult {
    request.subject().must_be_service()?;
    let key = request.key("id")?;
    let face: ItemInput = body::json(request.incoming(), payload).await?;
    for (field, stated) in [("item", &face.item), ("id", &face.id)] {
        if stated.as_ref().is_some_and(|stated| *stated != key) {
            return Err(Refusal::field(Code::BadField, field, "differs from the one in the path: leave it out").into());
        }
    }
    let warnings = face.doubts();
    let draft = draft(request.server(), ItemInput { item: Some(key), ..face }, how)?;
    write(&request, draft, how, warnings).await
}

async fn write(request: &AuthedRequest, draft: ItemDraft, how: ItemWrite, warnings: Vec<String>) -> HttpResult {
    let written = request.server().write_items(vec![draft], how).await.pop();
    let none = || Problem::from(Refusal::new(Code::Internal, "a draft was not answered"));
    let ItemWritten { key, revision, created, .. } = written.ok_or_else(none)??;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut body = json!({"item": key, "id": key, "revision": revision});
    if !warnings.is_empty() {
        body["warnings"] = json!(warnings);
    }
    Ok(HttpResponse::build(status).json(body))
}

fn draft(server: &Server, face: ItemInput, how: ItemWrite) -> Result<ItemDraft, Refusal> {
    if how != ItemWrite::Change && face.text.is_none() {
        return Err(Refusal::field(Code::BadField, "text", "missing: say what there is to read"));
    }
    let key = checks::renamed(("item", face.item), ("id", face.id))?;
    let time_field = if face.at.is_some() { "at" } else { "created" };
    let created = checks::renamed(("at", face.at), ("created", face.created))?;
    let topics = main_topic(face.topic, face.topics.map(|BoundedList(topics)| topics))?;
    let author = face.author.map(|author| checks::person(server.people(), &author, "author")).transpose()?;
    let embedding = face.embedding.map(|BoundedList(numbers)| checks::embedding(numbers, server.dim())).transpose()?;
    Ok(ItemDraft {
        key,
        author,
        topics: topics.map(checks::item_topics).transpose()?,
        text: face.text.map(checks::text).transpose()?,
        attributes: face.attributes.map(|ObjectText(text)| checks::attributes(text)).transpose()?.map(Into::into),
        embedding,
        created: created.map(|created| timestamps::in_range(time_field, created)).transpose()?,
        windows: face.windows.map(checks::windows).transpose()?,
    })
}

/// The topics of an item, of which `topic` is the main one.
fn main_topic(topic: Option<Key>, topics: Option<Vec<Key>>) -> Result<Option<Vec<Key>>, Refusal> {
    match (topic, topics) {
        (Some(topic), Some(topics)) if topics.first() != Some(&topic) => {
            let message = "must be the first of `topics`: send either of them alone";
            Err(Refusal::field(Code::BadField, "topic", message))
        }
        (Some(topic), None) => Ok(Some(vec![topic])),
        (_, topics) => Ok(topics),
    }
}

impl ItemInput {
    /// Warnings about times in a doubtful unit.
    fn doubts(&self) -> Vec<String> {
        let field = if self.at.is_some() { "at" } else { "created" };
        let created = timestamps::doubt(field, self.at.or(self.created));
        created.into_iter().chain(doubt_of(self.windows.as_deref().unwrap_or_default(), "windows")).collect()
    }
}

/// A warning about the first window with a bound in a doubtful unit.
fn doubt_of(windows: &[Window], list: &str) -> Option<String> {
    windows.iter().enumerate().find_map(|(place, window)| {
        let start = timestamps::doubt(&format!("{list}[{place}].start"), Some(window.start));
        start.or_else(|| timestamps::doubt(&format!("{list}[{place}].stop"), window.stop))
    })
}

pub(super) fn known(world: &World, id: ItemId) -> Result<&Item, Problem> {
    let gone = || Problem::from(Refusal::field(Code::UnknownItem, "id", "the item was deleted just now"));
    world.item(id).filter(|item| !item.deleted).ok_or_else(gone)
}

/// The largest size of an item in JSON: all bytes of its text escaped, and all windows.
pub(crate) fn weight(item: &Item) -> usize {
    4_096
        + 6 * item.text.len()
        + item.attributes.as_ref().map_or(0, |text| text.len())
        + 64 * item.windows.as_slice().len()
}

pub(super) fn view<'a>(world: &'a World, item: &'a Item, now: Millis) -> ItemView<'a> {
    let topics = topics(world, item);
    ItemView {
        item: &item.key,
        id: &item.key,
        revision: item.revision,
        author: item.author.as_ref().map(|author| &author.key),
        topic: topics.first().copied(),
        topics,
        text: &item.text,
        attributes: item.attributes.as_ref().and_then(|text| RawValue::from_string(text.to_string()).ok()),
        at: item.created,
        created: item.created,
        windows: &item.windows,
        available: item.is_available(now),
    }
}

/// Each topic once, so that a client can write back an item that it read: earlier versions imported items with repeated
/// topics.
fn topics<'a>(world: &'a World, item: &Item) -> Vec<&'a Key> {
    let first = |(place, topic): (usize, &TopicId)| (!item.topics[..place].contains(topic)).then_some(*topic);
    item.topics.iter().enumerate().filter_map(first).filter_map(|topic| world.topic(topic)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_read_and_its_faults_are_named() {
        let text = br#"{"id":"p1","topics":["sea"],"text":"hi","windows":[{"start":1,"stop":2},{"start":5}]}"#;
        let face: ItemInput = body::parse(text).unwrap();
        assert_eq!(face.windows.map(|windows| windows.len()), Some(2));
        for (text, field) in [
            (r#"{"title":"x"}"#, "title"),
            (r#"{"topics":["a",""]}"#, "topics[1]"),
            (r#"{"windows":[{"start":1,"end":2}]}"#, "windows[0].end"),
            (r#"{"windows":[{"stop":2}]}"#, "windows[0].start"),
            (r#"{"embedding":[1,"x"]}"#, "embedding[1]"),
            (r#"{"text":"a","text":"b"}"#, "text"),
        ] {
            let refusal = body::parse::<ItemInput>(text.as_bytes()).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (Code::BadField, Some(field)), "{text}");
        }
    }
}
