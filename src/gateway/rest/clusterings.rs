//! Clusterings of users as resources: settings with their history, names of clusters, and the progress of refits.
//!
//! Invariant: a change is durable with its answer. Names and settings are checked before the change. Only services have
//! access. Deliberately absent: the fit of `default` in its older form (`clusters`).

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actors::population::{ClusterSettings, ClusteringEdit, ClusteringFigures, Published};
use crate::actors::schedule::Schedule;
use crate::domain::clusterings::{CLUSTERINGS_MAX, ClusterName, NAMES_MAX, check_cluster_name, check_name};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body;
use super::super::cursor::{self, CursorList};
use super::super::errors::{HttpResult, Problem};
use super::super::request::AuthedRequest;
use super::clusters::{self, HISTORY_DEFAULT, HISTORY_MAX, no_clustering};
use super::list::{fields, found};

/// `GET /v1/clusterings`: all clusterings, `default` first, then by name.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn list(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let all = request.server().clusterings(None).await?;
    found(&json!({"clusterings": all.iter().map(view).collect::<Vec<_>>()}))
}

/// `GET /v1/clusterings/{name}`: one clustering with its newest fit.
///
/// # Errors
/// `forbidden` for a user token; `unknown_clustering`.
pub async fn one(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let figures = known(&request).await?;
    let Published { fit, names } = &figures.status.published;
    let mut body = view(&figures);
    body["fit"] = fit.as_ref().map_or(Value::Null, |fit| clusters::body(&request, fit, names));
    found(&body)
}

/// `PUT /v1/clusterings/{name}`: creates a clustering (201), or replaces its settings (200). Fields that are left out take
/// their defaults.
///
/// # Errors
/// `forbidden` for a user token; `bad_field`, or `out_of_range` with the name of the field.
pub async fn put(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let name = request.key("name")?.as_str().to_owned();
    let settings = body::json_or_nothing::<ClusterSettings>(request.incoming(), payload).await;
    let settings = settings.map_err(|refusal| {
        let message = ClusterSettings::without_shared(&refusal.message);
        Refusal { message, ..refusal }
    })?;
    let refuse = |field: &str, rule: &str| Refusal::field(Code::OutOfRange, field, rule);
    check_name(&name).map_err(|rule| refuse("name", rule))?;
    if let Some(field) = settings.sets_shared() {
        let message = "holds for all clusterings: set it in [cluster] of the configuration";
        return Err(Refusal::field(Code::BadField, field, message).into());
    }
    let world = request.server().world();
    let now = world.settings();
    settings.check(&now.metrics).map_err(|(field, rule)| refuse(&field, rule))?;
    Schedule::check(&settings.schedule).map_err(|fault| refuse("schedule", &fault.to_string()))?;
    let is_new = now.clustering(&name).is_none();
    let full = format!("there are {CLUSTERINGS_MAX} clusterings, as many as there may be: delete one of them");
    if is_new && now.all_clusterings().count() >= CLUSTERINGS_MAX {
        return Err(refuse("name", &full).into());
    }
    request.server().edit_clustering(ClusteringEdit::Set(name, Box::new(settings))).await?;
    // Another request may have taken the last place meanwhile.
    let figures = look_up(&request).await?.ok_or_else(|| refuse("name", &full))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(view(&figures)))
}

/// `DELETE /v1/clusterings/{name}`: deletes a clustering with its fits and names (204). One of the configuration, as
/// `default`, takes the settings of the configuration again (200).
///
/// # Errors
/// `forbidden` for a user token; `unknown_clustering`.
pub async fn remove(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let figures = known(&request).await?;
    request.server().edit_clustering(ClusteringEdit::Remove(figures.status.name)).await?;
    match look_up(&request).await? {
        Some(figures) => found(&view(&figures)),
        None => Ok(HttpResponse::NoContent().finish()),
    }
}

/// `POST /v1/clusterings/{name}/refit`: 202; a refit starts as soon as possible.
///
/// # Errors
/// `forbidden` for a user token; `unknown_clustering`.
pub async fn refit(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let figures = known(&request).await?;
    request.server().refit(&figures.status.name).await?;
    Ok(HttpResponse::Accepted().json(json!({"status": "accepted"})))
}

/// `GET /v1/clusterings/{name}/history?limit=&after=`: the last fits and revisions, newest first.
///
/// # Errors
/// `forbidden` for a user token; `unknown_clustering`; `out_of_range` or `bad_field` for `limit` or `after`.
pub async fn history(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["limit", "after"])?;
    let limit = query.limit(HISTORY_DEFAULT, HISTORY_MAX)? as usize;
    let figures = known(&request).await?;
    let (name, names) = (&figures.status.name, &figures.status.published.names);
    let list = CursorList::new("history of a clustering", &[name]);
    // Both lists go on at one cursor; a list that ended keeps its last place.
    let [epoch, revision] = list.read(&query)?.unwrap_or([u64::MAX; 2]);
    let mut fits = request.server().fits(name, HISTORY_MAX).await?;
    fits.retain(|fit| fit.epoch < epoch);
    let mut revisions = request.server().revisions(name).await?;
    revisions.retain(|one| u64::from(one.revision) < revision);
    let has_more = fits.len() > limit || revisions.len() > limit;
    fits.truncate(limit);
    revisions.truncate(limit);
    let last =
        [fits.last().map_or(epoch, |fit| fit.epoch), revisions.last().map_or(revision, |one| u64::from(one.revision))];
    let next = has_more.then(|| list.write(last));
    let revisions = revisions.into_iter().map(|one| {
        let settings: Value = serde_json::from_str(&one.settings).unwrap_or_default();
        json!({"revision": one.revision, "changed_at": one.changed_at, "settings": settings})
    });
    let fits: Vec<Value> = fits.iter().map(|fit| clusters::summary(fit, names)).collect();
    let mut body = cursor::next_field(next);
    body.extend(fields([("fits", json!(fits)), ("revisions", json!(revisions.collect::<Vec<_>>()))]));
    found(&body)
}

