//! The latency of recommendations over HTTP, and a check that swaps of models drop no request.
//!
//! Invariant: the load is open-loop: request `k` is due at `start + k / rate`. Its latency counts from that instant to
//! the last byte of the answer, so that a stalled server cannot hide its stall. Every answer must be 200 with the
//! requested items; any other result, a lost connection included, is a broken promise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use eddyline::domain::ids::Key;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex as Shared, mpsc};

use crate::tally::Latency;
use crate::target::Target;

/// Connections that send requests; requests beyond these wait, and the wait counts.
const LINES: usize = 64;
/// Words of the posts, chosen so that their embeddings differ.
const WORDS: [&str; 24] = [
    "river",
    "harbour",
    "weir",
    "bridge",
    "ferry",
    "lighthouse",
    "tide",
    "current",
    "storm",
    "delta",
    "spring",
    "lake",
    "canal",
    "sluice",
    "buoy",
    "pier",
    "sail",
    "oar",
    "anchor",
    "reef",
    "lagoon",
    "estuary",
    "rapid",
    "eddy",
];
/// Interactions of each user before the load, and events per request.
const HISTORY: usize = 24;
const BATCH: usize = 1_000;

/// The configuration of a run.
pub struct Plan {
    /// The prefix of the keys of users and posts.
    pub prefix: String,
    /// The least number of posts on the server.
    pub posts: usize,
    /// Requests per second.
    pub rate: f64,
    /// The duration of the load.
    pub load: Duration,
    /// Items per request.
    pub limit: u32,
    /// The `ranking` of the requests.
    pub ranking: String,
    /// Ask for the state of a moment ago, through the time machine, instead of the current one.
    pub past: bool,
    /// The seed of the sequence of users.
    pub seed: u64,
}

/// The results of the requests.
struct Outcome {
    took: Latency,
    answered: AtomicU64,
    /// Failures by kind: their number, and the first example.
    broken: Mutex<BTreeMap<&'static str, (u64, String)>>,
    /// Answers by the model that they name.
    models: Mutex<BTreeMap<String, u64>>,
}

impl Outcome {
    fn broke(&self, what: &'static str, example: String) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.entry(what).or_insert((0, example)).0 += 1;
    }
}

/// Prepares the data, sends the load, and reports.
pub async fn run(target: Target, keys: Arc<[Key]>, plan: Plan, json_to: Option<&str>) -> anyhow::Result<bool> {
    let (stage, people) = (target.clone(), keys.clone());
    let (prefix, posts, seed) = (plan.prefix.clone(), plan.posts, plan.seed);
    tokio::task::spawn_blocking(move || set(&stage, &prefix, posts, &people, seed)).await??;

    let outcome = Arc::new(Outcome {
        took: Latency::new()?,
        answered: AtomicU64::new(0),
        broken: Mutex::default(),
        models: Mutex::default(),
    });
    // The product of a checked rate and a checked duration is far below 2^53.
    let total = (plan.rate * plan.load.as_secs_f64()).floor() as u64;
    let (due, queue) = mpsc::unbounded_channel::<(Instant, String)>();
    let queue = Arc::new(Shared::new(queue));
    let mut lines = tokio::task::JoinSet::new();
    for _ in 0..LINES {
        lines.spawn(ask(target.clone(), queue.clone(), outcome.clone(), plan.limit));
    }
    let (rate, seed, limit, ranking, past) = (plan.rate, plan.seed, plan.limit, plan.ranking.clone(), plan.past);
    let began = Instant::now();
    tokio::task::spawn_blocking(move || {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for number in 0..total {
            let at = began + Duration::from_secs_f64(number as f64 / rate);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let who = &keys[rng.random_range(0..keys.len())];
            let time = if past { format!("&time={}", crate::socket::wall().0 - 1_000) } else { String::new() };
            let path = format!("/post/recommendations/?id={who}&limit={limit}&ranking={ranking}{time}");
            if due.send((at, path)).is_err() {
                return;
            }
        }
    })
    .await?;
    while let Some(done) = lines.join_next().await {
        done.context("a line crashed: a bug of the load generator")?;
    }
    let took = began.elapsed();
    report(&plan, total, took, &outcome, json_to)
}

fn report(plan: &Plan, total: u64, took: Duration, outcome: &Outcome, json_to: Option<&str>) -> anyhow::Result<bool> {
    let answered = outcome.answered.load(Relaxed);
    let broken = outcome.broken.lock().unwrap_or_else(PoisonError::into_inner);
    let models = outcome.models.lock().unwrap_or_else(PoisonError::into_inner);
    let good = broken.is_empty() && answered == total;
    let counts: BTreeMap<&str, u64> = broken.iter().map(|(what, (count, _))| (*what, *count)).collect();
    let result = json!({
        "requests": total, "answered": answered, "broken": counts, "by_model_version": *models,
        "posts": plan.posts, "rate": plan.rate, "seconds": took.as_secs_f64(), "ranking": plan.ranking,
        "past": plan.past, "limit": plan.limit, "due_to_answer": outcome.took.json(), "ok": good,
    });
    let ms = |quantile| outcome.took.p(quantile) as f64 / 1e3;
    let mut table = format!(
        "{total} requests at {:.0}/s over {} posts, {answered} answered as they should be\n\
         due to answer   p50 {:.2} ms   p90 {:.2} ms   p99 {:.2} ms   p99.9 {:.2} ms   max {:.2} ms\n\
         answers by model version: {:?}\n",
        plan.rate,
        plan.posts,
        ms(0.5),
        ms(0.9),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        *models,
    );
    for (what, (count, example)) in broken.iter() {
        table.push_str(&format!("BROKEN {what}: {count}, for example: {example}\n"));
    }
    crate::report(json_to, &table, &result)?;
    Ok(good)
}

