//! Users and their follows.
//!
//! Invariant: a user reads and changes only themselves; the list is for services. Deliberately absent: erasure and
//! export (`rights`).

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::actors::errors::RequestError;
use crate::actors::population::Clustering;
use crate::actors::server::{Server, UserEvent};
use crate::domain::ids::{Key, UserId};
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, ObjectText};
use super::super::checks;
use super::super::errors::{HttpResult, Problem};
use super::super::event_ids;
use super::super::request::AuthedRequest;
use super::clusters;
use super::list::{LIST_DEFAULT, LIST_MAX, fields, found, found_or_unchanged, listed};

#[derive(Serialize)]
struct PersonView<'a> {
    user: &'a Key,
    /// The earlier name of `user`; version 0.2 removes it.
    id: &'a Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Box<RawValue>>,
    created: Millis,
    cluster: Value,
    /// Keys of the followed users; only where one user is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    friends: Option<Vec<Key>>,
}

impl<'a> PersonView<'a> {
    fn new(person: &'a Person, clusters: Option<&Clustering>) -> Self {
        PersonView {
            cluster: clusters::place_of(clusters, person.id),
            user: &person.key,
            id: &person.key,
            name: person.name.as_deref(),
            attributes: person.attributes.as_ref().and_then(|text| RawValue::from_string(text.clone()).ok()),
            created: person.created,
            friends: None,
        }
    }
}

/// A user as JSON, with their cluster.
pub(super) fn view<'a>(person: &'a Person, clusters: Option<&Clustering>) -> impl Serialize + 'a {
    PersonView::new(person, clusters)
}

/// The body of PUT.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PersonInput {
    pub(super) name: Option<String>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(super) attributes: Option<ObjectText>,
}

/// `GET /user/{id}`, `GET /v1/users/{id}`: the user with their friends, the users whom they follow.
///
/// # Errors
/// `unknown_user`, or busy when the store does not answer in time.
pub async fn person(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let named = request.person()?;
    let follows = request.server().follows(named.id).await?;
    let people = request.server().people();
    let friends = follows.iter().filter_map(|id| people.get(*id)).map(|friend| friend.key.clone()).collect();
    let (person, clusters) = (known(&request, named.id)?, request.server().clusters());
    let view = PersonView { friends: Some(friends), ..PersonView::new(&person, clusters.as_deref()) };
    found_or_unchanged(&request, &view)
}

/// `GET /v1/users?prefix=&limit=&after=&cluster=&clustering=`: users by key; `next` is the `after` of the next page.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn list(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["prefix", "limit", "after", "cluster", "clustering"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)? as usize;
    let (asked, clusters) = (clusters::asked(&request, &query)?, request.server().clusters());
    let (server, prefix) = (request.server().clone(), query.text("prefix").unwrap_or_default().to_owned());
    let after = query.key("after")?;
    // One user beyond the page tells whether a next page exists.
    let chosen = move || match asked {
        None => server.people().list_after(after, &prefix, limit + 1, |_| true),
        Some((group, clusters)) => {
            let members: BTreeSet<UserId> = clusters.in_group(group).collect();
            server.people().list_after(after, &prefix, limit + 1, |id| members.contains(&id))
        }
    };
    let mut people = request.scan(chosen).await?;
    let has_more = people.len() > limit;
    people.truncate(limit);
    let next = people.last().filter(|_| has_more).map(|person| person.key.clone());
    let write = move |person: Arc<Person>| serde_json::to_vec(&PersonView::new(&person, clusters.as_deref())).ok();
    listed(&request, "users", people.into_iter(), |_| 0, write, fields([("next", json!(next))])).await
}

/// `PUT /v1/users/{id}`: creates a user (201) or changes one (200). The body is optional.
///
/// # Errors
/// `bad_field` or `out_of_range` for `name` or `attributes`.
pub async fn put(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    let key = request.key("id")?;
    request.subject().may_act_as(&key)?;
    let face: PersonInput = body::json_or_nothing(request.incoming(), payload).await?;
    let (created, person) = put_one(&request, &key, face).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(PersonView::new(&person, request.server().clusters().as_deref())))
}

