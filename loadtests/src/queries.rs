//! The cost of single requests over a large catalogue: search, similar items, recommendations of sessions and users.
//!
//! Invariant: one connection sends one request at a time, so a latency has no queue of its own in it. The seed decides the
//! catalogue and the requests. Every answer must be 200; any other result is a broken promise. Deliberately absent: load by
//! many clients, which `recommend` has.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use eddyline::domain::ids::Key;
use rand::distr::weighted::WeightedIndex;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::recommend::{exchange, send};
use crate::tally::Latency;
use crate::target::Target;

/// Syllables of the words.
const SYLLABLES: [&str; 15] =
    ["ka", "lo", "mi", "ra", "ten", "vor", "sil", "dun", "pe", "gra", "ho", "wen", "tri", "bas", "cu"];
/// Different words; the word of rank `k` is drawn with a weight of `1/k`.
const WORDS: usize = 20_000;
/// Topics of the items, of which each item has one to three.
const TOPICS: usize = 40;
const GENRES: [&str; 3] = ["jazz", "rock", "folk"];
/// Interactions of each user before the requests.
const HISTORY: usize = 20;
/// Items or events per request that creates them.
const BATCH: usize = 5_000;
/// Requests of each kind before those that are measured.
const WARM_UP: usize = 20;
/// Kinds of requests, in the order of the table.
const KINDS: [&str; 13] = [
    "search",
    "search, frequent word",
    "search, prefix",
    "search, rare word",
    "search, filtered",
    "search, frequent and filtered",
    "similar by embedding",
    "similar by both",
    "session of 5",
    "session of 20",
    "session of 5, topic",
    "session of 5, attribute",
    "user, signals",
];

/// The configuration of a run.
pub struct Plan {
    /// The prefix of the keys of items, topics and users.
    pub prefix: String,
    /// Items of the catalogue.
    pub items: usize,
    /// Requests per kind.
    pub requests: usize,
    /// Processes whose processor time counts, each with its children.
    pub processes: Vec<u32>,
    /// The seed of the catalogue and the requests.
    pub seed: u64,
}

/// Creates the catalogue, sends the requests of each kind, and reports.
pub async fn run(target: Target, keys: Arc<[Key]>, plan: Plan, json_to: Option<&str>) -> anyhow::Result<bool> {
    let words = words(plan.seed);
    let (stage, prefix, items, seed, people) =
        (target.clone(), plan.prefix.clone(), plan.items, plan.seed, keys.clone());
    let vocabulary = words.clone();
    tokio::task::spawn_blocking(move || fill(&stage, &prefix, items, seed, &vocabulary, &people)).await??;
    let (mut table, mut results, mut is_good) = (String::new(), Vec::new(), true);
    writeln!(table, "{:<30} {:>8} {:>8} {:>8} {:>8} {:>8}", "ms", "p50", "p90", "p99", "max", "CPU")?;
    let mut line = None;
    for kind in KINDS {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let took = Latency::new()?;
        let (mut before, mut failures) = (0.0, Vec::new());
        for number in 0..WARM_UP + plan.requests {
            if number == WARM_UP {
                before = processor_ms(&plan.processes);
            }
            let (method, path, body) = request(kind, &plan, &words, &keys, &mut rng)?;
            let began = Instant::now();
            match exchange(&target, &mut line, method, &path, &body).await {
                Ok((200, _)) if number >= WARM_UP => took.add(began.elapsed()),
                Ok((200, _)) => {}
                Ok((status, body)) => {
                    failures.push(format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body)));
                }
                Err(error) => {
                    line = None::<TcpStream>;
                    failures.push(format!("{method} {path}: {error:#}"));
                }
            }
        }
        let ms = |quantile| took.p(quantile) as f64 / 1e3;
        let cpu = (processor_ms(&plan.processes) - before) / plan.requests as f64;
        let known = if plan.processes.is_empty() { "-".to_owned() } else { format!("{cpu:.2}") };
        writeln!(table, "{kind:<30} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {known:>8}", ms(0.5), ms(0.9), ms(0.99), ms(1.0))?;
        if let Some(example) = failures.first() {
            is_good = false;
            writeln!(table, "BROKEN {}, for example: {example}", failures.len())?;
        }
        results.push(json!({"kind": kind, "took": took.json(), "cpu_ms": cpu, "broken": failures.len()}));
    }
    crate::report(json_to, &table, &json!({"items": plan.items, "kinds": results, "ok": is_good}))?;
    Ok(is_good)
}

