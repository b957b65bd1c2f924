//! From the embedded store to Postgres and back: nothing is lost, nothing is added.
//!
//! Invariant under test: a dump is equal whichever store it comes from, and an import gives equal data in Postgres and
//! in a file.

use crate::support;

use crate::postgres;

use postgres::Cluster;
use serde_json::json;
use support::{Server, run, store};

fn done(arguments: &[&str]) -> String {
    let (status, said) = run(arguments);
    assert_eq!(status, Some(0), "{arguments:?}: {said}");
    said
}

#[test]
fn a_network_moves_to_postgres_and_back_without_loss() {
    if postgres::skipped() {
        println!("skipped: EDDYLINE_TEST_POSTGRES=skip");
        return;
    }
    let cluster = Cluster::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let database = |cluster: &Cluster| cluster.url(&cluster.database());
    done(&["simulate", "--out", &path("network"), "--people", "40", "--days", "2", "--start", "2026-03-01T00:00:00Z"]);
    let activities = path("network/activities.jsonl");

    let (first_place, third_place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second, third_store) = (store(first_place.path()), database(&cluster), store(third_place.path()));
    done(&["import", "--format", "activities", "--store", &first, &activities]);
    let server = Server::start_on(tempfile::tempdir().unwrap(), first.clone());
    let key_of = |path: &str, list: &str| server.rest().get(path).success(list).json()[list][0]["id"].clone();
    let (user, item) = (key_of("/v1/users?limit=1", "users"), key_of("/v1/items?limit=1", "items"));
    for (id, kind) in
        [("first", "like"), ("second", "hide"), ("third", "unlike"), ("fourth", "like"), ("fifth", "unhide")]
    {
        let body = json!({"user": user, "item": item, "id": id, "kind": kind});
        server.rest().post("/v1/interactions", &body).success("undone interactions move, too");
    }
    assert_eq!(server.terminate().0, Some(0));
    done(&["db", "dump", "--store", &first, "--out", &path("one.jsonl.zst")]);
    done(&["db", "load", "--store", &second, "--in", &path("one.jsonl.zst")]);
    done(&["db", "dump", "--store", &second, "--out", &path("two.jsonl")]);
    done(&["db", "load", "--store", &third_store, "--in", &path("two.jsonl")]);
    done(&["db", "dump", "--store", &third_store, "--out", &path("three.jsonl")]);
    done(&["db", "dump", "--store", &first, "--out", &path("one.jsonl")]);
    let bytes = |name: &str| std::fs::read(path(name)).unwrap();
    assert!(bytes("one.jsonl") == bytes("two.jsonl"), "what Postgres holds is what the file held");
    assert!(bytes("one.jsonl") == bytes("three.jsonl"), "and so is what came back");
    let dumped = String::from_utf8(bytes("one.jsonl")).unwrap();
    let count = |what: &str| dumped.lines().filter(|line| line.contains(what)).count();
    assert_eq!((count("\"cancelled_by\":"), count("\"kind\":\"undone\"")), (2, 2));
    for place in [&second, &third_store] {
        let said = done(&["db", "check", "--store", place]);
        assert!(said.contains("40 people") && said.contains(" 0 wrong"), "{said}");
    }

    // Directly into Postgres, twice: stored once, and served.
    let direct = database(&cluster);
    let import = ["import", "--format", "activities", "--store", &direct, &activities];
    done(&import);
    assert!(done(&import).contains(" 0 events learned"));
    assert!(done(&["db", "check", "--store", &direct]).contains(" 0 wrong"));
    assert!(done(&["db", "status", "--store", &direct]).contains("journal"));
    let server = Server::start_on(tempfile::tempdir().unwrap(), direct.clone());
    let people = server.rest().get("/v1/users?limit=1000").success("people").json();
    assert_eq!(people["users"].as_array().unwrap().len(), 40);

    // A user's own export, on Postgres.
    let who = people["users"][0]["id"].as_str().unwrap().to_owned();
    let export = server.rest().get(&format!("/v1/users/{who}/export")).success("the export").json();
    assert!(export.to_string().contains(&who));
    assert_eq!(server.rest().delete(&format!("/v1/users/{who}")).status, 204);
    assert_eq!(server.rest().get(&format!("/v1/users/{who}")).status, 404);
    let server = Server::start_on(server.kill(), direct);
    assert_eq!(server.rest().get(&format!("/v1/users/{who}")).status, 404, "erased, also after kill -9");
}
