//! Text search over HTTP.

use crate::support;

use serde_json::json;

use support::server;

#[test]
fn items_are_found_by_their_words_at_once_and_faults_are_named() {
    let server = server();
    let rest = server.rest();
    rest.put("/v1/users/author", &json!({})).success("prepare");
    for (id, text, topics) in [
        ("heron", "a grey heron stands in the river", vec!["birds", "rivers"]),
        ("stork", "a white stork stands in the river Café", vec!["birds"]),
        ("later", "a late heron", vec!["birds"]),
        ("gone", "a gone heron", vec!["birds"]),
    ] {
        rest.put(&format!("/v1/items/{id}"), &json!({"text": text, "topics": topics})).success("prepare");
    }
    rest.ask("DELETE", "/v1/items/gone", None, None).success("delete");
    rest.put("/v1/items/later/windows", &json!([{"start": 9_000_000_000_000_i64}])).success("windows");
    rest.patch("/v1/items/stork", &json!({"author": "author"})).success("author");
    let ids = |query: &str| -> Vec<String> {
        let found = rest.get(&format!("/v1/search?q={query}")).json();
        found["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    for (query, expected) in [
        ("grey+heron", vec!["heron"]),
        ("heron", vec!["later", "heron"]),
        ("stands+riv", vec!["heron", "stork"]),
        ("CAFE", vec!["stork"]),
        ("%22white+stork%22", vec!["stork"]),
        ("%22stork+white%22", vec![]),
        ("heron&available=true", vec!["heron"]),
        ("river&author=author", vec!["stork"]),
        ("river&author=nobody", vec![]),
        ("river&topic=rivers", vec!["heron"]),
        ("heron+OR+stork", vec![]),
        ("%22*+--", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(ids(query), expected, "{query}");
    }
    let page = rest.get("/v1/search?q=river&limit=1").json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &json!(1)), "{page}");
    let last = rest.get("/v1/search?q=river&limit=1&after=1").json();
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (1, &json!(null)), "{last}");
    assert_ne!(page["items"][0]["id"], last["items"][0]["id"]);
    assert!(page["items"][0]["score"].as_f64().unwrap() > 0.0, "{page}");

    rest.patch("/v1/items/heron", &json!({"text": "an egret by the lake"})).success("revise");
    assert!(ids("grey").is_empty());
    assert_eq!(ids("egret"), ["heron"]);

    let long = format!("/v1/search?q={}", "x".repeat(257));
    for (path, status, field) in [
        ("/v1/search", 400, "q"),
        (&long, 422, "q"),
        ("/v1/search?q=a&after=1001", 422, "after"),
        ("/v1/search?q=a&limit=101", 422, "limit"),
        ("/v1/search?q=a&topic=nothing", 422, "topic"),
        ("/v1/search?q=a&order=new", 400, "order"),
    ] {
        let answer = rest.get(path);
        assert_eq!((answer.status, answer.fields()), (status, vec![field.to_owned()]), "{path}");
    }
}
