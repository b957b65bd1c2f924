//! Friends of a user, the graph of follows, and the decay settings, as a running server gives them.
//!
//! Invariant under test: all three are those of the server: its follows, and its own settings, whatever these are.

use crate::support;

use serde_json::{Value, json};
use support::{Server, server};

#[test]
fn a_user_has_the_friends_whom_they_follow() {
    let server = server();
    server.people(&["ada", "bob", "cleo"]);
    let friends = |who: &str| server.rest().get(&format!("/user/{who}")).success("a user").json()["friends"].clone();
    assert_eq!(friends("ada"), json!([]));
    for whom in ["cleo", "bob"] {
        server.rest().put(&format!("/v1/users/ada/follows/{whom}"), &Value::Null).success("follow");
    }
    assert_eq!(friends("ada"), json!(["bob", "cleo"]));
    assert_eq!(server.rest().get("/v1/users/ada").json()["friends"], json!(["bob", "cleo"]));
    assert_eq!(friends("bob"), json!([]), "a follow has a direction");
    server.rest().delete("/v1/users/ada/follows/bob").success("unfollow");
    assert_eq!(friends("ada"), json!(["cleo"]));
}

#[test]
fn the_graph_has_each_pair_once_and_places_all_users_within_the_frame() {
    let server = server();
    let empty = server.rest().get("/v1/graph").success("an empty graph").json();
    assert_eq!(empty, json!({"people": [], "edges": [], "known": 0, "edges_left_out": 0}));
    server.people(&["ada", "bob", "cleo", "dora"]);
    for (who, whom) in [("ada", "bob"), ("bob", "ada"), ("cleo", "ada"), ("dora", "cleo")] {
        server.rest().put(&format!("/v1/users/{who}/follows/{whom}"), &Value::Null).success("follow");
    }
    let graph = server.rest().get("/v1/graph").success("the graph").json();
    assert_eq!(graph["edges"], json!([[0, 1], [0, 2], [2, 3]]));
    let people = graph["people"].as_array().unwrap();
    let found: Vec<(&str, u64)> =
        people.iter().map(|one| (one["id"].as_str().unwrap(), one["friends"].as_u64().unwrap())).collect();
    assert_eq!(found, [("ada", 2), ("bob", 1), ("cleo", 2), ("dora", 1)]);
    assert!(people.iter().all(|one| ["x", "y"].iter().all(|axis| one[axis].as_f64().unwrap().abs() <= 1.0)), "{graph}");
    assert_eq!(server.rest().get("/v1/graph").json(), graph, "equal follows have equal positions");
    // From the first user on along follows.
    let part = server.rest().get("/v1/graph?limit=2").success("a part").json();
    assert_eq!((&part["edges"], &part["known"]), (&json!([[0, 1]]), &json!(4)));
    assert_eq!(server.rest().get("/v1/graph?limit=3001").status, 422);
}

#[test]
fn the_decay_is_that_of_the_server_and_not_of_the_defaults() {
    let usual = server();
    let decay = usual.rest().get("/v1/decay").success("the decay").json();
    assert_eq!(decay, json!({"curve": "exact", "rate": 1.0, "horizon_ms": 604_800_000, "euler_floor": 0.01}));
    let variables = [
        ("EDDYLINE_LEARN__DECAY", "euler"),
        ("EDDYLINE_LEARN__DECAY_RATE", "0.5"),
        ("EDDYLINE_LEARN__DECAY_HORIZON_MS", "21600000"),
    ];
    let other = Server::start_with(tempfile::tempdir().unwrap(), &variables);
    let decay = other.rest().get("/v1/decay").success("the decay").json();
    assert_eq!(decay, json!({"curve": "euler", "rate": 0.5, "horizon_ms": 21_600_000, "euler_floor": 0.01}));
}
