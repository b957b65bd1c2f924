//! Lists of users, follows and deletions, each part with its own result.
//!
//! Invariant: a part has the effect, the rights and the errors of the route for one. A refused part affects no other, and
//! costs its sender a request. Deliberately absent: lists of items (`items`) and of interactions (`interactions`).

use actix_web::web;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::actors::server::UserEvent;
use crate::domain::ids::{Key, Seq};
use crate::domain::stated_time::{self, StatedTime};
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body;
use super::super::busy;
use super::super::checks;
use super::super::errors::{HttpResult, Problem};
use super::super::event_ids;
use super::super::request::AuthedRequest;
use super::super::timestamps;
use super::batch::{self, Outcome};
use super::parts::{self, Dispatched};
use super::people::{self, PersonInput};
use super::rights;

/// A user of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserInput {
    /// The key of the user.
    #[serde(default)]
    user: Option<Key>,
    /// The earlier name of `user`; version 0.2 removes it.
    #[serde(default)]
    #[schemars(extend("deprecated" = true))]
    id: Option<Key>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    attributes: Option<body::ObjectText>,
}

/// A follow of a list, or its end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowInput {
    user: Key,
    whom: Key,
    /// False ends the follow.
    #[serde(default = "yes")]
    on: bool,
    #[serde(default)]
    id: Option<Key>,
    #[serde(default, deserialize_with = "stated_time::optional")]
    #[schemars(with = "Option<StatedTime>")]
    at: Option<Millis>,
}

fn yes() -> bool {
    true
}

/// A deletion of a list: one item or one user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeletionInput {
    /// The key of the item; absent for a user.
    #[serde(default)]
    item: Option<Key>,
    /// The key of the user; absent for an item.
    #[serde(default)]
    user: Option<Key>,
}

/// `POST /v1/users`: creates or changes users.
///
/// # Errors
/// A refusal of the whole list; else one result per part.
pub async fn users(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    each(request, payload, |request, part: UserInput| async move {
        let UserInput { user, id, name, attributes } = part;
        let missing = || Refusal::field(Code::BadField, "user", "missing: name the user");
        let named = checks::renamed(("user", user), ("id", id.clone())).and_then(|key| key.ok_or_else(missing));
        let id = match named {
            Ok(key) => key,
            Err(refusal) => return Outcome::refused(id, refusal),
        };
        match people::put_one(&request, &id, PersonInput { name, attributes }).await {
            Ok((true, _)) => Outcome::Created { id, revision: None, warnings: Vec::new() },
            Ok((false, _)) => Outcome::Changed { id, revision: None, warnings: Vec::new() },
            Err(problem) => Outcome::refused(Some(id), problem.refusal().clone()),
        }
    })
    .await
}

/// `POST /v1/follows`: follows and unfollows.
///
/// # Errors
/// A refusal of the whole list; else one result per part.
pub async fn follows(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    each(request, payload, |request, part: FollowInput| async move {
        let id = part.id.clone().unwrap_or_else(event_ids::fresh);
        let warnings = timestamps::doubt("at", part.at).into_iter().collect();
        match follow(&request, part, id.clone()).await {
            Ok(seq) => Outcome::Accepted { id, seq, warnings },
            Err(refusal) => Outcome::refused(Some(id), refusal),
        }
    })
    .await
}

async fn follow(request: &AuthedRequest, part: FollowInput, id: Key) -> Result<Seq, Refusal> {
    let server = request.server();
    let who = request.named(part.user, "user")?;
    request.spend(who.id)?;
    let user = checks::followee(server.people(), who.id, &part.whom, "whom")?;
    let at = checks::happened(part.at, server.clock().now())?;
    let event = match part.on {
        true => UserEvent::Followed { id, user, at },
        false => UserEvent::Unfollowed { id, user, at },
    };
    server.act(who.id, event).await.map_err(busy::refusal)
}

/// `POST /v1/deletions`: deletes items, and erases users.
///
/// # Errors
/// A refusal of the whole list; else one result per part.
pub async fn deletions(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    each(request, payload, |request, part: DeletionInput| async move {
        let (id, done) = match (part.item, part.user) {
            (Some(key), None) => (key.clone(), delete_item(&request, &key).await),
            (None, Some(key)) => (key.clone(), rights::erase_one(&request, key, "user").await),
            (item, _) => {
                let refusal = Refusal::field(Code::BadField, "item", "give either an item or a user");
                return Outcome::refused(item, refusal);
            }
        };
        match done {
            Ok(()) => Outcome::Deleted { id },
            Err(problem) => Outcome::refused(Some(id), problem.refusal().clone()),
        }
    })
    .await
}

async fn delete_item(request: &AuthedRequest, key: &Key) -> Result<(), Problem> {
    request.subject().must_be_service()?;
    let item = checks::item(&request.server().world(), key, "item")?;
    Ok(request.server().delete_item(item).await?)
}

/// Carries out each part of a list, or of lines of JSON.
async fn each<T, W>(
    request: AuthedRequest,
    payload: web::Payload,
    act: impl Fn(AuthedRequest, T) -> W + Clone + 'static,
) -> HttpResult
where
    T: DeserializeOwned + 'static,
    W: Future<Output = Outcome> + 'static,
{
    request.query(&[])?;
    match parts::each(&request, payload, batch::readable_key, act).await? {
        Dispatched::List(answer) => Ok(answer),
        Dispatched::One(_) => Err(Refusal::new(Code::BadField, "the body must be a list").into()),
    }
}
