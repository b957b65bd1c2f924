//! Replay is sound: no leak from the future, equal results for any number of threads, figures as counted by hand.
//!
//! Invariant under test: ranks before an instant depend on no row from that instant on. Everything in a report but wall
//! times is a function of files, settings and seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use crate::support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use eddyline::domain::time::Millis;
use eddyline::engine::settings::LearnSettings;
use eddyline::simulate::viewing::{Viewing, ViewingSize, Visit};
use eddyline_replay::evaluate;
use eddyline_replay::formats::Columns;
use eddyline_replay::likes::Mode;
use eddyline_replay::log::availability::Edge;
use eddyline_replay::log::read::{self, Source};
use eddyline_replay::log::tables::Extras;
use eddyline_replay::log::{Log, WindowSource};
use eddyline_replay::prequential::{self, Plan};
use eddyline_replay::rankers::{self, Ranker};
use eddyline_replay::report::Report;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::run;

const STEP_MS: i64 = 600_000;

fn visits(rows: u64, seed: u64) -> Vec<Visit> {
    let mut viewing = Viewing::new(ViewingSize { rows, people: 60, channels: 120, days: 7 }, seed);
    std::iter::from_fn(|| viewing.next_step()).flatten().collect()
}

/// The windows of broadcasts, from a schedule that does not depend on visits.
fn schedule(visits: &[Visit]) -> WindowSource {
    let log = live(visits, WindowSource::Presence);
    let mut open: Vec<Option<Millis>> = vec![None; log.items.len()];
    let mut windows = Vec::new();
    for edge in log.availability.edges() {
        match open[edge.item as usize].take() {
            None => open[edge.item as usize] = Some(edge.at),
            Some(start) => windows.push((log.items[edge.item as usize].clone(), start, Some(edge.at))),
        }
    }
    WindowSource::Given(windows)
}

fn live(visits: &[Visit], windows: WindowSource) -> Log {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, intervals(visits)).unwrap();
    let unit = "step:600".parse().unwrap();
    let source = Source { paths: &[path], columns: Columns::default(), unit, watch: None };
    read::live_intervals(source).unwrap().finish(windows)
}

fn intervals(visits: &[Visit]) -> String {
    visits.iter().fold(String::new(), |mut text, v| {
        let _ = writeln!(text, "{},{},{},{},{}", v.user, v.stream, v.channel, v.start, v.stop);
        text
    })
}

/// One call of [`Ranker::scores`]: time, user, items, scores.
type Call = (Millis, u32, Vec<u32>, Vec<f32>);

/// Records the calls of a ranker.
struct Noting<'a> {
    inner: Box<dyn Ranker + 'a>,
    calls: Vec<Call>,
}

impl Ranker for Noting<'_> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        self.inner.begin(now, edges);
    }
    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        self.inner.scores(user, candidates, now, out);
        self.calls.push((now, user, candidates.to_vec(), out.clone()));
    }
    fn learn(&mut self, index: usize) {
        self.inner.learn(index);
    }
}

fn calls(log: &Log, ranker: &str) -> Vec<Call> {
    let settings = Arc::new(LearnSettings::default());
    // Without a test no reward is counted, which asks only for users that will be present.
    let plan = Plan::new(log, &settings.signals, log.end(), false);
    let mut noting = Noting { inner: rankers::make(ranker, log, &settings, 5).unwrap(), calls: Vec::new() };
    prequential::replay(&plan, &mut noting, &|_| ());
    noting.calls
}

/// Leak canary: shuffling the future (users, items and times) does not change the ranks before it.
#[test]
fn shuffling_the_future_changes_nothing_before_it() {
    let visits = visits(3_000, 1);
    let windows = schedule(&visits);
    let cut = 500;
    let mut shuffled: Vec<Visit> = visits.clone();
    let (first, count) = (shuffled.partition_point(|v| v.start < cut), shuffled.len());
    assert!(first > 500 && count - first > 500, "both sides have rows: {first} of {count}");
    // Times stay, so that the log is as long; users and channels are permuted by different distances.
    for (index, place) in (first..count).enumerate() {
        let (user, channel) = (first + (index + 13) % (count - first), first + (index + 101) % (count - first));
        shuffled[place] = Visit { user: visits[user].user, channel: visits[channel].channel, ..visits[place] };
    }
    let (before, after) = (live(&visits, windows.clone()), live(&shuffled, windows));
    assert_eq!((&before.users, &before.items), (&after.users, &after.items), "the same people and channels");
    let at = Millis(i64::from(cut) * STEP_MS);
    for ranker in rankers::ALL {
        let [mut whole, mut other] = [calls(&before, ranker), calls(&after, ranker)];
        assert!(whole != other, "{ranker}: the future was shuffled");
        whole.retain(|call| call.0 < at);
        other.retain(|call| call.0 < at);
        assert!(whole.len() > 400, "{ranker}: {} ranks before the cut", whole.len());
        let differs = whole.iter().zip(&other).find(|(one, two)| one != two);
        assert!(whole.len() == other.len() && differs.is_none(), "{ranker} knows the future: {differs:?}");
    }
}

