//! Input of every import that no store keeps.

use super::*;

/// All import paths reject equally, and a rejected file of a log leaves nothing in the store.
#[test]
fn what_no_store_keeps_is_refused_by_every_import_with_file_and_line() {
    let vector: Vec<f32> = (0..384).map(|n| n as f32 + 1.0).collect();
    let judged = json!([{"text": "a\0b", "label": "accepted", "embedding": vector}]).to_string();
    let post =
        json!({"actor": "ada", "verb": "post", "object": "p", "time": "2024-01-01T00:00:00Z", "message": "a\0b"});
    for (format, name, text, says) in [
        (
            "items",
            "items.csv",
            "item,text\nn,\"a\0b\"\n".to_owned(),
            "line 2, column text: must not contain the character NUL",
        ),
        ("items", "items.csv", "item,text\n\"a\0b\",text\n".into(), "line 2, column item"),
        ("items", "items.csv", "item,text,topic\nd,hello,a|a|b\n".into(), "line 2, column topic: names \"a\" twice"),
        ("activities", "log.jsonl", format!("{post}\n"), "line 1, column message: must not contain the character NUL"),
        ("accepted-rejected", "ada.json", judged, "must not contain the character NUL"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let file = csv(place.path(), name, &text);
        let (status, said) = run(&["import", "--format", format, "--store", &store(place.path()), &file]);
        assert!(status == Some(1) && said.contains(says) && said.contains(name), "{format}: {said}");
    }
}
