//! Lists page by page: each list gives all its entries once, and refuses cursors that it did not write.

use crate::support;

use serde_json::{Value, json};
use support::rest::Rest;
use support::{PATIENCE, Server, server};

/// Users, items, interactions, measurements and settings, so that each list has several entries.
fn prepare(server: &Server) {
    let rest = server.rest();
    let topics = ["rivers", "birds", "boats"];
    let windows = json!([{"start": 1_000, "stop": 2_000}, {"start": 3_000, "stop": 4_000}]);
    for number in 0..7 {
        let item = json!({"text": format!("post {number} about the river"), "topics": [topics[number % 3]]});
        rest.put(&format!("/v1/items/post-{number}"), &item).success("put an item");
        if number > 4 {
            rest.put(&format!("/v1/items/post-{number}/windows"), &windows).success("put windows");
        }
    }
    for user in 0..6_u32 {
        rest.put(&format!("/v1/users/user-{user}"), &json!({})).success("put a user");
        for item in 0..=user.min(4) {
            let event = json!({"user": format!("user-{user}"), "item": format!("post-{item}"), "kind": "like"});
            rest.post("/v1/interactions", &event).success("interact");
        }
        let spent = json!({"metric": "time_spent", "type": "post", "value": f64::from(user * user)});
        rest.post(&format!("/v1/metrics?user=user-{user}"), &spent).success("measure");
    }
    for threshold in 1..=4 {
        let settings = json!({"columns": ["time_spent.post"], "threshold": threshold * 1_000});
        rest.put("/v1/clusterings/readers", &settings).success("put a clustering");
    }
}

/// Lists with a cursor: path with its parameters, and the names of the list and of what tells its entries apart.
const LISTS: [(&str, &str, &str); 11] = [
    ("/user/user-5/feed?", "interactions", "/id"),
    ("/post/post-1/feed?", "interactions", "/id"),
    ("/post/post-1/feed?expand=user,post&", "interactions", "/id"),
    ("/v1/popular?", "items", "/id"),
    ("/v1/popular?topic=rivers&", "items", "/id"),
    ("/v1/items/post-0/similar?by=embedding&", "items", "/id"),
    ("/v1/users/user-5/similar?", "people", "/user"),
    ("/v1/items/post-3/audience?", "people", "/user"),
    ("/v1/metrics/time_spent/atypical?type=post&sigmas=0.1&", "people", "/user"),
    ("/v1/availability?from=0&to=9000&", "windows", ""),
    ("/v1/users/user-5/topics/history?", "topics", "/topic"),
];

/// Lists whose pages are ranked at their request. Scores move with the clock and with refits, so two near ties may change places
/// between two pages; they do not do so in every walk.
const RANKED: [&str; 3] =
    ["/v1/items/post-0/similar?by=embedding&", "/v1/users/user-5/similar?", "/v1/items/post-3/audience?"];

/// Answers while nothing else asks all active users.
fn ask(rest: &Rest, path: &str) -> Value {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = rest.get(path);
        if answer.status != 503 || std::time::Instant::now() > end {
            return answer.success(path).json();
        }
    }
}

fn names(page: &Value, list: &str, name: &str) -> Vec<Value> {
    page[list].as_array().unwrap().iter().map(|entry| entry.pointer(name).unwrap().clone()).collect()
}

