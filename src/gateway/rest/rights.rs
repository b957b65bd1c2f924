//! The rights of a user over REST: export and erasure.
//!
//! Invariant: an export is one JSON document, written piece by piece as its reader takes it, whatever its length. It
//! contains every number that learning read. An incomplete export breaks the connection, so that its reader does not
//! take it for complete. Deliberately absent: the steps of an erasure.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::ContentDisposition;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::actors::errors::{Busy, RequestError};
use crate::actors::people::People;
use crate::actors::rights::{Export, LearnedState};
use crate::domain::feeds::Slate;
use crate::domain::ids::{ItemId, Key, TopicId, UserId};
use crate::domain::items::Item;
use crate::domain::journal::{CoVisited, Entry, Learned, TrainingExample, Undo, WeakNegative, What};
use crate::domain::people::Person;
use crate::engine::features::NAMES;
use crate::engine::world::World;
use crate::protocol::refusal::Refusal;

use super::super::busy;
use super::super::errors::{HttpResult, Problem};
use super::super::request::{AuthedRequest, NamedPerson};
use super::pieces::{self, PieceWriter, ReaderError};
use super::{clusters, metrics};

/// The format of the document; its number rises whenever a field changes its meaning.
pub const FORMAT: &str = "eddyline.export.1";
/// Users named in one piece.
const NAMES_AT_ONCE: usize = 1_024;
/// Items in one piece: each may have a text of 32 KiB.
const ITEMS_AT_ONCE: usize = 16;

/// `GET /v1/users/{id}/export`: all data of a user.
///
/// # Errors
/// `unknown_user`, or `rate_limited` while another export of the user runs.
pub async fn export(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let who = request.person()?;
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("application/json")
        .insert_header(("cache-control", "no-store"))
        .insert_header(ContentDisposition::attachment("eddyline-export.json"));
    if request.is_head() {
        // An unread body would hold the user's permit until its end.
        return Ok(answer.finish());
    }
    let export = request.server().export(who.id).await?;
    let (out, taken) = pieces::channel();
    actix_web::rt::spawn(async move {
        let mut out = ExportWriter { out, is_first: true };
        if let Err(error) = write(export, &mut out).await {
            tracing::info!(%error, "an export ended before it was complete");
            return;
        }
        // The permit is free by now, so that a reader of the end may start the next export.
        let _ = out.out.end().await;
    });
    Ok(answer.streaming(pieces::body(taken)))
}

/// A reason to stop an export before its end.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    /// The connection closed, or the reader took no piece in time.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The server refuses to go on, as when the person is erased meanwhile.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

/// A writer of the document's lists and of the text between them.
struct ExportWriter {
    out: PieceWriter,
    /// True before the first row of the open list.
    is_first: bool,
}

impl ExportWriter {
    /// Writes text between lists.
    async fn text(&mut self, text: String) -> Result<(), ExportError> {
        self.is_first = true;
        Ok(self.out.send(text.into()).await?)
    }

    /// Writes more rows of the open list.
    async fn rows(&mut self, rows: Vec<String>) -> Result<(), ExportError> {
        if rows.is_empty() {
            return Ok(());
        }
        let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
        Ok(self.out.send(format!("{comma}{}", rows.join(",")).into()).await?)
    }
}

/// Writes the whole document. Rows are built on threads apart from the web workers.
async fn write(mut export: Export, out: &mut ExportWriter) -> Result<(), ExportError> {
    let (server, place, at) = (export.server().clone(), export.place().clone(), export.at);
    let profile = json(&profile(&export.person));
    let parts = [("format", json(&FORMAT)), ("exported_at", json(&at)), ("profile", profile)];
    let parts: Vec<String> = parts.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    out.text(format!("{{{},\"follows\":[", parts.join(","))).await?;
    for (list, next) in [(&export.follows, "followers"), (&export.followers, "model")] {
        for users in list.chunks(NAMES_AT_ONCE) {
            export.goes_on().map_err(ExportError::Refused)?;
            let people = users.iter().filter_map(|user| server.people().get(*user));
            out.rows(people.map(|person| json(&person.key)).collect()).await?;
        }
        let opens = if next == "model" { "" } else { "[" };
        out.text(format!("],\"{next}\":{opens}")).await?;
    }
    let learned = export.learned();
    let model = place.run(move || json(&model(&learned))).await.map_err(ExportError::Refused)?;
    out.text(format!("{model},\"items\":[")).await?;
    for items in export.items.chunks(ITEMS_AT_ONCE) {
        export.goes_on().map_err(ExportError::Refused)?;
        let (items, world) = (items.to_vec(), server.world());
        let made =
            move || items.iter().filter_map(|id| world.shared_item(*id)).map(|item| authored(&world, item)).collect();
        out.rows(place.run(made).await.map_err(ExportError::Refused)?).await?;
    }
    out.text("],\"shown\":[".into()).await?;
    loop {
        let page = export.slates().await.map_err(busy::refusal).map_err(ExportError::Refused)?;
        if page.is_empty() {
            break;
        }
        let world = server.world();
        let made = move || page.iter().map(|slate| shown(&world, slate)).collect();
        out.rows(place.run(made).await.map_err(ExportError::Refused)?).await?;
    }
    out.text("],\"journal\":[".into()).await?;
    loop {
        let page = export.entries().await.map_err(busy::refusal).map_err(ExportError::Refused)?;
        if page.is_empty() {
            break;
        }
        let (server, world) = (server.clone(), server.world());
        let made = move || {
            let names = KeyNames { world: &world, people: server.people() };
            page.iter().map(|entry| view(&names, entry).to_string()).collect()
        };
        out.rows(place.run(made).await.map_err(ExportError::Refused)?).await?;
    }
    out.text("]}\n".into()).await
}

