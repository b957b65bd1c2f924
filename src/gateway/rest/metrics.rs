//! Measurements of users, and their distribution over the population.
//!
//! Invariant: a request is checked as a whole before the server learns from it. Measurements of undeclared metrics are
//! never journalled. Deliberately absent: the rules of declarations (`domain::metrics`).

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use futures_util::future;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::actors::population::SeriesFigures;
use crate::actors::server::UserEvent;
use crate::domain::ids::{Key, UserId};
use crate::domain::journal::Measured;
use crate::domain::metrics::{Declaration, METRICS_MAX, VISITS};
use crate::domain::stated_time::StatedTime;
use crate::domain::time::Millis;
use crate::engine::metrics::measured::{Declarations, Ignored, Named, PersonMetrics, millionths};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, BoundedList, UniqueMap};
use super::super::checks;
use super::super::cursor::{self, CursorList};
use super::super::errors::HttpResult;
use super::super::event_ids;
use super::super::grant::Subject;
use super::super::request::{AuthedRequest, NamedPerson};
use super::super::timestamps;
use super::list::{LIST_DEFAULT, LIST_MAX, found};

/// Largest number of measurements in one request.
pub(crate) const MEASUREMENTS_MAX: usize = 100;
/// The longest request in bytes: a measurement has some 200 bytes, and at most three keys of 255.
pub(crate) const MEASUREMENTS_BYTES_MAX: usize = 256 * 1024;
/// Probability of the credible interval of a mean.
const CREDIBLE: f64 = 0.95;
const SIGMAS_DEFAULT: f64 = 2.0;

/// `POST /v1/metrics?user=&unknown=`: learns one measurement, or up to 100.
///
/// # Errors
/// `bad_field` or `out_of_range` with the name of the field; then the server has learned no part of the request.
pub async fn take(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    let query = request.query(&["user", "unknown"])?;
    let ignores_unknown = query.one_of("unknown", &["refuse", "ignore"])? == Some("ignore");
    let measured = match (query.key("user")?, request.subject()) {
        (Some(key), _) => Some(request.named(key, "user")?),
        (None, Subject::Person(key)) => Some(request.named(key.clone(), "user")?),
        (None, Subject::Anyone) => None,
    };
    let bytes = body::json_batch_within(request.incoming(), payload, MEASUREMENTS_BYTES_MAX).await?;
    let is_list = body::is_array(&bytes);
    let mut parts: Vec<UniqueMap<String, Value>> =
        if is_list { body::parse::<Measurements>(&bytes)?.0 } else { vec![body::parse(&bytes)?] };
    if parts.len() > MEASUREMENTS_MAX {
        let message = format!("must be at most {MEASUREMENTS_MAX} measurements, are more");
        return Err(Refusal::new(Code::OutOfRange, message).into());
    }
    if let Some(key) = request.idempotency_key()?.filter(|_| !is_list) {
        for UniqueMap(part) in &mut parts {
            part.entry("id".into()).or_insert_with(|| json!(key));
        }
    }
    let world = request.server().world();
    let declared = &world.settings().metrics;
    let mut events: BTreeMap<UserId, Vec<UserEvent>> = BTreeMap::new();
    let (mut accepted, mut ignored) = (0, 0);
    let mut doubt = None;
    for (index, UniqueMap(mut part)) in parts.into_iter().enumerate() {
        let read = concerned(&request, &mut part, measured.as_ref())
            .and_then(|user| Ok((user, event(part, declared, ignores_unknown, request.now())?)));
        match read {
            Ok((user, Some(event))) => {
                accepted += 1;
                let field = if is_list { format!("[{index}].at") } else { "at".to_owned() };
                doubt = doubt.or_else(|| timestamps::doubt(&field, Some(event.at())));
                events.entry(user).or_default().push(event);
            }
            Ok((_, None)) => ignored += 1,
            Err(refusal) => {
                let prefix = if is_list { format!("[{index}].") } else { String::new() };
                let field = refusal.field.as_ref().map(|field| format!("{prefix}{field}"));
                return Err(Refusal { field, ..refusal }.into());
            }
        }
    }
    for (user, events) in &events {
        for _ in events {
            request.spend(*user)?;
        }
    }
    request.server().ignored(ignored);
    let all = events.into_iter().map(|(user, events)| request.server().measure(user, events));
    future::join_all(all).await.into_iter().collect::<Result<(), _>>()?;
    let mut body = json!({"accepted": accepted, "ignored": ignored});
    if let Some(doubt) = doubt {
        body["warnings"] = json!([doubt]);
    }
    found(&body)
}

