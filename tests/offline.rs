//! What is replayed, what is imported and what is served are the same thing.
//!
//! Invariant under test: replay, import and server learn through one engine, so the figures of one are those of the
//! others, to the last digit, and bringing a file twice changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use support::{Server, run, store};

/// Three searches by three people: sentences around a direction of their own are accepted.
fn write_queries(folder: &Path) {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut vector = |scale: f64| (0..384).map(|_| scale * random.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    for query in 1..=3 {
        let (pool, wanted) = (vector(3.0), vector(0.5));
        let rows: Vec<Value> = (0..50)
            .map(|row| {
                let accepted = row % 5 < 2;
                let noise = vector(0.6);
                let sign = if accepted { 1.0 } else { -1.0 };
                let embedding: Vec<f64> = (0..384).map(|i| pool[i] + sign * wanted[i] + noise[i]).collect();
                let label = if accepted { "accepted" } else { "rejected" };
                json!({"text": format!("sentence {row} of search {query}"), "label": label, "embedding": embedding})
            })
            .collect();
        std::fs::write(folder.join(format!("query_{query}.json")), serde_json::to_vec(&rows).unwrap()).unwrap();
    }
}

fn replay(folder: &Path, more: &[&str]) -> Value {
    let report = tempfile::tempdir().unwrap();
    let file = report.path().join("report.json");
    let mut arguments = vec!["replay", "--format", "accepted-rejected", "--json", file.to_str().unwrap()];
    arguments.extend(more);
    arguments.push(folder.to_str().unwrap());
    let (status, said) = run(&arguments);
    assert_eq!(status, Some(0), "{said}");
    let mut report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    report["seconds"] = Value::Null;
    report
}

/// Same sentences and seed, same figures: twice, and whether the files share a catalogue or have one each.
fn is_the_same_each_time(folder: &Path) -> Value {
    let report = replay(folder, &[]);
    assert_eq!(report, replay(folder, &[]), "the same again");
    assert_eq!(report, replay(folder, &["--separate"]), "a catalogue for each");
    report
}

/// The server, after an import, scores each person as the replay in file order does.
fn is_served_as_it_was_replayed(folder: &Path) {
    let report = replay(folder, &["--shuffles", "0"]);
    let directory = tempfile::tempdir().unwrap();
    let place = store(directory.path());
    let import = ["import", "--format", "accepted-rejected", "--store", &place, folder.to_str().unwrap()];
    let (status, said) = run(&import);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = run(&import);
    assert!(status == Some(0) && said.contains(" 0 events learned"), "a file brought twice is there once: {said}");

    let server = Server::start(directory);
    let files = report["labelled"]["per_file"].as_object().unwrap();
    for (person, auc) in files {
        let score = server.rest().get(&format!("/v1/score?user={person}")).success("the score").json();
        let (served, replayed) = (score["auc"]["online"].as_f64().unwrap(), auc.as_f64().unwrap());
        assert!((served - replayed).abs() < 1e-6, "{person}: {served} is served, {replayed} was replayed");
    }
    let score = server.rest().get("/v1/score").success("the score").json();
    assert_eq!(score["labelled"], report["events"]);
    // Over everybody the server counts in bins: the same but for what falls into one bin.
    let (served, replayed) = (score["auc"]["online"].as_f64(), report["labelled"]["auc_pooled"].as_f64());
    assert!((served.unwrap() - replayed.unwrap()).abs() < 0.005, "{served:?} {replayed:?}");
    let loss = |of: &Value| of.as_f64().unwrap();
    assert!((loss(&score["log_loss"]) - loss(&report["labelled"]["log_loss"])).abs() < 1e-9);
}

#[test]
fn made_up_judgements_give_one_figure_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    write_queries(folder.path());
    let report = is_the_same_each_time(folder.path());
    let auc = report["labelled"]["auc_mean"].as_f64().unwrap();
    assert!(auc > 0.8, "there is something to learn: {auc}");
    is_served_as_it_was_replayed(folder.path());
}

#[test]
fn real_judgements_reach_the_figure_to_beat() {
    let data = std::env::var_os("EDDYLINE_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = data.join("accepted_rejected");
    if !folder.is_dir() {
        println!("skipped: no data (set EDDYLINE_DATA)");
        return;
    }
    let report = is_the_same_each_time(&folder);
    let auc = report["labelled"]["auc_mean"].as_f64().unwrap();
    assert!(auc >= 0.945, "mean ROC AUC {auc}");
    is_served_as_it_was_replayed(&folder);
}

/// A simulated network written as activities and imported has the people, posts and feeds that it should.
#[test]
fn a_simulated_network_can_be_imported_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("network");
    let (status, said) = run(&["simulate", "--out", out.to_str().unwrap(), "--people", "40", "--days", "2"]);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = run(&["simulate", "--out", out.to_str().unwrap(), "--people", "40"]);
    assert!(status == Some(1) && said.contains("--out"), "an existing history is not overwritten: {said}");
    let directory = tempfile::tempdir().unwrap();
    let place = store(directory.path());
    let activities = out.join("activities.jsonl");
    let import = ["import", "--format", "activities", "--store", &place, activities.to_str().unwrap()];
    let (status, said) = run(&import);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = run(&import);
    assert!(status == Some(0) && said.contains(" 0 events learned"), "{said}");
    let (status, said) = run(&["db", "check", "--store", &place]);
    assert!(status == Some(0) && said.contains("40 people") && said.contains(" 0 wrong"), "{said}");
    let server = Server::start(directory);
    let people = server.rest().get("/v1/users?limit=1000").success("people").json();
    assert_eq!(people["users"].as_array().unwrap().len(), 40);
    let who = people["users"][0]["id"].as_str().unwrap().to_owned();
    for (ranking, at_least) in [("flat", 1), ("topics", 1), ("model", 5)] {
        let feed = server.rest().feed(&who, &format!("ranking={ranking}&limit=5"));
        assert!(feed.len() >= at_least, "{ranking}: {feed:?}");
    }
}
