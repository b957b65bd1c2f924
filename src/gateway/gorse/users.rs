//! Users of Gorse clients, which are the server's users.
//!
//! Invariant: labels and comment live in the user's attributes. The list is ordered by the bytes of the id.

use actix_web::web;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::ids::Key;
use crate::domain::people::Person;
use crate::protocol::refusal::Refusal;

use super::super::request::NamedPerson;
use super::super::rest::list::{fields, listed};
use super::super::rest::{people, rights};
use super::labels::Facts;
use super::reply::{GorseRequest, GorseResult, affected, cursor, found, no_user, or_null, patiently};

/// Users that are written at once.
const AT_ONCE: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UserView {
    user_id: Key,
    labels: Value,
    comment: String,
}

impl UserView {
    fn of(person: &Person) -> UserView {
        let Facts { labels, comment, .. } = Facts::read(person.attributes.as_deref());
        UserView { user_id: person.key.clone(), labels, comment }
    }
}

/// The body of POST.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserInput {
    user_id: Key,
    #[serde(default)]
    labels: Value,
    #[serde(default, deserialize_with = "or_null")]
    comment: String,
}

/// The body of PATCH: a null field stays as it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub struct UserPatch {
    labels: Option<Value>,
    comment: Option<String>,
}

/// `POST /api/user`, `POST /api/users`: creates or replaces users.
///
/// # Errors
/// A user is not readable; then nothing is written.
pub async fn insert(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let list: Vec<UserInput> = request.list(payload).await?;
    let facts = |UserInput { user_id, labels, comment }: UserInput| {
        Ok::<_, Refusal>((user_id, Facts { labels, comment, has_embedding: false }.write()?))
    };
    let users = list.into_iter().map(facts).collect::<Result<Vec<_>, _>>()?;
    let count = users.len();
    let request = &request;
    let writes = stream::iter(users).map(|(key, attributes)| write(request, key, attributes));
    writes.buffered(AT_ONCE).try_collect::<()>().await?;
    affected(count)
}

/// `GET /api/user/{id}`.
///
/// # Errors
/// The user is unknown.
pub async fn one(request: GorseRequest) -> GorseResult {
    let person = request.server().people().get(request.user("id")?);
    found(&UserView::of(&*person.ok_or(no_user(&request.key("id")?))?))
}

/// `PATCH /api/user/{id}`.
///
/// # Errors
/// The user is unknown, or a field is wrong.
pub async fn patch(request: GorseRequest, payload: web::Payload) -> GorseResult {
    let key = request.key("id")?;
    let UserPatch { labels, comment } = request.object(payload).await?;
    let person = request.server().people().get(request.user("id")?).ok_or_else(|| no_user(&key))?;
    let mut facts = Facts::read(person.attributes.as_deref());
    facts.labels = labels.unwrap_or(facts.labels);
    facts.comment = comment.unwrap_or(facts.comment);
    write(&request, key, facts.write()?).await?;
    affected(1)
}

/// `DELETE /api/user/{id}`: erases the user. The answer is 1 for an unknown user, too, as in Gorse.
///
/// # Errors
/// Busy while the store cannot answer.
pub async fn delete(request: GorseRequest) -> GorseResult {
    let key = request.key("id")?;
    if let Some(id) = request.server().people().find(key.as_str()) {
        rights::erase_person(&request, NamedPerson { key, id }).await?;
    }
    affected(1)
}

/// `GET /api/users?n=&cursor=`: users in the order of their ids.
///
/// # Errors
/// A parameter is wrong.
pub async fn list(request: GorseRequest) -> GorseResult {
    let page = request.page()?;
    let mut people = request.server().people().after(page.cursor()?.as_deref(), page.n + 1);
    let more = people.len() > page.n;
    people.truncate(page.n);
    let next = cursor(people.last().filter(|_| more).map(|person| person.key.as_str()));
    let write = |person: std::sync::Arc<Person>| serde_json::to_vec(&UserView::of(&person)).ok();
    Ok(listed(&request, "Users", people.into_iter(), |_| 0, write, fields([("Cursor", json!(next))])).await?)
}

/// Creates a user, or replaces the attributes of one.
pub(super) async fn write(request: &GorseRequest, key: Key, attributes: Option<String>) -> Result<(), Refusal> {
    let server = request.server();
    // A user with attributes gets empty ones; `None` would leave them as they are.
    let had_some = || {
        let person = server.people().find(key.as_str()).and_then(|id| server.people().get(id));
        person.is_some_and(|person| person.attributes.is_some())
    };
    let attributes = attributes.or_else(|| had_some().then(|| "{}".to_owned()));
    patiently(|| people::write(server, key.clone(), None, attributes.clone())).await.map(drop)
}
