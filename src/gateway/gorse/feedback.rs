//! Feedback of Gorse clients, which are interactions.
//!
//! Invariant: feedback is stored once, as an interaction whose id holds its type and value. The row of a type, a user and an
//! item is the sum of the interactions that stand. Deliberately absent: comments and labels of feedback.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::web;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actors::server::UserEvent;
use crate::domain::ids::{ItemId, Key, Position, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::journal::{Entry, Learned, Undo, What};
use crate::domain::time::Millis;
use crate::domain::timestamps;
use crate::protocol::refusal::Refusal;

use super::super::busy;
use super::super::rest::list::{fields, listed, listed_bare};
use super::super::rest::undo::id_of_undo;
use super::events::{self, Expression};
use super::reply::{
    GorseRequest, GorseResult, ROWS_MAX, affected, bad, cursor, found, instant, no_item, no_user, or_null, patiently,
};
use super::{items, users};

/// Interactions that are learned at once.
const AT_ONCE: usize = 64;
/// Rows of one user in an answer at most: the newest ones.
const ROWS_OF_USER: usize = 10_000;

/// One feedback of a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FeedbackInput {
    feedback_type: String,
    user_id: Key,
    item_id: Key,
    #[serde(default, deserialize_with = "or_null")]
    value: f64,
    #[serde(default, deserialize_with = "or_null")]
    timestamp: String,
}

/// Feedback that was checked.
#[derive(Clone, Debug)]
pub(super) struct Feedback {
    pub(super) feedback_type: Key,
    pub(super) user: Key,
    pub(super) item: Key,
    pub(super) value: f64,
    pub(super) at: Millis,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RowView {
    feedback_type: String,
    user_id: Key,
    item_id: Key,
    value: f64,
    timestamp: String,
    updated: String,
    labels: Value,
    comment: &'static str,
}

/// The sum of the interactions of one type, user and item that stand.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sum {
    value: f64,
    first: Millis,
    last: Millis,
}

impl Sum {
    fn add(rows: &mut BTreeMap<RowKey, Sum>, key: RowKey, value: f64, at: Millis) {
        let sum = rows.entry(key).or_insert(Sum { value: 0.0, first: at, last: at });
        *sum = Sum { value: sum.value + value, first: sum.first.min(at), last: sum.last.max(at) };
    }
}

type RowKey = (String, UserId, ItemId);

/// `POST /api/feedback`: adds feedback; values of an existing row are added up. Unknown users and items are created.
///
/// # Errors
/// A feedback is not readable; then nothing is written.
pub async fn insert(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let list = checked(request.list(payload).await?)?;
    affected(add(&request, list).await?)
}

/// `PUT /api/feedback`: replaces the rows of the given types, users and items.
///
/// # Errors
/// A feedback is not readable; then nothing is written.
pub async fn overwrite(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let list = checked(request.list(payload).await?)?;
    let mut rows: BTreeMap<UserId, BTreeSet<(String, ItemId)>> = BTreeMap::new();
    let world = request.server().world();
    for Feedback { feedback_type, user, item, .. } in &list {
        let known = request.server().people().find(user.as_str()).zip(world.find_item(item.as_str()));
        if let Some((user, item)) = known {
            rows.entry(user).or_default().insert((feedback_type.as_str().to_owned(), item));
        }
    }
    for (user, rows) in rows {
        remove(&request, user, |name, item| rows.contains(&(name.to_owned(), item))).await?;
    }
    // Of several feedbacks of one row the last one stands.
    let mut last = BTreeMap::new();
    let count = list.len();
    for feedback in list {
        last.insert((feedback.feedback_type.clone(), feedback.user.clone(), feedback.item.clone()), feedback);
    }
    add(&request, last.into_values().collect()).await?;
    affected(count)
}

/// `GET /api/feedback?n=&cursor=`, `GET /api/feedback/{type}`: interactions of all users in the order in which they came.
///
/// # Errors
/// A parameter is wrong.
pub async fn list(request: GorseRequest) -> GorseResult {
    let page = request.page()?;
    let expression = expression(&request)?;
    let bad_cursor = || bad("cursor", "is not one of this server: send back the last `Cursor`");
    let after = page.cursor()?.map(|text| text.parse().map_err(|_| bad_cursor())).transpose()?;
    let wanted = |entry: &Entry, learned: &Learned| {
        let (name, value) = events::read(&entry.id, learned.kind);
        expression.as_ref().is_none_or(|expression| expression.names(name) && expression.allows(value))
    };
    let (entries, next) = request
        .server()
        .interactions_after(Position(after.unwrap_or(0)), page.n, wanted)
        .await
        .map_err(busy::refusal)?;
    let row = |entry: Entry| {
        let What::Interacted(learned) = &entry.what else { return None };
        let (name, value) = events::read(&entry.id, learned.kind);
        view(&request, (name.to_owned(), entry.user, learned.item), Sum { value, first: entry.at, last: entry.at })
    };
    let rows: Vec<RowView> = entries.into_iter().filter_map(row).collect();
    let next = next.map(|Position(position)| position.to_string());
    let beside = fields([("Cursor", json!(cursor(next.as_deref())))]);
    Ok(listed(&request, "Feedback", rows.into_iter(), |_| 0, |row| serde_json::to_vec(&row).ok(), beside).await?)
}

