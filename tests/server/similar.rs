//! Similar items and topics over HTTP.

use crate::support;

use serde_json::{Value, json};

use support::server;

#[test]
fn similar_items_and_topics_are_listed_and_faults_are_named() {
    let server = server();
    let rest = server.rest();
    for (id, text, topics) in [
        ("heron", "a grey heron stands in the river", vec!["birds", "rivers"]),
        ("stork", "a white stork stands in the river", vec!["birds"]),
        ("bread", "how to bake rye bread at home", vec!["baking"]),
        ("gone", "a grey heron stands in the river, again", vec!["birds"]),
    ] {
        rest.put(&format!("/v1/items/{id}"), &json!({"text": text, "topics": topics})).success("prepare");
    }
    rest.ask("DELETE", "/v1/items/gone", None, None).success("delete");
    let ids = |query: &str| -> Vec<String> {
        let found = rest.get(&format!("/v1/items/heron/similar{query}")).json();
        found["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("?by=embedding"), ["stork", "bread"]);
    assert_eq!(ids("?limit=1"), ["stork"]);
    assert!(ids("?by=visits").is_empty(), "there are no visits yet");
    let found = rest.get("/v1/items/heron/similar").json();
    assert_eq!((&found["item"], &found["by"]), (&json!("heron"), &json!("both")));
    assert_eq!(found["items"][0]["visits"], Value::Null);
    assert!(found["items"][0]["embedding"].as_f64().unwrap() > 0.5, "{found}");

    let topics = rest.get("/v1/topics").json();
    let topic = |id: &str, items: u32| json!({"topic": id, "id": id, "items": items, "available": items});
    assert_eq!(topics, json!({"topics": [topic("baking", 1), topic("birds", 2), topic("rivers", 1)], "next": null}));
    let page = rest.get("/v1/topics?limit=1&after=baking").json();
    assert_eq!(page, json!({"topics": [topic("birds", 2)], "next": "birds"}));

    for (path, status, field) in [
        ("/v1/items/nothing/similar", 404, None),
        ("/v1/items/gone/similar", 404, None),
        ("/v1/items/heron/similar?by=colour", 400, Some("by")),
        ("/v1/items/heron/similar?limit=0", 422, Some("limit")),
        ("/v1/topics?limit=1001", 422, Some("limit")),
        ("/v1/topics?order=items", 400, Some("order")),
    ] {
        let answer = rest.get(path);
        assert_eq!(answer.status, status, "{path}");
        if let Some(field) = field {
            assert_eq!(answer.fields(), [field], "{path}");
        }
    }
}