/// The measured user: `user` of the measurement, by default that of the request.
fn concerned(
    request: &AuthedRequest,
    part: &mut BTreeMap<String, Value>,
    measured: Option<&NamedPerson>,
) -> Result<UserId, Refusal> {
    if part.contains_key("user") {
        return Ok(request.named(key(&text(part, "user")?, "user")?, "user")?.id);
    }
    let missing = "must name the person who was measured: in the measurement, or as ?user=";
    measured.map(|person| person.id).ok_or_else(|| Refusal::field(Code::BadField, "user", missing))
}

/// Parses a measurement: `value` and `type`, or the metric's own name and `page_type`. `None` for an undeclared metric or
/// type that the request ignores.
fn event(
    mut part: BTreeMap<String, Value>,
    declared: &Declarations,
    ignores_unknown: bool,
    now: Millis,
) -> Result<Option<UserEvent>, Refusal> {
    let name = text(&mut part, "metric")?;
    let Some(declaration) = declared.get(&name).filter(|_| name != VISITS) else {
        // The other fields of an unknown metric are unknown, too.
        return if ignores_unknown { Ok(None) } else { Err(no_metric(declared, &name)) };
    };
    let type_field = if part.contains_key("page_type") { "page_type" } else { "type" };
    let kind = match part.remove(type_field) {
        None => None,
        Some(Value::String(kind)) => Some(kind),
        Some(_) => return Err(Refusal::field(Code::BadField, type_field, "must be a text")),
    };
    let value_field = if part.contains_key(&name) { name.as_str() } else { "value" };
    let value = part.remove(value_field).unwrap_or_default().as_f64().ok_or_else(|| {
        let unit = declaration.unit();
        let unit = if unit.is_empty() { String::new() } else { format!(" of {unit}") };
        Refusal::field(Code::BadField, value_field, format!("must be a number{unit}"))
    })?;
    let id = match part.remove("id") {
        None => event_ids::fresh(),
        Some(Value::String(id)) => key(&id, "id")?,
        Some(_) => return Err(Refusal::field(Code::BadField, "id", "must be a text")),
    };
    let at = match part.remove("at") {
        None => None,
        Some(at) => {
            let StatedTime(at) =
                StatedTime::deserialize(at).map_err(|error| Refusal::field(Code::BadField, "at", error.to_string()))?;
            Some(at)
        }
    };
    let at = match at {
        None => Millis::ON_ARRIVAL,
        Some(at) => checks::happened(Some(at), now).map(|_| at)?,
    };
    // `value` and `type` have a second name each; the first pair of names was read above.
    let twice = [("value", value_field), ("type", type_field)];
    if let Some((field, other)) = twice.into_iter().find(|(field, read)| field != read && part.contains_key(*field)) {
        let message = format!("is given twice, as {other} and as {field}: leave one of them out");
        return Err(Refusal::field(Code::BadField, field, message));
    }
    if let Some(field) = part.keys().next() {
        return Err(Refusal::field(Code::BadField, field.clone(), "is no field of a measurement"));
    }
    match declared.accept(&name, kind.as_deref(), value) {
        Ok(()) => {}
        Err(Ignored::Metric | Ignored::Kind) if ignores_unknown => return Ok(None),
        Err(Ignored::Metric) => return Err(no_metric(declared, &name)),
        Err(Ignored::Kind) => {
            let message = format!("is no type of {name}; {}", types(declaration));
            return Err(Refusal::field(Code::BadField, type_field, message));
        }
        Err(Ignored::Value) => {
            let (low, high) = declaration.range();
            let message = format!("must be {low} to {high} {}", declaration.unit());
            let message = format!("{}, is {value}", message.trim_end());
            return Err(Refusal::field(Code::OutOfRange, value_field, message));
        }
    }
    let kind = kind.map(|kind| key(&kind, type_field)).transpose()?;
    let measured = Measured { metric: key(&name, "metric")?, kind, millionths: millionths(value), replaces: false };
    Ok(Some(UserEvent::Measured { id, measured, at }))
}

