//! Clusterings side by side: the order and the triggers of their fits in the engine, and the resources of a real server.
//!
//! Invariant under test: one fit runs at a time, the longest waiting first. Settings, names and fits survive a kill.

use crate::population::{self, journalled};
use crate::support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::domain::clusterings::{ClusterName, ClusteringChange};
use eddyline::domain::ids::{Key, Position};
use eddyline::domain::journal::Entry;
use eddyline::domain::metrics::Declaration;
use eddyline::domain::time::Millis;
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Effect};
use eddyline::engine::population::clusterings::{ClusteringEdit, ClusteringStatus};
use eddyline::engine::population::refit::{Clustering, RefitTask, Refused, RestoredFit};
use eddyline::engine::settings::{ClusterSettings, LearnSettings, Points};
use serde_json::{Value, json};
use support::rest::Rest;
use support::{PATIENCE, Server};
use tempfile::TempDir;

const DIM: usize = 4;

fn options(columns: &[&str]) -> ClusterSettings {
    let columns = columns.iter().map(|&name| name.into()).collect();
    ClusterSettings { columns, threshold: 0, interval_s: 1, restarts: 1, ..ClusterSettings::default() }
}

fn entry(user: u32, seq: u64, seconds: f64) -> Entry {
    population::entry(user, seq, "post", seconds)
}

/// A state with three measured users.
fn state(cluster: ClusterSettings, others: &[(&str, ClusterSettings)]) -> CoordinatorState {
    let clusterings = others.iter().map(|(name, settings)| ((*name).to_owned(), settings.clone())).collect();
    let settings = LearnSettings { cluster, clusterings, ..LearnSettings::default() };
    let mut state = CoordinatorState::new(DIM, Arc::new(settings));
    journalled(&mut state, &[entry(0, 1, 3.0), entry(1, 1, 4.0), entry(2, 1, 50.0)]);
    state
}

fn task(effects: Vec<Effect>) -> Option<Arc<RefitTask>> {
    effects.into_iter().find_map(|effect| if let Effect::RefitTask(task) = effect { Some(task) } else { None })
}

fn look(state: &mut CoordinatorState, asked: Option<&str>, at: i64) -> Option<Arc<RefitTask>> {
    task(state.apply(CoordinatorEvent::Refit { asked: asked.map(str::to_owned) }, Millis(at)))
}

fn finish(state: &mut CoordinatorState, task: &RefitTask, at: i64) -> Vec<Effect> {
    let rows = task.rows();
    let fit = task.problem(&rows).unwrap().solve().unwrap();
    let (clustering, fit) = (task.name.clone(), Some(Box::new(task.clustering(rows, fit))));
    state.apply(CoordinatorEvent::RefitDone { clustering, epoch: task.epoch, fit }, Millis(at))
}

fn status(state: &mut CoordinatorState, name: &str) -> ClusteringStatus {
    state.clusterings(Some(name), Millis(0)).pop().unwrap()
}

#[test]
fn one_fit_runs_at_a_time_and_the_longest_waiting_comes_first() {
    let columns = options(&["time_spent.post"]);
    let mut state = state(columns.clone(), &[("a", columns.clone()), ("b", columns)]);
    let first = look(&mut state, Some("b"), 10_000).unwrap();
    assert_eq!(first.name, "b");
    // Both others wait; `default` was asked for first.
    assert!(look(&mut state, Some("default"), 11_000).is_none() && look(&mut state, Some("a"), 12_000).is_none());
    assert!(look(&mut state, Some("b"), 13_000).is_none());
    assert_eq!(status(&mut state, "b").under_way.map(|under_way| under_way.epoch), Some(1));
    finish(&mut state, &first, 14_000);
    for (name, at) in [("default", 14_000), ("a", 15_000), ("b", 16_000)] {
        let next = look(&mut state, None, at).unwrap();
        assert_eq!(next.name, name);
        finish(&mut state, &next, at);
    }
    assert!(look(&mut state, None, 60_000).is_none());
    let fitted = state.world().clusterings().iter().filter(|(_, one)| one.fit.is_some()).count();
    assert_eq!((fitted, state.world().clusters().unwrap().summary.people), (3, 3));
}

