//! The OpenAPI document, the registered routes and the table of routes in `docs/protocol.md` agree, and every example of a body
//! matches its schema.

use crate::schema;

use std::collections::BTreeSet;

use eddyline::gateway::{self, openapi};
use serde_json::Value;

const PROTOCOL: &str = include_str!("../../docs/protocol.md");

/// A route as method and path, whose parameters have no names.
type Route = (String, String);

fn route(method: &str, path: &str) -> Route {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let mut bare = String::new();
    let mut parts = path.split('{');
    bare.push_str(parts.next().unwrap_or_default());
    for part in parts {
        bare.push_str("{}");
        bare.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    (method.to_owned(), if bare.is_empty() { "/".to_owned() } else { bare })
}

fn registered() -> BTreeSet<(String, String)> {
    let all = gateway::ROUTES.iter().chain(gateway::rest::ROUTES);
    all.flat_map(|(path, methods)| methods.iter().map(|method| (method.replace("SOCKET", "GET"), (*path).to_owned())))
        .collect()
}

#[test]
fn every_route_is_described_once_and_every_description_has_its_route() {
    let described = openapi::described();
    let found: BTreeSet<_> =
        described.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(found.len(), described.len(), "a route is described twice");
    let missing: Vec<_> = registered().difference(&found).cloned().collect();
    let surplus: Vec<_> = found.difference(&registered()).cloned().collect();
    assert!(missing.is_empty(), "describe these routes in src/gateway/openapi: {missing:?}");
    assert!(surplus.is_empty(), "no such routes are registered: {surplus:?}");
}

#[test]
fn names_of_operations_are_unique() {
    let document = openapi::openapi();
    let mut names = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name.clone()), "{method} {path}: {name} is there twice");
        }
    }
}

#[test]
fn the_protocol_lists_every_route_and_no_other() {
    let mut listed: BTreeSet<Route> = BTreeSet::new();
    let mut in_table = false;
    for line in PROTOCOL.lines() {
        in_table = line.starts_with('|') && (in_table || line.starts_with("| route | what |"));
        let Some(first) = line.strip_prefix("| `").filter(|_| in_table).and_then(|rest| rest.split(" | ").next())
        else {
            continue;
        };
        let mut path = String::new();
        for part in first.trim_end_matches('`').split("` · `") {
            // `/api/…` stands for the routes of another interface, which docs/gorse.md describes.
            let Some((method, of)) = part.split_once(' ') else { continue };
            if of != "…" {
                path = of.to_owned();
            }
            listed.insert(route(method, &path));
        }
    }
    let registered: BTreeSet<Route> = registered().iter().map(|(method, path)| route(method, path)).collect();
    let missing: Vec<_> = registered.difference(&listed).collect();
    let surplus: Vec<_> = listed.difference(&registered).collect();
    assert!(missing.is_empty(), "docs/protocol.md, REST: add rows of {missing:?}");
    assert!(surplus.is_empty(), "docs/protocol.md, REST: no such routes: {surplus:?}");
}

#[test]
fn every_body_and_parameter_of_a_path_has_an_example() {
    let document = openapi::openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let is_bare = parameter["required"] == true && parameter["example"].is_null();
                assert!(!is_bare, "{method} {path}: {} has no example", parameter["name"]);
            }
            let json = &operation["requestBody"]["content"]["application/json"];
            let is_bare = !json.is_null() && json["example"].is_null();
            assert!(!is_bare, "{method} {path}: its body has no example that reads as JSON");
            let examples = operation["responses"].as_object().unwrap().values();
            let errors = examples.filter_map(|answer| answer["content"].get("application/problem+json"));
            assert!(errors.clone().all(|error| error["examples"] != Value::Null), "{method} {path}");
        }
    }
}

#[test]
fn every_example_of_a_body_matches_its_schema() {
    let document = openapi::openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let json = &operation["requestBody"]["content"]["application/json"];
            if !json.is_null() {
                let faults = schema::faults(&document, &json["schema"], &json["example"]);
                assert!(faults.is_empty(), "{method} {path}: {faults:?}");
            }
        }
    }
}

#[test]
fn every_answer_in_json_has_an_example_and_every_example_matches_its_schema() {
    let document = openapi::openapi();
    let mut wrong = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let json = &answer["content"]["application/json"];
                if json["schema"].is_object() {
                    let place = format!("{} ({method} {path}, {status})", operation["operationId"]);
                    match json.get("example") {
                        None => wrong.push(format!("{place}: no example; record it, see tests/server/examples.rs")),
                        Some(example) => wrong.extend(
                            schema::faults(&document, &json["schema"], example)
                                .into_iter()
                                .map(|fault| format!("{place}: {fault}")),
                        ),
                    }
                }
                let problem = &answer["content"]["application/problem+json"];
                for of in problem["examples"].as_object().into_iter().flatten() {
                    let target = of.1["$ref"].as_str().unwrap().trim_start_matches('#');
                    let example = &document.pointer(target).unwrap()["value"];
                    let faults = schema::faults(&document, &problem["schema"], example);
                    wrong.extend(faults.into_iter().map(|fault| format!("{method} {path}, {}: {fault}", of.0)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_golden_messages_of_the_socket_match_their_schemas() {
    let document = openapi::asyncapi();
    let mut count = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if name == "causes" {
            let of = serde_json::json!({"type": "array", "items": {"$ref": "#/components/schemas/Cause"}});
            assert_eq!(schema::faults(&document, &of, &value), Vec::<String>::new(), "{name}");
            continue;
        }
        let payload = &document["components"]["messages"][&name]["payload"];
        assert!(payload.is_object(), "{name} has no schema");
        assert_eq!(schema::faults(&document, payload, &value), Vec::<String>::new(), "{name}");
        // A fault is noticed: the check is no formality.
        let mut wrong = value;
        wrong["surplus"] = 1.into();
        assert_eq!(schema::faults(&document, payload, &wrong).len(), 1, "{name}");
        count += 1;
    }
    assert_eq!(count, document["components"]["messages"].as_object().unwrap().len(), "each message has a golden file");
}