/// All rows of a step are ranked before any of them is learned, and exactly the open items are ranked.
#[test]
fn a_step_is_ranked_before_it_is_learned() {
    struct Order(Arc<Mutex<Vec<(char, i64)>>>);
    impl Ranker for Order {
        fn name(&self) -> &'static str {
            "order"
        }
        fn begin(&mut self, now: Millis, _: &[Edge]) {
            self.0.lock().unwrap().push(('b', now.0 / STEP_MS));
        }
        fn scores(&mut self, user: u32, candidates: &[u32], _: Millis, out: &mut Vec<f32>) {
            self.0.lock().unwrap().push(('s', i64::from(user)));
            *out = vec![0.0; candidates.len()];
        }
        fn learn(&mut self, index: usize) {
            self.0.lock().unwrap().push(('l', index as i64));
        }
    }
    let visit = |user, channel, start| Visit { user, stream: 0, channel, start, stop: start + 1 };
    let log = live(&[visit(1, 5, 3), visit(0, 5, 2), visit(0, 6, 3)], WindowSource::FirstRow);
    let settings = LearnSettings::default();
    let plan = Plan::new(&log, &settings.signals, Millis(4 * STEP_MS), false);
    let seen = Arc::default();
    prequential::replay(&plan, &mut Order(Arc::clone(&seen)), &|_| ());
    // Rows of one instant are ordered by user, whatever the order in the file.
    let expected = [('b', 2), ('s', 0), ('l', 0), ('b', 3), ('s', 0), ('s', 1), ('l', 1), ('l', 2)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Every `null` in a report, by its path.
fn undefined(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(path.to_owned()),
        Value::Array(list) => list.iter().for_each(|one| undefined(one, path, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, one)| undefined(one, &format!("{path}/{name}"), found)),
        _ => {}
    }
}