/// `GET /api/user/{id}/feedback[/{type}]`: the rows of a user, newest first.
///
/// # Errors
/// The type is no expression, or the store cannot answer.
pub async fn of_user(request: GorseRequest) -> GorseResult {
    let expression = expression(&request)?;
    let key = request.key("id")?;
    let user = request.server().people().find(key.as_str());
    let rows = match user {
        Some(user) => rows_of(&request, user, expression.as_ref(), None).await?,
        None => Vec::new(),
    };
    bare(&request, rows).await
}

/// `GET /api/item/{id}/feedback[/{type}]`: the rows of an item, newest first, from its newest interactions.
///
/// # Errors
/// The type is no expression, or the store cannot answer.
pub async fn of_item(request: GorseRequest) -> GorseResult {
    let expression = expression(&request)?;
    let key = request.key("id")?;
    let Some(item) = request.server().world().find_item(key.as_str()) else { return bare(&request, Vec::new()).await };
    let entries = request.server().interactions_with_item(item, None, ROWS_MAX as u32).await?;
    let mut rows = BTreeMap::new();
    for (_, entry) in entries {
        let What::Interacted(learned) = &entry.what else { continue };
        let (name, value) = events::read(&entry.id, learned.kind);
        if expression.as_ref().is_none_or(|expression| expression.names(name)) {
            Sum::add(&mut rows, (name.to_owned(), entry.user, item), value, entry.at);
        }
    }
    bare(&request, newest(rows, expression.as_ref())).await
}

/// `GET /api/feedback/{user}/{item}`: the rows of a user and an item, of all types.
///
/// # Errors
/// The store cannot answer.
pub async fn between(request: GorseRequest) -> GorseResult {
    let rows = match pair(&request)? {
        Some((user, item)) => rows_of(&request, user, None, Some(item)).await?,
        None => Vec::new(),
    };
    bare(&request, rows).await
}

/// `GET /api/feedback/{type}/{user}/{item}`: one row, or an empty object.
///
/// # Errors
/// The store cannot answer.
pub async fn one(request: GorseRequest) -> GorseResult {
    let expression = expression(&request)?;
    let rows = match pair(&request)? {
        Some((user, item)) => rows_of(&request, user, expression.as_ref(), Some(item)).await?,
        None => Vec::new(),
    };
    match rows.into_iter().find_map(|(key, sum)| view(&request, key, sum)) {
        Some(row) => found(&row),
        None => found(&json!({})),
    }
}

/// `DELETE /api/feedback/{user}/{item}`, `DELETE /api/feedback/{type}/{user}/{item}`: cancels the interactions of these rows.
///
/// # Errors
/// The store cannot answer.
pub async fn delete(request: GorseRequest) -> GorseResult {
    let expression = expression(&request)?;
    let Some((user, of)) = pair(&request)? else { return affected(0) };
    let is_named = |name: &str| expression.as_ref().is_none_or(|expression| expression.names(name));
    affected(remove(&request, user, |name, item| item == of && is_named(name)).await?)
}

/// Checks all feedback of a body.
fn checked(list: Vec<FeedbackInput>) -> Result<Vec<Feedback>, Refusal> {
    let one = |FeedbackInput { feedback_type, user_id, item_id, value, timestamp }: FeedbackInput| {
        let feedback_type = events::checked_type(&feedback_type)?;
        if !value.is_finite() {
            return Err(bad("Value", "must be a finite number"));
        }
        // The zero instant of Gorse stands for none.
        let at = instant(&timestamp)?.filter(|at| *at > Millis::MIN);
        Ok(Feedback { feedback_type, user: user_id, item: item_id, value, at: at.unwrap_or(Millis::ON_ARRIVAL) })
    };
    list.into_iter().map(one).collect()
}

/// Learns feedback, and creates the users and items that it names. Returns its number.
pub(super) async fn add(request: &GorseRequest, list: Vec<Feedback>) -> Result<usize, Refusal> {
    let people = request.server().people();
    let unknown = |feedback: &&Feedback| people.find(feedback.user.as_str()).is_none();
    let strangers: BTreeSet<Key> = list.iter().filter(unknown).map(|feedback| feedback.user.clone()).collect();
    let made = stream::iter(strangers).map(|key| users::write(request, key, None));
    made.buffered(AT_ONCE).try_collect::<()>().await?;
    items::ensure(request, list.iter().map(|feedback| feedback.item.clone()).collect()).await?;
    let count = list.len();
    // Begun in order, so that the feedback of one user is learned in order.
    stream::iter(list).map(|feedback| learn(request, feedback)).buffered(AT_ONCE).try_collect::<()>().await?;
    Ok(count)
}

