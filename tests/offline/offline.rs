//! Replay, import and server agree.
//!
//! Invariant under test: replay, import and server learn through one engine, so their figures are equal to the last
//! digit; importing a file twice changes nothing.

mod refused;
use crate::support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eddyline::app;
use eddyline::commands::{dump, loader::Loader, loader::event_key};
use eddyline::config::Config;
use eddyline::domain::time::Millis;
use eddyline::store::Store;
use eddyline::store::embedded::Embedded;
use eddyline_offline::import::{self, Format};
use eddyline_offline::live_channels::LiveArgs;
use eddyline_replay::formats::time::{TimeUnit, Times};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use support::{Server, run, store};

/// `help COMMAND` prints the flags of the command, whichever of the two programs has it.
#[test]
fn help_of_a_command_lists_its_flags() {
    for (command, flag) in [
        ("replay", "--test-last"),
        ("import", "--format"),
        ("explore", "--cosine"),
        ("serve", "--config"),
        ("", "Commands:"),
    ] {
        let words: Vec<&str> = ["help", command].into_iter().filter(|word| !word.is_empty()).collect();
        let (status, said) = run(&words);
        assert!(status == Some(0) && said.contains(flag), "{command}: {status:?} {said}");
    }
    let (status, said) = run(&["help", "nonsense"]);
    assert!(status == Some(2) && said.contains("nonsense"), "{status:?} {said}");
}

/// Three searches by three users: sentences around a direction of their own are accepted.
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

/// Equal sentences and seeds give equal figures: twice, and whether the files share a catalogue or have one each.
fn is_the_same_each_time(folder: &Path) -> Value {
    let report = replay(folder, &[]);
    assert_eq!(report, replay(folder, &[]), "the same again");
    assert_eq!(report, replay(folder, &["--separate"]), "a catalogue for each");
    report
}

/// After an import, the server's scores of each user equal those of the replay in file order.
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
    // Over all users the server counts in bins: equal up to pairs within one bin.
    let (served, replayed) = (score["auc"]["online"].as_f64(), report["labelled"]["auc_pooled"].as_f64());
    assert!((served.unwrap() - replayed.unwrap()).abs() < 0.005, "{served:?} {replayed:?}");
    let loss = |of: &Value| of.as_f64().unwrap();
    assert!((loss(&score["log_loss"]) - loss(&report["labelled"]["log_loss"])).abs() < 1e-9);
}

/// Rejected sentences that a user only leaves teach by their weight, less than the user's own words.
#[test]
fn sentences_that_users_leave_teach_without_their_word() {
    let folder = tempfile::tempdir().unwrap();
    write_queries(folder.path());
    let loss = |more: &[&str]| replay(folder.path(), more)["labelled"]["log_loss"].as_f64().unwrap();
    let said = loss(&[]);
    let silent = loss(&["--unsaid", "0", "--set", "signals.passed_weight=0"]);
    let weak = loss(&["--unsaid", "0", "--set", "signals.passed_weight=0.1"]);
    assert!(said < weak && weak < silent, "{said} {weak} {silent}");
    let report = replay(folder.path(), &["--unsaid", "0.5"]);
    assert!(report["labelled"]["baselines"].as_object().is_none_or(|all| all.is_empty()), "{report}");
}

#[test]
fn made_up_judgements_give_one_figure_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    write_queries(folder.path());
    let report = is_the_same_each_time(folder.path());
    let auc = report["labelled"]["auc_mean"].as_f64().unwrap();
    assert!(auc > 0.8, "there is something to learn: {auc}");
    let baselines = report["labelled"]["baselines"].as_object().unwrap();
    let names: Vec<&str> = baselines.keys().map(String::as_str).collect();
    assert_eq!(names, ["centroid", "logistic_sgd", "passive_aggressive"]);
    for (name, baseline) in baselines {
        let auc = baseline["auc_mean"].as_f64().unwrap();
        assert!(auc > 0.8 && baseline["per_file"].as_object().unwrap().len() == 3, "{name}: {baseline}");
        assert_eq!(baseline["log_loss"].is_f64(), name == "logistic_sgd", "{name}: only its scores are log-odds");
    }
    is_served_as_it_was_replayed(folder.path());
}

