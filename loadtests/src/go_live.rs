//! The time until a change of availability reaches the users whose feeds it changes, and a check that it reaches no
//! others.
//!
//! Invariant: latencies count from just before the request; a push is any `feed` or `patch` whose cause is a change of
//! the world. A push breaks a promise if the item neither entered nor left that user's feed. So does a missing push,
//! when the feed over REST contains the item.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use eddyline::domain::feeds::Cause;
use eddyline::domain::ids::Key;
use eddyline::protocol::server::ServerMessage;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::person::{Next, Person};
use crate::socket::{self, Shared, wall};
use crate::tally::{Check, Latency};

/// A round ends after this time without a push.
const QUIET: Duration = Duration::from_millis(1_500);
/// Items of the changing item's topic: fewer than a feed holds, so that the item fits in.
const SEAS: usize = 20;
/// Items of the other topic: more than a feed holds.
const HILLS: usize = 120;
/// Items of their topic that each user likes.
const LIKES: usize = 5;
/// Events per request.
const BATCH: usize = 1_000;
/// Users per round whose feeds are checked over REST for a missing push.
const ASKED: usize = 50;

/// The configuration of a run.
pub struct Plan {
    /// The prefix of the keys of users and items.
    pub prefix: String,
    /// The number of rounds, on air and off.
    pub rounds: u32,
    /// The share of users who like the item's topic.
    pub concerned: f64,
}

/// A session received a push.
struct Push {
    who: usize,
    at: Instant,
    /// True if the item entered the feed, or left it.
    changed: bool,
    shows: bool,
}

/// Prepares the data, opens all sockets, and takes the item on air and off.
pub async fn run(shared: Arc<Shared>, keys: Arc<[Key]>, plan: Plan, json_to: Option<&str>) -> anyhow::Result<bool> {
    let rest = Rest::new(&shared);
    let show = Key::new(&format!("{}show", plan.prefix)).context("--people-prefix")?;
    let (stage, people, shown) = (rest.clone(), keys.clone(), show.clone());
    let (prefix, wanting) = (plan.prefix.clone(), (plan.concerned * keys.len() as f64).round() as usize);
    tokio::task::spawn_blocking(move || stage.set(&prefix, &people, wanting, &shown)).await??;

    let (push, mut pushes) = mpsc::unbounded_channel();
    let (ready, mut readies) = mpsc::channel(1_024);
    let mut sockets = tokio::task::JoinSet::new();
    for (who, key) in keys.iter().enumerate() {
        let person = Person::new(key.clone(), String::new(), ChaCha8Rng::seed_from_u64(0));
        sockets.spawn(watch(who, person, shared.clone(), show.clone(), push.clone(), ready.clone()));
    }
    drop((push, ready));
    let mut opened = 0;
    while let Some(open) = readies.recv().await {
        opened += usize::from(open);
    }
    if opened == 0 {
        bail!("no socket could be opened: {}", shared.tally.example(Check::LineStays).unwrap_or_default());
    }
    // Skips first feeds of other sessions, and late effects of the preparation.
    drain(&mut pushes, Instant::now(), None, &mut vec![false; keys.len()]).await;

    let (each, last, answered) = (Latency::new()?, Latency::new()?, Latency::new()?);
    let (mut told, mut needless) = (0_u64, 0_u64);
    let mut showing = vec![false; keys.len()];
    for _ in 0..plan.rounds {
        for on in [true, false] {
            let begin = Instant::now();
            let (asker, item) = (rest.clone(), show.clone());
            let request = tokio::task::spawn_blocking(move || asker.switch(&item, on));
            let round = drain(&mut pushes, begin, Some(&each), &mut showing).await;
            answered.add(request.await??.saturating_duration_since(begin));
            told += round.told;
            needless += round.needless;
            if round.needless > 0 {
                let count = round.needless;
                shared
                    .tally
                    .broke(Check::OnlyConcerned, || format!("{count} users got a push without a change of their feed"));
            }
            if let Some(end) = round.last {
                last.add(end.saturating_duration_since(begin));
            }
            let missed = missed(&rest, &keys, &show, &showing, on).await?;
            if missed > 0 {
                shared.tally.broke(Check::NobodyMissed, || format!("{missed} people, on air: {on}"));
            }
        }
    }
    sockets.shutdown().await;
    let result = json!({
        "sockets": opened, "rounds": plan.rounds, "pushes": told, "needless": needless,
        "request_to_push": each.json(), "request_to_last_push": last.json(), "request_to_answer": answered.json(),
        "ok": shared.tally.failures() == 0,
    });
    let line = |name: &str, of: &Latency| {
        let ms = |quantile| of.p(quantile) as f64 / 1e3;
        format!("{name:<24} p50 {:>8.1} ms   p99 {:>8.1} ms   max {:>8.1} ms\n", ms(0.5), ms(0.99), ms(1.0))
    };
    let table = format!(
        "{opened} sockets, {} rounds on and off; {told} pushes to those concerned, {needless} to others\n{}{}{}{}",
        plan.rounds,
        line("request to push", &each),
        line("request to last push", &last),
        line("request to answer", &answered),
        shared.tally.promises(),
    );
    crate::report(json_to, &table, &result)?;
    Ok(shared.tally.failures() == 0)
}

