//! Clusters of users by the clustering `default` over HTTP, and the parts that all clusterings share.
//!
//! Invariant: one answer describes one fit. Deliberately absent: settings and names (`clusterings`).

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::actors::population::{Clustering, Published, Summary};
use crate::domain::clusterings::DEFAULT;
use crate::domain::ids::UserId;
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::cursor::{self, CursorList};
use super::super::errors::HttpResult;
use super::super::query::Query;
use super::super::request::AuthedRequest;
use super::list::found;

/// Largest number of fits in one answer, which is the number of stored fits.
pub(super) const HISTORY_MAX: u32 = 100;
pub(super) const HISTORY_DEFAULT: u32 = 20;

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
            "maximum_binds": false, "seconds": null, "moved": 0, "points": [], "previous": null,
        }));
    };
    found(&body(&request, &clusters, &names(&request, DEFAULT)))
}

/// A fit with a sample of its users. Each cluster has its name.
pub(super) fn body(request: &AuthedRequest, clusters: &Clustering, names: &BTreeMap<u32, String>) -> Value {
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
    let mut body = summary(&clusters.summary, names);
    body["points"] = json!(points);
    body["previous"] = clusters.previous.as_ref().map_or(
        Value::Null,
        |previous| json!({"epoch": previous.epoch, "clusters": summary(previous, names)["clusters"]}),
    );
    body
}

/// The report of a fit. Each cluster has its name.
pub(super) fn summary(summary: &Summary, names: &BTreeMap<u32, String>) -> Value {
    let mut body = json!(summary);
    // Only the next start reads it.
    if let Some(fields) = body.as_object_mut() {
        fields.remove("counted");
    }
    for cluster in body["clusters"].as_array_mut().into_iter().flatten() {
        let id = cluster["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        cluster["name"] = json!(id.and_then(|id| names.get(&id)));
    }
    body
}

/// Names of the clusters of a clustering; empty for an unknown one.
pub(super) fn names(request: &AuthedRequest, clustering: &str) -> Arc<BTreeMap<u32, String>> {
    let world = request.server().world();
    world.clusterings().get(clustering).map(|one| one.names.clone()).unwrap_or_default()
}

/// `POST /v1/clusters/refit`: 202; a refit starts as soon as possible.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn refit(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    request.server().refit(DEFAULT).await?;
    Ok(HttpResponse::Accepted().json(json!({"status": "accepted"})))
}

/// `GET /v1/clusters/history?limit=&after=`: reports of the last fits, newest first.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn history(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["limit", "after"])?;
    let limit = query.limit(HISTORY_DEFAULT, HISTORY_MAX)?;
    let list = CursorList::new("fits of the default clustering", &[]);
    let before = list.read(&query)?.map_or(u64::MAX, |[epoch]| epoch);
    let (mut fits, names) = (request.server().fits(DEFAULT, HISTORY_MAX).await?, names(&request, DEFAULT));
    fits.retain(|fit| fit.epoch < before);
    let next = cursor::cut(&mut fits, limit as usize, |fit| list.write([fit.epoch]));
    let mut body = json!({"fits": fits.iter().map(|fit| summary(fit, &names)).collect::<Vec<_>>()});
    if let Some(next) = next {
        body["next"] = json!(next);
    }
    found(&body)
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

/// A user's cluster in each clustering whose last fit contains the user, `default` first. Each has its name.
pub(super) fn places_of(world: &World, user: UserId) -> Vec<Value> {
    let place = |(name, one): (&str, &Published)| {
        let mut place = place_of(one.fit.as_deref(), user);
        let id = place.get("id")?.as_u64().and_then(|id| u32::try_from(id).ok());
        place["clustering"] = json!(name);
        place["name"] = json!(id.and_then(|id| one.names.get(&id)));
        Some(place)
    };
    let all = world.settings().all_clusterings();
    all.filter_map(|(name, _)| place((name, world.clusterings().get(name)?))).collect()
}

/// Reads the parameters `cluster`, the number of a cluster in the last fit, and `clustering`, by default `default`.
/// Returns the cluster with its fit.
///
/// # Errors
/// `bad_field`, `unknown_clustering`, or `out_of_range` for an unknown cluster.
pub(super) fn asked(request: &AuthedRequest, query: &Query) -> Result<Option<(u32, Arc<Clustering>)>, Refusal> {
    let name = query.text("clustering").unwrap_or(DEFAULT);
    let world = request.server().world();
    let fit = world.clusterings().get(name).map(|one| one.fit.clone()).ok_or_else(|| no_clustering("clustering"))?;
    let Some(group) = query.number("cluster")? else { return Ok(None) };
    let known = fit.filter(|clusters| clusters.summary.clusters.iter().any(|known| known.id == group));
    let see = || if name == DEFAULT { "/v1/clusters".to_owned() } else { format!("/v1/clusterings/{name}") };
    let unknown = || Refusal::field(Code::OutOfRange, "cluster", format!("no cluster {group}: see GET {}", see()));
    known.map(|clusters| Some((group, clusters))).ok_or_else(unknown)
}

/// The refusal of an unknown name of a clustering in this field.
pub(super) fn no_clustering(field: &str) -> Refusal {
    Refusal::field(Code::UnknownClustering, field, "no clustering has this name: see GET /v1/clusterings")
}
