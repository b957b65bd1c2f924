//! Replay is sound: no leak from the future, equal results for any number of threads, figures as counted by hand.
//!
//! Invariant under test: ranks before an instant depend on no row from that instant on. Everything in a report but wall
//! times is a function of files, settings and seed.

mod input;
mod real_logs;
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
