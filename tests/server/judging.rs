//! The pages and routes on which a user judges posts, and keys of items that contain slashes.

use crate::support;

use serde_json::{Value, json};

use support::Server;
use support::rest::Answer;

const JSON: &[(&str, &str)] = &[("Accept", "application/json")];

fn get(server: &Server, path: &str, token: Option<&str>) -> Answer {
    server.rest().ask_with("GET", path, token, None, JSON)
}

fn judged(server: &Server, path: &str, label: &str) -> Value {
    server.rest().post(path, &json!({"label": label})).success("a label").json()
}

#[test]
fn a_browser_gets_the_page_and_a_program_gets_json_of_one_path() {
    let server = Server::start(tempfile::TempDir::new().unwrap());
    server.items(3);
    server.rest().put("/v1/users/ada", &json!({})).success("ada");
    for path in ["/prediction/1?user=ada", "/prediction/1", "/score", "/score?user=ada"] {
        let page = server.rest().ask_with("GET", path, None, None, &[("Accept", "text/html,*/*;q=0.8")]);
        assert!(page.status == 200 && page.body.starts_with("<!doctype html>"), "{path}: {}", page.status);
        let named =
            |wanted: &'static str| page.headers.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value);
        assert!(named("vary").any(|value| value.contains("accept")), "{path}: {:?}", page.headers);
        assert!(named("content-security-policy").all(|policy| !policy.contains("unsafe")), "{path}");
    }
    let found = get(&server, "/prediction/2?user=ada", None).success("a prediction").json();
    assert_eq!((&found["number"], &found["count"], &found["item"]["id"]), (&json!(2), &json!(3), &json!("item-1")));
    assert_eq!((&found["previous"], &found["next"]), (&json!(1), &json!(3)));
    let now = &found["now"];
    let sum = now["accepted"].as_f64().unwrap() + now["rejected"].as_f64().unwrap();
    assert!((sum - 1.0).abs() < 1e-6 && now["auc"].is_null(), "{now}");
}

#[test]
fn a_label_says_the_probabilities_and_the_auc_before_and_after() {
    let server = Server::start(tempfile::TempDir::new().unwrap());
    server.items(4);
    server.rest().put("/v1/users/ada", &json!({})).success("ada");
    let first = judged(&server, "/prediction/1?user=ada", "accepted");
    assert!(first["after"]["accepted"].as_f64() > first["before"]["accepted"].as_f64(), "{first}");
    assert_eq!((&first["before"]["labelled"], &first["after"]["labelled"]), (&json!(0), &json!(1)));
    let second = judged(&server, "/prediction/2?user=ada", "rejected");
    assert!(second["after"]["rejected"].as_f64() > second["before"]["rejected"].as_f64(), "{second}");
    assert_eq!(second["before"]["accepted"].as_f64().map(|p| p > 0.0), Some(true));
    assert!(second["before"]["auc"].is_null() && second["after"]["auc"].is_number(), "{second}");
    // The route of the REST interface states the probability that the page shows.
    let rest = server.rest().get("/v1/users/ada/predictions/item-1").success("a prediction").json();
    assert_eq!(rest["accepted"], second["after"]["accepted"]);
    // The curve of both labels begins and ends in the corners, and its area is the AUC.
    for path in ["/score?user=ada", "/score"] {
        let score = get(&server, path, None).success("a score").json();
        assert_eq!((&score["positives"], &score["negatives"]), (&json!(1), &json!(1)), "{path}: {score}");
        for name in ["online", "topics", "model"] {
            let curve: Vec<[f64; 2]> = serde_json::from_value(score["roc"][name].clone()).unwrap();
            assert_eq!((curve[0], *curve.last().unwrap()), ([0.0, 0.0], [1.0, 1.0]), "{path} {name}");
            let area: f64 = curve.windows(2).map(|two| (two[1][0] - two[0][0]) * (two[1][1] + two[0][1]) / 2.0).sum();
            assert!((area - score["auc"][name].as_f64().unwrap()).abs() < 1e-6, "{path} {name}: {score}");
        }
    }
    // A repeated request with its key learns nothing more.
    let again = json!({"label": "accepted", "id": "once"});
    let learned = |answer: Answer| answer.success("a label").json()["after"]["labelled"].clone();
    let once = learned(server.rest().post("/prediction/3?user=ada", &again));
    assert_eq!((&once, learned(server.rest().post("/prediction/3?user=ada", &again))), (&json!(3), json!(3)));
}

