//! Replay of real logs where they are present: baselines, likes and feeds.

use super::*;

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
