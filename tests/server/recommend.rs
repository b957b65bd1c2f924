//! Recommendations by request, and similar users, over HTTP.

use crate::support;

use serde_json::{Value, json};

use support::rest::Rest;
use support::server;

fn prepare(rest: &Rest) {
    for user in ["ada", "bob", "cleo", "writer"] {
        rest.put(&format!("/v1/users/{user}"), &json!({})).success("prepare");
    }
    for n in 0..30 {
        let (topic, attributes) =
            if n % 2 == 0 { ("sea", json!({"genre": "jazz", "n": n})) } else { ("sky", json!({"n": n})) };
        let item = json!({
            "text": format!("about the {topic}, number {n}"),
            "topics": [topic],
            "attributes": attributes,
            "created": 1_000_000 + n,
        });
        rest.put(&format!("/v1/items/r{n}"), &item).success("prepare");
    }
    rest.patch("/v1/items/r4", &json!({"author": "writer"})).success("prepare");
    rest.put("/v1/items/r6/windows", &json!([{"start": 9_000_000_000_000_i64}])).success("prepare");
    rest.ask("DELETE", "/v1/items/r8", None, None).success("prepare");
}

fn recommended(rest: &Rest, body: &Value) -> Value {
    rest.post("/v1/recommend", body).success("recommend").json()
}

fn ids(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|item| item["item"].as_str().unwrap().to_owned()).filter(|id| id.starts_with('r')).collect()
}

#[test]
fn a_session_gets_items_like_its_own_and_leaves_no_trace() {
    let server = server();
    let rest = server.rest();
    prepare(&rest);
    let likes = |parity: u32| -> Vec<Value> {
        (10..20).filter(|n| n % 2 == parity).map(|n| json!({"item": format!("r{n}"), "kind": "like"})).collect()
    };
    let entries = || rest.get("/v1/figures").json()["journal"].clone();
    let before = entries();
    for (parity, topic) in [(0, "sea"), (1, "sky")] {
        let answer = recommended(&rest, &json!({"items": likes(parity), "limit": 5}));
        assert_eq!(answer["user"], Value::Null);
        let topics: Vec<&Value> = answer["items"].as_array().unwrap().iter().map(|item| &item["topic"]).collect();
        assert!(topics.iter().all(|found| *found == topic), "{topic}: {topics:?}");
        assert_eq!(answer, recommended(&rest, &json!({"items": likes(parity), "limit": 5})), "asked again");
    }
    assert_eq!(entries(), before, "nothing is stored");
    let keys = recommended(&rest, &json!({"items": ["r10", "r12", "r14"], "limit": 5}));
    assert!(keys["items"].as_array().unwrap().iter().all(|item| item["topic"] == "sea"), "{keys}");
    // For a known user, their state and the session count; the state stays.
    let model = rest.get("/v1/users/ada/model").json();
    let mine = recommended(&rest, &json!({"user": "ada", "items": likes(0), "limit": 5}));
    assert_eq!(mine["user"], "ada");
    assert!(mine["items"].as_array().unwrap().iter().all(|item| item["topic"] == "sea"), "{mine}");
    assert_eq!(rest.get("/v1/users/ada/model").json(), model);
    // Without a body: a new user.
    assert_eq!(recommended(&rest, &json!({}))["items"].as_array().unwrap().len(), 28);
}