#[test]
fn each_clustering_counts_by_its_own_points() {
    let none = |threshold| ClusterSettings { threshold, ..options(&["time_spent.post"]) };
    let points = |measured, new_person| Points { measured, new_person, metrics: BTreeMap::new() };
    let by_metric = |count| Points { metrics: [("time_spent".to_owned(), count)].into(), ..points(7, 0) };
    let others = [
        ("people", ClusterSettings { points: points(0, 1), ..none(4) }),
        ("measured", ClusterSettings { points: points(3, 0), ..none(12) }),
        ("by-metric", ClusterSettings { points: by_metric(4), ..none(0) }),
    ];
    let mut state = state(none(0), &others);
    assert!(look(&mut state, None, 1_000).is_none());
    let counters =
        |state: &mut CoordinatorState| ["default", "measured", "people"].map(|name| status(state, name).counter);
    assert_eq!(counters(&mut state), [18, 9, 3], "3 users and 3 measurements");
    assert_eq!(status(&mut state, "by-metric").counter, 12, "3 measurements of the named metric");
    journalled(&mut state, &[entry(2, 2, 50.0)]);
    let due = look(&mut state, None, 2_000).unwrap();
    assert_eq!((due.name.as_str(), counters(&mut state)), ("measured", [19, 0, 3]));
    finish(&mut state, &due, 2_000);
    journalled(&mut state, &[entry(3, 1, 50.0)]);
    assert_eq!(look(&mut state, None, 3_000).unwrap().name, "people");
    assert_eq!(counters(&mut state), [25, 3, 0]);
}

/// A state after a restart: from a snapshot, or without one by a fold of the whole journal; fits come from the store.
fn restarted(
    before: &CoordinatorState,
    entries: &[Entry],
    snapshot: Option<&[u8]>,
    fits: &[Clustering],
) -> CoordinatorState {
    let mut state = CoordinatorState::new(DIM, Arc::new(before.world().settings().clone()));
    match snapshot {
        Some(bytes) => state.restore(bytes, Millis(9_000)).unwrap(),
        None => journalled(&mut state, entries),
    }
    for fit in fits {
        let members = fit.users.iter().copied().zip(fit.members.iter().copied()).collect();
        let text = serde_json::to_string(&fit.summary).unwrap();
        let summary = serde_json::from_str(&text).unwrap();
        let kept = RestoredFit { summary, state: fit.state.clone(), members: Some(members), previous: None };
        state.restore_fit("default", kept, Millis(9_000));
    }
    state
}

/// Points that were counted before a restart count after it, and those before the last fit do not count again.
#[test]
fn the_counters_survive_a_restart() {
    let columns = ClusterSettings { threshold: 100_000, ..options(&["time_spent.post"]) };
    let mut state = state(columns.clone(), &[("unfitted", columns)]);
    let mut entries = vec![entry(0, 1, 3.0), entry(1, 1, 4.0), entry(2, 1, 50.0)];
    let counters = |state: &mut CoordinatorState| ["default", "unfitted"].map(|name| status(state, name).counter);
    let unfitted = counters(&mut state);
    for snapshot in [Some(state.to_bytes()), None] {
        assert_eq!(counters(&mut restarted(&state, &entries, snapshot.as_deref(), &[])), unfitted, "before a fit");
    }
    let due = look(&mut state, Some("default"), 1_000).unwrap();
    finish(&mut state, &due, 1_000);
    let early = state.to_bytes();
    let fit = status(&mut state, "default").published.fit.unwrap();
    let later = [entry(2, 2, 50.0), entry(3, 1, 50.0)];
    journalled(&mut state, &later);
    entries.extend(later.clone());
    let expected = counters(&mut state);
    assert!(expected[0] > 0 && expected[0] < expected[1], "{expected:?}");
    for snapshot in [Some(state.to_bytes()), None] {
        assert_eq!(
            counters(&mut restarted(&state, &entries, snapshot.as_deref(), &[(*fit).clone()])),
            expected,
            "after a fit"
        );
    }
    // A snapshot of before the later entries: these are folded after it.
    let mut again = restarted(&state, &[], Some(&early), &[]);
    journalled(&mut again, &later);
    let members = fit.users.iter().copied().zip(fit.members.iter().copied()).collect();
    let kept =
        RestoredFit { summary: fit.summary.clone(), state: fit.state.clone(), members: Some(members), previous: None };
    again.restore_fit("default", kept, Millis(9_000));
    assert_eq!(counters(&mut again), expected, "a snapshot from between");
}

