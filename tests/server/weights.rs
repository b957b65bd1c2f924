//! Topic weights over time against the journal of the user.
//!
//! Invariant under test: the lines of `topics/history` follow from the exported journal alone, by one decay and one half-way
//! step per positive interaction.

use crate::support;

use std::collections::BTreeMap;

use eddyline::engine::learners::person::topics::{Decay, TopicDecay, bump, decayed};
use serde_json::{Value, json};
use support::{now_ms, server};

/// Changes `(time, weight)` by topic, from the entries of an export. A late entry teaches at its own time, where no later
/// one taught before, and shows from the newest entry on.
fn changes_of(journal: &[Value], decay: TopicDecay) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut weights: BTreeMap<String, f64> = BTreeMap::new();
    let mut changes: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    let (mut as_of, mut newest) = (0, 0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for entry in journal {
        let at = entry["at"].as_i64().unwrap();
        newest = at.max(newest);
        let moved: Vec<(String, Option<f64>)> = match entry["kind"].as_str().unwrap() {
            "topics_set" => {
                let weights = entry["weights"].as_array().unwrap().iter();
                weights.map(|one| (text(&one["topic"]), one["weight"].as_f64())).collect()
            }
            _ if entry["learned"]["positive"] == true => {
                entry["topics"].as_array().unwrap().iter().map(|topic| (text(topic), None)).collect()
            }
            _ => Vec::new(),
        };
        if !moved.is_empty() {
            let then = at.max(as_of);
            weights.values_mut().for_each(|weight| *weight = decayed(*weight, (then - as_of) as f64, decay));
            as_of = then;
        }
        for (topic, set) in moved {
            let weight = weights.entry(topic).or_default();
            *weight = set.unwrap_or_else(|| bump(*weight));
        }
        for (topic, weight) in &weights {
            let own = changes.entry(topic.clone()).or_default();
            let before = own.last().map_or(0.0, |(at, weight)| decayed(*weight, (newest - at) as f64, decay));
            let after = decayed(*weight, (newest - as_of) as f64, decay);
            if (after - before).abs() > 1e-9 {
                own.push((newest, after));
            }
        }
    }
    changes.retain(|_, own| !own.is_empty());
    changes
}

#[test]
fn the_lines_of_topic_weights_follow_from_the_journal_of_the_user() {
    let server = server();
    server.items(9);
    server.people(&["ada"]);
    let rest = server.rest();
    let begin = now_ms() - 6 * 86_400_000;
    for number in 0..40_i64 {
        // Every seventh event arrives late; kinds teach, or do not.
        let at = begin + (number - if number % 7 == 6 { 5 } else { 0 }) * 3 * 3_600_000;
        let kind = ["like", "click", "skip", "view", "reject"][number as usize % 5];
        let act = json!({"user": "ada", "item": format!("item-{}", number % 9), "kind": kind, "at": at});
        rest.post("/v1/interactions", &act).success("an interaction");
    }
    rest.patch("/v1/users/ada/model", &json!({"topics": {"a": 0.25, "c": 0}})).success("set by hand");
    let found = rest.get("/v1/users/ada/topics/history?limit=16").success("the lines").json();
    let decay = TopicDecay {
        mode: serde_json::from_value::<Decay>(found["decay"]["curve"].clone()).unwrap(),
        rate: found["decay"]["rate"].as_f64().unwrap(),
        horizon_ms: found["decay"]["horizon_ms"].as_i64().unwrap(),
    };
    let export = rest.get("/v1/users/ada/export").success("the export").json();
    let expected = changes_of(export["journal"].as_array().unwrap(), decay);
    assert_eq!(expected.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((found["topics"].as_array().unwrap().len(), &found["truncated"]), (3, &json!(false)));
    for line in found["topics"].as_array().unwrap() {
        let (topic, own) = (line["topic"].as_str().unwrap(), &expected[line["topic"].as_str().unwrap()]);
        let changes: Vec<(i64, f64)> = serde_json::from_value(line["changes"].clone()).unwrap();
        assert_eq!(changes.len(), own.len(), "{topic}: {changes:?} {own:?}");
        for ((at, weight), (at_then, expected)) in changes.iter().zip(own) {
            assert!(at == at_then && (weight - expected).abs() < 1e-6, "{topic}: {changes:?} {own:?}");
        }
        // The points between lie on the decay, and the last one is the weight that the model has now.
        let points: Vec<(i64, f64)> = serde_json::from_value(line["points"].clone()).unwrap();
        for (at, weight) in points {
            let last = own.iter().rev().find(|change| change.0 <= at).unwrap();
            let at_change = own.iter().any(|change| change.0 == at);
            let decayed = decayed(last.1, (at - last.0) as f64, decay);
            assert!(at_change || (weight - decayed).abs() < 1e-6, "{topic} at {at}: {weight} {decayed}");
        }
    }
    // One topic alone is the line of all topics.
    let one = rest.get("/v1/users/ada/topics/history?topic=b").success("one topic").json();
    let changes = |lines: &Value, topic: &str| {
        lines["topics"].as_array().unwrap().iter().find(|line| line["topic"] == topic).unwrap()["changes"].clone()
    };
    assert_eq!((changes(&one, "b"), one["topics"].as_array().unwrap().len()), (changes(&found, "b"), 1));
}