#[test]
fn real_judgements_reach_the_figure_to_beat() {
    let data = std::env::var_os("EDDYLINE_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
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

/// A simulated network, written as activities and imported, has its users, posts and feeds.
#[test]
fn a_simulated_network_can_be_imported_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("network");
    let (status, said) = run(&[
        "simulate",
        "--out",
        out.to_str().unwrap(),
        "--people",
        "40",
        "--days",
        "2",
        "--start",
        "2026-03-01T00:00:00Z",
    ]);
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

/// `plots` draws under the settings that `serve` would read, and a user's weights from the store.
#[test]
fn plots_are_drawn_from_the_settings_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let simulate = ["--people", "30", "--days", "2", "--start", "2026-03-01T00:00:00Z"];
    let out = path("network");
    let (status, said) =
        run(&[&["simulate", "--out", &out, "--extended-json", "--svg", &path("f.svg")], &simulate[..]].concat());
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(path("f.svg")).unwrap().matches("<circle").count(), 30);
    let store = format!("file:{}", path("data"));
    let (status, said) = run(&["import", "--format", "activities", "--store", &store, &out]);
    assert_eq!(status, Some(0), "{said}");
    let people = std::fs::read_to_string(folder.path().join("network/people.jsonl")).unwrap();
    let person: serde_json::Value = serde_json::from_str(people.lines().next().unwrap()).unwrap();
    let user = person["user"].as_str().unwrap();
    std::fs::write(path("server.toml"), "[learn]\ndecay_rate = 0.5\ndecay_horizon_ms = 21600000\n").unwrap();
    let (plots, config) = (path("plots"), path("server.toml"));
    let flags = ["plots", "--out", &plots, "--store", &store, "--user", user, "--at", "2026-03-04T00:00:00Z"];
    let (status, said) = run(&[&flags[..], &["--config", &config]].concat());
    assert!(status == Some(0) && said.contains("5 pictures"), "{said}");
    for name in ["logistic", "derivative", "timedecay", "exampledecay", "topics"] {
        let drawn = std::fs::read_to_string(folder.path().join(format!("plots/{name}.svg"))).unwrap();
        assert!(drawn.contains("rate 0.5, horizon 6 hours") && !drawn.contains("NaN"), "{name}: {drawn}");
    }
    let (status, said) = run(&["plots", "--out", &plots, "--store", &store, "--user", "nobody.else"]);
    assert!(status == Some(1) && said.contains("--user nobody.else: the store has no such user"), "{said}");
}

/// People documents bring names and friendships, before the activities, after them, or in one file with them.
#[test]
fn people_documents_bring_names_and_friends_in_any_order() {
    const PEOPLE: &str = "{\"name\":\"Maya Varga\",\"friends\":[\"Ravi Okonta\"]}\n\
                          {\"name\":\"Ravi Okonta\",\"friends\":[\"Maya Varga\",\"Tove\"]}\n";
    const ACTIVITIES: &str = concat!(
        r#"{"_id":{"$oid":"a1"},"actor":"Maya Varga","verb":"add","object":null,"#,
        r#""time":{"$date":{"$numberLong":"1767225600000"}},"message":"boats","topic":"rivers"}"#,
        "\n",
        r#"{"actor":"Ravi Okonta","verb":"interact","object":{"$oid":"a1"},"time":{"$date":"2026-01-01T01:00:00Z"}}"#,
        "\n",
    );
    let both = [PEOPLE, ACTIVITIES].concat();
    for (name, files) in
        [("before", &[PEOPLE, ACTIVITIES][..]), ("after", &[ACTIVITIES, PEOPLE]), ("one file", &[both.as_str()])]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut said = String::new();
        for content in files {
            let (status, printed) = import(folder.path(), "activities", content, &[]);
            assert_eq!(status, Some(0), "{name}: {printed}");
            said.push_str(&printed);
        }
        let learned: u64 =
            said.lines().filter_map(|line| line.split(" items, ").nth(1)?.split(' ').next()?.parse::<u64>().ok()).sum();
        assert_eq!(learned, 5, "{name}: a post, a reaction and three follows: {said}");
        let (_, again) = import(folder.path(), "activities", &both, &[]);
        assert!(again.contains(" 0 events learned"), "{name}: {again}");
        for (user, friend) in [("Ravi Okonta", "Tove"), ("Ravi Okonta", "Maya Varga"), ("Maya Varga", "Ravi Okonta")] {
            let said = last_event(folder.path(), user);
            assert!(said.contains(friend), "{name}: {user} follows {friend}: {said}");
        }
        let store = format!("file:{}", folder.path().join("data").display());
        let dump = folder.path().join("dump.jsonl");
        let (status, said) = run(&["db", "dump", "--store", &store, "--out", dump.to_str().unwrap()]);
        assert_eq!(status, Some(0), "{said}");
        let dump = std::fs::read_to_string(dump).unwrap();
        for person in ["Maya Varga", "Ravi Okonta"] {
            assert!(dump.contains(&format!("\"name\":\"{person}\"")), "{name}: {dump}");
        }
    }
}

