//! Interactions of users: single, in bulk, and listed.
//!
//! Invariant: the server learns an interaction once per user and `id`, by whatever route it arrives. An accepted
//! interaction is durable. Deliberately absent: learning.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::ids::{Key, Position, Seq};
use crate::domain::interactions::{Act, Kind, Shown};
use crate::domain::journal::{Entry, Learned, Predicted, What};
use crate::domain::stated_time::{self, StatedTime};
use crate::domain::text::ATTRIBUTES_BYTES_MAX;
use crate::domain::time::Millis;
use crate::domain::timestamps as civil;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body;
use super::super::busy;
use super::super::checks::{self, InteractionDraft};
use super::super::cursor::{self, CursorList};
use super::super::errors::HttpResult;
use super::super::event_ids;
use super::super::query::Query;
use super::super::request::AuthedRequest;
use super::super::timestamps;
use super::batch::{self, Outcome};
use super::list::{LIST_DEFAULT, LIST_MAX, found, listed, listed_bare};
use super::parts::{self, Dispatched};
use super::{items, people};

// Tries of a part of a batch while the server is busy; after these the sender sets the pace.
const TRIES: u32 = 10;
const PAUSE_MS_MAX: u32 = 2_000;

/// One interaction in the form of REST.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InteractionInput {
    user: Key,
    #[serde(default)]
    id: Option<Key>,
    item: Key,
    kind: Act,
    #[serde(default)]
    dwell_ms: Option<u32>,
    #[serde(default, deserialize_with = "stated_time::optional")]
    #[schemars(with = "Option<StatedTime>")]
    at: Option<Millis>,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "Interaction")]
pub(crate) struct InteractionView {
    user: Key,
    seq: Seq,
    id: Key,
    item: Key,
    kind: Kind,
    at: Millis,
    received: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    dwell_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    liked_at: Option<Millis>,
    predicted: Predicted,
}

/// `POST /v1/interactions`: one object, an array, or NDJSON.
///
/// # Errors
/// For one object, its refusal; for many, one result per part.
pub async fn take(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    let learn = |request: AuthedRequest, posted| async move { retried(&request, posted).await };
    match parts::each(&request, payload, batch::readable_id, learn).await? {
        Dispatched::List(answer) => Ok(answer),
        Dispatched::One(body) => one(&request, &body).await,
    }
}

/// `GET /user/{id}/feed?limit=&after=&expand=&compat=`: interactions of a user, newest first.
///
/// # Errors
/// `unknown_user`, or a refusal with the name of the parameter.
pub(crate) async fn of_person(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["limit", "after", "expand", "compat"])?;
    let (limit, shape) = (query.limit(LIST_DEFAULT, LIST_MAX)?, Shape::of(&query)?);
    let who = request.person()?;
    let list = CursorList::new("interactions of a user", &[who.key.as_str()]);
    let before = list.read(&query)?.map(|[seq]| seq);
    // One entry beyond the page tells whether a next page exists.
    let mut entries = request.server().interactions_of_user(who.id, before, limit + 1).await?;
    let next = cursor::cut(&mut entries, limit as usize, |(_, entry)| list.write([entry.seq.0]));
    shape.answer(&request, entries, next).await
}

/// `GET /post/{id}/feed?limit=&after=&expand=&compat=`: interactions of all users with an item, newest first.
///
/// # Errors
/// `forbidden` for a user token, or `unknown_item`.
pub(crate) async fn with_item(request: AuthedRequest) -> HttpResult {
    let query = request.query(&["limit", "after", "expand", "compat"])?;
    let (limit, shape) = (query.limit(LIST_DEFAULT, LIST_MAX)?, Shape::of(&query)?);
    request.subject().must_be_service()?;
    let (item, key) = (request.item("id")?, request.key("id")?);
    let list = CursorList::new("interactions with an item", &[key.as_str()]);
    let before = list.read(&query)?.map(|[position]| position);
    let mut entries = request.server().interactions_with_item(item, before, limit + 1).await?;
    let next = cursor::cut(&mut entries, limit as usize, |(position, _)| list.write([position.0]));
    shape.answer(&request, entries, next).await
}

