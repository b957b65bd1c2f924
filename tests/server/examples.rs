//! The examples of answers in `/openapi.json`: a real server answers the example of each request, and the answer has the fields
//! of the recorded one.
//!
//! `EDDYLINE_RECORD=1 cargo test --test server examples::` writes `src/gateway/openapi/examples.json` again.

use crate::checkpoint::checkpoint;
use crate::support;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Map, Value, json};
use support::rest::{Answer, Rest};
use support::{PATIENCE, Server};
use tempfile::TempDir;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gateway/openapi/examples.json");
const DIM: usize = 32;

/// Answers that are as long as a document; their example is their first field.
const DOCUMENTS: [(&str, &str); 2] = [("readOpenApi", "openapi"), ("readAsyncApi", "asyncapi")];

/// Operations that need the ones before them, in this order. All others follow in the order of the document.
const FIRST: [&str; 8] =
    ["createItems", "putUser", "putUsers", "interact", "measure", "putClustering", "uploadModel", "publishModel"];
/// Operations after all others.
const LAST: [&str; 7] =
    ["undoInteraction", "removeMetric", "deleteClustering", "rollBack", "revokeToken", "retireKey", "deleteAll"];

/// One operation of the document with a JSON answer.
struct Operation {
    id: String,
    method: String,
    path: String,
    body: Option<Value>,
}

/// All operations with a JSON answer, each with the examples of its parameters and of its body.
fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            if !answers.values().any(|answer| answer["content"]["application/json"]["schema"].is_object()) {
                continue;
            }
            let (mut path, mut query) = (path.clone(), Vec::new());
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
                let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                match parameter["in"].as_str() {
                    Some("path") => path = path.replace(&format!("{{{name}}}"), &text),
                    Some("query") if parameter["required"] == true => query.push(format!("{name}={text}")),
                    _ => {}
                }
            }
            if !query.is_empty() {
                path = format!("{path}?{}", query.join("&"));
            }
            let body = operation["requestBody"]["content"]["application/json"].get("example").cloned();
            let id = operation["operationId"].as_str().unwrap().to_owned();
            found.push(Operation { id, method: method.to_uppercase(), path, body });
        }
    }
    let place = |id: &str| match (FIRST.iter().position(|one| *one == id), LAST.iter().position(|one| *one == id)) {
        (Some(place), _) => (0, place),
        (_, Some(place)) => (2, place),
        _ => (1, 0),
    };
    found.sort_by_key(|operation| place(&operation.id));
    found
}

