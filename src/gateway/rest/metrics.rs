//! Measurements of users, and their distribution over the population.
//!
//! Invariant: a request is checked as a whole before the server learns from it. Undeclared metrics are counted and
//! skipped, never journalled. Deliberately absent: the declarations of metrics (`engine::metrics::measured`).

use std::collections::BTreeMap;

use actix_web::web;
use serde::Serialize;
use serde_json::{Value, json};

use crate::actors::server::UserEvent;
use crate::domain::ids::Key;
use crate::domain::journal::Measured;
use crate::domain::time::Millis;
use crate::engine::metrics::measured::{Ignored, Kinds, Measurement, Metric, PersonMetrics, RunningMean, Series};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, BoundedList, UniqueMap};
use super::super::checks;
use super::super::errors::HttpResult;
use super::super::event_ids;
use super::super::grant::Subject;
use super::super::request::{AuthedRequest, NamedPerson};
use super::list::{LIST_DEFAULT, LIST_MAX, found};

/// The most measurements in one request.
pub(crate) const MEASUREMENTS_MAX: usize = 100;
/// The longest request in bytes: a measurement has some 200 bytes, and at most three keys of 255.
pub(crate) const MEASUREMENTS_BYTES_MAX: usize = 256 * 1024;
/// Probability of the credible interval of a mean.
const CREDIBLE: f64 = 0.95;
const SIGMAS_DEFAULT: f64 = 2.0;

/// `POST /v1/metrics?user=`: learns one measurement, or up to 100.
///
/// # Errors
/// `bad_field` or `out_of_range` with the name of the field; then the server has learned no part of the request.
pub async fn take(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    let who = concerned(&request)?;
    let bytes = body::json_batch_within(request.incoming(), payload, MEASUREMENTS_BYTES_MAX).await?;
    let is_list = body::is_array(&bytes);
    let parts: Vec<UniqueMap<String, Value>> =
        if is_list { body::parse::<Measurements>(&bytes)?.0 } else { vec![body::parse(&bytes)?] };
    if parts.len() > MEASUREMENTS_MAX {
        let message = format!("must be at most {MEASUREMENTS_MAX} measurements, are more");
        return Err(Refusal::new(Code::OutOfRange, message).into());
    }
    let world = request.server().world();
    let kinds = &world.settings().metrics;
    let (mut events, mut ignored) = (Vec::new(), 0);
    for (index, UniqueMap(part)) in parts.into_iter().enumerate() {
        let prefix = if is_list { format!("[{index}].") } else { String::new() };
        match event(part, kinds, request.now()) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => ignored += 1,
            Err(refusal) => {
                let field = refusal.field.as_ref().map(|field| format!("{prefix}{field}"));
                return Err(Refusal { field, ..refusal }.into());
            }
        }
    }
    for _ in &events {
        request.spend(who.id)?;
    }
    let accepted = events.len();
    request.server().ignored(ignored);
    request.server().measure(who.id, events).await?;
    found(&json!({"accepted": accepted, "ignored": ignored}))
}

/// The measured user: `user`, by default the caller.
fn concerned(request: &AuthedRequest) -> Result<NamedPerson, Refusal> {
    let key = match (request.query(&["user"])?.key("user")?, request.subject()) {
        (Some(key), _) => key,
        (None, Subject::Person(key)) => key.clone(),
        (None, Subject::Anyone) => {
            return Err(Refusal::field(Code::BadField, "user", "must name the person who was measured: ?user="));
        }
    };
    request.named(key, "user")
}