/// The form in which interactions are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    /// Each entry holds its user.
    user: bool,
    /// Each entry holds its item.
    post: bool,
    /// A bare list of rows `{user_id, post_id, action, target, timestamp}`.
    rows: bool,
}

impl Shape {
    fn of(query: &Query) -> Result<Shape, Refusal> {
        let mut shape = Shape::default();
        for part in query.text("expand").into_iter().flat_map(|list| list.split(',')) {
            match part {
                "user" => shape.user = true,
                "post" => shape.post = true,
                other => {
                    let message = format!("must be user, post or user,post, has {other:?}");
                    return Err(Refusal::field(Code::BadField, "expand", message));
                }
            }
        }
        shape.rows = query.one_of("compat", &["list"])?.is_some();
        Ok(shape)
    }

    /// A bare list of rows has no place for the cursor of its next page.
    async fn answer(
        self,
        request: &AuthedRequest,
        entries: Vec<(Position, Entry)>,
        next: Option<String>,
    ) -> HttpResult {
        let next = cursor::next_field(next);
        if self == Shape::default() {
            let mut body = next;
            body.insert("interactions".to_owned(), json!(views(request, entries)));
            return found(&body);
        }
        let (world, server, now) = (request.server().world(), request.server().clone(), request.server().clock().now());
        let most = entries.len();
        let views = views(request, entries);
        let size_of = Arc::clone(&world);
        let size = move |(view, _): &(InteractionView, Option<TableRow>)| {
            let item = size_of.find_item(view.item.as_str()).and_then(|id| size_of.item(id)).filter(|_| self.post);
            512 + item.map_or(0, items::weight) + if self.user { ATTRIBUTES_BYTES_MAX } else { 0 }
        };
        let write = move |(view, row): (InteractionView, Option<TableRow>)| {
            let item = world.find_item(view.item.as_str()).and_then(|id| world.item(id)).filter(|_| self.post);
            let post = item.and_then(|item| serde_json::to_value(items::view(&world, item, now)).ok());
            let person = server.people().find(view.user.as_str()).filter(|_| self.user);
            let user = person.and_then(|id| serde_json::to_value(people::view(&*server.people().get(id)?, None)).ok());
            let mut all = match row {
                Some(row) => row.of(&view),
                None => serde_json::to_value(&view).ok()?,
            };
            if let Some(user) = user {
                all["user_detail"] = user;
            }
            if let Some(post) = post {
                all["post_detail"] = post;
            }
            serde_json::to_vec(&all).ok()
        };
        match self.rows {
            true => listed_bare(request, table(views, most).into_iter(), size, write).await,
            false => {
                let views = views.into_iter().map(|view| (view, None));
                listed(request, "interactions", views, size, write, next).await
            }
        }
    }
}

/// Action, target and instant of one row of a feed table.
#[derive(Clone, Copy)]
struct TableRow {
    action: &'static str,
    target: bool,
    at: Millis,
}

impl TableRow {
    fn of(self, view: &InteractionView) -> Value {
        json!({
            "user_id": view.user,
            "post_id": view.item,
            "action": self.action,
            "target": u8::from(self.target),
            "timestamp": civil::text(self.at),
        })
    }
}

/// Rows of a feed table, newest first, at most `most`. An imported view that was liked later is two rows, `view` with
/// target 1 and `like`. Another like is one row with target 1.
fn table(views: Vec<InteractionView>, most: usize) -> Vec<(InteractionView, Option<TableRow>)> {
    let mut rows = Vec::with_capacity(views.len());
    for view in views {
        let target = view.kind == Kind::Like;
        if let Some(at) = view.liked_at {
            rows.push((view.clone(), TableRow { action: "like", target: false, at }));
        }
        let action = if target && view.liked_at.is_none() { "like" } else { "view" };
        let row = TableRow { action, target, at: view.at };
        rows.push((view, row));
    }
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.at));
    rows.truncate(most);
    rows.into_iter().map(|(view, row)| (view, Some(row))).collect()
}

async fn one(request: &AuthedRequest, body: &[u8]) -> HttpResult {
    let mut posted: InteractionInput = body::parse(body)?;
    posted.id = Some(request.event_id(posted.id)?);
    let doubt = timestamps::doubt("at", posted.at);
    let (id, acted) = act(request, posted).await;
    let mut body = json!({"id": id, "status": "accepted", "seq": acted?});
    if let Some(doubt) = doubt {
        body["warnings"] = json!([doubt]);
    }
    found(&body)
}

