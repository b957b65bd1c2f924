//! Files and vectors of two-tower models on the real server: downloads, and pages of vectors.
//!
//! Invariant under test: a download is the upload, byte for byte. Pages cover each living item and user once, and their
//! vectors are those that score.

use crate::{postgres, support};

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::checkpoint;
use eddyline::domain::ids::ModelVersion;
use eddyline::engine::numeric::kernels::dot;
use eddyline::tower::Checkpoint;
use serde_json::{Value, json};
use support::rest::Rest;
use support::{Server, store};
use tempfile::TempDir;

/// Numbers in an embedding: few, so that models are trained in a moment.
const DIM: usize = 32;
const VARIABLES: [(&str, &str); 1] = [("EDDYLINE_DIM", "32")];

/// Runs `eddyline` to its end; returns status and output.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(support::program());
    let output = command.args(arguments).envs(VARIABLES).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn published(rest: &Rest, bytes: &[u8]) -> u64 {
    let answer = rest.post_bytes("/v1/models?publish=true", bytes).success("publish a model");
    answer.json()["version"].as_u64().unwrap()
}

/// Publishes, downloads, publishes the download, and downloads again, through a server on this store and on the store itself.
fn download_and_publish_again(url: &str) {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let uploaded = checkpoint(1, DIM);
    let server = Server::start_on_with(TempDir::new().unwrap(), url.to_owned(), &VARIABLES);
    let (rest, base) = (server.rest(), format!("http://{}", server.address()));
    let first = published(&rest, &uploaded).to_string();
    let printed = format!("{} bytes\n", uploaded.len());
    assert_eq!(run(&["model", "download", &first, "--out", &file("a"), "--url", &base]), (Some(0), printed.clone()));
    assert!(std::fs::read(file("a")).unwrap() == uploaded);
    let (status, said) = run(&["model", "download", &first, "--out", &file("a"), "--url", &base]);
    assert!(status == Some(1) && said.contains("exists: remove it, or choose another name"), "{said}");
    let (status, second) = run(&["model", "publish", &file("a"), "--url", &base]);
    assert_eq!(status, Some(0), "the download can be published: {second}");

    let path = |version: &str| format!("/v1/models/{}/download", version.trim());
    let heads = [&first, &second].map(|version| rest.ask("HEAD", &path(version), None, None).success("a head"));
    let [one, other] = heads.each_ref().map(|head| (head.header("etag"), head.header("repr-digest")));
    assert_eq!(one, other, "equal bytes have equal digests");
    assert!(one.1.unwrap().starts_with("sha-256=:"), "{one:?}");
    assert_eq!(heads[0].header("content-length"), Some(uploaded.len().to_string().as_str()));
    let known = [("If-None-Match", one.0.unwrap())];
    let answer = rest.ask_with("GET", &path(&first), None, None, &known);
    assert_eq!((answer.status, answer.body.is_empty()), (304, true));
    let answer = rest.get("/v1/models/99/download");
    assert_eq!((answer.status, answer.code().as_deref()), (404, Some("unknown_model")));
    let (status, said) = run(&["model", "download", "99", "--out", &file("none"), "--url", &base]);
    assert!(status == Some(1) && said.contains("404") && !Path::new(&file("none")).exists(), "{said}");

    drop(server.kill());
    let arguments = ["model", "download", second.trim(), "--out", &file("b"), "--store", url];
    assert_eq!(run(&arguments), (Some(0), printed));
    assert!(std::fs::read(file("b")).unwrap() == uploaded);
    let (status, said) = run(&["model", "download", "99", "--out", &file("none"), "--store", url]);
    assert!(status == Some(1) && said.contains("99") && !Path::new(&file("none")).exists(), "{said}");
}

#[test]
fn a_downloaded_model_is_the_uploaded_one_and_can_be_published_again() {
    let directory = TempDir::new().unwrap();
    download_and_publish_again(&store(directory.path()));
    if !postgres::skipped() {
        download_and_publish_again(&postgres::shared().url(&postgres::shared().database()));
    }
}

/// All rows, page by page, by the links of the answers, and the number of pages.
fn pages(rest: &Rest, version: u64, of: &str) -> (BTreeMap<String, Vec<f32>>, usize) {
    let mut query = Some(format!("?of={of}&format=ndjson&limit=7"));
    let (mut rows, mut count) = (BTreeMap::new(), 0);
    while let Some(asked) = query {
        let answer = rest.get(&format!("/v1/models/{version}/embeddings{asked}")).success("a page");
        let before = rows.len();
        for line in answer.body.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let vector = row["vector"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32);
            assert!(rows.insert(row["id"].as_str().unwrap().to_owned(), vector.collect()).is_none(), "twice: {row}");
        }
        assert!(rows.len() - before <= 7);
        count += 1;
        let next = answer.header("link").and_then(|link| link.strip_prefix('<')?.split_once(">; rel=\"next\""));
        query = next.map(|(query, _)| query.to_owned());
    }
    (rows, count)
}