/// Parses a measurement; `None` for an undeclared metric or type.
fn event(mut part: BTreeMap<String, Value>, kinds: &Kinds, now: Millis) -> Result<Option<UserEvent>, Refusal> {
    let name = text(&mut part, "metric")?;
    // The other fields of an unknown metric are unknown, too.
    let Some(metric) = Metric::from_name(&name) else { return Ok(None) };
    let declaration = metric.declaration();
    let kind = text(&mut part, declaration.kind_field)?;
    let value = part.remove(declaration.name).unwrap_or_default();
    let value = value.as_f64().ok_or_else(|| {
        Refusal::field(Code::BadField, declaration.name, format!("must be a number of {}", declaration.unit))
    })?;
    let id = match part.remove("id") {
        None => event_ids::fresh(),
        Some(Value::String(id)) => key(&id, "id")?,
        Some(_) => return Err(Refusal::field(Code::BadField, "id", "must be a text")),
    };
    let at = match part.remove("at") {
        None => None,
        Some(at) => {
            let whole =
                at.as_i64().ok_or_else(|| Refusal::field(Code::BadField, "at", "must be whole milliseconds"))?;
            Some(Millis(whole))
        }
    };
    let at = match at {
        None => Millis::ON_ARRIVAL,
        Some(at) => checks::happened(Some(at), now).map(|_| at)?,
    };
    if let Some(field) = part.keys().next() {
        return Err(Refusal::field(Code::BadField, field.clone(), "is no field of a measurement"));
    }
    match Measurement::new(kinds, &name, &kind, value) {
        Ok(_) => {}
        Err(Ignored::Metric | Ignored::Kind) => return Ok(None),
        Err(Ignored::Value) => {
            let (low, high) = declaration.range;
            let message = format!("must be {low} to {high} {}, is {value}", declaration.unit);
            return Err(Refusal::field(Code::OutOfRange, declaration.name, message));
        }
    }
    let (metric, kind) = (key(&name, "metric")?, key(&kind, declaration.kind_field)?);
    let measured = Measured { metric, kind, millionths: (value * 1e6).round() as i64 };
    Ok(Some(UserEvent::Measured { id, measured, at }))
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

#[derive(Serialize)]
struct MetricFigures<'a> {
    name: &'static str,
    r#type: Option<&'a str>,
    people: u64,
    mean: Option<f64>,
    precision: Option<f64>,
    mean_interval: Option<(f64, f64)>,
    deviation: Option<f64>,
}

/// `GET /v1/metrics`: the posterior of each metric over the population, over all of its types and for each type.
///
/// # Errors
/// `forbidden` for a user token.
pub async fn list(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let all = request.server().metrics().await?;
    let world = request.server().world();
    let figures = all.iter().filter_map(|(series, posterior)| {
        let (name, kind) = world.settings().metrics.names(*series)?;
        // A single value bounds the mean, but not the spread.
        let spread = posterior.count >= 2;
        Some(MetricFigures {
            name,
            r#type: kind,
            people: posterior.count,
            mean: (posterior.count > 0).then_some(posterior.mean),
            precision: spread.then(|| posterior.precision()),
            mean_interval: posterior.credible_mean(CREDIBLE).filter(|_| spread),
            deviation: spread.then(|| posterior.sigma()),
        })
    });
    let figures: Vec<MetricFigures<'_>> = figures.collect();
    found(&json!({"metrics": figures, "ignored": request.server().ignored(0)}))
}