/// With one class of labels, or nothing to rank, no figure is invented in the table, in JSON and on the page.
#[test]
fn what_one_class_leaves_undefined_is_a_dash_and_null() {
    let folder = tempfile::tempdir().unwrap();
    let (log, page) = (folder.path().join("feed.csv"), folder.path().join("page.html"));
    let page = page.to_str().unwrap();
    let header = "timestamp,user_id,post_id,action,target\n";
    for target in [0, 1] {
        let rows = (0..12).fold(header.to_owned(), |text, row| {
            text + &format!("{},u{},p{},view,{target}\n", 1_700_000_000 + row, row % 2, row % 3)
        });
        std::fs::write(&log, rows).unwrap();
        let path = log.to_str().unwrap();
        let shape = ["replay", "--format", "feed", "--test-from", "1700000000", "--protocol"];
        let (status, said) = run(&[&shape[..], &["labelled", "--html", page, path]].concat());
        assert_eq!(status, Some(0), "{said}");
        let model: Vec<&str> =
            said.lines().find(|line| line.starts_with("model")).unwrap().split_whitespace().collect();
        assert_eq!(model[1..4], ["-", "-", "-"], "{said}");
        assert!(model[4].parse::<f64>().is_ok_and(|loss| loss > 0.0), "the loss is defined: {said}");
        let page = std::fs::read_to_string(page).unwrap();
        let (labels, _) = page.split_once("How topic weights decay").unwrap();
        assert!(labels.contains("<td>-</td>") && !labels.contains("0.5000") && !page.contains("NaN"), "{labels}");
        let report = report_of(&["--format", "feed", "--test-from", "1700000000", "--protocol", "labelled", path]);
        for figure in ["auc_pooled", "auc_mean", "auc_mean_interval"] {
            assert!(report["labellers"]["model"][figure].is_null(), "{figure}: {report}");
        }
        assert!(report["labelled"]["auc_pooled"].is_null() && report["labelled"]["log_loss"].is_f64());
        let (status, said) = run(&[&shape[..], &["likes", path]].concat());
        assert_eq!(status, Some(0), "{said}");
        assert!(!said.contains("-0 ") && !said.contains("NaN") && !said.contains("0.5000"), "{said}");
        assert_eq!(said.contains("of which - were available"), target == 0, "{said}");
        let report = report_of(&["--format", "feed", "--test-from", "1700000000", "--protocol", "likes", path]);
        let blend = &report["likes"]["contenders"]["blend"];
        for figure in ["roc_auc", "average_precision"] {
            assert_eq!(blend[figure], json!({"value": null, "interval": null}), "{report}");
        }
        assert_eq!(blend["hr@5_all"]["value"].is_null(), target == 0, "{report}");
        assert!(report["likes"]["contenders"]["tower"].is_null() && blend["calibration"]["log_loss"].is_f64());
    }
    // One user, one item: a target without competitors.
    std::fs::write(&log, format!("{header}1700000000,u,p,view,1\n1700000100,u,p,view,1\n")).unwrap();
    let path = log.to_str().unwrap();
    let arguments = ["--format", "feed", "--protocol", "prequential", "--test-from", "1700000000", path];
    let report = report_of(&arguments);
    let mut found = Vec::new();
    undefined(&report["rankers"]["random"]["all"], "", &mut found);
    assert_eq!(found, ["/auc", "/intervals"], "{report}");
    let empty = report["rankers"]["random"]["over_time"][1].clone();
    assert_eq!((&empty["n"], &empty["hr@1"], &empty["auc"]), (&json!(0), &Value::Null, &Value::Null));
    let (_, said) = run(&[&["replay"], &arguments[..]].concat());
    let random: Vec<&str> = said.lines().find(|line| line.starts_with("random")).unwrap().split_whitespace().collect();
    assert_eq!(random[1..], ["1.000", "1.000", "1.000", "1.000", "1.000", "-", "1.000", "1.000", "-"], "{said}");
}

/// A report without wall times, as bytes.
fn bytes_of(mut report: Report) -> String {
    report.seconds = 0.0;
    report.throughput = None;
    serde_json::to_string(&report).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// For any order of rows of one instant, each protocol gives equal bytes: it predicts all of them first.
    #[test]
    fn the_order_of_rows_within_an_instant_decides_nothing(
        rows in prop::collection::vec((0_i64..8, 0_u32..4, 0_u32..5, 0_u8..4), 20..60),
        keys in prop::collection::vec(any::<u32>(), 60),
    ) {
        let line = |(at, user, post, what): &(i64, u32, u32, u8)| match what {
            0 => format!("{at},u{user},p{post},like,0\n"),
            liked => format!("{at},u{user},p{post},view,{}\n", u8::from(*liked == 1)),
        };
        let mut sorted: Vec<_> = rows.iter().enumerate().collect();
        sorted.sort_by_key(|(_, row)| row.0);
        let given: String = sorted.iter().map(|(_, row)| line(row)).collect();
        sorted.sort_by_key(|(place, row)| (row.0, keys[*place]));
        let shuffled: String = sorted.iter().map(|(_, row)| line(row)).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed.csv");
        let settings = Arc::new(LearnSettings::default());
        let reports = [given, shuffled].map(|rows| {
            std::fs::write(&path, format!("timestamp,user_id,post_id,action,target\n{rows}")).unwrap();
            let unit = "s".parse().unwrap();
            let source = Source { paths: std::slice::from_ref(&path), columns: Columns::default(), unit, watch: None };
            let log = read::feed(source).unwrap().finish(WindowSource::FirstRow);
            let extras = Extras::default();
            let options = evaluate::EvaluateOptions {
                format: "feed".into(),
                windows: String::new(),
                test: evaluate::TestSpan::From(Millis(2_000)),
                test_only: false,
                seed: 1,
                threads: 1,
                rankers: vec!["model", "last_seen", "random"],
            };
            let likes = |mode| evaluate::likes(&log, &extras, None, mode, &settings, &options, &|_| ());
            [
                evaluate::labelled(&log, &settings, &options, &|_| ()),
                likes(Mode::InTime),
                likes(Mode::LeaveOneOut),
                evaluate::prequential(&log, &settings, &options, &|_| ()),
            ]
            .map(|report| report.map(bytes_of))
        });
        prop_assert_eq!(&reports[0], &reports[1]);
    }
}