fn no_metric(declared: &Declarations, name: &str) -> Refusal {
    if name == VISITS {
        return Refusal::field(Code::BadField, "metric", "the server counts visits itself, from interactions");
    }
    let names: Vec<&str> = declared.iter().map(|(name, _)| name).filter(|name| *name != VISITS).collect();
    let message = format!(
        "no metric {name:?} is declared; there are: {}. Declare it with PUT /v1/metrics/{{name}}, or pass ?unknown=ignore",
        names.join(", ")
    );
    Refusal::field(Code::BadField, "metric", message)
}

fn types(declaration: &Declaration) -> String {
    match &declaration.types[..] {
        [] => "it has none".into(),
        types => format!("there are: {}", types.join(", ")),
    }
}

fn text(part: &mut BTreeMap<String, Value>, field: &str) -> Result<String, Refusal> {
    match part.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Refusal::field(Code::BadField, field, "must be a text")),
        None => Err(Refusal::field(Code::BadField, field, "is missing")),
    }
}

fn key(text: &str, field: &str) -> Result<Key, Refusal> {
    Key::new(text).map_err(|error| Refusal::field(Code::BadField, field, error.to_string()))
}

type Measurements = BoundedList<UniqueMap<String, Value>, MEASUREMENTS_MAX>;

/// `PUT /v1/metrics/{name}`: declares a metric (201), or replaces its declaration (200). Fields that are left out take
/// their defaults.
///
/// # Errors
/// `forbidden` for a user token; `bad_field`, or `out_of_range` with the name of the field.
pub async fn declare(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let name = request.key("name")?;
    let declaration: Declaration = body::json_or_nothing(request.incoming(), payload).await?;
    let refuse = |field: &str, rule: &str| Refusal::field(Code::OutOfRange, field, rule);
    declaration.check(name.as_str()).map_err(|(field, rule)| refuse(field, rule))?;
    let world = request.server().world();
    let settings = world.settings();
    if !settings.metrics.has_room(name.as_str()) {
        let message = format!("there are {METRICS_MAX} metrics, as many as there may be: change one of them");
        return Err(refuse("name", &message).into());
    }
    let is_new = settings.metrics.get(name.as_str()).is_none();
    let mut after = settings.metrics.clone();
    after.declare(name.as_str(), declaration.clone());
    if let Some((clustering, column)) = settings.lost_column(&settings.metrics, &after) {
        let message = format!("the clustering {clustering:?} reads the column {column:?}: keep its type");
        return Err(refuse("types", &message).into());
    }
    request.server().declare(name.clone(), Some(declaration.clone())).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(declared_view(name.as_str(), &declaration)))
}

/// `GET /v1/metrics/{name}`: the declaration of a metric, and its origins.
///
/// # Errors
/// `forbidden` for a user token; `unknown_metric`.
pub async fn declaration(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let name = request.key("name")?;
    found(&declared_with_origins(&request.server().world().settings().metrics, name.as_str())?)
}

/// `DELETE /v1/metrics/{name}`: removes the declaration that was made at run time. A configured metric goes back to its
/// configuration (200, as `GET` answers); another one is no longer declared (204). Measurements stay in the journal.
///
/// # Errors
/// `forbidden` for a user token; `unknown_metric`; `conflict` while the clustering reads the metric or one of its types.
pub async fn undeclare(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let name = request.key("name")?;
    let world = request.server().world();
    let settings = world.settings();
    declared_with_origins(&settings.metrics, name.as_str())?;
    let mut after = settings.metrics.clone();
    after.undeclare(name.as_str());
    keeps_columns(&world, &after)?;
    if settings.metrics.is_stored(name.as_str()) {
        request.server().declare(name.clone(), None).await?;
    }
    match declared_with_origins(&after, name.as_str()) {
        Ok(view) => found(&view),
        Err(_) => Ok(HttpResponse::NoContent().finish()),
    }
}