/// Waits until all interactions of [`prepare`] reached the published popularity, which takes up to two ticks: earlier items have
/// more likes.
fn await_popularity(rest: &Rest) {
    let end = std::time::Instant::now() + PATIENCE;
    let popular = || names(&ask(rest, "/v1/popular?limit=16"), "items", "/id");
    while popular() != ["post-0", "post-1", "post-2", "post-3", "post-4"] {
        assert!(std::time::Instant::now() < end, "the likes do not reach the popularity: {:?}", popular());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn all_pages_of_a_list_hold_each_entry_once_in_the_order_of_the_whole() {
    let server = server();
    prepare(&server);
    let rest = server.rest();
    await_popularity(&rest);
    for (path, list, name) in LISTS {
        for limit in [1, 2] {
            let end = std::time::Instant::now() + PATIENCE;
            loop {
                let whole = ask(&rest, &format!("{path}limit=16"));
                let whole_names = names(&whole, list, name);
                assert!(whole_names.len() >= 2, "{path}: {whole}");
                assert_eq!(whole.get("next"), None, "{path}");
                let found = by_pages(&rest, path, list, name, limit);
                if found != whole_names && RANKED.contains(&path) && std::time::Instant::now() < end {
                    continue;
                }
                assert_eq!(found, whole_names, "{path} in pages of {limit}");
                break;
            }
        }
    }
}

/// The names of all entries, in the order of the pages. At most 100 pages are read.
fn by_pages(rest: &Rest, path: &str, list: &str, name: &str, limit: usize) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), String::new());
    for _ in 0..100 {
        let page = ask(rest, &format!("{path}limit={limit}{after}"));
        let entries = names(&page, list, name);
        assert!((1..=limit).contains(&entries.len()), "{path}: {page}");
        found.extend(entries);
        let Some(next) = page.get("next") else { break };
        after = format!("&after={}", next.as_str().unwrap());
    }
    found
}

#[test]
fn the_history_of_a_clustering_ends_with_its_first_revision() {
    let server = server();
    prepare(&server);
    let rest = server.rest();
    let path = "/v1/clusterings/readers/history";
    let revisions = |page: &Value| names(page, "revisions", "/revision");
    let first = rest.get(&format!("{path}?limit=3")).json();
    assert_eq!(revisions(&first), [4, 3, 2]);
    let second = rest.get(&format!("{path}?limit=3&after={}", first["next"].as_str().unwrap())).json();
    assert_eq!((revisions(&second), second.get("next")), (vec![json!(1)], None));
    assert_eq!(rest.get(&format!("{path}?after={}", first["next"].as_str().unwrap())).status, 200);
    let other = format!("/v1/clusterings/default/history?after={}", first["next"].as_str().unwrap());
    assert_eq!(rest.get(&other).fields(), ["after"]);
}

#[test]
fn a_damaged_cursor_and_that_of_another_list_are_refused_by_name() {
    let server = server();
    prepare(&server);
    let rest = server.rest();
    let of_another = ask(&rest, "/user/user-4/feed?limit=1")["next"].as_str().unwrap().to_owned();
    let long = "A".repeat(5_000);
    let fits = ["/v1/clusters/history?", "/v1/clusterings/readers/history?", "/v1/models?"];
    for path in LISTS.map(|(path, ..)| path).into_iter().chain(fits) {
        for cursor in ["", "x", "%00%ff", "-1", "18446744073709551616", &of_another, &long] {
            let answer = rest.get(&format!("{path}after={cursor}"));
            let found = (answer.status, answer.code(), answer.fields());
            assert_eq!(found, (400, Some("bad_field".into()), vec!["after".to_owned()]), "{path}: {cursor:.40}");
        }
    }
}

#[test]
fn interactions_that_arrive_between_two_pages_move_no_other() {
    let server = server();
    prepare(&server);
    let rest = server.rest();
    await_popularity(&rest);
    for path in ["/user/user-5/feed", "/post/post-1/feed", "/v1/popular"] {
        let list = if path == "/v1/popular" { "items" } else { "interactions" };
        let whole = names(&ask(&rest, path), list, "/id");
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = ask(&rest, &format!("{path}?limit=1{after}"));
            found.extend(names(&page, list, "/id"));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
            // The most popular item becomes more popular; all scores move with the mean.
            let event = json!({"user": "user-5", "item": "post-0", "kind": "share"});
            rest.post("/v1/interactions", &event).success("interact");
        }
        assert_eq!(found, whole, "{path}");
    }
}