fn report_of(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut all = vec!["replay", "--json", json.to_str().unwrap()];
    all.extend(arguments);
    let (status, said) = run(&all);
    assert_eq!(status, Some(0), "{said}");
    let mut report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let fields = report.as_object_mut().unwrap();
    fields.remove("seconds").unwrap();
    fields.remove("throughput");
    report
}

#[test]
fn one_thread_and_four_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv.gz");
    let log = log.to_str().unwrap();
    let simulate = ["simulate", "--log", log, "--rows", "4000", "--people", "50", "--channels", "100", "--days", "3"];
    let (status, said) = run(&simulate);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = run(&simulate);
    assert!(status == Some(1) && said.contains("--log"), "an existing log is not overwritten: {said}");
    for protocol in ["prequential", "last-in-window"] {
        let of = |threads: &str, page: &str| {
            let page = folder.path().join(page);
            let shape = ["--format", "live-intervals", "--protocol", protocol, "--test-last", "80"];
            let how = ["--threads", threads, "--html", page.to_str().unwrap(), log];
            let report = report_of(&[&shape[..], &how[..]].concat());
            (report, std::fs::read_to_string(page).unwrap())
        };
        let (one, page) = of("1", "one.html");
        let (four, page_of_four) = of("4", "four.html");
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&four).unwrap(), "{protocol}");
        assert_eq!(page, page_of_four, "{protocol}");
        is_a_whole_page(&page);
        assert_eq!(one["rankers"].as_object().unwrap().len(), rankers::NAMES.len());
        let all = &one["rankers"]["most_frequent"]["all"];
        let (low, high) = (&all["intervals"]["mrr"][0], &all["intervals"]["mrr"][1]);
        let (low, figure, high) = (low.as_f64().unwrap(), all["mrr"].as_f64().unwrap(), high.as_f64().unwrap());
        assert!(low <= figure && figure <= high && low < high, "{all}");
        let chance = one["rankers"]["random"]["all"]["mrr"].as_f64().unwrap();
        assert!(figure > chance, "habit beats chance: {figure} {chance}");
    }
}

/// Without rules, the list is in the order of scores. With a rule, the report shows its cost next to it, and the scores
/// stay.
#[test]
fn a_rule_of_the_list_shows_its_price() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    std::fs::write(&log, intervals(&visits(2_500, 3))).unwrap();
    let of = |rule: &str| {
        let shape =
            ["--format", "live-intervals", "--test-last", "200", "--test-only", "--rankers", "model,model_list"];
        let report = report_of(&[&shape[..], &["--set", rule, log.to_str().unwrap()]].concat());
        let names: Vec<&String> = report["rankers"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["model", "model_list"]);
        ["model", "model_list"].map(|name| report["rankers"][name]["all"]["ndcg@10"].as_f64().unwrap())
    };
    let [plain, same] = of("rank.author_run=0");
    assert_eq!(plain, same);
    let [again, noisy] = of("rank.temperature=50");
    assert_eq!(plain, again);
    assert!(noisy < plain - 0.1, "chance costs much: {plain} {noisy}");
    let (status, said) = run(&["replay", "--format", "live-intervals", "--rankers", "best", log.to_str().unwrap()]);
    assert!(status == Some(1) && said.contains("--rankers: no ranker `best`"), "{said}");
}