/// Creates or changes a user. True for a new one.
///
/// # Errors
/// `forbidden`; `bad_field` or `out_of_range` for `name` or `attributes`.
pub(super) async fn put_one(
    request: &AuthedRequest,
    key: &Key,
    face: PersonInput,
) -> Result<(bool, Arc<Person>), Problem> {
    request.subject().may_act_as(key)?;
    let name = face.name.map(name).transpose()?;
    let attributes = face.attributes.map(|ObjectText(text)| checks::attributes(text)).transpose()?;
    // Checks the token again: if it was revoked with its user while the body arrived, it must not create the user anew.
    request.still_admitted()?;
    let created = write(request.server(), key.clone(), name, attributes).await?;
    let id = checks::person(request.server().people(), key, "id")?;
    Ok((created, known(request, id)?))
}

/// Creates (true) or changes (false) a user, and measures the attributes that are declared metrics. `None` leaves a property
/// unchanged.
///
/// # Errors
/// Busy when the journal's queue is full, the store does not answer in time, or the user is being erased.
pub(crate) async fn write(
    server: &Server,
    key: Key,
    name: Option<String>,
    attributes: Option<String>,
) -> Result<bool, RequestError> {
    let measured = attributes.as_deref().map(|text| server.world().settings().metrics.of_attributes(text));
    let created = server.put_person(key.clone(), name, attributes).await?;
    let id = checks::person(server.people(), &key, "id")?;
    let events = measured.unwrap_or_default().into_iter().map(|measured| UserEvent::Measured {
        id: event_ids::fresh(),
        measured,
        at: Millis::ON_ARRIVAL,
    });
    server.measure(id, events.collect()).await?;
    Ok(created)
}

/// `PUT /v1/users/{id}/follows/{whom}`.
///
/// # Errors
/// `unknown_user`, or `out_of_range` for the follower.
pub async fn follow(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    graph(request, |id, user, at| UserEvent::Followed { id, user, at }).await
}

/// `DELETE /v1/users/{id}/follows/{whom}`.
///
/// # Errors
/// `unknown_user`, or `out_of_range` for the follower.
pub async fn unfollow(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    graph(request, |id, user, at| UserEvent::Unfollowed { id, user, at }).await
}

async fn graph(request: AuthedRequest, event: fn(Key, UserId, Millis) -> UserEvent) -> HttpResult {
    let who = request.person()?;
    let server = request.server();
    let whom = checks::followee(server.people(), who.id, &request.key("whom")?, "whom")?;
    let id = request.event_id(None)?;
    let seq = server.act(who.id, event(id.clone(), whom, server.clock().now())).await?;
    found(&json!({"id": id, "seq": seq}))
}

fn known(request: &AuthedRequest, id: UserId) -> Result<Arc<Person>, Problem> {
    let person = request.server().people().get(id);
    person.ok_or_else(|| Refusal::new(Code::Internal, "a known key has no person").into())
}

fn name(name: String) -> Result<String, Refusal> {
    let refuse = |message: String| Err(Refusal::field(Code::OutOfRange, "name", message));
    if name.trim().is_empty() {
        return refuse("must not be blank: leave it out".into());
    }
    if name.len() > Person::NAME_BYTES_MAX {
        return refuse(format!("must have at most {} bytes, has {}", Person::NAME_BYTES_MAX, name.len()));
    }
    if name.chars().any(char::is_control) {
        return refuse("must not contain control characters".into());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_attributes_are_bounded() {
        for (given, good) in [
            ("Ada", true),
            ("", false),
            (" ", false),
            ("a\nb", false),
            (&*"x".repeat(255), true),
            (&*"x".repeat(256), false),
        ] {
            assert_eq!(name(given.to_owned()).is_ok(), good, "{given:?}");
        }
        for (given, good) in [
            ("{}".to_owned(), true),
            (format!("{{\"a\":\"{}\"}}", "x".repeat(16 * 1024)), false),
            (r#"{"a":"\u0000"}"#.to_owned(), false),
            (r#"{"a":{"b":["\u0000"]}}"#.to_owned(), false),
            (r#"{"a":"\\u0000"}"#.to_owned(), true),
        ] {
            assert_eq!(checks::attributes(given.clone()).is_ok(), good, "{given:.20}");
        }
    }
}