/// Refuses declarations without a metric or type that a column of a clustering reads.
fn keeps_columns(world: &World, after: &Declarations) -> Result<(), Refusal> {
    let settings = world.settings();
    let Some((clustering, column)) = settings.lost_column(&settings.metrics, after) else { return Ok(()) };
    let message = format!("the clustering {clustering:?} reads this metric: remove {column:?} from its columns first");
    Err(Refusal::field(Code::Conflict, "name", message))
}

/// A declaration, and whether the configuration and the store declare the metric.
fn declared_with_origins(declared: &Declarations, name: &str) -> Result<Value, Refusal> {
    let declaration = declared.get(name).ok_or_else(|| unknown_metric(name))?;
    Ok(json!({
        "name": name,
        "declaration": declared_view(name, declaration),
        "configured": declared.is_configured(name),
        "stored": declared.is_stored(name),
    }))
}

fn unknown_metric(name: &str) -> Refusal {
    let message = format!("no metric {name:?} is declared: see GET /v1/metrics");
    Refusal::field(Code::UnknownMetric, "name", message)
}

/// A declaration with its defaults filled in.
fn declared_view(name: &str, declaration: &Declaration) -> Value {
    json!({
        "name": name,
        "kind": declaration.kind,
        "unit": declaration.unit(),
        "range": declaration.range(),
        "prior": declaration.prior,
        "types": declaration.types,
        "attribute": declaration.attribute,
    })
}

/// `GET /v1/metrics`: the declarations, and the posterior of each metric over the population, over all of its types and
/// for each type.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn list(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let all = request.server().metrics(None).await?;
    let world = request.server().world();
    let declared: Vec<Value> =
        world.settings().metrics.iter().map(|(name, declaration)| declared_view(name, declaration)).collect();
    let figures: Vec<Value> = all.iter().map(figures).collect();
    found(&json!({"metrics": figures, "declarations": declared, "ignored": request.server().ignored(0)}))
}

fn figures(of: &SeriesFigures) -> Value {
    let SeriesFigures { metric, kind, posterior, .. } = of;
    // A single value bounds the mean, but not the spread.
    let spread = posterior.count >= 2;
    json!({
        "name": metric,
        "type": kind,
        "people": posterior.count,
        "mean": (posterior.count > 0).then_some(posterior.mean),
        "precision": spread.then(|| posterior.precision()),
        "mean_interval": posterior.credible_mean(CREDIBLE).filter(|_| spread),
        "deviation": spread.then(|| posterior.sigma()),
        "posterior": {
            "mean": posterior.mean,
            "precision": posterior.strength,
            "shape": posterior.shape,
            "rate": posterior.rate,
        },
    })
}

/// `GET /v1/users/{id}/metrics?sigmas=`: the user's values, each with its place in the population.
///
/// # Errors
/// `forbidden`, `unknown_user`; `out_of_range` or `bad_field` for `sigmas`.
pub async fn of_user(request: AuthedRequest) -> HttpResult {
    let person = request.person()?;
    let sigmas = request.query(&["sigmas"])?.text("sigmas").map_or(Ok(SIGMAS_DEFAULT), sigmas)?;
    let all = request.server().metrics(Some(person.id)).await?;
    let own: Vec<Value> = all.iter().filter_map(|of| placed(of, sigmas)).collect();
    let atypical = own.iter().any(|one| one["atypical"] == true);
    found(&json!({"user": person.key, "sigmas": sigmas, "atypical": atypical, "metrics": own}))
}

/// A user's value of one series; `None` without a value. `atypical` follows the rule of [`atypical`].
fn placed(of: &SeriesFigures, most: f64) -> Option<Value> {
    let SeriesFigures { metric, kind, unit, posterior, own } = of;
    let own = own.as_ref()?;
    let sigmas = posterior.sigmas(own.mean);
    Some(json!({
        "name": metric,
        "type": kind,
        "unit": unit,
        "count": own.count,
        "value": own.mean,
        "people": posterior.count,
        "mean": posterior.mean,
        "deviation": (posterior.count >= 2).then(|| posterior.sigma()),
        "sigmas": sigmas,
        "z": sigmas.map(|_| (own.mean - posterior.mean) / posterior.predictive_scale()),
        "interval": posterior.credible_value(CREDIBLE).filter(|_| posterior.count >= 2),
        "atypical": sigmas.is_some_and(|sigmas| sigmas.abs() > most),
    }))
}