/// Carries out one part of a batch. While the server is busy the batch waits, so that a bulk load runs at the server's
/// pace.
async fn retried(request: &AuthedRequest, mut posted: InteractionInput) -> Outcome {
    // All tries share one id, so that a try finds an event that an earlier one has stored.
    posted.id.get_or_insert_with(event_ids::fresh);
    let doubt = timestamps::doubt("at", posted.at);
    for attempt in 1..TRIES {
        match act(request, posted.clone()).await {
            (_, Err(Refusal { code: Code::Busy | Code::RateLimited, retry_after_ms, .. })) => {
                // Many parts may wait for one bucket, and its answer counts for the next one only: each try waits longer.
                let least = (10 << attempt).min(PAUSE_MS_MAX);
                let pause = retry_after_ms.unwrap_or(100).clamp(least, PAUSE_MS_MAX);
                tokio::time::sleep(Duration::from_millis(u64::from(pause))).await;
            }
            (id, acted) => return outcome(id, acted, doubt),
        }
    }
    let (id, acted) = act(request, posted).await;
    outcome(id, acted, doubt)
}

fn outcome(id: Key, acted: Result<Seq, Refusal>, doubt: Option<String>) -> Outcome {
    match acted {
        Ok(seq) => Outcome::Accepted { id, seq, warnings: doubt.into_iter().collect() },
        Err(refusal) => Outcome::refused(Some(id), refusal),
    }
}

async fn act(request: &AuthedRequest, posted: InteractionInput) -> (Key, Result<Seq, Refusal>) {
    let InteractionInput { user, id, item, kind, dwell_ms, at } = posted;
    let id = id.unwrap_or_else(event_ids::fresh);
    let checked = request.named(user, "user").and_then(|who| {
        request.spend(who.id)?;
        let event =
            checks::interaction(request.server(), InteractionDraft { id: id.clone(), item, kind, dwell_ms, at })?;
        Ok((who, event))
    });
    let acted = match checked {
        Ok((who, event)) => request.server().act(who.id, event).await.map_err(busy::refusal),
        Err(refusal) => Err(refusal),
    };
    (id, acted)
}

fn views(request: &AuthedRequest, entries: Vec<(Position, Entry)>) -> Vec<InteractionView> {
    let (world, people) = (request.server().world(), request.server().people());
    let view = |(_, entry): (Position, Entry)| {
        let What::Interacted(Learned { item, kind, dwell_ms, shown, predicted, liked_at, .. }) = entry.what else {
            return None;
        };
        let Entry { user, seq, id, at, received, .. } = entry;
        let user = people.get(user)?.key.clone();
        let item = world.item(item)?.key.clone();
        Some(InteractionView { user, seq, id, item, kind, at, received, dwell_ms, shown, liked_at, predicted })
    };
    entries.into_iter().filter_map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interaction_is_read_and_its_faults_are_named() {
        let good: InteractionInput = body::parse(br#"{"user":"ada","item":"p1","kind":"like","at":5}"#).unwrap();
        let key = |text| Key::new(text).unwrap();
        let expected = InteractionInput {
            user: key("ada"),
            id: None,
            item: key("p1"),
            kind: Kind::Like.into(),
            dwell_ms: None,
            at: Some(Millis(5)),
        };
        assert_eq!(good, expected);
        for (text, field) in [
            (r#"{"item":"p1","kind":"like"}"#, "user"),
            (r#"{"user":"","item":"p1","kind":"like"}"#, "user"),
            (r#"{"user":"ada","item":"p1","kind":"love"}"#, "kind"),
            (r#"{"user":"ada","item":"p1","kind":"like","dwell_ms":-1}"#, "dwell_ms"),
            (r#"{"user":"ada","item":"p1","kind":"like","when":1}"#, "when"),
            (r#"{"user":"ada","user":"bob","item":"p1","kind":"like"}"#, "user"),
        ] {
            let refusal = body::parse::<InteractionInput>(text.as_bytes()).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (Code::BadField, Some(field)), "{text}");
        }
    }
}
