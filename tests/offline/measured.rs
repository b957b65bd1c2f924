//! Measurements of simulated people: written, clustered, imported and served.

use crate::support;

use serde_json::{Value, json};
use support::{Server, run, store};

fn done(arguments: &[&str]) -> String {
    let (status, said) = run(arguments);
    assert_eq!(status, Some(0), "{arguments:?}: {said}");
    said
}

#[test]
fn simulated_measurements_are_four_groups_in_a_file_and_on_the_server() {
    let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for out in ["one", "two"] {
        done(&["simulate", "--metrics", "800", "--out", &path(out)]);
    }
    for name in ["groups.csv", "metrics.csv"] {
        let read = |out: &str| std::fs::read(path(&format!("{out}/{name}"))).unwrap();
        assert!(read("one") == read("two"), "equal seeds give equal bytes: {name}");
    }
    assert_eq!(run(&["simulate", "--metrics", "800", "--out", &path("one")]).0, Some(1), "no file is overwritten");
    let report = path("report.json");
    let (groups, metrics) = (path("one/groups.csv"), path("one/metrics.csv"));
    done(&["cluster", "--csv", &groups, "--columns", "post,channel", "--truth", "group", "--json", &report]);
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["clusters"].as_array().unwrap().len(), 4);
    assert!(report["ari"].as_f64().unwrap() > 0.8, "{}", report["ari"]);

    // An undeclared metric is refused before anything is stored, or ignored on request.
    let store = store(place.path());
    let import = ["import", "--format", "metrics", "--store", &store];
    let more = path("more.csv");
    std::fs::write(&more, "user,metric,value,time\nperson-1,clicks,3,1767571200\nperson-1,time_spent,3,1767571200\n")
        .unwrap();
    let (status, said) = run(&[&import[..], &[&more]].concat());
    assert!(status == Some(1) && said.contains("line 2") && said.contains("clicks"), "{said}");
    let said = done(&[&import[..], &[&metrics]].concat());
    assert!(said.contains(" 2400 events learned"), "{said}");
    let said = done(&[&import[..], &[&metrics]].concat());
    assert!(said.contains(" 0 events learned, 2400 known before"), "{said}");

    let columns = "[\"time_spent.post\", \"time_spent.channel\"]";
    let variables = [("EDDYLINE_CLUSTER__COLUMNS", columns), ("EDDYLINE_CLUSTER__THRESHOLD", "0")];
    let server = Server::start_with(place, &variables);
    let rest = server.rest();
    let outside = rest.get("/v1/metrics/time_spent/atypical?type=feed&sigmas=4").success("atypical").json();
    let mut far: Vec<&str> =
        outside["people"].as_array().unwrap().iter().map(|one| one["user"].as_str().unwrap()).collect();
    far.sort_unstable();
    assert_eq!(far, ["person-131", "person-17", "person-71"], "{outside}");
    let own = rest.get("/v1/users/person-17/metrics").success("metrics").json();
    let feed = own["metrics"].as_array().unwrap().iter().find(|one| one["type"] == "feed").unwrap();
    assert_eq!((&feed["atypical"], &feed["count"]), (&json!(true), &json!(1)), "{own}");
    rest.post("/v1/clusters/refit", &json!({})).success("refit");
    let begin = std::time::Instant::now();
    let found = loop {
        let found = rest.get("/v1/clusters").json();
        if found["clusters"].as_array().is_some_and(|clusters| !clusters.is_empty()) {
            break found;
        }
        assert!(begin.elapsed() < support::PATIENCE * 3, "no fit: {found}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert_eq!((found["clusters"].as_array().unwrap().len(), &found["people"]), (4, &json!(800)));

    let said = done_after(server, &store, &[&import[..], &["--skip-unknown", &more]].concat());
    assert!(said.contains("1 measurements of undeclared metrics or types were ignored"), "{said}");
}

/// Ends the server, so that a command can open its store.
fn done_after(server: Server, store: &str, arguments: &[&str]) -> String {
    let _place = server.kill();
    assert!(arguments.contains(&store));
    done(arguments)
}
