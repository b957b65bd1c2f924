//! A person's rights over REST: to see all that is known of them, and to be forgotten.
//!
//! Invariant: an export is one JSON document, written piece by piece, however long the person's past is; every number
//! that learning read is in it. Absent on purpose: how anything is forgotten.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::ContentDisposition;
use actix_web::web::Bytes;
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::actors::rights::Export;
use crate::domain::feeds::Slate;
use crate::domain::ids::{ItemId, Key, TopicId};
use crate::domain::journal::{Companion, Entry, Learned, Lesson, What};
use crate::engine::learn::features::NAMES;
use crate::protocol::refusal::Refusal;

use super::super::call::Call;
use super::super::errors::Answer;
use super::{clusters, metrics};

/// Names the form of the document; rises whenever a field changes its meaning.
pub const FORMAT: &str = "eddyline.export.1";
// Entries that are written at once.
const PIECE: usize = 256;

/// `GET /v1/users/{id}/export`: all that is known of a person.
///
/// # Errors
/// `unknown_user`.
pub async fn export(call: Call) -> Answer {
    call.query(&[])?;
    let who = call.person()?;
    let export = Arc::new(call.server().export(who.id).await?);
    let parts = export.entries.len().div_ceil(PIECE);
    let (first, last) = (head(&export), Bytes::from_static(b"]}\n"));
    let journal = (0..parts).map(move |part| piece(&export, part));
    let pieces = std::iter::once(first).chain(journal).chain(std::iter::once(last)).map(Ok::<_, Infallible>);
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("cache-control", "no-store"))
        .insert_header(ContentDisposition::attachment("eddyline-export.json"))
        .streaming(stream::iter(pieces)))
}

/// `DELETE /v1/users/{id}`: forgets a person.
///
/// # Errors
/// `unknown_user`, or `busy` while somebody else's request does it.
pub async fn erase(call: Call) -> Answer {
    call.query(&[])?;
    let key = call.key("id")?;
    call.subject().may_act_as(&key)?;
    if call.server().people().is_being_erased(key.as_str()) {
        return Err(Refusal::busy(500).into());
    }
    let who = call.named(key, "id")?;
    call.server().erase(who.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Serialize)]
struct Profile<'a> {
    id: &'a Key,
    name: Option<&'a str>,
    attributes: Option<Box<RawValue>>,
    created: i64,
    partition: u16,
}

/// Everything up to the journal, whose list stays open.
fn head(export: &Export) -> Bytes {
    let Export { at, person, follows, followers, items, .. } = export;
    let profile = Profile {
        id: &person.key,
        name: person.name.as_deref(),
        attributes: person.attributes.as_ref().and_then(|text| RawValue::from_string(text.clone()).ok()),
        created: person.created.0,
        partition: person.partition().0,
    };
    let authored: Vec<Value> = items
        .iter()
        .map(|item| {
            json!({
                "item": item.key,
                "revision": item.revision,
                "topics": topics(export, &item.topics),
                "text": item.text,
                "created": item.created,
                "windows": item.windows,
                "deleted": item.deleted,
                "embedding": &item.embedding[..],
            })
        })
        .collect();
    let parts = [
        ("format", json(&FORMAT)),
        ("exported_at", json(at)),
        ("profile", json(&profile)),
        ("follows", json(follows)),
        ("followers", json(followers)),
        ("model", json(&model(export))),
        ("items", json(&authored)),
        ("shown", json(&shown(export))),
    ];
    let parts: Vec<String> = parts.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{},\"journal\":[", parts.join(",")).into()
}

/// Part of the journal's list.
fn piece(export: &Export, part: usize) -> Bytes {
    let entries = export.entries.iter().skip(part * PIECE).take(PIECE);
    let views: Vec<String> = entries.map(|entry| view(export, entry).to_string()).collect();
    let comma = if part == 0 { "" } else { "," };
    format!("{comma}{}", views.join(",")).into()
}