/// The refusal of a name that another cluster has.
const TAKEN: &str = "another cluster of this clustering has this name";

/// The body of a name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameInput {
    name: String,
}

/// `PUT /v1/clusterings/{name}/names/{cluster}`: names a cluster of the last fit.
///
/// # Errors
/// `forbidden` for a user token; `unknown_clustering`; `bad_field`, or `out_of_range` for the name.
pub async fn name(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let NameInput { name } = body::json(request.incoming(), payload).await?;
    let refuse = |rule: &str| Refusal::field(Code::OutOfRange, "name", rule);
    check_cluster_name(&name).map_err(refuse)?;
    let (figures, cluster) = (known(&request).await?, number(&request)?);
    let Published { fit, names } = &figures.status.published;
    let is_there = fit.as_ref().is_some_and(|fit| fit.summary.clusters.iter().any(|known| known.id == cluster));
    if !is_there && !names.contains_key(&cluster) {
        return Err(no_cluster().into());
    }
    let others = || names.iter().filter(|(id, _)| **id != cluster);
    if others().any(|(_, other)| *other == name) {
        return Err(refuse(TAKEN).into());
    }
    let full = format!("there are {NAMES_MAX} names, as many as there may be: delete those of earlier clusters");
    if others().count() >= NAMES_MAX {
        return Err(refuse(&full).into());
    }
    let clustering = figures.status.name;
    let edit = ClusterName { clustering: clustering.clone(), cluster, name: name.clone() };
    request.server().edit_clustering(ClusteringEdit::Name(edit)).await?;
    // Another request may have taken the name, or the last place, since the check: the edit then stored nothing.
    let names = clusters::names(&request, &clustering);
    if names.get(&cluster) != Some(&name) {
        if names.values().any(|other| *other == name) {
            return Err(refuse(TAKEN).into());
        }
        if !names.contains_key(&cluster) {
            return Err(refuse(&full).into());
        }
    }
    found(&json!({"cluster": cluster, "name": name}))
}

/// `DELETE /v1/clusterings/{name}/names/{cluster}`: removes the name of a cluster (204).
///
/// # Errors
/// `forbidden` for a user token; `unknown_clustering` for a cluster without a name, too.
pub async fn unname(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let (figures, cluster) = (known(&request).await?, number(&request)?);
    if !figures.status.published.names.contains_key(&cluster) {
        return Err(no_cluster().into());
    }
    request.server().edit_clustering(ClusteringEdit::Unname(figures.status.name, cluster)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /v1/users/{id}/clusters`: the cluster of a user in each clustering whose last fit contains the user.
///
/// # Errors
/// `forbidden` for a user token; `unknown_user`.
pub async fn of_user(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let person = request.person()?;
    let world = request.server().world();
    found(&json!({"clusters": clusters::places_of(&world, person.id)}))
}

/// The clustering that the path names.
async fn known(request: &AuthedRequest) -> Result<ClusteringFigures, Problem> {
    look_up(request).await?.ok_or_else(|| no_clustering("name").into())
}

async fn look_up(request: &AuthedRequest) -> Result<Option<ClusteringFigures>, Problem> {
    let name = request.key("name")?;
    Ok(request.server().clusterings(Some(name.as_str())).await?.pop())
}

fn number(request: &AuthedRequest) -> Result<u32, Refusal> {
    let text = request.key("cluster")?;
    text.as_str().parse().map_err(|_| Refusal::field(Code::BadField, "cluster", "must be the number of a cluster"))
}

fn no_cluster() -> Refusal {
    let message = "no cluster has this number: see GET /v1/clusterings/{name}";
    Refusal::field(Code::UnknownClustering, "cluster", message)
}

/// A clustering without its fit's details.
fn view(figures: &ClusteringFigures) -> Value {
    let ClusteringFigures { status, next, starts: (done, all) } = figures;
    let fit = status.published.fit.as_ref().map(|fit| &fit.summary);
    let under_way = status.under_way.as_ref().map(|under_way| {
        json!({"epoch": under_way.epoch, "began_at": under_way.began_at, "starts_done": done, "starts": all})
    });
    json!({
        "name": status.name,
        "settings": status.settings.to_json(),
        "revision": status.revision,
        "changed_at": status.changed_at,
        "counter": status.counter,
        "threshold": status.settings.threshold,
        "next": next,
        "requested": status.requested,
        "under_way": under_way,
        "refused": status.refused.as_ref().map(ToString::to_string),
        "epoch": fit.map(|fit| fit.epoch),
        "fitted_at": fit.map(|fit| fit.fitted_at),
        "clusters": fit.map(|fit| fit.clusters.len()),
        "people": fit.map(|fit| fit.people),
        "outliers": fit.map(|fit| fit.outliers),
        "seconds": fit.map(|fit| fit.seconds),
        "maximum_binds": fit.map(|fit| fit.maximum_binds),
    })
}