/// Imports one file; returns the exit status and the output.
fn import(folder: &Path, format: &str, content: &str, more: &[&str]) -> (Option<i32>, String) {
    let file = folder.join(format!("{format}.csv"));
    std::fs::write(&file, content).unwrap();
    let store = format!("file:{}", folder.join("data").display());
    let arguments = ["import", "--format", format, "--store", &store, file.to_str().unwrap()];
    run(&[&arguments[..], more].concat())
}

/// Time of a user's last event, from `explain`.
fn last_event(folder: &Path, user: &str) -> String {
    let store = format!("file:{}", folder.join("data").display());
    let (status, said) = run(&["explain", "--user", user, "--store", &store]);
    assert_eq!(status, Some(0), "{said}");
    said
}

#[test]
fn seconds_are_read_as_seconds_in_every_format_and_what_is_unclear_is_asked_about() {
    const SAID: &str = "times are read as seconds: `1700000000` is 2023-11-14T22:13:20Z";
    const ITEMS: &str = "item,text\n1,movie one\n";
    for (format, content) in [
        ("events", "user,item,time\nu,1,1700000000\n"),
        ("plain", "u 1 1700000000\n"),
        ("plain", "\"u\",\"1\",1700000000\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        import(folder.path(), "items", ITEMS, &[]);
        let (status, said) = import(folder.path(), format, content, &[]);
        assert!(status == Some(0) && said.contains("1 events learned") && said.contains(SAID), "{format}: {said}");
        assert_eq!(said.matches("times are read as").count(), 1, "{said}");
        let explained = last_event(folder.path(), "u");
        assert!(explained.contains("2023-11-14T22:13:20Z"), "{format}: {explained}");
    }
    for (format, content, more, part) in [
        (
            "events",
            "user,item,time\nu,1,1700000000\nu,1,1700000000000\n",
            &[][..],
            "line 3, column time: `1700000000000` is not in seconds",
        ),
        ("events", "user,item,time\nu,1,93\n", &[], "which unit is it? Name it with --time-unit"),
        ("plain", "u 1 93\n", &[], "which unit is it? Name it with --time-unit"),
        ("windows", "item,start,stop\n1,93,94\n", &[], "which unit is it? Name it with --time-unit"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        import(folder.path(), "items", ITEMS, &[]);
        let (status, said) = import(folder.path(), format, content, more);
        assert!(status == Some(1) && said.contains(part), "{format}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    import(folder.path(), "items", ITEMS, &[]);
    let (status, said) = import(folder.path(), "events", "user,item,time\nu,1,93\n", &["--time-unit", "step:600"]);
    assert!(status == Some(0) && !said.contains("times are read as"), "{said}");
}

#[test]
fn windows_up_to_the_last_day_of_year_9999_are_brought_in_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    import(folder.path(), "items", "item,text\nx,hello\ny,hello again\n", &[]);
    let windows = "item,start,stop\nx,2024-01-01T00:00:00Z,9999-12-31T23:59:59Z\ny,2024-01-01 00:00:00 UTC,\ny,2023-01-01T00:00:00Z,2023-01-02T00:00:00Z\n";
    let (status, said) = import(folder.path(), "windows", windows, &[]);
    assert!(status == Some(0) && said.contains("3 windows of 2 items, 0 items"), "{said}");
}

#[test]
fn variables_that_kubernetes_injects_are_named_in_one_line_and_refused_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    std::fs::write(&log, "user,item,time\nu,a,2024-01-01T00:00:00Z\nu,b,2024-01-02T00:00:00Z\n").unwrap();
    let items = folder.path().join("items.csv");
    std::fs::write(&items, "item,text\na,boats\n").unwrap();
    let store = format!("file:{}", folder.path().join("data").display());
    let (log, items) = (log.to_str().unwrap(), items.to_str().unwrap());
    for arguments in [
        &["config", "check"][..],
        &["replay", "--format", "events", "--test-from", "2024-01-01T00:00:00Z", log],
        &["import", "--format", "items", "--store", &store, items],
        &["db", "check", "--store", &store],
    ] {
        let with = |more: &[&str], unknown: bool| {
            let mut command = std::process::Command::new(crate::support::program());
            command.args(arguments).args(more).env("EDDYLINE_DIM", "16");
            if unknown {
                let address = "tcp://10.0.0.1:80";
                command.envs([
                    ("EDDYLINE_PORT", address),
                    ("EDDYLINE_PORT_80_TCP", address),
                    ("EDDYLINE_SERVICE_HOST", "10.0.0.1"),
                ]);
            }
            let output = command.output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        const NAMES: &str = "EDDYLINE_PORT, EDDYLINE_PORT_80_TCP, EDDYLINE_SERVICE_HOST";
        let (status, said) = with(&[], true);
        assert_eq!(status, Some(0), "{arguments:?}: {said}");
        assert_eq!(said.lines().filter(|line| line.contains(NAMES)).count(), 1, "{arguments:?}: {said}");
        let (status, said) = with(&["--strict"], true);
        assert!(status == Some(2) && said.contains(NAMES) && !said.contains("tcp://"), "{arguments:?}: {said}");
        let (status, said) = with(&["--strict"], false);
        assert!(status == Some(0) && !said.contains("EDDYLINE_"), "{arguments:?}: {said}");
    }
    let file = folder.path().join("eddyline.toml");
    std::fs::write(&file, "port = 80\n").unwrap();
    let (status, said) = run(&["config", "check", "--config", file.to_str().unwrap()]);
    assert!(status == Some(2) && said.contains("port"), "an unknown key in the file: {said}");
}

/// Rows that differ in one part are two events. A file that an earlier version imported, under ids without that part,
/// is recognised, and its rows that were dropped then are learned.
#[test]
fn rows_with_other_contents_are_other_events() {
    let directory = tempfile::tempdir().unwrap();
    let place = store(directory.path());
    let at = "1704067200000";
    let row = |dwell: &str| format!("1,clip,{at},watch,{dwell}\n");
    let bring = |format: &str, text: String| {
        let file = directory.path().join("rows.csv");
        std::fs::write(&file, text).unwrap();
        let (status, said) = run(&["import", "--format", format, "--store", &place, file.to_str().unwrap()]);
        assert_eq!(status, Some(0), "{said}");
        said
    };
    bring("items", "item,text\nclip,a clip\n".into());

    // Like an earlier version: the watch of a second is imported, and the one of a minute was taken for a duplicate.
    let server = Server::start(directory);
    server.people(&["1"]);
    let id = event_key(&["1", "clip", at, "watch"]).unwrap();
    let one =
        json!({"user": "1", "id": id, "item": "clip", "kind": "watch", "dwell_ms": 1_000, "at": 1_704_067_200_000_i64});
    server.rest().post("/v1/interactions", &one).success("an event of an earlier version");
    let directory = server.kill();
    let bring = |text: String| {
        let file = directory.path().join("rows.csv");
        std::fs::write(&file, text).unwrap();
        let (status, said) = run(&["import", "--format", "events", "--store", &place, file.to_str().unwrap()]);
        assert_eq!(status, Some(0), "{said}");
        said
    };
    let head = "user,item,time,kind,dwell\n";
    for (name, rows, learned, known) in [
        ("a second and a minute", [row("1000"), row("60000")].concat(), 1, 1),
        ("brought again", [row("1000"), row("60000")].concat(), 0, 2),
        ("without a duration", row(""), 1, 0),
        ("all three", [row("1000"), row("60000"), row("")].concat(), 0, 3),
    ] {
        let said = bring(format!("{head}{rows}"));
        assert!(said.contains(&format!(" {learned} events learned, {known} known before")), "{name}: {said}");
    }
}

/// Writes files of a log, imports them with one command into a new store, and dumps the store.
async fn imported(format: Format, catalogue: &str, files: &[Vec<String>]) -> String {
    let place = tempfile::tempdir().unwrap();
    let config = Config::default();
    let now = Millis(1_800_000_000_000);
    let store: Arc<dyn Store> = Arc::new(Embedded::open(&place.path().join("data")).unwrap());
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let head = if format == Format::Events { "user,item,time,kind\n" } else { "" };
    let of_items = (!catalogue.is_empty()).then(|| (Format::Items, vec![write("items.csv", catalogue)]));
    let files = files.iter().enumerate();
    let logs = files.map(|(number, rows)| write(&format!("log{number}.txt"), &format!("{head}{}\n", rows.join("\n"))));
    for (format, paths) in of_items.into_iter().chain([(format, logs.collect())]) {
        let embedder = app::open_embedder(&config).unwrap();
        let loader = Box::pin(Loader::open(store.clone(), embedder, &config, now)).await.unwrap();
        let times = Times::from(TimeUnit::MILLIS);
        let live = LiveArgs::default();
        let options = import::Options {
            format,
            paths,
            columns: None,
            times,
            items_only: false,
            skip_unknown: false,
            live,
            dim: config.dim,
        };
        let brought = Box::pin(import::files(loader, options, now)).await.unwrap();
        assert_eq!((brought.unknown_items, brought.late), (0, 0), "{brought:?}");
    }
    let out = place.path().join("dump.jsonl");
    dump::dump(&*store, &out).await.unwrap();
    std::fs::read_to_string(out).unwrap()
}

/// A few users, posts and reactions, each at a time of its own; reactions may come before the post that they name.
fn activities() -> Vec<String> {
    let at = |n: i64| jiff::Timestamp::from_millisecond(1_700_000_000_000 + n * 7_200_000).unwrap().to_string();
    let mut rows = Vec::new();
    for n in 0..12 {
        let (who, topic) = (["ann", "bob", "cay"][n as usize % 3], ["boats", "bread"][n as usize % 2]);
        let post = json!({"actor": who, "verb": "post", "object": format!("p{n}"), "time": at(5 * n),
            "message": format!("{topic}, number {n}"), "topic": topic});
        // The clock of the reacting user may be behind that of the author.
        let likes = [("bob", "like", 5 * n + 2), ("cay", "click", 5 * n - 1), ("ann", "skip", 5 * n + 61)];
        rows.push(post);
        for (who, kind, when) in likes {
            rows.push(
                json!({"actor": who, "verb": "interact", "object": format!("p{n}"), "time": at(when), "kind": kind}),
            );
        }
    }
    rows.push(json!({"actor": "ann", "verb": "follow", "object": "bob", "time": at(23)}));
    rows.into_iter().map(|row| row.to_string()).collect()
}

/// Equal rows in any order, in one file or several, teach equally.
#[tokio::test]
async fn the_order_of_rows_changes_nothing_that_is_learned() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let items = "item,text,topic\na,about boats,boats\nb,about bread,bread\nc,about both,boats\n";
    let few: Vec<String> = [
        "u,a,2025-11-20T00:00:00Z,like",
        "u,b,2026-11-27T00:00:00Z,like",
        "v,b,2026-03-01T00:00:00Z,click",
        "u,c,2026-03-02T00:00:00Z,hide",
    ]
    .map(str::to_owned)
    .to_vec();
    let expected = imported(Format::Events, items, std::slice::from_ref(&few)).await;
    assert_eq!(expected.lines().filter(|line| line.starts_with(r#"{"entry""#)).count(), 4);
    for first in 0..4 {
        for second in (0..4).filter(|second| *second != first) {
            for third in (0..4).filter(|third| *third != first && *third != second) {
                let order = [first, second, third, 6 - first - second - third].map(|row| few[row].clone()).to_vec();
                let files = [order[..third].to_vec(), order[third..].to_vec()];
                assert!(imported(Format::Events, items, &files).await == expected, "{order:?}");
            }
        }
    }
    let mut rows = activities();
    let expected = imported(Format::Activities, "", &[rows.clone()]).await;
    let learned = expected.lines().filter(|line| line.starts_with(r#"{"entry""#)).count();
    assert_eq!(learned, rows.len(), "every row, also those before the post that they name");
    rows.reverse();
    for round in 0..6 {
        let cut = random.random_range(0..rows.len());
        let files = [rows[..cut].to_vec(), rows[cut..].to_vec()];
        assert!(imported(Format::Activities, "", &files).await == expected, "round {round}: {rows:?}");
        for place in (1..rows.len()).rev() {
            rows.swap(place, random.random_range(0..=place));
        }
    }
}

fn csv(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn rows_on_unknown_items_are_named_and_fail_the_command() {
    let place = tempfile::tempdir().unwrap();
    let store = store(place.path());
    let import = |format: &str, file: &str, more: &[&str]| {
        run(&[&["import", "--format", format, "--time-unit", "ms", "--store", &store, file], more].concat())
    };
    let items = csv(place.path(), "items.csv", "item,text\nknown,a text\n");
    let mut log = "user,item,time,kind\nada,known,2000,like\n".to_owned();
    for number in 0..14 {
        log += &format!("ada,gone-{number},{},like\nada,gone-0,{},click\n", 1_000 - number, 3_000 + number);
    }
    let log = csv(place.path(), "log.csv", &log);
    assert_eq!(import("items", &items, &[]).0, Some(0));
    let (status, said) = import("events", &log, &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("1 events learned") && said.contains("28 events on unknown items were not learned"),
        "{said}"
    );
    assert!(said.contains("gone-13 (1), gone-12 (1)") && said.contains("--skip-unknown"), "by time: {said}");
    assert!(said.contains("gone-4 (1)") && !said.contains("gone-3 "), "the first ten: {said}");
    let (status, said) = import("events", &log, &["--skip-unknown"]);
    assert!(status == Some(0) && said.contains("1 known before") && said.contains("gone-13 (1)"), "{said}");
    // Dropped events are learned once their items exist, and the output reports that they are late.
    let all: String = (0..14).map(|number| format!("gone-{number},a text\n")).collect();
    let items = csv(place.path(), "more.csv", &format!("item,text\n{all}"));
    assert_eq!(import("items", &items, &[]).0, Some(0));
    let (status, said) = import("events", &log, &[]);
    assert!(status == Some(0) && said.contains("28 events learned, 1 known before"), "{said}");
    assert!(said.contains("14 of them are older than events that their user had learned before"), "{said}");
}

/// An import that is stopped after any row can be continued, and ends in the state of an uninterrupted one.
#[test]
fn an_import_that_was_stopped_goes_on_where_it_stopped() {
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rows = activities();
    let learn = |place: &Path, rows: &[String]| {
        let log = csv(place, "log.jsonl", &rows.join("\n"));
        let (status, said) = run(&["import", "--format", "activities", "--store", &store(place), &log]);
        assert_eq!(status, Some(0), "{said}");
        said
    };
    learn(whole.path(), &rows);
    let time = |row: &String| serde_json::from_str::<Value>(row).unwrap()["time"].as_str().unwrap().to_owned();
    let mut sorted = rows.clone();
    sorted.sort_by_key(time);
    // Up to a row at which all posts named so far exist.
    learn(stopped.path(), &sorted[..24]);
    let said = learn(stopped.path(), &rows);
    assert!(said.contains("25 events learned, 24 known before") && !said.contains("older than"), "{said}");
    let at = "2026-11-28T00:00:00Z";
    let explained = |place: &Path| {
        let mut found = Vec::new();
        for who in ["ann", "bob", "cay"] {
            let out = place.join("explained.json");
            let explain =
                ["explain", "--user", who, "--at", at, "--store", &store(place), "--json", out.to_str().unwrap()];
            let (status, said) = run(&explain);
            assert_eq!(status, Some(0), "{said}");
            found.push(serde_json::from_slice::<Value>(&std::fs::read(out).unwrap()).unwrap());
        }
        found
    };
    for (whole, stopped) in explained(whole.path()).iter().zip(&explained(stopped.path())) {
        assert!(support::alike(&whole["topics"], &stopped["topics"]), "{whole}\n{stopped}");
    }
}