#[test]
fn a_post_that_is_not_there_is_refused_by_name() {
    let server = Server::start(tempfile::TempDir::new().unwrap());
    server.items(4);
    server.rest().put("/v1/users/ada", &json!({})).success("ada");
    server.rest().delete("/v1/items/item-1").success("delete");
    for (path, status, code) in [
        ("/prediction/0?user=ada", 422, "out_of_range"),
        ("/prediction/99999999999?user=ada", 422, "out_of_range"),
        ("/prediction/one?user=ada", 400, "bad_field"),
        ("/prediction/+1?user=ada", 400, "bad_field"),
        ("/prediction/5?user=ada", 404, "unknown_item"),
        ("/prediction/2?user=ada", 404, "unknown_item"),
        ("/prediction/1", 400, "bad_field"),
        ("/prediction/1?user=bob", 404, "unknown_user"),
        ("/prediction/1?who=ada", 400, "bad_field"),
        ("/score?who=ada", 400, "bad_field"),
    ] {
        let answer = get(&server, path, None);
        assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)), "{path}: {}", answer.body);
        if path.starts_with("/prediction") {
            let answer = server.rest().post(path, &json!({"label": "accepted"}));
            assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)), "POST {path}");
        }
    }
    let first = get(&server, "/prediction/1?user=ada", None).success("a prediction").json();
    assert_eq!((&first["previous"], &first["next"]), (&Value::Null, &json!(3)), "deleted posts are passed over");
    let foreign = [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")];
    let body = json!({"label": "accepted"});
    let answer = server.rest().ask_with("POST", "/prediction/1?user=ada", None, Some(&body), &foreign);
    assert_eq!(answer.status, 403, "a foreign page labels nothing");
}

#[test]
fn json_of_a_page_goes_to_the_user_and_to_services_only() {
    const SECRET: &str = "a secret of the judges, 32 bytes and more";
    let directory = tempfile::TempDir::new().unwrap();
    let server = Server::start_with(directory, &[("EDDYLINE_SECRET", SECRET)]);
    let token = |claims: Value| {
        eddyline::gateway::hmac::install();
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let exp = support::now_ms() / 1_000 + 3_600;
    let service = token(json!({"role": "service", "exp": exp}));
    let (ada, bob) = (token(json!({"sub": "ada", "exp": exp})), token(json!({"sub": "bob", "exp": exp})));
    let put = |path: &str, body: Value| server.rest().ask("PUT", path, Some(&service), Some(&body)).success("prepare");
    put("/v1/users/ada", json!({}));
    put("/v1/users/bob", json!({}));
    put("/v1/items/a", json!({"text": "a"}));
    for (path, of_nobody, of_bob, of_ada, of_service) in [
        ("/prediction/1?user=ada", 401, 403, 200, 200),
        ("/score?user=ada", 401, 403, 200, 200),
        ("/score", 401, 403, 403, 200),
    ] {
        let found = [None, Some(&bob), Some(&ada), Some(&service)]
            .map(|token| get(&server, path, token.map(String::as_str)).status);
        assert_eq!(found, [of_nobody, of_bob, of_ada, of_service], "{path}");
    }
}

#[test]
fn a_key_with_slashes_works_as_it_is_where_a_path_ends_with_it() {
    let server = Server::start(tempfile::TempDir::new().unwrap());
    let rest = server.rest();
    rest.put("/v1/users/ada", &json!({})).success("ada");
    for key in ["news/sea/tides", "news", "news/windows", "a/audience/b"] {
        rest.put(&format!("/v1/items/{}", key.replace('/', "%2F")), &json!({"text": key})).success(key);
    }
    let plain = "news/sea/tides";
    for path in [
        format!("/post/{plain}"),
        format!("/v1/items/{plain}"),
        format!("/v1/items/{plain}/"),
        "/post/news%2Fsea/tides".into(),
    ] {
        assert_eq!(rest.get(&path).success(&path).json()["id"], plain, "{path}");
    }
    assert_eq!(rest.get("/v1/items/a/audience/b").success("a longer path").json()["id"], "a/audience/b");
    rest.patch(&format!("/v1/items/{plain}"), &json!({"text": "changed"})).success("PATCH");
    rest.put("/v1/items/made/here", &json!({"text": "new"})).success("PUT");
    assert_eq!(rest.get("/v1/items/made%2Fhere").success("the new one").json()["text"], "new");
    let path = format!("/v1/users/ada/predictions/{plain}");
    rest.get(&path).success("a prediction");
    rest.post(&path, &json!({"label": "rejected"})).success("a label");
    // Paths below an item still win: the item of such a key needs its slash encoded.
    let windows = rest.get("/v1/items/news/windows").success("windows").json();
    assert!(windows.is_array(), "{windows}");
    rest.put("/v1/items/news/windows", &json!([{"start": 1, "stop": 2}])).success("new windows");
    assert_eq!(rest.get("/v1/items/news%2Fwindows").success("the item").json()["id"], "news/windows");
    assert!(rest.get("/v1/items/news/audience").success("an audience").json()["people"].is_array());
    assert!(rest.get("/post/news/feed").success("a feed").json()["interactions"].is_array());
    rest.delete(&format!("/v1/items/{plain}")).success("DELETE");
    assert_eq!(rest.get(&format!("/post/{plain}")).status, 404);
}