#[test]
fn pages_of_vectors_cover_all_items_and_users_and_score_as_the_server_does() {
    let server = Server::start_with(TempDir::new().unwrap(), &VARIABLES);
    let rest = server.rest();
    server.items(30);
    server.people(&["ada", "bob", "cleo", "a%20%22b%22%2C%20c"]);
    rest.delete("/v1/items/item-4").success("delete an item");
    rest.delete("/v1/users/cleo").success("erase a user");
    rest.put("/v1/users/ada", &json!({"attributes": {"city": "Aa", "age": 20}})).success("describe a user");
    for number in [3, 8, 11] {
        let act = json!({"user": "ada", "item": format!("item-{number}"), "kind": "like"});
        rest.post("/v1/interactions", &act).success("an interaction");
    }
    let bytes = checkpoint(1, DIM);
    let version = published(&rest, &bytes);
    let ((items, item_pages), (users, _)) = (pages(&rest, version, "items"), pages(&rest, version, "users"));
    assert_eq!((items.len(), item_pages), (29, 5), "without the deleted one");
    assert_eq!(users.keys().collect::<Vec<_>>(), ["a \"b\", c", "ada", "bob"], "without the erased one");
    assert_ne!(users["ada"], users["bob"]);
    let model = Checkpoint::from_bytes(&bytes).unwrap().into_model(ModelVersion(version));
    for user in ["ada", "bob"] {
        let answer = rest.get(&format!("/post/recommendations?id={user}&ranking=tower&limit=30"));
        let answer = answer.success("recommendations").json();
        let found = answer["recommendations"].as_array().unwrap();
        assert!(found.len() > 20, "{answer}");
        for row in found {
            let (score, item) = (row["score"].as_f64().unwrap() as f32, row["item"].as_str().unwrap());
            let product = model.log_odds(dot(&users[user], &items[item]));
            // The time of day may have passed a step of its rounding since the export.
            assert!((score - product).abs() < 0.05, "{user}, {item}: {score} and {product}");
        }
    }
    let csv = rest.get(&format!("/v1/models/{version}/embeddings?of=users")).success("CSV");
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"), "{csv:?}");
    let mut lines = csv.body.lines();
    assert!(lines.next().unwrap().starts_with("id,v0,v1,"), "{}", csv.body);
    assert_eq!((lines.count(), csv.header("link")), (3, None), "{}", csv.body);
    assert!(csv.body.contains("\"a \"\"b\"\", c\","), "{}", csv.body);
}

#[test]
fn only_the_model_that_serves_has_vectors_and_wrong_questions_are_named() {
    let server = Server::start_with(TempDir::new().unwrap(), &VARIABLES);
    let rest = server.rest();
    server.items(3);
    let kept = rest.post_bytes("/v1/models", &checkpoint(1, DIM)).success("keep a model").json()["version"].clone();
    let refused = |path: &str| {
        let answer = rest.get(path);
        (answer.status, answer.code().unwrap_or_default(), answer.fields())
    };
    let conflict = (409, "conflict".to_owned(), vec!["version".to_owned()]);
    assert_eq!(refused(&format!("/v1/models/{kept}/embeddings?of=items")), conflict, "no model serves");
    let serving = published(&rest, &checkpoint(2, DIM));
    assert_eq!(refused(&format!("/v1/models/{kept}/embeddings?of=items")), conflict, "another one serves");
    assert_eq!(refused("/v1/models/99/embeddings?of=items").1, "unknown_model");
    for (query, expected, field) in [
        ("", 400, "of"),
        ("?of=posts", 400, "of"),
        ("?of=items&format=xlsx", 400, "format"),
        ("?of=items&limit=0", 422, "limit"),
        ("?of=items&limit=10001", 422, "limit"),
        ("?of=items&after=x", 400, "after"),
        ("?of=items&page=2", 400, "page"),
    ] {
        let (status, _, fields) = refused(&format!("/v1/models/{serving}/embeddings{query}"));
        assert_eq!((status, fields), (expected, vec![field.to_owned()]), "{query}");
    }
    let past_the_end = rest.get(&format!("/v1/models/{serving}/embeddings?of=items&format=ndjson&after=4294967295"));
    assert_eq!((past_the_end.status, past_the_end.body.as_str()), (200, ""));
}
