//! Learned models of users, and the accuracy of their predictions.
//!
//! Invariant: a user sees only their own model; figures over all users are for services. Only these learn: `PATCH`
//! of a model and `POST` of a prediction.

use std::collections::BTreeMap;

use actix_web::web;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actors::answers::{PersonModel, Prediction, Score};
use crate::actors::server::UserEvent;
use crate::domain::ids::{ItemId, Key, Seq};
use crate::domain::interactions::{Interaction, Kind};
use crate::domain::items::Item;
use crate::domain::time::Millis;
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, UniqueMap};
use super::super::checks;
use super::super::errors::{HttpResult, Problem};
use super::super::request::{AuthedRequest, NamedPerson};
use super::items::view;
use super::list::found;
use super::{clusters, metrics};

/// The body of `PATCH` of a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicsInput {
    #[schemars(with = "BTreeMap<String, f32>", extend("propertyNames" = {"$ref": "#/components/schemas/Key"}))]
    topics: UniqueMap<Key, f32>,
    #[serde(default)]
    id: Option<Key>,
}

/// The body of `POST` of a prediction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelInput {
    label: Label,
    #[serde(default)]
    id: Option<Key>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Label {
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
    request.query(&[])?;
    let who = request.person()?;
    let TopicsInput { topics, id } = body::json(request.incoming(), payload).await?;
    let weights = checks::topic_weights(&request.server().world(), &topics.0)?;
    let id = request.event_id(id)?;
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
    request.query(&[])?;
    let who = request.person()?;
    let item = request.item("item")?;
    let input = body::json(request.incoming(), payload).await?;
    let seq = learn(&request, &who, item, input).await?;
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
    found(&score_of_all(&score))
}

fn score_of_all(score: &Score) -> Value {
    let auc: BTreeMap<_, _> = score.auc.iter().copied().collect();
    json!({
        "labelled": score.labelled,
        "auc": auc,
        "log_loss": score.log_loss,
        "calibration_error": score.calibration_error,
    })
}

/// `GET /score?user=` with `Accept: application/json`: the figures of `/v1/score`, and the ROC curves behind them.
///
/// # Errors
/// `forbidden` for a user token without `user`, or `unknown_user`.
pub(crate) async fn score_with_curves(request: AuthedRequest) -> HttpResult {
    let (mut body, curves) = match request.query(&["user"])?.key("user")? {
        Some(key) => {
            let who = request.named(key, "user")?;
            let model = request.server().model(who.id).await?;
            (score_of(&who.key, &model), request.server().curves(who.id).await?)
        }
        None => {
            request.subject().must_be_service()?;
            let score = request.server().score().await?;
            let mut body = score_of_all(&score);
            (body["positives"], body["negatives"]) = (score.positives.into(), score.negatives.into());
            (body, score.roc)
        }
    };
    body["roc"] = json!({"online": curves.online, "topics": curves.topics, "model": curves.model});
    found(&body)
}

/// `GET /prediction/{n}?user=` with `Accept: application/json`: post `n` of the catalogue, in order of creation from 1,
/// with the probability that the user accepts it, and the user's ROC AUC.
///
/// # Errors
/// `unknown_user`, `unknown_item`, or a refusal with the name of the parameter.
pub(crate) async fn numbered_prediction(request: AuthedRequest) -> HttpResult {
    let (number, who) = (number_of(&request)?, judge(&request)?);
    let (world, at) = (request.server().world(), request.now());
    let item = post(&world, number)?;
    let is_there = |number: &u32| world.item(ItemId(number - 1)).is_some_and(|item| !item.deleted);
    let now = judgement(&request, &who, item.id).await?;
    let mut body = json!({
        "number": number,
        "count": world.len(),
        "user": who.key,
        "item": view(&world, item, at),
        "now": now,
    });
    body["previous"] = json!((1..number).rev().find(is_there));
    body["next"] = json!((number + 1..=world.len()).find(is_there));
    found(&body)
}

/// `POST /prediction/{n}?user=`: learns a label of post `n`, and answers with the probabilities and the ROC AUC before
/// and after it.
///
/// # Errors
/// `unknown_user`, `unknown_item`, or a refusal with the name of the field.
pub(crate) async fn label_numbered(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    let (number, who) = (number_of(&request)?, judge(&request)?);
    let item = post(&request.server().world(), number)?.id;
    let input: LabelInput = body::json(request.incoming(), payload).await?;
    let before = judgement(&request, &who, item).await?;
    let seq = learn(&request, &who, item, input).await?;
    let after = judgement(&request, &who, item).await?;
    found(&json!({"number": number, "user": who.key, "before": before, "after": after, "seq": seq}))
}

/// The number of a post in the path, from 1.
fn number_of(request: &AuthedRequest) -> Result<u32, Refusal> {
    let number = request.key("n")?;
    let text = number.as_str();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let code = if digits { Code::OutOfRange } else { Code::BadField };
    let read = text.parse().ok().filter(|number| *number >= 1 && digits);
    read.ok_or_else(|| Refusal::field(code, "n", format!("must be the number of a post, from 1, is {text:?}")))
}

/// The user of the query, who judges posts.
fn judge(request: &AuthedRequest) -> Result<NamedPerson, Refusal> {
    let key = request.query(&["user"])?.key("user")?;
    let key = key.ok_or_else(|| Refusal::field(Code::BadField, "user", "missing: name the person who judges"))?;
    request.named(key, "user")
}

/// The post of a number from 1.
///
/// # Errors
/// `unknown_item` for a number above the length of the catalogue, and for a deleted post.
fn post(world: &World, number: u32) -> Result<&Item, Refusal> {
    let message = match world.item(ItemId(number - 1)) {
        Some(item) if !item.deleted => return Ok(item),
        Some(_) => format!("post {number} was deleted"),
        None => format!("the catalogue has {} posts: there is no post {number}", world.len()),
    };
    Err(Refusal::field(Code::UnknownItem, "n", message))
}

/// The prediction for an item beside the user's figures, at one moment.
async fn judgement(request: &AuthedRequest, who: &NamedPerson, item: ItemId) -> Result<Value, Problem> {
    let Prediction { accepted, deviation } = request.server().predict(who.id, item).await?;
    let model = request.server().model(who.id).await?;
    Ok(json!({
        "accepted": accepted,
        "rejected": 1.0 - accepted,
        "deviation": deviation,
        "auc": model.auc,
        "labelled": model.labelled,
        "positives": model.positives,
        "negatives": model.negatives,
    }))
}

async fn learn(request: &AuthedRequest, who: &NamedPerson, item: ItemId, input: LabelInput) -> Result<Seq, Problem> {
    let LabelInput { label, id } = input;
    let id = request.event_id(id)?;
    let kind = match label {
        Label::Accepted => Kind::Accept,
        Label::Rejected => Kind::Reject,
    };
    let at = Millis::ON_ARRIVAL;
    let learned = Interaction { id, item, kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
    Ok(request.server().act(who.id, UserEvent::Answered(learned)).await?)
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