/// `DELETE /v1/users/{id}`: erases a user.
///
/// # Errors
/// `unknown_user`, or `busy` while another request erases the user.
pub async fn erase(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    erase_one(&request, request.key("id")?, "id").await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Erases the user of this key, whom `field` of the request names.
///
/// # Errors
/// `forbidden`, `unknown_user`, or `busy` while another request erases the user.
pub(super) async fn erase_one(request: &AuthedRequest, key: Key, field: &str) -> Result<(), Problem> {
    request.subject().may_act_as(&key)?;
    if request.server().people().is_being_erased(key.as_str()) {
        return Err(Refusal::busy(500).into());
    }
    let who = request.named(key, field)?;
    Ok(erase_person(request, who).await?)
}

/// Erases a user, and refuses the user's tokens from now on.
///
/// # Errors
/// Busy while the store cannot answer.
pub(crate) async fn erase_person(request: &AuthedRequest, who: NamedPerson) -> Result<(), RequestError> {
    let (server, access, now) = (request.server().clone(), std::sync::Arc::clone(request.access()), request.now());
    // Runs to its end even if the client disconnects: an erasure cannot be undone, and the ring must reload.
    let erased = actix_web::rt::spawn(async move {
        let leaving = access.begin_erasure(who.key);
        server.erase(who.id).await?;
        access.end_erasure(leaving, now).await;
        Ok::<_, RequestError>(())
    });
    erased.await.map_err(|_| Busy::NoAnswer)?
}

#[derive(Serialize)]
struct ProfileView<'a> {
    user: &'a Key,
    /// The earlier name of `user`; version 0.2 removes it.
    id: &'a Key,
    name: Option<&'a str>,
    attributes: Option<Box<RawValue>>,
    created: i64,
    partition: u16,
}

fn profile(person: &Person) -> ProfileView<'_> {
    ProfileView {
        user: &person.key,
        id: &person.key,
        name: person.name.as_deref(),
        attributes: person.attributes.as_ref().and_then(|text| RawValue::from_string(text.clone()).ok()),
        created: person.created.0,
        partition: person.partition().0,
    }
}

/// An item that the user created.
fn authored(world: &World, item: &Item) -> String {
    json(&json!({
        "item": item.key,
        "revision": item.revision,
        "topic": item.topics.first().and_then(|topic| world.topic(*topic)),
        "topics": topics(world, &item.topics),
        "text": item.text,
        "at": item.created,
        "created": item.created,
        "windows": item.windows,
        "deleted": item.deleted,
        "embedding": &item.embedding[..],
    }))
}

fn model(LearnedState { at, state, world }: &LearnedState) -> Value {
    let (settings, scores, online) = (world.settings(), state.scores(), state.online());
    let weights: BTreeMap<&Key, f32> = state
        .topics()
        .all(*at, settings.topic_decay())
        .filter_map(|(topic, weight)| Some((world.topic(topic)?, weight as f32)))
        .collect();
    let pairs: Vec<Value> = online
        .quadratics()
        .iter()
        .map(|learned| {
            json!({
                "topic": world.topic(learned.centre.topic),
                "epoch": learned.centre.epoch,
                "weights": learned.weights().collect::<Vec<_>>(),
                "precision": learned.precision,
            })
        })
        .collect();
    let hidden: Vec<&Key> = state.hidden().filter_map(|item| Some(&world.item(item)?.key)).collect();
    json!({
        "topics": weights,
        "events": state.seq(),
        "labelled": scores.progress.count(),
        "auc": {"online": scores.online.auc(), "topics": scores.topics.auc(), "model": scores.model.auc()},
        "log_loss": scores.progress.log_loss(),
        "calibration_error": scores.progress.ece(),
        "weight_norm": online.weight_norm(),
        "uncertainty": online.uncertainty(settings.online()),
        "mean": online.weights(),
        "precision": online.precision(),
        "pairs": pairs,
        "hidden": hidden,
        "metrics": metrics::of_person(&settings.metrics, state.metrics()),
        "cluster": clusters::place_of(world.clusters().map(AsRef::as_ref), state.user()),
        "clusters": clusters::places_of(world, state.user()),
    })
}