/// The page has no external resources and no scripts, and every picture has a description.
fn is_a_whole_page(page: &str) {
    for foreign in ["<script", "src=", "@import", "url(", "href="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let pictures = page.matches("<svg").count();
    assert!(pictures >= 5, "{pictures} pictures");
    assert_eq!(page.matches("role=\"img\"").count(), pictures);
    assert_eq!(page.matches("<title id=").count(), pictures);
    assert_eq!(page.matches("<details>").count(), pictures, "each has its numbers beside it");
    assert!(page.contains("timedecay") && page.contains("exampledecay") && page.contains("prefers-color-scheme"));
    assert!(!page.contains("NaN") && !page.contains("inf "));
}

/// Counted by hand. Steps of one second; three items, each open from its first row on; ties by item id.
///
/// | t | row | open | counts of this person (popularity) before | most_frequent rank |
/// |---|-----|------|--------------------------------------------|--------------------|
/// | 1 | u a | a    | -                                          | 1 of 1, new        |
/// | 2 | u b | a b  | a 1                                        | 2 of 2, new        |
/// | 3 | v c | a b c| - (a and b popular, c not)                 | 3 of 3, new        |
/// | 4 | u b | a b c| a 1, b 1; b is more popular: it is later   | 1 of 3, repeat     |
/// | 5 | u c | a b c| a 1, b 2                                   | 3 of 3, new        |
/// | 5 | v c | a b c| c 1                                        | 1 of 3, repeat     |
#[test]
fn a_small_log_has_the_figures_that_a_hand_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, "who,what,when\nu,a,1\nu,b,2\nv,c,3\nu,b,4\nu,c,5\nv,c,5\n").unwrap();
    let shape = ["--format", "events", "--columns", "user=who,item=what,time=when", "--time-unit", "s"];
    let report = report_of(&[&shape[..], &["--test-from", "1", path.to_str().unwrap()]].concat());
    assert_eq!((&report["events"], &report["test_events"]), (&json!(6), &json!(6)));
    let splits = &report["rankers"]["most_frequent"];
    let figure = |split: &str, name: &str| splits[split][name].as_f64().unwrap();
    let near = |found: f64, expected: f64, name: &str| {
        assert!((found - expected).abs() < 1e-12, "{name}: {found}, not {expected}")
    };
    let counts = ["all", "new", "repeat"].map(|split| splits[split]["n"].as_u64().unwrap());
    assert_eq!(counts, [6, 4, 2]);
    near(figure("all", "hr@1"), 3.0 / 6.0, "hr@1");
    near(figure("all", "hr@5"), 1.0, "hr@5");
    near(figure("new", "hr@1"), 1.0 / 4.0, "hr@1 of new ones");
    near(figure("repeat", "mrr"), 1.0, "mrr of repeats");
    near(figure("new", "mrr"), (1.0 + 0.5 + 1.0 / 3.0 + 1.0 / 3.0) / 4.0, "mrr of new ones");
    // 1 / log2(1 + rank): 1 for the first, 0.6309 for the second, 0.5 for the third.
    near(figure("new", "ndcg@10"), (1.0 + 1.0 / 3.0_f64.log2() + 0.5 + 0.5) / 4.0, "ndcg@10 of new ones");
    // The first row has no competitors, so it has no AUC.
    near(figure("all", "auc"), (0.0 + 0.0 + 1.0 + 0.0 + 1.0) / 5.0, "auc");
    let all_time = &report["rankers"]["popularity"]["all"];
    // Ranks 1, 2, 3, then b ties with a and c and stands second, then c (1) behind b (2) and a (1), twice.
    near(all_time["mrr"].as_f64().unwrap(), (1.0 + 0.5 + 1.0 / 3.0 + 0.5 + 2.0 / 3.0) / 6.0, "popularity");
}

/// Two users, counted by hand: their places in the next step, for one channel each.
#[test]
fn the_reward_is_counted_per_person_and_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    // Steps 0..=3. User 1 stays with channel 7; user 2 comes to channel 8 in step 2, when it has just begun.
    std::fs::write(&path, "1,1,7,0,4\n2,2,8,2,4\n").unwrap();
    let report = report_of(&["--format", "live-intervals", "--test-from", "0", path.to_str().unwrap()]);
    let reward = &report["rankers"]["most_frequent"]["reward"];
    // Steps 0, 1 and 2 have a next one. User 1 is present in all of them and channel 7 is always available: 3. User 2
    // is present next in step 1 (channel 8 is not open yet: impossible) and in step 2: 1. Habit is right whenever it
    // can be.
    assert!((reward["mean"].as_f64().unwrap() - 4.0 / 6.0).abs() < 1e-12, "{reward}");
    assert!((reward["best_possible"].as_f64().unwrap() - 4.0 / 6.0).abs() < 1e-12, "{reward}");
    assert!((reward["mean_of_present"].as_f64().unwrap() - 4.0 / 5.0).abs() < 1e-12, "{reward}");
    assert_eq!(report["log"]["windows"], "the union of everybody's presence");
}

