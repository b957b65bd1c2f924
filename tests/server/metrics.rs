//! Metrics that a site declares: at run time, from attributes of users, and visits, which the server counts itself.

use crate::support;

use serde_json::{Value, json};
use support::Server;
use support::rest::Rest;
use tempfile::TempDir;

const CONFIGURED: [(&str, &str); 2] =
    [("EDDYLINE_METRICS__SPEED__RANGE", "[0, 9]"), ("EDDYLINE_METRICS__SPEED__UNIT", "m/s")];

fn of(rest: &Rest, name: &str) -> Value {
    let all = rest.get("/v1/metrics").success("metrics").json();
    let found = |list: &str| all[list].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    json!({"declared": found("declarations"), "figures": found("metrics")})
}

fn measure(rest: &Rest, body: &Value) -> Value {
    rest.post("/v1/metrics", body).success("measure").json()
}

#[test]
fn a_metric_that_is_declared_while_the_server_runs_survives_its_end() {
    let server = Server::start_with(TempDir::new().unwrap(), &CONFIGURED);
    let names: Vec<String> = (0..30).map(|n| format!("person-{n}")).collect();
    server.people(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let rest = server.rest();
    assert_eq!(rest.post("/v1/metrics?user=person-0", &json!({"metric": "mood", "value": 1})).fields(), ["metric"]);
    let prior = json!({"mean": 1.0, "precision": 2.0, "shape": 3.0, "rate": 4.0});
    let mood = json!({"kind": "value", "range": [-5, 5], "types": ["am", "pm"], "prior": prior});
    let made = rest.put("/v1/metrics/mood", &mood);
    assert_eq!(made.status, 201, "{}", made.body);
    let expected = json!({
        "name": "mood", "kind": "value", "unit": "", "range": [-5.0, 5.0], "prior": prior, "types": ["am", "pm"],
        "attribute": null,
    });
    assert_eq!((made.json(), &of(&rest, "mood")["declared"]), (expected.clone(), &expected));
    assert_eq!(of(&rest, "mood")["figures"]["posterior"], prior, "the prior before the first value");
    assert_eq!(of(&rest, "speed")["declared"]["range"], json!([0.0, 9.0]), "of the configuration");

    let values: Vec<Value> = (0..30)
        .map(|n| json!({"metric": "mood", "type": "am", "user": names[n], "id": "m", "value": if n == 7 { -5.0 } else { 2.0 + 0.1 * (n % 3) as f64 }}))
        .collect();
    assert_eq!(measure(&rest, &json!(values)), json!({"accepted": 30, "ignored": 0}));
    assert_eq!(measure(&rest, &json!(values)), json!({"accepted": 30, "ignored": 0}), "again, and nothing changes");
    for (field, body) in [
        ("value", json!({"metric": "mood", "user": "person-1", "value": 5.5})),
        ("type", json!({"metric": "mood", "user": "person-1", "type": "noon", "value": 5})),
        ("value", json!({"metric": "speed", "user": "person-1", "value": -1})),
    ] {
        assert_eq!(rest.post("/v1/metrics", &body).fields(), [field], "{body}");
    }
    let before = of(&rest, "mood");
    assert_eq!(before["figures"]["people"], 30);
    // (kappa mu + n mean) / (kappa + n), Murphy 2007, for the values above.
    let sum: f64 = (0..30).map(|n| if n == 7 { -5.0 } else { 2.0 + 0.1 * f64::from(n % 3) }).sum();
    assert!((before["figures"]["posterior"]["mean"].as_f64().unwrap() - (2.0 + sum) / 32.0).abs() < 1e-9, "{before}");
    let outside = rest.get("/v1/metrics/mood/atypical?type=am").success("atypical").json();
    assert_eq!(outside["people"][0]["user"], "person-7", "{outside}");

    // Killed, and started without the configuration: the declaration of the store is there, the other one is gone.
    let server = Server::start_with(server.kill(), &[]);
    let rest = server.rest();
    assert_eq!((of(&rest, "mood"), of(&rest, "speed")["declared"].clone()), (before.clone(), Value::Null));
    // A changed declaration keeps the values, also of a type that is declared no longer.
    assert_eq!(rest.put("/v1/metrics/mood", &json!({"types": ["noon"], "unit": "points"})).status, 200);
    let after = of(&rest, "mood");
    assert_eq!((&after["figures"]["people"], &after["declared"]["unit"]), (&json!(30), &json!("points")));
    assert_ne!(after["figures"]["posterior"], before["figures"]["posterior"], "another prior");
    let server = Server::start_with(server.kill(), &[]);
    assert_eq!(of(&server.rest(), "mood"), after);
}

#[test]
fn a_removed_declaration_gives_way_to_the_configuration_and_keeps_the_measurements() {
    let columns = ("EDDYLINE_CLUSTER__COLUMNS", "[\"time_spent.post\", \"speed\"]");
    let server = Server::start_with(TempDir::new().unwrap(), &[CONFIGURED[0], CONFIGURED[1], columns]);
    server.people(&["ada"]);
    let rest = server.rest();
    let get = |rest: &Rest, name: &str| rest.get(&format!("/v1/metrics/{name}"));
    let origins = |rest: &Rest, name: &str| {
        let one = get(rest, name).success("a declaration").json();
        assert_eq!((&one["name"], &one["declaration"]["name"]), (&json!(name), &json!(name)));
        json!([one["configured"], one["stored"], one["declaration"]["unit"]])
    };
    assert_eq!(origins(&rest, "speed"), json!([true, false, "m/s"]));
    assert_eq!(origins(&rest, "time_spent"), json!([true, false, "s"]), "built in");
    for path in ["/v1/metrics/mood", "/v1/metrics/no.name"] {
        for answer in [rest.get(path), rest.delete(path)] {
            assert_eq!((answer.status, answer.code()), (404, Some("unknown_metric".into())), "{path}");
        }
    }
    // A metric of its own: gone with its declaration, back with the values under the next one.
    rest.put("/v1/metrics/mood", &json!({"unit": "points"})).success("declare");
    assert_eq!(origins(&rest, "mood"), json!([false, true, "points"]));
    measure(&rest, &json!({"metric": "mood", "user": "ada", "value": 3}));
    let before = of(&rest, "mood");
    assert_eq!(rest.delete("/v1/metrics/mood").status, 204);
    assert_eq!(get(&rest, "mood").status, 404);
    assert_eq!(of(&rest, "mood"), json!({"declared": null, "figures": null}));
    assert_eq!(rest.post("/v1/metrics?user=ada", &json!({"metric": "mood", "value": 1})).fields(), ["metric"]);
    // A configured metric: back to its configuration, as often as one asks.
    rest.put("/v1/metrics/speed", &json!({"unit": "km/h"})).success("declare");
    assert_eq!(origins(&rest, "speed"), json!([true, true, "km/h"]));
    for _ in 0..2 {
        let removed = rest.delete("/v1/metrics/speed").success("remove").json();
        assert_eq!((&removed["stored"], &removed["declaration"]["unit"]), (&json!(false), &json!("m/s")));
    }
    let server = Server::start_with(server.kill(), &[CONFIGURED[0], CONFIGURED[1], columns]);
    let rest = server.rest();
    assert_eq!((get(&rest, "mood").status, origins(&rest, "speed")), (404, json!([true, false, "m/s"])));
    rest.put("/v1/metrics/mood", &json!({"unit": "points"})).success("declare again");
    assert_eq!(of(&rest, "mood"), before, "the values were never lost");
    // Started without the configuration of a metric: the stored declaration is the only one that its column has.
    rest.put("/v1/metrics/speed", &json!({"unit": "km/h"})).success("declare");
    let server = Server::start_with(server.kill(), &[("EDDYLINE_CLUSTER__COLUMNS", "[\"time_spent.post\"]")]);
    assert_eq!(server.rest().delete("/v1/metrics/speed").status, 204, "no column reads it");
}

/// A stored clustering whose metric left the configuration cannot be fitted, and keeps no other metric from removal.
#[test]
fn a_column_that_is_undeclared_already_keeps_no_other_metric() {
    let columns = ("EDDYLINE_CLUSTER__COLUMNS", "[\"time_spent.post\"]");
    let server = Server::start_with(TempDir::new().unwrap(), &[CONFIGURED[0], CONFIGURED[1], columns]);
    let slow = json!({"columns": ["speed", "time_spent"], "threshold": 0});
    server.rest().put("/v1/clusterings/slow", &slow).success("a clustering");
    let server = Server::start_with(server.kill(), &[columns]);
    let rest = server.rest();
    let found = rest.get("/v1/clusterings/slow").success("a clustering").json();
    assert!(found["refused"].as_str().is_some_and(|why| why.contains("speed")), "{found}");
    rest.put("/v1/metrics/mood", &json!({})).success("declare");
    assert_eq!(rest.delete("/v1/metrics/mood").status, 204, "no column reads it");
    rest.put("/v1/metrics/mood", &json!({})).success("declare again");
    rest.put("/v1/clusterings/moods", &json!({"columns": ["mood"], "threshold": 0})).success("a clustering");
    let kept = rest.delete("/v1/metrics/mood");
    assert_eq!((kept.status, kept.code()), (409, Some("conflict".into())), "{}", kept.body);
    assert!(kept.body.contains("moods"), "the clustering that reads it is named: {}", kept.body);
}

#[test]
fn a_declaration_that_cannot_be_used_is_refused_by_its_field() {
    let server = Server::start_with(TempDir::new().unwrap(), &[("EDDYLINE_CLUSTER__COLUMNS", "[\"time_spent.post\"]")]);
    let rest = server.rest();
    for (path, body, status, field) in [
        ("/v1/metrics/mood", json!({"kind": "feeling"}), 400, "kind"),
        ("/v1/metrics/mood", json!({"colour": 1}), 400, "colour"),
        ("/v1/metrics/mood", json!({"range": [1, 0]}), 422, "range"),
        ("/v1/metrics/mood", json!({"prior": {"shape": 0}}), 422, "prior.shape"),
        ("/v1/metrics/mood", json!({"prior": {"mean": 1e13}}), 422, "prior.mean"),
        ("/v1/metrics/mood", json!({"types": ["a", "a"]}), 422, "types"),
        ("/v1/metrics/mood", json!({"unit": "x".repeat(33)}), 422, "unit"),
        ("/v1/metrics/mood", json!({"attribute": ""}), 422, "attribute"),
        ("/v1/metrics/a.b", json!({}), 422, "name"),
        ("/v1/metrics/value", json!({}), 422, "name"),
        ("/v1/metrics/visits", json!({"types": ["a"]}), 422, "types"),
        ("/v1/metrics/time_spent", json!({"types": ["feed"]}), 422, "types"),
        ("/v1/metrics/mood?x=1", json!({}), 400, "x"),
    ] {
        let answer = rest.put(path, &body);
        assert_eq!(
            (answer.status, answer.fields()),
            (status, vec![field.to_owned()]),
            "{path} {body}: {}",
            answer.body
        );
    }
    for n in 0..98 {
        assert_eq!(rest.put(&format!("/v1/metrics/m{n}"), &json!({})).status, 201, "{n}");
    }
    let answer = rest.put("/v1/metrics/m98", &json!({}));
    assert_eq!((answer.status, answer.fields()), (422, vec!["name".to_owned()]), "{}", answer.body);
    assert_eq!(rest.put("/v1/metrics/m5", &json!({"unit": "x"})).status, 200, "changing one is no new one");
}

#[test]
fn an_attribute_of_a_person_is_a_value_that_is_replaced() {
    let server = support::server();
    let rest = server.rest();
    let age = json!({"kind": "count", "attribute": "age", "unit": "years", "range": [0, 150]});
    assert_eq!(rest.put("/v1/metrics/age", &age).status, 201);
    for (name, attributes) in [
        ("ada", json!({"age": 36})),
        ("ada", json!({"age": 37})),
        ("ada", json!({"age": 1_000})),
        ("ada", json!({"age": "old"})),
        ("bob", json!({"age": 20})),
        ("eve", json!({"height": 2})),
    ] {
        rest.put(&format!("/v1/users/{name}"), &json!({"attributes": attributes})).success("person");
    }
    let of = |name: &str| rest.get(&format!("/v1/users/{name}/metrics")).success("metrics").json();
    let ada = of("ada");
    assert_eq!((&ada["metrics"][0]["value"], &ada["metrics"][0]["unit"]), (&json!(37.0), &json!("years")), "{ada}");
    assert_eq!((&ada["metrics"][0]["people"], of("eve")["metrics"].clone()), (&json!(2), json!([])), "{ada}");
}

#[test]
fn visits_are_days_and_a_person_reads_whether_they_are_atypical() {
    const DAY_MS: i64 = 86_400_000;
    let server = support::server();
    let names: Vec<String> = (0..40).map(|n| format!("person-{n}")).collect();
    server.people(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let rest = server.rest();
    rest.put("/v1/items/calm", &json!({"text": "a calm sea", "topics": ["sea"]})).success("item");
    let now = support::now_ms();
    for (n, name) in names.iter().enumerate() {
        // Two interactions a day, the newest day first; person 0 comes on many days.
        let days = if n == 0 { 30 } else { 2 + n as i64 % 3 };
        let acts: Vec<Value> = (0..2 * days)
            .map(|act| json!({"user": name, "item": "calm", "kind": "view", "id": format!("v{act}"), "at": now - act / 2 * DAY_MS - 1}))
            .collect();
        rest.post("/v1/interactions", &json!(acts)).success("interactions");
    }
    let of =
        |name: &str, sigmas: &str| rest.get(&format!("/v1/users/{name}/metrics{sigmas}")).success("metrics").json();
    let many = of("person-0", "");
    let visits = &many["metrics"][0];
    assert_eq!(
        (&visits["name"], &visits["value"], &visits["count"], &visits["unit"]),
        (&json!("visits"), &json!(30.0), &json!(30), &json!("days"))
    );
    assert_eq!((&many["atypical"], &visits["atypical"], &visits["people"]), (&json!(true), &json!(true), &json!(40)));
    let z = visits["z"].as_f64().unwrap();
    assert!(z > 2.0 && z < visits["sigmas"].as_f64().unwrap(), "{visits}");
    assert!(visits["interval"][1].as_f64().unwrap() < 30.0, "{visits}");
    let few = of("person-1", "");
    assert_eq!((&few["atypical"], &few["metrics"][0]["value"]), (&json!(false), &json!(3.0)), "{few}");
    assert_eq!(of("person-0", "?sigmas=900")["atypical"], false);
    assert_eq!(rest.get("/v1/users/person-0/metrics?sigmas=0").fields(), ["sigmas"]);
    let outside = rest.get("/v1/metrics/visits/atypical").success("atypical").json();
    assert_eq!((outside["people"].as_array().unwrap().len(), &outside["people"][0]["user"]), (1, &json!("person-0")));
    // Exact after a crash.
    let server = Server::start_with(server.kill(), &[]);
    assert_eq!(server.rest().get("/v1/users/person-0/metrics").json(), many);
}