async fn learn(request: &GorseRequest, feedback: Feedback) -> Result<(), Refusal> {
    let server = request.server();
    let user = server.people().find(feedback.user.as_str()).ok_or_else(|| no_user(&feedback.user))?;
    let item = server.world().find_item(feedback.item.as_str()).ok_or_else(|| no_item(&feedback.item))?;
    let event = UserEvent::Interacted(Interaction {
        id: events::id_of(&feedback.feedback_type, feedback.value)?,
        item,
        kind: request.gorse().kind(feedback.feedback_type.as_str()),
        dwell_ms: None,
        at: feedback.at,
        shown: None,
        passed: Vec::new(),
    });
    patiently(|| server.act(user, event.clone())).await.map(drop)
}

/// Cancels the interactions of a user that stand and belong to a row that is `wanted`. Returns the number of rows.
async fn remove(request: &GorseRequest, user: UserId, wanted: impl Fn(&str, ItemId) -> bool) -> Result<usize, Refusal> {
    let (mut rows, mut cancelled) = (BTreeSet::new(), Vec::new());
    let take = |entry: &Entry, learned: &Learned| {
        let (name, _) = events::read(&entry.id, learned.kind);
        if wanted(name, learned.item) {
            rows.insert((name.to_owned(), learned.item));
            cancelled.push(entry.id.clone());
        }
    };
    request.server().each_interaction(user, take).await.map_err(busy::refusal)?;
    for event in cancelled {
        cancel(request, user, event).await?;
    }
    Ok(rows.len())
}

/// Cancels one interaction.
async fn cancel(request: &GorseRequest, user: UserId, event: Key) -> Result<(), Refusal> {
    let id = id_of_undo(&event)?;
    let undone = UserEvent::Undone { id, of: Undo::Event(event), cancels: Vec::new(), at: request.now() };
    patiently(|| request.server().act(user, undone.clone())).await.map(drop)
}

/// Items with which a user has feedback that stands.
pub(super) async fn items_of(request: &GorseRequest, user: UserId) -> Result<BTreeSet<ItemId>, Refusal> {
    let mut items = BTreeSet::new();
    let take = |_: &Entry, learned: &Learned| _ = items.insert(learned.item);
    request.server().each_interaction(user, take).await.map_err(busy::refusal)?;
    Ok(items)
}

/// The rows of a user, newest first.
async fn rows_of(
    request: &GorseRequest,
    user: UserId,
    expression: Option<&Expression>,
    item: Option<ItemId>,
) -> Result<Vec<(RowKey, Sum)>, Refusal> {
    let mut rows = BTreeMap::new();
    let take = |entry: &Entry, learned: &Learned| {
        let (name, value) = events::read(&entry.id, learned.kind);
        let is_named = expression.is_none_or(|expression| expression.names(name));
        if is_named && item.is_none_or(|item| item == learned.item) {
            Sum::add(&mut rows, (name.to_owned(), user, learned.item), value, entry.at);
        }
        if rows.len() >= 2 * ROWS_OF_USER {
            rows = newest(std::mem::take(&mut rows), None).into_iter().take(ROWS_OF_USER).collect();
        }
    };
    request.server().each_interaction(user, take).await.map_err(busy::refusal)?;
    let mut rows = newest(rows, expression);
    rows.truncate(ROWS_OF_USER);
    Ok(rows)
}

/// Rows whose sums an expression allows, newest first.
fn newest(rows: BTreeMap<RowKey, Sum>, expression: Option<&Expression>) -> Vec<(RowKey, Sum)> {
    let allowed = |(_, sum): &(RowKey, Sum)| expression.is_none_or(|expression| expression.allows(sum.value));
    let mut rows: Vec<(RowKey, Sum)> = rows.into_iter().filter(allowed).collect();
    rows.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.last));
    rows
}

async fn bare(request: &GorseRequest, rows: Vec<(RowKey, Sum)>) -> GorseResult {
    let named = request.clone();
    let write = move |(key, sum)| serde_json::to_vec(&view(&named, key, sum)?).ok();
    Ok(listed_bare(request, rows.into_iter(), |_| 0, write).await?)
}

fn view(request: &GorseRequest, (feedback_type, user, item): RowKey, sum: Sum) -> Option<RowView> {
    Some(RowView {
        feedback_type,
        user_id: request.server().people().get(user)?.key.clone(),
        item_id: request.server().world().item(item)?.key.clone(),
        value: sum.value,
        timestamp: timestamps::text(sum.first),
        updated: timestamps::text(sum.last),
        labels: Value::Null,
        comment: "",
    })
}

/// The expression in the path, if the route has one.
fn expression(request: &GorseRequest) -> Result<Option<Expression>, Refusal> {
    request.has_segment("type").then(|| Expression::parse(request.key("type")?.as_str())).transpose()
}

/// User and item of the path; `None` where one is unknown.
fn pair(request: &GorseRequest) -> Result<Option<(UserId, ItemId)>, Refusal> {
    let (user, item) = (request.key("user")?, request.key("item")?);
    let world = request.server().world();
    Ok(request.server().people().find(user.as_str()).zip(world.find_item(item.as_str())))
}
