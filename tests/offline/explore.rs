//! `eddyline explore` on files that are written here.

use crate::support;

use std::path::Path;

use serde_json::{Value, json};

use support::run;

/// Two files: accepted texts are about tea and point one way, rejected ones about coffee the other way.
fn write_corpus(folder: &Path) {
    for (query, rows) in [("first", 20), ("second", 12)] {
        let row = |number: usize| {
            let accepted = number.is_multiple_of(2);
            let (word, side) = if accepted { ("green tea", 1.0) } else { ("black <b>coffee</b>", -1.0) };
            let label = if accepted { "accepted" } else { "rejected" };
            let turn = 0.3 * number as f64;
            let embedding = [side, 0.4 * turn.sin(), 0.4 * turn.cos()];
            json!({"text": format!("The {word} of number {number}"), "label": label, "embedding": embedding})
        };
        let mut list: Vec<Value> = (0..rows).map(row).collect();
        if query == "first" {
            list.push(list[1].clone());
        }
        std::fs::write(folder.join(format!("{query}.json")), serde_json::to_vec(&list).unwrap()).unwrap();
    }
}

fn explored(folder: &Path, more: &[&str]) -> (Value, String) {
    let out = tempfile::tempdir().unwrap();
    let (json, html) = (out.path().join("figures.json"), out.path().join("page.html"));
    let mut arguments = vec!["explore", "--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    arguments.extend(more);
    arguments.push(folder.to_str().unwrap());
    let (status, said) = run(&arguments);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("first") && said.contains("ridge AUC"), "{said}");
    (serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap(), std::fs::read_to_string(html).unwrap())
}

#[test]
fn a_corpus_is_counted_and_its_page_is_whole_and_escaped() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let (report, page) = explored(folder.path(), &["--cosine", "0.9999"]);
    assert_eq!((&report["texts"], &report["accepted"], &report["rejected"]), (&json!(33), &json!(16), &json!(17)));
    assert_eq!(report["files"][0]["name"], "first");
    assert_eq!(
        (&report["files"][0]["separability"]["ridge"], &report["files"][0]["duplicated"]),
        (&json!(1.0), &json!(2))
    );
    let term = |list: &Value| list[0]["term"].as_str().unwrap().to_owned();
    assert_eq!(
        (term(&report["terms"][0]["accepted"]), term(&report["terms"][1]["accepted"])),
        ("green".into(), "green tea".into())
    );
    assert!(!page.contains("<b>coffee") && page.contains("black &lt;b&gt;coffee"));
    assert!(page.contains("prefers-color-scheme:dark") && !page.contains("http") && !page.contains("<script"));
    assert_eq!(page.matches("class=\"dot accepted\"").count(), 16);
    assert_eq!(page.matches("class=\"cross rejected\"").count(), 17);
    let duplicates = &report["duplicates"];
    let of_first = json!({"file": "first", "row": 21});
    let listed = duplicates["listed"].as_array().unwrap();
    assert!(listed.iter().any(|pair| pair["second"] == of_first && pair["first"]["row"] == 2), "{duplicates}");
    assert_eq!(explored(folder.path(), &["--cosine", "0.9999"]), (report, page), "equal files give an equal page");
}

#[test]
fn a_flag_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("none.json"), "[]").unwrap();
    let page = empty.path().join("page.html").display().to_string();
    for (flags, path, words) in [
        (&["--language", "xx"][..], folder.path(), "--language: no stop words for \"xx\""),
        (&["--cosine", "1.5"], folder.path(), "--cosine: must be at least -1 and below 1"),
        (&["--cosine", "NaN"], folder.path(), "--cosine: must be"),
        (&["--terms", "0"], folder.path(), "--terms"),
        (&[], empty.path(), "no texts found"),
    ] {
        let mut arguments = vec!["explore", "--html", page.as_str()];
        arguments.extend(flags);
        arguments.push(path.to_str().unwrap());
        let (status, said) = run(&arguments);
        assert!(status != Some(0) && said.contains(words), "{flags:?}: {said}");
    }
}