/// People and values that came by an import count before the first fit.
#[test]
fn imported_values_start_the_first_fit() {
    let columns = ClusterSettings { threshold: 10, ..options(&["time_spent.post"]) };
    let imported = self::state(columns, &[]);
    let mut started = restarted(&imported, &[entry(0, 1, 3.0), entry(1, 1, 4.0), entry(2, 1, 50.0)], None, &[]);
    assert_eq!(look(&mut started, None, 1_000).map(|task| task.name.clone()), Some("default".into()));
}

#[test]
fn a_scheduled_fit_runs_only_above_its_number_of_points() {
    let above = ClusterSettings { schedule_above: Some(20), ..options(&["time_spent.post"]) };
    let mut state = state(above, &[("always", options(&["time_spent.post"]))]);
    let scheduled = |state: &mut CoordinatorState, name: &str, at| {
        task(state.apply(CoordinatorEvent::RefitScheduled(name.into()), Millis(at))).map(|task| task.name.clone())
    };
    assert_eq!(scheduled(&mut state, "default", 1_000), None, "18 points of 20");
    assert_eq!(scheduled(&mut state, "always", 2_000), Some("always".into()));
    let mut state = self::state(ClusterSettings { schedule_above: Some(18), ..options(&["time_spent.post"]) }, &[]);
    assert_eq!(scheduled(&mut state, "default", 1_000), Some("default".into()));
}

#[test]
fn a_column_that_is_not_declared_is_said_once_and_the_request_stays() {
    let mut state = state(options(&["mood"]), &[("good", options(&["time_spent"]))]);
    let effects = state.apply(CoordinatorEvent::Refit { asked: Some("default".into()) }, Millis(1_000));
    let why = Refused::Undeclared("mood".into());
    assert!(
        matches!(&effects[..], [Effect::RefitRefused(name, found)] if name == "default" && *found == why),
        "{effects:?}"
    );
    assert!(state.apply(CoordinatorEvent::Refit { asked: None }, Millis(2_000)).is_empty(), "once");
    assert_eq!(status(&mut state, "default").refused, Some(why));
    assert_eq!(
        (status(&mut state, "good").refused, look(&mut state, Some("good"), 3_000).unwrap().name.as_str()),
        (None, "good")
    );
    state.apply(CoordinatorEvent::Declare(Key::new("mood").unwrap(), Some(Declaration::default())), Millis(4_000));
    assert_eq!(status(&mut state, "default").refused, Some(Refused::TooFew));
}

#[test]
fn topic_columns_wait_for_a_new_fold() {
    let mut state = state(options(&["time_spent.post"]), &[]);
    let set = |columns: &[&str]| {
        CoordinatorEvent::Clustering(ClusteringEdit::Set("topics".into(), Box::new(options(columns))))
    };
    let bytes = state.to_bytes();
    state.apply(set(&["topic.sea", "time_spent.post"]), Millis(1_000));
    assert!(state.lacks_columns());
    assert_eq!(status(&mut state, "topics").refused, Some(Refused::Topics));
    assert!(look(&mut state, None, 2_000).is_none() && look(&mut state, Some("default"), 2_000).is_some());
    // A snapshot without topic weights does not fit these settings.
    assert!(state.clone().restore(&bytes, Millis(0)).is_err());
    let mut refold = state.refold();
    for (n, entry) in [entry(0, 1, 3.0), entry(1, 1, 4.0), entry(2, 1, 50.0)].iter().enumerate() {
        refold.fold(Position(n as u64 + 1), entry);
    }
    state.take_over(refold);
    assert!(!state.lacks_columns() && status(&mut state, "topics").refused.is_none());
    // Without a topic column, more than needed is kept, and its snapshot fits.
    state.apply(set(&["time_spent.post"]), Millis(3_000));
    let bytes = state.to_bytes();
    state.restore(&bytes, Millis(0)).unwrap();
}