/// `GET /v1/metrics/{name}/atypical?sigmas=&type=&limit=&after=`: users outside of `sigmas` deviations, farthest first.
///
/// # Errors
/// `forbidden` for a user token; `unknown_metric`; `bad_field` for an unknown type; `out_of_range` or `bad_field` for `sigmas`.
pub async fn atypical(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["sigmas", "type", "limit", "after"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)?;
    let sigmas = query.text("sigmas").map_or(Ok(SIGMAS_DEFAULT), sigmas)?;
    let name = request.key("name")?;
    let world = request.server().world();
    let declared = &world.settings().metrics;
    let declaration = declared.get(name.as_str()).ok_or_else(|| unknown_metric(name.as_str()))?;
    let kind = query.text("type").filter(|kind| !kind.is_empty());
    let named = declared.series(name.as_str(), kind).ok_or_else(|| {
        Refusal::field(Code::BadField, "type", format!("is no type of {name}; {}", types(declaration)))
    })?;
    let list = CursorList::of("atypical users", name.as_str(), &query, &["sigmas", "type"]);
    let after = list.read(&query)?.map(|[value, user]| (f64::from_bits(value), UserId(user as u32)));
    let (posterior, mut outside) = request.server().atypical(named.series, declaration.prior, sigmas).await?;
    let farther = |one: f64, other: f64| other.abs().total_cmp(&one.abs());
    outside.sort_by(|a, b| farther(a.sigmas, b.sigmas).then(a.key.cmp(&b.key)));
    if let Some((value, user)) = after {
        // The mean may have moved since the last page: its last value marks the place by its present distance.
        let last = posterior.sigmas(value).unwrap_or(0.0);
        outside.retain(|one| farther(last, one.sigmas).then(user.cmp(&one.key)).is_lt());
    }
    let next = cursor::cut(&mut outside, limit as usize, |one| list.write([one.value.to_bits(), one.key.0.into()]));
    let people = request.server().people();
    let people: Vec<Value> = outside
        .into_iter()
        .filter_map(|one| Some(json!({"user": people.get(one.key)?.key, "value": one.value, "sigmas": one.sigmas})))
        .collect();
    let mut body = json!({
        "metric": name,
        "type": kind,
        "mean": (posterior.count > 0).then_some(posterior.mean),
        "deviation": (posterior.count >= 2).then(|| posterior.sigma()),
        "sigmas": sigmas,
        "people": people,
    });
    if let Some(next) = next {
        body["next"] = json!(next);
    }
    found(&body)
}

fn sigmas(text: &str) -> Result<f64, Refusal> {
    let refuse =
        |code| Refusal::field(code, "sigmas", format!("must be a number above 0 and at most 1000, is {text:?}"));
    let found: f64 = text.parse().map_err(|_| refuse(Code::BadField))?;
    if found > 0.0 && found <= 1_000.0 { Ok(found) } else { Err(refuse(Code::OutOfRange)) }
}

