//! Undo over REST: a user takes back an interaction, and lists the items that they hid or liked.
//!
//! Invariant: an answered undo is durable, and the feed of the next request is that of a user who never interacted.
//! Deliberately absent: `unlike` and `unhide`, which are kinds of interactions.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use crate::actors::server::UserEvent;
use crate::domain::ids::{Key, Seq};
use crate::domain::interactions::{Kind, Standing};
use crate::domain::journal::Undo;
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::{LIST_DEFAULT, LIST_MAX, fields, found, listed};

#[derive(Serialize, JsonSchema)]
pub(crate) struct StandingView {
    item: Key,
    kind: Kind,
    at: Millis,
    seq: Seq,
}

/// `DELETE /v1/users/{id}/interactions/{event}`: cancels an interaction.
///
/// # Errors
/// `unknown_event` when the user has no event of this id, `conflict` when it is no interaction.
pub async fn undo(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let (who, event) = (request.person()?, request.key("event")?);
    request.spend(who.id)?;
    let has_id = request.headers().contains_key("idempotency-key");
    let id = if has_id { request.event_id(None)? } else { id_of_undo(&event)? };
    let (of, cancels) = (Undo::Event(event.clone()), Vec::new());
    let at = request.server().clock().now();
    let seq = request.server().act(who.id, UserEvent::Undone { id: id.clone(), of, cancels, at }).await?;
    found(&json!({"id": id, "event": event, "seq": seq}))
}

/// The id of an undo is derived from that of the event, so a resend finds the first one.
pub(crate) fn id_of_undo(event: &Key) -> Result<Key, Refusal> {
    Key::new(&format!("undo-{:032x}", xxh3_128(event.as_str().as_bytes())))
        .map_err(|error| Refusal::field(Code::Internal, "event", error.to_string()))
}

/// `GET /v1/users/{id}/hidden?limit=&after=`: items that are not shown to the user again, the last hidden one first.
///
/// # Errors
/// `unknown_user`, or a refusal with the name of the parameter.
pub async fn hidden(request: AuthedRequest) -> HttpResult {
    standing(request, Standing::Hidden).await
}

/// `GET /v1/users/{id}/liked?limit=&after=`: items that the user likes, the last liked one first.
///
/// # Errors
/// `unknown_user`, or a refusal with the name of the parameter.
pub async fn liked(request: AuthedRequest) -> HttpResult {
    standing(request, Standing::Liked).await
}

async fn standing(request: AuthedRequest, standing: Standing) -> HttpResult {
    let query = request.query(&["limit", "after"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)?;
    let after = query.number("after")?.map(|seq| Seq(seq.into()));
    let who = request.person()?;
    let page = request.server().standing(who.id, standing, after, limit).await?;
    let world = request.server().world();
    let write = move |view: StandingView| serde_json::to_vec(&view).ok();
    let views = page.items.into_iter().filter_map(move |one| {
        let item = world.item(one.item)?.key.clone();
        Some(StandingView { item, kind: one.kind, at: one.at, seq: one.seq })
    });
    let next = page.next.map(|next| ("next", json!(next)));
    let beside = next.map_or_else(|| fields([]), |next| fields([next]));
    listed(&request, "items", views, |_| 0, write, beside).await
}