/// One connection that sends requests in turn, and reconnects after a loss.
async fn ask(
    target: Target,
    queue: Arc<Shared<mpsc::UnboundedReceiver<(Instant, String)>>>,
    outcome: Arc<Outcome>,
    limit: u32,
) {
    let mut line: Option<TcpStream> = None;
    loop {
        let next = queue.lock().await.recv().await;
        let Some((due, path)) = next else { return };
        match exchange(&target, &mut line, "GET", &path, "").await {
            Ok((200, body)) => match checked(&body, limit) {
                Ok(model) => {
                    outcome.took.add(due.elapsed());
                    outcome.answered.fetch_add(1, Relaxed);
                    let mut models = outcome.models.lock().unwrap_or_else(PoisonError::into_inner);
                    *models.entry(model).or_default() += 1;
                }
                Err(error) => outcome.broke("another answer", format!("{path}: {error:#}")),
            },
            Ok((status, body)) => {
                outcome.broke("refused", format!("{path}: {status}: {}", String::from_utf8_lossy(&body)));
            }
            Err(error) => {
                line = None;
                outcome.broke("dropped", format!("{path}: {error:#}"));
            }
        }
    }
}

/// The model that an answer names; `-` for none.
fn checked(body: &[u8], limit: u32) -> anyhow::Result<String> {
    let body: Value = serde_json::from_slice(body)?;
    let rows = body["recommendations"].as_array().context("no recommendations")?.len();
    ensure!(rows == limit as usize, "{rows} items instead of {limit}");
    Ok(body["model_version"].as_u64().map_or_else(|| "-".into(), |version| version.to_string()))
}

/// One request over a persistent connection, with a body of JSON unless it is empty.
pub async fn exchange(
    target: &Target,
    line: &mut Option<TcpStream>,
    method: &str,
    path: &str,
    body: &str,
) -> anyhow::Result<(u16, Vec<u8>)> {
    let stream = match line {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(target.address).await?;
            stream.set_nodelay(true)?;
            line.insert(stream)
        }
    };
    let content = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{content}\r\n{body}", target.authority);
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end])?;
            let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).context("no status")?;
            let length = head.lines().find_map(|row| {
                let (name, value) = row.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let whole = end + 4 + length.context("no content-length")?;
            while bytes.len() < whole {
                more(stream, &mut bytes).await?;
            }
            return Ok((status, bytes.split_off(end + 4)));
        }
        more(stream, &mut bytes).await?;
    }
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    let read = stream.read_buf(bytes).await?;
    ensure!(read > 0, "the line was closed within an answer");
    Ok(())
}

/// Creates posts, and users with a history.
fn set(target: &Target, prefix: &str, posts: usize, people: &[Key], seed: u64) -> anyhow::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let name = |index: usize| format!("{prefix}post-{index:06}");
    let items: Vec<Value> = (0..posts)
        .map(|index| {
            let text: Vec<&str> = (0..30).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
            json!({"id": name(index), "text": text.join(" "), "topics": [format!("{prefix}{}", WORDS[index % 8])]})
        })
        .collect();
    for batch in items.chunks(BATCH) {
        send(target, "/v1/items", &Value::from(batch.to_vec()))?;
    }
    let kinds = ["like", "view", "skip", "view"];
    let acts: Vec<Value> = people
        .iter()
        .flat_map(|user| (0..HISTORY).map(move |number| (user, number)))
        .map(|(user, number)| {
            let item = name(rng.random_range(0..posts.max(1)));
            json!({"user": user, "id": format!("{prefix}{number}"), "item": item, "kind": kinds[number % kinds.len()]})
        })
        .collect();
    for batch in acts.chunks(BATCH) {
        send(target, "/v1/interactions", &Value::from(batch.to_vec()))?;
    }
    Ok(())
}

/// Sends one POST with a list; a conflict with data of an earlier run is no error.
pub fn send(target: &Target, path: &str, body: &Value) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into();
    let url = target.rest_url(path);
    let mut response = agent.post(&url).header("Content-Type", "application/json").send(body.to_string())?;
    // Posts of an earlier run exist already.
    if !response.status().is_success() && response.status() != 409 {
        bail!("POST {url}: {}: {}", response.status(), response.body_mut().read_to_string()?);
    }
    Ok(())
}