/// The pushes after one change.
struct Round {
    told: u64,
    needless: u64,
    last: Option<Instant>,
}

/// Collects pushes until none arrives for a while.
async fn drain(
    pushes: &mut mpsc::UnboundedReceiver<Push>,
    begin: Instant,
    latency: Option<&Latency>,
    showing: &mut [bool],
) -> Round {
    let mut round = Round { told: 0, needless: 0, last: None };
    while let Ok(Some(push)) = tokio::time::timeout(QUIET, pushes.recv()).await {
        if let Some(shows) = showing.get_mut(push.who) {
            *shows = push.shows;
        }
        if push.changed {
            round.told += 1;
            round.last = round.last.max(Some(push.at));
            if let Some(latency) = latency {
                latency.add(push.at.saturating_duration_since(begin));
            }
        } else {
            round.needless += 1;
        }
    }
    round
}

/// Off air no feed may contain the item. On air a sample of users without it is checked over REST.
async fn missed(rest: &Rest, keys: &Arc<[Key]>, show: &Key, showing: &[bool], on: bool) -> anyhow::Result<usize> {
    if !on {
        return Ok(showing.iter().filter(|shows| **shows).count());
    }
    let without: Vec<usize> = (0..keys.len()).filter(|who| !showing[*who]).collect();
    let step = without.len().div_ceil(ASKED).max(1);
    let asked: Vec<usize> = without.into_iter().step_by(step).collect();
    let (rest, keys, show) = (rest.clone(), keys.clone(), show.clone());
    tokio::task::spawn_blocking(move || {
        let mut missed = 0;
        for who in asked {
            missed += usize::from(rest.feed(&keys[who])?.contains(&show.to_string()));
        }
        Ok(missed)
    })
    .await?
}

/// One user who only receives.
async fn watch(
    who: usize,
    mut person: Person,
    shared: Arc<Shared>,
    show: Key,
    pushes: mpsc::UnboundedSender<Push>,
    ready: mpsc::Sender<bool>,
) {
    let key = person.key().clone();
    let tally = &shared.tally;
    let opened = match shared.connects.acquire().await {
        Ok(_permit) => socket::open(&mut person, &shared).await,
        Err(closed) => Err(closed.into()),
    };
    let mut line = match opened {
        Ok(line) => line,
        Err(error) => {
            tally.broke(Check::LineStays, || format!("{key}: {error:#}"));
            let _ = ready.send(false).await;
            return;
        }
    };
    let _ = ready.send(true).await;
    drop(ready);
    loop {
        let (message, at) = match line.next(tally).await {
            Ok(heard) => heard,
            Err(error) => return tally.broke(Check::LineStays, || format!("{key}: {error:#}")),
        };
        let cause = match &message {
            ServerMessage::Feed(feed) => feed.cause.as_ref(),
            ServerMessage::Patch(patch) => patch.cause.as_ref(),
            _ => None,
        };
        let is_push = matches!(cause, Some(Cause::World { .. }));
        let before = person.shows(&show);
        let answer = person.hear(message, at, wall(), tally);
        let shows = person.shows(&show);
        if is_push {
            // The receiver outlives all senders.
            let _ = pushes.send(Push { who, at, changed: before != shows, shows });
        }
        if let Some(Next::Send(message)) = answer
            && let Err(error) = line.send(&message, tally)
        {
            return tally.broke(Check::LineStays, || format!("{key}: {error:#}"));
        }
    }
}