/// The current keys of dense ids.
struct KeyNames<'a> {
    world: &'a World,
    people: &'a People,
}

impl KeyNames<'_> {
    /// `None` when the person was erased.
    fn person(&self, user: UserId) -> Option<Key> {
        self.people.get(user).map(|person| person.key.clone())
    }
}

/// A journal entry with all that was learned from it.
fn view(names: &KeyNames<'_>, entry: &Entry) -> Value {
    let mut view = json!({"seq": entry.seq, "id": entry.id, "at": entry.at, "received": entry.received});
    if let (Value::Object(view), Value::Object(more)) = (&mut view, contents(names, &entry.what)) {
        view.extend(more);
    }
    view
}

/// The content of a journal entry.
fn contents(names: &KeyNames<'_>, what: &What) -> Value {
    let name = |item: ItemId| names.world.item(item).map(|item| &item.key);
    match what {
        What::Interacted(learned) => interacted(names, learned),
        What::Followed(user) => json!({"kind": "followed", "user": names.person(*user)}),
        What::Unfollowed(user) => json!({"kind": "unfollowed", "user": names.person(*user)}),
        What::Posted(item) => json!({"kind": "posted", "item": name(*item)}),
        What::WentLive(item, on) => json!({"kind": "went_live", "item": name(*item), "on": on}),
        What::TopicsSet(weights) => {
            let weights: Vec<Value> = weights
                .iter()
                .map(|(topic, weight)| json!({"topic": names.world.topic(*topic), "weight": weight}))
                .collect();
            json!({"kind": "topics_set", "weights": weights})
        }
        What::Undone(undone) => match &undone.of {
            Undo::Event(id) => json!({"kind": "undone", "event": id, "cancels": undone.cancels}),
            Undo::Item(item, inverse) => json!({"kind": inverse, "item": name(*item), "cancels": undone.cancels}),
        },
        What::Cancelled(cancelled) => {
            let mut view = contents(names, &cancelled.what);
            view["cancelled_by"] = json!(cancelled.by);
            view
        }
        What::Measured(measured) => {
            let mut view = json!({"kind": "measured", "metric": measured.metric, "type": measured.kind, "value": measured.value()});
            if measured.replaces {
                view["replaces"] = true.into();
            }
            view
        }
    }
}

/// The training example of shared models, with items by key.
fn training_example(names: &KeyNames<'_>, example: &TrainingExample) -> Value {
    let item =
        |other: &CoVisited| json!({"item": names.world.item(other.item).map(|item| &item.key), "count": other.count});
    let passed = |one: &WeakNegative| json!({"item": names.world.item(one.item).map(|item| &item.key), "revision": one.revision, "weight": one.weight});
    json!({
        "gradient": example.gradient,
        "losses": example.losses,
        "author": example.author.and_then(|author| names.person(author)),
        "cluster": example.group,
        "visits": example.visits,
        "companions": example.co_visited.iter().map(item).collect::<Vec<_>>(),
        "elapsed_ms": example.elapsed_ms,
        "opinion": example.opinion,
        "passed": example.passed.iter().map(passed).collect::<Vec<_>>(),
    })
}

fn interacted(names: &KeyNames<'_>, learned: &Learned) -> Value {
    let features: BTreeMap<&str, f32> =
        NAMES.iter().map(|(name, _)| *name).zip(learned.features.iter().copied()).collect();
    json!({
        "kind": learned.kind,
        "item": names.world.item(learned.item).map(|item| &item.key),
        "revision": learned.revision,
        "dwell_ms": learned.dwell_ms,
        "shown": learned.shown,
        "learned": learned.signal,
        "topics": topics(names.world, &learned.topics),
        "centre": {"topic": names.world.topic(learned.centre.topic), "epoch": learned.centre.epoch},
        "features": features,
        "predicted": learned.predicted,
        "taught": learned.example.as_ref().map(|example| training_example(names, example)),
    })
}

/// A logged feed of the user.
fn shown(world: &World, slate: &Slate) -> String {
    let place = |(item, propensity): &(ItemId, f32)| json!({"item": world.item(*item).map(|item| &item.key), "propensity": propensity});
    let items: Vec<Value> = slate.items.iter().map(place).collect();
    json(
        &json!({"version": slate.version, "at": slate.at, "epoch": slate.epoch, "ranking": slate.ranking, "items": items}),
    )
}

fn topics<'a>(world: &'a World, topics: &[TopicId]) -> Vec<Option<&'a Key>> {
    topics.iter().map(|topic| world.topic(*topic)).collect()
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Plain data with string keys always encodes as JSON.
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}
