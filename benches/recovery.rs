//! Recovery times of a server with a long journal: from `kill -9` to ready, and from a request for a passivated user to
//! the answer.
//!
//! It prints figures and has no time limits. `RECOVERY_PEOPLE` and `RECOVERY_ENTRIES` set the size (100,000 and
//! 5,000,000), `RECOVERY_STORE` names an empty store to use instead of a temporary directory.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark ends by a panic, prints its figures and has no callers"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline::commands::loader::Loader;
use eddyline::config::{Config, StoreUrl};
use eddyline::domain::ids::Key;
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::time::Millis;
use eddyline::embed::hashing::HashingEmbedder;
use eddyline::engine::coordinator::Draft;
use eddyline::engine::user::UserEvent;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ITEMS: u32 = 1_000;
/// Requests for users that are mostly not in memory.
const COLD: u32 = 20_000;
/// Maximum number of users in memory.
const ACTIVE: &str = "5000";

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Fills the store with users that like, click and skip, through the engine.
fn fill(url: &str, people: u32, entries: u32) {
    let now = Millis(1_780_000_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = Config { store: StoreUrl::parse(url).unwrap(), ..Config::default() };
        let store = eddyline::app::open_store(&config).await.unwrap();
        let embedder = Arc::new(HashingEmbedder::new(384).unwrap());
        let mut loader = Loader::open(store, embedder, &Config::default(), now).await.unwrap();
        for item in 0..ITEMS {
            let draft = Draft {
                attributes: None,
                key: Key::new(&format!("item-{item}")).unwrap(),
                author: None,
                topics: Some(vec![Key::new(&format!("topic-{}", item % 12)).unwrap()]),
                text: Some(format!("item {item} of topic {}, {}", item % 12, item * 7_919).into()),
                embedding: None,
                created: Some(now.plus(-i64::from(item) * 60_000)),
                windows: None,
            };
            loader.item(draft).await.unwrap();
        }
        loader.recentre().await.unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        // One user after the other, so that the engine holds few states at once.
        for person in 0..people {
            let user = loader.person(&Key::new(&format!("person-{person}")).unwrap(), None);
            for event in 0..entries / people {
                let kind = [Kind::Click, Kind::Like, Kind::Skip, Kind::View][random.random_range(0..4)];
                let item = eddyline::domain::ids::ItemId(random.random_range(0..ITEMS));
                let at = now.plus(i64::from(event) * 1_000 - 1_000_000_000);
                let id = Key::new(&format!("event-{event}")).unwrap();
                let interaction = Interaction { id, item, kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
                loader.act(user, UserEvent::Interacted(interaction)).await.unwrap();
            }
            loader.offline().forget_state(user);
        }
        loader.finish().await.unwrap();
    });
}

/// Starts the server; returns it with its address and the time until it was ready.
fn start(url: &str) -> (Child, String, Duration) {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eddyline"))
        .args(["serve", "--listen", "127.0.0.1:0", "--store", url])
        .env("EDDYLINE_LIMITS__ACTIVE_PEOPLE", ACTIVE)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
    ureq::get(format!("{address}/ready")).call().unwrap();
    (child, address, began.elapsed())
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn main() {
    let (people, entries) = (number("RECOVERY_PEOPLE", 100_000), number("RECOVERY_ENTRIES", 5_000_000));
    let directory = tempfile::tempdir().unwrap();
    let own = format!("file:{}", directory.path().display());
    let url = std::env::var("RECOVERY_STORE").unwrap_or(own);
    let began = Instant::now();
    fill(&url, people, entries);
    let filled = began.elapsed().as_secs_f64();
    println!(
        "{people} people, {entries} entries, {ITEMS} items: learned and stored in {filled:.1} s ({:.0}/s)",
        f64::from(entries) / filled
    );
    for round in 1..=3 {
        let (mut child, address, ready) = start(&url);
        // New entries after the snapshot, so that there is a tail to fold.
        for event in 0..200 {
            let body =
                format!(r#"{{"id":"new-{round}-{event}","user":"person-{event}","item":"item-1","kind":"like"}}"#);
            let post = ureq::post(format!("{address}/v1/interactions")).header("content-type", "application/json");
            post.send(body).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        println!("round {round}: ready {:.0} ms after its start; then killed by kill -9", ready.as_secs_f64() * 1e3);
    }
    let (mut child, address, ready) = start(&url);
    println!("ready {:.0} ms after kill -9 and a start", ready.as_secs_f64() * 1e3);
    let agent = ureq::Agent::new_with_defaults();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut took = |cold: bool| {
        let mut all: Vec<Duration> = (0..COLD)
            .map(|turn| {
                let person = if cold { random.random_range(1_000..people) } else { turn % 100 };
                let asked = Instant::now();
                let mut answer = agent.get(format!("{address}/v1/users/person-{person}/model")).call().unwrap();
                answer.body_mut().read_to_string().unwrap();
                asked.elapsed()
            })
            .collect();
        all.sort_unstable();
        all
    };
    for (name, cold) in [("cold", true), ("hot (baseline)", false)] {
        let all = took(cold);
        let shown = [0.5, 0.9, 0.99, 1.0].map(|share| format!("{:.2}", percentile(&all, share).as_secs_f64() * 1e3));
        println!(
            "{name}: request to answer over HTTP, p50 {} p90 {} p99 {} max {} ms",
            shown[0], shown[1], shown[2], shown[3]
        );
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("memory with at most {ACTIVE} people in it: {line}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