/// A REST client for the checked address.
#[derive(Clone)]
struct Rest {
    agent: ureq::Agent,
    base: String,
}

impl Rest {
    fn new(shared: &Shared) -> Rest {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        Rest { agent, base: shared.target.rest_url("") }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<String> {
        let uri = format!("{}{path}", self.base);
        let request = ureq::http::Request::builder().method(method).uri(&uri);
        let request = request.header("Content-Type", "application/json").body(body.to_string())?;
        let mut response = self.agent.run(request).with_context(|| format!("{method} {uri}"))?;
        let (status, text) = (response.status(), response.body_mut().read_to_string()?);
        if status.is_success() { Ok(text) } else { bail!("{method} {uri}: {status}: {text}") }
    }

    /// Creates two topics with items, one item off air, and users who like one topic or the other.
    fn set(&self, prefix: &str, people: &[Key], wanting: usize, show: &Key) -> anyhow::Result<()> {
        let name = |topic: &str, index: usize| format!("{prefix}{topic}-{index:03}");
        let item = |topic: &str, index: usize| json!({"id": name(topic, index), "text": format!("{topic} number {index}"), "topics": [format!("{prefix}{topic}")]});
        let items: Vec<Value> = (0..SEAS).map(|n| item("sea", n)).chain((0..HILLS).map(|n| item("hill", n))).collect();
        self.send("POST", "/v1/items", &Value::from(items))?;
        let over = json!([{"start": 1, "stop": 2}]);
        let body = json!({"text": "sea show, live", "topics": [format!("{prefix}sea")], "windows": over});
        self.send("PUT", &format!("/v1/items/{show}"), &body)?;
        let likes = people.iter().enumerate().flat_map(|(who, key)| {
            let (topic, count) = if who < wanting { ("sea", SEAS) } else { ("hill", HILLS) };
            (0..LIKES).map(move |like| (key, topic, (who * 7 + like * 11) % count, like))
        });
        let likes: Vec<Value> = likes
            .map(|(user, topic, index, like)| {
                json!({"user": user, "id": format!("{show}-{like}"), "item": name(topic, index), "kind": "like"})
            })
            .collect();
        for batch in likes.chunks(BATCH) {
            self.send("POST", "/v1/interactions", &Value::from(batch.to_vec()))?;
        }
        Ok(())
    }

    /// Takes the item on air or off, and returns the time of the answer.
    fn switch(&self, item: &Key, on: bool) -> anyhow::Result<Instant> {
        let windows = if on { json!([{"start": wall().0 - 1_000}]) } else { json!([{"start": 1, "stop": 2}]) };
        self.send("PUT", &format!("/v1/items/{item}/windows"), &windows)?;
        Ok(Instant::now())
    }

    fn feed(&self, person: &Key) -> anyhow::Result<Vec<String>> {
        let uri = format!("{}/v1/users/{person}/feed", self.base);
        let text = self.agent.get(&uri).call().with_context(|| uri.clone())?.body_mut().read_to_string()?;
        let body: Value = serde_json::from_str(&text).with_context(|| uri.clone())?;
        let rows = body.get("items").and_then(Value::as_array).with_context(|| format!("{uri}: no items"))?;
        Ok(rows.iter().filter_map(|row| Some(row.get("item")?.as_str()?.to_owned())).collect())
    }
}