#[test]
fn a_feed_is_judged_view_by_view() {
    let folder = tempfile::tempdir().unwrap();
    let (log, items) = (folder.path().join("feed.csv"), folder.path().join("posts.csv"));
    let mut text = "timestamp,user_id,post_id,action,target\n".to_owned();
    // All users like posts of topic 1, which are the odd ones; each like occurs twice.
    for row in 0..400 {
        let (user, post, liked) = (row % 9, row % 31, row % 31 % 2);
        let _ = writeln!(text, "2026-01-01 10:{:02}:{:02},{user},{post},view,{liked}", row / 60, row % 60);
        if liked == 1 {
            let _ = writeln!(text, "2026-01-01 11:{:02}:{:02},{user},{post},like,0", row / 60, row % 60);
        }
    }
    std::fs::write(&log, text).unwrap();
    let posts = (0..31).fold("post_id,kind\n".to_owned(), |text, post| text + &format!("{post},t{}\n", post % 2));
    std::fs::write(&items, posts).unwrap();
    let shape = ["--format", "feed", "--items", items.to_str().unwrap(), "--item-columns", "item=post_id,topic=kind"];
    let report = report_of(&[&shape[..], &[log.to_str().unwrap()]].concat());
    assert_eq!((&report["events"], &report["test_events"]), (&json!(400), &json!(400)), "likes are not counted twice");
    let auc = |name: &str| report["labellers"][name]["auc_pooled"].as_f64().unwrap();
    assert!(auc("rate_topic") > 0.95 && auc("rate_item") > 0.8, "{} {}", auc("rate_topic"), auc("rate_item"));
    assert!(auc("logistic") > 0.95 && auc("constant") < 0.7, "{} {}", auc("logistic"), auc("constant"));
    assert_eq!(report["labelled"]["auc_pooled"], report["labellers"]["model"]["auc_pooled"]);
}

#[test]
fn one_target_per_person_names_its_leak() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.data");
    let mut text = String::new();
    for row in 0..300 {
        let _ = writeln!(text, "{}\t{}\t{}\t{}", row % 10, row * 7 % 23, 3 + row % 3, 1_000 + row);
    }
    std::fs::write(&path, text).unwrap();
    let shape = ["--format", "movielens", "--protocol", "last-in-window", "--test-last", "100"];
    let report = report_of(&[&shape[..], &[path.to_str().unwrap()]].concat());
    assert_eq!(report["test_events"], 10, "one per person");
    let share = report["leak"]["later_rows_share"].as_f64().unwrap();
    assert!(share > 0.0 && share < 0.2, "{share}");
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&report["leak"]["without"]), names(&report["rankers"]));
}

#[test]
fn wrong_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, "user,item,time\nu,a,2024-01-01T00:00:00Z\n").unwrap();
    let path = path.to_str().unwrap();
    for (arguments, part) in [
        (&["--infer-windows", "gap=18"][..], "--infer-windows: `gap=18` must have the form gap=18,tail=6"),
        (&["--infer-windows", "gap=1,tail=0"], "--infer-windows"),
        (&["--columns", "who=a"], "--columns"),
        (&["--test-from", "yesterday"], "--test-from"),
        (&["--test-from", "9"], "--test-from: `9` is not clearly in seconds or milliseconds"),
        (&["--test-from", "9000000000000", "--time-unit", "ms"], "--test-from"),
        (&["--protocol", "labelled"], "no row with a label"),
        (&["--items", "/nowhere.csv"], "/nowhere.csv"),
    ] {
        let all = [&["replay", "--format", "events"], arguments, &[path]].concat();
        let (status, said) = run(&all);
        assert!(status == Some(1) && said.contains(part), "{arguments:?}: {said}");
    }
}

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

fn data(file: &str) -> Option<PathBuf> {
    let data = std::env::var_os("EDDYLINE_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let found = data.join(file);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: no data (set EDDYLINE_DATA)");
    None
}