fn model(export: &Export) -> Value {
    let Export { at, state, world, .. } = export;
    let (settings, scores, online) = (world.settings(), state.scores(), state.online());
    let weights: BTreeMap<&Key, f32> = state
        .topics()
        .all(*at, settings)
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
        "uncertainty": online.uncertainty(settings),
        "mean": online.weights(),
        "precision": online.precision(),
        "pairs": pairs,
        "hidden": hidden,
        "metrics": metrics::of_person(&settings.metrics, state.metrics()),
        "cluster": clusters::place_of(world.clusters().map(AsRef::as_ref), state.user()),
    })
}

/// An entry with everything that was learned from it.
fn view(export: &Export, entry: &Entry) -> Value {
    let name = |item: ItemId| export.world.item(item).map(|item| &item.key);
    let mut view = json!({"seq": entry.seq, "id": entry.id, "at": entry.at, "received": entry.received});
    let more = match &entry.what {
        What::Interacted(learned) => interacted(export, learned),
        What::Followed(user) => json!({"kind": "followed", "user": export.name(*user)}),
        What::Unfollowed(user) => json!({"kind": "unfollowed", "user": export.name(*user)}),
        What::Posted(item) => json!({"kind": "posted", "item": name(*item)}),
        What::WentLive(item, on) => json!({"kind": "went_live", "item": name(*item), "on": on}),
        What::TopicsSet(weights) => {
            let weights: Vec<Value> = weights
                .iter()
                .map(|(topic, weight)| json!({"topic": export.world.topic(*topic), "weight": weight}))
                .collect();
            json!({"kind": "topics_set", "weights": weights})
        }
        What::Measured(measured) => {
            json!({"kind": "measured", "metric": measured.metric, "type": measured.kind, "value": measured.value()})
        }
    };
    if let (Value::Object(view), Value::Object(more)) = (&mut view, more) {
        view.extend(more);
    }
    view
}

/// What others learn from it; items by key.
fn taught(export: &Export, lesson: &Lesson) -> Value {
    let item = |companion: &Companion| json!({"item": export.world.item(companion.item).map(|item| &item.key), "count": companion.count});
    json!({
        "gradient": lesson.gradient,
        "losses": lesson.losses,
        "author": lesson.author.and_then(|author| export.name(author)),
        "cluster": lesson.group,
        "visits": lesson.visits,
        "companions": lesson.companions.iter().map(item).collect::<Vec<_>>(),
        "elapsed_ms": lesson.elapsed_ms,
        "opinion": lesson.opinion,
    })
}

fn interacted(export: &Export, learned: &Learned) -> Value {
    let features: BTreeMap<&str, f32> =
        NAMES.iter().map(|(name, _)| *name).zip(learned.features.iter().copied()).collect();
    json!({
        "kind": learned.kind,
        "item": export.world.item(learned.item).map(|item| &item.key),
        "revision": learned.revision,
        "dwell_ms": learned.dwell_ms,
        "shown": learned.shown,
        "learned": learned.signal,
        "topics": topics(export, &learned.topics),
        "centre": {"topic": export.world.topic(learned.centre.topic), "epoch": learned.centre.epoch},
        "features": features,
        "predicted": learned.predicted,
        "taught": learned.lesson.as_ref().map(|lesson| taught(export, lesson)),
    })
}

/// Feeds that they were shown, as far as they were logged.
fn shown(export: &Export) -> Vec<Value> {
    let place = |(item, propensity): &(ItemId, f32)| json!({"item": export.world.item(*item).map(|item| &item.key), "propensity": propensity});
    let slate = |slate: &Slate| {
        let items: Vec<Value> = slate.items.iter().map(place).collect();
        json!({"version": slate.version, "at": slate.at, "epoch": slate.epoch, "ranking": slate.ranking, "items": items})
    };
    export.slates.iter().map(slate).collect()
}

fn topics<'a>(export: &'a Export, topics: &[TopicId]) -> Vec<Option<&'a Key>> {
    topics.iter().map(|topic| export.world.topic(*topic)).collect()
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Plain data with string keys has no way to fail in JSON.
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}