#[test]
fn a_deleted_clustering_takes_its_fit_with_it_and_one_of_the_configuration_is_reset() {
    let mut state = state(options(&["time_spent.post"]), &[("fixed", options(&["time_spent"]))]);
    let edit = |state: &mut CoordinatorState, edit: ClusteringEdit| {
        let effects = state.apply(CoordinatorEvent::Clustering(edit), Millis(5_000));
        effects
            .into_iter()
            .find_map(|effect| if let Effect::KeepClustering(change) = effect { Some(change) } else { None })
    };
    let set = |name: &str, columns: &[&str]| ClusteringEdit::Set(name.into(), Box::new(options(columns)));
    assert!(
        matches!(edit(&mut state, set("new", &["time_spent"])), Some(ClusteringChange::Revise(one)) if one.revision == 1)
    );
    assert_eq!(edit(&mut state, set("new", &["time_spent"])), None, "a repeated request adds no revision");
    let begun = look(&mut state, None, 6_000).expect("a new clustering is fitted at once");
    assert_eq!(edit(&mut state, ClusteringEdit::Remove("new".into())), Some(ClusteringChange::Delete("new".into())));
    edit(&mut state, set("new", &["time_spent.post"]));
    assert!(look(&mut state, None, 7_000).is_none(), "the fit of the deleted one still runs");
    assert!(finish(&mut state, &begun, 8_000).is_empty(), "its result is dropped");
    let again = look(&mut state, None, 9_000).unwrap();
    assert_eq!((again.name.as_str(), again.epoch), ("new", 1));
    finish(&mut state, &again, 9_000);
    // Names are unique within a clustering, and follow the number.
    let name = |clustering: &str, cluster, name: &str| {
        ClusteringEdit::Name(ClusterName { clustering: clustering.into(), cluster, name: name.into() })
    };
    assert!(edit(&mut state, name("new", 0, "night")).is_some());
    assert_eq!(edit(&mut state, name("new", 1, "night")), None);
    assert!(edit(&mut state, name("fixed", 0, "night")).is_some());
    edit(&mut state, set("fixed", &["visits"]));
    assert_eq!(status(&mut state, "fixed").settings.columns, ["visits"]);
    assert_eq!(edit(&mut state, ClusteringEdit::Remove("fixed".into())), Some(ClusteringChange::Reset("fixed".into())));
    let fixed = status(&mut state, "fixed");
    assert_eq!((fixed.settings.columns, fixed.revision), (vec!["time_spent".to_owned()], 0));
    assert_eq!(fixed.published.names.get(&0).map(String::as_str), Some("night"));
    for n in 0..20 {
        edit(&mut state, set(&format!("more-{n}"), &["time_spent"]));
    }
    assert_eq!(state.clusterings(None, Millis(0)).len(), 16);
}

#[test]
fn other_columns_give_new_numbers() {
    let mut state = state(options(&["time_spent.post"]), &[]);
    let first = look(&mut state, Some("default"), 1_000).unwrap();
    finish(&mut state, &first, 1_000);
    let numbers = |state: &CoordinatorState| -> Vec<u32> {
        state.world().clusters().unwrap().summary.clusters.iter().map(|cluster| cluster.id).collect()
    };
    let before = numbers(&state);
    let other = ClusteringEdit::Set("default".into(), Box::new(options(&["time_spent"])));
    state.apply(CoordinatorEvent::Clustering(other), Millis(3_000));
    assert_eq!(numbers(&state), before, "the old clusters stay until the fit");
    let second = look(&mut state, None, 4_000).expect("asked for at once");
    finish(&mut state, &second, 4_000);
    assert!(numbers(&state).iter().all(|id| !before.contains(id)), "{before:?} {:?}", numbers(&state));
    // Settings that change no fit ask for none.
    let threshold =
        ClusteringEdit::Set("default".into(), Box::new(ClusterSettings { threshold: 9, ..options(&["time_spent"]) }));
    state.apply(CoordinatorEvent::Clustering(threshold), Millis(6_000));
    assert!(look(&mut state, None, 7_000).is_none());
}

// ---- on a real server ----

