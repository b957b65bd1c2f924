//! One name for one thing, warnings about times, and answers to a repeated undo.

use crate::support;

use serde_json::{Value, json};
use support::server;

const AT: i64 = 1_767_225_600_000;

#[test]
fn every_answer_about_an_item_a_user_and_a_topic_has_its_name_and_the_earlier_one() {
    let server = server();
    let rest = server.rest();
    let item = json!({"item": "heron", "text": "a grey heron", "topics": ["birds", "rivers"], "at": AT});
    let made = rest.post("/v1/items", &item).success("create").json();
    assert_eq!(made, json!({"item": "heron", "id": "heron", "revision": 1}));
    rest.put("/v1/items/stork", &json!({"text": "a white stork", "topic": "birds"})).success("put");
    rest.put("/v1/users/ada", &json!({})).success("put a user");
    rest.post("/v1/interactions", &json!({"user": "ada", "item": "heron", "kind": "like"})).success("interact");
    for (path, place) in [
        ("/v1/items/heron", ""),
        ("/post/heron", ""),
        ("/v1/items", "/items/0"),
        ("/v1/search?q=heron", "/items/0"),
        ("/v1/popular?topic=rivers", "/items/0"),
        ("/v1/items/stork/similar?by=embedding", "/items/0"),
        ("/user/ada/feed?expand=post", "/interactions/0/post_detail"),
    ] {
        let answer = rest.get(path).success(path).json();
        let found = answer.pointer(place).unwrap();
        assert_eq!((&found["item"], &found["id"]), (&json!("heron"), &json!("heron")), "{path}");
        assert_eq!((&found["at"], &found["created"]), (&json!(AT), &json!(AT)), "{path}");
        assert_eq!((&found["topic"], &found["topics"]), (&json!("birds"), &json!(["birds", "rivers"])), "{path}");
    }
    let feed = rest.get("/v1/users/ada/feed").json();
    let heron = feed["items"].as_array().unwrap().iter().find(|item| item["item"] == "heron").unwrap();
    assert_eq!((&heron["at"], &heron["topic"]), (&json!(AT), &json!("birds")));
    assert_eq!((heron.get("id"), heron.get("created")), (None, None), "hot messages are not longer");
    for (path, place) in [
        ("/v1/users/ada", ""),
        ("/user/ada", ""),
        ("/v1/users", "/users/0"),
        ("/v1/graph", "/people/0"),
        ("/user/ada/feed?expand=user", "/interactions/0/user_detail"),
        ("/v1/users/ada/export", "/profile"),
    ] {
        let answer = rest.get(path).success(path).json();
        let found = answer.pointer(place).unwrap();
        assert_eq!((&found["user"], &found["id"]), (&json!("ada"), &json!("ada")), "{path}");
    }
    let topic = &rest.get("/v1/topics").json()["topics"][0];
    assert_eq!((&topic["topic"], &topic["id"]), (&json!("birds"), &json!("birds")));
}

