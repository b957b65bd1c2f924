//! Lists of users, follows and deletions over REST, and lists page by page.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Server, rest::Answer};

fn results(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let of = |row: &Value| row["error"]["code"].as_str().or(row["status"].as_str()).unwrap().to_owned();
    answer.json()["results"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn lists_of_users_follows_and_deletions_have_one_result_per_part() {
    let server = Server::start(TempDir::new().unwrap());
    let rest = server.rest();
    let users =
        json!([{"id": "ada", "name": "Ada"}, {"id": "bob"}, {"id": "ada"}, {"id": ""}, {"id": "eve", "age": 3}]);
    let answer = rest.ask("POST", "/v1/users", None, Some(&users));
    assert_eq!(results(&answer)[3..], ["bad_field", "bad_field"]);
    assert_eq!(rest.get("/v1/users/ada").json()["name"], "Ada");
    let follows = json!([
        {"user": "ada", "whom": "bob", "id": "f1", "at": "2026-01-01T00:00:00Z"},
        {"user": "ada", "whom": "nobody"},
        {"user": "ada", "whom": "ada"},
    ]);
    let answer = rest.ask("POST", "/v1/follows", None, Some(&follows));
    assert_eq!(results(&answer), ["accepted", "unknown_user", "out_of_range"]);
    assert_eq!(rest.get("/v1/users/ada").json()["friends"], json!(["bob"]));
    let end = json!([{"user": "ada", "whom": "bob", "on": false}]);
    assert_eq!(results(&rest.ask("POST", "/v1/follows", None, Some(&end))), ["accepted"]);
    assert_eq!(rest.get("/v1/users/ada").json()["friends"], json!([]));
    rest.put("/v1/items/i", &json!({"text": "an item"})).success("put an item");
    let deletions = json!([{"item": "i"}, {"item": "none"}, {"user": "bob"}, {"user": "bob", "item": "i"}]);
    let answer = rest.ask("POST", "/v1/deletions", None, Some(&deletions));
    assert_eq!(results(&answer), ["deleted", "unknown_item", "deleted", "bad_field"]);
    assert_eq!((rest.get("/v1/items/i").status, rest.get("/v1/users/bob").status), (404, 404));
    assert_eq!(rest.ask("POST", "/v1/users", None, Some(&json!({"id": "ada"}))).status, 400);
}

#[test]
fn a_user_token_changes_only_its_user_in_a_list() {
    let secret = "a secret of the lists, 32 bytes and more";
    let server = Server::start_with(TempDir::new().unwrap(), &[("EDDYLINE_SECRET", secret)]);
    let signed = |claims: Value| {
        eddyline::gateway::hmac::install();
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), &claims, &key).unwrap()
    };
    let (service, ada) = (
        signed(json!({"role": "service", "exp": 4_102_444_800_u64})),
        signed(json!({"sub": "ada", "exp": 4_102_444_800_u64})),
    );
    let rest = server.rest();
    let ask = |path: &str, token: &str, body: Value| results(&rest.ask("POST", path, Some(token), Some(&body)));
    let users = json!([{"id": "ada"}, {"id": "bob"}]);
    assert_eq!(ask("/v1/users", &service, users.clone()), ["created", "created"]);
    rest.ask("PUT", "/v1/items/i", Some(&service), Some(&json!({"text": "an item"}))).success("put an item");
    assert_eq!(ask("/v1/users", &ada, users), ["changed", "forbidden"]);
    let follows = json!([{"user": "ada", "whom": "bob"}, {"user": "bob", "whom": "ada"}]);
    assert_eq!(ask("/v1/follows", &ada, follows), ["accepted", "forbidden"]);
    let deletions = json!([{"item": "i"}, {"user": "bob"}, {"user": "ada"}]);
    assert_eq!(ask("/v1/deletions", &ada, deletions), ["forbidden", "forbidden", "deleted"]);
}

#[test]
fn users_and_feeds_are_listed_page_by_page() {
    let server = Server::start(TempDir::new().unwrap());
    let rest = server.rest();
    let users: Vec<Value> = (0..1_150).map(|number| json!({"id": format!("user-{number:04}")})).collect();
    let answer = rest.ask("POST", "/v1/users", None, Some(&json!(users)));
    assert!(results(&answer).iter().all(|status| status == "created"));
    let (mut found, mut path) = (Vec::new(), "/v1/users?limit=500".to_owned());
    loop {
        let page = rest.get(&path).json();
        found.extend(page["users"].as_array().unwrap().iter().map(|user| json!({"id": user["id"]})));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/users?limit=500&after={next}");
    }
    assert_eq!(found, users);
    let items: Vec<Value> = (0..130).map(|number| json!({"id": format!("item-{number}"), "text": "an item"})).collect();
    assert_eq!(results(&rest.ask("POST", "/v1/items", None, Some(&json!(items)))).len(), 130);
    let (mut found, mut path) = (Vec::new(), "/v1/users/user-0000/feed?ranking=flat&limit=50".to_owned());
    loop {
        let page = rest.get(&path).json();
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["position"], found.len());
            found.push(item["item"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/users/user-0000/feed?ranking=flat&limit=50&after={next}");
    }
    assert_eq!(found.len(), 130);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 130, "no item is on two pages");
}

#[test]
fn a_time_may_be_text_seconds_or_milliseconds_and_a_header_may_be_the_id() {
    let server = Server::start(TempDir::new().unwrap());
    let rest = server.rest();
    rest.put("/v1/users/ada", &json!({})).success("put ada");
    rest.put("/v1/items/i", &json!({"text": "an item"})).success("put an item");
    let at = [json!("2026-01-01T00:00:00Z"), json!(1_767_225_600), json!(1_767_225_600_000_i64), json!(1.7672256e9)];
    for at in at {
        // An equal time is an equal event, whatever its form.
        let act = json!({"user": "ada", "item": "i", "kind": "click", "at": at});
        let answer = rest.ask_with("POST", "/v1/interactions", None, Some(&act), &[("Idempotency-Key", "e1")]);
        assert_eq!(
            (answer.status, &answer.json()["seq"], &answer.json()["id"]),
            (200, &json!(1), &json!("e1")),
            "{at}"
        );
        let window = json!([{"start": at}]);
        let answer = rest.put("/v1/items/i/windows", &window);
        assert_eq!(answer.json(), json!([{"start": 1_767_225_600_000_i64, "stop": null}]), "{at}");
        let measured = json!({"metric": "time_spent", "value": 3, "user": "ada", "at": at});
        let answer = rest.ask_with("POST", "/v1/metrics", None, Some(&measured), &[("Idempotency-Key", "m1")]);
        assert_eq!(answer.json(), json!({"accepted": 1, "ignored": 0}), "{at}");
    }
    let other = json!({"user": "ada", "item": "i", "kind": "like"});
    let answer = rest.ask_with("POST", "/v1/interactions", None, Some(&other), &[("Idempotency-Key", "e1")]);
    assert_eq!(answer.status, 409);
    for at in [json!("soon"), json!(true)] {
        let act = json!({"user": "ada", "item": "i", "kind": "click", "at": at});
        assert_eq!(rest.ask("POST", "/v1/interactions", None, Some(&act)).status, 400, "{at}");
    }
}
