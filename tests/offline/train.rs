//! The command `eddyline train`: tables in; a model, a state and figures out.
//!
//! Invariant: `simulate --tables` creates the tables; everything runs through the program itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use eddyline::domain::ids::ModelVersion;
use eddyline::domain::time::Millis;
use eddyline::tower::Checkpoint;
use serde_json::Value;
use tempfile::TempDir;

/// Status, standard output and standard error of the program in a folder.
fn eddyline(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(crate::support::program()).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn tables(folder: &Path) {
    let size = ["--people", "120", "--posts", "150", "--views", "5000"];
    let (status, _, err) = eddyline(folder, &[&["simulate", "--tables", "tables"], &size[..]].concat());
    assert_eq!(status, Some(0), "{err}");
}

/// Trains with a small network; returns the report.
fn train(folder: &Path, out: &str, more: &[&str]) -> Value {
    let small = ["--history", "8", "--hidden", "16", "--heads", "2", "--json", "-"];
    let arguments = [&["train", "--tables", "tables", "--out", out], &small[..], more].concat();
    let (status, report, err) = eddyline(folder, &arguments);
    assert_eq!(status, Some(0), "{err}");
    serde_json::from_str(&report).unwrap()
}

#[test]
fn a_training_that_was_stopped_and_resumed_ends_as_one_that_was_not() {
    let folder = TempDir::new().unwrap();
    tables(folder.path());
    let whole = train(folder.path(), "whole.safetensors", &["--epochs", "2", "--threads", "1", "--html", "whole.html"]);
    let epochs = whole["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 2, "each epoch is reported");
    for slice in ["train", "validation", "test"] {
        assert!(epochs.iter().all(|epoch| epoch[slice]["roc_auc"].is_number()), "{slice}: {epochs:?}");
    }
    let roc = whole["curves"]["roc"].as_array().unwrap();
    assert_eq!((&roc[0], roc.last()), (&serde_json::json!([0.0, 0.0]), Some(&serde_json::json!([1.0, 1.0]))));
    let page = fs::read_to_string(folder.path().join("whole.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 4, "loss, AUC, ROC and calibration are drawn");
    train(folder.path(), "parts.safetensors", &["--epochs", "1"]);
    let parts = train(
        folder.path(),
        "parts.safetensors",
        &["--epochs", "2", "--resume", "--publish", "--store", "file:published"],
    );
    assert_eq!(whole["rows"], parts["rows"]);

    let (_, list, err) = eddyline(folder.path(), &["model", "list", "--store", "file:published"]);
    assert!(list.lines().nth(1).is_some_and(|row| row.starts_with("1\tserves\t")), "what was made serves: {list}{err}");

    let model = |name: &str| {
        let checkpoint = Checkpoint::from_bytes(&fs::read(folder.path().join(name)).unwrap()).unwrap();
        assert_eq!(checkpoint.summary().learned_rows, 4_000, "{name}: four fifths of the views");
        assert_eq!(checkpoint.dim(), 384, "{name}: texts were embedded as the server would");
        let names: Vec<&str> = checkpoint.schema().person.categories.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["city", "country", "exp_group", "gender", "os", "source"], "{name}");
        checkpoint.into_model(ModelVersion(1)).person(Some(r#"{"gender":1,"age":30}"#), &[], Millis(0))
    };
    assert_eq!(model("whole.safetensors"), model("parts.safetensors"));
}

#[test]
fn the_similarity_of_a_training_is_reported_and_kept_by_the_model() {
    let folder = TempDir::new().unwrap();
    tables(folder.path());
    let more =
        ["--epochs", "1", "--similarity", "cosine", "--html", "m.html", "--publish", "--store", "file:published"];
    let report = train(folder.path(), "m.safetensors", &more);
    assert_eq!(report["similarity"], "cosine");
    let page = fs::read_to_string(folder.path().join("m.html")).unwrap();
    assert!(page.contains("<dt>similarity</dt><dd>cosine</dd>"), "{page}");
    let checkpoint = Checkpoint::from_bytes(&fs::read(folder.path().join("m.safetensors")).unwrap()).unwrap();
    assert_eq!(checkpoint.schema().similarity.name(), "cosine");
    let (_, list, err) = eddyline(folder.path(), &["model", "list", "--store", "file:published"]);
    assert!(list.contains(r#""similarity":"cosine""#), "{list}{err}");
    let report = train(folder.path(), "dot.safetensors", &["--epochs", "1"]);
    assert_eq!(report["similarity"], "dot", "the default");
}

#[test]
fn the_figures_stand_beside_plain_rates_and_static_towers() {
    let folder = TempDir::new().unwrap();
    tables(folder.path());
    let report = train(folder.path(), "m.safetensors", &["--epochs", "1", "--compare-static"]);
    let rows = report["rows"].as_array().unwrap();
    let names: Vec<&str> =
        rows.iter().filter(|row| row["slice"] == "test").map(|row| row["name"].as_str().unwrap()).collect();
    let expected =
        ["rate of all", "rate of the post", "rate of the topic", "rate of the person", "static towers", "two towers"];
    assert_eq!(names, expected);
    assert_eq!(rows[0]["roc_auc"], 0.5);
    assert!(rows.iter().all(|row| row["rows"].as_u64().unwrap() >= 500), "{report}");
    assert!(!folder.path().join("m.safetensors.part").exists());
}

#[test]
fn what_is_wrong_with_flags_or_files_is_named() {
    let folder = TempDir::new().unwrap();
    tables(folder.path());
    let cases: [(&[&str], &str); 5] = [
        (&["--tables", "nowhere", "--out", "m"], "nowhere"),
        (&["--tables", "tables", "--out", "m", "--test-fraction", "1.5"], "--test-fraction"),
        (&["--tables", "tables", "--out", "m", "--validation-fraction", "0"], "--validation-fraction"),
        (&["--tables", "tables", "--out", "m", "--resume"], "m.state"),
        (&["--tables", "tables", "--out", "m", "--columns", "shoe=size"], "--columns"),
    ];
    for (arguments, named) in cases {
        let (status, _, err) = eddyline(folder.path(), &[&["train"], arguments].concat());
        assert_eq!(status, Some(1), "{arguments:?}: {err}");
        assert!(err.contains(named), "{arguments:?}: {err}");
    }
    fs::write(folder.path().join("m.state"), b"\x01nonsense").unwrap();
    let (_, _, err) = eddyline(folder.path(), &["train", "--tables", "tables", "--out", "m", "--resume"]);
    assert!(err.contains("m.state") && err.contains("without --resume"), "{err}");
}
