//! Two-tower models over HTTP: list, upload, publish and roll back.
//!
//! Invariant: only services call these routes. A checkpoint that cannot serve here is refused before it is stored.
//! After the answer to a publication, the published model serves. Deliberately absent: training, and the format of
//! checkpoints.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::actors::models::ListedModel;
use crate::actors::server::Server;
use crate::domain::ids::ModelVersion;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body;
use super::super::cursor::{self, CursorList};
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::{LIST_DEFAULT, LIST_MAX, found};

fn view(server: &Server, model: &ListedModel) -> Value {
    let ListedModel { kept, published, serves } = model;
    let mut view = json!({
        "version": kept.version,
        "created": kept.created,
        "serves": serves,
        "bytes": kept.bytes,
        // The upload has checked it.
        "summary": serde_json::from_str::<Value>(&kept.summary).unwrap_or_default(),
    });
    if let Some(published) = published {
        view["published"] = json!(published);
    }
    if *serves {
        add_incomplete(server, &mut view);
    }
    view
}

fn version_number(model: &ListedModel) -> u64 {
    model.kept.version.0
}

/// Names the columns that the served model reads and items lack, if there are any.
fn add_incomplete(server: &Server, answer: &mut Value) {
    let (count, columns) = server.incomplete_items();
    if count > 0 {
        answer["incomplete_items"] = json!({"count": count, "columns": columns});
    }
}

/// `GET /v1/models/{version}`: one stored model.
///
/// # Errors
/// `unknown_model`; `busy` while the store cannot answer.
pub async fn model(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let version = version("version", request.key("version")?.as_str())?;
    let models = request.server().models().await?;
    let unknown = || Refusal::field(Code::UnknownModel, "version", "no such model is stored");
    let model = models.iter().find(|model| model.kept.version == version).ok_or_else(unknown)?;
    found(&view(request.server(), model))
}

/// `GET /v1/models?limit=&after=`: the stored models, newest first.
///
/// # Errors
/// `busy` while the store cannot answer, or a refusal with the name of the parameter.
pub async fn list(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["limit", "after"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)? as usize;
    let list = CursorList::new("models", &[]);
    let before = list.read(&query)?.map_or(u64::MAX, |[version]| version);
    let mut models = request.server().models().await?;
    models.retain(|model| version_number(model) < before);
    let next = cursor::cut(&mut models, limit, |model| list.write([version_number(model)]));
    let mut body = cursor::next_field(next);
    let models: Vec<Value> = models.iter().map(|model| view(request.server(), model)).collect();
    body.insert("models".to_owned(), models.into());
    found(&body)
}

/// `POST /v1/models?publish=`: 201; stores a checkpoint, and publishes it on request.
///
/// # Errors
/// `unsupported_media`, `too_large`, `unfit_model`; the server has stored no model then.
pub async fn create(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.subject().must_be_service()?;
    let publish = request.query(&["publish"])?.flag("publish")?;
    // The permits keep a second checkpoint out of memory until this one serves or is stored.
    let (checkpoint, _permits) = body::checkpoint(request.incoming(), payload).await?;
    let version = request.server().set_model(checkpoint).await?;
    if publish {
        request.server().publish_model(version).await?;
    }
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(json!({"version": version})))
}

/// `POST /v1/models/{version}/publish`: the version serves from now on.
///
/// # Errors
/// `unknown_model`, `unfit_model`; the serving model stays.
pub async fn publish(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let version = version("version", request.key("version")?.as_str())?;
    request.server().publish_model(version).await?;
    let mut answer = json!({"version": version});
    add_incomplete(request.server(), &mut answer);
    found(&answer)
}

/// `POST /v1/models/rollback?version=`: the version serves from now on; by default the previous one.
///
/// # Errors
/// `unknown_model`; `conflict` without a previous model; the serving model stays.
pub async fn rollback(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["version"])?;
    let wanted = query.text("version").map(|text| version("version", text)).transpose()?;
    let version = request.server().roll_back(wanted).await?;
    found(&json!({"version": version}))
}

/// A version in a path or a query.
///
/// # Errors
/// `bad_field`: the text is no number of a model.
pub(super) fn version(field: &str, text: &str) -> Result<ModelVersion, Refusal> {
    let number = text.parse().ok().filter(|number| *number <= i64::MAX as u64);
    number.map(ModelVersion).ok_or_else(|| Refusal::field(Code::BadField, field, "must be the number of a model"))
}