/// `GET /v1/metrics/{name}/atypical?sigmas=&type=&limit=`: users outside of `sigmas` deviations, farthest first.
///
/// # Errors
/// `forbidden` for a user token; `out_of_range` for an unknown metric or type, or `sigmas`; `bad_field`.
pub async fn atypical(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["sigmas", "type", "limit"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)?;
    let sigmas = query.text("sigmas").map_or(Ok(SIGMAS_DEFAULT), sigmas)?;
    let name = request.key("name")?;
    let world = request.server().world();
    let kinds = &world.settings().metrics;
    let names = || Metric::ALL.map(|metric| metric.declaration().name).join(", ");
    if Metric::from_name(name.as_str()).is_none() {
        let message = format!("no metric {name:?}; there are: {}", names());
        return Err(Refusal::field(Code::OutOfRange, "name", message).into());
    }
    let kind = query.text("type").filter(|kind| !kind.is_empty());
    let series = kinds.series(name.as_str(), kind).ok_or_else(|| {
        let known = Metric::from_name(name.as_str()).map_or(&[][..], |metric| kinds.of(metric)).join(", ");
        Refusal::field(Code::OutOfRange, "type", format!("no such type of {name}; there are: {known}"))
    })?;
    let (posterior, outside) = request.server().atypical(series, sigmas).await?;
    let people = request.server().people();
    let people: Vec<Value> = outside
        .into_iter()
        .filter_map(|one| Some(json!({"user": people.get(one.key)?.key, "value": one.value, "sigmas": one.sigmas})))
        .take(limit as usize)
        .collect();
    found(&json!({
        "metric": name,
        "type": kind,
        "mean": (posterior.count > 0).then_some(posterior.mean),
        "deviation": (posterior.count >= 2).then(|| posterior.sigma()),
        "sigmas": sigmas,
        "people": people,
    }))
}

fn sigmas(text: &str) -> Result<f64, Refusal> {
    let refuse =
        |code| Refusal::field(code, "sigmas", format!("must be a number above 0 and at most 1000, is {text:?}"));
    let found: f64 = text.parse().map_err(|_| refuse(Code::BadField))?;
    if found > 0.0 && found <= 1_000.0 { Ok(found) } else { Err(refuse(Code::OutOfRange)) }
}

/// The measurements of one user.
pub(super) fn of_person(kinds: &Kinds, metrics: &PersonMetrics) -> Vec<Value> {
    let one = |(series, mean): (Series, RunningMean)| {
        let (name, kind) = kinds.names(series)?;
        Some(json!({"name": name, "type": kind, "count": mean.count, "mean": mean.mean}))
    };
    metrics.iter().filter_map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<(f64, String)>, (Code, String)> {
        let UniqueMap(part) = body::parse(text.as_bytes()).unwrap();
        match event(part, &Kinds::default(), Millis(1_000_000)) {
            Ok(Some(UserEvent::Measured { measured, .. })) => Ok(Some((measured.value(), measured.kind.to_string()))),
            Ok(_) => Ok(None),
            Err(refusal) => Err((refusal.code, refusal.field.unwrap())),
        }
    }

    #[test]
    fn a_measurement_is_read_and_its_faults_are_named() {
        let good = |value: f64| Ok(Some((value, "post".to_owned())));
        let bad = |code, field: &str| Err((code, field.to_owned()));
        for (text, expected) in [
            (r#"{"metric":"time_spent","page_type":"post","time_spent":12.345}"#, good(12.345)),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":86400,"id":"a","at":5}"#, good(86_400.0)),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":-0.0}"#, good(0.0)),
            (r#"{"metric":"clicks","page_type":"post","clicks":1}"#, Ok(None)),
            (r#"{"metric":"time_spent","page_type":"cellar","time_spent":1}"#, Ok(None)),
            (r#"{"metric":"time_spent","page_type":"","time_spent":1}"#, Ok(None)),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":-1}"#, bad(Code::OutOfRange, "time_spent")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":86400.1}"#, bad(Code::OutOfRange, "time_spent")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":"1"}"#, bad(Code::BadField, "time_spent")),
            (r#"{"metric":"time_spent","page_type":"post"}"#, bad(Code::BadField, "time_spent")),
            (r#"{"metric":"time_spent","page_type":7,"time_spent":1}"#, bad(Code::BadField, "page_type")),
            (r#"{"page_type":"post","time_spent":1}"#, bad(Code::BadField, "metric")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"x":1}"#, bad(Code::BadField, "x")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"id":7}"#, bad(Code::BadField, "id")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"id":""}"#, bad(Code::BadField, "id")),
            (r#"{"metric":"time_spent","page_type":"post","time_spent":1,"at":9000000}"#, bad(Code::OutOfRange, "at")),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