/// The measurements of one user.
pub(super) fn of_person(declared: &Declarations, metrics: &PersonMetrics) -> Vec<Value> {
    let one = |named: Named<'_>| {
        let mean = metrics.get(named.series)?;
        Some(json!({"name": named.metric, "type": named.kind, "count": mean.count, "mean": mean.mean}))
    };
    declared.all().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<Option<(f64, Option<String>)>, (Code, String)>;

    fn read(text: &str, ignores_unknown: bool) -> Read {
        let mut declared = Declarations::default();
        let mood = Declaration { range: Some((-5.0, 5.0)), types: vec!["am".into()], ..Declaration::default() };
        declared.declare("mood", mood);
        let UniqueMap(part) = body::parse(text.as_bytes()).unwrap();
        match event(part, &declared, ignores_unknown, Millis(1_000_000)) {
            Ok(Some(UserEvent::Measured { measured, .. })) => {
                Ok(Some((measured.value(), measured.kind.map(|kind| kind.to_string()))))
            }
            Ok(_) => Ok(None),
            Err(refusal) => Err((refusal.code, refusal.field.unwrap())),
        }
    }

    #[test]
    fn a_measurement_is_read_and_its_faults_are_named() {
        let good = |value: f64| Ok(Some((value, Some("post".to_owned()))));
        let bad = |code, field: &str| Err((code, field.to_owned()));
        for (text, expected) in [
            (r#"{"metric":"time_spent","page_type":"post","time_spent":12.345}"#, good(12.345)),
            (r#"{"metric":"time_spent","type":"post","value":12.345}"#, good(12.345)),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":86400,"id":"a","at":5}"#, good(86_400.0)),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":-0.0}"#, good(0.0)),
            (r#"{"metric":"time_spent","time_spent":3}"#, Ok(Some((3.0, None)))),
            (r#"{"metric":"mood","value":-4.5}"#, Ok(Some((-4.5, None)))),
            (r#"{"metric":"mood","mood":5,"type":"am"}"#, Ok(Some((5.0, Some("am".into()))))),
            (r#"{"metric":"mood","value":1,"type":null}"#, bad(Code::BadField, "type")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":-1}"#, bad(Code::OutOfRange, "time_spent")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":86400.1}"#, bad(Code::OutOfRange, "time_spent")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":"1"}"#, bad(Code::BadField, "time_spent")),
            (r#"{"metric":"mood","value":5.1}"#, bad(Code::OutOfRange, "value")),
            (r#"{"metric":"mood","value":"5"}"#, bad(Code::BadField, "value")),
            (r#"{"metric":"mood","value":1,"mood":1}"#, bad(Code::BadField, "value")),
            (r#"{"metric":"mood","value":1,"type":"am","page_type":"am"}"#, bad(Code::BadField, "type")),
            (r#"{"metric":"time_spent","page_type":"post"}"#, bad(Code::BadField, "value")),
            (r#"{"metric":"time_spent","page_type":7,"time_spent":1}"#, bad(Code::BadField, "page_type")),
            (r#"{"page_type":"post","time_spent":1}"#, bad(Code::BadField, "metric")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"x":1}"#, bad(Code::BadField, "x")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"id":7}"#, bad(Code::BadField, "id")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"id":""}"#, bad(Code::BadField, "id")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"at":9000000}"#, bad(Code::OutOfRange, "at")),
        ] {
            assert_eq!(read(text, false), expected, "{text}");
            assert_eq!(read(text, true), expected, "{text}");
        }
    }

    #[test]
    fn a_value_or_type_that_is_given_twice_is_refused_by_both_names() {
        let declared = Declarations::default();
        for (text, field, names) in [
            (r#"{"metric":"time_spent","value":1,"time_spent":1}"#, "value", "as time_spent and as value"),
            (
                r#"{"metric":"time_spent","value":1,"type":"post","page_type":"post"}"#,
                "type",
                "as page_type and as type",
            ),
        ] {
            let UniqueMap(part) = body::parse(text.as_bytes()).unwrap();
            let refusal = event(part, &declared, false, Millis(1_000_000)).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (Code::BadField, Some(field)), "{text}");
            assert!(refusal.message.contains("given twice") && refusal.message.contains(names), "{}", refusal.message);
        }
    }

    #[test]
    fn an_unknown_metric_or_type_is_refused_by_name_or_ignored_on_request() {
        for (text, field) in [
            (r#"{"metric":"clicks","page_type":"post","clicks":1}"#, "metric"),
            (r#"{"metric":"visits","value":1}"#, "metric"),
            (r#"{"metric":"time_spent","page_type":"cellar","time_spent":1}"#, "page_type"),
            (r#"{"metric":"time_spent","page_type":"","time_spent":1}"#, "page_type"),
            (r#"{"metric":"mood","type":"pm","value":1}"#, "type"),
        ] {
            assert_eq!(read(text, false), Err((Code::BadField, field.to_owned())), "{text}");
            assert_eq!(read(text, true), Ok(None), "{text}");
        }
    }
}