fn wait(rest: &Rest, path: &str, until: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let found = rest.get(path).success(path).json();
        if until(&found) {
            return found;
        }
        assert!(begin.elapsed() < 3 * PATIENCE, "{path}: {found}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Two groups by the time on posts, and three by the time on channels.
fn two_and_three(server: &Server) {
    let rest = server.rest();
    let noise = |n: usize| ((n * 7_919) % 101) as f64 / 101.0;
    for n in 0..90 {
        rest.put(&format!("/v1/users/p{n}"), &json!({})).success("a user");
        let (post, channel) = ([10.0, 60.0][n % 2], [10.0, 60.0, 120.0][n % 3]);
        let body = json!([
            {"metric": "time_spent", "type": "post", "value": post + 4.0 * noise(n), "id": "a"},
            {"metric": "time_spent", "type": "channel", "value": channel + 4.0 * noise(3 * n + 1), "id": "b"},
        ]);
        rest.post(&format!("/v1/metrics?user=p{n}"), &body).success("measure");
    }
}

const BY_HAND: [(&str, &str); 4] = [
    ("EDDYLINE_CLUSTER__THRESHOLD", "0"),
    ("EDDYLINE_CLUSTER__INTERVAL_S", "1"),
    ("EDDYLINE_CLUSTER__COLUMNS", "[\"time_spent.post\"]"),
    ("EDDYLINE_CLUSTERINGS__FIXED__THRESHOLD", "0"),
];

#[test]
fn two_clusterings_fit_side_by_side_and_survive_a_kill() {
    let server = Server::start_with(TempDir::new().unwrap(), &BY_HAND);
    two_and_three(&server);
    let rest = server.rest();
    let names = |rest: &Rest| -> Vec<String> {
        let all = rest.get("/v1/clusterings").success("all").json();
        all["clusterings"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&rest), ["default", "fixed"]);
    let before = rest.get("/v1/clusterings/default").success("one").json();
    assert_eq!((&before["fit"], &before["revision"], &before["changed_at"]), (&Value::Null, &json!(0), &Value::Null));
    assert_eq!(before["settings"]["columns"], json!(["time_spent.post"]));
    assert!(before["settings"].get("threads").is_none() && before["settings"].get("people_max").is_none());

    let settings = json!({"columns": ["time_spent.channel"], "threshold": 0, "interval_s": 1, "schedule": "0 3 * * *"});
    let made = rest.put("/v1/clusterings/channels", &settings);
    assert_eq!((made.status, &made.json()["revision"]), (201, &json!(1)), "{}", made.body);
    assert!(made.json()["next"].as_i64().unwrap() > made.json()["changed_at"].as_i64().unwrap());
    assert_eq!(rest.post("/v1/clusterings/default/refit", &json!({})).status, 202);
    let channels = wait(&rest, "/v1/clusterings/channels", |one| one["epoch"] == 1);
    let default = wait(&rest, "/v1/clusterings/default", |one| one["epoch"] == 1);
    assert_eq!((&channels["clusters"], &default["clusters"]), (&json!(3), &json!(2)), "{channels} {default}");
    assert_eq!(rest.get("/v1/clusters").json()["clusters"], default["fit"]["clusters"], "the alias");
    assert!(channels["fit"]["seconds"].as_f64().unwrap() > 0.0 && channels["under_way"].is_null());
    let begin = Instant::now();
    while !server.log().contains("clusters were fitted") {
        assert!(begin.elapsed() < PATIENCE, "{}", server.log());
    }

    // Names, and the clusters of a user.
    let mine = |rest: &Rest| rest.get("/v1/users/p0/clusters").success("mine").json()["clusters"].clone();
    let of_p0 = mine(&rest);
    assert_eq!((&of_p0[0]["clustering"], &of_p0[1]["clustering"]), (&json!("default"), &json!("channels")));
    let id = of_p0[1]["id"].as_u64().unwrap();
    let path = format!("/v1/clusterings/channels/names/{id}");
    assert_eq!(rest.put(&path, &json!({"name": "night readers"})).status, 200);
    assert_eq!(mine(&rest)[1]["name"], "night readers");
    let listed = rest.get(&format!("/v1/users?clustering=channels&cluster={id}&limit=1000")).success("members").json();
    assert_eq!(listed["users"].as_array().unwrap().len(), 30);
    let other = (id + 1) % 3;
    let taken = rest.put(&format!("/v1/clusterings/channels/names/{other}"), &json!({"name": "night readers"}));
    assert_eq!((taken.status, taken.fields()), (422, vec!["name".to_owned()]), "{}", taken.body);
    assert_eq!(
        rest.put(&format!("/v1/clusterings/default/names/{}", of_p0[0]["id"]), &json!({"name": "x"})).status,
        200
    );

    // Revisions: the newest one holds, and both are in the history.
    let changed = json!({"columns": ["time_spent.channel"], "threshold": 500, "interval_s": 1});
    let answer = rest.put("/v1/clusterings/channels", &changed);
    assert_eq!((answer.status, &answer.json()["revision"]), (200, &json!(2)));
    let history = rest.get("/v1/clusterings/channels/history").success("history").json();
    let revisions: Vec<&Value> =
        history["revisions"].as_array().unwrap().iter().map(|one| &one["settings"]["threshold"]).collect();
    assert_eq!((revisions, history["fits"].as_array().unwrap().len()), (vec![&json!(500), &json!(0)], 1));

    // Killed at once: settings, names and fits are there, and a refit moves no name.
    wait(&rest, "/v1/clusterings/channels", |one| one["under_way"].is_null());
    std::thread::sleep(Duration::from_millis(500));
    let server = Server::start_with(server.kill(), &BY_HAND);
    let rest = server.rest();
    assert_eq!(names(&rest), ["default", "channels", "fixed"]);
    let after = rest.get("/v1/clusterings/channels").success("one").json();
    assert_eq!(
        (&after["threshold"], &after["revision"], &after["fit"]),
        (&json!(500), &json!(2), &rest.get("/v1/clusterings/channels").json()["fit"])
    );
    assert_eq!(after["fit"]["clusters"], {
        let mut clusters = channels["fit"]["clusters"].clone();
        for cluster in clusters.as_array_mut().unwrap() {
            cluster["name"] = if cluster["id"] == id { json!("night readers") } else { Value::Null };
        }
        clusters
    });
    rest.post("/v1/clusterings/channels/refit", &json!({})).success("refit");
    let again = wait(&rest, "/v1/clusterings/channels", |one| one["epoch"] == 2);
    assert_eq!((&again["fit"]["clusters"], &again["fit"]["moved"]), (&after["fit"]["clusters"], &json!(0)));
    assert_eq!(mine(&rest)[1]["name"], "night readers");
    assert_eq!(rest.delete(&path).status, 204);
    assert_eq!((mine(&rest)[1]["name"].clone(), rest.delete(&path).status), (Value::Null, 404));

    // Figures.
    let figures = rest.get("/v1/figures").success("figures").json();
    assert_eq!(figures["clusterings"][1]["clusters"], 3, "{figures}");
    assert!(rest.get("/metrics").body.contains("eddyline_clustering_clusters{clustering=\"channels\"} 3"));

    // Deleted with its fits; `default` is reset.
    assert_eq!(rest.delete("/v1/clusterings/channels").status, 204);
    assert_eq!(
        (rest.get("/v1/clusterings/channels").status, names(&rest)),
        (404, vec!["default".into(), "fixed".into()])
    );
    rest.put("/v1/clusterings/default", &json!({"columns": ["visits"]})).success("change");
    let reset = rest.delete("/v1/clusterings/default");
    assert_eq!(
        (reset.status, &reset.json()["settings"]["columns"]),
        (200, &json!(["time_spent.post"])),
        "{}",
        reset.body
    );
    let server = Server::start_with(server.kill(), &BY_HAND);
    let rest = server.rest();
    assert_eq!(names(&rest), ["default", "fixed"]);
    assert_eq!(rest.put("/v1/clusterings/channels", &settings).status, 201);
    let fresh = wait(&rest, "/v1/clusterings/channels", |one| !one["epoch"].is_null());
    assert_eq!((&fresh["epoch"], &fresh["revision"]), (&json!(1), &json!(1)), "nothing is left of the deleted one");
}

#[test]
fn topic_columns_are_fitted_after_the_journal_was_folded_again() {
    let server = Server::start_with(TempDir::new().unwrap(), &BY_HAND);
    let rest = server.rest();
    rest.put("/v1/items/a", &json!({"text": "a", "topics": ["sea"]})).success("an item");
    for n in 0..6 {
        rest.put(&format!("/v1/users/p{n}"), &json!({})).success("a user");
        rest.ask(
            "PATCH",
            &format!("/v1/users/p{n}/model"),
            None,
            Some(&json!({"topics": {"sea": 0.1 + 0.1 * f64::from(n)}})),
        );
    }
    for n in 0..6 {
        let like = json!({"user": format!("p{n}"), "id": format!("l{n}"), "item": "a", "kind": "like"});
        rest.post("/v1/interactions", &like).success("like");
    }
    rest.put("/v1/clusterings/topics", &json!({"columns": ["topic.sea"], "threshold": 0})).success("made");
    let fitted = wait(&rest, "/v1/clusterings/topics", |one| one["epoch"] == 1);
    assert_eq!((&fitted["people"], &fitted["refused"]), (&json!(6), &Value::Null), "{fitted}");
    assert!(server.log().contains("folded again for the columns"), "{}", server.log());
}

/// Of two requests at once that name two clusters alike, one stores the name, and the other is refused.
#[test]
fn a_name_goes_to_one_of_two_clusters_that_are_named_at_once() {
    let server = Server::start_with(TempDir::new().unwrap(), &BY_HAND);
    two_and_three(&server);
    let rest = server.rest();
    rest.post("/v1/clusterings/default/refit", &json!({})).success("refit");
    let fitted = wait(&rest, "/v1/clusterings/default", |one| one["epoch"] == 1);
    let ids: Vec<u64> =
        fitted["fit"]["clusters"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    for round in 0..20 {
        let name = format!("readers {round}");
        let put = |id: &u64| {
            let answer = rest.put(&format!("/v1/clusterings/default/names/{id}"), &json!({"name": name}));
            (*id, answer.status, answer.fields())
        };
        let answers = std::thread::scope(|scope| {
            let both: Vec<_> = ids.iter().map(|id| scope.spawn(move || put(id))).collect();
            both.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        let stored: Vec<u64> = answers.iter().filter(|one| one.1 == 200).map(|one| one.0).collect();
        assert!(
            answers.iter().all(|one| one.1 == 200 || (one.1, &one.2) == (422, &vec!["name".to_owned()])),
            "{answers:?}"
        );
        let found = rest.get("/v1/clusterings/default").success("one").json();
        let named: Vec<u64> = found["fit"]["clusters"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["name"] == name.as_str())
            .map(|one| one["id"].as_u64().unwrap())
            .collect();
        assert_eq!(stored, named, "round {round}: {answers:?}");
    }
}

/// The page reads from the server whether a request waits, so it need not remember one.
#[test]
fn a_request_is_visible_until_its_fit_begins() {
    let columns = options(&["time_spent.post"]);
    let mut state = state(columns.clone(), &[("a", columns)]);
    let first = look(&mut state, Some("default"), 10_000).unwrap();
    assert!(look(&mut state, Some("a"), 11_000).is_none(), "one at a time");
    assert_eq!((status(&mut state, "default").requested, status(&mut state, "a").requested), (false, true));
    finish(&mut state, &first, 12_000);
    assert!(look(&mut state, None, 12_000).is_some() && !status(&mut state, "a").requested);
    assert_eq!(state.clusterings(Some("none"), Millis(0)).len(), 0);
}

#[test]
fn what_cannot_be_used_is_refused_by_its_field() {
    let server = Server::start_with(TempDir::new().unwrap(), &BY_HAND);
    let rest = server.rest();
    for (path, body, status, field) in [
        ("a", json!({"columns": ["clicks"]}), 422, "columns"),
        ("a", json!({"columns": []}), 422, "columns"),
        ("a", json!({"components": 101}), 422, "components"),
        ("a", json!({"restarts": 0}), 422, "restarts"),
        ("a", json!({"scaling": "wide"}), 400, "scaling"),
        ("a", json!({"kind": "round"}), 400, "kind"),
        ("a", json!({"kind": null}), 400, "kind"),
        ("a", json!({"noise": []}), 400, "noise"),
        ("a", json!({"colour": 1}), 400, "colour"),
        ("a", json!({"threads": 2}), 400, "threads"),
        ("a", json!({"people_max": 200}), 400, "people_max"),
        ("a", json!({"schedule": "now and then"}), 422, "schedule"),
        ("a", json!({"schedule": "@daily"}), 422, "schedule"),
        ("a", json!({"schedule_above": 3}), 422, "schedule_above"),
        ("a", json!({"points": {"measured": 1_000_001}}), 422, "points.measured"),
        ("a", json!({"points": {"new_person": 1_000_001}}), 422, "points.new_person"),
        ("a", json!({"points": {"metrics": {"time_spent": 1_000_001}}}), 422, "points.metrics.time_spent"),
        ("a", json!({"points": {"metrics": {"nothing": 1}}}), 422, "points.metrics.nothing"),
        ("a", json!({"prior": {"concentration": 0}}), 422, "prior.concentration"),
        ("a", json!({"prior": {"noise_share": 0.5}}), 422, "prior.noise_share"),
        ("a", json!({"interval_s": 0}), 422, "interval_s"),
        ("a.b", json!({}), 422, "name"),
        ("%20", json!({}), 422, "name"),
        ("user", json!({}), 422, "name"),
        ("a?x=1", json!({}), 400, "x"),
    ] {
        let answer = rest.put(&format!("/v1/clusterings/{path}"), &body);
        assert_eq!(
            (answer.status, answer.fields()),
            (status, vec![field.to_owned()]),
            "{path} {body}: {}",
            answer.body
        );
    }
    for (body, message) in [
        (json!({"kind": null}), "must be one of gaussian, student-t, is null"),
        (json!({"points": 3}), "must be an object, is integer `3`"),
        (json!({"foo": 1}), "`noise`, `prior`"),
    ] {
        let answer = rest.put("/v1/clusterings/a", &body);
        assert!(answer.body.contains(message) && !answer.body.contains("threads"), "{body}: {}", answer.body);
    }
    for (method, path, body, status, field) in [
        ("GET", "/v1/clusterings/none", None, 404, "name"),
        ("DELETE", "/v1/clusterings/none", None, 404, "name"),
        ("POST", "/v1/clusterings/none/refit", None, 404, "name"),
        ("GET", "/v1/clusterings/none/history", None, 404, "name"),
        ("GET", "/v1/clusterings/default/history?limit=101", None, 422, "limit"),
        ("GET", "/v1/users?clustering=none&cluster=1", None, 404, "clustering"),
        ("PUT", "/v1/clusterings/default/names/7", Some(json!({"name": "x"})), 404, "cluster"),
        ("PUT", "/v1/clusterings/default/names/x", Some(json!({"name": "x"})), 400, "cluster"),
        ("PUT", "/v1/clusterings/default/names/0", Some(json!({"name": ""})), 422, "name"),
        ("PUT", "/v1/clusterings/default/names/0", Some(json!({"name": "a\nb"})), 422, "name"),
    ] {
        let answer = rest.ask(method, path, None, body.as_ref());
        assert_eq!(
            (answer.status, answer.fields()),
            (status, vec![field.to_owned()]),
            "{method} {path}: {}",
            answer.body
        );
    }
    // A metric keeps the types that a clustering reads.
    rest.put("/v1/clusterings/pages", &json!({"columns": ["time_spent.feed"]})).success("made");
    let answer = rest.put("/v1/metrics/time_spent", &json!({"types": ["post"]}));
    assert_eq!((answer.status, answer.fields()), (422, vec!["types".to_owned()]), "{}", answer.body);
    for n in 0..13 {
        assert_eq!(rest.put(&format!("/v1/clusterings/c{n}"), &json!({})).status, 201, "{n}");
    }
    let answer = rest.put("/v1/clusterings/c13", &json!({}));
    assert_eq!((answer.status, answer.fields()), (422, vec!["name".to_owned()]), "{}", answer.body);
    assert_eq!(rest.put("/v1/clusterings/c5", &json!({"threshold": 3})).status, 200, "changing one is no new one");
    let (status, said) = support::run(&["clusterings", "list", "--url", &format!("http://{}", server.address())]);
    assert!(status == Some(0) && said.contains("c5"), "{said}");
}