#[test]
fn requests_take_either_name_and_refuse_two_values() {
    let server = server();
    let rest = server.rest();
    let refused = |body: Value, field: &str| {
        let answer = rest.post("/v1/items", &body);
        assert_eq!((answer.status, answer.fields()), (400, vec![field.to_owned()]), "{body}");
    };
    let text = "an item";
    for body in [
        json!({"item": "a", "text": text, "topic": "birds", "at": AT}),
        json!({"id": "b", "text": text, "topics": ["birds"], "created": AT}),
        json!({"item": "c", "id": "c", "text": text, "topic": "birds", "topics": ["birds"], "at": AT, "created": AT}),
        json!({"item": "d", "text": text, "topic": "birds", "at": AT, "created": "2026-01-01T00:00:00Z"}),
    ] {
        let made = rest.post("/v1/items", &body).success("create").json();
        let found = rest.get(&format!("/v1/items/{}", made["item"].as_str().unwrap())).json();
        assert_eq!((&found["at"], &found["topics"]), (&json!(AT), &json!(["birds"])), "{body}");
    }
    refused(json!({"item": "x", "id": "y", "text": text}), "item");
    refused(json!({"item": "x", "text": text, "at": AT, "created": AT + 1}), "at");
    refused(json!({"item": "x", "text": text, "topic": "birds", "topics": ["rivers", "birds"]}), "topic");
    for (field, body) in [("item", json!({"item": "b", "text": text})), ("id", json!({"id": "b", "text": text}))] {
        assert_eq!(rest.put("/v1/items/a", &body).fields(), [field]);
    }
    let list = json!([{"user": "ada"}, {"id": "bob"}, {"user": "eve", "id": "eve"}, {"user": "x", "id": "y"}, {}]);
    let answer = rest.post("/v1/users", &list).json();
    let results: Vec<_> = answer["results"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(results, ["created", "created", "created", "refused", "refused"]);
    assert_eq!(answer["results"][3]["error"]["field"], "user");
    // An item that was read is written back under either name.
    let mut read = rest.get("/v1/items/a").json();
    for field in ["revision", "available", "id", "created"] {
        read.as_object_mut().unwrap().remove(field);
    }
    rest.put("/v1/items/a", &read).success("write back");
}

#[test]
fn a_time_in_a_doubtful_unit_is_used_and_causes_a_warning() {
    let server = server();
    let rest = server.rest();
    rest.put("/v1/users/ada", &json!({})).success("put a user");
    let said = |answer: &Value| answer["warnings"].as_array().map(|all| all[0].as_str().unwrap().to_owned());
    let item = json!({"item": "old", "text": "an item", "at": 17_105_058});
    let made = rest.post("/v1/items", &item).success("create").json();
    let warning = "at: read as 1970-01-01T04:45:05.058Z; check the unit of the number, or send the time as text";
    assert_eq!(said(&made).as_deref(), Some(warning));
    assert_eq!(rest.get("/v1/items/old").json()["at"], 17_105_058);
    let list =
        json!([{"text": "b", "windows": [{"start": AT, "stop": 17_672_256_000_000_i64}]}, {"text": "c", "at": AT}]);
    let answer = rest.post("/v1/items", &list).json();
    assert!(said(&answer["results"][0]).unwrap().starts_with("windows[0].stop: read as 2530-"), "{answer}");
    assert_eq!(answer["results"][1].get("warnings"), None);

    let event = |at: i64| json!({"user": "ada", "item": "old", "kind": "like", "at": at});
    let one = rest.post("/v1/interactions", &event(17_105_059)).success("interact").json();
    assert!(said(&one).unwrap().starts_with("at: "), "{one}");
    let many = rest.post("/v1/interactions", &json!([event(17_105_060), event(AT)])).json();
    assert!(said(&many["results"][0]).is_some() && said(&many["results"][1]).is_none(), "{many}");
    let spent = json!([{"metric": "time_spent", "type": "post", "value": 3, "at": 17_105_061}]);
    let measured = rest.post("/v1/metrics?user=ada", &spent).success("measure").json();
    assert!(said(&measured).unwrap().starts_with("[0].at: "), "{measured}");

    let windows = json!([{"start": 1_767_225, "stop": 1_767_226}]);
    let answer = rest.put("/v1/items/old/windows", &windows).success("put windows");
    assert!(answer.header("warning").unwrap().starts_with("299 eddyline \"[0].start: read as 1970-"));
    let asked = rest.get("/post/recommendations?id=ada&time=17672256000").success("ask");
    assert!(asked.header("warning").unwrap().contains("time: read as 1970-07-24"));
    assert_eq!(rest.get("/post/recommendations?id=ada&time=1767225600").success("ask").header("warning"), None);
    assert_eq!(rest.get("/v1/availability?at=1").success("ask").header("warning").map(|_| ()), Some(()));
}

#[test]
fn an_undo_under_another_idempotency_key_is_answered_like_the_first_one() {
    let server = server();
    let rest = server.rest();
    rest.put("/v1/items/heron", &json!({"text": "a grey heron"})).success("put");
    rest.put("/v1/users/ada", &json!({})).success("put a user");
    let event = json!({"user": "ada", "item": "heron", "kind": "like", "id": "e1"});
    rest.post("/v1/interactions", &event).success("interact");
    let undo = |key: Option<&str>| {
        let headers: Vec<(&str, &str)> = key.map(|key| ("Idempotency-Key", key)).into_iter().collect();
        let path = "/v1/users/ada/interactions/e1";
        rest.ask_with("DELETE", path, None, None, &headers).success("undo").json()
    };
    let first = undo(Some("k1"));
    for key in [Some("k1"), Some("k2"), None, Some("k3")] {
        let again = undo(key);
        assert_eq!((&again["event"], &again["seq"]), (&first["event"], &first["seq"]), "{key:?}");
    }
    assert_eq!(rest.get("/v1/users/ada/liked").json()["items"], json!([]));
    let exported = rest.get("/v1/users/ada/export").json();
    assert_eq!(exported["journal"].as_array().unwrap().len(), 2, "one interaction and one undo: {exported}");
}

#[test]
fn a_prior_is_an_object_of_numbers() {
    let server = server();
    let rest = server.rest();
    for prior in
        [json!([null, null]), json!([]), json!([0, 1, 1, 1]), json!(null), json!("weak"), json!({"mean": null})]
    {
        let answer = rest.put("/v1/metrics/mood", &json!({"prior": prior}));
        let fields = answer.fields();
        assert_eq!(answer.status, 400, "{prior}");
        assert!(fields.len() == 1 && fields[0].starts_with("prior"), "{prior}: {fields:?}");
    }
    rest.put("/v1/metrics/mood", &json!({"prior": {"mean": 3}})).success("declare");
}
