//! Input files that replay and other offline commands refuse: each at its row, none by a panic.

use super::*;

/// Writes files into a folder.
fn files(list: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in list {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// A catalogue in which some items have an embedding and some a text alone: every import path names the row.
#[test]
fn an_embedding_beside_texts_of_another_length_is_refused_at_its_row() {
    let folder = files(&[
        ("items.csv", "item,text,embedding\n1,about boats,\"[1,0,0]\"\n2,about bread,\n"),
        (
            "events.csv",
            "user,item,time\nu,1,2024-01-01T00:00:00Z\nv,2,2024-01-01T00:00:05Z\nu,2,2024-01-01T00:00:09Z\n",
        ),
        ("post_text_df.csv", "post_id,text,embedding\n1,about boats,\"[1,0,0]\"\n2,about bread,\n"),
        (
            "feed_data.csv",
            "timestamp,user_id,post_id,action,target\n2024-01-01 00:00:00,1,1,view,1\n2024-01-01 00:00:05,2,2,view,0\n",
        ),
        (
            "log.jsonl",
            "{\"actor\":\"a\",\"verb\":\"post\",\"object\":\"p\",\"time\":\"2024-01-01T00:00:00Z\",\"embedding\":[1,0,0]}\n\
             {\"actor\":\"a\",\"verb\":\"post\",\"object\":\"q\",\"time\":\"2024-01-01T00:00:01Z\",\"message\":\"bread\"}\n",
        ),
    ]);
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let store = format!("file:{}", at("data"));
    let (items, events, log, tables) = (at("items.csv"), at("events.csv"), at("log.jsonl"), at(""));
    let (model, missing) = (at("model.safetensors"), "column embedding: is missing");
    let wrong = "line 2, column embedding: must have 384 numbers, has 3";
    for (arguments, part) in [
        (&["replay", "--format", "events", "--items", &items, &events][..], ["items.csv, line 3", missing]),
        (&["replay", "--format", "tables", &tables], ["post_text_df.csv, line 3", missing]),
        (&["replay", "--format", "activities", &log], ["log.jsonl, line 2", missing]),
        (&["import", "--format", "items", "--store", &store, &items], ["items.csv", wrong]),
        (&["import", "--format", "tables", "--store", &store, &tables], ["post_text_df.csv", wrong]),
        (&["train", "--tables", &tables, "--out", &model], ["post_text_df.csv", wrong]),
    ] {
        let (status, said) = run(arguments);
        assert!(status == Some(1) && part.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
        assert_eq!(said.matches("column embedding").count(), 1, "said once: {said}");
    }
}

/// For any file contents, a command ends with rows or with one error message, and never by a panic.
#[test]
fn no_input_ends_a_command_by_a_panic() {
    const FEED: &str = "timestamp,user_id,post_id,action,target\n";
    let folder = files(&[
        ("empty.csv", ""),
        ("header.csv", "user,item,time\n"),
        ("ages.csv", "user,item,time\nu,a,0001-01-01T00:00:00Z\nu,b,9999-12-31T23:59:59.999Z\n"),
        ("one.csv", "user,item,time\nu,a,2024-01-01T00:00:00Z\n"),
        ("huge.csv", "x,y\n1e308,-1e308\n-1e308,1e308\n1e-320,0\n5e307,1\n"),
        ("same.csv", "x,y\n1,1\n1,1\n1,1\n"),
        ("items.csv", "item,text,embedding\na,,\"[1e-30,1e15]\"\nb,,\"[1e-44,0]\"\n"),
        ("ages.txt", "u a 0001-01-01 00:00:00\nu b 9999-12-31 23:59:59\n"),
        ("live.csv", "1,1,a,0,1\n1,1,a,1000,1001\n"),
        ("u.data", "1\t1\t3e38\t881250949\n1\t2\t-3e38\t881250950\n"),
        (
            "small.json",
            r#"[{"text":"a","label":"accepted","embedding":[1e-30,1e-31]},{"text":"b","label":"rejected","embedding":[2e-30,-1e-31]}]"#,
        ),
        ("nan.json", r#"[{"text":"a","label":"accepted","embedding":[NaN,1]}]"#),
        (
            "log.jsonl",
            "{\"actor\":18446744073709551615,\"verb\":\"post\",\"object\":1,\"time\":1700000000,\"message\":\"m\"}\n",
        ),
        ("feed.csv", &format!("{FEED}1700000000.0,1,1,view,1.0\n1700000000.5,1,1,like,\n1700000001,2,1,view,0.0\n")),
        ("post_text_df.csv", "post_id,text,x\n1,\u{1f30a},1e308\n2,,NaN\n"),
        (
            "feed_data.csv",
            &format!("{FEED}1700000000.0,1,1,view,1.0\n1700000001,2,1,view,0\n1700000009,2,2,view,True\n"),
        ),
        ("user_data.csv", "user_id,age\n1,1e308\n2,inf\n"),
        ("posts.parquet", "PAR1PAR1"),
    ]);
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let torn = format!("posts={},feed={}", at("posts.parquet"), at("feed.csv"));
    let places: Vec<String> = ["", "empty.csv", "header.csv", "ages.csv", "one.csv", "items.csv"].map(&at).to_vec();
    let [tables, empty, header, ages, one, items] = &places[..] else { panic!("six places") };
    let (huge, same, text, live) = (at("huge.csv"), at("same.csv"), at("ages.txt"), at("live.csv"));
    let (ratings, small, nan, log, feed) =
        (at("u.data"), at("small.json"), at("nan.json"), at("log.jsonl"), at("feed.csv"));
    let model = at("model.safetensors");
    let good = "";
    for (arguments, expected) in [
        (&["replay", "--format", "events", empty][..], "there is no column"),
        (&["replay", "--format", "events", header], good),
        (&["replay", "--format", "events", one, "--test-last", "9223372036854775807"], good),
        (&["replay", "--format", "events", ages], good),
        (
            &[
                "replay",
                "--format",
                "events",
                ages,
                "--infer-windows",
                "gap=1099511627776,tail=1099511627776",
                "--time-unit",
                "step:31622400",
            ],
            good,
        ),
        (&["replay", "--format", "events", ages, "--items", items], good),
        (&["replay", "--format", "plain", &text], good),
        (&["replay", "--format", "live-intervals", &live, "--time-unit", "s"], good),
        (&["replay", "--format", "movielens", &ratings], good),
        (&["replay", "--format", "accepted-rejected", &small], good),
        (&["replay", "--format", "accepted-rejected", &nan], "JSON has no NaN"),
        (&["replay", "--format", "activities", &log], ""),
        (&["replay", "--format", "feed", &feed], good),
        (&["replay", "--format", "tables", tables], good),
        (&["replay", "--format", "tables", &torn], "posts.parquet: cannot be read"),
        (&["replay", "--format", "tables", one], "is no folder"),
        (&["replay", "--format", "open-bandit", tables], "there is no column"),
        (&["train", "--tables", tables, "--out", &model], ""),
        (&["cluster", "--csv", &huge, "--columns", "x,y"], ""),
        (&["cluster", "--csv", &same, "--columns", "x,y"], ""),
        (&["cluster", "--csv", empty, "--columns", "x"], "there is no column"),
    ] {
        let (status, said) = run(arguments);
        assert!(matches!(status, Some(0 | 1)) && !said.contains("panicked"), "{arguments:?}: {status:?} {said}");
        assert!(said.contains(expected) && (status == Some(1) || expected.is_empty()), "{arguments:?}: {said}");
    }
}