/// Users and items beside those of the examples, so that lists have entries and users form a cluster.
fn prepare(rest: &Rest) {
    rest.put("/v1/items/weir-cam", &json!({"text": "The weir", "topic": "rivers", "at": "2026-01-02T00:00:00Z"}))
        .success("put an item");
    for number in 0..24 {
        let user = format!("reader-{number}");
        rest.put(&format!("/v1/users/{user}"), &json!({"name": format!("Reader {number}")})).success("put a user");
        let spent = json!({"metric": "time_spent", "type": "post", "value": 10.0 + f64::from(number % 5)});
        rest.post(&format!("/v1/metrics?user={user}"), &spent).success("measure");
        let act = json!({"user": user, "item": "weir-cam", "kind": "like"});
        rest.post("/v1/interactions", &act).success("interact");
    }
    let far = json!({"metric": "time_spent", "type": "post", "value": 900});
    rest.post("/v1/metrics?user=reader-0", &far).success("measure");
    for (item, kind) in [("river-cam", "accept"), ("weir-cam", "like")] {
        let act = json!({"user": "ada", "item": item, "kind": kind});
        rest.post("/v1/interactions", &act).success("interact");
    }
    rest.post("/v1/clusters/refit", &json!(null)).success("ask for a refit");
    let end = Instant::now() + PATIENCE;
    while rest.get("/v1/clusters").json()["epoch"].is_null() && Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn ask(rest: &Rest, operation: &Operation, recorded: &Map<String, Value>) -> Answer {
    let made = |id: &str, status: &str, field: &str| {
        recorded.get(id).and_then(|of| of[status][field].as_str()).unwrap_or("none").to_owned()
    };
    let path = match operation.id.as_str() {
        "uploadModel" => return rest.post_bytes("/v1/models", &checkpoint(1, DIM)),
        "rollBack" => {
            rest.post_bytes("/v1/models?publish=true", &checkpoint(2, DIM)).success("publish a second model");
            operation.path.clone()
        }
        "revokeToken" => format!("/v1/tokens/{}", made("createToken", "201", "jti")),
        "retireKey" => {
            rest.post("/v1/keys", &json!(null)).success("make a second key");
            format!("/v1/keys/{}", made("createKey", "201", "kid"))
        }
        "listHiddenItems" => {
            let act = json!({"user": "ada", "item": "weir-cam", "kind": "hide"});
            rest.post("/v1/interactions", &act).success("interact");
            operation.path.clone()
        }
        "listAtypicalUsers" => "/v1/metrics/time_spent/atypical?type=post".to_owned(),
        "readNumberedPrediction" => format!("{}?user=ada", operation.path),
        _ => operation.path.clone(),
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let accept = [("Accept", "application/json")];
        let answer = rest.ask_with(&operation.method, &path, None, operation.body.as_ref(), &accept);
        // One question to all active users at a time.
        if answer.status != 503 || Instant::now() > end {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The answer with two entries of each list, and without a token.
fn shortened(value: Value) -> Value {
    match value {
        Value::Array(all) => {
            // A pair stays a pair, and a number its digits.
            all.into_iter().take(2).map(shortened).collect()
        }
        Value::Object(fields) => {
            let short = |(name, value): (String, Value)| match name.as_str() {
                "token" => (name, json!("eyJhbGciOiJIUzI1NiJ9.…")),
                _ => (name, shortened(value)),
            };
            fields.into_iter().map(short).collect()
        }
        other => other,
    }
}

/// Whether two values have equal fields, whatever their numbers and texts. Null and an empty list stand for any value.
fn differences(place: &str, recorded: &Value, found: &Value, wrong: &mut Vec<String>) {
    match (recorded, found) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(recorded), Value::Object(found)) => {
            let names: BTreeSet<&String> = recorded.keys().chain(found.keys()).collect();
            for name in names {
                match (recorded.get(name), found.get(name)) {
                    (Some(recorded), Some(found)) => differences(&format!("{place}/{name}"), recorded, found, wrong),
                    (Some(_), None) => wrong.push(format!("{place}/{name}: the server does not answer it any more")),
                    (None, _) => wrong.push(format!("{place}/{name}: the recorded answer lacks it")),
                }
            }
        }
        (Value::Array(recorded), Value::Array(found)) => {
            if let (Some(recorded), Some(found)) = (recorded.first(), found.first()) {
                differences(&format!("{place}/0"), recorded, found, wrong);
            }
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => {}
        (recorded, found) => wrong.push(format!("{place}: recorded {recorded}, answered {found}")),
    }
}

#[test]
fn the_real_program_answers_every_example_with_the_fields_of_the_recorded_answer() {
    let server = Server::start_with(TempDir::new().unwrap(), &[("EDDYLINE_DIM", "32")]);
    let rest = server.rest();
    let document = rest.get("/openapi.json").json();
    let (mut recorded, mut wrong) = (Map::new(), Vec::new());
    rest.put("/v1/users/grace", &json!({"name": "Grace"})).success("put a user");
    let mut is_prepared = false;
    for operation in operations(&document) {
        if !is_prepared && !FIRST.contains(&operation.id.as_str()) {
            prepare(&rest);
            is_prepared = true;
        }
        let answer = ask(&rest, &operation, &recorded);
        let Operation { id, method, path, .. } = &operation;
        if !(200..300).contains(&answer.status) {
            wrong.push(format!("{id}: {method} {path} is answered by {}: {}", answer.status, answer.body));
            continue;
        }
        let mut example = shortened(answer.json());
        if let Some((_, field)) = DOCUMENTS.iter().find(|(name, _)| name == id) {
            example = json!({*field: example[*field]});
        }
        recorded.insert(id.clone(), json!({answer.status.to_string(): example}));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let recorded = Value::Object(recorded);
    if std::env::var_os("EDDYLINE_RECORD").is_some() {
        std::fs::write(FILE, format!("{}\n", serde_json::to_string_pretty(&recorded).unwrap())).unwrap();
        return;
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    differences("", &kept, &recorded, &mut wrong);
    assert!(wrong.is_empty(), "record the examples again, see the head of this file:\n{}", wrong.join("\n"));
}
