//! Learned models of users, and the accuracy of their predictions.
//!
//! Invariant: a user sees only their own model; figures over all users are for services. Only two routes learn: `PATCH`
//! of a model and `POST` of a prediction.

use std::collections::BTreeMap;

use actix_web::web;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actors::answers::{PersonModel, Prediction};
use crate::actors::server::UserEvent;
use crate::domain::ids::{ItemId, Key, Seq};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::time::Millis;

use super::super::body::{self, UniqueMap};
use super::super::checks;
use super::super::errors::HttpResult;
use super::super::request::{AuthedRequest, NamedPerson};
use super::list::found;
use super::{clusters, metrics};

/// The body of `PATCH` of a model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicsInput {
    topics: UniqueMap<Key, f32>,
    #[serde(default)]
    id: Option<Key>,
}

/// The body of `POST` of a prediction.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelInput {
    label: Label,
    #[serde(default)]
    id: Option<Key>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Label {
    Accepted,
    Rejected,
}

/// `GET /v1/users/{id}/model`.
///
/// # Errors
/// `unknown_user`.
pub async fn model(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let who = request.person()?;
    glass_box(&request, &who).await
}

/// `PATCH /v1/users/{id}/model`: sets topic weights by hand, and answers with the model after the change.
///
/// # Errors
/// `out_of_range` for `topics.<name>`.
pub(crate) async fn set_topics(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    let who = request.person()?;
    let TopicsInput { topics, id } = body::json(request.incoming(), payload).await?;
    let weights = checks::topic_weights(&request.server().world(), &topics.0)?;
    let id = id.map_or_else(|| request.event_id(), Ok)?;
    let at = request.server().clock().now();
    request.server().act(who.id, UserEvent::TopicsSet { id, weights, at }).await?;
    glass_box(&request, &who).await
}

/// `GET /v1/users/{id}/predictions/{item}`: the probability that the user accepts the item, and its deviation.
///
/// # Errors
/// `unknown_user` or `unknown_item`.
pub async fn prediction(request: AuthedRequest) -> HttpResult {
    request.query(&[])?;
    let who = request.person()?;
    let item = request.item("item")?;
    predicted(&request, &who, item, None).await
}

/// `POST /v1/users/{id}/predictions/{item}`: learns a label, and answers with the probabilities after it. The user's
/// feeds leave out a rejected item from then on.
///
/// # Errors
/// `unknown_user` or `unknown_item`.
pub async fn label(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    let who = request.person()?;
    let item = request.item("item")?;
    let LabelInput { label, id } = body::json(request.incoming(), payload).await?;
    let id = id.map_or_else(|| request.event_id(), Ok)?;
    let kind = match label {
        Label::Accepted => Kind::Accept,
        Label::Rejected => Kind::Reject,
    };
    let at = Millis::ON_ARRIVAL;
    let learned = Interaction { id, item, kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
    let seq = request.server().act(who.id, UserEvent::Answered(learned)).await?;
    predicted(&request, &who, item, Some(seq)).await
}

/// `GET /v1/score?user=`: progressive figures, over all users or of one user.
///
/// # Errors
/// `forbidden` for a user token without `user`, or `unknown_user`.
pub async fn score(request: AuthedRequest) -> HttpResult {
    if let Some(key) = request.query(&["user"])?.key("user")? {
        let who = request.named(key, "user")?;
        let model = request.server().model(who.id).await?;
        return found(&score_of(&who.key, &model));
    }
    request.subject().must_be_service()?;
    let score = request.server().score().await?;
    let auc: BTreeMap<_, _> = score.auc.into_iter().collect();
    found(&json!({
        "labelled": score.labelled,
        "auc": auc,
        "log_loss": score.log_loss,
        "calibration_error": score.calibration_error,
    }))
}

async fn predicted(request: &AuthedRequest, who: &NamedPerson, item: ItemId, seq: Option<Seq>) -> HttpResult {
    let Prediction { accepted, deviation } = request.server().predict(who.id, item).await?;
    let mut body = json!({"accepted": accepted, "rejected": 1.0 - accepted, "deviation": deviation});
    if let Some(seq) = seq {
        body["seq"] = json!(seq);
    }
    found(&body)
}

async fn glass_box(request: &AuthedRequest, who: &NamedPerson) -> HttpResult {
    let model = request.server().model(who.id).await?;
    let mut body = score_of(&who.key, &model);
    let people = request.server().people();
    let follows: Vec<Key> = model.follows.iter().filter_map(|&id| people.get(id)).map(|one| one.key.clone()).collect();
    let experts: BTreeMap<_, _> = model.experts.iter().map(|line| (line.expert.name(), line.amount)).collect();
    body["topics"] = json!(model.topics);
    body["decay"] = json!(model.decay);
    body["events"] = json!(model.events);
    body["weight_norm"] = json!(model.weight_norm);
    body["uncertainty"] = json!(model.uncertainty);
    body["experts"] = json!(experts);
    body["drifts"] = json!(model.drifts);
    body["metrics"] = json!(metrics::of_person(&request.server().world().settings().metrics, &model.metrics));
    body["cluster"] = clusters::place_of(request.server().clusters().as_deref(), who.id);
    body["follows"] = json!(follows);
    body["seq"] = json!(model.seq);
    found(&body)
}

fn score_of(user: &Key, model: &PersonModel) -> Value {
    json!({
        "user": user,
        "labelled": model.labelled,
        "auc": {"online": model.auc, "topics": model.auc_topics, "model": model.auc_model},
        "log_loss_model": model.log_loss_model,
        "positives": model.positives,
        "negatives": model.negatives,
        "log_loss": model.log_loss,
        "calibration_error": model.calibration_error,
    })
}
