//! Two-tower models over HTTP: which are kept, one more, which one serves.
//!
//! Invariant: for services only. A checkpoint that cannot serve here is refused before it is stored; whoever is told that
//! a model is published is served by it from the next request on. Absent on purpose: training, and what a checkpoint holds.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::actors::models::ListedModel;
use crate::domain::ids::ModelVersion;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body;
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::found;

fn view(model: &ListedModel) -> Value {
    let ListedModel { kept, published, serves } = model;
    let mut view = json!({
        "version": kept.version,
        "created": kept.created,
        "serves": serves,
        "bytes": kept.bytes,
        // It was checked when it came.
        "summary": serde_json::from_str::<Value>(&kept.summary).unwrap_or_default(),
    });
    if let Some(published) = published {
        view["published"] = json!(published);
    }
    view
}

/// `GET /v1/models`: those that are kept, newest first.
///
/// # Errors
/// `busy` while the store cannot answer.
pub async fn list(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let models = request.server().models().await?;
    found(&json!({"models": models.iter().map(view).collect::<Vec<_>>()}))
}

/// `POST /v1/models?publish=`: 201; a checkpoint is kept, and serves at once when that is asked for.
///
/// # Errors
/// `unsupported_media`, `too_large`, `unfit_model`: nothing was kept.
pub async fn create(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.subject().must_be_service()?;
    let publish = request.query(&["publish"])?.flag("publish")?;
    // One checkpoint at a time is in memory, until it serves or is kept.
    let (checkpoint, _permits) = body::checkpoint(request.incoming(), payload).await?;
    let version = request.server().put_model(checkpoint).await?;
    if publish {
        request.server().publish_model(version).await?;
    }
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(json!({"version": version})))
}

/// `POST /v1/models/{version}/publish`: it serves from now on.
///
/// # Errors
/// `unknown_model`, `unfit_model`: nothing has changed.
pub async fn publish(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let version = version("version", request.key("version")?.as_str())?;
    request.server().publish_model(version).await?;
    found(&json!({"version": version}))
}

/// `POST /v1/models/rollback?version=`: that one serves from now on, or the one before.
///
/// # Errors
/// `unknown_model`; `conflict` when there is none before: nothing has changed.
pub async fn rollback(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["version"])?;
    let wanted = query.text("version").map(|text| version("version", text)).transpose()?;
    let version = request.server().roll_back(wanted).await?;
    found(&json!({"version": version}))
}

fn version(field: &str, text: &str) -> Result<ModelVersion, Refusal> {
    let number = text.parse().ok().filter(|number| *number <= i64::MAX as u64);
    number.map(ModelVersion).ok_or_else(|| Refusal::field(Code::BadField, field, "must be the number of a model"))
}
