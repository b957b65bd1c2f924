//! Clusters of users over HTTP.
//!
//! Invariant: one answer describes one fit. Deliberately absent: the schedule of refits.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::actors::population::Clustering;
use crate::domain::ids::UserId;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::errors::HttpResult;
use super::super::query::Query;
use super::super::request::AuthedRequest;
use super::list::found;

/// Largest number of fits in one answer, which is the number of stored fits.
const HISTORY_MAX: u32 = 100;
const HISTORY_DEFAULT: u32 = 20;

/// `GET /v1/clusters`: the clusters of the last fit with a sample of users; empty before the first fit.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn newest(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let Some(clusters) = request.server().clusters() else {
        return found(&json!({
            "epoch": null, "fitted_at": null, "columns": [], "people": 0, "clusters": [], "outliers": 0,
            "maximum_binds": false, "points": [], "previous": null,
        }));
    };
    let people = request.server().people();
    let points: Vec<Value> = clusters
        .points
        .iter()
        .filter_map(|point| {
            let member = point.member;
            Some(json!({
                "user": people.get(point.user)?.key,
                "values": point.values,
                "cluster": (!member.outlier).then_some(member.group),
                "probability": member.probability,
                "outlier": member.outlier_weight,
            }))
        })
        .collect();
    let mut body = json!(clusters.summary);
    body["points"] = json!(points);
    body["previous"] = match &clusters.previous {
        Some(previous) => json!({"epoch": previous.epoch, "clusters": previous.clusters}),
        None => Value::Null,
    };
    found(&body)
}

/// `POST /v1/clusters/refit`: 202; a refit starts as soon as possible.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn refit(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    request.server().refit().await?;
    Ok(HttpResponse::Accepted().json(json!({"status": "accepted"})))
}

/// `GET /v1/clusters/history?limit=`: reports of the last fits, newest first.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn history(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let limit = request.query(&["limit"])?.limit(HISTORY_DEFAULT, HISTORY_MAX)?;
    found(&json!({"fits": request.server().clusterings(limit).await?}))
}

/// A user's cluster in the last fit; null for a user outside of it.
pub(super) fn place_of(clusters: Option<&Clustering>, user: UserId) -> Value {
    let member = clusters.and_then(|clusters| clusters.member(user));
    member.map_or(Value::Null, |member| {
        json!({
            "id": (!member.outlier).then_some(member.group),
            "nearest": member.group,
            "probability": member.probability,
            "outlier": member.outlier_weight,
        })
    })
}

/// Reads the parameter `cluster`: the number of a cluster in the last fit. Returns it with the fit.
///
/// # Errors
/// `bad_field`, or `out_of_range` for an unknown cluster.
pub(super) fn asked(
    request: &AuthedRequest,
    query: &Query,
) -> Result<Option<(u32, std::sync::Arc<Clustering>)>, Refusal> {
    let Some(group) = query.number("cluster")? else { return Ok(None) };
    let clusters = request.server().clusters();
    let known = clusters.filter(|clusters| clusters.summary.clusters.iter().any(|known| known.id == group));
    let unknown = || Refusal::field(Code::OutOfRange, "cluster", format!("no cluster {group}: see GET /v1/clusters"));
    known.map(|clusters| Some((group, clusters))).ok_or_else(unknown)
}