/// Method, path and body of a request.
fn request(
    kind: &str,
    plan: &Plan,
    words: &[String],
    keys: &[Key],
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<(&'static str, String, String)> {
    let (get, post) = ("GET", "POST");
    let topic = format!("{}topic-{}", plan.prefix, rng.random_range(0..TOPICS));
    let item = |rng: &mut ChaCha8Rng| format!("{}item-{}", plan.prefix, rng.random_range(0..plan.items.max(1)));
    let session = |rng: &mut ChaCha8Rng, count: usize, filters: Value| {
        let items: Vec<String> = (0..count).map(|_| item(rng)).collect();
        let body = json!({"items": items, "limit": 20, "filters": filters});
        (post, "/v1/recommend".to_owned(), body.to_string())
    };
    let search =
        |text: &str, rest: &str| (get, format!("/v1/search?q={}{rest}", text.replace(' ', "+")), String::new());
    let filters = format!("&topic={topic}&available=true");
    Ok(match kind {
        "search" => search(&text(words, rng)?, ""),
        "search, frequent word" => search(&words[rng.random_range(0..6)], ""),
        "search, prefix" => search(SYLLABLES[rng.random_range(0..6)], ""),
        "search, rare word" => search(&words[rng.random_range(WORDS / 10..WORDS)], ""),
        "search, filtered" => search(&text(words, rng)?, &filters),
        "search, frequent and filtered" => search(&words[rng.random_range(0..6)], &filters),
        "similar by embedding" => (get, format!("/v1/items/{}/similar?by=embedding", item(rng)), String::new()),
        "similar by both" => (get, format!("/v1/items/{}/similar", item(rng)), String::new()),
        "session of 5" => session(rng, 5, json!({})),
        "session of 20" => session(rng, 20, json!({})),
        "session of 5, topic" => session(rng, 5, json!({"topic": topic})),
        "session of 5, attribute" => session(rng, 5, json!({"attribute": {"name": "genre", "value": "jazz"}})),
        _ => {
            let user = keys.choose(rng).context("no user")?;
            let body = json!({"user": user, "signals": {"popularity": 0.5}, "limit": 20});
            (post, "/v1/recommend".to_owned(), body.to_string())
        }
    })
}

/// A query of one to three words: a fifth ends in a part of a word, a tenth is a phrase.
fn text(words: &[String], rng: &mut ChaCha8Rng) -> anyhow::Result<String> {
    let ranks = WeightedIndex::new((1..=words.len()).map(|rank| 1.0 / rank as f64))?;
    let count = rng.random_range(1..=3);
    let mut chosen: Vec<&str> = (0..count).map(|_| words[rng.sample(&ranks)].as_str()).collect();
    let kind = rng.random_range(0..10);
    if kind < 2
        && let Some(last) = chosen.last_mut()
    {
        *last = &last[..last.len().saturating_sub(2).max(2)];
    }
    let text = chosen.join(" ");
    Ok(if kind == 9 { format!("%22{text}%22") } else { text })
}

/// Different words of one to four syllables.
fn words(seed: u64) -> Vec<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut seen, mut words) = (std::collections::BTreeSet::new(), Vec::with_capacity(WORDS));
    while words.len() < WORDS {
        let count = rng.random_range(1..=4);
        let word: String = (0..count).map(|_| SYLLABLES[rng.random_range(0..SYLLABLES.len())]).collect();
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

/// Creates items, and a history of each user. Items of an earlier run stay.
fn fill(
    target: &Target,
    prefix: &str,
    items: usize,
    seed: u64,
    words: &[String],
    people: &[Key],
) -> anyhow::Result<()> {
    let ranks = WeightedIndex::new((1..=words.len()).map(|rank| 1.0 / rank as f64))?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut batch = Vec::with_capacity(BATCH);
    for index in 0..items {
        let count = rng.random_range(10..=40);
        let text: Vec<&str> = (0..count).map(|_| words[rng.sample(&ranks)].as_str()).collect();
        let (first, count) = (rng.random_range(0..TOPICS), rng.random_range(1..=3));
        let topics: Vec<String> =
            (0..count).map(|place| format!("{prefix}topic-{}", (first + 7 * place) % TOPICS)).collect();
        let attributes = json!({"genre": GENRES[rng.random_range(0..3)], "length": rng.random_range(1..=100)});
        let created = 1_700_000_000_000_u64 + 1_000 * index as u64;
        batch.push(json!({"id": format!("{prefix}item-{index}"), "text": text.join(" "), "topics": topics,
            "attributes": attributes, "created": created}));
        if batch.len() == BATCH || index + 1 == items {
            send(target, "/v1/items", &Value::from(std::mem::take(&mut batch)))?;
        }
    }
    let history = people.iter().flat_map(|user| (0..HISTORY).map(move |number| (user, number)));
    let acts: Vec<Value> = history
        .map(|(user, number)| {
            let item = format!("{prefix}item-{}", rng.random_range(0..items.max(1)));
            json!({"user": user, "id": format!("{prefix}{number}"), "item": item, "kind": "like"})
        })
        .collect();
    acts.chunks(500).try_for_each(|batch| send(target, "/v1/interactions", &Value::from(batch.to_vec())))
}

/// Processor time of processes and their children so far, in milliseconds; Linux only, else 0.
fn processor_ms(processes: &[u32]) -> f64 {
    let own = |process: u32| -> Option<(u32, f64)> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // `pid (name) state parent …`, and the name may contain anything.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        // Linux reports in hundredths of a second on all architectures.
        Some((fields.get(1)?.parse().ok()?, ticks * 10.0))
    };
    let ids = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Some((id, own(id)?))
    });
    let counts = |(id, (parent, _)): &(u32, (u32, f64))| processes.contains(id) || processes.contains(parent);
    ids.filter(counts).map(|(_, (_, ms))| ms).sum()
}

/// Checks the processes of `--pid`.
///
/// # Errors
/// A process does not exist, or the system has no `/proc`.
pub fn check(processes: &[u32]) -> anyhow::Result<()> {
    for process in processes {
        let stat = format!("/proc/{process}/stat");
        ensure!(std::fs::exists(&stat).unwrap_or(false), "--pid {process}: no such process, or no /proc");
    }
    Ok(())
}