/// A log of any positive kind ranks about as well as a log of clicks, and additional skips do not lower the learning.
#[test]
fn a_log_of_likes_ranks_as_one_of_clicks() {
    let visits = visits(9_000, 4);
    let folder = tempfile::tempdir().unwrap();
    let ndcg = |name: &str, kind: &dyn Fn(usize) -> &'static str| {
        let path = folder.path().join(format!("{name}.csv"));
        let rows = visits.iter().enumerate().fold("user,item,time,kind\n".to_owned(), |mut text, (n, v)| {
            let _ = writeln!(text, "{},{},{},{}", v.user, v.channel, v.start, kind(n));
            text
        });
        std::fs::write(&path, rows).unwrap();
        let columns = ["--columns", "user=user,item=item,time=time,kind=kind", "--time-unit", "step:600"];
        // Every channel is available from its first row on, so that chance performs poorly.
        let how = ["--format", "events", "--test-last", "200", "--test-only"];
        let who = ["--rankers", "model,random", path.to_str().unwrap()];
        let report = report_of(&[&how[..], &columns[..], &who[..]].concat());
        let of = |ranker: &str| report["rankers"][ranker]["all"]["ndcg@10"].as_f64().unwrap();
        println!("{name}: {:.4}, chance {:.4}", of("model"), of("random"));
        (of("model"), of("random"))
    };
    let (clicks, chance) = ndcg("click", &|_| "click");
    assert!(clicks > chance + 0.3, "there is something to learn: {clicks} {chance}");
    let positive = ["like", "share", "reply", "accept"];
    for kind in positive {
        let (found, _) = ndcg(kind, &|_| kind);
        assert!((found - clicks).abs() < 0.02, "{kind}: {found}, as clicks {clicks}");
    }
    let all = ["like", "share", "reply", "accept", "click", "watch", "read"];
    let (mixed, _) = ndcg("mixed", &|n| all[n * 7_919 % 101 % all.len()]);
    assert!((mixed - clicks).abs() < 0.02, "mixed: {mixed}, as clicks {clicks}");
    let often = |n: usize| n * 7_919 % 101 % 5 < 2;
    let (clicked, _) = ndcg("clicked", &|n| if often(n) { "skip" } else { "click" });
    let (judged, _) = ndcg("judged", &|n| if often(n) { "skip" } else { "like" });
    assert!((judged - clicked).abs() < 0.03 && judged > chance + 0.3, "likes and skips: {judged}, as clicks {clicked}");
}

/// The protocol equals that of published measurements: the known figures of the baselines come out.
#[test]
fn a_real_viewing_log_gives_the_known_baselines() {
    let Some(path) = data("twitch105k/twitch105k.csv.gz") else { return };
    let shape = ["--format", "events", "--columns", "user=user_id,item=streamer_name,time=start_time"];
    let how = ["--time-unit", "step:600", "--infer-windows", "gap=18,tail=6", "--test-last", "501", "--test-only"];
    let report = report_of(&[&shape[..], &how[..], &[path.to_str().unwrap()]].concat());
    assert_eq!((&report["events"], &report["test_events"]), (&json!(105_745), &json!(9_090)));
    assert_eq!(report["rankers"]["model"]["repeat"]["n"], 7_346);
    assert_eq!(report["log"]["unavailable_events"], 0);
    assert!((report["log"]["available_mean"].as_f64().unwrap() - 81.5).abs() < 0.05);
    for (name, expected) in [
        ("popularity", [0.047, 0.252, 0.131, 0.076, 0.144]),
        ("popularity_decayed", [0.043, 0.247, 0.130, 0.083, 0.141]),
        ("last_seen", [0.322, 0.833, 0.584, 0.056, 0.710]),
        ("most_frequent", [0.397, 0.833, 0.622, 0.056, 0.756]),
    ] {
        let ranker = &report["rankers"][name];
        let found = [
            &ranker["all"]["hr@1"],
            &ranker["all"]["hr@10"],
            &ranker["all"]["ndcg@10"],
            &ranker["new"]["ndcg@10"],
            &ranker["repeat"]["ndcg@10"],
        ]
        .map(|figure| figure.as_f64().unwrap());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 0.003, "{name}: {found} where {expected} was measured");
        }
    }
}

/// Every view of a real feed is predicted, and its likes are counted once.
#[test]
fn a_real_feed_is_judged() {
    let Some(path) = data("karpov_feed/feed.csv.gz") else { return };
    let posts = data("karpov_feed/post_features.csv.gz").unwrap();
    let shape = ["--format", "feed", "--items", posts.to_str().unwrap(), "--item-columns", "item=post_id,topic=topic"];
    let report = report_of(&[&shape[..], &[path.to_str().unwrap()]].concat());
    assert_eq!(report["test_events"], 44_652);
    let auc = |name: &str| report["labellers"][name]["auc_pooled"].as_f64().unwrap();
    println!("ROC AUC: {:?}", rankers::labels::NAMES.map(|name| (name, auc(name))));
    assert!(auc("logistic") > auc("constant"), "there is something to learn");
}
