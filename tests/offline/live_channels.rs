//! Import of live viewing.
//!
//! Invariant under test: rows become channels with windows, and visits; equal files change nothing; a served store recommends.

use std::path::Path;
use std::sync::Arc;

use eddyline::app;
use eddyline::commands::dump;
use eddyline::commands::loader::Loader;
use eddyline::config::Config;
use eddyline::domain::time::Millis;
use eddyline::simulate::viewing::{Viewing, ViewingSize};
use eddyline::store::Store;
use eddyline::store::embedded::Embedded;
use eddyline_offline::import::{self, Format};
use eddyline_offline::live_channels::LiveArgs;
use eddyline_replay::formats::time::{TimeUnit, Times};

use crate::support;
use support::{Server, run, store};

/// Rows of three users at three channels: `b` is on air in the last step, and two rows of user 1 are equal.
const ROWS: &str = "1,s1,a,0,2\n1,s2,a,0,2\n1,s3,b,8,9\n1,s3,b,8,9\n2,s1,a,1,4\n2,s3,b,8,10\n3,s4,c,5,6\n";

fn import(folder: &Path, place: &str, rows: &str, more: &[&str]) -> (Option<i32>, String) {
    let file = folder.join("viewing.csv");
    std::fs::write(&file, rows).unwrap();
    let arguments = ["import", "--format", "live-intervals", "--store", place, file.to_str().unwrap()];
    run(&[&arguments[..], more].concat())
}

/// Two rows of one step differ in their streams, and two are equal: all of them are visits of their own.
#[test]
fn repeated_visits_of_a_step_are_kept_apart_and_a_second_import_changes_nothing() {
    let (folder, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = store(directory.path());
    let (status, said) = import(folder.path(), &place, ROWS, &[]);
    let counts = "3 windows of 3 items, 3 items, 7 events learned, 0 known before";
    assert!(status == Some(0) && said.contains(counts), "{said}");
    let (status, said) = import(folder.path(), &place, ROWS, &[]);
    assert!(status == Some(0) && said.contains("0 items, 0 events learned, 7 known before"), "{said}");
    let (status, said) = run(&["db", "check", "--store", &place]);
    assert!(status == Some(0) && said.contains(" 0 wrong"), "{said}");
}

/// The channel of the last step stays on air, so a server recommends it, also with the log's own time in 1970.
#[test]
fn a_served_log_recommends_the_channels_that_are_on_air() {
    for (more, expected) in [(&[][..], &["b"][..]), (&["--close-windows"], &[])] {
        let (folder, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = store(directory.path());
        let (status, said) = import(folder.path(), &place, ROWS, more);
        assert!(status == Some(0) && said.contains("the last visit begins at 1970-01-01T01:20:00Z"), "{said}");
        let server = Server::start(directory);
        assert_eq!(server.rest().feed("1", "ranking=model"), expected, "{more:?}");
        let ids: Vec<String> =
            server.rest().history("1").iter().filter_map(|event| Some(event["id"].as_str()?.to_owned())).collect();
        for id in ["s1/a/0-2", "s2/a/0-2", "s3/b/8-9", "s3/b/8-9/2"] {
            assert!(ids.iter().any(|own| own == id), "{id} in {ids:?}");
        }
    }
}

/// Counted by hand: 12 steps of presence are two hours, and the largest stop is 10.
#[test]
fn a_replay_prints_the_table_of_the_data_and_plots_reward_and_loss_per_step() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("viewing.csv"), folder.path().join("page.html"));
    std::fs::write(&file, ROWS).unwrap();
    let arguments = ["replay", "--format", "live-intervals", "--test-last", "5", "--html", page.to_str().unwrap()];
    let (status, said) = run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(status, Some(0), "{said}");
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = lines.iter().position(|line| line.first() == Some(&"rows")).unwrap();
    assert_eq!(lines[head], ["rows", "users", "channels", "streams", "steps", "watch", "hours"]);
    assert_eq!(lines[head + 1], ["7", "3", "3", "4", "10", "2.0"]);
    let page = std::fs::read_to_string(page).unwrap();
    for title in ["<h2>Reward per step</h2>", "<h2>Loss per step</h2>"] {
        assert!(page.contains(title), "{title}");
    }
}

/// Steps move with `--origin`, windows may be given or inferred, and the flags of this format are refused elsewhere.
#[test]
fn windows_and_times_follow_the_flags() {
    let folder = tempfile::tempdir().unwrap();
    let windows = folder.path().join("windows.csv");
    std::fs::write(&windows, "item,start,stop\na,0,9\nb,7,\nd,3,5\nd,8,9\n").unwrap();
    for (more, expected) in [
        (&["--origin", "2026-01-01T00:00:00Z"][..], "the last visit begins at 2026-01-01T01:20:00Z"),
        (&["--windows", windows.to_str().unwrap()], "4 windows of 3 items, 4 items, 7 events learned"),
        (&["--infer-windows", "gap=2,tail=3"], "3 windows of 3 items, 3 items, 7 events learned"),
        (&["--infer-windows", "gap=0,tail=1", "--close-windows"], "3 windows of 3 items"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (status, said) = import(folder.path(), &store(directory.path()), ROWS, more);
        assert!(status == Some(0) && said.contains(expected), "{more:?}: {said}");
    }
    let place = store(folder.path());
    let file = folder.path().join("viewing.csv");
    let refused = ["import", "--format", "plain", "--close-windows", "--store", &place, file.to_str().unwrap()];
    let (status, said) = run(&refused);
    assert!(status == Some(1) && said.contains("take only --format live-intervals"), "{said}");
    let (status, said) = import(folder.path(), &place, ROWS, &["--infer-windows", "gap=2"]);
    assert!(status == Some(1) && said.contains("must have the form gap=18,tail=6"), "{said}");
}

/// The dump of a store after an import that held `most` states of users in memory.
fn dump_with_states(rows: &str, most: usize) -> String {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("viewing.csv");
    std::fs::write(&path, rows).unwrap();
    let config = Config::default();
    support::block_on(async {
        let now = Millis(1_700_000_000_000);
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&place.path().join("data")).unwrap());
        let loader = Loader::open(store.clone(), app::open_embedder(&config).unwrap(), &config, now).await.unwrap();
        let options = import::Options {
            format: Format::LiveIntervals,
            paths: vec![path],
            columns: None,
            times: Times::from(TimeUnit::TEN_MINUTES),
            items_only: false,
            skip_unknown: false,
            live: LiveArgs::default(),
            dim: config.dim,
        };
        import::files(loader.with_states(most), options, now).await.unwrap();
        let out = place.path().join("dump.jsonl");
        dump::dump(&*store, &out).await.unwrap();
        std::fs::read_to_string(out).unwrap()
    })
}

/// A state that is dropped and recovered from the store learns on as if it had stayed in memory.
#[test]
fn dropping_states_of_users_changes_no_byte_of_the_store() {
    let mut viewing = Viewing::new(ViewingSize { rows: 1_500, people: 30, channels: 60, days: 2 }, 4);
    let visits = std::iter::from_fn(|| viewing.next_step()).flatten();
    let rows: String =
        visits.map(|v| format!("{},{},{},{},{}\n", v.user, v.stream, v.channel, v.start, v.stop)).collect();
    let all = dump_with_states(&rows, 1_000);
    for most in [1, 9, 16] {
        assert_eq!(dump_with_states(&rows, most), all, "{most} states");
    }
}