#[test]
fn filters_exclusions_boosts_and_signals_steer_and_faults_are_named() {
    let server = server();
    let rest = server.rest();
    prepare(&rest);
    let of = |body: Value| ids(&recommended(&rest, &body));
    assert!(!of(json!({"limit": 100})).iter().any(|id| id == "r6" || id == "r8"), "closed and removed");
    let sea: Vec<u32> = (0..30).filter(|n| n % 2 == 0 && *n != 6 && *n != 8).collect();
    let mut expected: Vec<String> = sea.iter().map(|n| format!("r{n}")).collect();
    expected.sort();
    for filters in [json!({"topic": "sea"}), json!({"attribute": {"name": "genre", "value": "jazz"}})] {
        let mut found = of(json!({"limit": 100, "filters": filters}));
        found.sort();
        assert_eq!(found, expected, "{filters}");
    }
    assert_eq!(of(json!({"filters": {"author": "writer"}})), ["r4"]);
    assert_eq!(of(json!({"filters": {"attribute": {"name": "n", "value": 7}}})), ["r7"]);
    assert_eq!(of(json!({"filters": {"topic": "sea", "author": "writer"}, "exclude": ["r4", "unknown"]})), [""; 0]);
    for filters in [json!({"topic": "nothing"}), json!({"author": "nobody"})] {
        assert_eq!(of(json!({"filters": filters})), [""; 0]);
    }
    let mut old = of(json!({"limit": 100, "filters": {"created_after": 1_000_001, "created_before": 1_000_003}}));
    old.sort();
    assert_eq!(old, ["r1", "r2", "r3"]);
    assert!(of(json!({"limit": 100, "filters": {"available_at": 9_000_000_000_001_i64}})).contains(&"r6".to_owned()));

    let boosts =
        json!([{"item": "r3", "factor": 900}, {"topic": "sky", "factor": 1.5}, {"author": "nobody", "factor": 9}]);
    let answer = recommended(&rest, &json!({"limit": 5, "explain": true, "boosts": boosts}));
    let first = &answer["items"][0];
    assert_eq!(first["item"], "r3", "{answer}");
    let why = first["why"].as_array().unwrap();
    let sum: f64 = why.iter().map(|part| part["amount"].as_f64().unwrap()).sum();
    assert!((sum - first["score"].as_f64().unwrap()).abs() < 1e-3, "{first}");
    let own: Vec<&Value> = why.iter().filter_map(|part| part.get("boost")).collect();
    assert_eq!(own, [&json!({"item": "r3", "factor": 900.0}), &json!({"topic": "sky", "factor": 1.5})]);
    assert!(recommended(&rest, &json!({"boosts": boosts}))["items"][0].get("why").is_none());
    let muted = recommended(&rest, &json!({"explain": true, "limit": 1, "signals": {"freshness": 0, "popularity": 2}}));
    let part = |name: &str| {
        let why = muted["items"][0]["why"].as_array().unwrap();
        why.iter().find(|part| part["expert"] == name).unwrap()["amount"].as_f64().unwrap()
    };
    assert_eq!(part("freshness"), 0.0);

    for (body, status, field) in [
        (json!({"user": "nobody"}), 404, "user"),
        (json!({"items": ["nothing"]}), 404, "items[0].item"),
        (json!({"items": [{"item": "r1", "kind": "adore"}]}), 400, "items[0].kind"),
        (json!({"items": [{"item": "r1", "at": 9_000_000_000_000_i64}]}), 422, "items[0].at"),
        (json!({"items": vec!["r1"; 101]}), 422, "items"),
        (json!({"exclude": vec!["r1"; 1_001]}), 422, "exclude"),
        (json!({"limit": 101}), 422, "limit"),
        (json!({"ranking": "best"}), 400, "ranking"),
        (json!({"filters": {"colour": "red"}}), 400, "filters.colour"),
        (json!({"filters": {"available_at": 5}}), 422, "filters.available_at"),
        (json!({"filters": {"attribute": {"name": "n", "value": [1]}}}), 400, "filters.attribute.value"),
        (json!({"boosts": [{"factor": 2}]}), 400, "boosts[0]"),
        (json!({"boosts": [{"topic": "sea", "item": "r1", "factor": 2}]}), 400, "boosts[0]"),
        (json!({"boosts": [{"topic": "sea", "factor": 0}]}), 422, "boosts[0].factor"),
        (json!({"boosts": [{"topic": "sea", "factor": 2}], "ranking": "flat"}), 400, "boosts"),
        (json!({"signals": {"magic": 2}}), 400, "signals"),
        (json!({"signals": {"topic": -1}}), 422, "signals.topic"),
        (json!({"signals": {"topic": 2}, "ranking": "tower"}), 400, "signals"),
        (json!({"seed": 1}), 400, "seed"),
    ] {
        let answer = rest.post("/v1/recommend", &body);
        assert_eq!((answer.status, answer.fields()), (status, vec![field.to_owned()]), "{body}: {}", answer.body);
    }
}

#[test]
fn users_with_similar_visits_are_found_by_services() {
    let server = server();
    let rest = server.rest();
    prepare(&rest);
    for (user, items) in [("ada", ["r0", "r2", "r4"]), ("bob", ["r0", "r2", "r10"]), ("cleo", ["r1", "r3", "r5"])] {
        for item in items {
            let act = json!({"user": user, "item": item, "kind": "like"});
            rest.post("/v1/interactions", &act).success("act");
        }
    }
    let answer = rest.get("/v1/users/ada/similar?by=visits").json();
    let people = answer["people"].as_array().unwrap();
    assert_eq!((people.len(), &people[0]["user"]), (1, &json!("bob")), "{answer}");
    let cosine = people[0]["visits"].as_f64().unwrap();
    assert!((cosine - 2.0 / 3.0).abs() < 1e-3 && people[0]["topics"].as_f64().unwrap() > 0.99, "{answer}");
    assert!(answer["compared"].as_u64().unwrap() >= 2, "{answer}");
    assert_eq!(rest.get("/v1/users/ada/similar").json()["people"][0]["user"], "bob");
    for (path, status, field) in [("/v1/users/nobody/similar", 404, "id"), ("/v1/users/ada/similar?by=age", 400, "by")]
    {
        let answer = rest.get(path);
        assert_eq!((answer.status, answer.fields()), (status, vec![field.to_owned()]), "{path}");
    }
}
